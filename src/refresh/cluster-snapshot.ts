/**
 * Describes one cluster as plain data with ages instead of times, and the same as the JSON of `/status`. A further fact of an
 * endpoint stands here, and as a metric in endpoint-report.ts. Refuses to know how terminal, page and metrics show it. Pure.
 */
import {
  type EndpointRecord,
  type KnownAddress,
  lastConfirmedAtMs,
  otherEndpointOf,
  type ProofReason,
  type ProofState,
  servedIn,
} from '../records/endpoint-record.ts';
import type { Ending } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import { optionalSeconds, seconds } from '../report/report.ts';
import { ageMs } from '../runtime/clock.ts';
import type { Steps } from '../runtime/slices.ts';
import type { ClusterSettings } from './cluster-sources.ts';
import {
  type Comparison,
  type Disagreement,
  type LikelyCause,
  type Refusal,
  refusalsBy,
} from './reconcile/decision.ts';
import type {
  CredentialCondition,
  CredentialState,
  Forewarnings,
  LastFailure,
  SilentSource,
  SourcePoller,
  SourceStats,
} from './source-poller.ts';

export interface ClusterSnapshot {
  readonly cluster: string;
  readonly region?: string;
  readonly endpoint?: string;
  /** The name in DescribeCluster, if the operator gave a different name: the server answers both names. */
  readonly describedEndpoint?: string;
  /** Earlier names of the endpoint, newest first; the server answers these names too. */
  readonly formerEndpoints?: readonly string[];
  readonly basis: EndpointRecord['basis'];
  readonly ttlSeconds: number;
  readonly lastRefreshFailed: boolean;
  /** The addresses that are served. */
  readonly addresses: readonly AddressSnapshot[];
  /** Addresses that are not served, because they are refused, or new and not proven yet, while proven addresses exist. */
  readonly withheld: readonly AddressSnapshot[];
  /** The time since the set of addresses last changed. */
  readonly changedAgoMs?: number;
  /** The time since a source last confirmed addresses; absent before the first confirmation. */
  readonly confirmedAgoMs?: number;
  readonly sources: readonly SourceSnapshot[];
  readonly held?: {
    readonly addresses: readonly string[];
    readonly reason: string;
    readonly heldForMs: number;
  };
  readonly pin?: PinSnapshot;
  readonly disagreement?: Disagreement;
  readonly likelyCause?: LikelyCause;
  readonly refused: readonly Refusal[];
  /** Absent where no source asks AWS. */
  readonly credentials?: {
    readonly condition: CredentialCondition;
    /** Empty without trouble. */
    readonly detail: string;
    readonly sinceAgoMs: number;
  };
  /** When credentials end, the soonest of each kind. */
  readonly endings: readonly (Ending & { readonly leftMs: number })[];
  /** Sources that have been silent for long, while others answer. */
  readonly silent: readonly SilentSource[];
  readonly details?: EndpointRecord['details'] & { readonly learnedAgoMs: number };
  /** Sentences for a person; empty when all is well. */
  readonly warnings: readonly string[];
}

/** The pin of the operator. A pin of the configuration has no reason, no author and no end. */
export interface PinSnapshot {
  readonly origin: 'configuration' | 'command';
  readonly addresses: readonly string[];
  readonly why?: string;
  readonly by?: string;
  readonly sinceAgoMs?: number;
  readonly endsInMs?: number;
  /** The addresses that would be served without the pin; empty where no source has found an address. */
  readonly unpinned: readonly string[];
  /** Pinned addresses that allowedAddresses refuses, since a reload. */
  readonly refused: readonly string[];
  /** A pin of a command that the pin of the configuration hides. */
  readonly overruled?: Omit<PinSnapshot, 'overruled' | 'unpinned' | 'refused'>;
}

export interface AddressSnapshot {
  readonly address: string;
  /** This address was silent at the last checks, while other addresses answered: it stands last in an answer. */
  readonly isDead: boolean;
  /** EC2's status of its interface where that is not `in-use`: the interface exists, and is not attached now. */
  readonly interfaceStatus?: string;
  /** The time for which EC2's listing has lacked the address. The address stays because the name had it. */
  readonly lackedAgoMs?: number;
  /** Whether it is proven to be the API server; absent before its first check. */
  readonly proof?: {
    readonly state: ProofState;
    readonly reason?: ProofReason;
    readonly sinceAgoMs: number;
    /** The time since the last successful proof; absent if it never was proven. */
    readonly provenAgoMs?: number;
  };
  /** The sources no longer give this address. It is served because it is proven, and none of their addresses is proven. */
  readonly isLeaving?: true;
  /** This address stands after the other addresses in an answer. */
  readonly isLast?: boolean | undefined;
  readonly provenance: Readonly<
    Partial<Record<SourceName | 'pin', { readonly firstSeenAgoMs: number; readonly lastSeenAgoMs: number }>>
  >;
}

