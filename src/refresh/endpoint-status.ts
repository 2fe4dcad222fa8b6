/**
 * The status of the endpoints as JSON: what a cluster's snapshot says, with ages in seconds. It refuses to know how a snapshot is
 * made (cluster-report.ts), and how terminal, page and metrics show it.
 */
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

/**
 * As in the snapshot, except that ages are seconds; an absent age means never. A command may read the status of a later version,
 * so words that may come there are texts.
 */
export interface EndpointStatus
  extends Pick<
    ClusterSnapshot,
    'cluster' | 'region' | 'endpoint' | 'describedEndpoint' | 'ttlSeconds' | 'lastRefreshFailed'
  > {
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
  /** Whether AWS accepts the credentials, apart from whether it can be reached; absent where nothing is asked of AWS. */
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

/** The counts of a poller pass as they are: a new count is raised in source-poller.ts, and named in endpoint-report.ts. */
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
