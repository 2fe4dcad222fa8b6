/** The Route 53 API: REST with XML. A listing starts at a name, whether or not the name exists. */
import { NameError, nameFromWire, nameToWire } from '../src/protocol/words/name.ts';
import {
  type ApiContext,
  type ApiReply,
  type ApiRequest,
  isRefusal,
  type Refusal,
  refusal,
  refuse,
  success,
  xmlDocument,
} from './api.ts';
import type { HostedZone, RecordSet } from './facts.ts';
import type { RegionState } from './region-state.ts';

const NAMESPACE = 'https://route53.amazonaws.com/doc/2013-04-01/';
const MAX_RECORD_SETS = 300; // a page never holds more, whatever `maxitems` says
const MAX_ZONES = 100;

export function answerRoute53(request: ApiRequest, context: ApiContext): ApiReply {
  try {
    switch (request.operation) {
      case 'ListResourceRecordSets':
        return listResourceRecordSets(request, context.state);
      case 'ListHostedZonesByName':
        return listHostedZonesByName(request, context.state);
      case 'GetHostedZone':
        return getHostedZone(request, context.state);
      default:
        return refuse('route53', 'unknown-operation', 'The requested action is not valid.');
    }
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return refusal(400, 'InvalidDomainName', `The domain name is not valid: ${error.text}`);
  }
}

function listResourceRecordSets({ path, parameters }: ApiRequest, state: RegionState): ApiReply {
  const zone = zoneOf(path, state);
  if (isRefusal(zone)) return zone;
  const start = recordSetStart(parameters);
  if (isRefusal(start)) return start;
  const limit = pageSize(parameters, MAX_RECORD_SETS);
  if (typeof limit !== 'number') return limit;
  const from = zone.recordSets
    .map((set) => ({ set, key: recordSetKey(set) }))
    .sort((a, b) => compare(a.key, b.key))
    .filter(({ key }) => compare(key, start.key) >= 0);
  const next = from[limit]?.set;
  return success(
    xmlDocument('ListResourceRecordSetsResponse', NAMESPACE, {
      ResourceRecordSets: { ResourceRecordSet: from.slice(0, limit).map(({ set }) => recordSetElement(set)) },
      IsTruncated: next !== undefined,
      NextRecordName: next && toRoute53Name(next.name),
      NextRecordType: next?.type,
      NextRecordIdentifier: next?.setIdentifier,
      MaxItems: limit,
    }),
  );
}

type SortKey = readonly [name: string, type: string, setIdentifier: string];

function recordSetKey(set: RecordSet): SortKey {
  return [sortKey(toRoute53Name(set.name)), set.type, set.setIdentifier ?? ''];
}

function recordSetStart(parameters: URLSearchParams): { readonly key: SortKey } | Refusal {
  const [name, type, identifier] = ['name', 'type', 'identifier'].map((key) => parameters.get(key));
  if (type && !name) return refusal(400, 'InvalidInput', 'The input is not valid: type without name');
  if (identifier && !type)
    return refusal(400, 'InvalidInput', 'The input is not valid: identifier without type');
  const key = name ? sortKey(toRoute53Name(fromRoute53Name(name))) : '';
  return { key: [key, type ?? '', identifier ?? ''] };
}

function listHostedZonesByName({ parameters }: ApiRequest, state: RegionState): ApiReply {
  const dnsName = parameters.get('dnsname') ?? '';
  const zoneId = parameters.get('hostedzoneid') ?? '';
  if (zoneId !== '' && dnsName === '') {
    return refusal(400, 'InvalidInput', 'The input is not valid: hostedzoneid without dnsname');
  }
  const limit = pageSize(parameters, MAX_ZONES);
  if (typeof limit !== 'number') return limit;
  const start: SortKey = [dnsName === '' ? '' : sortKey(toRoute53Name(fromRoute53Name(dnsName))), zoneId, ''];
  const from = state.hostedZones
    .map((zone) => ({ zone, key: [sortKey(toRoute53Name(zone.name)), zone.id, ''] satisfies SortKey }))
    .sort((a, b) => compare(a.key, b.key))
    .filter(({ key }) => compare(key, start) >= 0);
  const next = from[limit]?.zone;
  return success(
    xmlDocument('ListHostedZonesByNameResponse', NAMESPACE, {
      HostedZones: { HostedZone: from.slice(0, limit).map(({ zone }) => hostedZoneElement(zone)) },
      DNSName: dnsName || undefined,
      HostedZoneId: zoneId || undefined,
      IsTruncated: next !== undefined,
      NextDNSName: next && toRoute53Name(next.name),
      NextHostedZoneId: next?.id,
      MaxItems: limit,
    }),
  );
}

