/**
 * What the polls of a cluster show beside the link: whether AWS accepts the credentials, when credentials end that an outage can
 * outlast, which source stays silent although others answer, and whether the cluster seems to be created again. It refuses to know
 * whether the link is cut. Pure, except for the log's memory of its last lines.
 */
import type { Log } from '../log/log.ts';
import { addressesOf, type EndpointRecord } from '../records/endpoint-record.ts';
import type { Ending, FailureReason, Observation } from '../records/observation.ts';
import { isNameSource, type SourceName, traitsOf } from '../records/sources.ts';
import { REFRESH_MESSAGES } from './refresh-messages.ts';
import type { SourcePoller } from './source-poller.ts';

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

const ENDING_TEXT: Readonly<Record<Ending['what'], string>> = {
  'kubernetes-certificate': 'the client certificate for the API servers',
  'roles-anywhere-certificate': 'the certificate of IAM Roles Anywhere',
  session: 'the session of the AWS credentials',
};

/** Sentences for a person. */
export function forewarningTexts({ endings, silent }: Forewarnings, wallMs: number): readonly string[] {
  const ends = endings.flatMap((ending) => {
    if (passedLimitMs(ending, wallMs) === undefined) return [];
    const { what, endsAtMs } = ending;
    const when = new Date(endsAtMs).toISOString().slice(0, 16).replace('T', ' ');
    return endsAtMs <= wallMs
      ? [`${ENDING_TEXT[what]} ended at ${when} UTC: renew it`]
      : [`${ENDING_TEXT[what]} ends at ${when} UTC: renew it now, because an outage can outlast it`];
  });
  const silences = silent.map(({ source, silentMs, detail }) => {
    const minutes = Math.floor(silentMs / 60_000);
    const since = minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
    return `the source ${source} has given no answer for ${since}, while others answer: ${detail}`;
  });
  return [...ends, ...silences];
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

const FIRST_SPACING_MS = 5_000;
/** The spacing doubles up to this; it takes some 20 minutes to create a cluster. */
const MAX_SPACING_MS = 300_000;
/** A sign that was seen before counts as new when EKS has not been asked for this long. */
const FORGET_MS = 3_600_000;
/** Bounds how often EKS is asked about a listing that differs in every answer. */
const MAX_SEEN = 16;

/**
 * Watches for signs that the cluster was deleted and created again under its name. The signs: the endpoint's name no longer
 * exists, or the cluster has different interfaces. The refresher then asks EKS at once instead of an hour later. While EKS says nothing new, the
 * refresher asks less often, because a name may be absent for weeks.
 */
export class RecreationSigns {
  /** The current sign of each source. */
  readonly #signs = new Map<SourceName, string>();
  /** Signs that EKS was asked about: a source that alternates between two answers shows nothing new. */
  readonly #seen = new Set<string>();
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #spacingMs = FIRST_SPACING_MS;

  /** Takes in an observation and says whether to ask EKS now. `eks` is the poller that asks it, if the cluster has one. */
  shouldAskEks(
    observation: Observation,
    record: EndpointRecord,
    eks: SourcePoller | undefined,
    nowMs: number,
  ): boolean {
    this.#note(observation, record, nowMs);
    if (this.#signs.size === 0 || eks === undefined || eks.isRunning) return false;
    // a later call would meet the same policy, which forbids the call
    if (eks.latest === 'failed' && eks.lastFailure?.reason === 'denied') return false;
    if (nowMs - Math.max(this.#askedAtMs, eks.startedAtMs) < this.#spacingMs) return false;
    this.#askedAtMs = nowMs;
    this.#spacingMs = Math.min(MAX_SPACING_MS, this.#spacingMs * 2);
    return true;
  }

  #note(observation: Observation, record: EndpointRecord, nowMs: number): void {
    const { source } = observation;
    const { speaksOf, crossesLink } = traitsOf(source);
    if (speaksOf === 'cluster' || !crossesLink) return;
    const sign = signIn(observation, record);
    if (sign === this.#signs.get(source)) return;
    if (sign === undefined) {
      this.#signs.delete(source);
      return;
    }
    this.#signs.set(source, sign);
    if (nowMs - this.#askedAtMs >= FORGET_MS) this.#seen.clear();
    const key = `${source} ${sign}`;
    if (this.#seen.has(key) || this.#seen.size >= MAX_SEEN) return;
    this.#seen.add(key);
    this.#spacingMs = FIRST_SPACING_MS;
  }
}

function signIn(observation: Observation, record: EndpointRecord): string | undefined {
  const failure = observation.kind === 'failed' ? observation.reason : undefined;
  if (isNameSource(observation.source)) return failure === 'not-found' ? failure : undefined;
  const served = addressesOf(record);
  if (served.length === 0) return undefined;
  if (failure === 'empty' && record.confirmedAtMs[observation.source] !== undefined) return failure;
  if (observation.kind !== 'addresses') return undefined;
  const { addresses } = observation;
  return addresses.some((address) => served.includes(address)) ? undefined : addresses.toSorted().join();
}
