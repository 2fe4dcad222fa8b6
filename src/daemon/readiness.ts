/** Ready is: every configured endpoint can be answered. Neither AWS nor upstreams count, for an outage must not undo it. */
import type { ClusterSnapshot } from '../refresh/cluster-snapshot.ts';

/** One sentence with its mend for each reason; none when ready. */
export function notReady(clusters: readonly ClusterSnapshot[]): readonly string[] {
  return clusters.flatMap((cluster) => {
    if (cluster.addresses.length > 0) return [];
    const name =
      cluster.endpoint === undefined ? `cluster "${cluster.cluster}"` : `endpoint "${cluster.endpoint}"`;
    const missing =
      cluster.endpoint === undefined ? 'its endpoint name is not known yet' : 'no address is known yet';
    const failures = cluster.sources.flatMap(({ source, lastFailure }) =>
      lastFailure === undefined ? [] : [`${source}: ${lastFailure.detail}`],
    );
    return [`${name}: ${missing}${failures.length === 0 ? '' : ` (${failures.join('; ')})`}`];
  });
}
