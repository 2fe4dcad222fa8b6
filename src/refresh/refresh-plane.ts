/** All clusters: one refresher each, their records saved and published together, and nothing known ever lost over a reload. */
import type { Evidence } from '../link/link-state.ts';
import type { Log } from '../log/log.ts';
import { type ClusterIdentity, identityOf, pairUp } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { atOnce, inSlices, type Pause, type Steps, Turnstile } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import { type Connect, Liveness } from './address-checks.ts';
import { ClusterRefresher } from './cluster-refresher.ts';
import type { ClusterSnapshot } from './cluster-report.ts';
import type { ClusterSettings, RefreshTimes } from './cluster-settings.ts';
import { addressesOf, type Change } from './reconcile/changes.ts';
import { emptyRecord } from './reconcile/plan.ts';
import {
  aheadMs,
  type Loaded,
  loadedAt,
  type Moment,
  momentOf,
  toProcessTime,
  toWallTime,
} from './reconcile/timeline.ts';
import { type Kept, RecordKeeper, type RecordKeeperOptions } from './record-keeper.ts';

export interface RefreshPlaneOptions {
  readonly clusters: readonly ClusterSettings[];
  readonly times: RefreshTimes;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Between slices of work on many clusters; left out, it is done in one turn. */
  readonly pause?: Pause;
  /** Gets all records that shall survive, those of clusters that are not configured now included. */
  readonly save: RecordKeeperOptions['save'];
  /** Gets the records of all configured clusters, whole, every time that anything of them is different. */
  readonly publish: RecordKeeperOptions['publish'];
  readonly evidence: (evidence: Evidence) => void;
  /** For the ledger: the cluster as it now is, and what changed, not what was merely confirmed. */
  readonly onChanges?: (snapshot: ClusterSnapshot, changes: readonly Change[]) => void;
  /** Without it nothing is probed; tcp-connect.ts has the real one. */
  readonly connect?: Connect;
}

export interface RefreshSnapshot {
  readonly clusters: readonly ClusterSnapshot[];
}

interface Member {
  readonly refresher: ClusterRefresher;
  /** When its record came into this process: its times from before then stay as they are. */
  readonly loaded: Loaded;
  liveness: Liveness | undefined;
  /** The record in wall time: the same object for as long as nothing of it is different, for those who compare. */
  inWallTime?: { readonly of: EndpointRecord; readonly offsetMs: number; readonly record: EndpointRecord };
  /** With the dead addresses marked. */
  published?: {
    readonly of: EndpointRecord;
    readonly dead: ReadonlySet<string>;
    readonly record: EndpointRecord;
  };
}

/** Clusters that are started, altered or asked in one turn of the event loop: each takes some 100 microseconds. */
export const CLUSTERS_PER_TURN = 2;
/** Looks that begin, and what comes of them, in one turn: each takes some 200 microseconds. */
const LOOKS_PER_TURN = 3;

/** How soon a wall clock that was set shows in the times of published records. */
const CLOCK_CHECK_MS = 10_000;

export class RefreshPlane {
  readonly #options: RefreshPlaneOptions;
  readonly #keeper: RecordKeeper;
  readonly #turnstile: Turnstile;
  #times: RefreshTimes;
  #members: Member[] = [];
  /** Records of clusters that are not configured now: one that comes back finds its own again. */
  #parked: readonly EndpointRecord[] = [];
  /** Of the last publication. */
  #moment: Moment;
  #clockCheck: Disposable | undefined;
  #isRunning = false;
  #isStopped = false;

  constructor(options: RefreshPlaneOptions) {
    this.#options = options;
    this.#times = options.times;
    const { clock, save, publish, timers, pause } = options;
    this.#moment = momentOf(clock);
    this.#turnstile = new Turnstile(LOOKS_PER_TURN, pause);
    this.#keeper = new RecordKeeper({ compose: () => this.#composing(), save, publish, timers, pause });
  }

  /** Takes what the state file had, and resolves once that is published; nothing looks outside yet. */
  async load(initialRecords: readonly EndpointRecord[]): Promise<void> {
    await this.#take([], this.#options.clusters, initialRecords);
    this.#isRunning = true;
    await this.#keeper.confirmed();
  }

  /** The sources begin to look. */
  async start(): Promise<void> {
    this.#watchClock();
    await this.#forEach(this.#members, start);
  }

  /** Something says that looking is worth while again, such as a link that has come back. */
  async kick(reason: string): Promise<void> {
    await this.#forEach(this.#members, ({ refresher }) => refresher.kick(reason));
  }

  /** Something casts doubt on the link to a Region: sources that had answers from there look at once. */
  async confirm(region: string): Promise<void> {
    await this.#forEach(this.#members, ({ refresher }) => refresher.confirm(region));
  }

