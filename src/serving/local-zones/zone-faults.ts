/** Everything that can be wrong with the records of one zone, in words for the operator. */
import { isIPv4, isIPv6 } from 'node:net';
import { isAtOrUnder, parentName } from '../../protocol/words/name.ts';
import {
  MAX_RECORD_SET_OCTETS,
  mostOctetsOf,
  type ResourceRecord,
} from '../../protocol/words/resource-record.ts';
import type { Steps } from '../../runtime/slices.ts';

export interface ZoneFault {
  readonly zone: string;
  /** Owner and type of the record at fault; `undefined` where it is the zone as a whole. */
  readonly record: string | undefined;
  readonly reason: string;
}

/** The faults of `records` in the zone at `apex`; `zones` are the names of all rules. */
export function* recordFaults(
  apex: string,
  records: readonly ResourceRecord[],
  zones: ReadonlySet<string>,
): Steps<readonly ZoneFault[]> {
  const faults: ZoneFault[] = [];
  for (const record of records) {
    const reason = faultOf(record, apex, zones);
    if (reason !== undefined) faults.push({ zone: apex, record: `${record.owner} ${record.type}`, reason });
    yield;
  }
  yield* aliasFaults(apex, records, faults);
  yield* sizeFaults(apex, records, faults);
  return faults;
}

/** The zone below `apex` that `name`, which is at or under `apex`, is in; `undefined` where it is in the zone itself. */
export function zoneBelow(name: string, apex: string, zones: ReadonlySet<string>): string | undefined {
  for (let at: string | undefined = name; at !== undefined && at !== apex; at = parentName(at))
    if (zones.has(at)) return at;
  return undefined;
}

const UNSUPPORTED_NAME = 'a name with an escaped octet is not supported'; // by dns2, which composes these records

function faultOf(record: ResourceRecord, apex: string, zones: ReadonlySet<string>): string | undefined {
  const { owner } = record;
  if (!isAtOrUnder(owner, apex)) return 'it is not in the zone';
  const cut = zoneBelow(owner, apex, zones);
  if (cut !== undefined) return `the rule for "${cut}" holds there`;
  if (owner === '*' || owner.startsWith('*.')) return 'wildcards are not supported';
  if (namesOf(record).some((name) => name.includes('\\'))) return UNSUPPORTED_NAME;
  switch (record.type) {
    case 'A':
      return isIPv4(record.address) ? undefined : `not an IPv4 address: "${record.address}"`;
    case 'AAAA':
      // dns2 reads neither a zone index nor the form with dots in it
      return isIPv6(record.address) && !/[.%]/.test(record.address)
        ? undefined
        : `not an IPv6 address in canonical form: "${record.address}"`;
    case 'CNAME':
      // RFC 1034 section 3.6.2: nothing may stand beside a CNAME, and the apex has an SOA
      return owner === apex ? 'the zone itself cannot be an alias' : undefined;
    case 'NS':
      return owner === apex
        ? undefined
        : 'NS is for the zone itself alone: what is below takes a rule of its own';
    case 'TXT':
      return textFault(record.strings);
    case 'SOA':
    case 'HINFO':
      return 'it is not a type that can be given';
    default:
      return undefined;
  }
}

function namesOf(record: ResourceRecord): readonly string[] {
  if ('target' in record) return [record.owner, record.target];
  return 'exchange' in record ? [record.owner, record.exchange] : [record.owner];
}

function textFault(strings: readonly string[]): string | undefined {
  if (strings.length === 0) return 'it has no string'; // RFC 1035 section 3.3.14: one or more
  // RFC 1035 section 3.3: one octet counts the others
  return strings.some((text) => Buffer.byteLength(text) > 255)
    ? 'a string is longer than 255 octets'
    : undefined;
}

function* aliasFaults(zone: string, records: readonly ResourceRecord[], faults: ZoneFault[]): Steps<void> {
  const targets = new Map<string, string>();
  const recordsAt = new Map<string, number>();
  for (const record of records) {
    recordsAt.set(record.owner, (recordsAt.get(record.owner) ?? 0) + 1);
    if (record.type === 'CNAME') targets.set(record.owner, record.target);
    yield;
  }
  const looping = yield* loopingNames(targets);
  for (const owner of targets.keys()) {
    const record = `${owner} CNAME`;
    // RFC 1034 section 3.6.2, RFC 2181 section 10.1: one CNAME, and nothing beside it
    if ((recordsAt.get(owner) ?? 0) > 1)
      faults.push({ zone, record, reason: 'there are other records beside it' });
    if (looping.has(owner)) faults.push({ zone, record, reason: 'it leads back to itself' });
    yield;
  }
}

/** The names that lead back to themselves. Each name is looked at once, however long the chains are. */
function* loopingNames(targets: ReadonlyMap<string, string>): Steps<ReadonlySet<string>> {
  const looping = new Set<string>();
  const seen = new Set<string>();
  for (const start of targets.keys()) {
    const path = new Set<string>();
    let name: string | undefined = start;
    while (name !== undefined && !seen.has(name)) {
      seen.add(name);
      path.add(name);
      name = targets.get(name);
      yield;
    }
    // what lies on the path from the name that was met again is the loop
    while (name !== undefined && path.has(name) && !looping.has(name)) {
      looping.add(name);
      name = targets.get(name);
    }
  }
  return looping;
}

function* sizeFaults(zone: string, records: readonly ResourceRecord[], faults: ZoneFault[]): Steps<void> {
  const sizes = new Map<string, number>();
  for (const record of records) {
    const set = `${record.owner} ${record.type}`;
    sizes.set(set, (sizes.get(set) ?? 0) + mostOctetsOf(record));
    yield;
  }
  for (const [record, octets] of sizes) {
    if (octets <= MAX_RECORD_SET_OCTETS) continue;
    const reason = `${octets} octets of records: ${MAX_RECORD_SET_OCTETS} are allowed`;
    faults.push({ zone, record, reason });
  }
}
