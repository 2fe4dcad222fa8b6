/**
 * Polls one source of one cluster: keeps its schedule, last answer and statistics, and runs at most one poll at a time. A poll has
 * a deadline; `nextDelayMs` in cluster-sources.ts says when to poll again. At the end, what the polls of a cluster show beside the
 * addresses: whether AWS accepts the credentials, when credentials end that an outage can outlast, and which source stays silent
 * although others answer. What will be served and whether the link is cut, this file refuses to know.
 */
import type { Log } from '../log/log.ts';
import type { Ending, FailureReason, Observation, Source, SourceContext } from '../records/observation.ts';
import { isNameSource, type SourceName, traitsOf } from '../records/sources.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import type { Turnstile } from '../runtime/slices.ts';
import type { AddressView } from './reconcile/decision.ts';
import { REFRESH_MESSAGES } from './refresh-messages.ts';

/** Counted from the start of the process; times are monotonic. */
export interface SourceStats {
  readonly refreshes: Readonly<Partial<Record<'succeeded' | FailureReason, number>>>;
  readonly durationMsSum: number;
  /** Polls that settled after their deadline, or after a newer poll had replaced them; their answers were ignored. */
  readonly lateResults: number;
  /** The number of polls that the poller gave up and that have not settled since. */
  readonly unsettled: number;
}

export interface LastFailure {
  readonly reason: FailureReason;
  readonly detail: string;
  readonly atMs: number;
}

/** How the polls of one source went. */
export interface Progress {
  /** The number of failures since the last success or kick. */
  readonly consecutiveFailures: number;
  readonly lastFailure?: FailureReason | undefined;
  /** Polls that outlived their deadline and have not settled since. */
  readonly unsettled: number;
}

interface PollOptions {
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A result passes here before it is handed on. */
  readonly turnstile?: Turnstile;
}

export interface PollResult {
  readonly observation: Observation;
  /** Monotonic. */
  readonly startedMs: number;
  readonly durationMs: number;
  /** The source still works on the poll: it ignored the deadline and the abort signal. */
  readonly isUnsettled: boolean;
  /** The source answered after the deadline. The poll ignores the content; the answer still proves that the source is reachable. */
  readonly isLate: boolean;
}

interface Poll {
  readonly startedMs: number;
  /** Ends the poll as if its deadline had passed. */
  interrupt(): void;
  /** Ends the poll without a result: it counts as unsettled until its source has settled it. */
  abandon(): void;
}

interface Running {
  poll: Poll;
  context: SourceContext;
  /** The source poller is interrupting the poll; the next poll starts after the end of this poll. */
  isRestarting: boolean;
  readonly done: PromiseWithResolvers<void>;
}

/** A poll that started this recently is as good as a new poll. */
const YOUNG_MS = 500;

export class SourcePoller {
  readonly source: Source;
  latest: 'untried' | 'succeeded' | 'failed' = 'untried';
  view: AddressView | undefined;
  /** The view before the latest success. */
  viewBefore: AddressView | undefined;
  lastFailure: LastFailure | undefined;
  settledAtMs: number | undefined;
  /** When the poll started that settled last. */
  startedAtMs = Number.NEGATIVE_INFINITY;
  /** The number of failures since the last success or kick; this number sets the backoff. */
  consecutiveFailures = 0;
  nextPollAtMs: number | undefined;
  /** When the credentials of the source end, by the latest poll that knew it. */
  endings: readonly Ending[] = [];
  /** The last success, or when the poller began to ask. */
  heardAtMs: number;

  readonly #options: PollOptions;
  readonly #onSettled: (poller: SourcePoller, result: PollResult) => void;
  #stats: SourceStats = { refreshes: {}, durationMsSum: 0, lateResults: 0, unsettled: 0 };
  #timer: Disposable | undefined;
  #running: Running | undefined;

