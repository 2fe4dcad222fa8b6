/** All clusters: one refresher each, their records saved and published together, and nothing known ever lost over a reload. */
import type { Evidence } from '../link/link-state.ts';
import type { Log } from '../log/log.ts';
import { identityOf, pairUp } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Pause } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import { ClusterRefresher } from './cluster-refresher.ts';
import type { ClusterSettings, RefreshTimes } from './cluster-settings.ts';
import type { ClusterSnapshot } from './cluster-snapshot.ts';
import { type Connect, Liveness } from './liveness.ts';
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
import { RecordKeeper, type RecordKeeperOptions } from './record-keeper.ts';

export interface RefreshPlaneOptions {
  readonly clusters: readonly ClusterSettings[];
  readonly times: RefreshTimes;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Between the looks of one cluster; left out, they begin in one turn. */
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
  readonly saving: { readonly saveFailures: number; readonly isSaveFailing: boolean };
}

interface Member {
  readonly refresher: ClusterRefresher;
  /** When its record came into this process: its times from before then stay as they are. */
  readonly loaded: Loaded;
  liveness: Liveness | undefined;
}

/** How soon a wall clock that was set shows in the times of published records. */
const CLOCK_CHECK_MS = 10_000;

export class RefreshPlane {
  readonly #options: RefreshPlaneOptions;
  readonly #keeper: RecordKeeper;
  #times: RefreshTimes;
  #members: Member[] = [];
  /** Records of clusters that are not configured now: one that comes back finds its own again. */
  #parked: readonly EndpointRecord[] = [];
  /** Of the last publication. */
  #moment: Moment;
  #clockCheck: Disposable | undefined;
  #isRunning = false;

  constructor(options: RefreshPlaneOptions) {
    this.#options = options;
    this.#times = options.times;
    this.#moment = momentOf(options.clock);
    const { save, publish, timers, log } = options;
    const compose = () => {
      this.#moment = momentOf(options.clock, this.#moment);
      return { toSave: [...this.#toSave(), ...this.#parked], toPublish: this.records() };
    };
    this.#keeper = new RecordKeeper({ compose, save, publish, timers, log });
  }

  /** Takes what the state file had, and publishes it before it returns; nothing looks outside yet. */
  load(initialRecords: readonly EndpointRecord[]): void {
    this.#parked = initialRecords;
    const { clusters } = this.#options;
    const own = this.#unpark(clusters);
    this.#members = clusters.map((settings) => this.#admit(settings, own.get(settings)));
    this.#tellAdmissions(this.#members);
    this.#isRunning = true;
    this.#keeper.confirmed();
  }

  /** The sources begin to look. */
  start(): void {
    for (const { refresher, liveness } of this.#members) {
      refresher.start();
      liveness?.start();
    }
    this.#watchClock();
  }

  /** Something says that looking is worth while again, such as a link that has come back. */
  kick(reason: string): void {
    for (const { refresher } of this.#members) refresher.kick(reason);
  }

  /** Something casts doubt on the link to a Region: sources that had answers from there look at once. */
  confirm(region: string): void {
    for (const { refresher } of this.#members) refresher.confirm(region);
  }

  /** Clusters may come, go and change; who stays keeps its record and what its sources have seen. */
  reconfigure(clusters: readonly ClusterSettings[], times: RefreshTimes = this.#times): void {
    this.#times = times;
    const staying = pairUp(clusters, this.#members, ({ refresher: { settings, record } }) => ({
      ...settings,
      endpoint: record.endpoint,
    }));
    const going = this.#members.filter((member) => ![...staying.values()].includes(member));
    for (const member of going) this.#dismiss(member);
    const own = this.#unpark(clusters.filter((settings) => !staying.has(settings)));
    const coming: Member[] = [];
    this.#isRunning = false; // one publication for all, not one for each
    this.#members = clusters.map((settings) => {
      const known = staying.get(settings);
      if (known !== undefined) return this.#alter(known, settings);
      const member = this.#admit(settings, own.get(settings));
      coming.push(member);
      return member;
    });
    this.#tellAdmissions(coming);
    this.#isRunning = true;
    this.#keeper.changed();
    for (const { refresher, liveness } of coming) {
      refresher.start();
      liveness?.start();
    }
  }

