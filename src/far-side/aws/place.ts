import type { SourceContext } from '../../records/observation.ts';
import { cannotAsk } from '../source-error.ts';
import type { AwsPlace } from './client-pool.ts';

/** Where AWS is to be asked about a cluster. Throws SourceError when its region is not known. */
export function placeOf(context: SourceContext, profile: string | undefined): AwsPlace {
  const { cluster, region } = context;
  if (region === undefined)
    throw cannotAsk(`asking aws about cluster "${cluster}" failed: no region is configured`);
  return { region, profile };
}
