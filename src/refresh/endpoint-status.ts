/** The part of `/status` for each endpoint: plain data, in seconds, from the snapshots of the clusters. Pure. */
import type { ProofReason, ProofState } from '../records/endpoint-record.ts';
import type { Ending } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';
import { optionalSeconds, seconds } from '../report/report.ts';
import type { Steps } from '../runtime/slices.ts';
import type { AddressSnapshot, ClusterSnapshot, PinSnapshot, SourceSnapshot } from './cluster-report.ts';
import type { SourceStats } from './source-poller.ts';

export interface EndpointsStatus {
  readonly endpoints: readonly EndpointStatus[];
}

type Age = number | undefined;

/** Ages are seconds; an absent age means never. */
export interface EndpointStatus {
  readonly cluster: string;
  readonly region?: string;
  /** The cluster ID that EKS gives, if any: `aws eks get-token --cluster-id` needs this ID. */
  readonly clusterId?: string;
  readonly endpoint?: string;
  /** The name in DescribeCluster, if the configuration has a different name. */
  readonly describedEndpoint?: string;
  readonly basis: string;
  readonly ttlSeconds: number;
  readonly lastRefreshFailed: boolean;
  /** The addresses that are served. */
  readonly addresses: readonly AddressStatus[];
  /** Addresses that are not served, because they are refused, or new and not proven yet, while proven addresses exist. */
  readonly withheld: readonly AddressStatus[];
  readonly changedAgeSeconds?: Age;
  /** The time since any source last confirmed the addresses. */
  readonly confirmedAgeSeconds?: Age;
  readonly sources: readonly SourceStatus[];
  readonly held?: {
    readonly addresses: readonly string[];
    readonly reason: string;
    readonly ageSeconds: number;
  };
  readonly pin?: PinStatus;
  readonly disagreement: boolean;
  readonly likelyCause?: string;
  readonly refusedAddresses: readonly string[];
  /** Whether AWS accepts the credentials, apart from whether it can be reached; absent where nothing is asked of AWS. */
  readonly credentials?: {
    readonly condition: NonNullable<ClusterSnapshot['credentials']>['condition'];
    readonly detail: string;
    readonly ageSeconds: number;
  };
  /** When credentials end, the soonest of each kind. */
  readonly endings: readonly {
    readonly what: Ending['what'];
    readonly endsAt: string;
    /** Negative after the end. */
    readonly leftSeconds: number;
    /** A provider renews it. */
    readonly isRenewed: boolean;
  }[];
  /** Sources that have been silent for long, while others answer. */
  readonly silentSources: readonly { readonly source: SourceName; readonly silentSeconds: number }[];
  readonly warnings: readonly string[];
}

export interface AddressStatus {
  readonly address: string;
  readonly isDead: boolean;
  readonly seenBy: readonly string[];
  /** EC2's status of its interface, where that is not `in-use`. */
  readonly interfaceStatus?: string;
  /** The time for which EC2's listing has lacked the address. */
  readonly lackedAgeSeconds?: Age;
  /** The proof by TLS; absent before the first check of the address. */
  readonly proof?: {
    readonly state: ProofState;
    readonly reason?: ProofReason;
    readonly ageSeconds: number;
    /** The time since the last successful proof. */
    readonly provenAgeSeconds?: Age;
  };
  /** The sources no longer give this address. It is served because it is proven, and none of their addresses is proven. */
  readonly isLeaving?: boolean;
  /** This address stands after the other addresses in an answer. */
  readonly isLast?: boolean;
}

/** The pin of the operator. A pin of the configuration has no reason, no author and no end. */
export interface PinStatus {
  readonly origin: PinSnapshot['origin'];
  readonly addresses: readonly string[];
  readonly why?: string;
  readonly by?: string;
  readonly ageSeconds?: Age;
  readonly endsInSeconds?: Age;
  /** The addresses that would be served without the pin; absent for an overruled pin. */
  readonly unpinned?: readonly string[];
  /** Pinned addresses that allowedAddresses refuses. */
  readonly refused?: readonly string[];
  /** A pin of a command that the pin of the configuration hides. */
  readonly overruled?: PinStatus;
}

