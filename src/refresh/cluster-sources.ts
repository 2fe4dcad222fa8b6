/**
 * One cluster, as the configuration gives it: its settings, its sources, when and what each source is asked, and what the answer
 * says about the link, or of a cluster that was created again. `dns` is asked through the upstreams, all others through far-side/.
 * It keeps no addresses and no timer.
 */
import type { Poll, PollSettings } from '../far-side/far-side.ts';
import type { AuthorityPlaces } from '../far-side/handshake.ts';
import type { FarSource } from '../far-side/poll.ts';
import type { Evidence } from '../link/link-monitor.ts';
import { isNameOfAws } from '../protocol/words/aws-partitions.ts';
import { RCODE, rcodeName } from '../protocol/words/codes.ts';
import {
  addressesOf,
  type EndpointRecord,
  otherEndpointOf,
  STATUS_LABEL,
} from '../records/endpoint-record.ts';
import {
  type AddressObservation,
  cannotAsk,
  type FailureReason,
  failed,
  type Observation,
  type ResolvedName,
  type Source,
  type SourceContext,
  SourceError,
  type SourceFailure,
  type UpstreamView,
} from '../records/observation.ts';
import { askedRegion, isNameSource, perSource, type SourceName, traitsOf } from '../records/sources.ts';
import { untilAborted } from '../runtime/clock.ts';
import type { ServicePlace } from './link-probe.ts';
import { refusalsBy } from './reconcile/decision.ts';
import type { PlanSettings } from './reconcile/plan.ts';
import type { PollResult, Progress, SourcePoller } from './source-poller.ts';

export interface SourceSettings extends PollSettings {
  /** The names of the sources to be polled for one cluster, from which `createSources` builds them; those that ask AWS need its Region. */
  readonly sources: readonly SourceName[];
}

export interface SourceConnections extends UpstreamView {
  readonly poll: Poll;
  /** A poll of this service asks this URL. */
  readonly asked: (place: ServicePlace, url: string) => void;
  /** Whether AWS counts as unreachable although it may answer: a drill runs. */
  readonly isDrilled: () => boolean;
}

export function createSources(
  { sources, ...settings }: SourceSettings,
  connections: SourceConnections,
): Source[] {
  return [...new Set(sources)].map((name) =>
    name === 'dns' ? createDnsSource(connections) : createFarSource(name, settings, connections),
  );
}

function createFarSource(name: FarSource, settings: PollSettings, connections: SourceConnections): Source {
  const { service, crossesLink } = traitsOf(name);
  return {
    name,
    async observe(context, signal) {
      // `dns` does not come here: the forwarder knows which upstreams are across the link
      if (crossesLink && connections.isDrilled()) {
        const detail = `observe by "${name}": not tried: a drill runs`;
        return failed(name, { reason: 'network', reachedFarSide: false, detail });
      }
      const { region } = context;
      const seen = await connections.poll(name, settings, context, signal, (url) => {
        if (service === undefined || region === undefined) return;
        connections.asked({ service, region, profile: settings.profile }, url);
      });
      return seen.kind === 'addresses' && seen.targets !== undefined
        ? withTargets(seen, seen.targets, connections, signal)
        : seen;
    },
  };
}

/** All targets or none: a part of them would read as lost addresses. */
async function withTargets(
  { targets: _, ...seen }: AddressObservation,
  targets: readonly string[],
  upstream: UpstreamView,
  signal: AbortSignal,
): Promise<Observation> {
  try {
    const resolved = await Promise.all(targets.map((target) => resolveAddresses(upstream, target, signal)));
    const addresses = [...seen.addresses, ...resolved.flatMap((target) => target.addresses)];
    const ttls = [seen, ...resolved].flatMap(({ ttlSeconds }) => ttlSeconds ?? []);
    return { ...seen, addresses: [...new Set(addresses)], ttlSeconds: Math.min(...ttls) };
  } catch (error) {
    // the zone was read, so AWS has answered
    return failed(seen.source, { ...explain(error), reachedFarSide: true });
  }
}

