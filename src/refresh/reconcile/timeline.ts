/**
 * One line of time for everything that a running refresher knows, so that no age ever jumps with the wall clock.
 *
 * Records on disk and in the serving table carry wall times, because they outlive the process. Inside, every time is
 * on the monotonic clock. A time that was loaded goes back out exactly as it came in: on a host whose clock is wrong
 * since boot, the file's times are the better ones. A time of this process goes out by the wall clock of that moment.
 */

import type { EndpointRecord, SeenBy, ServedAddress } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';

/** Both clocks, read at one moment. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** The moment at which a record came into this process. */
export interface Loaded extends Moment {
  /** What the file said, for the process times that stand for times which the wall clock had yet to reach. */
  readonly ahead: ReadonlyMap<number, number>;
}

/** A wall clock that is off by less is being slewed, not set: following it would rewrite every time of every record. */
const JUMP_MS = 1_000;

const LATEST_WALL_MS = Date.UTC(9999, 11, 31); // what the state file can write: four digits of year

/** The two clocks now, with the offset of `reference` for as long as the wall clock has not jumped since. */
export function momentOf(clock: Clock, reference?: Moment): Moment {
  const monotonicMs = clock.monotonicMs();
  const wallMs = clock.wallMs();
  if (reference === undefined) return { monotonicMs, wallMs };
  const steadyWallMs = monotonicMs - reference.monotonicMs + reference.wallMs;
  return { monotonicMs, wallMs: Math.abs(wallMs - steadyWallMs) < JUMP_MS ? steadyWallMs : wallMs };
}

const TICK_MS = 2 ** -14; // keeps times apart without showing in any age

/**
 * A file from the future was written while the clock was right, or wrong in the other direction: there is no telling how
 * old it is, but from now on it ages. So its future times become the last moments before this one, in their order.
 */
export function loadedAt(record: EndpointRecord, now: Moment): Loaded {
  const future = new Set<number>();
  mapTimes(record, (ms) => {
    if (ms > now.wallMs) future.add(ms);
    return ms;
  });
  const latestFirst = [...future].sort((one, other) => other - one);
  const ahead = new Map(latestFirst.map((ms, at) => [now.monotonicMs - (at + 1) * TICK_MS, ms]));
  return { ...now, ahead };
}

/** How far the file is ahead of the wall clock now; 0 when it is not. */
export function aheadMs({ ahead }: Loaded, now: Moment): number {
  const byMs = Math.max(0, ...ahead.values()) - now.wallMs;
  return byMs > JUMP_MS ? byMs : 0;
}

/** Wall times, as loaded at the moment `loaded`, to monotonic ones: negative for what was before this process. */
export function toProcessTime(record: EndpointRecord, loaded: Loaded): EndpointRecord {
  const standIns = new Map([...loaded.ahead].map(([standIn, ms]) => [ms, standIn]));
  return mapTimes(record, (ms) => standIns.get(ms) ?? ms - loaded.wallMs + loaded.monotonicMs);
}

/** Monotonic times to wall ones, for the file and the table. */
export function toWallTime(record: EndpointRecord, loaded: Loaded, now: Moment): EndpointRecord {
  return mapTimes(record, (ms) => {
    const stored = loaded.ahead.get(ms);
    if (stored !== undefined) return stored;
    const isOfThisProcess = ms >= loaded.monotonicMs && ms <= now.monotonicMs;
    const reference = isOfThisProcess ? now : loaded;
    const wallMs = Math.round(ms - reference.monotonicMs + reference.wallMs);
    return Math.min(Math.max(0, wallMs), LATEST_WALL_MS);
  });
}

/** Never negative, whatever a file said about the future. */
export function ageMs(ms: number, nowMs: number): number {
  return Math.max(0, Math.round(nowMs - ms));
}

function mapTimes(record: EndpointRecord, convert: (ms: number) => number): EndpointRecord {
  const { details, held, changedAtMs, unpinned } = record;
  const seen = (by: SeenBy) => ({
    ...by,
    firstSeenMs: convert(by.firstSeenMs),
    lastSeenMs: convert(by.lastSeenMs),
  });
  const seenAll = (addresses: readonly ServedAddress[]) =>
    addresses.map((served) => ({
      ...served,
      provenance: mapValues(served.provenance, seen),
      ...(served.lackedSinceMs === undefined ? {} : { lackedSinceMs: convert(served.lackedSinceMs) }),
    }));
  return {
    ...record,
    addresses: seenAll(record.addresses),
    ...(unpinned === undefined ? {} : { unpinned: seenAll(unpinned) }),
    confirmedAtMs: mapValues(record.confirmedAtMs, convert),
    ...(changedAtMs === undefined ? {} : { changedAtMs: convert(changedAtMs) }),
    ...(held === undefined ? {} : { held: { ...held, sinceMs: convert(held.sinceMs) } }),
    ...(details === undefined ? {} : { details: { ...details, learnedAtMs: convert(details.learnedAtMs) } }),
  };
}

function mapValues<K extends string, V, W>(
  of: Readonly<Partial<Record<K, V>>>,
  to: (value: V) => W,
): Partial<Record<K, W>> {
  const mapped: Partial<Record<K, W>> = {};
  for (const key in of) {
    const value = of[key];
    if (value !== undefined) mapped[key] = to(value);
  }
  return mapped;
}

/** A moment that outlives the process: monotonic inside it, wall time on the disk. */
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

export function wallTime(stamp: Stamp, clock: Clock): number {
  const wallMs = stamp.wallMs ?? clock.wallMs() - agoMs(stamp, clock);
  return Math.min(Math.max(0, Math.round(wallMs)), LATEST_WALL_MS);
}

export function agoMs({ monotonicMs }: Stamp, clock: Clock): number {
  return Math.max(0, Math.round(clock.monotonicMs() - monotonicMs));
}
