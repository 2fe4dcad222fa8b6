/**
 * Converts the times of records, so that no age ever jumps with the wall clock. Pure, except for the two clocks in its arguments.
 *
 * Records on disk and in the serving table have wall times, because they outlive the process. Inside the process every time
 * is on the monotonic clock. A time from the file goes back to the file unchanged. On a host whose clock is wrong since
 * boot, the times of the file are better. For a time of this process, the file gets the wall time of that moment.
 * At the end: when to poll again.
 */
import type {
  AddressProof,
  EndpointRecord,
  KnownAddress,
  Pin,
  SeenBy,
} from '../../records/endpoint-record.ts';
import type { FailureReason } from '../../records/observation.ts';
import type { Clock } from '../../runtime/clock.ts';

/** Both clocks, read at one moment. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** The moment at which a record came into this process. */
export interface Loaded extends Moment {
  /** Times of the file that were in the future when it was read, by the process times that replace them. */
  readonly ahead: ReadonlyMap<number, number>;
}

/** A smaller difference is a slewed wall clock, not a set one: to follow it would rewrite every time of every record. */
const JUMP_MS = 1_000;
/** The state file has four digits for a year. */
const LATEST_WALL_MS = Date.UTC(9999, 11, 31);
/** Keeps replaced times apart, and is too small to show in an age. */
const TICK_MS = 2 ** -14;

/** Both clocks now, with the offset of `reference` until the wall clock jumps. */
export function momentOf(clock: Clock, reference?: Moment): Moment {
  const monotonicMs = clock.monotonicMs();
  const wallMs = clock.wallMs();
  if (reference === undefined) return { monotonicMs, wallMs };
  const steadyWallMs = monotonicMs - reference.monotonicMs + reference.wallMs;
  return { monotonicMs, wallMs: Math.abs(wallMs - steadyWallMs) < JUMP_MS ? steadyWallMs : wallMs };
}

/**
 * A file has times in the future where the clock was fast when the file was written, or is slow now. The age of the file is
 * unknown, but it must grow from now on. So the future times become the last moments before this one, in their order.
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

/** Converts wall times to monotonic times; a time before this process is negative. */
export function toProcessTime(record: EndpointRecord, loaded: Loaded): EndpointRecord {
  const replaced = new Map([...loaded.ahead].map(([processMs, ms]) => [ms, processMs]));
  const converted = mapTimes(record, (ms) => replaced.get(ms) ?? ms - loaded.wallMs + loaded.monotonicMs);
  return withPinEnd(converted, ({ leftMs: _, ...pin }) => ({
    ...pin,
    untilMs: loaded.monotonicMs + leftOf(record.pin ?? pin, loaded.wallMs),
  }));
}

/** From monotonic times to wall times, for the file and the table. */
export function toWallTime(record: EndpointRecord, loaded: Loaded, now: Moment): EndpointRecord {
  const converted = mapTimes(record, (ms) => {
    const stored = loaded.ahead.get(ms);
    if (stored !== undefined) return stored;
    const isOfThisProcess = ms >= loaded.monotonicMs && ms <= now.monotonicMs;
    const reference = isOfThisProcess ? now : loaded;
    return writable(ms - reference.monotonicMs + reference.wallMs);
  });
  return withPinEnd(converted, (pin) => {
    const leftMs = Math.max(0, Math.round(pin.untilMs - now.monotonicMs));
    return { ...pin, untilMs: writable(now.wallMs + leftMs), leftMs };
  });
}

/** A longer time off is not believed: a wrong clock is then more probable than a host that was off for so long. */
const CREDIBLE_MS = 30 * 86_400_000;

/**
 * How much of a pin is left. The wall clock tells how long the file lay. Where that time is not credible, a clock was set:
 * the pin then has the time that it had left when the file was written. So no clock makes a pin longer, or ends it by a jump
 * of years.
 */
function leftOf({ untilMs, leftMs = 0 }: Pin, nowWallMs: number): number {
  const passedMs = nowWallMs - (untilMs - leftMs);
  return passedMs >= 0 && passedMs <= CREDIBLE_MS ? leftMs - passedMs : leftMs;
}

/** The end of a pin is the only time that may be in the future, so that it is converted apart from all others. */
function withPinEnd(record: EndpointRecord, convert: (pin: Pin) => Pin): EndpointRecord {
  return record.pin === undefined ? record : { ...record, pin: convert(record.pin) };
}

/** Returns the age of a time; never negative, even if a file contains a time in the future. */
export function ageMs(ms: number, nowMs: number): number {
  return Math.max(0, Math.round(nowMs - ms));
}

