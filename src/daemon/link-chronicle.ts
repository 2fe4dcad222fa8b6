/** Brings the changes of the link that are worth keeping into the ledger, each with the time at which it happened. */
import {
  afterTransition,
  afterWait,
  dueAtMs,
  type LastingChange,
  type Outcome,
  type Series,
} from '../link/lasting-changes.ts';
import type { LinkTransition } from '../link/link-monitor.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Timers } from '../runtime/timers.ts';

export type LinkPlace = Pick<LinkTransition, 'side' | 'key'>;

export interface LinkChronicleOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly record: (place: LinkPlace, change: LastingChange, agoMs: number) => void;
}

interface Chapter {
  readonly series: Series;
  readonly timer: Disposable | undefined;
}

export class LinkChronicle implements Disposable {
  readonly #options: LinkChronicleOptions;
  readonly #chapters = new Map<string, Chapter>();
  #isClosed = false;

  constructor(options: LinkChronicleOptions) {
    this.#options = options;
  }

  note(transition: LinkTransition): void {
    if (this.#isClosed) return; // nothing comes behind the line that says we stopped
    const { side, key } = transition;
    const before = this.#chapters.get(`${side} ${key}`);
    before?.timer?.[Symbol.dispose]();
    const nowMs = this.#options.clock.monotonicMs();
    this.#settle({ side, key }, afterTransition(before?.series, transition, nowMs));
  }

  /** What has not lasted yet goes unsaid: the start after this says how the link is. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const { timer } of this.#chapters.values()) timer?.[Symbol.dispose]();
  }

  #settle(place: LinkPlace, { series, change }: Outcome): void {
    const { clock, timers, record } = this.#options;
    const nowMs = clock.monotonicMs();
    const dueMs = dueAtMs(series);
    const timer =
      dueMs === undefined
        ? undefined
        : timers.after(dueMs - nowMs, () => this.#settle(place, afterWait(series, clock.monotonicMs())));
    this.#chapters.set(`${place.side} ${place.key}`, { series, timer });
    if (change !== undefined) record(place, change, nowMs - change.atMs);
  }
}
