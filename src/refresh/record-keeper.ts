/** Saves, then publishes: a disk that is full or hangs may delay a right answer by a moment, but never keep it back. */

import type { EndpointRecord } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import { sleep, type Timers } from '../runtime/timers.ts';

export interface Kept {
  /** All that shall survive, clusters that are not configured now included. */
  readonly toSave: readonly EndpointRecord[];
  readonly toPublish: readonly EndpointRecord[];
}

export interface RecordKeeperOptions {
  /** The newest state of everything, composed when it is wanted, a step for each cluster. */
  readonly compose: () => Steps<Kept>;
  /** Resolves once the records are on disk, or could not be saved: the store logs that and tries again. */
  readonly save: (records: readonly EndpointRecord[]) => Promise<unknown>;
  readonly publish: (records: readonly EndpointRecord[]) => unknown;
  readonly timers: Timers;
  /** Between slices of long work; left out, it is done in one turn. */
  readonly pause?: Pause | undefined;
}

/** Each takes some 20 microseconds where it has changed. */
const RECORDS_PER_TURN = 20;
/** Longer than a healthy disk takes to sync, shorter than a client waits for an answer. */
const SAVE_WAIT_MS = 2_000;

export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  #publishing: Promise<void> | undefined;
  #isPublishWanted = false;
  /** Something has changed since the last save: the disk comes before the table. */
  #isSaveFirst = false;
  #isStopped = false;

  constructor(options: RecordKeeperOptions) {
    this.#options = options;
  }

  /** Saves and publishes what `compose` gives; calls in quick succession become one. */
  changed(): void {
    if (this.#isStopped) return;
    this.#isSaveFirst = true;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
  }

  /** Publishes without waiting for the disk, because nothing has changed that must be saved first. Resolves once that is published. */
  async confirmed(): Promise<void> {
    if (this.#isStopped) return;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
    await this.#publishing;
  }

  /** Saves once more, waits for it a moment, and does nothing from then on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#saveFirst();
  }

  async #publishAll(): Promise<void> {
    while (this.#isPublishWanted && !this.#isStopped) {
      this.#isPublishWanted = false;
      let isSaved = false;
      if (this.#isSaveFirst) {
        this.#isSaveFirst = false;
        const isOver = await this.#saveFirst();
        if (this.#isStopped) break;
        // what came during the save is saved before it is published, and published with it
        if (this.#isPublishWanted && isOver) {
          this.#isSaveFirst = true;
          continue;
        }
        // the disk hangs: an answer is worth more than its copy on the disk
        isSaved = !this.#isPublishWanted;
        this.#isPublishWanted = false;
        this.#isSaveFirst = false;
      }
      // a defect in one publication must not keep back the next
      await inBackground('state', () => this.#publish(isSaved));
    }
    this.#publishing = undefined;
  }

  /** Publishes the newest state, and saves it beside that where it is not saved. */
  async #publish(isSaved: boolean): Promise<void> {
    const { toSave, toPublish } = await this.#compose();
    const published = this.#options.publish(toPublish);
    if (!isSaved) inBackground('state', () => this.#options.save(toSave));
    await published;
  }

  /** Resolves to whether the save has ended, well or not, within the time that a publication waits for it. */
  async #saveFirst(): Promise<boolean> {
    const { save, timers } = this.#options;
    const enough = new AbortController();
    const saved = inBackground('state', async () => save((await this.#compose()).toSave));
    const isOver = await Promise.race([
      saved.then(() => true),
      sleep(timers, SAVE_WAIT_MS, enough.signal).then(() => false),
    ]);
    enough.abort();
    return isOver;
  }

  #compose(): Promise<Kept> {
    return inSlices(this.#options.compose(), this.#options.pause, RECORDS_PER_TURN);
  }
}
