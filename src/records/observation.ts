/**
 * The refresh journey's seam: what a source is told, and what it may say back.
 *
 * A source looks at one thing in the outside world (a DNS name, a listing of network interfaces, a hosted zone, the
 * cluster's description, its API server's own view) and reports what it saw as one value. It refuses to know what was seen before, what the other
 * sources say, how old anything is, and what will be served: reconcile/ decides that. It keeps no schedule and no
 * retries of its own beyond those of its client; the refresher decides when it runs and how long it may take.
 */
import type { ClusterDetails } from './endpoint-record.ts';
import type { InterfaceSource, NameSource, SourceName } from './sources.ts';

/**
 * Why an observation failed, in words that an operator can act on. Bounded, because each is a metric label.
 *
 * - `denied`              AWS knows the caller, who may not (a policy to mend; the link works)
 * - `throttled`           AWS answered that the caller is too fast (the link works)
 * - `refused-credentials` AWS answered that it does not know or take the credentials, or an identity gives none (the link works)
 * - `expired-credentials` AWS answered that the token has expired, or is no longer valid (the link works)
 * - `no-credentials`      no provider gave credentials, so nothing was sent (says nothing about the link)
 * - `clock-skew`          AWS answered that the signature's time is wrong (the link works; this host's clock does not)
 * - `service-error`       AWS answered that it could not (5xx): the link works, AWS does not
 * - `proxy`               a proxy, a portal or a filter in between refused, or answered in place of AWS (says nothing about the link)
 * - `untrusted-certificate`  the certificate for AWS's name is not to be trusted: TLS is intercepted, or its authority is not known here
 * - `timeout`             nothing came back in time
 * - `network`             refused, reset, unreachable, or no address for the service's own name
 * - `malformed`           something answered, but not what was asked for, such as half an XML
 * - `not-found`           AWS answered that the cluster, zone or name does not exist (the link works)
 * - `empty`               a whole and well-formed answer without a single address: to be doubted, never adopted
 * - `filtered`            the answer carried addresses or referred to some, and something in between dropped them
 * - `looping`             the answer is our own: the upstream asked an outpost-dns for it
 * - `internal`            a fault of our own, or a request that could not even be composed
 *
 * The cluster's API server, which is on the site, fails in the same words; its answers say nothing about the link.
 */
export const FAILURE_REASONS = [
  'denied',
  'throttled',
  'refused-credentials',
  'expired-credentials',
  'no-credentials',
  'clock-skew',
  'service-error',
  'proxy',
  'untrusted-certificate',
  'timeout',
  'network',
  'malformed',
  'not-found',
  'empty',
  'filtered',
  'looping',
  'internal',
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];

/** One look by one source: addresses, details of the cluster, or a failure with its reason. */
export type Observation = AddressObservation | DetailsObservation | FailedObservation;

/** The complete set that the source saw, never one page of it: IPv4 as canonical text, without duplicates, in any order. */
export interface AddressObservation {
  readonly kind: 'addresses';
  readonly source: NameSource | InterfaceSource;
  readonly addresses: readonly string[];
  /** Names whose addresses belong to the set as well (`route53`); resolved before the observation is compared. */
  readonly targets?: readonly string[];
  /** The TTL that came with them, where the source has one (name sources). */
  readonly ttlSeconds?: number;
  /** The upstream that answered (`dns`): a repetition by another upstream is worth more. */
  readonly upstream?: string;
  /** EC2's status of those interfaces that are not `in-use`, by address: they exist, and are shown as what they are. */
  readonly statuses?: Readonly<Record<string, string>>;
  /** The interfaces are the cluster's as far as their description tells, which is not the exact one. */
  readonly isDoubtful?: true;
}

/** What DescribeCluster said. */
export interface DetailsObservation {
  readonly kind: 'details';
  readonly source: 'cluster';
  readonly details: ClusterDetails;
}

export interface FailedObservation {
  readonly kind: 'failed';
  readonly source: SourceName;
  readonly reason: FailureReason;
  /** Any answer from AWS, an error included, proves that the link works. False for what lives on the site. */
  readonly reachedFarSide: boolean;
  /** For the log and for a person: lower case, the action that failed, the bad value quoted, no secrets. */
  readonly detail: string;
}

/** One place to look. Holds its client, and nothing about any cluster. */
export interface Source {
  readonly name: SourceName;
  /**
   * Looks once. Never rejects. `signal` is aborted when the refresher's deadline has passed; what is returned after
   * that is ignored, and a look that never settles at all is survived.
   */
  observe(context: SourceContext, signal: AbortSignal): Promise<Observation>;
}

/** What is known of the cluster at the moment of looking: from the configuration, else from the remembered details. */
export interface SourceContext {
  readonly cluster: string;
  readonly region?: string;
  /** A domain name as text. Without it a name source has nothing to ask and fails with `internal`. */
  readonly endpoint?: string;
  /** EKS itself has named this endpoint, so that AWS keeps the name, whatever suffix it has. */
  readonly isEndpointOfEks?: boolean;
  /** The name that DescribeCluster says, where `endpoint` is another: `dns` asks for it first. */
  readonly describedEndpoint?: string;
  readonly vpcId?: string;
  /** Empty when unknown. */
  readonly subnetIds: readonly string[];
  readonly generation?: 'ebs' | 'instance-store';
  /** Where the endpoint is served from at this moment: IPv4, canonical text; empty before anything was learned. */
  readonly knownAddresses: readonly string[];
  /** The cluster's own, base64 of PEM, as DescribeCluster gives it. */
  readonly certificateAuthority?: string;
}

/** Sends an A query for `name` upstream, past our own cache. Provided by the forwarder; never rejects. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<ResolvedName>;

/** Whether a TXT query for `name`, sent to the same upstreams, is answered with text. Provided by the forwarder; never rejects. */
export type AnswersText = (name: string, signal: AbortSignal) => Promise<boolean>;

/** The upstreams, asked past our own cache. */
export interface UpstreamView {
  readonly resolve: Resolve;
  readonly answersText: AnswersText;
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
