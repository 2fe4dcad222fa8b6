/** Saves, then publishes; a disk that is full or hangs may delay a right answer by a moment, but never keep it back. */

import type { Log } from '../log/log.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import { sleep } from '../runtime/timers.ts';

/** The part of the store's outcome that matters here. */
export type SaveOutcome =
  | { readonly kind: 'saved' | 'unchanged' }
  | { readonly kind: 'failed'; readonly detail: string };

export interface Kept {
  /** All that shall survive, clusters that are not configured now included. */
  readonly toSave: readonly EndpointRecord[];
  readonly toPublish: readonly EndpointRecord[];
}

export interface RecordKeeperOptions {
  /** The newest state of everything, composed when it is wanted, a step for each cluster. */
  readonly compose: () => Steps<Kept>;
  readonly save: (records: readonly EndpointRecord[]) => Promise<SaveOutcome>;
  readonly publish: (records: readonly EndpointRecord[]) => unknown;
  readonly timers: Timers;
  /** Between slices of long work; left out, it is done in one turn. */
  readonly pause?: Pause | undefined;
  readonly log: Log;
}

/** Each takes some 20 microseconds where it has changed. */
const RECORDS_PER_TURN = 20;
const SAVE_WAIT_MS = 2_000; // longer than a healthy disk takes to sync, shorter than anybody waits for an answer
const SAVE_RETRY_MS = 30_000;

export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  #saving: Promise<void> | undefined;
  #isSaveWanted = false;
  #publishing: Promise<void> | undefined;
  #isPublishWanted = false;
  /** Something has changed since the last save: the disk comes before the table. */
  #isSaveFirst = false;
  #retry: Disposable | undefined;
  #isFailing = false;
  #saveFailures = 0;
  #isStopped = false;

  constructor(options: RecordKeeperOptions) {
    this.#options = options;
  }

  /** Saves and publishes what `compose` gives; calls in quick succession become one. */
  changed(): void {
    if (this.#isStopped) return;
    this.#isSaveWanted = true;
    this.#isSaveFirst = true;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
  }

  /** Publishes without waiting for the disk, because nothing has changed that must be saved first. Resolves once that is published. */
  async confirmed(): Promise<void> {
    if (this.#isStopped) return;
    this.#isSaveWanted = true;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
    inBackground('state', () => this.#save());
    await this.#publishing;
  }

  /** Saves once more, waits for it a moment, and does nothing from then on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retry?.[Symbol.dispose]();
    this.#isSaveWanted = true;
    await this.#waitForSave();
  }

  stats(): { readonly saveFailures: number; readonly isSaveFailing: boolean } {
    return { saveFailures: this.#saveFailures, isSaveFailing: this.#isFailing };
  }

  async #publishAll(): Promise<void> {
    while (this.#isPublishWanted && !this.#isStopped) {
      if (this.#isSaveFirst) await this.#waitForSave();
      // what came in the moment in which the save ended is on no disk and in no queue: once more, with it
      if (this.#isSaveFirst && this.#isSaveWanted && this.#saving === undefined) continue;
      this.#isSaveFirst = false;
      // what came while the disk was busy is published with it: an answer is worth more than its copy on the disk
      this.#isPublishWanted = false;
      if (this.#isStopped) break;
      // a defect in one publication must not keep back the next
      await inBackground('state', async () => this.#options.publish((await this.#compose()).toPublish));
    }
    this.#publishing = undefined;
  }

  async #waitForSave(): Promise<void> {
    const enough = new AbortController();
    await Promise.race([this.#save(), sleep(this.#options.timers, SAVE_WAIT_MS, enough.signal)]);
    enough.abort();
  }

  /** One at a time; what comes meanwhile is saved after it. */
  #save(): Promise<void> {
    if (this.#saving === undefined) {
      if (!this.#isSaveWanted) return Promise.resolve();
      this.#saving = this.#saveAll();
    }
    return this.#saving;
  }

  async #saveAll(): Promise<void> {
    while (this.#isSaveWanted) {
      this.#isSaveWanted = false;
      const outcome = await this.#trySave();
      this.#report(outcome);
      if (outcome.kind !== 'failed') continue;
      this.#retryLater();
      break;
    }
    this.#saving = undefined;
  }

  async #trySave(): Promise<SaveOutcome> {
    try {
      return await this.#options.save((await this.#compose()).toSave);
    } catch (error) {
      return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
    }
  }

  #compose(): Promise<Kept> {
    return inSlices(this.#options.compose(), this.#options.pause, RECORDS_PER_TURN);
  }

  #report(outcome: SaveOutcome): void {
    if (outcome.kind === 'failed') {
      this.#saveFailures++;
      const text = 'save endpoint records: failed, publishing all the same';
      if (!this.#isFailing) this.#options.log.error({ detail: outcome.detail }, text);
    } else {
      this.#retry?.[Symbol.dispose]();
      if (this.#isFailing) this.#options.log.info({}, 'endpoint records can be saved again');
    }
    this.#isFailing = outcome.kind === 'failed';
  }

  #retryLater(): void {
    this.#retry?.[Symbol.dispose]();
    if (this.#isStopped) return;
    this.#retry = this.#options.timers.after(SAVE_RETRY_MS, () => {
      this.#isSaveWanted = true;
      inBackground('state', () => this.#save());
    });
  }
}