/** The counts of a poller pass as they are: a new count is raised in source-poller.ts, and named in endpoint-report.ts. */
export interface SourceStatus extends Omit<SourceStats, 'refreshes' | 'durationMsSum'> {
  readonly source: string;
  readonly latest: SourceSnapshot['latest'];
  /** The time since the source last confirmed its listing; a confirmation before a restart counts too. */
  readonly ageSeconds?: Age;
  readonly lastFailure?: { readonly reason: string; readonly detail: string; readonly ageSeconds: number };
  readonly nextAttemptInSeconds?: Age;
  readonly addresses?: readonly string[];
  /** The source found its addresses by a description that does not match exactly. */
  readonly isDoubtful?: boolean;
  /** Refreshes of this process by result. */
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
  const { endpoint, describedEndpoint, held, credentials } = snapshot;
  const names = [endpoint, describedEndpoint].flatMap((name) => name ?? []);
  return {
    cluster: snapshot.cluster,
    region: snapshot.region,
    clusterId: snapshot.details?.id,
    endpoint,
    describedEndpoint,
    basis: snapshot.basis,
    ttlSeconds: snapshot.ttlSeconds,
    lastRefreshFailed: snapshot.lastRefreshFailed,
    addresses: snapshot.addresses.map(addressStatus),
    withheld: snapshot.withheld.map(addressStatus),
    changedAgeSeconds: optionalSeconds(snapshot.changedAgoMs),
    confirmedAgeSeconds: optionalSeconds(snapshot.confirmedAgoMs),
    sources: snapshot.sources.map(sourceStatus),
    held: held && { addresses: held.addresses, reason: held.reason, ageSeconds: seconds(held.heldForMs) },
    pin: pinStatus(snapshot.pin),
    disagreement: snapshot.disagreement !== undefined,
    likelyCause: snapshot.likelyCause,
    refusedAddresses: snapshot.refused.map(({ address }) => address),
    credentials: credentials && {
      condition: credentials.condition,
      detail: credentials.detail,
      ageSeconds: seconds(credentials.sinceAgoMs),
    },
    endings: snapshot.endings.map(({ what, endsAtMs, leftMs, isRenewed }) => ({
      what,
      endsAt: new Date(endsAtMs).toISOString(),
      leftSeconds: Math.round(leftMs / 1000),
      isRenewed,
    })),
    silentSources: snapshot.silent.map(({ source, silentMs }) => ({
      source,
      silentSeconds: seconds(silentMs),
    })),
    warnings: [...snapshot.warnings, ...names.flatMap(warningsOf)],
  };
}

function addressStatus(one: AddressSnapshot): AddressStatus {
  const { address, isDead, provenance, interfaceStatus, lackedAgoMs, proof, isLeaving, isLast } = one;
  return {
    address,
    isDead,
    seenBy: Object.keys(provenance),
    interfaceStatus,
    lackedAgeSeconds: optionalSeconds(lackedAgoMs),
    proof: proof && {
      state: proof.state,
      reason: proof.reason,
      ageSeconds: seconds(proof.sinceAgoMs),
      provenAgeSeconds: optionalSeconds(proof.provenAgoMs),
    },
    isLeaving,
    isLast,
  };
}

export function pinStatus(pin: Partial<PinSnapshot> & Pick<PinSnapshot, 'origin' | 'addresses'>): PinStatus;
export function pinStatus(pin: PinSnapshot | undefined): PinStatus | undefined;
export function pinStatus(
  pin: (Partial<PinSnapshot> & Pick<PinSnapshot, 'origin' | 'addresses'>) | undefined,
): PinStatus | undefined {
  return (
    pin && {
      origin: pin.origin,
      addresses: pin.addresses,
      why: pin.why,
      by: pin.by,
      ageSeconds: optionalSeconds(pin.sinceAgoMs),
      endsInSeconds: optionalSeconds(pin.endsInMs),
      unpinned: pin.unpinned,
      refused: pin.refused,
      overruled: pin.overruled && pinStatus(pin.overruled),
    }
  );
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
