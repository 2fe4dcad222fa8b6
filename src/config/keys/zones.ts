/**
 * The operator's own zones: rules for a name and all names under it. `protocol/words/zone-rules.ts` has the rules of their
 * records, for `records` and `whileDisconnected` alike.
 */

import type { ResourceRecord } from '../../protocol/words/codes.ts';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { recordFault, recordFaults, TYPES_TO_USE } from '../../protocol/words/zone-rules.ts';
import { type DraftOf, type Findings, type Items, joinedBy, type Place, unique } from '../declaration.ts';
import {
  alternative,
  choice,
  distinctList,
  inRoom,
  list,
  map,
  type OptionsOf,
  optional,
  type Reading,
  required,
  wordOrList,
} from '../key.ts';
import { addressText, parseAddress } from '../kinds/address.ts';
import { domainName, line, readDomainName, readName } from '../kinds/text.ts';
import { type UpstreamServer, upstream } from '../kinds/upstream.ts';
import { withoutUndefined } from '../source-text.ts';

const recordLine = line(
  'a record as owner, TTL in seconds (may be left out), type and data, such as "www A 10.0.0.5"; ' +
    'the owner is relative to the zone, "@" is the zone itself',
);

const zoneKeys = {
  name: required(domainName('corp.example'), 'the zone: this name and all names below it'),
  forwardTo: alternative(distinctList(upstream(), 1, 16), 'the servers of the zone, which are asked', [
    '10.0.0.53',
  ]),
  answer: alternative(
    choice('nxdomain', 'servfail', 'refused'),
    'answer every question with this response code',
    'nxdomain',
  ),
  records: optional(
    list(recordLine, 1, 10_000),
    'answer from these records (A, AAAA, CNAME, TXT, PTR, MX, NS; TTL 60 unless given)',
    ['www A 10.0.0.5', 'mail 300 MX 10 www', '@ TXT "kept on the site"'],
  ),
  whileDisconnected: alternative(
    wordOrList(choice('stale', 'servfail', 'nxdomain'), list(recordLine, 1, 10_000)),
    'the answer while none of the servers of this zone answers; without forwardTo, the zone is forwarded as if it were not listed here',
    'servfail',
  ),
};
type ZoneDraft = DraftOf<ReturnType<typeof map<typeof zoneKeys>>>;

const RULES = ['forwardTo', 'answer', 'records'] as const;
const WHILE_DISCONNECTED = 'whileDisconnected';
const EACH = [...RULES, WHILE_DISCONNECTED] as const;

const zone = map(
  zoneKeys,
  Object.assign(oneRule, {
    choice: { count: 'exactly one', keys: EACH, alsoBeside: { key: WHILE_DISCONNECTED, other: 'forwardTo' } },
  } as const),
);

function* oneRule(_zone: ZoneDraft, { path, isWritten, isFaulty }: Place): Findings {
  const given = RULES.filter((rule) => isWritten(rule));
  const [own] = given;
  const isForwarded = isWritten(WHILE_DISCONNECTED);
  if (given.length > 1) {
    yield { path, message: `more than one rule: ${given.join(', ')}`, fix: 'keep one of them' };
  } else if (own !== undefined && own !== 'forwardTo' && isForwarded) {
    yield {
      path: [...path, WHILE_DISCONNECTED],
      message: `beside ${own}, which holds whether or not anything is connected`,
      fix: `remove it, or forward the zone in place of ${own}`,
    };
  } else if (own === undefined && !isForwarded && !EACH.some((rule) => isFaulty(rule))) {
    yield { path, message: 'no rule for the zone', fix: `add one of ${EACH.join(', ')}` };
  }
}

export const zones = inRoom(
  'serving/local-zones',
  'rules for single zones; none may cover an endpoint',
  joinedBy(list(zone, 0, 10_000), [unique('name', 'keep one rule for each zone'), recordsTogether]).prefault(
    [],
  ),
);

/** Checks each line of each list, then the records of a list together. */
function* recordsTogether(zones: Items<ZoneDraft>, { path }: Place): Findings {
  const names = new Set((zones ?? []).flatMap((zone) => zone?.name ?? []));
  for (const [index, { name, records, whileDisconnected } = {}] of (zones ?? []).entries()) {
    if (name === undefined) continue;
    for (const [key, lines] of Object.entries({ records, whileDisconnected })) {
      if (typeof lines === 'object') yield* listFaults(lines, name, names, [...path, index, key]);
    }
  }
}

function* listFaults(
  lines: NonNullable<Items<string>>,
  zone: string,
  zones: ReadonlySet<string>,
  path: Place['path'],
): Findings {
  const read: { readonly record: ZoneRecord; readonly line: number }[] = [];
  for (const [line, text] of lines.entries()) {
    if (text === undefined) continue;
    const reading = readZoneRecord(text, zone);
    if ('value' in reading) read.push({ record: reading.value, line });
    else yield { path: [...path, line], message: reading.message, fix: reading.fix ?? RECORD_FORM };
  }
  const records = read.map(({ record }) => record);
  for (const fault of recordFaults(zone, records, zones)) {
    if (fault === undefined) continue;
    const { index, message, fix } = fault;
    yield { path: [...path, read[index]?.line ?? 0], message, fix };
  }
}