function writable(wallMs: number): number {
  return Math.min(Math.max(0, Math.round(wallMs)), LATEST_WALL_MS);
}

function mapTimes(record: EndpointRecord, convert: (ms: number) => number): EndpointRecord {
  const { details, held, changedAtMs, unpinned, leaving, pin } = record;
  const seen = (by: SeenBy) => ({
    ...by,
    firstSeenMs: convert(by.firstSeenMs),
    lastSeenMs: convert(by.lastSeenMs),
  });
  const proven = ({ provenAtMs, ...proof }: AddressProof) => ({
    ...proof,
    sinceMs: convert(proof.sinceMs),
    ...(provenAtMs === undefined ? {} : { provenAtMs: convert(provenAtMs) }),
  });
  const seenAll = (addresses: readonly KnownAddress[]) =>
    addresses.map((served) => ({
      ...served,
      provenance: mapValues(served.provenance, seen),
      ...(served.lackedSinceMs === undefined ? {} : { lackedSinceMs: convert(served.lackedSinceMs) }),
      ...(served.proof === undefined ? {} : { proof: proven(served.proof) }),
    }));
  return {
    ...record,
    addresses: seenAll(record.addresses),
    ...(leaving === undefined ? {} : { leaving: seenAll(leaving) }),
    ...(unpinned === undefined ? {} : { unpinned: seenAll(unpinned) }),
    confirmedAtMs: mapValues(record.confirmedAtMs, convert),
    ...(pin === undefined ? {} : { pin: { ...pin, sinceMs: convert(pin.sinceMs) } }),
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

/** The time of one event that outlives the process: monotonic inside it, wall time on the disk. */
export interface Stamp {
  /** Negative for a time before this process. */
  readonly monotonicMs: number;
  /** The time of the file, to write it back unchanged. */
  readonly wallMs?: number;
}

export function stampNow(clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() };
}

/** Makes a stamp from a wall time; the stamp is never in the future, even if the clocks disagree. */
export function stampFrom(wallMs: number, clock: Clock): Stamp {
  return { monotonicMs: clock.monotonicMs() - Math.max(0, clock.wallMs() - wallMs), wallMs };
}

export function wallTime(stamp: Stamp, clock: Clock): number {
  return writable(stamp.wallMs ?? clock.wallMs() - agoMs(stamp, clock));
}

export function agoMs({ monotonicMs }: Stamp, clock: Clock): number {
  return ageMs(monotonicMs, clock.monotonicMs());
}

// When to poll again: after an interval, or, after failures, after a backoff short enough for a returning link. Pure.

export interface ScheduleSettings {
  readonly intervalMs: number;
  readonly jitterPercent: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/** How the polls of one source went. */
export interface Progress {
  /** The number of failures since the last success or kick. */
  readonly consecutiveFailures: number;
  readonly lastFailure?: FailureReason | undefined;
  /** Polls that outlived their deadline and have not settled since. */
  readonly unsettled: number;
}

/** More doublings than any bound allows, and far fewer than those at which powers of two lose precision. */
const MAX_DOUBLINGS = 30;
const UNSETTLED_TOLERATED = 2;
const UNSETTLED_MAX_MS = 300_000;
/** A person must fix the cause, so time does not help, and AWS records every attempt. */
const LASTING: ReadonlySet<FailureReason | undefined> = new Set(['denied', 'not-found']);

/**
 * @param fraction random, from 0 up to 1: hosts that lost the link together must not poll together
 * @returns ms to wait, never below 0
 */
export function nextDelayMs(progress: Progress, settings: ScheduleSettings, fraction: number): number {
  const spread = 1 + (settings.jitterPercent / 100) * (2 * fraction - 1);
  return Math.max(0, Math.round(baseDelayMs(progress, settings) * spread));
}

function baseDelayMs(progress: Progress, settings: ScheduleSettings): number {
  const { consecutiveFailures: failures, lastFailure, unsettled } = progress;
  const { intervalMs, retryMinMs, retryMaxMs } = settings;
  if (failures === 0) return intervalMs;
  const ceilingMs = LASTING.has(lastFailure) ? Math.max(retryMaxMs, intervalMs) : retryMaxMs;
  const backoffMs = Math.min(ceilingMs, retryMinMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  if (unsettled <= UNSETTLED_TOLERATED) return backoffMs;
  // a poll that never settles keeps a process or a socket (a hanging credential_process), so there must be few
  const slowedMs = backoffMs * 2 ** Math.min(unsettled - UNSETTLED_TOLERATED, MAX_DOUBLINGS);
  return Math.max(backoffMs, Math.min(slowedMs, UNSETTLED_MAX_MS));
}