export interface SourceSnapshot {
  readonly source: SourceName;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  readonly isRunning: boolean;
  /** The time since the last success; a success before a restart counts too. */
  readonly lastSuccessAgoMs?: number;
  readonly lastFailure?: Omit<LastFailure, 'atMs'> & { readonly agoMs: number };
  readonly consecutiveFailures: number;
  /** Addresses in the last answer of the source; absent for a source that gives no addresses. */
  readonly addresses?: readonly string[];
  /** No interface has exactly the description of the cluster; those that are listed only contain its text. */
  readonly isDoubtful?: true;
  /** Absent while a poll runs, or while there is nothing to ask for. */
  readonly nextAttemptInMs?: number;
  readonly stats: SourceStats;
}

export interface SnapshotParts {
  readonly record: EndpointRecord;
  readonly settings: ClusterSettings;
  readonly pollers: readonly SourcePoller[];
  readonly comparison: Comparison | undefined;
  readonly refused: readonly Refusal[];
  readonly credentials: CredentialState;
  /** How far the file of the state is ahead of the wall clock; 0 when it is not. */
  readonly stateAheadMs: number;
  readonly nowMs: number;
  readonly wallMs: number;
  readonly forewarnings: Forewarnings;
}

/** The warnings come from cluster-warnings.ts. */
export function composeSnapshot(parts: SnapshotParts): Omit<ClusterSnapshot, 'warnings'> {
  const { record, pollers, comparison, refused, nowMs, wallMs, forewarnings } = parts;
  const { cluster, region, endpoint, basis, ttlSeconds, lastRefreshFailed } = record;
  const { changedAtMs, held, details, formerEndpoints } = record;
  const { served, withheld } = servedIn(record);
  return {
    cluster,
    region,
    endpoint,
    describedEndpoint: otherEndpointOf(record),
    formerEndpoints,
    basis,
    ttlSeconds,
    lastRefreshFailed,
    addresses: served.map((one) => addressSnapshot(one, record, nowMs)),
    withheld: withheld.map((one) => addressSnapshot(one, record, nowMs)),
    changedAgoMs: ago(changedAtMs, nowMs),
    confirmedAgoMs: ago(lastConfirmedAtMs(record), nowMs),
    sources: pollers.map((poller) => sourceSnapshot(poller, record, nowMs)),
    held: held && { addresses: held.addresses, reason: held.reason, heldForMs: ageMs(held.sinceMs, nowMs) },
    pin: pinSnapshot(parts),
    disagreement: comparison?.disagreement,
    likelyCause: comparison?.likelyCause,
    refused,
    credentials: credentialSnapshot(parts),
    endings: forewarnings.endings.map((ending) => ({ ...ending, leftMs: ending.endsAtMs - wallMs })),
    silent: forewarnings.silent,
    details: details && { ...details, learnedAgoMs: ageMs(details.learnedAtMs, nowMs) },
  };
}

function credentialSnapshot({ pollers, credentials, nowMs }: SnapshotParts): ClusterSnapshot['credentials'] {
  if (!pollers.some(({ name }) => traitsOf(name).needsCredentials)) return undefined;
  const { condition, detail, sinceMs } = credentials;
  return { condition, detail, sinceAgoMs: ageMs(sinceMs, nowMs) };
}

function pinSnapshot({ record, settings, nowMs }: SnapshotParts): PinSnapshot | undefined {
  const { pin, unpinned = [] } = record;
  const byCommand = pin && {
    origin: 'command' as const,
    addresses: pin.addresses,
    why: pin.why,
    by: pin.by,
    sinceAgoMs: ageMs(pin.sinceMs, nowMs),
    endsInMs: Math.max(0, Math.round(pin.untilMs - nowMs)),
  };
  const found = unpinned.map(({ address }) => address);
  if (settings.pin.length > 0) {
    const { pin: addresses } = settings;
    return { origin: 'configuration', addresses, unpinned: found, refused: [], overruled: byCommand };
  }
  if (byCommand === undefined) return undefined;
  const isRefused = refusalsBy(settings.allowedAddresses);
  const refused = byCommand.addresses.filter((address) => isRefused(address) !== undefined);
  return { ...byCommand, unpinned: found, refused };
}

