/** Which sources a cluster is refreshed from when its configuration does not say. */
import type { SourceName } from './config.ts';

export function defaultSources(hasRegion: boolean, hasRoute53: boolean): readonly SourceName[] {
  const sources: readonly SourceName[] = hasRegion ? ['dns', 'interfaces', 'cluster'] : ['dns'];
  return hasRoute53 ? [...sources, 'route53'] : sources;
}
