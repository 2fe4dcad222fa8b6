/**
 * The record of one cluster's endpoint: refresh/ publishes it, store/ keeps it, serving/ answers from it. Below, in this order:
 * what differs between two records, which cluster a record belongs to, JSON that can be compared, the proof of an address.
 */
import { isIPv4 } from 'node:net';
import { isAddressSource, SOURCE_NAMES, type SourceName } from './sources.ts';

/** Whether a text is an address that an endpoint can have: clusters on Outposts are IPv4 only. */
export function isEndpointAddress(text: string): boolean {
  return isIPv4(text);
}

/** When a source first and last listed an address, wall ms. */
export interface SeenBy {
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** EC2's status of the interface when it was last seen; left out for `in-use`, and for other sources. */
  readonly status?: string;
}

/** The label under an endpoint's name where TXT tells how fresh the answer is. Only an outpost-dns answers there: EKS has no such name. */
export const STATUS_LABEL = '_status';

/** An address that a record knows: served or withheld, as `servedIn` says. */
export interface KnownAddress {
  /** IPv4, canonical text. */
  readonly address: string;
  readonly provenance: Readonly<Partial<Record<SourceName | 'pin', SeenBy>>>;
  /** When EC2's listing began to lack it, wall ms. It stays while the name has it, and for an hour. */
  readonly lackedSinceMs?: number;
  /** Absent before the first check of the address. */
  readonly proof?: AddressProof;
  /** This address came when other addresses were already proven: beside them it is served only after its own proof. */
  readonly awaitsProof?: true;
  /** This address stands last in an answer, because it is silent or not proven. Never persisted. */
  readonly isLast?: boolean;
}

/** The answer of DescribeCluster, remembered because a cut takes the call away. */
export interface ClusterDetails {
  /** The cluster's UUID, which only the older generation of local clusters has: `aws eks get-token --cluster-id`. */
  readonly id?: string;
  /** A domain name as text. */
  readonly endpoint: string;
  readonly vpcId?: string;
  readonly subnetIds: readonly string[];
  /** Base64, as the API gives it. */
  readonly certificateAuthority?: string;
  readonly generation?: 'ebs' | 'instance-store';
  /** The Outpost that it runs on, such as `op-0123456789abcdef0`. */
  readonly outpost?: string;
  /** Wall ms. */
  readonly learnedAtMs: number;
}

/** A change that the guard holds back until it is repeated. */
export interface HeldChange {
  readonly addresses: readonly string[];
  readonly reason: string;
  /** Wall ms. */
  readonly sinceMs: number;
  /** A repetition is not enough: an interface source has to answer as well. */
  readonly awaits?: 'interfaces';
  /** The TTL of the names' answer, if names alone ask for the change. `upstream` joins the upstreams that gave the answer by spaces. */
  readonly ttlSeconds?: number;
  readonly upstream?: string;
}

/** Addresses that a command pinned for a time, in place of those from the sources. */
export interface Pin {
  /** IPv4, canonical text; at least one. */
  readonly addresses: readonly string[];
  /** The operator's reason. */
  readonly why: string;
  /** The user who gave the command, as that user's host names the user. */
  readonly by: string;
  /** Wall ms. */
  readonly sinceMs: number;
  /** Wall ms. */
  readonly untilMs: number;
  /**
   * In a record with wall times: the time that the pin has left at the moment of the record. A later process believes it
   * where clocks disagree.
   */
  readonly leftMs?: number;
}

export const BASES = ['name', 'overlap', 'interfaces', 'kept', 'pin', 'none'] as const;

