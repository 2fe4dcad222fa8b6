/**
 * The refresh journey of one cluster: sources -> compare -> guard -> the record to save and publish.
 * The refresh room keeps the records of endpoints right while AWS can be reached, and unharmed while it cannot. It
 * refuses to know how a query is answered, how a record is written, and how a source looks. Each source has its own
 * schedule; what one sees that would change the addresses makes the others look at once, so that only fresh views
 * are compared. Nothing that fails, hangs, or comes back empty ever takes an address away.
 */

import type { Evidence } from '../link/link-state.ts';
import type { Log } from '../log/log.ts';
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { ClusterDetails, EndpointRecord } from '../records/endpoint-record.ts';
import { askedRegion, isAddressSource, isNameSource, type SourceName } from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Turnstile } from '../runtime/slices.ts';
import type { Timers } from '../runtime/timers.ts';
import {
  AGE_WARNINGS_MS,
  type ClusterSnapshot,
  type ClusterStats,
  composeSnapshot,
  countPlan,
  lastConfirmedAtMs,
} from './cluster-report.ts';
import { type ClusterSettings, planSettingsOf, type RefreshTimes } from './cluster-settings.ts';
import {
  type CredentialState,
  initialCredentialState,
  nextCredentialState,
  retainSources,
} from './credential-state.ts';
import { contextFor, type Ending, evidenceOf, mayLook } from './poll.ts';
import { addressesOf, type Change, hasAddressChange } from './reconcile/changes.ts';
import type { Comparison } from './reconcile/compare.ts';
import { compareStates, type SourceState } from './reconcile/compare.ts';
import { hasSameAddresses, type Refusal } from './reconcile/guard.ts';
import { decide, learn, note, type Plan, type PlanSettings } from './reconcile/plan.ts';
import { nextDelayMs } from './reconcile/schedule.ts';
import { ageMs } from './reconcile/timeline.ts';
import { DetailsDoubt } from './recreated-cluster.ts';
import { LastingDoubt, RefreshLog } from './refresh-log.ts';
import { SourceRunner } from './source-poller.ts';

export interface ClusterRefresherOptions {
  readonly settings: ClusterSettings;
  readonly times: RefreshTimes;
  /** What was known before, in process time; see reconcile/timeline.ts. */
  readonly record: EndpointRecord;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** The looks of a round, and what comes back, pass here, those of all clusters; left out, they do so at once. */
  readonly turnstile?: Turnstile;
  readonly evidence: (evidence: Evidence) => void;
  /** The record is another object than before; `changes` is empty when it was only confirmed. */
  readonly onRecord: (changes: readonly Change[]) => void;
}

const FRESH_MS = 5_000; // a view younger than this is as good as a new one when two are compared
const KICK_SPREAD_MS = 1_000; // hosts and clusters that hear of a restored link together must not call AWS in the same instant
const CONFIRM_MARGIN_MS = 20; // timers may fire a moment early by the monotonic clock; a confirmation must not

export class ClusterRefresher {
  readonly #options: ClusterRefresherOptions;
  readonly #log: RefreshLog;
  #settings: ClusterSettings;
  #times: RefreshTimes;
  #planSettings: PlanSettings;
  #runners = new Map<SourceName, SourceRunner>();
  #record: EndpointRecord;
  readonly #doubt: LastingDoubt;
  readonly #detailsDoubt = new DetailsDoubt();
  #refused: readonly Refusal[] = [];
  #credentials: CredentialState = initialCredentialState;
  #stats: ClusterStats = { addressChanges: 0, heldChanges: 0, refusedAddresses: 0 };
  #deciding: Promise<void> | undefined;
  #confirmTimer: Disposable | undefined;
  #kickTimer: Disposable | undefined;
  #isStarted = false;
  #isStopped = false;
  /** What the settings alone changed about the record that was known before. */
  readonly admission: readonly Change[];

