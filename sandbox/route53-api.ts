/** The Route 53 API: REST with XML. Its listings start at a name, they do not look for it. */
import { NameError } from '../src/protocol/words/name.ts';
import type { ApiContext, ApiReply, ApiRequest, Refusal } from './api.ts';
import { isRefusal, refusal, success } from './api.ts';
import type { HostedZone, RecordSet } from './facts.ts';
import { refuse } from './refusals.ts';
import type { RegionState } from './region-state.ts';
import { fromRoute53Name, sortKey, toRoute53Name } from './route53-names.ts';
import { leaf, node, xmlDocument } from './xml.ts';

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
    xmlDocument(
      'ListResourceRecordSetsResponse',
      NAMESPACE,
      node('ResourceRecordSets', ...from.slice(0, limit).map(({ set }) => recordSetXml(set))),
      leaf('IsTruncated', next !== undefined),
      leaf('NextRecordName', next && toRoute53Name(next.name)),
      leaf('NextRecordType', next?.type),
      leaf('NextRecordIdentifier', next?.setIdentifier),
      leaf('MaxItems', limit),
    ),
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
    xmlDocument(
      'ListHostedZonesByNameResponse',
      NAMESPACE,
      node('HostedZones', ...from.slice(0, limit).map(({ zone }) => hostedZoneXml(zone))),
      leaf('DNSName', dnsName || undefined),
      leaf('HostedZoneId', zoneId || undefined),
      leaf('IsTruncated', next !== undefined),
      leaf('NextDNSName', next && toRoute53Name(next.name)),
      leaf('NextHostedZoneId', next?.id),
      leaf('MaxItems', limit),
    ),
  );
}

function getHostedZone({ path }: ApiRequest, state: RegionState): ApiReply {
  const zone = zoneOf(path, state);
  if (isRefusal(zone)) return zone;
  const nameServers = zone.recordSets.find(({ type, name }) => type === 'NS' && name === zone.name)?.values;
  return success(
    xmlDocument(
      'GetHostedZoneResponse',
      NAMESPACE,
      hostedZoneXml(zone),
      zone.privateZone
        ? node(
            'VPCs',
            ...zone.vpcs.map(({ region, vpcId }) =>
              node('VPC', leaf('VPCRegion', region), leaf('VPCId', vpcId)),
            ),
          )
        : node(
            'DelegationSet',
            node('NameServers', ...(nameServers ?? []).map((name) => leaf('NameServer', name))),
          ),
    ),
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

function recordSetXml(set: RecordSet): string {
  return node(
    'ResourceRecordSet',
    leaf('Name', toRoute53Name(set.name)),
    leaf('Type', set.type),
    leaf('SetIdentifier', set.setIdentifier),
    leaf('Weight', set.weight),
    leaf('MultiValueAnswer', set.multiValueAnswer),
    leaf('TTL', set.alias === undefined ? set.ttlSeconds : undefined),
    set.values === undefined
      ? ''
      : node('ResourceRecords', ...set.values.map((value) => node('ResourceRecord', leaf('Value', value)))),
    set.alias === undefined
      ? ''
      : node(
          'AliasTarget',
          leaf('HostedZoneId', set.alias.hostedZoneId),
          leaf('DNSName', toRoute53Name(set.alias.name)),
          leaf('EvaluateTargetHealth', set.alias.evaluateTargetHealth),
        ),
  );
}

function hostedZoneXml(zone: HostedZone): string {
  return node(
    'HostedZone',
    leaf('Id', `/hostedzone/${zone.id}`),
    leaf('Name', toRoute53Name(zone.name)),
    leaf('CallerReference', `sandbox-${zone.id}`),
    node('Config', leaf('Comment', zone.comment), leaf('PrivateZone', zone.privateZone)),
    leaf('ResourceRecordSetCount', zone.recordSets.length),
  );
}