export interface EndpointRecord {
  readonly cluster: string;
  readonly region?: string;
  readonly details?: ClusterDetails;
  /** A domain name as text. */
  readonly endpoint?: string;
  /** Earlier names of the endpoint, newest first: clients that know only those are answered too. */
  readonly formerEndpoints?: readonly string[];
  /** In the order of answers; withheld addresses are among them (`servedIn`). */
  readonly addresses: readonly KnownAddress[];
  /** Proven addresses that the sources have dropped: they are served while none of `addresses` is proven. */
  readonly leaving?: readonly KnownAddress[];
  /** A loss is measured against this set: confirmed by both kinds of source, or by a repetition where only one kind answers. */
  readonly corroborated?: readonly string[];
  /** The addresses without the pin that hides them; left out without a pin, or where there are none. */
  readonly unpinned?: readonly KnownAddress[];
  /** The pin of a command. A pin in the configuration is not part of the record, and wins. */
  readonly pin?: Pin;
  readonly ttlSeconds: number;
  /** The row of the table above refresh/reconcile/decision.ts that decided the addresses. */
  readonly basis: (typeof BASES)[number];
  /** When the set of addresses last changed, wall ms. */
  readonly changedAtMs?: number;
  /** The last success of each source, wall ms. */
  readonly confirmedAtMs: Readonly<Partial<Record<SourceName, number>>>;
  readonly held?: HeldChange;
  readonly lastRefreshFailed: boolean;
}

const ADDRESS_SOURCES = SOURCE_NAMES.filter(isAddressSource);

export function addressesOf(record: EndpointRecord): readonly string[] {
  return record.addresses.map((known) => known.address);
}

/**
 * When a source last gave an address that is served, or that a pin hides; wall ms. A source that answers with other
 * addresses, such as a captive portal, confirms nothing.
 */
export function lastConfirmedAtMs({ addresses, unpinned = [] }: EndpointRecord): number | undefined {
  const times = [...addresses, ...unpinned].flatMap(({ provenance }) =>
    ADDRESS_SOURCES.flatMap((source) => provenance[source]?.lastSeenMs ?? []),
  );
  return times.length === 0 ? undefined : Math.max(...times);
}

/**
 * How two sets of records differ: not at all, only in values that age by themselves, or in content. These age: the times of
 * the last sighting, confirmation and description; the TTL, which a cache in between counts down; whether the last refresh
 * failed. The order of clusters and of addresses is no content.
 */
type RecordChange = 'none' | 'ageing' | 'content';

/**
 * Compares two sets of records, a record a step, because a set may have a thousand clusters; ends at the first difference in
 * content. A record that is one object in both costs nothing. Composes no text: a site that starts saves many times a second.
 */
export function* compareRecords(
  before: readonly EndpointRecord[],
  after: readonly EndpointRecord[],
): Generator<undefined, RecordChange, undefined> {
  const [had, has] = [new Set(before), new Set(after)];
  const removed = before.filter((record) => !has.has(record));
  const added = after.filter((record) => !had.has(record));
  if (removed.length !== added.length) return 'content';
  const left = Map.groupBy(removed, clusterOf);
  let isAged = false;
  for (const record of added) {
    const candidates = left.get(clusterOf(record)) ?? [];
    const at = candidates.findIndex((one) => hasSameJson(contentOf(one), contentOf(record)));
    const [match] = at < 0 ? [] : candidates.splice(at, 1);
    if (match === undefined) return 'content';
    isAged ||= !hasSameJson(persistedOf(match), persistedOf(record));
    yield;
  }
  return isAged ? 'ageing' : 'none';
}

function clusterOf({ cluster, region }: EndpointRecord): string {
  return `${cluster} ${region}`;
}

function contentOf(record: EndpointRecord): object {
  const {
    confirmedAtMs,
    ttlSeconds,
    lastRefreshFailed,
    details,
    addresses,
    leaving,
    unpinned,
    corroborated,
    pin,
    ...rest
  } = record;
  return {
    ...rest,
    details: details && { ...details, learnedAtMs: undefined },
    addresses: namesIn(addresses),
    leaving: leaving && namesIn(leaving),
    unpinned: unpinned && namesIn(unpinned),
    corroborated: corroborated?.toSorted(),
    // the end moves with the wall clock, and is written again and again
    pin: pin && { addresses: pin.addresses, why: pin.why, by: pin.by },
  };
}

function namesIn(addresses: readonly KnownAddress[]): readonly string[] {
  return addresses
    .map(({ address, provenance, lackedSinceMs, proof, awaitsProof = false }) => {
      const seenBy = Object.entries(provenance).map(([source, { status = '' }]) => `${source} ${status}`);
      const marks = [lackedSinceMs !== undefined, proof?.state, proof?.reason, awaitsProof];
      return [address, ...seenBy.sort(), ...marks].join(' ');
    })
    .sort();
}

