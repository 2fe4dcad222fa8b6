/** The two clocks of the machine, as one argument: a test passes its own. */
import { uptime } from 'node:os';

export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back, whatever is done to the wall clock, and goes on in a suspend. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump in either direction. */
  wallMs(): number;
}

/**
 * How long the host has been suspended. The clock that is cheap to read (CLOCK_MONOTONIC) stands still meanwhile, the one
 * that the kernel keeps since the boot (CLOCK_BOOTTIME) does not: their difference grows by the suspend. The wall clock is
 * no evidence, because it is set forward by years where it was wrong; and a machine that was paused from outside
 * shows in none of the kernel's clocks.
 */
export class SuspendMeter {
  readonly #monotonicMs: () => number;
  readonly #bootMs: () => number;
  #differenceMs: number;
  /** Of this process so far. */
  totalMs = 0;

  constructor(monotonicMs: () => number, bootMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#bootMs = bootMs;
    this.#differenceMs = bootMs() - monotonicMs();
  }

  /** Returns for how long the host was suspended since the last call; 0 for what is no longer than the clocks are coarse. */
  measure(): number {
    const beforeMs = this.#monotonicMs();
    const bootMs = this.#bootMs();
    // a process that stood still between two readings would take that for a suspend
    if (this.#monotonicMs() - beforeMs > COARSE_MS / 2) return 0;
    const passedMs = bootMs - beforeMs - this.#differenceMs;
    if (Math.abs(passedMs) < COARSE_MS) return 0;
    this.#differenceMs += passedMs;
    if (passedMs < 0) return 0; // a container that moved to another host: its boot was another one
    this.totalMs += passedMs;
    return passedMs;
  }
}

/** Longer than two readings of clocks lie apart, and nothing beside the shortest TTL. */
const COARSE_MS = 500;

const meter = new SuspendMeter(
  () => performance.now(),
  // elsewhere the time since the boot is computed from the wall clock
  process.platform === 'linux' ? () => uptime() * 1000 : () => performance.now(),
);

export const systemClock: Clock = {
  monotonicMs: () => performance.now() + meter.totalMs,
  wallMs: () => Date.now(),
};

const MEASURE_EVERY_MS = 1000;

/** Has `onResume` called soon after each suspend, with its length; `systemClock` has moved on by then. */
export function watchSuspends(onResume: (suspendedMs: number) => void): Disposable {
  const timer = setInterval(() => {
    const suspendedMs = meter.measure();
    if (suspendedMs > 0) onResume(suspendedMs);
  }, MEASURE_EVERY_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
