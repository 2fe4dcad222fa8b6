/** A cluster as the refresh journey shows it, with nothing wrong unless a test says so. */
import type { ClusterSnapshot, SourceSnapshot } from '../../src/refresh/cluster-snapshot.ts';

export const NAME = 'demo.gr7.us-west-2.eks.amazonaws.com';

export function sourceSnapshot(source: Partial<SourceSnapshot> = {}): SourceSnapshot {
  return {
    source: 'dns',
    latest: 'succeeded',
    isRunning: false,
    consecutiveFailures: 0,
    stats: { refreshes: {}, durationMsSum: 0, lateResults: 0, unsettled: 0 },
    ...source,
  };
}

export function clusterSnapshot(
  cluster: Partial<ClusterSnapshot> & { readonly serves?: readonly string[] } = {},
): ClusterSnapshot {
  const { serves = ['10.0.0.1', '10.0.0.2'], ...rest } = cluster;
  return {
    cluster: 'demo',
    region: 'us-west-2',
    endpoint: NAME,
    basis: 'name',
    ttlSeconds: 60,
    lastRefreshFailed: false,
    addresses: serves.map((address) => ({ address, isDead: false, provenance: {} })),
    sources: [sourceSnapshot()],
    refused: [],
    withheld: [],
    endings: [],
    silent: [],
    warnings: [],
    ...rest,
  };
}
