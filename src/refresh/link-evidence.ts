/**
 * What a look by a source says about the link to AWS. Any answer of AWS proves it; only silence speaks against it. What a
 * proxy or a portal answers in place of AWS is named, and proves nothing.
 */
import type { Evidence } from '../link/link-state.ts';
import { partitionOf } from '../protocol/words/aws-partitions.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';
import type { Ending } from './attempt.ts';

/** @returns undefined when the look says nothing about the link */
export function evidenceOf(
  { observation, isUnsettled, isLate }: Ending,
  region: string | undefined,
): Evidence | undefined {
  const key = regionOf(observation.source, region);
  if (key === undefined) return undefined;
  if (observation.kind !== 'failed') return { side: 'aws', key, proves: 'reachable', reason: 'answered' };
  const { reason } = observation;
  if (observation.reachedFarSide) return { side: 'aws', key, proves: 'reachable', reason };
  if (isLate) return { side: 'aws', key, proves: 'reachable', reason: 'answered late' };
  // a hanging credential provider ends like this too, and bad credentials must never look like a cut
  if (isUnsettled) return undefined;
  if (reason === 'proxy' || reason === 'untrusted-certificate') {
    return { side: 'aws', key, proves: 'nothing', reason };
  }
  if (reason !== 'timeout' && reason !== 'network') return undefined;
  return { side: 'aws', key, proves: 'unreachable', reason };
}

/**
 * The Region that a source asks: Route 53's API has one home in each partition, whatever the Region of the cluster.
 * None for `dns`, because the forwarder reports for its upstreams, nor for `kubernetes`, which is on the site.
 */
export function regionOf(source: SourceName, region: string | undefined): string | undefined {
  const { service } = traitsOf(source);
  if (service === undefined) return undefined;
  return service === 'route53' ? partitionOf(region ?? '').globalRegion : region;
}
