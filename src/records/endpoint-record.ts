/** The record of one cluster's endpoint: refresh/ publishes it, store/ keeps it, serving/ answers from it. */
import { isIPv4 } from 'node:net';
import type { AddressProof } from './address-proof.ts';
import { hasSameJson } from './canonical-json.ts';
import type { SourceName } from './sources.ts';

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

export interface ServedAddress {
  /** IPv4, canonical text. */
  readonly address: string;
  readonly provenance: Readonly<Partial<Record<SourceName | 'pin', SeenBy>>>;
  /** When EC2's listing began to lack it, wall ms. It stays while the name has it, and for an hour. */
  readonly lackedSinceMs?: number;
  /** Absent before the first check of the address. */
  readonly proof?: AddressProof;
  /** It came while other addresses were proven: it is not served beside proven addresses until it is proven. */
  readonly awaitsProof?: true;
  /** It is answered after the other addresses, because it does not answer or is not proven. Never persisted. */
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
  /** In a record with wall times: what is left at the moment of the record. A later process believes it where clocks disagree. */
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
  readonly addresses: readonly ServedAddress[];
  /** Proven addresses that the sources have dropped: they are served while none of `addresses` is proven. */
  readonly leaving?: readonly ServedAddress[];
  /** A loss is measured against this set: confirmed by both kinds of source, or by a repetition where only one kind answers. */
  readonly corroborated?: readonly string[];
  /** The addresses without the pin that hides them; left out without a pin, or where there are none. */
  readonly unpinned?: readonly ServedAddress[];
  /** The pin of a command. A pin in the configuration is not part of the record, and wins. */
  readonly pin?: Pin;
  readonly ttlSeconds: number;
  /** The row of the table above refresh/reconcile/compare.ts that decided the addresses. */
  readonly basis: (typeof BASES)[number];
  /** When the set of addresses last changed, wall ms. */
  readonly changedAtMs?: number;
  /** The last success of each source, wall ms. */
  readonly confirmedAtMs: Readonly<Partial<Record<SourceName, number>>>;
  readonly held?: HeldChange;
  readonly lastRefreshFailed: boolean;
}

/**
 * How much two sets of records differ: not at all, in what ages by itself, or in content. These age: the times of the last
 * sighting, confirmation and description; the TTL, which a cache in between counts down; whether the last refresh failed. The
 * order of clusters and of addresses is no content.
 */
export type RecordChange = 'none' | 'ageing' | 'content';

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

function namesIn(addresses: readonly ServedAddress[]): readonly string[] {
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
