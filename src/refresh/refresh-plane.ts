/**
 * All clusters: a refresher for each, and one place that saves and publishes their records. A reload never loses a record:
 * the record of a cluster that is no longer configured is parked, and found again when the cluster returns.
 */

import type { Evidence } from '../link/link-monitor.ts';
import type { Log } from '../log/log.ts';
import {
  type ClusterIdentity,
  type EndpointRecord,
  identityOf,
  type Pin,
  pairUp,
} from '../records/endpoint-record.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { atOnce, inSlices, type Pause, type Steps, Turnstile } from '../runtime/slices.ts';
import { type AddressCheck, AddressChecks, checkRequest, watched } from './address-checks.ts';
import { ClusterRefresher } from './cluster-refresher.ts';
import type { AddressSnapshot, ClusterSnapshot } from './cluster-snapshot.ts';
import type { ClusterSettings, RefreshTimes } from './cluster-sources.ts';
import type { Change } from './reconcile/changes.ts';
import { emptyRecord } from './reconcile/plan.ts';
import { asAnswered } from './reconcile/prove.ts';
import {
  aheadMs,
  composing,
  inWallTime,
  isSameOffset,
  loadedAt,
  type Member,
  type Moment,
  momentOf,
  offsetOf,
  RecordKeeper,
  type RecordKeeperOptions,
  type RecordSets,
  toProcessTime,
} from './record-keeper.ts';

export interface RefreshPlaneOptions {
  readonly clusters: readonly ClusterSettings[];
  readonly times: RefreshTimes;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Between slices of work on many clusters; without it the work ends in one turn. */
  readonly pause?: Pause;
  /** Gets all records that must survive, those of clusters that are not configured now included. */
  readonly save: RecordKeeperOptions['save'];
  /** Receives the records of all configured clusters after each change of a record. An unchanged record is the same object as before. */
  readonly publish: RecordKeeperOptions['publish'];
  readonly evidence: (evidence: Evidence) => void;
  /** For the ledger: a cluster after a change, and the changes. Confirmations are no change. */
  readonly onChanges?: (snapshot: ClusterSnapshot, changes: readonly Change[]) => void;
  /** The check of a served address; without it no address is checked. */
  readonly check?: AddressCheck;
}

export interface RefreshSnapshot {
  readonly clusters: readonly ClusterSnapshot[];
}

/** Clusters that are started, changed or reported in one turn of the event loop: each takes some 100 microseconds. */
export const CLUSTERS_PER_TURN = 2;
/** Polls that start or end in one turn: each takes some 200 microseconds. */
const POLLS_PER_TURN = 3;
/** A wall clock that was set shows in published records after this at the latest. */
const CLOCK_CHECK_MS = 10_000;

export class RefreshPlane {
  readonly #options: RefreshPlaneOptions;
  readonly #keeper: RecordKeeper;
  readonly #turnstile: Turnstile;
  #times: RefreshTimes;
  #members: Member[] = [];
  /** Records of clusters that are not configured now. */
  #parked: readonly EndpointRecord[] = [];
  /** When records were last composed. */
  #moment: Moment;
  #clockCheck: Disposable | undefined;
  #isRunning = false;
  #isStarted = false;
  #isStopped = false;
  /** Changes of the members run one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: RefreshPlaneOptions) {
    this.#options = options;
    this.#times = options.times;
    const { clock, save, publish, timers, pause } = options;
    this.#moment = momentOf(clock);
    this.#turnstile = new Turnstile(POLLS_PER_TURN, pause);
    this.#keeper = new RecordKeeper({ compose: () => this.#composing(), save, publish, timers, pause });
  }

  /** Takes the records of the state file and resolves when they are published. No source is polled yet. */
  async load(initialRecords: readonly EndpointRecord[]): Promise<void> {
    await this.#take([], this.#options.clusters, initialRecords);
    this.#isRunning = true;
    await this.#keeper.publishSoon();
  }

  /**
   * Takes the records of a state file that was read late, while clusters are polled. A cluster that has got addresses meanwhile
   * keeps them, and takes only the pin of a command.
   */
  takeLate(records: readonly EndpointRecord[]): Promise<void> {
    return this.#inTurn(() => this.#takeLate(records));
  }

