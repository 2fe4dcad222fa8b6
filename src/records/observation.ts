/**
 * The contract of a source: what it is given, what it reports, and the error that ends a poll without a result.
 *
 * A source polls one thing outside, such as a DNS name or a listing of network interfaces, and reports it as one value. It
 * refuses to know what was seen before, what the other sources report, how old anything is, and what will be served:
 * refresh/reconcile/ decides that. It keeps no schedule, and no retries beyond those of its client: refresh/ decides when it
 * is polled and how long that may take.
 */
import type { ClusterDetails } from './endpoint-record.ts';
import type { AddressSource, SourceName } from './sources.ts';

/**
 * Why a poll failed, in words that an operator can act on. The list is fixed, because each reason is the label of a metric.
 * The API server of the cluster, which is on the site, fails in the same words; its answers are no evidence about the link.
 */
export const FAILURE_REASONS = [
  'denied', // AWS knows the caller and does not allow the call: a policy has to be fixed; the link works
  'throttled', // AWS answered that the caller is too fast: the link works
  'refused-credentials', // AWS does not accept the credentials, or an identity gives none: the link works
  'expired-credentials', // AWS answered that the token has expired, or is no longer valid: the link works
  'no-credentials', // no provider gave credentials, so nothing was sent: no evidence about the link
  'clock-skew', // AWS answered that the time of the signature is wrong: the link works, the clock of this host does not
  'service-error', // AWS answered 5xx: the link works, AWS does not
  'proxy', // a proxy, a portal or a filter in between refused, or answered in place of AWS: no evidence about the link
  'untrusted-certificate', // TLS is intercepted, or the authority of the certificate is not known here
  'timeout', // nothing came back in time
  'network', // refused, reset, unreachable, or no address for the name of the service
  'malformed', // something answered, but not with a valid answer, such as half an XML
  'not-found', // AWS answered that the cluster, zone or name does not exist: the link works
  'empty', // a whole and well-formed answer without any address: doubted, never adopted
  'filtered', // something in between dropped the addresses from the answer
  'looping', // the answer is our own: the upstream asked an outpost-dns
  'internal', // a fault of our own, or a request that could not be composed
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

/** The result of one poll: addresses, details of the cluster, or a failure with its reason. */
export type Observation = AddressObservation | DetailsObservation | FailedObservation;

const ENDING_KINDS = ['kubernetes-certificate', 'roles-anywhere-certificate', 'session'] as const;

/** Credentials that end at a known time: an outage can outlast them. */
export interface Ending {
  readonly what: (typeof ENDING_KINDS)[number];
  /** Wall ms. */
  readonly endsAtMs: number;
  /** A provider of credentials asks AWS for the next session by itself; nobody renews a certificate. */
  readonly isRenewed: boolean;
}

interface Observed {
  /** When the credentials end that the poll needed, as far as that is known. */
  readonly endings?: readonly Ending[];
}

/** The complete set, never one page of it: IPv4 as canonical text, without duplicates, in any order. */
export interface AddressObservation extends Observed {
  readonly kind: 'addresses';
  readonly source: AddressSource;
  readonly addresses: readonly string[];
  /** Names whose addresses belong to the set as well (`route53`); resolved before the observation is compared. */
  readonly targets?: readonly string[];
  /** The TTL that came with them, where the source has one (name sources). */
  readonly ttlSeconds?: number;
  /** The upstream that answered (`dns`): a repetition by a second upstream counts at once. */
  readonly upstream?: string;
  /** EC2's status, by address, of each interface that is not `in-use`. The interface exists, and its status is shown. */
  readonly statuses?: Readonly<Record<string, string>>;
  /** Customer-owned addresses that the interfaces have beside their own, sorted. */
  readonly customerOwned?: readonly string[];
  /** The interfaces were found by a description that only contains the text of the cluster. */
  readonly isDoubtful?: true;
}

/** The answer of DescribeCluster. */
export interface DetailsObservation extends Observed {
  readonly kind: 'details';
  readonly source: 'cluster';
  readonly details: ClusterDetails;
}

/** Why a poll failed, before it is known which source reports it. */
export interface SourceFailure {
  readonly reason: FailureReason;
  /** Any answer from AWS, an error included, proves that the link works. False for a source on the site. */
  readonly reachedFarSide: boolean;
  /** Text for the log and for a person: lower case, the action that failed, the bad value quoted, no secrets. */
  readonly detail: string;
}

export interface FailedObservation extends Observed, SourceFailure {
  readonly kind: 'failed';
  readonly source: SourceName;
}

export function failed(source: SourceName, failure: SourceFailure): FailedObservation {
  const { reason, reachedFarSide, detail } = failure;
  return { kind: 'failed', source, reason, reachedFarSide, detail };
}

/** The only error class of polls. It ends a poll, and leaves the poll only as a failed observation. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: FailureReason;
  readonly reachedFarSide: boolean;

  constructor(failure: SourceFailure) {
    super(failure.detail);
    this.code = failure.reason;
    this.reachedFarSide = failure.reachedFarSide;
  }
}

/** A failure after AWS has answered: the answer itself is of no use. */
export function answeredBut(reason: FailureReason, detail: string): SourceError {
  return new SourceError({ reason, reachedFarSide: true, detail });
}

/** A poll that could not even be started. */
export function cannotAsk(detail: string): SourceError {
  return unanswered('internal', detail);
}

/** A failure without an answer of AWS: no evidence that the link works. */
export function unanswered(reason: FailureReason, detail: string): SourceError {
  return new SourceError({ reason, reachedFarSide: false, detail });
}

/** A thing outside that can be polled. It knows nothing about any cluster. */
export interface Source {
  readonly name: SourceName;
  /**
   * Polls once. Never rejects. `signal` is aborted when the deadline has passed; a later result is ignored, and a poll that
   * never settles does no harm.
   */
  observe(context: SourceContext, signal: AbortSignal): Promise<Observation>;
}

/** The facts about the cluster at the moment of the poll: from the configuration, else from the remembered details. */
export interface SourceContext {
  readonly cluster: string;
  readonly region?: string;
  /** A domain name as text. Without it a name source fails with `internal`. */
  readonly endpoint?: string;
  /** EKS itself has named this endpoint: AWS keeps the name, with any suffix. */
  readonly isEndpointOfEks?: boolean;
  /** The name from DescribeCluster, where `endpoint` differs from it: `dns` asks for it first. */
  readonly describedEndpoint?: string;
  readonly vpcId?: string;
  /** Empty when unknown. */
  readonly subnetIds: readonly string[];
  readonly generation?: 'ebs' | 'instance-store';
  /** The addresses that are served at this moment: IPv4, canonical text; empty before the first were learned. */
  readonly knownAddresses: readonly string[];
  /** The authority of the cluster, base64 of PEM, as DescribeCluster gives it. */
  readonly certificateAuthority?: string;
}

/** Sends an A query for `name` upstream, past our own cache. Provided by the forwarder; never rejects. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<ResolvedName>;

/** The upstreams, asked past our own cache. */
export interface UpstreamView {
  readonly resolve: Resolve;
  /** Whether a TXT query for `name`, sent to the same upstreams, is answered with text. Never rejects. */
  readonly answersText: (name: string, signal: AbortSignal) => Promise<boolean>;
}

export type ResolvedName =
  | {
      readonly kind: 'addresses';
      readonly addresses: readonly string[];
      readonly ttlSeconds: number;
      /** The upstream that answered, as configured. */
      readonly upstream?: string;
    }
  | { readonly kind: 'no-addresses'; readonly rcode: number }
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'network' | 'servfail' | 'malformed';
      readonly detail: string;
    };
