/** When retained answers are written: soon where a question had none before, otherwise now and then, because many change with every look. */
import type { Log } from '../../log/log.ts';
import type { RetainedRecord } from '../../records/retained-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import { inSlices, type Pause, type Steps } from '../../runtime/slices.ts';
import { sleep, type Timers } from '../../runtime/timers.ts';
import { WritePace } from '../../store/write-pace.ts';

/** The part of the store's outcome that matters here. */
export type SaveOutcome =
  /** `leftOut`: answers for which the file has no room. */
  | { readonly kind: 'saved'; readonly leftOut?: number }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'failed'; readonly detail: string };

export interface RetainedSaverOptions {
  /** All that shall survive, composed when it is wanted. */
  readonly compose: () => Steps<readonly RetainedRecord[]>;
  readonly save: (records: readonly RetainedRecord[]) => Promise<SaveOutcome>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly pause?: Pause | undefined;
}

export interface SavingStats {
  readonly saveFailures: number;
  readonly isSaveFailing: boolean;
  /** Answers for which the file had no room at the last save. */
  readonly leftOut: number;
}

const SOON_MS = 1_000; // answers that come together are written together
/** What has happened to an answer, and how long after the last save it may wait for the next one. */
const WAIT_MS = {
  /** There was none before, or there is one question more or less. */
  new: 0,
  /** With the time that the disk takes, a restart loses less than the last minute. */
  changed: 50_000,
  /** Only its age is another. */
  confirmed: 600_000,
} as const;
const RETRY_MS = 30_000;
const STOP_WAIT_MS = 2_000; // longer than a healthy disk takes to sync

export class RetainedSaver {
  readonly #options: RetainedSaverOptions;
  #timer: Disposable | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  readonly #pace = new WritePace(WAIT_MS.changed);
  #saving: Promise<void> | undefined;
  #isFailing = false;
  #leftOut = 0;
  #saveFailures = 0;
  #isStopped = false;

  constructor(options: RetainedSaverOptions) {
    this.#options = options;
  }

  note(what: keyof typeof WAIT_MS): void {
    const nowMs = this.#options.clock.monotonicMs();
    // an answer that a question had not before is worth a write at any time; all others wait until the disk can bear it
    const paceMs = what === 'new' ? 0 : this.#pace.nextMs();
    this.#saveAt(Math.max(nowMs + SOON_MS, this.#savedAtMs + WAIT_MS[what], paceMs));
  }

  stats(): SavingStats {
    return { saveFailures: this.#saveFailures, isSaveFailing: this.#isFailing, leftOut: this.#leftOut };
  }

  /** Saves what is not saved yet, waits for it a moment, and does nothing from then on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const isWanted = this.#dueAtMs < Number.POSITIVE_INFINITY;
    this.#timer?.[Symbol.dispose]();
    const enough = new AbortController();
    const saved = isWanted ? this.#saveAfter(this.#saving) : this.#saving;
    await Promise.race([saved, sleep(this.#options.timers, STOP_WAIT_MS, enough.signal)]);
    enough.abort();
  }

  #saveAt(atMs: number): void {
    if (this.#isStopped || atMs >= this.#dueAtMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#dueAtMs = atMs;
    const delayMs = atMs - this.#options.clock.monotonicMs();
    this.#timer = this.#options.timers.after(delayMs, () => {
      this.#saving = this.#saveAfter(this.#saving);
    });
  }

  async #saveAfter(before: Promise<void> | undefined): Promise<void> {
    await before; // the store takes one at a time anyway, and a disk that hangs must not fill the memory
    await this.#save();
  }

  async #save(): Promise<void> {
    const { save, compose, clock, log, pause } = this.#options;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#savedAtMs = clock.monotonicMs();
    const records = await inSlices(compose(), pause);
    this.#pace.note(octetsOf(records), this.#savedAtMs);
    const outcome = await trySave(() => save(records));
    const isFailed = outcome.kind === 'failed';
    if (isFailed) {
      this.#saveFailures++;
      const text = 'save retained answers: failed, answering all the same';
      if (!this.#isFailing) log.error({ detail: outcome.detail }, text);
      this.#saveAt(clock.monotonicMs() + RETRY_MS);
    } else if (this.#isFailing) {
      log.info({}, 'retained answers can be saved again');
    }
    this.#isFailing = isFailed;
    if (outcome.kind === 'saved') this.#noteLeftOut(outcome.leftOut ?? 0);
  }

  #noteLeftOut(leftOut: number): void {
    if (leftOut > this.#leftOut) {
      this.#options.log.warn(
        { leftOut },
        'retained answers are too many octets for their file: some would not survive a restart',
      );
    }
    this.#leftOut = leftOut;
  }
}

/** About what the file takes: base64, and the records for a person. */
function octetsOf(records: readonly RetainedRecord[]): number {
  return records.reduce(
    (octets, { message, signedMessage }) =>
      octets + 256 + 2 * (message.length + (signedMessage?.length ?? 0)),
    0,
  );
}

async function trySave(save: () => Promise<SaveOutcome>): Promise<SaveOutcome> {
  try {
    return await save();
  } catch (error) {
    return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }
}
