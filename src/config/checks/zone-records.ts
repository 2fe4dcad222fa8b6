/** Checks of the records in the operator's own zones: each line, and what goes with what. */
import { MAX_RECORD_SET_OCTETS, mostOctetsOf } from '../../protocol/words/resource-record.ts';
import type { Finding, Path } from '../fault.ts';
import type { Reading } from '../key.ts';
import { isAtOrBelow } from '../kinds/domain-name.ts';
import { readZoneRecord, type ZoneRecord } from '../zone-record.ts';
import type { CheckContext } from './checks.ts';
import { zonesOf } from './zones.ts';

interface ReadLine {
  readonly reading: Reading<ZoneRecord>;
  readonly path: Path;
}

interface ReadRecord {
  readonly record: ZoneRecord;
  readonly path: Path;
}

/** The lines of each list of records, in every zone that has a valid name. */
function* linesOf(
  context: CheckContext,
): Iterable<{ readonly zone: string; readonly lines: readonly ReadLine[] }> {
  for (const { zone, path } of zonesOf(context)) {
    const { name, records, whileDisconnected } = zone;
    if (name === undefined) continue;
    const lists = { records, whileDisconnected };
    for (const [key, list] of Object.entries(lists)) {
      if (list === undefined || typeof list === 'string') continue;
      const lines = list.flatMap((text, index) =>
        text === undefined ? [] : [{ reading: readZoneRecord(text, name), path: [...path, key, index] }],
      );
      yield { zone: name, lines };
    }
  }
}

function* recordsOf(
  context: CheckContext,
): Iterable<{ readonly zone: string; readonly records: readonly ReadRecord[] }> {
  for (const { zone, lines } of linesOf(context)) {
    yield {
      zone,
      records: lines.flatMap(({ reading, path }) =>
        'value' in reading ? [{ record: reading.value, path }] : [],
      ),
    };
  }
}

export function* recordsRead(context: CheckContext): Iterable<Finding> {
  for (const { lines } of linesOf(context)) {
    for (const { reading, path } of lines) {
      if ('value' in reading) continue;
      const mend = reading.mend ?? 'write owner, TTL (may be left out), type and data: "www A 10.0.0.5"';
      yield { path, message: reading.message, mend };
    }
  }
}

/** The records of one owner and type. */
interface RecordSet {
  readonly ttlSeconds: number;
  readonly data: Set<string>;
  octets: number;
}

export function* recordsTogether(context: CheckContext): Iterable<Finding> {
  for (const { records } of recordsOf(context)) {
    const owners = new Map<string, Map<string, RecordSet>>();
    for (const { record, path } of records) {
      const sets = owners.get(record.owner) ?? new Map<string, RecordSet>();
      owners.set(record.owner, sets);
      const clash = clashOf(record, sets);
      if (clash !== undefined) yield { path, ...clash };
    }
  }
}

/** Adds the record to the sets of its owner, or says why it cannot stand there. */
function clashOf(
  record: ZoneRecord,
  sets: Map<string, RecordSet>,
): { message: string; mend: string } | undefined {
  // RFC 1034 section 3.6.2: nothing else stands where a CNAME stands
  if (record.type === 'CNAME' ? sets.size > 0 : sets.has('CNAME')) {
    return {
      message: `a CNAME beside other data of ${record.owner}`,
      mend: 'keep the CNAME alone, or remove it',
    };
  }
  const set = sets.get(record.type) ?? { ttlSeconds: record.ttlSeconds, data: new Set(), octets: 0 };
  sets.set(record.type, set);
  const data = JSON.stringify({ ...record, ttlSeconds: 0 });
  if (set.data.has(data)) return { message: 'a record written twice', mend: 'remove one of the two' };
  set.data.add(data);
  if (set.ttlSeconds !== record.ttlSeconds) {
    return {
      // RFC 2181 section 5.2
      message: `TTL ${record.ttlSeconds}, where type ${record.type} of ${record.owner} has ${set.ttlSeconds} already`,
      mend: 'give all records of one owner and type the same TTL',
    };
  }
  const before = set.octets;
  set.octets += mostOctetsOf(record);
  if (before > MAX_RECORD_SET_OCTETS || set.octets <= MAX_RECORD_SET_OCTETS) return undefined;
  const message = `the records of type ${record.type} of ${record.owner} take more than ${MAX_RECORD_SET_OCTETS} octets from here on`;
  return { message, mend: 'write fewer' };
}

/** A record below another zone's name would never be asked for: that zone's rule holds there. */
export function* recordsInTheirZone(context: CheckContext): Iterable<Finding> {
  const names = new Set([...zonesOf(context)].flatMap(({ zone }) => zone.name ?? []));
  for (const { zone, records } of recordsOf(context)) {
    for (const { record, path } of records) {
      const nearer = apexesOf(record.owner).find(
        (apex) => apex !== zone && names.has(apex) && isAtOrBelow(apex, zone),
      );
      if (nearer === undefined) continue;
      yield {
        path,
        message: `the rule for zone ${nearer} holds there`,
        mend: 'move the record to that zone, or remove one of the two',
      };
    }
  }
}

/** A name and everything above it. */
function apexesOf(name: string): string[] {
  const labels = name.split('.');
  return labels.map((_, index) => labels.slice(index).join('.'));
}

/** Aliases that lead back to themselves: each loop is told once, at its first record. */
export function* aliasLoops(context: CheckContext): Iterable<Finding> {
  for (const { records } of recordsOf(context)) {
    const aliases = new Map<string, { target: string; path: Path }>();
    for (const { record, path } of records) {
      if (record.type === 'CNAME') aliases.set(record.owner, { target: record.target, path });
    }
    const walked = new Map<string, string>(); // name to the owner whose walk came through it
    for (const [owner, { path }] of aliases) {
      let name = owner;
      for (let at = aliases.get(name); at !== undefined && !walked.has(name); at = aliases.get(name)) {
        walked.set(name, owner);
        name = at.target;
      }
      // The walk ended at no alias, or where an earlier one has been; only a loop leads back to its own trail.
      if (walked.get(name) === owner) {
        yield {
          path,
          message: 'an alias that leads into a loop',
          mend: 'let one of these aliases lead elsewhere',
        };
      }
    }
  }
}
