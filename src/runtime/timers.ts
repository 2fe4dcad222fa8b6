/** Offers timers as an argument, so that tests can run all waiting code in virtual time. */
import { inBackground } from './background.ts';
import { type Clock, systemClock } from './clock.ts';

export interface Timers {
  /** Runs `run` once after `delayMs`; dispose to cancel. Never keeps the process alive, and never ends it (background.ts). */
  after(delayMs: number, run: () => unknown): Disposable;
}

/** The longest delay of setTimeout: a longer one would run at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Node's timers stand still while the host is suspended; `catchUp` brings them in step with `clock`. */
export class SystemTimers implements Timers {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pending = new Set<SystemTimer>();

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  after(delayMs: number, run: () => unknown): Disposable {
    const timer = new SystemTimer(this.#pending, this.#clock.monotonicMs() + Math.max(0, delayMs), run);
    timer.arm(delayMs);
    return timer;
  }

  /** Runs at once the timers that have become due, in their order; the other timers run at their time. */
  catchUp(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const timer of [...this.#pending].toSorted((a, b) => a.dueMs - b.dueMs)) {
      if (timer.dueMs <= nowMs) timer.fire();
      else timer.arm(timer.dueMs - nowMs);
    }
  }
}

class SystemTimer implements Disposable {
  readonly dueMs: number;
  readonly #pending: Set<SystemTimer>;
  readonly #run: () => unknown;
  #timeout: NodeJS.Timeout | undefined;

  constructor(pending: Set<SystemTimer>, dueMs: number, run: () => unknown) {
    this.dueMs = dueMs;
    this.#pending = pending;
    this.#run = run;
    pending.add(this);
  }

  arm(delayMs: number): void {
    clearTimeout(this.#timeout);
    this.#timeout = setTimeout(() => this.fire(), Math.min(Math.max(0, delayMs), MAX_DELAY_MS));
    this.#timeout.unref();
  }

  /** Does nothing where an earlier timer of the same moment has disposed of this one. */
  fire(): void {
    if (!this.#pending.has(this)) return;
    this[Symbol.dispose]();
    inBackground('timer', this.#run);
  }

  [Symbol.dispose](): void {
    this.#pending.delete(this);
    clearTimeout(this.#timeout);
  }
}

export const systemTimers = new SystemTimers(systemClock);

/** Resolves after `delayMs`, or at once when `signal` is aborted; never rejects. */
export function sleep(timers: Timers, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = timers.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
    function done(): void {
      timer[Symbol.dispose]();
      signal?.removeEventListener('abort', done);
      resolve();
    }
  });
}
