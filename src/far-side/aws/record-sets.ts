import { isIPv4 } from 'node:net';
import type { ResourceRecordSet } from '@aws-sdk/client-route-53';
import { allPages, present } from '../pages.ts';
import { answeredBut } from '../source-error.ts';
import { type Route53Look, route53Name, toRoute53Name } from './hosted-zone.ts';

/** What the record sets of a name in a hosted zone come to: addresses of its own, and other names whose addresses it takes over. */
export interface NameRecords {
  readonly addresses: readonly string[];
  readonly targets: readonly string[];
  /** Of the sets that have one; alias sets take their target's. */
  readonly ttlSeconds?: number | undefined;
}

interface RecordToken {
  readonly StartRecordName: string;
  readonly StartRecordType: NonNullable<ResourceRecordSet['Type']>;
  readonly StartRecordIdentifier?: string | undefined;
}

/** The A and CNAME sets of `name` in the zone. The start name says where the listing starts, so it ends at the first other name. */
export function listRecordSets(
  look: Route53Look,
  zoneId: string,
  name: string,
): Promise<ResourceRecordSet[]> {
  const { route53, place, signal } = look;
  return allPages<ResourceRecordSet, RecordToken>(async (token) => {
    const start = token ?? { StartRecordName: toRoute53Name(name), StartRecordType: 'A' as const };
    const input = { HostedZoneId: zoneId, ...start };
    const output = await route53.listResourceRecordSets(place, input, signal);
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
 * Merges the sets of one name, as a resolver that asks again and again would see them: the members of a weighted or
 * multivalue set are all served. Health checks are not known here, and of sets routed by latency or place it is
 * not known which would be answered: they are all taken, and the interfaces' listing says which addresses exist.
 */
export function mergeRecordSets(sets: readonly ResourceRecordSet[]): NameRecords {
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

/** Weight 0 means never, unless all are 0: then it means equally often. The second of a failover pair only stands by. */
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
  if (isIPv4(value)) return value;
  throw answeredBut('malformed', `reading record sets failed: "${value}" is no address`);
}

function checkedName(value: string): string {
  const name = route53Name(value);
  if (name !== '' && name !== '.') return name;
  throw answeredBut('malformed', `reading record sets failed: target "${value}" is no name`);
}