/** Promise 1: no zone takes an endpoint away. A zone with `whileDisconnected` alone is forwarded as before. */
export function* zonesApartFromEndpoints(
  { zones, clusters }: { readonly zones?: Items<ZoneDraft>; readonly clusters?: Items<EndpointDraft> },
  { path, isWritten }: Place,
): Findings {
  for (const [index, { name } = {}] of (zones ?? []).entries()) {
    if (name === undefined || !RULES.some((rule) => isWritten('zones', index, rule))) continue;
    for (const { endpoint } of presentIn(clusters)) {
      if (endpoint === undefined || !isAtOrUnder(endpoint, name)) continue;
      const relation = endpoint === name ? 'is' : 'contains';
      yield {
        path: [...path, 'zones', index, 'name'],
        message: `${relation} the endpoint ${endpoint}, which no zone may override`,
        fix: 'name a zone that leaves the endpoint out',
      };
    }
  }
}

interface EndpointDraft {
  readonly endpoint?: string | undefined;
}

function presentIn<Item>(items: Items<Item>): Item[] {
  return (items ?? []).filter((item) => item !== undefined);
}

export interface UpstreamGroup {
  /** The zone whose names go to these upstreams; `.` for all other names. */
  readonly name: string;
  readonly upstreams: readonly UpstreamServer[];
}

export type ZoneOptions = { readonly name: string } & (
  | {
      readonly forwardTo: UpstreamGroup;
      readonly whileDisconnected?: 'stale' | 'servfail' | 'nxdomain' | Iterable<ZoneRecord> | undefined;
    }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  | { readonly records: Iterable<ZoneRecord> }
);

type ZoneSettings = OptionsOf<typeof zone>;

/** Zones as the rooms take them; `upstreams` are for names without a rule. */
export function zoneOptions(
  zones: readonly ZoneSettings[],
  upstreams: readonly UpstreamServer[],
): readonly ZoneOptions[] {
  const byName = new Map(zones.map((zone) => [zone.name, zone]));
  return zones.map((zone): ZoneOptions => {
    const { name, answer, records, whileDisconnected } = zone;
    if (answer !== undefined) return { name, answer };
    if (records !== undefined) return { name, records: recordsOf(records, name) };
    const forwardTo = { name, upstreams: upstreamsFor(name, byName) ?? upstreams };
    if (whileDisconnected === undefined || typeof whileDisconnected === 'string')
      return withoutUndefined({ name, forwardTo, whileDisconnected });
    return { name, forwardTo, whileDisconnected: recordsOf(whileDisconnected, name) };
  });
}

/** The upstreams of a zone; a zone with `whileDisconnected` alone has those of the nearest zone above it. */
function upstreamsFor(
  name: string,
  byName: ReadonlyMap<string, ZoneSettings>,
): readonly UpstreamServer[] | undefined {
  const labels = name.split('.');
  for (const index of labels.keys()) {
    const zone = byName.get(labels.slice(index).join('.'));
    if (zone?.forwardTo !== undefined) return zone.forwardTo;
    if (zone?.answer !== undefined || zone?.records !== undefined) return undefined;
  }
  return undefined;
}

function recordsOf(lines: readonly string[], zone: string): readonly ZoneRecord[] {
  return lines.flatMap((text) => {
    const reading = readZoneRecord(text, zone);
    return 'value' in reading ? [reading.value] : [];
  });
}

// One line of a zone's `records`: `owner [ttl] [IN] TYPE data`, a small part of the presentation format of RFC 1035
// section 5.1. A name with dots in it must end in a dot: a zone file would append the zone to it otherwise, which is rarely meant.

interface Head {
  /** In canonical form: the full name. */
  readonly owner: string;
  readonly ttlSeconds: number;
}

/** A record of ours, of a type that an operator may write. */
type ZoneRecord = Exclude<ResourceRecord, { readonly type: 'SOA' | 'HINFO' }>;

const DEFAULT_TTL_SECONDS = 60;
const LONGEST_TTL_SECONDS = 604_800; // a week; RFC 8767 section 4 advises caches to cap there

