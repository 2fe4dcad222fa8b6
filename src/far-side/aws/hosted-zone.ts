import type { HostedZone } from '@aws-sdk/client-route-53';
import { normalizeName, parentName } from '../../protocol/words/name.ts';
import { allPages, present } from '../pages.ts';
import type { AwsPlace } from './client-pool.ts';
import type { Route53Calls } from './clients.ts';

/** Finding the caller's hosted zones that a name may live in. */
export interface Route53Look {
  readonly route53: Route53Calls;
  readonly place: AwsPlace;
  readonly signal: AbortSignal;
}

export interface ZoneCandidate {
  readonly id: string;
  readonly name: string;
  readonly isPrivate: boolean;
}

/**
 * Zones named like `name` or one of its parents: the nearest first, and of one name the private before the public.
 * They can share a name, and whichever has the record is the one that is meant; where both have it, the private one
 * is what the cluster's VPC sees, and its addresses are private like the endpoint's.
 */
export async function* zoneCandidates(look: Route53Look, name: string): AsyncGenerator<ZoneCandidate> {
  for (let at: string | undefined = name; at !== undefined && at !== '.'; at = parentName(at)) {
    const zones = await zonesNamed(look, at);
    yield* zones.sort((a, b) => Number(b.isPrivate) - Number(a.isPrivate));
  }
}

interface ZoneToken {
  readonly DNSName: string;
  readonly HostedZoneId?: string | undefined;
}

/** The call's name says where the listing starts, not what it holds, so it ends at the first other name. */
function zonesNamed(look: Route53Look, name: string): Promise<ZoneCandidate[]> {
  const { route53, place, signal } = look;
  return allPages<ZoneCandidate, ZoneToken>(async (token) => {
    const output = await route53.listHostedZonesByName(
      place,
      { DNSName: toRoute53Name(name), ...token },
      signal,
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

/** A name as Route 53 writes it, in our form. Its escapes are octal (`\052` is `*`), those of RFC 1035 decimal. Empty when it is no name. */
export function route53Name(text: string): string {
  const decimal = text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => {
    return `\\${String(Number.parseInt(digits, 8)).padStart(3, '0')}`;
  });
  try {
    return normalizeName(decimal);
  } catch {
    return '';
  }
}

/** A name in our form as Route 53 takes it: every escape in octal. */
export function toRoute53Name(name: string): string {
  const octal = name.replaceAll(/\\(\d{3}|.)/g, (_, escaped: string) => {
    const octet = escaped.length === 3 ? Number(escaped) : escaped.charCodeAt(0);
    return `\\${octet.toString(8).padStart(3, '0')}`;
  });
  return `${octal}.`;
}
