/** Runs many deadlines under one timer: the timer waits for the nearest deadline, and then calls every deadline that is due. */
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';

export interface Deadline {
  /** Monotonic. May be changed while waiting, followed by `add` when it moved closer. */
  dueAtMs: number;
  /** Only the sweep writes it: the place among its deadlines, below 0 when it has left. A deadline is in one sweep only. */
  place?: number;
  /** Called once; the entry has left the sweep by then and may be added again. */
  onDue(nowMs: number): void;
}

/** Time between two sweeps at least; attempt timeouts start at 200 ms, so that they are late by a twentieth at most. */
const GRANULARITY_MS = 10;
/** The runtime's timer counts whole milliseconds and may be early by less than that. */
const EARLY_MS = 1;
/**
 * Deadlines that one turn of the loop calls: each may send a datagram or answer a client, in some 30 microseconds. Thousands
 * are due together when an upstream falls silent under load.
 */
const DUE_PER_TURN = 64;

export class DeadlineSweep {
  readonly #clock: Clock;
  readonly #timers: Timers;
  /** In no order: a set would be rebuilt every few hundred questions. */
  readonly #waiting: Deadline[] = [];
  #timer: Disposable | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(deadline: Deadline): void {
    if (!isWaiting(deadline)) deadline.place = this.#waiting.push(deadline) - 1;
    // with timeouts of similar length a timer that was set for an older entry is nearly always close enough
    if (deadline.dueAtMs < this.#timerAtMs - GRANULARITY_MS) this.#arm(deadline.dueAtMs);
  }

  delete(deadline: Deadline): void {
    const { place } = deadline;
    if (!isWaiting(deadline) || place === undefined) return;
    deadline.place = -1;
    const last = this.#waiting.pop();
    if (last === undefined || last === deadline) return;
    this.#waiting[place] = last;
    last.place = place;
  }

  /** Forgets all deadlines without calling them. */
  close(): void {
    for (const deadline of this.#waiting.splice(0)) deadline.place = -1;
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
    const due = this.#waiting.filter(({ dueAtMs }) => dueAtMs <= nowMs + EARLY_MS);
    due.sort((a, b) => a.dueAtMs - b.dueAtMs);
    let called = 0;
    for (const deadline of due) {
      // a deadline called before may have deleted this one
      if (!isWaiting(deadline)) continue;
      if (called === DUE_PER_TURN) {
        this.#disarm();
        this.#timerAtMs = nowMs;
        this.#timer = this.#timers.after(0, () => this.#sweep());
        return;
      }
      called++;
      this.delete(deadline);
      deadline.onDue(nowMs);
    }
    let nearestMs = Number.POSITIVE_INFINITY;
    for (const deadline of this.#waiting) nearestMs = Math.min(nearestMs, deadline.dueAtMs);
    if (nearestMs < this.#timerAtMs) this.#arm(nearestMs);
  }
}

function isWaiting({ place }: Deadline): boolean {
  return place !== undefined && place >= 0;
}
