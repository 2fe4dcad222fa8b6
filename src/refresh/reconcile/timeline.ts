/**
 * One line of time for everything that a running refresher knows, so that no age ever jumps with the wall clock.
 *
 * Records on disk and in the serving table carry wall times, because they outlive the process. Inside, every time is
 * on the monotonic clock. A time that was loaded goes back out exactly as it came in: on a host whose clock is wrong
 * since boot, the file's times are the better ones. A time of this process goes out by the wall clock of that moment.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { EndpointRecord, SeenBy } from '../../store/endpoint-record.ts';

/** Both clocks, read at one moment. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
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

/** Wall times, as loaded at the moment `loaded`, to monotonic ones: negative for what was before this process. */
export function toProcessTime(record: EndpointRecord, loaded: Moment): EndpointRecord {
  const converted = mapTimes(record, (ms) => ms - loaded.wallMs + loaded.monotonicMs);
  const { held } = converted;
  if (held === undefined || held.sinceMs <= loaded.monotonicMs) return converted;
  // held "since" the future by a clock that has been set back: it must not stay held until then
  return { ...converted, held: { ...held, sinceMs: loaded.monotonicMs } };
}

/** Monotonic times to wall ones, for the file and the table. */
export function toWallTime(record: EndpointRecord, loaded: Moment, now: Moment): EndpointRecord {
  return mapTimes(record, (ms) => {
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
  const { details, held, changedAtMs } = record;
  const seen = (by: SeenBy) => ({
    firstSeenMs: convert(by.firstSeenMs),
    lastSeenMs: convert(by.lastSeenMs),
  });
  return {
    ...record,
    addresses: record.addresses.map((served) => ({
      ...served,
      provenance: mapValues(served.provenance, seen),
    })),
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
