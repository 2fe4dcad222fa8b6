/**
 * The refresh journey of one cluster: sources -> plan [ compare -> guard ] -> the record to save and publish.
 *
 * The room keeps the records of endpoints right while AWS can be reached, and unharmed while it cannot. It refuses to know
 * how a query is answered, how a record is written and how a source asks. Each source has its own schedule. An answer that
 * would change the addresses makes the other sources poll at once, so that only fresh answers are compared. Nothing that
 * fails, hangs or comes back empty ever takes an address away.
 */
import type { Evidence } from '../link/link-monitor.ts';
import type { Log } from '../log/log.ts';
import {
  addressesOf,
  type ClusterDetails,
  type EndpointRecord,
  lastConfirmedAtMs,
  otherEndpointOf,
  type Pin,
} from '../records/endpoint-record.ts';
import {
  askedRegion,
  isAddressSource,
  isListing,
  isNameSource,
  type SourceName,
  traitsOf,
} from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import { ageMs, type Clock, type Timers } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Turnstile } from '../runtime/slices.ts';
import { type ClusterSnapshot, composeSnapshot } from './cluster-snapshot.ts';
import {
  type ClusterSettings,
  contextFor,
  evidenceOf,
  mayPoll,
  nextDelayMs,
  planSettingsOf,
  RecreationSigns,
  type RefreshTimes,
} from './cluster-sources.ts';
import { AGE_WARNINGS_MS, clusterWarnings } from './cluster-warnings.ts';
import { type Change, hasAddressChange } from './reconcile/changes.ts';
import {
  type Comparison,
  compareStates,
  hasSameAddresses,
  type Refusal,
  type SourceState,
} from './reconcile/decision.ts';
import { decide, keep, learn, type Plan, type PlanSettings, repin, withProofs } from './reconcile/plan.ts';
import type { Standing } from './reconcile/prove.ts';
import { DisagreementWatch, RefreshLog } from './refresh-log.ts';
import {
  type CredentialState,
  ForewarningLog,
  type Forewarnings,
  forewarningsOf,
  initialCredentialState,
  nextCredentialState,
  type PollResult,
  retainSources,
  SourcePoller,
} from './source-poller.ts';

export interface ClusterRefresherOptions {
  readonly settings: ClusterSettings;
  readonly times: RefreshTimes;
  /** The record before the start of the refresher, in process time; see record-keeper.ts. */
  readonly record: EndpointRecord;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Polls of all clusters pass here when they start and when they end; without it they do not wait. */
  readonly turnstile?: Turnstile;
  readonly evidence: (evidence: Evidence) => void;
  /** The record is a new object; `changes` is empty when it was only confirmed. */
  readonly onRecord: (changes: readonly Change[]) => void;
}

/** An answer this young is as good as a new one when two are compared. */
const FRESH_MS = 5_000;
/** Hosts and clusters that hear together of a restored link must not call AWS in the same instant. */
const KICK_SPREAD_MS = 1_000;
/** Node's timers count 31 bits of ms; a longer wait is cut. */
const LONGEST_WAIT_MS = 2_000_000_000;
/** A timer may fire a moment early by the monotonic clock; a confirmation must not. */
const CONFIRM_MARGIN_MS = 20;

export class ClusterRefresher {
  readonly #options: ClusterRefresherOptions;
  readonly #log: RefreshLog;
  readonly #forewarnings: ForewarningLog;
  #settings: ClusterSettings;
  #times: RefreshTimes;
  #planSettings: PlanSettings;
  #pollers = new Map<SourceName, SourcePoller>();
  /** Made once: one made beside the pollers of before would keep them in memory. */
  readonly #onSettled = (poller: SourcePoller, result: PollResult) => this.#settled(poller, result);
  #record: EndpointRecord;
  readonly #disagreement: DisagreementWatch;
  readonly #recreation = new RecreationSigns();
  #refused: readonly Refusal[] = [];
  #credentials: CredentialState = initialCredentialState;
  #deciding: Promise<void> | undefined;
  #confirmTimer: Disposable | undefined;
  #kickTimer: Disposable | undefined;
  #pinTimer: Disposable | undefined;
  #isStarted = false;
  #isStopped = false;
  /** Changes that the settings alone made to the earlier record. */
  readonly initialChanges: readonly Change[];

