/**
 * Saves, then publishes. A full or hanging disk delays a right answer by a moment, and never prevents it. At the end: what is saved
 * and what is published of a cluster, and how the times of a record are converted. It refuses to know where a record comes from.
 */
import type { AddressProof, EndpointRecord, KnownAddress, Pin, SeenBy } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import { type Clock, endsWithin, type Timers, writable } from '../runtime/clock.ts';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import type { AddressChecks } from './address-checks.ts';
import type { ClusterRefresher } from './cluster-refresher.ts';
import { asAnswered } from './reconcile/prove.ts';

export interface RecordSets {
  /** All records that must survive, those of clusters that are not configured now included. */
  readonly toSave: readonly EndpointRecord[];
  readonly toPublish: readonly EndpointRecord[];
}

export interface RecordKeeperOptions {
  /** Composes the newest records, one cluster a step. */
  readonly compose: () => Steps<RecordSets>;
  /** Resolves when the records are on disk or could not be saved; the store logs a failure and tries again. */
  readonly save: (records: readonly EndpointRecord[]) => Promise<unknown>;
  readonly publish: (records: readonly EndpointRecord[]) => unknown;
  readonly timers: Timers;
  /** Between slices of long work; without it the work ends in one turn. */
  readonly pause?: Pause | undefined;
}

/** Records composed in one turn of the event loop: each takes some 20 microseconds. */
const RECORDS_PER_TURN = 20;
/** Longer than a healthy disk takes to sync, shorter than a client waits for an answer. */
const SAVE_WAIT_MS = 2_000;

export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  #publishing: Promise<void> | undefined;
  #isPublishWanted = false;
  /** The wanted publication has content that must be saved first. */
  #isSaveFirst = false;
  #isStopped = false;

  constructor(options: RecordKeeperOptions) {
    this.#options = options;
  }

  /** Saves and publishes the newest records; calls in quick succession become one. */
  saveAndPublish(): void {
    if (this.#isStopped) return;
    this.#isSaveFirst = true;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
  }

  /** Publishes without waiting for the disk: what has changed is saved already, or can be learned again. Resolves when it is published. */
  async publishSoon(): Promise<void> {
    if (this.#isStopped) return;
    this.#isPublishWanted = true;
    this.#publishing ??= this.#publishAll();
    await this.#publishing;
  }

  /** Saves once more, waits a moment for that, and does nothing afterwards. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#saveFirst();
  }

  async #publishAll(): Promise<void> {
    while (this.#isPublishWanted && !this.#isStopped) {
      this.#isPublishWanted = false;
      let isSaved = false;
      if (this.#isSaveFirst) {
        this.#isSaveFirst = false;
        const isOver = await this.#saveFirst();
        if (this.#isStopped) break;
        // a change during the save is saved before both are published
        if (this.#isPublishWanted && isOver) {
          this.#isSaveFirst = true;
          continue;
        }
        // the disk hangs: an answer is worth more than its copy on the disk
        isSaved = !this.#isPublishWanted;
        this.#isPublishWanted = false;
        this.#isSaveFirst = false;
      }
      // a defect in one publication must not prevent the next
      await inBackground('state', () => this.#publish(isSaved));
    }
    this.#publishing = undefined;
  }

  /** Publishes the newest records. Starts a save at the same time, unless the caller has already started the save. */
  async #publish(isSaved: boolean): Promise<void> {
    const { toSave, toPublish } = await this.#compose();
    const published = this.#options.publish(toPublish);
    if (!isSaved) inBackground('state', () => this.#options.save(toSave));
    await published;
  }

  /** Resolves to whether the save has ended, with or without success, in the time that a publication waits for it. */
  async #saveFirst(): Promise<boolean> {
    const { save, timers } = this.#options;
    const saved = inBackground('state', async () => save((await this.#compose()).toSave));
    return endsWithin(timers, saved, SAVE_WAIT_MS);
  }

  #compose(): Promise<RecordSets> {
    return inSlices(this.#options.compose(), this.#options.pause, RECORDS_PER_TURN);
  }
}

// The records of the clusters as they are saved and published: in wall time, and with the addresses as they are answered.

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

/** A cluster as the plane holds it. */
export interface Member {
  readonly refresher: ClusterRefresher;
  /** When its record came into this process; times from before stay as the file had them. */
  readonly loaded: Loaded;
  checks: AddressChecks | undefined;
  /** The record in wall time. */
  inWallTime?: { readonly of: EndpointRecord; readonly offsetMs: number; readonly record: EndpointRecord };
  /** The record in wall time, with the addresses as they are answered. */
  published?: {
    readonly of: EndpointRecord;
    readonly standings: AddressChecks['standings'];
    readonly record: EndpointRecord;
  };
}

/** The records of all clusters, one cluster a step. `parked`: records of clusters that are not configured now. */
export function* composing(
  members: readonly Member[],
  parked: readonly EndpointRecord[],
  now: Moment,
): Steps<RecordSets> {
  const toSave: EndpointRecord[] = [];
  const toPublish: EndpointRecord[] = [];
  for (const member of members) {
    toSave.push(inWallTime(member, now));
    toPublish.push(published(member, now));
    yield;
  }
  return { toSave: [...toSave, ...parked], toPublish };
}

export function inWallTime(member: Member, now: Moment): EndpointRecord {
  const { record } = member.refresher;
  const offsetMs = offsetOf(now);
  const before = record.pin === undefined ? member.inWallTime : undefined;
  if (before?.of === record && isSameOffset(before.offsetMs, offsetMs)) return before.record;
  const composed = toWallTime(record, member.loaded, now);
  member.inWallTime = { of: record, offsetMs, record: composed };
  return composed;
}

function published(member: Member, now: Moment): EndpointRecord {
  const record = inWallTime(member, now);
  const { checks, published: before } = member;
  if (checks === undefined) return record;
  const { standings } = checks;
  if (before?.of === record && before.standings === standings) return before.record;
  member.published = { of: record, standings, record: asAnswered(record, standings) };
  return member.published.record;
}

export function offsetOf({ wallMs, monotonicMs }: Moment): number {
  return wallMs - monotonicMs;
}

/** The difference of the two clocks varies in its last bits. */
export function isSameOffset(one: number, other: number): boolean {
  return Math.abs(one - other) <= 1;
}

// The times of a record, so that no age ever jumps with the wall clock. Pure, except for the two clocks in the arguments.
//
// Records on disk and in the serving table have wall times, because they outlive the process. Inside the process every time
// is on the monotonic clock. A time from the file goes back to the file unchanged. On a host whose clock is wrong since
// boot, the times of the file are better. For a time of this process, the file gets the wall time of that moment.

/** A smaller difference is a slewed wall clock, not a set one: to follow it would rewrite every time of every record. */
const JUMP_MS = 1_000;
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
