/** Which sources a cluster is refreshed from when its configuration does not say. */
import type { SourceName } from '../records/sources.ts';

/** What a cluster's configuration gives besides its name. */
export interface Given {
  readonly region: boolean;
  readonly route53: boolean;
  readonly kubernetes: boolean;
}

export function defaultSources(given: Given): readonly SourceName[] {
  const sources: SourceName[] = given.region ? ['dns', 'interfaces', 'cluster'] : ['dns'];
  if (given.route53) sources.push('route53');
  if (given.kubernetes) sources.push('kubernetes');
  return sources;
}