  constructor(options: ClusterRefresherOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#times = options.times;
    this.#planSettings = planSettingsOf(options.settings, options.times);
    const { name: cluster, region } = options.settings;
    this.#log = new RefreshLog(options.log.child({ cluster, ...(region === undefined ? {} : { region }) }));
    this.#doubt = new LastingDoubt(this.#log);
    this.#replaceRunners();
    const plan = note(options.record, this.#states(), this.#planSettings, this.#now()); // a pin, a name of the operator's
    this.#record = plan.record;
    this.admission = plan.changes;
    this.#log.planned(plan, options.record);
  }

  get record(): EndpointRecord {
    return this.#record;
  }

  get settings(): ClusterSettings {
    return this.#settings;
  }

  /** Looks at once, and from then on by the schedule of each source. */
  start(): void {
    if (this.#isStopped) return;
    this.#isStarted = true;
    this.#awaitConfirmation();
    this.runOnce('start');
  }

  /** Looks with every source once, and decides; without the endpoint's name the cluster's details come first. */
  async runOnce(reason: string, restart = false): Promise<void> {
    this.#log.refreshing(reason);
    const isFirst = this.#record.endpoint === undefined && this.#runners.has('cluster');
    if (isFirst) await this.#look('cluster', restart);
    const rest = [...this.#runners.keys()].filter((name) => !isFirst || name !== 'cluster');
    const looks: Promise<void>[] = [];
    for (const name of rest) {
      if (this.#options.turnstile !== undefined) await this.#options.turnstile.pass();
      looks.push(this.#look(name, restart));
    }
    await Promise.all(looks);
    await this.#deciding;
  }

  /** Something says that looking is worth while again: forgets all backoff, and gives up looks begun before. */
  kick(reason: string): void {
    if (!this.#isStarted) return;
    for (const runner of this.#runners.values()) runner.consecutiveFailures = 0;
    this.#kickTimer ??= this.#options.timers.after(this.#options.random.fraction() * KICK_SPREAD_MS, () => {
      this.#kickTimer = undefined;
      this.runOnce(reason, true);
    });
  }

  /** The link to `region` is in doubt: sources whose last look there was answered look at once. */
  confirm(region: string): void {
    for (const { name, latest } of this.#runners.values()) {
      if (latest === 'succeeded' && askedRegion(name, this.#settings.region) === region) this.#look(name);
    }
  }

  /** Takes new settings over without losing the record or what the sources have seen, and looks again. */
  reconfigure(settings: ClusterSettings, times: RefreshTimes): void {
    const endpointBefore = this.#record.endpoint;
    this.#settings = settings;
    this.#times = times;
    this.#planSettings = planSettingsOf(settings, times);
    this.#replaceRunners();
    this.#doubt.forget();
    const { region } = settings;
    const labelled = region === this.#record.region ? this.#record : { ...this.#record, region };
    this.#commit(note(labelled, this.#states(), this.#planSettings, this.#now()));
    if (this.#record.endpoint !== endpointBefore) this.#forgetNames();
    this.kick('reconfigured');
  }

  /** Ends all looks and timers; the record stays as it is. */
  stop(): void {
    this.#isStarted = false;
    this.#isStopped = true;
    this.#confirmTimer?.[Symbol.dispose]();
    this.#kickTimer?.[Symbol.dispose]();
    for (const runner of this.#runners.values()) runner.stop();
  }

  /** @param stateAheadMs how far the file that the record came from is ahead of the wall clock */
  snapshot(stateAheadMs = 0): ClusterSnapshot {
    return composeSnapshot({
      record: this.#record,
      settings: this.#settings,
      runners: [...this.#runners.values()],
      comparison: this.#doubt.latest,
      refused: this.#refused,
      credentials: this.#credentials,
      stats: this.#stats,
      stateAheadMs,
      nowMs: this.#now(),
    });
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #replaceRunners(): void {
    const before = this.#runners;
    const { clock, timers, turnstile } = this.#options;
    this.#runners = new Map();
    for (const source of this.#settings.sources) {
      const old = before.get(source.name);
      const options = { clock, timers, turnstile, deadlineMs: this.#times.deadlineMs };
      const runner = new SourceRunner(source, options, (settled, ending) => this.#settled(settled, ending));
      if (old !== undefined) runner.inherit(old);
      this.#runners.set(source.name, runner);
    }
    for (const old of before.values()) old.stop();
    this.#judgeCredentials(retainSources(this.#credentials, new Set(this.#runners.keys()), this.#now()));
  }

  #states(): readonly SourceState[] {
    const states: SourceState[] = [];
    for (const { name, latest, view, lastFailure } of this.#runners.values()) {
      if (!isAddressSource(name)) continue;
      const failure = latest === 'failed' ? lastFailure?.reason : undefined;
      states.push({ source: name, latest, view, failure });
    }
    return states;
  }

  /** Every look begins here. Never rejects. */
  #look(name: SourceName, restart = false): Promise<void> {
    const runner = this.#runners.get(name);
    if (runner === undefined || this.#isStopped || !mayLook(name, this.#record)) return Promise.resolve();
    return runner.run(contextFor(this.#record, this.#settings), restart);
  }

  #settled(runner: SourceRunner, ending: Ending): void {
    const { observation } = ending;
    const evidence = evidenceOf(ending, this.#settings.region);
    if (evidence) this.#options.evidence({ ...evidence, startedAtMs: ending.startedMs });
    this.#log.settled(ending);
    this.#arm(runner);
    this.#judgeCredentials(nextCredentialState(this.#credentials, observation, this.#now()));
    const [record, eks, nowMs] = [this.#record, this.#runners.get('cluster'), this.#now()];
    if (this.#isStarted && this.#detailsDoubt.isDue(observation, record, eks, nowMs)) this.#look('cluster');
    if (observation.kind === 'addresses') this.#consider(runner, observation.addresses);
    else if (observation.kind === 'details') this.#learn(observation.details);
    else this.#fail(runner);
  }

  /** Credentials that work again for one source most likely do for the others, which may be waiting for an hour. */
  #judgeCredentials(next: CredentialState): void {
    const before = this.#credentials;
    this.#credentials = next;
    this.#log.credentials(before, next);
    if (!this.#isStarted || next.troubles.size >= before.troubles.size) return;
    for (const source of next.troubles.keys()) if (!this.#runners.get(source)?.isRunning) this.#look(source);
  }

  #learn(details: ClusterDetails): void {
    const before = this.#record;
    this.#commit(learn(before, details, this.#planSettings, this.#now()));
    this.#followDetails(before);
  }

  #fail(runner: SourceRunner): void {
    const now = this.#now();
    this.#commit(note(this.#record, this.#states(), this.#planSettings, now));
    // only what was seen at about the same time is compared: in a cut one source fails before the others do
    if (this.#staleSiblings(runner).length === 0) {
      this.#compared(compareStates(this.#states(), this.#planSettings, now));
    }
    this.#log.aged(ageMs(lastConfirmedAtMs(this.#record) ?? now, now), AGE_WARNINGS_MS);
    // a source that begins to fail is news: if the others can confirm what is served, let them do so now
    if (runner.consecutiveFailures !== 1 || !isAddressSource(runner.name)) return;
    for (const sibling of this.#staleSiblings(runner))
      if (sibling.latest === 'succeeded') this.#look(sibling.name);
  }

  #arm(runner: SourceRunner): void {
    if (!this.#isStarted) return;
    const settings = { ...this.#times, intervalMs: this.#times.intervalMs[runner.name] };
    const delayMs = nextDelayMs(runner.progress(), settings, this.#options.random.fraction());
    runner.arm(delayMs, () => this.#look(runner.name));
  }

  /** Adopts what was seen if it changes nothing; otherwise the other sources look first, and then it is decided. */
  #consider(runner: SourceRunner, addresses: readonly string[]): void {
    if (this.#deciding !== undefined) return; // the decision under way takes this view in
    const served = addressesOf(this.#record);
    const proposal = decide(this.#record, this.#states(), this.#planSettings, this.#now());
    const known = [served, runner.viewBefore?.addresses ?? []];
    const isNews = !known.some((before) => hasSameAddresses(addresses, before));
    // where nothing is served there is nothing to protect, and somebody waits for an answer
    const isDoubtful = served.length > 0 && (isNews || hasAddressChange(proposal.changes));
    const stale = isDoubtful ? this.#staleSiblings(runner) : [];
    if (stale.length === 0) this.#commit(proposal);
    else
      this.#deciding = inBackground('refresh', async () => {
        await Promise.all(stale.map((sibling) => this.#look(sibling.name)));
        this.#deciding = undefined;
        this.#commit(decide(this.#record, this.#states(), this.#planSettings, this.#now()));
      });
  }

  #staleSiblings({ name }: SourceRunner): readonly SourceRunner[] {
    const now = this.#now();
    return [...this.#runners.values()].filter((sibling) => {
      if (sibling.name === name || !isAddressSource(sibling.name)) return false;
      const isFresh = sibling.latest === 'succeeded' && now - (sibling.settledAtMs ?? 0) < FRESH_MS;
      return sibling.isRunning || !isFresh;
    });
  }

  #followDetails({ endpoint, details }: EndpointRecord): void {
    const other = otherEndpointOf(this.#record);
    const isRedescribed = other !== undefined && other !== details?.endpoint;
    if (this.#record.endpoint !== endpoint || isRedescribed) {
      this.#forgetNames();
      for (const name of this.#runners.keys()) if (isNameSource(name)) this.#look(name, true);
    }
    const isMoved = details !== undefined && this.#record.details?.vpcId !== details.vpcId;
    if (isMoved) this.#look('interfaces', true);
  }

  /** What the old name resolved to says nothing about the new one. */
  #forgetNames(): void {
    for (const runner of this.#runners.values()) if (isNameSource(runner.name)) runner.forget();
  }

  #commit(plan: Plan): void {
    if (this.#isStopped) return;
    const { record, changes, comparison, refused } = plan;
    const before = this.#record;
    this.#record = record;
    if (comparison !== undefined) this.#compared(comparison);
    if (refused !== undefined) this.#refused = refused;
    this.#stats = countPlan(this.#stats, plan);
    this.#log.planned(plan, before);
    if (record.held?.sinceMs !== before.held?.sinceMs) this.#awaitConfirmation();
    if (record !== before) this.#options.onRecord(changes);
    this.#lookWhoNowMay(before);
  }

  /** Whoever had nothing to ask for until this moment: the API server's own view, at the first addresses ever. */
  #lookWhoNowMay(before: EndpointRecord): void {
    if (!this.#isStarted) return;
    for (const name of this.#runners.keys())
      if (mayLook(name, this.#record) && !mayLook(name, before)) this.#look(name);
  }

  #compared(comparison: Comparison): void {
    const asked = [...this.#runners.values()].filter(
      ({ name }) => isAddressSource(name) && mayLook(name, this.#record),
    );
    const wasPending = this.#doubt.isPending;
    this.#doubt.compared(comparison, asked, this.#now());
    if (this.#doubt.isPending !== wasPending && this.#record.held === undefined) this.#awaitConfirmation();
  }

  /** A change that is held and a disagreement are shown, but not for longer than it takes to be sure. */
  #awaitConfirmation(): void {
    this.#confirmTimer?.[Symbol.dispose]();
    this.#confirmTimer = undefined;
    if (this.#record.held === undefined && !this.#doubt.isPending) return;
    const delayMs = this.#planSettings.confirmAfterMs * (1 + this.#options.random.fraction() / 10);
    this.#confirmTimer = this.#options.timers.after(delayMs + CONFIRM_MARGIN_MS, () => {
      for (const name of this.#runners.keys()) if (isAddressSource(name)) this.#look(name);
    });
  }
}
