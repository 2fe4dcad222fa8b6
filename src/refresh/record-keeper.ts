/**
 * Saves, then publishes. A full or hanging disk delays a right answer by a moment, and never prevents it. At the end: what is saved
 * and what is published of a cluster.
 */
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { inBackground } from '../runtime/background.ts';
import { endsWithin, type Timers } from '../runtime/clock.ts';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import type { AddressChecks } from './address-checks.ts';
import type { ClusterRefresher } from './cluster-refresher.ts';
import { asAnswered } from './reconcile/prove.ts';
import { type Loaded, type Moment, toWallTime } from './reconcile/timeline.ts';

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
