/** A cluster is told by its Region and its name, and by its name where no Region is known: which record is whose. Pure. */
import type { EndpointRecord } from './endpoint-record.ts';

export interface ClusterIdentity {
  readonly name: string;
  readonly region?: string | undefined;
  /** Tells clusters of one name apart where a Region is not known. */
  readonly endpoint?: string | undefined;
}

/** For a person: `my-cluster`, or `my-cluster (us-west-2)` where another cluster has that name too. */
export function clusterText({ name, region }: ClusterIdentity, all: readonly ClusterIdentity[]): string {
  const isOnlyOne = all.filter((other) => other.name === name).length < 2;
  return isOnlyOne || region === undefined ? name : `${name} (${region})`;
}

export function identityOf({ cluster: name, region, endpoint }: EndpointRecord): ClusterIdentity {
  return { name, region, endpoint };
}

export function hasSameIdentity(one: ClusterIdentity, other: ClusterIdentity): boolean {
  return one.name === other.name && one.region === other.region;
}

/** One of the two was written, or is configured now, without its Region. */
function isSimilar(one: ClusterIdentity, other: ClusterIdentity): boolean {
  return one.name === other.name && (one.region === undefined || other.region === undefined);
}

/** EKS writes the Region into the names that it gives. */
function isNamedAfter({ endpoint }: ClusterIdentity, { region }: ClusterIdentity): boolean {
  return region !== undefined && (endpoint?.split('.').includes(region) ?? false);
}

/** From the certain to the merely likely. All clusters are tried with one rule before the next, so that none takes what is another's. */
const RULES: readonly ((cluster: ClusterIdentity, known: ClusterIdentity) => boolean)[] = [
  hasSameIdentity,
  (cluster, known) =>
    isSimilar(cluster, known) && cluster.endpoint !== undefined && cluster.endpoint === known.endpoint,
  (cluster, known) =>
    isSimilar(cluster, known) && (isNamedAfter(known, cluster) || isNamedAfter(cluster, known)),
  isSimilar,
];

/**
 * For each cluster that has one, what is known of it; nothing goes to two of them. In steps, because there may be a
 * thousand.
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

/** The name that DescribeCluster says, where the record goes by another one: the operator's, wrong or outdated. */
export function otherEndpointOf({
  endpoint,
  details,
}: Pick<EndpointRecord, 'endpoint' | 'details'>): string | undefined {
  return details === undefined || details.endpoint === endpoint ? undefined : details.endpoint;
}