  constructor(options: ClusterRefresherOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#times = options.times;
    this.#planSettings = planSettingsOf(options.settings, options.times);
    const { name: cluster, region } = options.settings;
    const log = options.log.child({ cluster, ...(region === undefined ? {} : { region }) });
    this.#log = new RefreshLog(log);
    this.#forewarnings = new ForewarningLog(log);
    this.#disagreement = new DisagreementWatch(this.#log);
    this.#replacePollers();
    const plan = keep(options.record, this.#states(), this.#planSettings, this.#now());
    this.#record = plan.record;
    this.initialChanges = plan.changes;
    this.#log.planned(plan, options.record);
  }

  get record(): EndpointRecord {
    return this.#record;
  }

  get settings(): ClusterSettings {
    return this.#settings;
  }

  /** Polls at once, and from then on by the schedule of each source. */
  start(): void {
    if (this.#isStopped) return;
    this.#isStarted = true;
    this.#awaitConfirmation();
    this.#awaitPinEnd();
    this.runOnce('start');
  }

  /** Polls every source once, and decides. Without the endpoint's name, the details of the cluster come first. */
  async runOnce(reason: string, restart = false): Promise<void> {
    this.#log.refreshing(reason);
    const eks = this.#record.endpoint === undefined ? this.#eks() : undefined;
    if (eks !== undefined) await this.#poll(eks.name, restart);
    const polls: Promise<void>[] = [];
    for (const name of [...this.#pollers.keys()]) {
      if (name === eks?.name) continue;
      if (this.#options.turnstile !== undefined) await this.#options.turnstile.pass();
      polls.push(this.#poll(name, restart));
    }
    await Promise.all(polls);
    await this.#deciding;
  }

  /** Polls again because something has changed, such as the link. Resets all backoff and gives up older polls. */
  kick(reason: string): void {
    if (!this.#isStarted) return;
    for (const poller of this.#pollers.values()) poller.consecutiveFailures = 0;
    const delayMs = this.#options.random.fraction() * KICK_SPREAD_MS;
    this.#kickTimer ??= this.#options.timers.after(delayMs, () => {
      this.#kickTimer = undefined;
      this.runOnce(reason, true);
    });
  }

  /** The link to `region` is in doubt: polls the sources whose last poll there succeeded. */
  pollWorking(region: string): void {
    for (const { name, latest } of this.#pollers.values()) {
      if (latest === 'succeeded' && askedRegion(name, this.#settings.region) === region) this.#poll(name);
    }
  }

  /** Takes new settings, keeps the record and the answers of the sources, and polls again. */
  reconfigure(settings: ClusterSettings, times: RefreshTimes): void {
    const { endpoint, region } = this.#record;
    this.#settings = settings;
    this.#times = times;
    this.#planSettings = planSettingsOf(settings, times);
    this.#replacePollers();
    this.#disagreement.forget();
    const record = region === settings.region ? this.#record : { ...this.#record, region: settings.region };
    this.#commit(keep(record, this.#states(), this.#planSettings, this.#now()));
    if (this.#record.endpoint !== endpoint) this.#forgetNames();
    this.kick('reconfigured');
  }

  /** Pins addresses for a time, or ends the pin of a command (`undefined`). Times are those of the process. */
  repin(pin: Pin | undefined): void {
    this.#commit(repin(this.#record, pin, this.#states(), this.#planSettings, this.#now()));
    if (pin === undefined) this.kick('unpinned');
  }

  /** Takes the proofs of the addresses into the record. */
  checked(standings: ReadonlyMap<string, Standing>): void {
    if (this.#planSettings.isProving !== true) return;
    this.#commit(withProofs(this.#record, standings, this.#now()));
  }

  /** Ends all polls and timers; the record stays as it is. */
  stop(): void {
    this.#isStarted = false;
    this.#isStopped = true;
    this.#confirmTimer?.[Symbol.dispose]();
    this.#kickTimer?.[Symbol.dispose]();
    this.#pinTimer?.[Symbol.dispose]();
    for (const poller of this.#pollers.values()) poller.stop();
  }

  /** @param stateAheadMs how far the file of the record is ahead of the wall clock */
  snapshot(stateAheadMs = 0): ClusterSnapshot {
    const parts = {
      record: this.#record,
      settings: this.#settings,
      pollers: [...this.#pollers.values()],
      comparison: this.#disagreement.latest,
      refused: this.#refused,
      credentials: this.#credentials,
      stateAheadMs,
      nowMs: this.#now(),
      wallMs: this.#options.clock.wallMs(),
      forewarnings: this.#forewarned(),
    };
    const snapshot = composeSnapshot(parts);
    return { ...snapshot, warnings: clusterWarnings(parts, snapshot.pin) };
  }

  #forewarned(): Forewarnings {
    const { intervalMs } = this.#times;
    return forewarningsOf({ pollers: [...this.#pollers.values()], intervalMs, nowMs: this.#now() });
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #replacePollers(): void {
    const before = this.#pollers;
    const { clock, timers, turnstile } = this.#options;
    const options = { clock, timers, turnstile, deadlineMs: this.#times.deadlineMs };
    this.#pollers = new Map(
      this.#settings.sources.map((source) => [
        source.name,
        new SourcePoller(source, options, this.#onSettled, before.get(source.name)),
      ]),
    );
    for (const poller of before.values()) poller.stop();
    this.#noteCredentials(retainSources(this.#credentials, new Set(this.#pollers.keys()), this.#now()));
  }

  /** The poller that asks EKS for the details of the cluster. */
  #eks(): SourcePoller | undefined {
    return [...this.#pollers.values()].find(({ name }) => traitsOf(name).speaksOf === 'cluster');
  }

  #addressPollers(): readonly SourcePoller[] {
    return [...this.#pollers.values()].filter(({ name }) => isAddressSource(name));
  }

  #states(): readonly SourceState[] {
    return [...this.#pollers.values()].flatMap(({ name, latest, view, lastFailure }) => {
      if (!isAddressSource(name)) return [];
      const failure = latest === 'failed' ? lastFailure?.reason : undefined;
      return [{ source: name, latest, view, failure }];
    });
  }

  /** Every poll starts here. Never rejects. */
  #poll(name: SourceName, restart = false): Promise<void> {
    const poller = this.#pollers.get(name);
    if (poller === undefined || this.#isStopped || !mayPoll(name, this.#record)) return Promise.resolve();
    return poller.poll(contextFor(this.#record, this.#settings), restart);
  }

  #settled(poller: SourcePoller, result: PollResult): void {
    const { observation } = result;
    const evidence = evidenceOf(result, this.#settings.region);
    if (evidence) this.#options.evidence(evidence);
    this.#log.settled(result);
    this.#forewarnings.note(this.#forewarned(), this.#options.clock.wallMs());
    this.#schedule(poller);
    this.#noteCredentials(nextCredentialState(this.#credentials, observation, this.#now()));
    const eks = this.#eks();
    const isEksDue = () => this.#recreation.shouldAskEks(observation, this.#record, eks, this.#now());
    if (this.#isStarted && eks !== undefined && isEksDue()) this.#poll(eks.name);
    if (observation.kind === 'addresses') this.#consider(poller, observation.addresses);
    else if (observation.kind === 'details') this.#learn(observation.details);
    else this.#failed(poller);
  }

  /** Starts the other sources at once when credentials work again for one source: their backoff may be an hour. */
  #noteCredentials(next: CredentialState): void {
    const before = this.#credentials;
    this.#credentials = next;
    this.#log.credentials(before, next);
    if (!this.#isStarted || next.troubles.size >= before.troubles.size) return;
    for (const source of next.troubles.keys()) if (!this.#pollers.get(source)?.isRunning) this.#poll(source);
  }

  #learn(details: ClusterDetails): void {
    const before = this.#record;
    this.#commit(learn(before, details, this.#planSettings, this.#now()));
    const described = otherEndpointOf(this.#record);
    const isRedescribed = described !== undefined && described !== before.details?.endpoint;
    if (this.#record.endpoint !== before.endpoint || isRedescribed) {
      this.#forgetNames();
      for (const name of this.#pollers.keys()) if (isNameSource(name)) this.#poll(name, true);
    }
    if (before.details === undefined || this.#record.details?.vpcId === before.details.vpcId) return;
    for (const name of this.#pollers.keys()) if (isListing(name)) this.#poll(name, true);
  }

  /** Forgets the answers of the name sources, because the addresses of the old name say nothing about the new name. */
  #forgetNames(): void {
    for (const poller of this.#pollers.values()) if (isNameSource(poller.name)) poller.forget();
  }

  #failed(poller: SourcePoller): void {
    const nowMs = this.#now();
    this.#commit(keep(this.#record, this.#states(), this.#planSettings, nowMs));
    // only answers of about the same time are compared: in a cut one source fails before the others
    if (this.#staleSiblings(poller).length === 0) {
      this.#compared(compareStates(this.#states(), this.#planSettings, nowMs));
    }
    this.#log.aged(ageMs(lastConfirmedAtMs(this.#record) ?? nowMs, nowMs), AGE_WARNINGS_MS);
    // when a source begins to fail, the others may still confirm what is served
    if (poller.consecutiveFailures !== 1 || !isAddressSource(poller.name)) return;
    for (const { name, latest } of this.#staleSiblings(poller)) if (latest === 'succeeded') this.#poll(name);
  }

  #schedule(poller: SourcePoller): void {
    if (!this.#isStarted) return;
    const settings = { ...this.#times, intervalMs: this.#times.intervalMs[poller.name] };
    const delayMs = nextDelayMs(poller.progress(), settings, this.#options.random.fraction());
    poller.schedule(delayMs, () => this.#poll(poller.name));
  }

  /** Adopts an answer that changes nothing; otherwise the other sources poll first. */
  #consider(poller: SourcePoller, addresses: readonly string[]): void {
    if (this.#deciding !== undefined) return; // the running decision takes this answer in
    const served = addressesOf(this.#record);
    const proposal = decide(this.#record, this.#states(), this.#planSettings, this.#now());
    const known = [served, poller.viewBefore?.addresses ?? []];
    const isNews = !known.some((before) => hasSameAddresses(addresses, before));
    // where nothing is served there is nothing to protect, and a client waits for an answer
    const isDoubtful = served.length > 0 && (isNews || hasAddressChange(proposal.changes));
    const stale = isDoubtful ? this.#staleSiblings(poller) : [];
    if (stale.length === 0) {
      this.#commit(proposal);
      return;
    }
    this.#deciding = inBackground('refresh', async () => {
      await Promise.all(stale.map(({ name }) => this.#poll(name)));
      this.#deciding = undefined;
      this.#commit(decide(this.#record, this.#states(), this.#planSettings, this.#now()));
    });
  }

  #staleSiblings({ name }: SourcePoller): readonly SourcePoller[] {
    const nowMs = this.#now();
    return this.#addressPollers().filter((sibling) => {
      if (sibling.name === name) return false;
      const isFresh = sibling.latest === 'succeeded' && nowMs - (sibling.settledAtMs ?? 0) < FRESH_MS;
      return sibling.isRunning || !isFresh;
    });
  }

  #commit(plan: Plan): void {
    if (this.#isStopped) return;
    const { record, changes, comparison, refused } = plan;
    const before = this.#record;
    this.#record = record;
    if (comparison !== undefined) this.#compared(comparison);
    if (refused !== undefined) this.#refused = refused;
    this.#log.planned(plan, before);
    if (record.held?.sinceMs !== before.held?.sinceMs) this.#awaitConfirmation();
    if (record.pin?.untilMs !== before.pin?.untilMs) this.#awaitPinEnd();
    if (record !== before) this.#options.onRecord(changes);
    if (this.#isStarted) this.#pollNewlyAble(before);
  }

  /** Starts sources that have just received the input they need. */
  #pollNewlyAble(before: EndpointRecord): void {
    for (const name of this.#pollers.keys())
      if (mayPoll(name, this.#record) && !mayPoll(name, before)) this.#poll(name);
  }

  #compared(comparison: Comparison): void {
    const asked = this.#addressPollers().filter(({ name }) => mayPoll(name, this.#record));
    const wasPending = this.#disagreement.isPending;
    this.#disagreement.compared(comparison, asked, this.#now());
    if (this.#disagreement.isPending !== wasPending && this.#record.held === undefined)
      this.#awaitConfirmation();
  }

  #awaitPinEnd(): void {
    this.#pinTimer?.[Symbol.dispose]();
    this.#pinTimer = undefined;
    const { pin } = this.#record;
    if (pin === undefined || !this.#isStarted) return;
    const delayMs = Math.min(Math.max(0, pin.untilMs - this.#now()), LONGEST_WAIT_MS);
    this.#pinTimer = this.#options.timers.after(delayMs + CONFIRM_MARGIN_MS, () => {
      this.#commit(keep(this.#record, this.#states(), this.#planSettings, this.#now()));
      if (this.#record.pin === undefined) this.kick('pin ended');
      else this.#awaitPinEnd();
    });
  }

  /** A held change or a disagreement makes all address sources poll again as soon as that can confirm it. */
  #awaitConfirmation(): void {
    this.#confirmTimer?.[Symbol.dispose]();
    this.#confirmTimer = undefined;
    if (this.#record.held === undefined && !this.#disagreement.isPending) return;
    const delayMs = this.#planSettings.confirmAfterMs * (1 + this.#options.random.fraction() / 10);
    this.#confirmTimer = this.#options.timers.after(delayMs + CONFIRM_MARGIN_MS, () => {
      for (const { name } of this.#addressPollers()) this.#poll(name);
    });
  }
}