  /** `before` is the poller of the same source from before a reload: its answers and statistics go on. */
  constructor(
    source: Source,
    options: PollOptions,
    onSettled: (poller: SourcePoller, result: PollResult) => void,
    before?: SourcePoller,
  ) {
    this.source = source;
    this.#options = options;
    this.#onSettled = onSettled;
    this.heardAtMs = before?.heardAtMs ?? options.clock.monotonicMs();
    if (before === undefined) return;
    this.latest = before.latest;
    this.view = before.view;
    this.lastFailure = before.lastFailure;
    this.endings = before.endings;
    this.#stats = { ...before.#stats, unsettled: 0 };
  }

  get name(): SourceName {
    return this.source.name;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Starts a poll, or joins the running one. With `restart`, a running poll that is older or asks something else is given
   * up for a new one. Resolves when the result has been handled.
   */
  poll(context: SourceContext, restart = false): Promise<void> {
    const running = this.#running;
    if (running === undefined) {
      const done = Promise.withResolvers<void>();
      this.#running = { done, context, poll: this.#start(context), isRestarting: false };
      return done.promise;
    }
    const ageMs = this.#options.clock.monotonicMs() - running.poll.startedMs;
    const asksOther = JSON.stringify(context) !== JSON.stringify(running.context);
    if (restart && (ageMs > YOUNG_MS || asksOther)) {
      running.context = context;
      running.isRestarting = true;
      running.poll.interrupt();
    }
    return running.done.promise;
  }

  progress(): Progress {
    const { consecutiveFailures, lastFailure } = this;
    return { consecutiveFailures, lastFailure: lastFailure?.reason, unsettled: this.#stats.unsettled };
  }

  stats(): SourceStats {
    return this.#stats;
  }

  /** Forgets its answers, because the question has changed. */
  forget(): void {
    this.latest = 'untried';
    this.view = undefined;
    this.viewBefore = undefined;
  }

  /** Sets the time of the next poll; a poll that starts earlier takes its place. */
  schedule(delayMs: number, run: () => void): void {
    const { clock, timers } = this.#options;
    this.#unschedule();
    this.nextPollAtMs = clock.monotonicMs() + delayMs;
    this.#timer = timers.after(delayMs, run);
  }

  /** Gives up the running poll; callers that wait for it go on. */
  stop(): void {
    this.#unschedule();
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#count({ unsettled: 1, lateResults: 0 });
    running.poll.abandon();
    running.done.resolve();
  }

  #unschedule(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.nextPollAtMs = undefined;
  }

  /**
   * Starts a poll with a deadline. It ends at most once, and never after `abandon`.
   *
   *     polling --- an answer or a failure -----------------> answered --> over: the observation
   *        | the deadline, or `interrupt`: the source hears of it by its signal
   *        v
   *      grace ---- a failure: it says why there is nothing -> answered --> over: that failure
   *        |`------ an answer, too late ---------------------> answered --> over: timeout, `isLate`
   *        `------- nothing in the grace time --------------------------> over: timeout, `isUnsettled`
   *
   * `answered` waits for its turn among the polls that end together. `abandon` leads from everywhere to `over`, without a result.
   */
  #start(context: SourceContext): Poll {
    this.#unschedule();
    const { clock, timers, deadlineMs, turnstile } = this.#options;
    const startedMs = clock.monotonicMs();
    const controller = new AbortController();
    let phase: 'polling' | 'grace' | 'answered' | 'over' = 'polling';
    /** A poll can be abandoned during each `await`. */
    const isOver = (): boolean => phase === 'over';
    const settledLate = () => this.#count({ lateResults: 1, unsettled: -1 });
    const end = (observation: Observation, durationMs: number, more: Partial<PollResult> = {}): void => {
      phase = 'over';
      this.#ended({ observation, startedMs, durationMs, isUnsettled: false, isLate: false, ...more });
    };
    const late = () => failure(this.name, 'timeout', `nothing within ${deadlineMs} ms`);
    const interrupt = (): void => {
      if (phase !== 'polling') return;
      phase = 'grace';
      timer[Symbol.dispose]();
      timer = timers.after(GRACE_MS, () =>
        end(late(), clock.monotonicMs() - startedMs, { isUnsettled: true }),
      );
      controller.abort();
    };
    let timer = timers.after(deadlineMs, interrupt);
    inBackground('refresh', async () => {
      const observation = await observe(this.source, context, controller.signal);
      if (isOver()) return settledLate();
      // an answer in the grace time is too late, but a failure still says why there was no answer
      const isLate = phase === 'grace' && observation.kind !== 'failed';
      const durationMs = clock.monotonicMs() - startedMs;
      phase = 'answered';
      timer[Symbol.dispose]();
      await turnstile?.pass();
      if (isOver()) settledLate();
      else end(isLate ? late() : observation, durationMs, { isLate });
    });
    const abandon = (): void => {
      if (phase === 'over') return;
      phase = 'over';
      timer[Symbol.dispose]();
      controller.abort();
    };
    return { startedMs, interrupt, abandon };
  }