function addressSnapshot(served: KnownAddress, { leaving }: EndpointRecord, nowMs: number): AddressSnapshot {
  const { address, provenance, lackedSinceMs, proof } = served;
  const seen = Object.entries(provenance).map(([source, by]) => [
    source,
    { firstSeenAgoMs: ageMs(by.firstSeenMs, nowMs), lastSeenAgoMs: ageMs(by.lastSeenMs, nowMs) },
  ]);
  return {
    address,
    isDead: false,
    interfaceStatus: Object.values(provenance).find(({ status }) => status !== undefined)?.status,
    lackedAgoMs: ago(lackedSinceMs, nowMs),
    proof: proof && {
      state: proof.state,
      reason: proof.reason,
      sinceAgoMs: ageMs(proof.sinceMs, nowMs),
      provenAgoMs: ago(proof.provenAtMs, nowMs),
    },
    ...(leaving?.includes(served) ? { isLeaving: true } : {}),
    provenance: Object.fromEntries(seen),
  };
}

function sourceSnapshot(poller: SourcePoller, record: EndpointRecord, nowMs: number): SourceSnapshot {
  const { name, latest, isRunning, consecutiveFailures, lastFailure, view, nextPollAtMs } = poller;
  return {
    source: name,
    latest,
    isRunning,
    lastSuccessAgoMs: ago(record.confirmedAtMs[name], nowMs),
    lastFailure: lastFailure && {
      reason: lastFailure.reason,
      detail: lastFailure.detail,
      agoMs: ageMs(lastFailure.atMs, nowMs),
    },
    consecutiveFailures,
    addresses: view?.addresses,
    isDoubtful: view?.isDoubtful,
    nextAttemptInMs: nextPollAtMs === undefined ? undefined : Math.max(0, Math.round(nextPollAtMs - nowMs)),
    stats: poller.stats(),
  };
}

export function ago(ms: number | undefined, nowMs: number): number | undefined {
  return ms === undefined ? undefined : ageMs(ms, nowMs);
}

// The status of the endpoints as JSON: what the snapshots say, with ages in seconds.

export interface EndpointsStatus {
  readonly endpoints: readonly EndpointStatus[];
}

type Age = number | undefined;

/**
 * The snapshot as JSON. Facts pass as they are; ages become seconds, and an absent age means never. A command may read the
 * status of a later version, so words that may come there are texts.
 */
export interface EndpointStatus extends Omit<ClusterSnapshot, Converted> {
  /** The cluster ID that EKS gives, if any: `aws eks get-token --cluster-id` needs this ID. */
  readonly clusterId?: string;
  readonly basis: string;
  readonly addresses: readonly AddressStatus[];
  readonly withheld: readonly AddressStatus[];
  readonly changedAgeSeconds?: Age;
  readonly confirmedAgeSeconds?: Age;
  readonly sources: readonly SourceStatus[];
  readonly held?: Pick<NonNullable<ClusterSnapshot['held']>, 'addresses' | 'reason'> & InSeconds;
  readonly pin?: PinStatus;
  readonly disagreement: boolean;
  readonly likelyCause?: string;
  readonly refusedAddresses: readonly string[];
  readonly credentials?: Pick<NonNullable<ClusterSnapshot['credentials']>, 'condition' | 'detail'> &
    InSeconds;
  /** `leftSeconds` is negative after the end. */
  readonly endings: readonly (Pick<Ending, 'what' | 'isRenewed'> & {
    readonly endsAt: string;
    readonly leftSeconds: number;
  })[];
  readonly silentSources: readonly { readonly source: SourceName; readonly silentSeconds: number }[];
  /** The warnings of the snapshot, and those of other rooms about the names. */
  readonly warnings: readonly string[];
}

type Converted =
  | ('basis' | 'addresses' | 'withheld' | 'changedAgoMs' | 'confirmedAgoMs' | 'sources' | 'held' | 'pin')
  | ('disagreement' | 'likelyCause' | 'refused' | 'credentials' | 'endings' | 'silent' | 'details')
  | ('formerEndpoints' | 'warnings');

interface InSeconds {
  readonly ageSeconds: number;
}

export interface AddressStatus
  extends Pick<AddressSnapshot, 'address' | 'isDead' | 'interfaceStatus' | 'isLeaving' | 'isLast'> {
  readonly seenBy: readonly string[];
  readonly lackedAgeSeconds?: Age;
  readonly proof?: Pick<NonNullable<AddressSnapshot['proof']>, 'state' | 'reason'> &
    InSeconds & { readonly provenAgeSeconds?: Age };
}

export interface PinStatus extends Pick<PinSnapshot, 'origin' | 'addresses' | 'why' | 'by'> {
  readonly ageSeconds?: Age;
  readonly endsInSeconds?: Age;
  /** Absent for an overruled pin. */
  readonly unpinned?: readonly string[];
  readonly refused?: readonly string[];
  readonly overruled?: PinStatus;
}