/**
 * Asks the upstreams for the endpoint's name, past our own cache, without credentials. An answer is evidence for the upstream,
 * not for AWS, because the upstream may answer from its cache.
 */
export function createDnsSource(upstream: UpstreamView): Source {
  return {
    name: 'dns',
    async observe({ endpoint, isEndpointOfEks, describedEndpoint }, signal) {
      try {
        if (endpoint === undefined)
          throw cannotAsk('resolving the endpoint failed: its name is not known yet');
        const resolved =
          (await resolveDescribed(upstream, describedEndpoint, signal)) ??
          (await resolveAddresses(upstream, endpoint, signal, isEndpointOfEks));
        return { kind: 'addresses', source: 'dns', ...resolved };
      } catch (error) {
        return failed('dns', explain(error));
      }
    },
  };
}

/** Errors of this room are SourceErrors; any other is a defect of our own. */
export function explain(error: unknown): SourceFailure {
  const {
    code: reason,
    reachedFarSide,
    message: detail,
  } = error instanceof SourceError ? error : cannotAsk(`poll failed: ${String(error)}`);
  return { reason, reachedFarSide, detail };
}

/** Failures after which the operator's name is asked: the upstream answers, and has no address for the name from AWS. */
const WITHOUT_ADDRESSES: ReadonlySet<string> = new Set(['not-found', 'empty', 'filtered']);