  /**
   * Clusters may come, go and change; who stays keeps its record and what its sources have seen. Takes as many turns as
   * there are clusters; nothing of it is published before all of it.
   */
  async reconfigure(clusters: readonly ClusterSettings[], times: RefreshTimes = this.#times): Promise<void> {
    this.#times = times;
    this.#isRunning = false; // one publication for all, not one for each
    const coming = await this.#take(this.#members, clusters, this.#parked);
    if (this.#isStopped) return;
    this.#isRunning = true;
    this.#keeper.changed();
    await this.#forEach(coming, start);
  }

  /** As published: of every configured cluster, in wall time, with the dead addresses marked. */
  records(): readonly EndpointRecord[] {
    return atOnce(this.#composing()).toPublish;
  }

  snapshot(): RefreshSnapshot {
    return atOnce(this.snapshotting());
  }

  /** Of thousands of clusters it is composed in slices. */
  *snapshotting(): Steps<RefreshSnapshot> {
    const now = this.#now();
    const clusters: ClusterSnapshot[] = [];
    for (const member of this.#members) {
      clusters.push(memberSnapshot(member, now));
      yield;
    }
    return { clusters };
  }

  /** Of one cluster, without composing those of all others. */
  clusterSnapshot(cluster: string, region: string | undefined): ClusterSnapshot | undefined {
    const member = this.#members.find(
      ({ refresher: { record } }) => record.cluster === cluster && record.region === region,
    );
    return member === undefined ? undefined : memberSnapshot(member, this.#now());
  }

  /** Ends every look, then saves what is known; waits no longer for the disk than a publication does. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#isStopped = true;
    this.#clockCheck?.[Symbol.dispose]();
    for (const member of this.#members) stop(member);
    await this.#keeper.stop();
  }

  #now(): Moment {
    return momentOf(this.#options.clock, this.#moment);
  }

  /** A few in each turn of the event loop; none any more after a stop. */
  #forEach<T>(items: readonly T[], act: (item: T) => void): Promise<void> {
    const isStopped = () => this.#isStopped;
    function* acting() {
      for (const item of items) {
        if (isStopped()) return;
        act(item);
        yield;
      }
    }
    return inSlices(acting(), this.#options.pause, CLUSTERS_PER_TURN);
  }

  /** What is to be saved and published now. A record that is the same object as before has not changed. */
  *#composing(): Steps<Kept> {
    this.#moment = this.#now();
    const [members, parked, now] = [this.#members, this.#parked, this.#moment];
    const toSave: EndpointRecord[] = [];
    const toPublish: EndpointRecord[] = [];
    for (const member of members) {
      toSave.push(inWallTime(member, now));
      toPublish.push(published(member, now));
      yield;
    }
    return { toSave: [...toSave, ...parked], toPublish };
  }

  /**
   * From these members and parked records to those of other clusters; returns the members that are new. What is saved
   * meanwhile is what was before, whole: members and parked records are exchanged in one turn, near the end.
   */
  async #take(
    members: readonly Member[],
    clusters: readonly ClusterSettings[],
    parked: readonly EndpointRecord[],
  ): Promise<readonly Member[]> {
    const { pause, onChanges } = this.#options;
    const staying = await inSlices(pairUp(clusters, members, identityOfMember), pause);
    const kept = new Set(staying.values());
    const unclaimed = [...parked];
    await this.#forEach(
      members.filter((member) => !kept.has(member)),
      (member) => {
        stop(member);
        unclaimed.push(inWallTime(member, this.#now()));
      },
    );
    const newcomers = clusters.filter((settings) => !staying.has(settings));
    // all of them together: none gets what another has a better right to
    const own = await inSlices(pairUp(newcomers, unclaimed, identityOf), pause);
    const taken = new Set(own.values());
    const stillParked = unclaimed.filter((record) => !taken.has(record));
    const coming: Member[] = [];
    const next: Member[] = [];
    await this.#forEach(clusters, (settings) => {
      const known = staying.get(settings);
      const member = known ?? this.#admit(settings, own.get(settings) ?? lookalike(settings, stillParked));
      if (known === undefined) coming.push(member);
      else this.#alter(known, settings);
      next.push(member);
    });
    if (this.#isStopped) return [];
    this.#members = next;
    this.#parked = stillParked;
    await this.#forEach(coming, ({ refresher }) => {
      if (refresher.admission.length > 0) onChanges?.(refresher.snapshot(), refresher.admission);
    });
    return coming;
  }

  #admit(settings: ClusterSettings, known: EndpointRecord | undefined): Member {
    const { clock, timers, random, log, evidence } = this.#options;
    const { region: _, ...record } = known ?? emptyRecord(settings.name, undefined);
    const labelled = {
      ...record,
      cluster: settings.name,
      ...(settings.region === undefined ? {} : { region: settings.region }),
    };
    const loaded = loadedAt(labelled, this.#now());
    const refresher = new ClusterRefresher({
      settings,
      times: this.#times,
      record: toProcessTime(labelled, loaded),
      clock,
      timers,
      random,
      log,
      turnstile: this.#turnstile,
      evidence,
      onRecord: (changes) => this.#onRecord(member, changes),
    });
    const member: Member = { refresher, loaded, liveness: undefined };
    member.liveness = this.#livenessOf(member, settings);
    return member;
  }

  #alter(member: Member, settings: ClusterSettings): void {
    const before = member.refresher.settings.probe;
    member.refresher.reconfigure(settings, this.#times);
    if (JSON.stringify(before) !== JSON.stringify(settings.probe)) {
      member.liveness?.stop();
      member.liveness = this.#livenessOf(member, settings);
      member.liveness?.start();
    }
  }

  #livenessOf({ refresher }: Member, { probe }: ClusterSettings): Liveness | undefined {
    const { connect, timers, random } = this.#options;
    if (probe === undefined || connect === undefined) return undefined;
    const onChange = () => {
      if (this.#isRunning) this.#keeper.confirmed();
    };
    const liveness = new Liveness({ ...probe, connect, timers, random, onChange });
    liveness.watch(addressesOf(refresher.record));
    return liveness;
  }

  #onRecord(member: Member, changes: readonly Change[]): void {
    const { record } = member.refresher;
    member.liveness?.watch(addressesOf(record));
    if (changes.length > 0) this.#options.onChanges?.(member.refresher.snapshot(), changes);
    if (!this.#isRunning) return;
    if (changes.length > 0) this.#keeper.changed();
    else this.#keeper.confirmed();
  }

  #watchClock(): void {
    this.#clockCheck = this.#options.timers.after(CLOCK_CHECK_MS, () => {
      if (!isSameOffset(offsetOf(this.#now()), offsetOf(this.#moment))) this.#keeper.confirmed();
      this.#watchClock();
    });
  }
}

