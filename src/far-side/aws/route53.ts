import type { ResourceRecordSet } from '@aws-sdk/client-route-53';
import type { Source } from '../../records/observation.ts';
import { answeredBut, cannotAsk, type Explain, observation, SourceError } from '../source-error.ts';
import type { Route53Calls } from './clients.ts';
import { type Route53Look, zoneCandidates } from './hosted-zone.ts';
import { placeOf } from './place.ts';
import { listRecordSets, mergeRecordSets, type NameRecords } from './record-sets.ts';

/**
 * What a hosted zone of the customer's own says of the endpoint's name. The zone is given by its ID, or found among
 * the caller's zones by name. EKS's own zone is AWS's and is never among them: for that name there is the dns source.
 *
 * Alias and CNAME targets are resolved like any name, past our cache. Wildcard records are not looked for.
 */
export interface Route53SourceOptions {
  readonly route53: Route53Calls;
  /** Asks the upstreams for the addresses of an alias or CNAME target; throws SourceError where they give none. */
  readonly resolveTarget: (name: string, signal: AbortSignal) => Promise<ResolvedRecords>;
  readonly explain: Explain;
  /** Absent: find the zone by name. */
  readonly zoneId?: string | undefined;
  readonly profile?: string | undefined;
}

/** For a cluster that has only an endpoint: the API is the same everywhere in a partition. */
const ANY_REGION = 'us-east-1';

export function createRoute53Source(options: Route53SourceOptions): Source {
  const { explain, route53, profile } = options;
  const zones = new Map<string, string>(); // endpoint name -> ID of the zone that had it
  return {
    name: 'route53',
    observe: (context, signal) =>
      observation('route53', explain, async () => {
        const { endpoint } = context;
        if (endpoint === undefined)
          throw cannotAsk('listing record sets failed: the endpoint is not known yet');
        const place = placeOf({ ...context, region: context.region ?? ANY_REGION }, profile);
        const look = { route53, place, signal };
        const sets = await recordSets(options, zones, look, endpoint);
        const records = mergeRecordSets(sets);
        const { addresses, ttlSeconds } = await withTargets(options, records, signal);
        if (addresses.length === 0)
          throw answeredBut('empty', `record sets of "${endpoint}" hold no address`);
        return {
          kind: 'addresses',
          source: 'route53',
          addresses,
          ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
        };
      }),
  };
}

async function recordSets(
  options: Route53SourceOptions,
  zones: Map<string, string>,
  look: Route53Look,
  endpoint: string,
): Promise<readonly ResourceRecordSet[]> {
  const known = options.zoneId ?? zones.get(endpoint);
  if (known !== undefined) {
    const sets = await listOrForget(zones, look, known, endpoint);
    if (sets.length > 0) return sets;
    if (options.zoneId !== undefined) {
      throw answeredBut(
        'not-found',
        `hosted zone "${known}" has no A, alias or CNAME record for "${endpoint}"`,
      );
    }
  }
  return searchZones(options, zones, look, endpoint);
}

/** A zone found earlier may have gone since; the next look searches again. */
async function listOrForget(
  zones: Map<string, string>,
  look: Route53Look,
  zoneId: string,
  endpoint: string,
): Promise<readonly ResourceRecordSet[]> {
  const found = zones.get(endpoint);
  zones.delete(endpoint);
  const sets = await listRecordSets(look, zoneId, endpoint);
  if (found !== undefined && sets.length > 0) zones.set(endpoint, found);
  return sets;
}

/** A policy may allow one zone only: a zone that may not be read is passed over, and told if no other has the record. */
async function searchZones(
  options: Route53SourceOptions,
  zones: Map<string, string>,
  look: Route53Look,
  endpoint: string,
): Promise<readonly ResourceRecordSet[]> {
  let denied: unknown;
  for await (const zone of zoneCandidates(look, endpoint)) {
    try {
      const sets = await listRecordSets(look, zone.id, endpoint);
      if (sets.length === 0) continue;
      zones.set(endpoint, zone.id);
      return sets;
    } catch (error) {
      if (options.explain(error).reason !== 'denied') throw error;
      denied = error;
    }
  }
  throw denied ?? answeredBut('not-found', `no hosted zone of this account has a record for "${endpoint}"`);
}

type ResolvedRecords = Pick<NameRecords, 'addresses' | 'ttlSeconds'>;

/** All targets or none: a part of them would look like lost addresses. */
async function withTargets(
  options: Route53SourceOptions,
  records: NameRecords,
  signal: AbortSignal,
): Promise<ResolvedRecords> {
  try {
    const resolved = await Promise.all(
      records.targets.map((target) => options.resolveTarget(target, signal)),
    );
    const ttls = [records.ttlSeconds, ...resolved.map((target) => target.ttlSeconds)];
    const known = ttls.filter((ttl) => ttl !== undefined);
    return {
      addresses: [...new Set([...records.addresses, ...resolved.flatMap((target) => target.addresses)])],
      ttlSeconds: known.length === 0 ? undefined : Math.min(...known),
    };
  } catch (error) {
    // The zone was read, so AWS has answered, whatever became of the target.
    throw new SourceError({ ...options.explain(error), reachedFarSide: true });
  }
}
