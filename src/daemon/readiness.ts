/** Ready is: every configured endpoint can be answered. Neither AWS nor upstreams count, for an outage must not undo it. */

import { type ClusterIdentity, clusterText } from '../records/cluster-identity.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import type { ClusterSnapshot } from '../refresh/cluster-report.ts';

/**
 * One sentence with its mend for each reason; none when ready. `served` is what the table answers from at this moment:
 * what a refresh has just learned is saved before it is served.
 */
export function notReady(
  clusters: readonly ClusterSnapshot[],
  served: readonly EndpointRecord[],
): readonly string[] {
  return clusters.flatMap((cluster) => {
    if (served.some((record) => isOf(record, cluster) && isAnswered(record))) return [];
    const text = clusterText(nameOf(cluster), clusters.map(nameOf));
    const name = cluster.endpoint === undefined ? `cluster "${text}"` : `endpoint "${cluster.endpoint}"`;
    const failures = cluster.sources.flatMap(({ source, lastFailure }) =>
      lastFailure === undefined ? [] : [`${source}: ${lastFailure.detail}`],
    );
    return [`${name}: ${missingOf(cluster)}${failures.length === 0 ? '' : ` (${failures.join('; ')})`}`];
  });
}

function nameOf({ cluster: name, region }: ClusterSnapshot): ClusterIdentity {
  return { name, region };
}

function isOf({ cluster, region }: EndpointRecord, snapshot: ClusterSnapshot): boolean {
  return cluster === snapshot.cluster && region === snapshot.region;
}

function isAnswered({ endpoint, addresses }: EndpointRecord): boolean {
  return endpoint !== undefined && addresses.length > 0;
}

function missingOf({ endpoint, addresses }: ClusterSnapshot): string {
  if (endpoint === undefined) return 'its endpoint name is not known yet';
  return addresses.length === 0 ? 'no address is known yet' : 'its addresses are about to be served';
}
