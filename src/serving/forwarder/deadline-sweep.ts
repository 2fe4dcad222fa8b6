/** Many deadlines under one timer: what waits is swept when the nearest one falls due, not timed one by one. */
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';

export interface Deadline {
  /** Monotonic. May be changed while waiting, followed by `add` when it moved closer. */
  dueAtMs: number;
  /** Called once; the entry has left the sweep by then and may be added again. */
  onDue(nowMs: number): void;
}

/** Sweeps are at least so far apart; attempt timeouts start at 200 ms, so this costs a twentieth at most. */
const GRANULARITY_MS = 10;
/** The timer of the runtime counts whole milliseconds and may be early by a part of one. */
const EARLY_MS = 1;

export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #waiting = new Set<Deadline>();
  #timer: Disposable | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(deadline: Deadline): void {
    this.#waiting.add(deadline);
    // with timeouts of similar length a timer that was set for an older entry is nearly always close enough
    if (deadline.dueAtMs < this.#timerAtMs - GRANULARITY_MS) this.#arm(deadline.dueAtMs);
  }

  delete(deadline: Deadline): void {
    this.#waiting.delete(deadline);
  }

  /** Forgets everything without calling anybody. */
  close(): void {
    this.#waiting.clear();
    this.#disarm();
  }

  #arm(dueAtMs: number): void {
    this.#disarm();
    const delayMs = Math.max(dueAtMs - this.#clock.monotonicMs(), GRANULARITY_MS);
    this.#timerAtMs = this.#clock.monotonicMs() + delayMs;
    this.#timer = this.#timers.after(delayMs, () => this.#sweep());
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #sweep(): void {
    this.#disarm();
    const nowMs = this.#clock.monotonicMs();
    const due: Deadline[] = [];
    for (const deadline of this.#waiting) if (deadline.dueAtMs <= nowMs + EARLY_MS) due.push(deadline);
    for (const deadline of due) {
      // an earlier one of this sweep may have ended a later one
      if (this.#waiting.delete(deadline)) deadline.onDue(nowMs);
    }
    let nearestMs = Number.POSITIVE_INFINITY;
    for (const deadline of this.#waiting) nearestMs = Math.min(nearestMs, deadline.dueAtMs);
    if (nearestMs < this.#timerAtMs) this.#arm(nearestMs);
  }
}
