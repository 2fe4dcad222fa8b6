/**
 * Decides which departures and returns of refused addresses get a line in the ledger. An address that two hosts have at once can
 * go and come with every check, for days. Its lines must not push every other line out.
 *
 *     the first changes of an address        a line each, at once
 *     further changes, until a quiet hour    one line an hour, with the state at that moment and the number of changes before it
 */
import type { Clock } from '../runtime/clock.ts';
import type { Timers } from '../runtime/timers.ts';
import type { LedgerEvent } from '../store/ledger-format.ts';

export type WithheldEvent = Extract<LedgerEvent, { kind: 'withheld' }>;

/** A departure, a return, and the same again. */
const LINES_AT_ONCE = 4;
const HOUR_MS = 3_600_000;

interface Series {
  /** Lines since the last quiet hour. */
  readonly lines: number;
  readonly changedAtMs: number;
  /** The latest change, which has no line yet. */
  readonly waiting?: { readonly event: WithheldEvent; readonly atMs: number; readonly unwritten: number };
  readonly timer?: Disposable;
}

export interface WithheldChronicleOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly record: (event: WithheldEvent, agoMs: number) => void;
}

export class WithheldChronicle implements Disposable {
  readonly #options: WithheldChronicleOptions;
  readonly #series = new Map<string, Series>();
  #isClosed = false;

  constructor(options: WithheldChronicleOptions) {
    this.#options = options;
  }

  note(event: WithheldEvent): void {
    if (this.#isClosed) return; // no event comes after the line that says that the server stopped
    const nowMs = this.#options.clock.monotonicMs();
    const key = JSON.stringify([event.cluster, event.region, event.address]);
    const before = this.#series.get(key);
    const isQuiet = before === undefined || nowMs - before.changedAtMs >= HOUR_MS;
    const lines = isQuiet ? 0 : before.lines;
    if (before?.waiting === undefined && lines < LINES_AT_ONCE) {
      this.#series.set(key, { lines: lines + 1, changedAtMs: nowMs });
      this.#options.record(event, 0);
      this.#forgetQuiet(nowMs);
      return;
    }
    const unwritten = (before?.waiting?.unwritten ?? -1) + 1;
    const timer = before?.timer ?? this.#options.timers.after(HOUR_MS, () => this.#write(key));
    this.#series.set(key, { lines, changedAtMs: nowMs, waiting: { event, atMs: nowMs, unwritten }, timer });
  }

  /** A change without a line is not written: the next start records nothing of the checks before it. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { timer } of this.#series.values()) timer?.[Symbol.dispose]();
    this.#series.clear();
  }

  #write(key: string): void {
    const { waiting, lines = 0, changedAtMs = 0 } = this.#series.get(key) ?? {};
    if (waiting === undefined) return;
    this.#series.set(key, { lines, changedAtMs });
    const { event, atMs, unwritten } = waiting;
    const nowMs = this.#options.clock.monotonicMs();
    this.#options.record({ ...event, ...(unwritten === 0 ? {} : { unwritten }) }, nowMs - atMs);
  }

  /** Addresses that come and go for months leave nothing behind. */
  #forgetQuiet(nowMs: number): void {
    for (const [key, { changedAtMs, waiting }] of this.#series)
      if (waiting === undefined && nowMs - changedAtMs >= HOUR_MS) this.#series.delete(key);
  }
}
