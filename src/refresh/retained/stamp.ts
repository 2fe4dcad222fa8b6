/** A moment that outlives the process: monotonic inside it, wall time on the disk. */
import type { Clock } from '../../runtime/clock.ts';

export interface Stamp {
  /** Negative for what was before this process. */
  readonly monotonicMs: number;
  /** As the file had it, to go back there unchanged: on a host whose clock is wrong since boot, the file's is the better one. */
  readonly wallMs?: number;
}

export function stampNow(clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() };
}

/** Never in the future, whatever the clocks say. */
export function stampFrom(wallMs: number, clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() - Math.max(0, clock.wallMs() - wallMs), wallMs };
}

const LATEST_WALL_MS = Date.UTC(9999, 11, 31); // what the state file can write: four digits of year

export function wallTime(stamp: Stamp, clock: Clock): number {
  const wallMs = stamp.wallMs ?? clock.wallMs() - agoMs(stamp, clock);
  return Math.min(Math.max(0, Math.round(wallMs)), LATEST_WALL_MS);
}

export function agoMs({ monotonicMs }: Stamp, clock: Clock): number {
  return Math.max(0, Math.round(clock.monotonicMs() - monotonicMs));
}