  /** The content of an answer that comes after its poll was given up is ignored; it counts. */
  #count({ lateResults, unsettled }: Pick<SourceStats, 'lateResults' | 'unsettled'>): void {
    const { lateResults: late, unsettled: left } = this.#stats;
    const counts = { lateResults: late + lateResults, unsettled: Math.max(0, left + unsettled) };
    this.#stats = { ...this.#stats, ...counts };
  }

  #ended(result: PollResult): void {
    this.#count({ unsettled: Number(result.isUnsettled), lateResults: Number(result.isLate) });
    const running = this.#running;
    if (running?.isRestarting) {
      running.isRestarting = false;
      running.poll = this.#start(running.context);
      return;
    }
    this.#running = undefined;
    this.#take(result);
    try {
      this.#onSettled(this, result);
    } finally {
      running?.done.resolve();
    }
  }

  #take({ observation, startedMs, durationMs }: PollResult): void {
    const atMs = this.#options.clock.monotonicMs();
    this.settledAtMs = atMs;
    this.startedAtMs = startedMs;
    this.endings = observation.endings ?? this.endings;
    const outcome = observation.kind === 'failed' ? observation.reason : 'succeeded';
    const { refreshes, durationMsSum } = this.#stats;
    this.#stats = {
      ...this.#stats,
      refreshes: { ...refreshes, [outcome]: (refreshes[outcome] ?? 0) + 1 },
      durationMsSum: durationMsSum + durationMs,
    };
    if (observation.kind === 'failed') {
      this.latest = 'failed';
      this.consecutiveFailures++;
      this.lastFailure = { reason: observation.reason, detail: observation.detail, atMs };
      return;
    }
    this.latest = 'succeeded';
    this.heardAtMs = atMs;
    this.consecutiveFailures = 0;
    if (observation.kind === 'details') return;
    const { addresses, ttlSeconds, upstream, statuses, isDoubtful } = observation;
    this.viewBefore = this.view;
    // a name may have changed since it was asked: its answer speaks for that moment, and contradicts no later listing
    const observedAtMs = isNameSource(this.name) ? startedMs : atMs;
    this.view = { addresses, ttlSeconds, upstream, statuses, isDoubtful, observedAtMs };
  }
}

/**
 * Time after the abort in which a source can say how far it came. A request that hung in the network does so at once; a
 * hanging credential provider ignores the signal, and gives no evidence about the link.
 */
const GRACE_MS = 100;

/** A source never rejects. A rejection is a defect, and costs this poll alone. */
async function observe(source: Source, context: SourceContext, signal: AbortSignal): Promise<Observation> {
  const { name } = source;
  try {
    const observation = await source.observe(context, signal);
    if (observation.kind !== 'addresses') return observation;
    const addresses = [...new Set(observation.addresses)];
    if (addresses.length > 0) return { ...observation, addresses };
    return failure(name, 'empty', 'no address', true);
  } catch (error) {
    return failure(name, 'internal', error instanceof Error ? error.message : String(error));
  }
}

