/**
 * The rules of the records that an operator writes for a zone: which record may stand where, and which go together. They
 * hold alike for a zone's `records` and for its answers while disconnected. The configuration reports their faults with line
 * and path. Local zones serve no list that breaks a rule. How a record is written is not known here.
 */
import { isIPv4 } from 'node:net';
import { isAddress, isSix } from './address-text.ts';
import { MAX_RECORD_SET_OCTETS, mostOctetsOf, type ResourceRecord } from './codes.ts';
import { isAtOrUnder, parentName, TextMap } from './name.ts';

/** A fault with its fix, in words for the operator. */
export interface RecordFault {
  readonly message: string;
  readonly fix: string;
}

/** A fault of one record of a list. */
export interface ListedFault extends RecordFault {
  /** Its index in the list. */
  readonly index: number;
  readonly record: ResourceRecord;
}

/** A set of names. */
export type Names = Pick<ReadonlySet<string>, 'has'>;

/** The zone below `apex` that holds `name`, which is at or under `apex`; `undefined` where that is the zone itself. */
export function zoneBelow(name: string, apex: string, zones: Names): string | undefined {
  for (let at: string | undefined = name; at !== undefined && at !== apex; at = parentName(at))
    if (zones.has(at)) return at;
  return undefined;
}

/**
 * The faults of `records` in the zone at `apex`; `zones` are the names of all zones. Yields `undefined` after each record
 * without a fault, where a caller can give other work its turn.
 */
export function* recordFaults(
  apex: string,
  records: Iterable<ResourceRecord>,
  zones: Names,
): Iterable<ListedFault | undefined> {
  const owners = new TextMap<Map<string, RecordSet>>();
  let index = 0;
  for (const record of records) {
    const sets = owners.get(record.owner) ?? owners.add(record.owner, new Map<string, RecordSet>());
    const fault = recordFault(record, apex) ?? cutFault(record, apex, zones) ?? clashOf(record, sets);
    yield fault && { index, record, ...fault };
    index++;
  }
  yield* aliasLoops(records);
}

/** A fault of the record alone. */
export function recordFault(record: ResourceRecord, apex: string): RecordFault | undefined {
  const { owner } = record;
  if (!isAtOrUnder(owner, apex))
    return { message: `owner "${owner}." is not in the zone`, fix: `name something at or below ${apex}` };
  if (owner === '*' || owner.startsWith('*.'))
    return { message: `owner "${owner}.": a wildcard, which is not supported`, fix: 'write each name' };
  // dns2, which composes these records, does not take it
  if (namesOf(record).some((name) => name.includes('\\')))
    return { message: 'a name with an escaped octet, which is not supported', fix: 'use another name' };
  switch (record.type) {
    case 'A':
      return isIPv4(record.address) ? undefined : addressFault(record.address, 'an IPv4 address');
    case 'AAAA':
      // dns2 reads neither a zone index nor the form with dots in it
      return isSix(record.address) && isAddress(record.address) && !record.address.includes('.')
        ? undefined
        : addressFault(record.address, 'an IPv6 address in canonical form');
    case 'CNAME':
      // RFC 1034 section 3.6.2: nothing stands beside a CNAME, and the zone itself has an SOA
      return owner !== apex
        ? undefined
        : { message: 'a CNAME for the zone itself', fix: 'write its addresses, or forward the zone' };
    case 'NS':
      return owner === apex
        ? undefined
        : { message: 'an NS record below the zone itself', fix: `add a zone ${owner} with forwardTo` };
    case 'TXT':
      return textFault(record.strings);
    case 'SOA':
    case 'HINFO':
      return { message: `type "${record.type}" is not supported`, fix: TYPES_TO_USE };
    default:
      return undefined;
  }
}

export const TYPES_TO_USE = 'use A, AAAA, CNAME, TXT, PTR, MX or NS';

function namesOf(record: ResourceRecord): readonly string[] {
  if ('target' in record) return [record.owner, record.target];
  return 'exchange' in record ? [record.owner, record.exchange] : [record.owner];
}

function addressFault(address: string, wanted: string): RecordFault {
  return { message: `"${address}" is not ${wanted}`, fix: `write ${wanted}` };
}