function persistedOf(record: EndpointRecord): object {
  const addresses = record.addresses.map(({ isLast: _, ...kept }) => kept);
  return { ...record, addresses: addresses.sort((one, other) => (one.address < other.address ? -1 : 1)) };
}

// Decides which record belongs to which cluster: by Region and name, or by name where no Region is known. Pure.

export interface ClusterIdentity {
  readonly name: string;
  readonly region?: string | undefined;
  /** Distinguishes clusters of the same name where a Region is not known. */
  readonly endpoint?: string | undefined;
}

/** As a person reads it: `my-cluster`, or `my-cluster (us-west-2)` where a second cluster has that name. */
export function clusterText({ name, region }: ClusterIdentity, all: readonly ClusterIdentity[]): string {
  const isOnlyOne = all.filter((other) => other.name === name).length < 2;
  return isOnlyOne || region === undefined ? name : `${name} (${region})`;
}

export function identityOf({ cluster: name, region, endpoint }: EndpointRecord): ClusterIdentity {
  return { name, region, endpoint };
}

function hasSameIdentity(one: ClusterIdentity, other: ClusterIdentity): boolean {
  return one.name === other.name && one.region === other.region;
}

/** Whether the two have one name, and at least one of them was written, or is configured now, without its Region. */
function isSimilar(one: ClusterIdentity, other: ClusterIdentity): boolean {
  return one.name === other.name && (one.region === undefined || other.region === undefined);
}

/** Whether the endpoint's name contains the Region: EKS writes the Region into this name. */
function isNamedAfter({ endpoint }: ClusterIdentity, { region }: ClusterIdentity): boolean {
  return region !== undefined && (endpoint?.split('.').includes(region) ?? false);
}

/** The rules, from certain to likely. All clusters try a rule before the next rule, so that no cluster takes another cluster's record. */
const RULES: readonly ((cluster: ClusterIdentity, known: ClusterIdentity) => boolean)[] = [
  hasSameIdentity,
  (cluster, known) =>
    isSimilar(cluster, known) && cluster.endpoint !== undefined && cluster.endpoint === known.endpoint,
  (cluster, known) =>
    isSimilar(cluster, known) && (isNamedAfter(known, cluster) || isNamedAfter(cluster, known)),
  isSimilar,
];

/**
 * The record of each cluster that has one; no record goes to two clusters. In steps, because there may be a thousand
 * clusters.
 */
export function* pairUp<C extends ClusterIdentity, K>(
  clusters: readonly C[],
  known: readonly K[],
  identify: (one: K) => ClusterIdentity,
): Generator<undefined, ReadonlyMap<C, K>, undefined> {
  const pairs = new Map<C, K>();
  const taken = new Set<K>();
  const named = Map.groupBy(known, (one) => identify(one).name);
  for (const isPair of RULES) {
    for (const cluster of clusters) {
      yield;
      if (pairs.has(cluster)) continue;
      const alike = named.get(cluster.name) ?? [];
      const found = alike.find((one) => !taken.has(one) && isPair(cluster, identify(one)));
      if (found === undefined) continue;
      pairs.set(cluster, found);
      taken.add(found);
    }
  }
  return pairs;
}

/** The name from DescribeCluster, where the record has a different one: that of the operator, wrong or outdated. */
export function otherEndpointOf({
  endpoint,
  details,
}: Pick<EndpointRecord, 'endpoint' | 'details'>): string | undefined {
  return details === undefined || details.endpoint === endpoint ? undefined : details.endpoint;
}

// Writes a JSON value as one text that does not depend on key order and white space. Checksums and comparisons need
// such a text.