  /** As published: of every configured cluster, in wall time, with the dead addresses marked. */
  records(): readonly EndpointRecord[] {
    return this.#toSave().map((record, index) => {
      const dead = this.#members[index]?.liveness?.dead;
      if (dead === undefined || dead.size === 0) return record;
      const addresses = record.addresses.map((served) =>
        dead.has(served.address) ? { ...served, dead: true } : served,
      );
      return { ...record, addresses };
    });
  }

  snapshot(): RefreshSnapshot {
    const now = this.#now();
    const clusters = this.#members.map((member) => memberSnapshot(member, now));
    return { clusters, saving: this.#keeper.stats() };
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
    this.#clockCheck?.[Symbol.dispose]();
    for (const { refresher, liveness } of this.#members) {
      refresher.stop();
      liveness?.stop();
    }
    await this.#keeper.stop();
  }

  #now(): Moment {
    return momentOf(this.#options.clock, this.#moment);
  }

  #toSave(): readonly EndpointRecord[] {
    const now = this.#now();
    return this.#members.map(({ refresher, loaded }) => toWallTime(refresher.record, loaded, now));
  }

  #admit(settings: ClusterSettings, own: EndpointRecord | undefined): Member {
    const { clock, timers, random, log, pause, evidence } = this.#options;
    const known = own ?? this.#lookalike(settings);
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
      pause,
      evidence,
      onRecord: (changes) => this.#onRecord(member, changes),
    });
    const member: Member = { refresher, loaded, liveness: undefined };
    member.liveness = this.#livenessOf(member, settings);
    return member;
  }

  #tellAdmissions(members: readonly Member[]): void {
    for (const { refresher } of members) {
      if (refresher.admission.length > 0)
        this.#options.onChanges?.(refresher.snapshot(), refresher.admission);
    }
  }

  #alter(member: Member, settings: ClusterSettings): Member {
    const before = member.refresher.settings.probe;
    member.refresher.reconfigure(settings, this.#times);
    if (JSON.stringify(before) !== JSON.stringify(settings.probe)) {
      member.liveness?.stop();
      member.liveness = this.#livenessOf(member, settings);
      member.liveness?.start();
    }
    return member;
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

  #dismiss(member: Member): void {
    member.refresher.stop();
    member.liveness?.stop();
    const record = toWallTime(member.refresher.record, member.loaded, this.#now());
    this.#parked = [...this.#parked, record];
  }

  /** Takes out what is each cluster's own, all of them together: none gets what another has a better right to. */
  #unpark(clusters: readonly ClusterSettings[]): ReadonlyMap<ClusterSettings, EndpointRecord> {
    const own = pairUp(clusters, this.#parked, identityOf);
    const taken = new Set(own.values());
    this.#parked = this.#parked.filter((record) => !taken.has(record));
    return own;
  }

  /**
   * Where a cluster's name or Region was corrected: the record of the same endpoint, or, where no endpoint is told, the
   * only one of the same name. Lent and not given: it stays parked.
   */
  #lookalike({ endpoint, name }: ClusterSettings): EndpointRecord | undefined {
    const alike = this.#parked.filter((record) =>
      endpoint === undefined ? record.cluster === name : record.endpoint === endpoint,
    );
    return endpoint === undefined && alike.length > 1 ? undefined : alike[0];
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
      const hasJumped = Math.abs(offsetOf(this.#now()) - offsetOf(this.#moment)) > 1;
      if (hasJumped) this.#keeper.confirmed();
      this.#watchClock();
    });
  }
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