function getHostedZone({ path }: ApiRequest, state: RegionState): ApiReply {
  const zone = zoneOf(path, state);
  if (isRefusal(zone)) return zone;
  const nameServers = zone.recordSets.find(({ type, name }) => type === 'NS' && name === zone.name)?.values;
  return success(
    xmlDocument('GetHostedZoneResponse', NAMESPACE, {
      HostedZone: hostedZoneElement(zone),
      ...(zone.privateZone
        ? { VPCs: { VPC: zone.vpcs.map(({ region, vpcId }) => ({ VPCRegion: region, VPCId: vpcId })) } }
        : { DelegationSet: { NameServers: { NameServer: nameServers ?? [] } } }),
    }),
  );
}

function zoneOf(path: string, state: RegionState): HostedZone | Refusal {
  const id = decodeURIComponent(path.split('/')[3] ?? '');
  return (
    state.hostedZones.find((zone) => zone.id === id) ??
    refusal(404, 'NoSuchHostedZone', `No hosted zone found with ID: ${id}`)
  );
}

function pageSize(parameters: URLSearchParams, most: number): number | Refusal {
  const text = parameters.get('maxitems');
  if (text === null) return most;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) {
    return refusal(400, 'InvalidInput', `The input is not valid: maxitems '${text}'`);
  }
  return Math.min(count, most);
}

function compare(a: SortKey, b: SortKey): number {
  for (const [index, part] of a.entries()) {
    const other = b[index] ?? '';
    if (part !== other) return part < other ? -1 : 1;
  }
  return 0;
}

function recordSetElement({ name, type, values, alias, ...set }: RecordSet): object {
  return {
    Name: toRoute53Name(name),
    Type: type,
    SetIdentifier: set.setIdentifier,
    Weight: set.weight,
    MultiValueAnswer: set.multiValueAnswer,
    TTL: alias === undefined ? set.ttlSeconds : undefined,
    ResourceRecords: values && { ResourceRecord: values.map((value) => ({ Value: value })) },
    AliasTarget: alias && {
      HostedZoneId: alias.hostedZoneId,
      DNSName: toRoute53Name(alias.name),
      EvaluateTargetHealth: alias.evaluateTargetHealth,
    },
  };
}

function hostedZoneElement(zone: HostedZone): object {
  return {
    Id: `/hostedzone/${zone.id}`,
    Name: toRoute53Name(zone.name),
    CallerReference: `sandbox-${zone.id}`,
    Config: { Comment: zone.comment, PrivateZone: zone.privateZone },
    ResourceRecordSetCount: zone.recordSets.length,
  };
}

/**
 * Writes a name as Route 53 does: lower case, with a final dot. Letters, digits, `-` and `_` stay; every other octet becomes a
 * backslash and three octal digits. Throws NameError.
 */
export function toRoute53Name(text: string): string {
  const octets = nameToWire(text);
  const labels: string[] = [];
  for (let at = 0; octets[at] !== 0; at += 1 + (octets[at] ?? 0)) {
    const label = octets.subarray(at + 1, at + 1 + (octets[at] ?? 0));
    labels.push([...label].map(octetText).join(''));
  }
  return `${labels.join('.')}.`;
}

/** Reads octal escapes as well as bare characters, a final dot or none. Throws NameError. */
export function fromRoute53Name(text: string): string {
  const decimal = text.replace(
    /\\([0-3][0-7]{2})/g,
    (_, octal: string) => `\\${String(Number.parseInt(octal, 8)).padStart(3, '0')}`,
  );
  return nameFromWire(nameToWire(decimal));
}

/** The key that sorts listings: the labels in reverse order, compared as text with the final dot in place. */
export function sortKey(route53Name: string): string {
  return `${route53Name.slice(0, -1).split('.').reverse().join('.')}.`;
}

function octetText(octet: number): string {
  const character = String.fromCharCode(octet);
  return /[a-z0-9_-]/.test(character) ? character : `\\${octet.toString(8).padStart(3, '0')}`;
}
