/** Timers as an argument, so that everything that waits can be tested in virtual time. */
import { guarded } from './background.ts';

export interface Timers {
  /** Runs `run` once after `delayMs`; dispose to cancel. Never keeps the process alive. */
  after(delayMs: number, run: () => void): Disposable;
}

/** The most that setTimeout takes: beyond it would run at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(() => guarded('timer', run), Math.min(Math.max(0, delayMs), MAX_DELAY_MS));
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

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