/** `zone` in canonical form. */
function readZoneRecord(text: string, zone: string): Reading<ZoneRecord> {
  const match = /^\s*(\S+)\s+(?:([0-9]\S*)\s+)?(?:IN\s+)?([A-Za-z][A-Za-z0-9]*)\s+(\S.*?)\s*$/.exec(text);
  if (match === null) return { message: 'not a record', fix: RECORD_FORM };
  const [, ownerText = '', ttlText, typeText = '', dataText = ''] = match;
  const owner = readOwner(ownerText, zone);
  if (!('value' in owner)) return owner;
  const ttlSeconds = ttlText === undefined ? DEFAULT_TTL_SECONDS : ttlOf(ttlText);
  if (ttlSeconds === undefined) {
    return { message: `TTL "${ttlText}" is not a number of seconds from 1 to ${LONGEST_TTL_SECONDS}` };
  }
  const data = readData({ owner: owner.value, ttlSeconds }, typeText.toUpperCase(), dataText, zone);
  return 'value' in data ? (recordFault(data.value, zone) ?? data) : data;
}

const RECORD_FORM = 'write owner, TTL (may be left out), type and data: "www A 10.0.0.5"';

function ttlOf(text: string): number | undefined {
  const seconds = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= LONGEST_TTL_SECONDS ? seconds : undefined;
}

function readData(head: Head, type: string, text: string, zone: string): Reading<ZoneRecord> {
  switch (type) {
    case 'A':
    case 'AAAA':
      return readAddress(head, type, text);
    case 'CNAME':
    case 'PTR':
    case 'NS':
      return readPointer(head, type, text, zone);
    case 'MX':
      return readMx(head, text, zone);
    case 'TXT': {
      const strings = readTextStrings(text);
      return 'value' in strings ? { value: { ...head, type, strings: strings.value } } : strings;
    }
    default:
      return { message: `type "${type}" is not supported`, fix: TYPES_TO_USE };
  }
}

function readAddress(head: Head, type: 'A' | 'AAAA', text: string): Reading<ZoneRecord> {
  const address = parseAddress(text);
  if (address === undefined || text.includes('%')) return { message: `"${text}" is not an IP address` };
  const needed = address.kind() === 'ipv4' ? 'A' : 'AAAA';
  if (type !== needed)
    return { message: `"${text}" does not go with type ${type}`, fix: `write type ${needed}` };
  return { value: { ...head, type, address: addressText(address) } };
}

function readPointer(
  head: Head,
  type: 'CNAME' | 'PTR' | 'NS',
  text: string,
  zone: string,
): Reading<ZoneRecord> {
  const target = readTarget(text, zone);
  return 'value' in target ? { value: { ...head, type, target: target.value } } : target;
}

function readMx(head: Head, text: string, zone: string): Reading<ZoneRecord> {
  const match = /^([0-9]{1,5})\s+(\S+)$/.exec(text);
  const preference = Number(match?.[1] ?? Number.NaN);
  if (match === null || preference > 65_535) {
    return {
      message: `"${text}" is not the data of an MX record`,
      fix: 'write preference and name, such as "10 mail"',
    };
  }
  const exchange = readTarget(match[2] ?? '', zone);
  if (!('value' in exchange)) return exchange;
  return { value: { ...head, type: 'MX', preference, exchange: exchange.value } };
}

function readOwner(text: string, zone: string): Reading<string> {
  const isFull = text.endsWith('.');
  const name = text === '@' ? { value: zone } : readName(text);
  if (!('value' in name)) return { ...name, message: `owner "${text}": ${name.message}` };
  if (text === '@' || isFull) return name;
  if (isAtOrUnder(name.value, zone)) {
    return {
      message: `owner "${text}" would be ${name.value}.${zone}`,
      fix: `write the last dot: "${name.value}."`,
    };
  }
  return readName(`${name.value}.${zone}`);
}

function readTarget(text: string, zone: string): Reading<string> {
  if (text === '@') return { value: zone };
  const name = readDomainName(text);
  if (!('value' in name)) return { ...name, message: `name "${text}": ${name.message}` };
  if (text.endsWith('.')) return name;
  if (!name.value.includes('.')) return readName(`${name.value}.${zone}`);
  return {
    message: `"${text}" could be a full name or one below ${zone}`,
    fix: `write "${name.value}." for the full name, or "${name.value}.${zone}."`,
  };
}

/** Strings, in quotes or without, to the character-strings of RFC 1035 section 3.3. */
function readTextStrings(text: string): Reading<readonly string[]> {
  const strings: string[] = [];
  for (const token of text.matchAll(/"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]+)(?=\s|$)|(\S)/g)) {
    if (token[3] !== undefined) {
      return {
        message: 'a quote that is not closed, or not set apart by spaces',
        fix: 'write each string as "text", with \\" for a quote in it',
      };
    }
    const string = unescaped(token[1] ?? token[2] ?? '');
    if (string === undefined)
      return { message: 'an escape other than \\" and \\\\', fix: 'write the character itself' };
    strings.push(string);
  }
  return { value: strings };
}

function unescaped(text: string): string | undefined {
  if (/\\(?!["\\])/.test(text.replaceAll('\\\\', ''))) return undefined;
  return text.replace(/\\(["\\])/g, '$1');
}