function failure(source: SourceName, reason: FailureReason, why: string, isReached = false): Observation {
  const detail = `observe by "${source}": ${why}`;
  return { kind: 'failed', source, reason, reachedFarSide: isReached, detail };
}

// Whether AWS accepts the credentials of this server: bad credentials never look like a cut, nor a cut like bad credentials. A
// poll without an answer of AWS changes nothing here.

/** `missing`: no provider gives credentials, or it hangs. `expired`, `refused`: AWS answered so. */
export type CredentialCondition = 'unknown' | 'accepted' | 'missing' | 'expired' | 'refused';

export interface CredentialState {
  readonly condition: CredentialCondition;
  /** From the failure that brought the trouble; empty without trouble. */
  readonly detail: string;
  /** When the condition began, monotonic. */
  readonly sinceMs: number;
  /** Services have permissions and Regions of their own: trouble ends when no source has any. */
  readonly troubles: ReadonlyMap<SourceName, Trouble>;
}

type Trouble = Pick<CredentialState, 'condition' | 'detail'>;

const ACCEPTED: Trouble = { condition: 'accepted', detail: '' };

export const initialCredentialState: CredentialState = {
  condition: 'unknown',
  detail: '',
  sinceMs: 0,
  troubles: new Map(),
};

const TROUBLES: ReadonlyMap<FailureReason, CredentialCondition> = new Map([
  ['no-credentials', 'missing'],
  ['expired-credentials', 'expired'],
  ['refused-credentials', 'refused'],
]);

/** Failures that AWS reports only after it has accepted the credentials. */
const AFTER_ACCEPTANCE: ReadonlySet<FailureReason> = new Set(['denied', 'not-found', 'empty']);

export function isInTrouble({ condition }: Pick<CredentialState, 'condition'>): boolean {
  return condition !== 'unknown' && condition !== 'accepted';
}

/** @returns the same state where the observation says nothing new */
export function nextCredentialState(
  state: CredentialState,
  observation: Observation,
  nowMs: number,
): CredentialState {
  const finding = findingIn(observation);
  if (finding === undefined) return state;
  const troubles = new Map(state.troubles);
  troubles.delete(observation.source);
  if (finding !== ACCEPTED) troubles.set(observation.source, finding);
  return withTroubles(state, troubles, ACCEPTED, nowMs);
}

/** Forgets the sources that are no longer polled. */
export function retainSources(
  state: CredentialState,
  sources: ReadonlySet<SourceName>,
  nowMs: number,
): CredentialState {
  const troubles = new Map([...state.troubles].filter(([source]) => sources.has(source)));
  if (troubles.size === state.troubles.size) return state;
  return withTroubles(state, troubles, initialCredentialState, nowMs);
}

/** The latest trouble comes first: an earlier trouble is an older view of the same credentials. */
function withTroubles(
  state: CredentialState,
  troubles: ReadonlyMap<SourceName, Trouble>,
  { condition, detail }: Trouble,
  nowMs: number,
): CredentialState {
  const leading = [...troubles.values()].at(-1) ?? { condition, detail };
  const sinceMs = leading.condition === state.condition ? state.sinceMs : nowMs;
  return { ...leading, sinceMs, troubles };
}

function findingIn(observation: Observation): Trouble | undefined {
  if (!traitsOf(observation.source).needsCredentials) return undefined;
  if (observation.kind !== 'failed') return ACCEPTED;
  const { reason, detail, reachedFarSide } = observation;
  const condition = TROUBLES.get(reason);
  if (condition !== undefined) return { condition, detail };
  return reachedFarSide && AFTER_ACCEPTANCE.has(reason) ? ACCEPTED : undefined;
}

// Warnings of later failures while there is time to act.

const DAY_MS = 86_400_000;
/** An operator hears of an end 30, 7 and 1 days before it. */
const END_WARNINGS_MS: readonly number[] = [DAY_MS, 7 * DAY_MS, 30 * DAY_MS];
/** A source that has missed this number of polls in a row is silent. */
const SILENT_INTERVALS = 10;
/** A source that is polled every few seconds is not silent sooner. */
const LEAST_SILENCE_MS = 15 * 60_000;

