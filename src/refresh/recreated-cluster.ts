/**
 * Signs that the cluster was deleted and created again under its name: the endpoint's name no longer exists, or the
 * interfaces are others. EKS is then asked at once instead of an hour later. It is asked less often while it says nothing
 * new, because a name that does not exist may stay so for weeks.
 */
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { Observation } from '../records/observation.ts';
import { isNameSource, type SourceName, traitsOf } from '../records/sources.ts';
import { addressesOf } from './reconcile/changes.ts';
import type { SourcePoller } from './source-poller.ts';

const FIRST_SPACING_MS = 5_000;
/** The spacing doubles up to this; it takes some 20 minutes to create a cluster. */
const MAX_SPACING_MS = 300_000;
/** A sign that was seen before counts as new when EKS has not been asked for this long. */
const FORGET_MS = 3_600_000;
/** Bounds how often EKS is asked about a listing that differs in every answer. */
const MAX_SEEN = 16;

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
    // time does not change a policy that forbids the call
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