function start({ refresher, liveness }: Member): void {
  refresher.start();
  liveness?.start();
}

function stop({ refresher, liveness }: Member): void {
  refresher.stop();
  liveness?.stop();
}

function identityOfMember({ refresher: { settings, record } }: Member): ClusterIdentity {
  return { ...settings, endpoint: record.endpoint };
}

/**
 * Where a cluster's name or Region was corrected: the record of the same endpoint, or, where no endpoint is told, the
 * only one of the same name. Lent and not given: it stays parked.
 */
function lookalike(
  { endpoint, name }: ClusterSettings,
  parked: readonly EndpointRecord[],
): EndpointRecord | undefined {
  const alike = parked.filter((record) =>
    endpoint === undefined ? record.cluster === name : record.endpoint === endpoint,
  );
  return endpoint === undefined && alike.length > 1 ? undefined : alike[0];
}

function inWallTime(member: Member, now: Moment): EndpointRecord {
  const { record } = member.refresher;
  const offsetMs = offsetOf(now);
  const before = member.inWallTime;
  if (before?.of === record && isSameOffset(before.offsetMs, offsetMs)) return before.record;
  const composed = toWallTime(record, member.loaded, now);
  member.inWallTime = { of: record, offsetMs, record: composed };
  return composed;
}

function published(member: Member, now: Moment): EndpointRecord {
  const record = inWallTime(member, now);
  const dead = member.liveness?.dead;
  if (dead === undefined || dead.size === 0) return record;
  const before = member.published;
  if (before?.of === record && before.dead === dead) return before.record;
  const addresses = record.addresses.map((served) =>
    dead.has(served.address) ? { ...served, dead: true } : served,
  );
  member.published = { of: record, dead, record: { ...record, addresses } };
  return member.published.record;
}

function memberSnapshot({ refresher, liveness, loaded }: Member, now: Moment): ClusterSnapshot {
  const snapshot = refresher.snapshot(aheadMs(loaded, now));
  const addresses = snapshot.addresses.map((served) => ({
    ...served,
    isDead: liveness?.dead.has(served.address) ?? false,
  }));
  return { ...snapshot, addresses };
}

function offsetOf({ wallMs, monotonicMs }: Moment): number {
  return wallMs - monotonicMs;
}

/** The two clocks are numbers of different size, so that their difference is not the same to the last bit. */
function isSameOffset(one: number, other: number): boolean {
  return Math.abs(one - other) <= 1;
}
