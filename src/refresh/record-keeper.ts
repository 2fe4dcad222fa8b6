/** Saves, then publishes. A full or hanging disk delays a right answer by a moment, and never prevents it. */
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import { endsWithin, type Timers } from '../runtime/timers.ts';

export interface RecordSets {
  /** All records that must survive, those of clusters that are not configured now included. */
  readonly toSave: readonly EndpointRecord[];
  readonly toPublish: readonly EndpointRecord[];
}

export interface RecordKeeperOptions {
  /** Composes the newest records, one cluster a step. */
  readonly compose: () => Steps<RecordSets>;
  /** Resolves when the records are on disk or could not be saved; the store logs a failure and tries again. */
  readonly save: (records: readonly EndpointRecord[]) => Promise<unknown>;
  readonly publish: (records: readonly EndpointRecord[]) => unknown;
  readonly timers: Timers;
  /** Between slices of long work; without it the work ends in one turn. */
  readonly pause?: Pause | undefined;
}

/** Records composed in one turn of the event loop: each takes some 20 microseconds. */
const RECORDS_PER_TURN = 20;
/** Longer than a healthy disk takes to sync, shorter than a client waits for an answer. */
const SAVE_WAIT_MS = 2_000;

export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  #publishing: Promise<void> | undefined;
  #isPublishWanted = false;
  /** The wanted publication has content that must be saved first. */
  #isSaveFirst = false;
  #isStopped = false;

  constructor(options: RecordKeeperOptions) {
    this.#options = options;
  }

  /** Saves and publishes the newest records; calls in quick succession become one. */
  saveAndPublish(): void {
    if (this.#isStopped) return;
    this.#isSaveFirst = true;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
  }

  /** Publishes without waiting for the disk: what has changed is saved already, or can be learned again. Resolves when it is published. */
  async publishSoon(): Promise<void> {
    if (this.#isStopped) return;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
    await this.#publishing;
  }

  /** Saves once more, waits a moment for that, and does nothing afterwards. */
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
        // a change during the save is saved before both are published
        if (this.#isPublishWanted && isOver) {
          this.#isSaveFirst = true;
          continue;
        }
        // the disk hangs: an answer is worth more than its copy on the disk
        isSaved = !this.#isPublishWanted;
        this.#isPublishWanted = false;
        this.#isSaveFirst = false;
      }
      // a defect in one publication must not prevent the next
      await inBackground('state', () => this.#publish(isSaved));
    }
    this.#publishing = undefined;
  }

  /** Publishes the newest records. Starts a save at the same time, unless the caller has already started the save. */
  async #publish(isSaved: boolean): Promise<void> {
    const { toSave, toPublish } = await this.#compose();
    const published = this.#options.publish(toPublish);
    if (!isSaved) inBackground('state', () => this.#options.save(toSave));
    await published;
  }

  /** Resolves to whether the save has ended, with or without success, in the time that a publication waits for it. */
  async #saveFirst(): Promise<boolean> {
    const { save, timers } = this.#options;
    const saved = inBackground('state', async () => save((await this.#compose()).toSave));
    return endsWithin(timers, saved, SAVE_WAIT_MS);
  }

  #compose(): Promise<RecordSets> {
    return inSlices(this.#options.compose(), this.#options.pause, RECORDS_PER_TURN);
  }
}
