import type { Clock, Timers } from '../../src/runtime/clock.ts';

interface Waiting {
  readonly atMs: number;
  readonly run: () => void;
}

/** A clock and its timers that move only when told to. */
export class VirtualTime implements Clock, Timers {
  #nowMs = 0;
  #wallOffsetMs: number;
  #settled = 0;
  #waiting = new Set<Waiting>();
  /**
   * Which work the test waits for between two timers: all work, real sockets and files included; or only promises that need
   * nothing of the outside, with which a month takes seconds.
   */
  settling: 'all' | 'promises' = 'all';

  constructor(wallStart = '2026-01-01T00:00:00Z') {
    this.#wallOffsetMs = Date.parse(wallStart);
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  /** Moves the wall clock alone, as an operator or a bad NTP server would. */
  setWall(text: string): void {
    this.#wallOffsetMs = Date.parse(text) - this.#nowMs;
  }

  after(delayMs: number, run: () => void): Disposable {
    const waiting = { atMs: this.#nowMs + Math.max(0, delayMs), run };
    this.#waiting.add(waiting);
    return { [Symbol.dispose]: () => this.#waiting.delete(waiting) };
  }

  /** Moves time on, running every timer that falls due at its own moment and letting promises settle between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.#settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#waiting.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await this.#settle();
    }
    this.#nowMs = untilMs;
    await this.#settle();
  }

  #next(untilMs: number): Waiting | undefined {
    let found: Waiting | undefined;
    for (const waiting of this.#waiting) {
      if (waiting.atMs > untilMs) continue;
      // waiting timers are in the order in which they were set
      if (found === undefined || waiting.atMs < found.atMs) found = waiting;
    }
    return found;
  }

  async #settle(): Promise<void> {
    if (this.settling === 'all') return settle();
    for (let turn = 0; turn < PROMISE_TURNS; turn++) await undefined;
    // what weak references point to is let go between tasks only
    if (++this.#settled % TASK_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  get pendingTimers(): number {
    return this.#waiting.size;
  }
}

/** More than any chain of promises of ours is long. */
const PROMISE_TURNS = 20;
const TASK_EVERY = 64;

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
