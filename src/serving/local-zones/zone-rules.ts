/** The operator's own zones as data, and everything that can be wrong with them, all at once. */
import { isAtOrUnder, NameError, normalizeName } from '../../protocol/words/name.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import { readZoneRecord } from './zone-records.ts';

/** What holds for `name` and all names under it. */
export type ZoneRule<Route> = { readonly name: string } & (
  | { readonly forwardTo: Route }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  /** Lines of `owner TYPE data`, see `readZoneRecord`. */
  | { readonly records: readonly string[] }
);

export interface ZoneFault {
  readonly zone: string;
  /** The line that is at fault; `undefined` where it is the zone as a whole. */
  readonly record: string | undefined;
  readonly reason: string;
}

/** Rules that cannot be served. At start fatal; at a reload the rules before stay. */
export class LocalZonesError extends Error {
  override readonly name = 'LocalZonesError';
  readonly code = 'bad-zones';
  readonly faults: readonly ZoneFault[];

  constructor(faults: readonly ZoneFault[]) {
    super(`cannot build the local zones: ${faults.map(faultText).join('; ')}`);
    this.faults = faults;
  }
}

function faultText({ zone, record, reason }: ZoneFault): string {
  return record === undefined ? `zone "${zone}": ${reason}` : `zone "${zone}": record "${record}": ${reason}`;
}

/** A rule with its name in normal form and its lines read. */
export type SoundRule<Route> = { readonly name: string } & (
  | { readonly forwardTo: Route }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  | { readonly records: readonly ResourceRecord[] }
);

/** Reads all rules. Throws LocalZonesError with every fault there is. */
export function soundRules<Route>(rules: readonly ZoneRule<Route>[]): readonly SoundRule<Route>[] {
  const faults: ZoneFault[] = [];
  const named = rules.flatMap((rule) => {
    const name = soundName(rule.name, faults);
    return name === undefined ? [] : [{ ...rule, name }];
  });
  for (const name of new Set(named.map((rule) => rule.name))) {
    if (named.filter((rule) => rule.name === name).length > 1) {
      faults.push({ zone: name, record: undefined, reason: 'there is more than one rule for it' });
    }
  }
  const zones = named.map((rule) => rule.name);
  const sound = named.map((rule) =>
    'records' in rule
      ? { name: rule.name, records: soundRecords(rule.name, rule.records, zones, faults) }
      : rule,
  );
  if (faults.length > 0) throw new LocalZonesError(faults);
  return sound;
}

function soundName(text: string, faults: ZoneFault[]): string | undefined {
  try {
    return normalizeName(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    faults.push({ zone: text, record: undefined, reason: error.message });
    return undefined;
  }
}

function soundRecords(
  apex: string,
  lines: readonly string[],
  zones: readonly string[],
  faults: ZoneFault[],
): readonly ResourceRecord[] {
  const records = new Map<string, ResourceRecord>();
  const below = zones.filter((zone) => zone !== apex && isAtOrUnder(zone, apex));
  if (apex.includes('\\')) {
    faults.push({
      zone: apex,
      record: undefined,
      reason: 'its name has an escaped octet, which is not supported',
    });
    return [];
  }
  for (const line of lines) {
    const read = readZoneRecord(line, apex);
    if (read.kind === 'fault') {
      faults.push({ zone: apex, record: line, reason: read.reason });
      continue;
    }
    const cut = below.find((zone) => isAtOrUnder(read.record.owner, zone));
    if (cut !== undefined) {
      faults.push({ zone: apex, record: line, reason: `the rule for "${cut}" holds there` });
    }
    // RFC 2181 section 5: a record that is given twice is one record
    records.set(JSON.stringify(read.record), read.record);
  }
  const all = [...records.values()];
  faults.push(...aliasFaults(apex, all), ...sizeFaults(apex, all));
  return all;
}

/** Of the records of one name and type. More is a mistake, and dns2's composing time grows with the square of them. */
const MAX_SET_OCTETS = 16_384;

function sizeFaults(zone: string, records: readonly ResourceRecord[]): ZoneFault[] {
  const sizes = new Map<string, number>();
  for (const record of records) {
    const set = `${record.owner} ${record.type}`;
    sizes.set(set, (sizes.get(set) ?? 0) + recordOctets(record));
  }
  return [...sizes]
    .filter(([, octets]) => octets > MAX_SET_OCTETS)
    .map(([set, octets]) => {
      const reason = `the records of ${set} take ${octets} octets: ${MAX_SET_OCTETS} are allowed`;
      return { zone, record: undefined, reason };
    });
}

const FIXED_OCTETS = 12; // compressed owner, TYPE, CLASS, TTL, RDLENGTH

/** An upper bound: names in it are taken as not compressed. */
function recordOctets(record: ResourceRecord): number {
  switch (record.type) {
    case 'A':
      return FIXED_OCTETS + 4;
    case 'AAAA':
      return FIXED_OCTETS + 16;
    case 'TXT':
      return record.strings.reduce((sum, text) => sum + 1 + Buffer.byteLength(text), FIXED_OCTETS);
    default:
      return FIXED_OCTETS + 2 + 255;
  }
}

function aliasFaults(zone: string, records: readonly ResourceRecord[]): ZoneFault[] {
  const faults: ZoneFault[] = [];
  const targets = new Map<string, string>();
  for (const record of records) if (record.type === 'CNAME') targets.set(record.owner, record.target);
  for (const owner of targets.keys()) {
    // RFC 1034 section 3.6.2, RFC 2181 section 10.1: one CNAME, and nothing beside it
    if (records.filter((record) => record.owner === owner).length > 1) {
      faults.push({ zone, record: undefined, reason: `"${owner}" has other records beside its CNAME` });
    }
    if (isLoop(owner, targets)) {
      faults.push({ zone, record: undefined, reason: `"${owner}" is an alias that leads back to itself` });
    }
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
