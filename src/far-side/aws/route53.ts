/**
 * Polls a hosted zone of the customer's own for the name of the endpoint. The zone is given by its ID, or found among the zones
 * of the account by name. The zone of EKS belongs to AWS and is never among them: its names are asked by the dns source.
 *
 * Alias and CNAME targets are reported as names: `withTargets` in refresh/cluster-sources.ts resolves them. Wildcard records
 * are not searched for.
 */
import type { HostedZone, ResourceRecordSet } from '@aws-sdk/client-route-53';
import { normalizeName, parentName } from '../../protocol/words/name.ts';
import { isEndpointAddress } from '../../records/endpoint-record.ts';
import { answeredBut, cannotAsk } from '../../records/observation.ts';
import { allPages, type PollDeps, type PollFunction, present } from '../poll.ts';
import { type AwsPlace, placeOf } from './credentials.ts';
import { classifyAwsFailure } from './failure.ts';

interface Route53Settings {
  /** Without a zone ID the zone is found by name. */
  readonly route53?: { readonly zoneId?: string | undefined } | undefined;
}

export const pollRoute53: PollFunction<Route53Settings> = async (
  { settings, context, signal },
  { aws, zones },
) => {
  const { endpoint, region = ANY_REGION } = context;
  if (endpoint === undefined) throw cannotAsk('listing record sets failed: the endpoint is not known yet');
  const place = placeOf({ ...context, region }, settings.profile);
  const ask: Asking = { route53: aws.route53, place, signal, zones, zoneId: settings.route53?.zoneId };
  const { addresses, targets, ttlSeconds } = mergeRecordSets(await recordSets(ask, endpoint));
  if (addresses.length + targets.length === 0)
    throw answeredBut('empty', `record sets of "${endpoint}" hold no address`);
  return {
    kind: 'addresses',
    source: 'route53',
    addresses,
    ...(targets.length === 0 ? {} : { targets }),
    ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
  };
};

/** The Region for a cluster that has only an endpoint: the API is the same everywhere in a partition. */
const ANY_REGION = 'us-east-1';

interface Asking {
  readonly route53: PollDeps['aws']['route53'];
  readonly place: AwsPlace;
  readonly signal: AbortSignal;
  readonly zones: PollDeps['zones'];
  readonly zoneId: string | undefined;
}

async function recordSets(ask: Asking, endpoint: string): Promise<readonly ResourceRecordSet[]> {
  const { zones, zoneId } = ask;
  const key = JSON.stringify([ask.place.region, ask.place.profile, endpoint]);
  const found = zones.get(key);
  zones.delete(key); // a zone that was found earlier may be gone: the next poll searches again
  const known = zoneId ?? found;
  if (known !== undefined) {
    const sets = await listRecordSets(ask, known, endpoint);
    if (sets.length > 0) {
      if (zoneId === undefined) zones.set(key, known);
      return sets;
    }
    if (zoneId !== undefined) {
      throw answeredBut(
        'not-found',
        `hosted zone "${known}" has no A, alias or CNAME record for "${endpoint}"`,
      );
    }
  }
  const { zone, sets } = await searchZones(ask, endpoint);
  zones.set(key, zone);
  return sets;
}

/** A policy may allow one zone only: a zone that may not be read is passed over, and reported if no other has the record. */
async function searchZones(
  ask: Asking,
  endpoint: string,
): Promise<{ readonly zone: string; readonly sets: readonly ResourceRecordSet[] }> {
  let denied: unknown;
  for await (const zone of zoneCandidates(ask, endpoint)) {
    try {
      const sets = await listRecordSets(ask, zone.id, endpoint);
      if (sets.length > 0) return { zone: zone.id, sets };
    } catch (error) {
      if (classifyAwsFailure(error, 0).reason !== 'denied') throw error;
      denied = error;
    }
  }
  throw denied ?? answeredBut('not-found', `no hosted zone of this account has a record for "${endpoint}"`);
}

interface ZoneCandidate {
  readonly id: string;
  readonly name: string;
  readonly isPrivate: boolean;
}

/**
 * Zones named like `name` or one of its parents: the nearest first, and of one name the private zone before the public one.
 * Two zones can share a name. The zone with the record counts; where both have it, the VPC of the cluster sees the private one.
 */
async function* zoneCandidates(ask: Asking, name: string): AsyncGenerator<ZoneCandidate> {
  for (let at: string | undefined = name; at !== undefined && at !== '.'; at = parentName(at)) {
    const zones = await zonesNamed(ask, at);
    yield* zones.sort((a, b) => Number(b.isPrivate) - Number(a.isPrivate));
  }
}

interface ZoneToken {
  readonly DNSName: string;
  readonly HostedZoneId?: string | undefined;
}

/** The call lists all zones from this name on, so the listing ends at the first other name. */
async function zonesNamed(ask: Asking, name: string): Promise<ZoneCandidate[]> {
  const { route53, place, signal } = ask;
  const { ListHostedZonesByNameCommand } = await import('@aws-sdk/client-route-53');
  return allPages<ZoneCandidate, ZoneToken>(async (token) => {
    const input = { DNSName: toRoute53Name(name), ...token };
    const output = await route53.call(place, signal, (client, abort) =>
      client.send(new ListHostedZonesByNameCommand(input), abort),
    );
    const zones = present(output.HostedZones, output, 'hosted zones').map(readZone);
    const items = zones.filter((zone) => zone.name === name);
    const { IsTruncated, NextDNSName: DNSName, NextHostedZoneId: HostedZoneId } = output;
    if (items.length < zones.length || !IsTruncated || DNSName === undefined) return { items };
    return { items, next: { DNSName, HostedZoneId } };
  });
}