  async #takeLate(records: readonly EndpointRecord[]): Promise<void> {
    const [members, now] = [this.#members, this.#now()];
    const answering: Member[] = [];
    // in one step, because an answer may come in every pause
    await this.#forEach(members, (member) => {
      if (member.refresher.record.addresses.length > 0) answering.push(member);
      else stop(member);
    });
    // what was learned of a cluster that was removed meanwhile is newer, too
    const learned = this.#parked.filter(({ addresses }) => addresses.length > 0);
    const known = [...answering.map(({ refresher }) => refresher.settings), ...learned.map(identityOf)];
    const superseded = await inSlices(pairUp(known, records, identityOf), this.#options.pause);
    for (const { refresher } of answering) {
      const record = superseded.get(refresher.settings);
      const { pin } = record === undefined ? {} : toProcessTime(record, loadedAt(record, now));
      if (pin !== undefined && refresher.record.pin === undefined) refresher.repin(pin);
    }
    const older = new Set(superseded.values());
    const rest = records.filter((record) => !older.has(record));
    await this.#takeRunning(
      answering,
      members.map(({ refresher }) => refresher.settings),
      [...rest, ...this.#parked],
    );
  }

  /** Starts to poll. */
  async start(): Promise<void> {
    this.#isStarted = true;
    this.#watchClock();
    await this.#forEach(this.#members, start);
  }

  /** Polls everything again because something has changed, such as the link. */
  async kick(reason: string): Promise<void> {
    await this.#forEach(this.#members, ({ refresher }) => refresher.kick(reason));
  }

  /** The link to a Region is in doubt: polls the sources whose last poll there succeeded. */
  async pollWorking(region: string): Promise<void> {
    await this.#forEach(this.#members, ({ refresher }) => refresher.pollWorking(region));
  }

  /**
   * Takes new settings. A cluster that stays keeps its record and the answers of its sources. It takes a few turns for each
   * cluster, and publishes once, at the end. Resolves when clients get the answers.
   */
  reconfigure(clusters: readonly ClusterSettings[], times: RefreshTimes = this.#times): Promise<void> {
    return this.#inTurn(() => {
      this.#times = times;
      return this.#takeRunning(this.#members, clusters, this.#parked);
    });
  }

  async #takeRunning(
    members: readonly Member[],
    clusters: readonly ClusterSettings[],
    parked: readonly EndpointRecord[],
  ): Promise<void> {
    this.#isRunning = false; // one publication for all clusters
    const coming = await this.#take(members, clusters, parked);
    if (this.#isStopped) return;
    this.#isRunning = true;
    // what has changed is on the disk, or in the file of the settings
    await this.#keeper.publishSoon();
    if (this.#isStarted) await this.#forEach(coming, start);
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const changed = this.#changing.then(change);
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  /** The records as they are published. */
  records(): readonly EndpointRecord[] {
    return atOnce(this.#composing()).toPublish;
  }

  snapshot(): RefreshSnapshot {
    return atOnce(this.snapshotting());
  }

  /** As `snapshot`, a step for each cluster. */
  *snapshotting(): Steps<RefreshSnapshot> {
    const now = this.#now();
    const clusters: ClusterSnapshot[] = [];
    for (const member of this.#members) {
      clusters.push(memberSnapshot(member, now));
      yield;
    }
    return { clusters };
  }

  /** The snapshot of one cluster. */
  clusterSnapshot(cluster: string, region: string | undefined): ClusterSnapshot | undefined {
    const member = this.#members.find(
      ({ refresher: { record } }) => record.cluster === cluster && record.region === region,
    );
    return member === undefined ? undefined : memberSnapshot(member, this.#now());
  }

  /** Ends all polls, then saves; waits for the disk as long as a publication does. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#isStopped = true;
    this.#clockCheck?.[Symbol.dispose]();
    for (const member of this.#members) stop(member);
    await this.#keeper.stop();
  }

  /** The clusters with the pins of commands, for a command that names a cluster. */
  get clusters(): readonly (ClusterSettings & { readonly commandPin?: Pin | undefined })[] {
    return this.#members.map(({ refresher: { settings, record } }) => ({
      ...settings,
      commandPin: record.pin,
    }));
  }

  /**
   * Pins addresses of a cluster for `forMs`, in place of an earlier pin of a command, or ends that pin (`undefined`). Resolves when
   * clients get the answer.
   */
  async repin(
    { name, region }: Pick<ClusterSettings, 'name' | 'region'>,
    pin: (Pick<Pin, 'addresses' | 'why' | 'by'> & { readonly forMs: number }) | undefined,
  ): Promise<void> {
    const member = this.#members.find(
      ({ refresher: { settings } }) => settings.name === name && settings.region === region,
    );
    const { monotonicMs: sinceMs } = this.#now();
    const timed = pin && { addresses: pin.addresses, why: pin.why, by: pin.by };
    member?.refresher.repin(timed && { ...timed, sinceMs, untilMs: sinceMs + pin.forMs });
    await this.#keeper.publishSoon();
  }

  #now(): Moment {
    return momentOf(this.#options.clock, this.#moment);
  }

  /** A few items in each turn of the event loop, and none after a stop. */
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

  *#composing(): Steps<RecordSets> {
    this.#moment = this.#now();
    return yield* composing(this.#members, this.#parked, this.#moment);
  }

  /**
   * Replaces members and parked records by those for `clusters`, and returns the new members. They are replaced in one turn:
   * a save during the work finds what was before, whole.
   */
  async #take(
    members: readonly Member[],
    clusters: readonly ClusterSettings[],
    parked: readonly EndpointRecord[],
  ): Promise<readonly Member[]> {
    const { pause, onChanges } = this.#options;
    const staying = await inSlices(pairUp(clusters, members, identityOfMember), pause);
    const kept = new Set(staying.values());
    const found = [...parked];
    await this.#forEach(
      members.filter((member) => !kept.has(member)),
      (member) => {
        stop(member);
        found.push(inWallTime(member, this.#now()));
      },
    );
    const newcomers = clusters.filter((settings) => !staying.has(settings));
    // all newcomers together: a record goes to the cluster that it fits best
    const own = await inSlices(pairUp(newcomers, found, identityOf), pause);
    const taken = new Set(own.values());
    const stillParked = found.filter((record) => !taken.has(record));
    const coming: Member[] = [];
    const next: Member[] = [];
    await this.#forEach(clusters, (settings) => {
      const known = staying.get(settings);
      const member = known ?? this.#admit(settings, own.get(settings) ?? lookalike(settings, stillParked));
      if (known === undefined) coming.push(member);
      else this.#change(known, settings);
      next.push(member);
    });
    if (this.#isStopped) return [];
    this.#members = next;
    this.#parked = stillParked;
    await this.#forEach(coming, ({ refresher }) => {
      const { initialChanges } = refresher;
      if (initialChanges.length > 0) onChanges?.(refresher.snapshot(), initialChanges);
    });
    return coming;
  }

  #admit(settings: ClusterSettings, known: EndpointRecord | undefined): Member {
    const { clock, timers, random, log, evidence } = this.#options;
    const { name: cluster, region } = settings;
    const labelled = { ...(known ?? emptyRecord(cluster, region)), cluster, region };
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
    const member: Member = { refresher, loaded, checks: undefined };
    member.checks = this.#checksOf(member, settings);
    return member;
  }

  #change(member: Member, settings: ClusterSettings): void {
    const before = member.refresher.settings.probe;
    member.refresher.reconfigure(settings, this.#times);
    if (JSON.stringify(before) === JSON.stringify(settings.probe)) return;
    member.checks?.stop();
    member.published = undefined;
    member.checks = this.#checksOf(member, settings);
    member.checks?.start();
  }

  #checksOf({ refresher }: Member, { probe }: ClusterSettings): AddressChecks | undefined {
    const { check, clock, timers, random } = this.#options;
    if (probe === undefined || check === undefined) return undefined;
    const onChange = () => {
      if (this.#isStopped) return;
      refresher.checked(checks.standings);
      if (this.#isRunning) this.#keeper.publishSoon();
    };
    const requestFor = (address: string) => checkRequest(refresher, address);
    const { intervalMs } = probe;
    const checks = new AddressChecks({ check, requestFor, intervalMs, clock, timers, random, onChange });
    checks.watch(watched(refresher.record));
    return checks;
  }

  #onRecord(member: Member, changes: readonly Change[]): void {
    const { record } = member.refresher;
    member.checks?.watch(watched(record));
    if (changes.some(({ kind }) => kind === 'details' || kind === 'endpoint')) member.checks?.again();
    if (changes.length > 0) this.#options.onChanges?.(member.refresher.snapshot(), changes);
    if (!this.#isRunning) return;
    // clients need not wait for the disk to hear of a proof, which the next start can repeat
    if (changes.some(({ kind }) => kind !== 'proof' && kind !== 'withheld')) this.#keeper.saveAndPublish();
    else this.#keeper.publishSoon();
  }

  #watchClock(): void {
    this.#clockCheck = this.#options.timers.after(CLOCK_CHECK_MS, () => {
      const isSet = !isSameOffset(offsetOf(this.#now()), offsetOf(this.#moment));
      // what is left of a pin is on the disk, for a later process whose clock is wrong
      const isPinned = this.#members.some(({ refresher }) => refresher.record.pin !== undefined);
      if (isSet || isPinned) this.#keeper.publishSoon();
      this.#watchClock();
    });
  }
}

function start({ refresher, checks }: Member): void {
  refresher.start();
  checks?.start();
}

function stop({ refresher, checks }: Member): void {
  refresher.stop();
  checks?.stop();
}

function identityOfMember({ refresher: { settings, record } }: Member): ClusterIdentity {
  return { ...settings, endpoint: record.endpoint };
}

/**
 * Finds the record of a cluster after the operator corrected its name or Region: the record with the same endpoint. Without a
 * configured endpoint, it is the only record with the same name. The caller copies the record, which stays parked.
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

function memberSnapshot({ refresher, checks, loaded }: Member, now: Moment): ClusterSnapshot {
  const snapshot = refresher.snapshot(aheadMs(loaded, now));
  if (checks === undefined) return snapshot;
  const { dead, standings } = checks;
  const order = asAnswered(refresher.record, standings).addresses;
  const marked = (addresses: readonly AddressSnapshot[]) =>
    addresses.map((one) => ({
      ...one,
      isDead: dead.has(one.address),
      isLast: order.find(({ address }) => address === one.address)?.isLast,
    }));
  return { ...snapshot, addresses: marked(snapshot.addresses), withheld: marked(snapshot.withheld) };
}