/**
 * Members sorted by key (UTF-16 code units), no white space, strings and numbers as JSON.stringify writes them, members
 * without a value left out. The same text as `jq -jcS` prints while keys are ASCII and numbers are whole. The caller
 * bounds the depth.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  if (typeof value === 'object' && value !== null) return `{${canonicalMembers(value).join(',')}}`;
  return JSON.stringify(value) ?? 'null';
}

function canonicalMembers(value: object): string[] {
  return Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
}

/** Whether two values have one canonical text; composes none. */
export function hasSameJson(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, at) => hasSameJson(item, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  for (const key in one) if (!hasSameJson(one[key], other[key])) return false;
  for (const key in other) if (other[key] !== undefined && one[key] === undefined) return false;
  return true;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether arrays and objects are nested in more than `limit` levels; itself bounded by `limit`. */
export function isDeeperThan(value: unknown, limit: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return limit === 0 || Object.values(value).some((item) => isDeeperThan(item, limit - 1));
}

// Whether an address is proven to be the API server of its cluster. A TLS handshake proves it: the certificate is for the
// endpoint's name, and the cluster's own authority signed it. far-side/handshake.ts knows how a proof is tried,
// refresh/reconcile/prove.ts what the results mean.

/**
 * `proven`: the last handshake showed the right certificate. `refused`: a server with a different certificate, or without TLS,
 * answers there. `unproven`: neither is known, because nothing answers, or because no authority is known.
 */
export const PROOF_STATES = ['proven', 'unproven', 'refused'] as const;
export type ProofState = (typeof PROOF_STATES)[number];

/** Why an address is not proven, or what is odd about its proof. The list is fixed: each reason is a label of a metric. */
export const PROOF_REASONS = [
  'other-authority', // the certificate is not signed by an authority of the cluster
  'other-name', // the certificate is not for the name of the endpoint
  'no-tls', // a server answers, and does not complete a handshake by TLS
  'timeout', // nothing answered in time
  'network', // the connection is refused or reset, or there is no route
  'no-authority', // no authority of the cluster is known here
  'not-asked', // a fault of this host: the handshake was not tried
  'expired', // proven, although the certificate has ended by the clock of this host
  'not-yet-valid', // proven, although the certificate begins later by the clock of this host
] as const;
export type ProofReason = (typeof PROOF_REASONS)[number];

/** What one check of an address showed. */
export type CheckResult =
  /** With a reason: the certificate is outside its time by the clock of this host. */
  | { readonly kind: 'proven'; readonly reason?: 'expired' | 'not-yet-valid' }
  /** A server answers that is not the API server of the cluster. */
  | { readonly kind: 'refused'; readonly reason: 'other-authority' | 'other-name' | 'no-tls' }
  | { readonly kind: 'silent'; readonly reason: 'timeout' | 'network' }
  /**
   * No handshake was tried: no authority is known, or this host has a fault, which says nothing about the address.
   * `isListening`: the address accepts connections; absent where that is not known either.
   */
  | {
      readonly kind: 'untried';
      readonly reason: 'no-authority' | 'not-asked';
      readonly isListening?: boolean;
    };

export interface AddressProof {
  readonly state: ProofState;
  /** The beginning of this state, wall ms. */
  readonly sinceMs: number;
  readonly reason?: ProofReason;
  /** The last successful proof, wall ms; renewed in steps of some minutes. It stays after the proof is lost. */
  readonly provenAtMs?: number;
}

/** Reasons for which another server than the API server answers at the address. */
const FOREIGN: ReadonlySet<ProofReason | undefined> = new Set(['other-authority', 'other-name', 'no-tls']);

export function isForeign({ reason }: Pick<AddressProof, 'reason'>): boolean {
  return FOREIGN.has(reason);
}

export function isProven({ proof }: { readonly proof?: AddressProof }): boolean {
  return proof?.state === 'proven';
}

/**
 * The addresses that are served, and those that are not, because a proven address exists.
 *
 *     a proven address exists    served                                        withheld
 *     yes                        proven; unproven that was served before       refused; new and not proven yet
 *     no                         all, the refused too: a name is always answered    none
 *     pinned                     the pin, whatever is proven                   none
 */
export function servedIn<Address extends Pick<KnownAddress, 'address' | 'proof' | 'awaitsProof'>>(record: {
  readonly addresses: readonly Address[];
  /** Proven addresses that the sources have dropped. */
  readonly leaving?: readonly Address[];
  readonly basis: string;
}): Readonly<Record<'served' | 'withheld', readonly Address[]>> {
  const { addresses, leaving = [], basis } = record;
  const all = [...addresses, ...leaving];
  if (basis === 'pin' || !all.some(isProven)) return { served: all, withheld: [] };
  const isWithheld = (one: Address) =>
    one.proof?.state === 'refused' || (one.awaitsProof === true && !isProven(one));
  return { served: all.filter((one) => !isWithheld(one)), withheld: all.filter(isWithheld) };
}
