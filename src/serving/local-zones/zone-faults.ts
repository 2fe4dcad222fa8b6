/** Everything that can be wrong with the records of one zone, in words for the operator. */
import { isIPv4, isIPv6 } from 'node:net';
import { isAtOrUnder } from '../../protocol/words/name.ts';
import {
  MAX_RECORD_SET_OCTETS,
  mostOctetsOf,
  type ResourceRecord,
} from '../../protocol/words/resource-record.ts';

export interface ZoneFault {
  readonly zone: string;
  /** Owner and type of the record at fault; `undefined` where it is the zone as a whole. */
  readonly record: string | undefined;
  readonly reason: string;
}

/** The faults of `records` in the zone at `apex`; `below` are the names of rules further down. */
export function recordFaults(
  apex: string,
  records: readonly ResourceRecord[],
  below: readonly string[],
): readonly ZoneFault[] {
  const single = records.flatMap((record) => {
    const reason = faultOf(record, apex, below);
    return reason === undefined ? [] : [{ zone: apex, record: `${record.owner} ${record.type}`, reason }];
  });
  return [...single, ...aliasFaults(apex, records), ...sizeFaults(apex, records)];
}

const UNSUPPORTED_NAME = 'a name with an escaped octet is not supported'; // by dns2, which composes these records

function faultOf(record: ResourceRecord, apex: string, below: readonly string[]): string | undefined {
  const { owner } = record;
  if (!isAtOrUnder(owner, apex)) return 'it is not in the zone';
  const cut = below.find((zone) => isAtOrUnder(owner, zone));
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

function aliasFaults(zone: string, records: readonly ResourceRecord[]): ZoneFault[] {
  const faults: ZoneFault[] = [];
  const targets = new Map<string, string>();
  for (const record of records) if (record.type === 'CNAME') targets.set(record.owner, record.target);
  for (const owner of targets.keys()) {
    const record = `${owner} CNAME`;
    // RFC 1034 section 3.6.2, RFC 2181 section 10.1: one CNAME, and nothing beside it
    if (records.filter((other) => other.owner === owner).length > 1) {
      faults.push({ zone, record, reason: 'there are other records beside it' });
    }
    if (isLoop(owner, targets)) faults.push({ zone, record, reason: 'it leads back to itself' });
  }
  return faults;
}

function isLoop(start: string, targets: ReadonlyMap<string, string>): boolean {
  let name = targets.get(start);
  for (let steps = targets.size; steps >= 0 && name !== undefined && name !== start; steps--) {
    name = targets.get(name);
  }
  return name === start;
}

function sizeFaults(zone: string, records: readonly ResourceRecord[]): ZoneFault[] {
  const sizes = new Map<string, number>();
  for (const record of records) {
    const set = `${record.owner} ${record.type}`;
    sizes.set(set, (sizes.get(set) ?? 0) + mostOctetsOf(record));
  }
  return [...sizes]
    .filter(([, octets]) => octets > MAX_RECORD_SET_OCTETS)
    .map(([record, octets]) => {
      return { zone, record, reason: `${octets} octets of records: ${MAX_RECORD_SET_OCTETS} are allowed` };
    });
}