/** The name from AWS comes first: the operator's may be outdated, or belong to another cluster. */
async function resolveDescribed(
  upstream: UpstreamView,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Resolved | undefined> {
  if (name === undefined) return undefined;
  try {
    return await resolveAddresses(upstream, name, signal, true);
  } catch (error) {
    if (error instanceof SourceError && WITHOUT_ADDRESSES.has(error.code)) return undefined;
    throw error;
  }
}

export interface Resolved {
  readonly addresses: readonly string[];
  readonly ttlSeconds: number;
  readonly upstream?: string;
}

/**
 * The addresses that upstreams give for `name`. Throws SourceError where there are none, or where they are our own. A
 * resolver of the site that forwards the name to an outpost-dns would confirm the served addresses for ever. `isManaged`:
 * AWS keeps the name, with any suffix.
 */
export async function resolveAddresses(
  upstream: UpstreamView,
  name: string,
  signal: AbortSignal,
  isManaged = false,
): Promise<Resolved> {
  const late = () => new SourceError(failure('timeout', name, 'no upstream answered within the deadline'));
  const asked = Promise.all([
    upstream.resolve(name, signal),
    upstream.answersText(`${STATUS_LABEL}.${name}`, signal),
  ]);
  const [resolved, isOurOwn] = await untilAborted(asked, signal, late);
  if (isOurOwn) throw new SourceError(failure('looping', name, LOOPING));
  if (resolved.kind === 'addresses' && resolved.addresses.length > 0) {
    const { ttlSeconds, upstream } = resolved;
    const addresses = [...new Set(resolved.addresses)];
    return { addresses, ttlSeconds, ...(upstream === undefined ? {} : { upstream }) };
  }
  throw new SourceError(explainNoAddresses(name, resolved, isManaged));
}

function explainNoAddresses(name: string, resolved: ResolvedName, isManaged: boolean): SourceFailure {
  if (resolved.kind === 'failed') {
    const { detail } = resolved;
    if (resolved.reason !== 'servfail') return failure(resolved.reason, name, detail);
    return failure('network', name, detail || 'upstream answered SERVFAIL');
  }
  const rcode = resolved.kind === 'addresses' ? RCODE.NOERROR : resolved.rcode;
  if (rcode === RCODE.NOERROR) {
    // AWS gives these names addresses, so something in between has dropped them
    return failure(isManaged || isNameOfAws(name) ? 'filtered' : 'empty', name, REBINDING);
  }
  if (rcode === RCODE.NXDOMAIN) return failure('not-found', name, 'upstream answered NXDOMAIN');
  const reason = rcode === RCODE.REFUSED ? 'denied' : rcode === RCODE.SERVFAIL ? 'network' : 'malformed';
  return failure(reason, name, `upstream answered ${rcodeName(rcode)}`);
}

// the endpoint is a public name with private addresses, which protection against DNS rebinding drops
const REBINDING =
  'upstream answered without an address: it may be dropping private addresses (dns rebinding protection), ' +
  'so allow this name there, or send it to another upstream';

const LOOPING =
  'the upstream forwards this name back to an outpost-dns, so its answer confirms nothing: ' +
  'list an upstream that resolves the name itself, such as the resolver of the VPC or the one that the site forwards to';

function failure(reason: SourceFailure['reason'], name: string, detail: string): SourceFailure {
  return { reason, reachedFarSide: false, detail: `resolving "${name}" failed: ${detail}` };
}

// The settings of the refresh journey, for a cluster and for times. The types are the room's own; config/ is mapped onto them.

export interface ClusterSettings {
  readonly name: string;
  readonly region?: string;
  /** A domain name as text; wins over what DescribeCluster says. */
  readonly endpoint?: string;
  /** Wins over what DescribeCluster says. */
  readonly vpcId?: string;
  /** CIDR texts. */
  readonly allowedAddresses: readonly string[];
  /** IPv4 addresses, canonical text; empty for no pin. */
  readonly pin: readonly string[];
  /** At most one of each name. */
  readonly sources: readonly Source[];
  /** Without it, addresses are not checked. */
  readonly probe?: ProbeSettings;
}

export interface ProbeSettings {
  readonly port: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Proves addresses by TLS where an authority is known. */
  readonly prove: boolean;
  /** A file with authorities of the cluster, in PEM. */
  readonly ca?: string;
  /** How the API server is asked: its files may name the authority as well. */
  readonly access?: AuthorityPlaces['access'];
  /** The HTTP proxy through which this host reaches the addresses. */
  readonly proxy?: { readonly address: string; readonly port: number };
}

export interface RefreshTimes {
  readonly intervalMs: Readonly<Record<SourceName, number>>;
  readonly jitterPercent: number;
  /** The wait after the first failure; each further failure doubles the wait, up to `retryMaxMs`. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  /** Bounds every poll, even if the client of the poll ignores the deadline. */
  readonly deadlineMs: number;
  /** A held change is adopted when it is repeated this much later. Default 15,000. */
  readonly confirmAfterMs?: number;
}

/** Shorter than any interval, and longer than EC2 takes to agree with itself. */
const DEFAULT_CONFIRM_AFTER_MS = 15_000;
/** An answer counts for this many intervals, and for the poll that should have replaced it. */
const VIEW_LASTS_INTERVALS = 3;

export function planSettingsOf(settings: ClusterSettings, times: RefreshTimes): PlanSettings {
  return {
    endpoint: settings.endpoint,
    pin: settings.pin,
    isProving: settings.probe?.prove ?? false,
    refusalOf: refusalsBy(settings.allowedAddresses),
    confirmAfterMs: times.confirmAfterMs ?? DEFAULT_CONFIRM_AFTER_MS,
    maximumAgeMs: perSource((name) => VIEW_LASTS_INTERVALS * times.intervalMs[name] + times.deadlineMs),
  };
}

// When to poll again: after an interval, or, after failures, after a backoff short enough for a returning link. Pure.

export interface ScheduleSettings {
  readonly intervalMs: number;
  readonly jitterPercent: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/** More doublings than any bound allows, and far fewer than those at which powers of two lose precision. */
const MAX_DOUBLINGS = 30;
const UNSETTLED_TOLERATED = 2;
const UNSETTLED_MAX_MS = 300_000;
/** A person must fix the cause, so time does not help, and AWS records every attempt. */
const LASTING: ReadonlySet<FailureReason | undefined> = new Set(['denied', 'not-found']);

/**
 * @param fraction random, from 0 up to 1: hosts that lost the link together must not poll together
 * @returns ms to wait, never below 0
 */
export function nextDelayMs(progress: Progress, settings: ScheduleSettings, fraction: number): number {
  const spread = 1 + (settings.jitterPercent / 100) * (2 * fraction - 1);
  return Math.max(0, Math.round(baseDelayMs(progress, settings) * spread));
}

function baseDelayMs(progress: Progress, settings: ScheduleSettings): number {
  const { consecutiveFailures: failures, lastFailure, unsettled } = progress;
  const { intervalMs, retryMinMs, retryMaxMs } = settings;
  if (failures === 0) return intervalMs;
  const ceilingMs = LASTING.has(lastFailure) ? Math.max(retryMaxMs, intervalMs) : retryMaxMs;
  const backoffMs = Math.min(ceilingMs, retryMinMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  if (unsettled <= UNSETTLED_TOLERATED) return backoffMs;
  // a poll that never settles keeps a process or a socket (a hanging credential_process), so there must be few
  const slowedMs = backoffMs * 2 ** Math.min(unsettled - UNSETTLED_TOLERATED, MAX_DOUBLINGS);
  return Math.max(backoffMs, Math.min(slowedMs, UNSETTLED_MAX_MS));
}

// What a source is asked about its cluster, and what its answer says about the link.

/** The input of a source about its cluster. The configuration wins over what DescribeCluster said. */
export function contextFor(record: EndpointRecord, { name, region, vpcId }: ClusterSettings): SourceContext {
  const { endpoint, details } = record;
  return {
    cluster: name,
    region,
    endpoint,
    isEndpointOfEks: endpoint !== undefined && endpoint === details?.endpoint,
    describedEndpoint: otherEndpointOf(record),
    vpcId: vpcId ?? details?.vpcId,
    subnetIds: details?.subnetIds ?? [],
    generation: details?.generation,
    knownAddresses: addressesOf(record),
    certificateAuthority: details?.certificateAuthority,
  };
}

/** Whether the record has what the source asks for. A source that lacks it waits; that is no failure. */
export function mayPoll(name: SourceName, { endpoint, addresses }: EndpointRecord): boolean {
  const { asksFor } = traitsOf(name);
  if (asksFor === 'cluster') return true;
  return endpoint !== undefined && (asksFor === 'name' || addresses.length > 0);
}

/**
 * The evidence of a result about the link to AWS. Every answer of AWS proves the link; only silence speaks against it. An
 * answer of a proxy or portal in place of AWS is named, and proves nothing.
 *
 * @returns undefined when the result says nothing about the link
 */
export function evidenceOf(result: PollResult, region: string | undefined): Evidence | undefined {
  const { observation, isUnsettled, isLate, startedMs } = result;
  const key = askedRegion(observation.source, region);
  if (key === undefined) return undefined;
  const evidence = (proves: Evidence['proves'], reason: string): Evidence => {
    return { side: 'aws', key, proves, reason, startedAtMs: startedMs };
  };
  if (observation.kind !== 'failed') return evidence('reachable', 'answered');
  const { reason, reachedFarSide } = observation;
  if (reachedFarSide) return evidence('reachable', reason);
  if (isLate) return evidence('reachable', 'answered late');
  // a hanging credential provider ends like this as well, and bad credentials must never look like a cut
  if (isUnsettled) return undefined;
  if (reason === 'proxy' || reason === 'untrusted-certificate') return evidence('nothing', reason);
  return reason === 'timeout' || reason === 'network' ? evidence('unreachable', reason) : undefined;
}

// Whether EKS is to be asked at once: the cluster seems to be created again.

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