function readZone(zone: HostedZone): ZoneCandidate {
  return {
    id: zone.Id ?? '',
    name: route53Name(zone.Name ?? ''),
    isPrivate: zone.Config?.PrivateZone ?? false,
  };
}

/** A name of Route 53 in normal form; empty where it is no name. Route 53 escapes in octal (`\052` is `*`), RFC 1035 in decimal. */
function route53Name(text: string): string {
  const decimal = text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => {
    return `\\${String(Number.parseInt(digits, 8)).padStart(3, '0')}`;
  });
  try {
    return normalizeName(decimal);
  } catch {
    return '';
  }
}

/** A name in normal form as Route 53 writes it: every escape in octal. */
function toRoute53Name(name: string): string {
  const octal = name.replaceAll(/\\(\d{3}|.)/g, (_, escaped: string) => {
    const octet = escaped.length === 3 ? Number(escaped) : escaped.charCodeAt(0);
    return `\\${octet.toString(8).padStart(3, '0')}`;
  });
  return `${octal}.`;
}

/** The record sets of one name in a hosted zone, merged: its addresses, and the names whose addresses it has too. */
interface NameRecords {
  readonly addresses: readonly string[];
  readonly targets: readonly string[];
  /** The TTL of the sets that have a TTL; an alias set has the TTL of its target. */
  readonly ttlSeconds?: number | undefined;
}

interface RecordToken {
  readonly StartRecordName: string;
  readonly StartRecordType: NonNullable<ResourceRecordSet['Type']>;
  readonly StartRecordIdentifier?: string | undefined;
}

/** The A and CNAME sets of `name` in the zone. The call lists all sets from this name on: the listing ends at the first other name. */
async function listRecordSets(ask: Asking, zoneId: string, name: string): Promise<ResourceRecordSet[]> {
  const { route53, place, signal } = ask;
  const { ListResourceRecordSetsCommand } = await import('@aws-sdk/client-route-53');
  return allPages<ResourceRecordSet, RecordToken>(async (token) => {
    const start = token ?? { StartRecordName: toRoute53Name(name), StartRecordType: 'A' as const };
    const input = { HostedZoneId: zoneId, ...start };
    const output = await route53.call(place, signal, (client, abort) =>
      client.send(new ListResourceRecordSetsCommand(input), abort),
    );
    const sets = present(output.ResourceRecordSets, output, 'record sets');
    const ofName = sets.filter((set) => route53Name(set.Name ?? '') === name);
    const items = ofName.filter((set) => set.Type === 'A' || set.Type === 'CNAME');
    const { NextRecordName, NextRecordType, NextRecordIdentifier } = output;
    if (ofName.length < sets.length || !output.IsTruncated) return { items };
    if (!NextRecordName || !NextRecordType) {
      throw answeredBut(
        'malformed',
        'listing record sets failed: it is cut off and does not say where it goes on',
      );
    }
    const next = {
      StartRecordName: NextRecordName,
      StartRecordType: NextRecordType,
      StartRecordIdentifier: NextRecordIdentifier,
    };
    return { items, next };
  });
}

/**
 * Merges the sets of one name, as a resolver that asks often would see them: all members of a weighted or multivalue set count.
 * Health checks are not known here, nor which set of a routing by latency or place would be answered. All of those
 * count, and the listing of interfaces says which addresses exist.
 */
function mergeRecordSets(sets: readonly ResourceRecordSet[]): NameRecords {
  const served = servedSets(sets);
  const ttls = served.flatMap((set) => (set.TTL === undefined ? [] : [set.TTL]));
  const addresses = served.filter((set) => set.Type === 'A').flatMap(valuesOf);
  const canonical = served.filter((set) => set.Type === 'CNAME').flatMap(valuesOf);
  const aliases = served.flatMap((set) =>
    set.AliasTarget === undefined ? [] : [set.AliasTarget.DNSName ?? ''],
  );
  return {
    addresses: [...new Set(addresses.map(checkedAddress))],
    targets: [...new Set([...canonical, ...aliases].map(checkedName))],
    ttlSeconds: ttls.length === 0 ? undefined : Math.min(...ttls),
  };
}

/** Weight 0 means never, unless all weights are 0: then it means equally often. The secondary of a failover pair stands by. */
function servedSets(sets: readonly ResourceRecordSet[]): readonly ResourceRecordSet[] {
  const weighty = sets.filter((set) => set.Weight !== 0);
  const candidates = weighty.length > 0 ? weighty : sets;
  const primary = candidates.filter((set) => set.Failover !== 'SECONDARY');
  return primary.length > 0 ? primary : candidates;
}

function valuesOf(set: ResourceRecordSet): string[] {
  return (set.ResourceRecords ?? []).map((record) => record.Value ?? '');
}

function checkedAddress(value: string): string {
  if (isEndpointAddress(value)) return value;
  throw answeredBut('malformed', `reading record sets failed: "${value}" is no address`);
}

function checkedName(value: string): string {
  const name = route53Name(value);
  if (name !== '' && name !== '.') return name;
  throw answeredBut('malformed', `reading record sets failed: target "${value}" is no name`);
}
