/**
 * Decides when data that survives a power cut is written: one write at a time, at the planned moment, again after a failure.
 * A disk limits how often. The writer knows neither files nor content: its owner writes, and says how the write ended.
 *
 *     start, now, at -> [ wait for the moment ] -> write -> failed? again in 30 s
 */
import type { Log, Message } from '../log/log.ts';
import { inBackground } from '../runtime/background.ts';
import { type Clock, endsWithin, type Timers } from '../runtime/clock.ts';
import type { Failure } from './store-messages.ts';

/** How a write ended; `unchanged` says that there was nothing to write. */
export type WriteEnd = { readonly kind: 'saved' | 'written' | 'unchanged' } | Failure;

export interface WriterOptions<End extends WriteEnd> {
  /** Writes the newest content. A rejection is a defect: it counts as a failure, and `now` passes it on. */
  readonly write: () => Promise<End>;
  /** Log lines, for the first failure in a row and for the end of the row. */
  readonly messages: { readonly failing: Message<'code' | 'detail'>; readonly recovered: Message };
  /** Time between two writes of a small file; a large file is written less often. */
  readonly paceMs?: number;
  /** Time after a failure: a disk that has room again need not wait for the next change. Default 30 s. */
  readonly retryMs?: number;
}

export interface WriterParts {
  readonly clock: Pick<Clock, 'monotonicMs' | 'wallMs'>;
  readonly timers: Timers;
  readonly log: Log;
}

export interface WriteFailure {
  readonly code: string;
  readonly detail: string;
  /** Wall ms. */
  readonly atMs: number;
}

export interface WriterState {
  readonly failures: number;
  /** The failure after which nothing has been written yet. */
  readonly lastFailure: WriteFailure | undefined;
  /** Monotonic ms at which the write in progress began: a disk that hangs shows here. */
  readonly writingSinceMs: number | undefined;
}

const RETRY_MS = 30_000;
/**
 * Octets that one file may write in a day. A disk takes some thousand times its size in its life, and this is 98 GB a year.
 * A file of 5 MB is written every half hour, and a file below 150 KB as often as its owner likes.
 */
const DAILY_OCTETS = 256 * 1024 * 1024;
const DAY_MS = 86_400_000;
/** The longest pace, for a file of any size. */
const MOST_MS = 3_600_000;
/** An urgent write waits for this part of the pace: a link that flaps must not wear out the disk either. */
const URGENT_FRACTION = 0.25;

export class Writer<End extends WriteEnd> {
  readonly #options: WriterOptions<End>;
  readonly #parts: WriterParts;
  #waiting: PromiseWithResolvers<End>[] = [];
  #isDue = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #isStopped = false;
  #failures = 0;
  #lastFailure: WriteFailure | undefined;
  #writingSinceMs: number | undefined;
  #pacedFromMs = Number.NEGATIVE_INFINITY;
  #lastOctets = 0;

  constructor(options: WriterOptions<End>, parts: WriterParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Begins a write as soon as the write in progress has ended, and waits for nothing. */
  start(): void {
    this.#isDue = true;
    this.#running ??= inBackground('state', () => this.#writeAll());
  }

  /** Resolves once no write is in progress. */
  async ended(): Promise<void> {
    await this.#running;
  }

  /** Resolves to the end of a write that begins after this call. */
  now(): Promise<End> {
    const mine = Promise.withResolvers<End>();
    this.#waiting.push(mine);
    this.start();
    return mine.promise;
  }

  /** Writes at this moment (monotonic ms), unless a write is due earlier; the next write of any kind takes its place. */
  at(atMs: number): void {
    if (this.#isStopped || atMs >= this.#dueAtMs) return;
    this.#cancelPlan();
    this.#dueAtMs = atMs;
    const delayMs = Math.max(0, atMs - this.#parts.clock.monotonicMs());
    this.#timer = this.#parts.timers.after(delayMs, () => this.start());
  }

  get isWriting(): boolean {
    return this.#running !== undefined;
  }

  /** Notes the octets of a write that begins or has ended, also of a write that fails: the pace counts from here. */
  took(octets: number): void {
    this.#pacedFromMs = this.#parts.clock.monotonicMs();
    this.#lastOctets = octets;
  }

  /** The moment (monotonic ms) from which the pace allows the next write; `urgent` where a delay would lose more than usual. */
  earliestMs(urgent = false): number {
    const { paceMs = 0 } = this.#options;
    return this.#pacedFromMs + Math.max(paceMs, this.#affordableMs(urgent ? URGENT_FRACTION : 1));
  }

  /** Plans nothing from now on, and waits for `last` or for the write in progress, but no longer than `patienceMs`. */
  async stop(patienceMs: number, last: () => Promise<unknown> | undefined = () => undefined): Promise<void> {
    this.#isStopped = true;
    const isOver = last() ?? this.#running;
    this.#cancelPlan();
    await endsWithin(this.#parts.timers, isOver, patienceMs);
  }

  state(): WriterState {
    return {
      failures: this.#failures,
      lastFailure: this.#lastFailure,
      writingSinceMs: this.#writingSinceMs,
    };
  }

  async #writeAll(): Promise<void> {
    while (this.#isDue) {
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#isDue = false;
      this.#cancelPlan();
      this.#writingSinceMs = this.#parts.clock.monotonicMs();
      try {
        const end = await this.#options.write();
        this.#ended(end);
        for (const { resolve } of waiting) resolve(end);
      } catch (defect) {
        const detail = defect instanceof Error ? defect.message : String(defect);
        this.#ended({ kind: 'failed', code: 'INTERNAL', detail });
        for (const { reject } of waiting) reject(defect);
      }
    }
    this.#running = undefined; // in the same turn as the last check of isDue, so that no call is lost in between
  }

  #ended(end: WriteEnd): void {
    const { clock, log } = this.#parts;
    const { failing, recovered } = this.#options.messages;
    this.#writingSinceMs = undefined;
    if (end.kind === 'unchanged') return;
    if (end.kind !== 'failed') {
      if (this.#lastFailure !== undefined) recovered(log);
      this.#lastFailure = undefined;
      return;
    }
    const { code, detail } = end;
    this.#failures++;
    // a disk that has just failed is not asked again at once, except for a caller that waits
    if (this.#waiting.length === 0) this.#isDue = false;
    if (this.#lastFailure?.code !== code) failing(log, { code, detail });
    this.#lastFailure = { code, detail, atMs: clock.wallMs() };
    const { retryMs = RETRY_MS } = this.#options;
    this.at(Math.max(clock.monotonicMs() + retryMs, this.#pacedFromMs + this.#affordableMs(1)));
  }

  /** Returns the time between two writes of the last size that the daily limit allows. */
  #affordableMs(fraction: number): number {
    return Math.min((this.#lastOctets / DAILY_OCTETS) * DAY_MS * fraction, MOST_MS);
  }

  #cancelPlan(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#dueAtMs = Number.POSITIVE_INFINITY;
  }
}