export interface Forewarnings {
  /** For each kind of credentials, the end that comes first. */
  readonly endings: readonly Ending[];
  readonly silent: readonly SilentSource[];
}

export interface SilentSource {
  readonly source: SourceName;
  readonly silentMs: number;
  /** The latest failure. */
  readonly detail: string;
}

/** The fields of a poller that count here. */
export type HeardSource = Pick<SourcePoller, 'name' | 'latest' | 'lastFailure' | 'endings' | 'heardAtMs'>;

export interface ForewarningParts {
  readonly pollers: readonly HeardSource[];
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  /** Monotonic. */
  readonly nowMs: number;
}

export function forewarningsOf({ pollers, intervalMs, nowMs }: ForewarningParts): Forewarnings {
  const soonest = new Map<Ending['what'], Ending>();
  for (const ending of pollers.flatMap(({ endings }) => endings)) {
    const known = soonest.get(ending.what);
    if (known === undefined || ending.endsAtMs < known.endsAtMs) soonest.set(ending.what, ending);
  }
  const isCut = pollers.filter(({ name }) => traitsOf(name).crossesLink).every(isUnreachable);
  const silent = pollers.flatMap(({ name: source, latest, lastFailure, heardAtMs }): SilentSource[] => {
    const silentMs = nowMs - heardAtMs;
    if (latest !== 'failed' || silentMs < Math.max(LEAST_SILENCE_MS, SILENT_INTERVALS * intervalMs[source]))
      return [];
    // a cut has its own warning, and ends by itself
    if (isCut && traitsOf(source).crossesLink) return [];
    return [{ source, silentMs, detail: lastFailure?.detail ?? '' }];
  });
  return { endings: [...soonest.values()], silent };
}

function isUnreachable({ latest, lastFailure }: HeardSource): boolean {
  return latest === 'failed' && (lastFailure?.reason === 'timeout' || lastFailure?.reason === 'network');
}

/** The limit of `END_WARNINGS_MS` that has passed; undefined for an end that is far away, or that a provider renews. */
export function passedLimitMs({ endsAtMs, isRenewed }: Ending, wallMs: number): number | undefined {
  return isRenewed ? undefined : END_WARNINGS_MS.find((limitMs) => endsAtMs - wallMs <= limitMs);
}

/** Logs an end once for each limit that it passes, and a silence once. */
export class ForewarningLog {
  readonly #log: Log;
  readonly #passed = new Map<Ending['what'], string>();
  #silent: ReadonlySet<SourceName> = new Set();

  constructor(log: Log) {
    this.#log = log;
  }

  note({ endings, silent }: Forewarnings, wallMs: number): void {
    for (const ending of endings) this.#ending(ending, wallMs);
    for (const { source, silentMs, detail } of silent) {
      if (this.#silent.has(source)) continue;
      REFRESH_MESSAGES.sourceSilent(this.#log, { source, minutes: Math.floor(silentMs / 60_000), detail });
    }
    this.#silent = new Set(silent.map(({ source }) => source));
  }

  #ending(ending: Ending, wallMs: number): void {
    const { what, endsAtMs } = ending;
    const limitMs = passedLimitMs(ending, wallMs);
    const hasEnded = endsAtMs <= wallMs;
    const passed = limitMs === undefined ? '' : `${endsAtMs} ${hasEnded ? 'ended' : limitMs}`;
    if (passed === (this.#passed.get(what) ?? '')) return;
    this.#passed.set(what, passed);
    if (limitMs === undefined) return;
    const endsAt = new Date(endsAtMs).toISOString();
    const days = Math.max(0, Math.floor((endsAtMs - wallMs) / DAY_MS));
    const message = hasEnded ? REFRESH_MESSAGES.credentialsEnded : REFRESH_MESSAGES.credentialsEnd;
    message(this.#log, { what, endsAt, days });
  }
}
