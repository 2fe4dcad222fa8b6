/** Decides which record belongs to which cluster: by Region and name, or by name where no Region is known. Pure. */
import type { EndpointRecord } from './endpoint-record.ts';

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

export function hasSameIdentity(one: ClusterIdentity, other: ClusterIdentity): boolean {
  return one.name === other.name && one.region === other.region;
}

/** One of the two was written, or is configured now, without its Region. */
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
