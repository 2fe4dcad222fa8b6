/**
 * Measures how long the host was suspended, by clocks of the kernel that differ in whether they go on in a suspend. clock.ts
 * asks it once a second. It refuses to know what follows from a suspend.
 */
import { uptime } from 'node:os';

/** Clocks that are compared to find suspends, in ms. */
export interface SuspendClocks {
  /** Stands still in a suspend: CLOCK_MONOTONIC. */
  monotonicMs(): number;
  /** Time since the boot, suspends included. */
  bootMs(): number;
  /** Present where `bootMs` may not come from the kernel's clocks: then a suspend must move the wall clock too. */
  wallMs?(): number;
}

/** Longer than the time between two readings of clocks, and much shorter than any TTL. */
const COARSE_MS = 500;

/**
 * Measures how long the host has been suspended: CLOCK_MONOTONIC stands still in a suspend and CLOCK_BOOTTIME does not, so
 * their difference grows by the suspend. A virtual machine that is paused from outside shows in neither clock.
 *
 * Without C the boot time comes from /proc/uptime. A container may have a file of its own there (lxcfs), which jumps when
 * the container is moved or lxcfs restarts. Therefore a jump counts only if the wall clock has moved by half of it at least.
 * Half, because a time server may set the wall clock back at the resume. The wall clock alone is no evidence, because it is
 * set forward by years where it was wrong.
 */
export class SuspendMeter {
  readonly #clocks: SuspendClocks;
  #bootAheadMs = 0;
  #wallAheadMs = 0;

  constructor(clocks: SuspendClocks) {
    this.#clocks = clocks;
    const { monotonicMs, bootMs, wallMs = 0 } = this.#read();
    this.#bootAheadMs = bootMs - monotonicMs;
    this.#wallAheadMs = wallMs - monotonicMs;
  }

  /** Returns how long the host was suspended since the last call; 0 for less than the clocks can show. */
  measure(): number {
    const { monotonicMs, bootMs, wallMs, isTorn } = this.#read();
    if (isTorn) return 0;
    const suspendedMs = bootMs - monotonicMs - this.#bootAheadMs;
    const wallMovedMs = wallMs === undefined ? suspendedMs : wallMs - monotonicMs - this.#wallAheadMs;
    if (wallMs !== undefined) this.#wallAheadMs = wallMs - monotonicMs;
    if (Math.abs(suspendedMs) < COARSE_MS) return 0;
    this.#bootAheadMs += suspendedMs;
    // negative: the container has moved to a host that booted later
    return suspendedMs > 0 && wallMovedMs >= suspendedMs / 2 ? suspendedMs : 0;
  }

  /** `isTorn`: the process stood still, or the host slept, between two of the readings. */
  #read() {
    const clocks = this.#clocks;
    const [beforeMs, bootBeforeMs] = [clocks.monotonicMs(), clocks.bootMs()];
    const wallMs = clocks.wallMs?.();
    const [bootMs, monotonicMs] = [clocks.bootMs(), clocks.monotonicMs()];
    const isTorn = monotonicMs - beforeMs > COARSE_MS / 2 || bootMs - bootBeforeMs > COARSE_MS / 2;
    return { monotonicMs, bootMs, wallMs, isTorn };
  }
}

const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;

/** The clocks of this kernel, as far as they can be read here; only Linux has a clock that goes on in a suspend. */
export function suspendClocks(): SuspendClocks | undefined {
  if (process.platform !== 'linux') return undefined;
  return (
    kernelClocks() ?? {
      monotonicMs: () => performance.now(),
      bootMs: () => uptime() * 1000,
      wallMs: () => Date.now(),
    }
  );
}

/** Through clock_gettime(2), so that both readings have one source; `undefined` where C cannot be called. */
function kernelClocks(): SuspendClocks | undefined {
  if (!has64BitTime()) return undefined;
  try {
    const ffi = process.getBuiltinModule('node:ffi');
    const { functions } = ffi.dlopen(null, {
      clock_gettime: { arguments: ['int32', 'pointer'], return: 'int32' },
    });
    const timespec = new BigInt64Array(2); // seconds, nanoseconds
    const read = (clock: number) => () => {
      if (functions.clock_gettime(clock, timespec) !== 0) throw new Error(`clock ${clock} cannot be read`);
      return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
    };
    const clocks = { monotonicMs: read(CLOCK_MONOTONIC), bootMs: read(CLOCK_BOOTTIME) };
    clocks.bootMs();
    return clocks;
  } catch {
    return undefined;
  }
}

/** `struct timespec` is two words of 64 bits on these processors, with every libc. */
function has64BitTime(): boolean {
  return process.arch === 'x64' || process.arch === 'arm64';
}
