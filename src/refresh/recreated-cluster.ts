/**
 * Signs that the cluster is another one than DescribeCluster described: deleted and created again under its name, it has
 * another endpoint, other interfaces, perhaps another VPC. Then EKS is asked at once instead of an hour later, and not more
 * often than it takes: a name that does not exist may stay so for weeks.
 */
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { Observation } from '../records/observation.ts';
import { isAddressSource, isNameSource, type SourceName, traitsOf } from '../records/sources.ts';
import { addressesOf } from './reconcile/changes.ts';
import type { SourceRunner } from './source-poller.ts';

const FIRST_SPACING_MS = 5_000;
/** Doubles up to this while EKS says nothing new: a cluster takes some 20 minutes to be created. */
const MAX_SPACING_MS = 300_000;
/** Without a question for this long, a sign that was seen before is a new one. */
const FORGET_MS = 3_600_000;

const MAX_SEEN = 16; // so that a listing that says something else each time is asked about seldom, too

export class DetailsDoubt {
  /** What each source shows that speaks against the details. */
  readonly #signs = new Map<SourceName, string>();
  /** A source that goes back and forth between two answers shows nothing new. */
  readonly #seen = new Set<string>();
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #spacingMs = FIRST_SPACING_MS;

  /** Whether EKS is to be asked now. `cluster` is the source that asks it, where there is one. */
  isDue(
    observation: Observation,
    record: EndpointRecord,
    cluster: SourceRunner | undefined,
    nowMs: number,
  ): boolean {
    this.#note(observation, record, nowMs);
    if (this.#signs.size === 0 || cluster === undefined || cluster.isRunning) return false;
    // a policy that does not allow the call is no matter of time
    if (cluster.latest === 'failed' && cluster.lastFailure?.reason === 'denied') return false;
    const askedAtMs = Math.max(this.#askedAtMs, cluster.beganAtMs);
    if (nowMs - askedAtMs < this.#spacingMs) return false;
    this.#askedAtMs = nowMs;
    this.#spacingMs = Math.min(MAX_SPACING_MS, this.#spacingMs * 2);
    return true;
  }

  #note(observation: Observation, record: EndpointRecord, nowMs: number): void {
    const { source } = observation;
    if (!isAddressSource(source) || !traitsOf(source).crossesLink) return;
    const sign = signOf(observation, record);
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

function signOf(observation: Observation, record: EndpointRecord): string | undefined {
  if (isNameSource(observation.source)) {
    return observation.kind === 'failed' && observation.reason === 'not-found' ? 'not-found' : undefined;
  }
  const served = addressesOf(record);
  if (served.length === 0) return undefined;
  if (observation.kind === 'failed') {
    if (observation.reason !== 'empty') return undefined;
    return record.confirmedAtMs.interfaces === undefined ? undefined : 'empty';
  }
  if (observation.kind !== 'addresses') return undefined;
  const { addresses } = observation;
  return addresses.some((address) => served.includes(address)) ? undefined : addresses.toSorted().join();
}