const STRING_OCTETS = 255; // RFC 1035 section 3.3: one octet counts the others
const DATA_OCTETS = 4096; // more does not fit a UDP reply by far, and is a slip

/** RFC 1035 section 3.3.14: one string or more. */
function textFault(strings: readonly string[]): RecordFault | undefined {
  if (strings.length === 0) return { message: 'a TXT record without a string', fix: 'write "text"' };
  const lengths = strings.map((text) => Buffer.byteLength(text));
  const tooLong = lengths.find((octets) => octets > STRING_OCTETS);
  if (tooLong !== undefined) {
    const message = `a string of ${tooLong} octets, more than ${STRING_OCTETS}`;
    return { message, fix: 'write it as several strings: "..." "..."' };
  }
  const all = lengths.reduce((sum, octets) => sum + octets + 1, 0);
  return all > DATA_OCTETS
    ? { message: `${all} octets, more than ${DATA_OCTETS}`, fix: 'shorten it' }
    : undefined;
}

/** A record in a zone further down would never be asked for. */
function cutFault({ owner }: ResourceRecord, apex: string, zones: Names): RecordFault | undefined {
  const cut = zoneBelow(owner, apex, zones);
  const fix = 'move the record to that zone, or remove one of the two';
  return cut === undefined ? undefined : { message: `the rule for zone ${cut} holds there`, fix };
}

/** The records of one owner and type. */
interface RecordSet {
  readonly ttlSeconds: number;
  readonly data: TextMap<true>;
  octets: number;
}

/** Adds the record to the sets of its owner, or returns why it cannot stand beside them. */
function clashOf(record: ResourceRecord, sets: Map<string, RecordSet>): RecordFault | undefined {
  const { owner, type, ttlSeconds } = record;
  // RFC 1034 section 3.6.2, RFC 2181 section 10.1: one CNAME, and nothing beside it
  if (type === 'CNAME' ? sets.size > 0 : sets.has('CNAME'))
    return { message: `a CNAME beside other data of ${owner}`, fix: 'keep the CNAME alone, or remove it' };
  const set = sets.get(type) ?? { ttlSeconds, data: new TextMap<true>(), octets: 0 };
  sets.set(type, set);
  const data = JSON.stringify({ ...record, ttlSeconds: 0 });
  if (set.data.get(data)) return { message: 'a record written twice', fix: 'remove one of the two' };
  set.data.add(data, true);
  if (set.ttlSeconds !== ttlSeconds) {
    // RFC 2181 section 5.2
    const message = `TTL ${ttlSeconds}, where type ${type} of ${owner} has ${set.ttlSeconds} already`;
    return { message, fix: 'give all records of one owner and type the same TTL' };
  }
  const before = set.octets;
  set.octets += mostOctetsOf(record);
  if (before > MAX_RECORD_SET_OCTETS || set.octets <= MAX_RECORD_SET_OCTETS) return undefined;
  const message = `the records of type ${type} of ${owner} take more than ${MAX_RECORD_SET_OCTETS} octets from here on`;
  return { message, fix: 'write fewer' };
}

interface Alias extends Pick<ListedFault, 'index' | 'record'> {
  readonly target: string;
}

/** Aliases that lead back to themselves: each loop is reported once, at the first record that leads into it. */
function* aliasLoops(records: Iterable<ResourceRecord>): Iterable<ListedFault | undefined> {
  const aliases = new TextMap<Alias>();
  let index = 0;
  for (const record of records) {
    // a second alias of an owner is a fault of its own
    if (record.type === 'CNAME' && aliases.get(record.owner) === undefined)
      aliases.add(record.owner, { record, target: record.target, index });
    index++;
    yield undefined;
  }
  const walked = new TextMap<string>(); // name to the owner whose walk came through it
  for (const [owner, { index, record }] of aliases) {
    let name = owner;
    for (
      let at = aliases.get(name);
      at !== undefined && walked.get(name) === undefined;
      at = aliases.get(name)
    ) {
      walked.add(name, owner);
      name = at.target;
      yield undefined;
    }
    // The walk ended at no alias, or where an earlier walk has been: a loop alone leads back to its own trail.
    if (walked.get(name) === owner)
      yield {
        index,
        record,
        message: 'an alias that leads into a loop',
        fix: 'point one of these aliases elsewhere',
      };
  }
}