/** The counts of a poller pass as they are. */
export interface SourceStatus
  extends Omit<SourceStats, 'refreshes' | 'durationMsSum'>,
    Pick<SourceSnapshot, 'latest' | 'addresses' | 'isDoubtful'> {
  readonly source: string;
  /** The time since the source last confirmed its listing; a confirmation before a restart counts too. */
  readonly ageSeconds?: Age;
  readonly lastFailure?: { readonly reason: string; readonly detail: string } & InSeconds;
  readonly nextAttemptInSeconds?: Age;
  /** By result. */
  readonly refreshes: Readonly<Record<string, number>>;
  readonly durationSecondsSum: number;
}

/** An endpoint a step. `warningsOf`: what other rooms know about a name, as sentences. */
export function* endpointsStatus(
  clusters: readonly ClusterSnapshot[],
  warningsOf: (name: string) => readonly string[],
): Steps<EndpointsStatus> {
  const endpoints: EndpointStatus[] = [];
  for (const cluster of clusters) {
    endpoints.push(endpointStatus(cluster, warningsOf));
    yield;
  }
  return { endpoints };
}

function endpointStatus(
  snapshot: ClusterSnapshot,
  warningsOf: (name: string) => readonly string[],
): EndpointStatus {
  const { addresses, withheld, changedAgoMs, confirmedAgoMs, sources, held, ...others } = snapshot;
  const { details, formerEndpoints: _, refused, credentials, endings, silent, ...same } = others;
  const names = [same.endpoint, same.describedEndpoint].flatMap((name) => name ?? []);
  return {
    ...same,
    clusterId: details?.id,
    addresses: addresses.map(addressStatus),
    withheld: withheld.map(addressStatus),
    changedAgeSeconds: optionalSeconds(changedAgoMs),
    confirmedAgeSeconds: optionalSeconds(confirmedAgoMs),
    sources: sources.map(sourceStatus),
    held: held && { addresses: held.addresses, reason: held.reason, ageSeconds: seconds(held.heldForMs) },
    pin: pinStatus(same.pin),
    disagreement: same.disagreement !== undefined,
    refusedAddresses: refused.map(({ address }) => address),
    credentials: credentials && {
      condition: credentials.condition,
      detail: credentials.detail,
      ageSeconds: seconds(credentials.sinceAgoMs),
    },
    endings: endings.map(({ what, endsAtMs, leftMs, isRenewed }) => ({
      what,
      endsAt: new Date(endsAtMs).toISOString(),
      leftSeconds: Math.round(leftMs / 1000),
      isRenewed,
    })),
    silentSources: silent.map(({ source, silentMs }) => ({
      source,
      silentSeconds: seconds(silentMs),
    })),
    warnings: [...same.warnings, ...names.flatMap(warningsOf)],
  };
}

function addressStatus({ provenance, lackedAgoMs, proof, ...one }: AddressSnapshot): AddressStatus {
  return {
    ...one,
    seenBy: Object.keys(provenance),
    lackedAgeSeconds: optionalSeconds(lackedAgoMs),
    proof: proof && {
      state: proof.state,
      reason: proof.reason,
      ageSeconds: seconds(proof.sinceAgoMs),
      provenAgeSeconds: optionalSeconds(proof.provenAgoMs),
    },
  };
}

type AnyPin = Partial<PinSnapshot> & Pick<PinSnapshot, 'origin' | 'addresses'>;

export function pinStatus(pin: AnyPin): PinStatus;
export function pinStatus(pin: AnyPin | undefined): PinStatus | undefined;
export function pinStatus(pin: AnyPin | undefined): PinStatus | undefined {
  if (pin === undefined) return undefined;
  const { sinceAgoMs, endsInMs, overruled, ...same } = pin;
  return {
    ...same,
    ageSeconds: optionalSeconds(sinceAgoMs),
    endsInSeconds: optionalSeconds(endsInMs),
    overruled: overruled && pinStatus(overruled),
  };
}

function sourceStatus({ lastFailure, stats, ...source }: SourceSnapshot): SourceStatus {
  const { durationMsSum, ...counts } = stats;
  return {
    source: source.source,
    latest: source.latest,
    ageSeconds: optionalSeconds(source.lastSuccessAgoMs),
    lastFailure: lastFailure && {
      reason: lastFailure.reason,
      detail: lastFailure.detail,
      ageSeconds: seconds(lastFailure.agoMs),
    },
    nextAttemptInSeconds: optionalSeconds(source.nextAttemptInMs),
    addresses: source.addresses,
    isDoubtful: source.isDoubtful,
    ...counts,
    durationSecondsSum: seconds(durationMsSum),
  };
}
