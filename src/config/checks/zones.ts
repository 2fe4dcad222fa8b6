/** Checks of the operator's own zones: against each other, against the endpoints, and of the records in them. */
import type { Finding, Path } from '../fault.ts';
import { isAtOrBelow } from '../kinds/domain-name.ts';
import { readZoneRecord, type ZoneRecord } from '../zone-record.ts';
import type { CheckContext, DraftZone } from './checks.ts';

interface Numbered {
  readonly zone: DraftZone;
  readonly path: Path;
}

function* zonesOf(context: CheckContext): Iterable<Numbered> {
  for (const [index, zone] of (context.draft.zones ?? []).entries()) {
    if (zone !== undefined) yield { zone, path: ['zones', index] };
  }
}

export function* duplicateZones(context: CheckContext): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { zone, path } of zonesOf(context)) {
    if (zone.name === undefined) continue;
    const taken = first.get(zone.name);
    if (taken === undefined) first.set(zone.name, `zones[${path[1]}]`);
    else
      yield {
        path: [...path, 'name'],
        message: `already the name of ${taken}`,
        mend: 'keep one rule for each zone',
      };
  }
}

const RULES = ['forwardTo', 'answer', 'records'] as const;

export function* oneRule(context: CheckContext): Iterable<Finding> {
  for (const { path } of zonesOf(context)) {
    const given = RULES.filter((rule) => context.isWritten([...path, rule]));
    if (given.length > 1)
      yield { path, message: `more than one rule: ${given.join(', ')}`, mend: 'keep one of them' };
    const mayBeMeant = RULES.some((rule) => context.isFaulty([...path, rule]));
    if (given.length === 0 && !mayBeMeant) {
      yield { path, message: 'no rule for the zone', mend: `add one of ${RULES.join(', ')}` };
    }
  }
}

export function* recordsRead(context: CheckContext): Iterable<Finding> {
  for (const { zone, path } of zonesOf(context)) {
    for (const [index, text] of (zone.records ?? []).entries()) {
      if (text === undefined || zone.name === undefined) continue;
      const record = readZoneRecord(text, zone.name);
      if ('value' in record) continue;
      yield {
        path: [...path, 'records', index],
        message: record.message,
        mend: record.mend ?? 'write owner, TTL (may be left out), type and data: "www A 10.0.0.5"',
      };
    }
  }
}

interface RecordSet {
  readonly ttlSeconds: number;
  readonly data: Set<string>;
}

export function* recordsTogether(context: CheckContext): Iterable<Finding> {
  for (const { zone, path } of zonesOf(context)) {
    const owners = new Map<string, Map<string, RecordSet>>();
    for (const [index, text] of (zone.records ?? []).entries()) {
      const reading =
        text === undefined || zone.name === undefined ? undefined : readZoneRecord(text, zone.name);
      if (reading === undefined || !('value' in reading)) continue;
      const sets = owners.get(reading.value.owner) ?? new Map<string, RecordSet>();
      owners.set(reading.value.owner, sets);
      const clash = clashOf(reading.value, sets);
      if (clash !== undefined) yield { path: [...path, 'records', index], ...clash };
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
  const set = sets.get(record.type) ?? { ttlSeconds: record.ttlSeconds, data: new Set() };
  sets.set(record.type, set);
  const data = JSON.stringify(record.data);
  if (set.data.has(data)) return { message: 'a record written twice', mend: 'remove one of the two' };
  set.data.add(data);
  if (set.ttlSeconds === record.ttlSeconds) return undefined;
  return {
    // RFC 2181 section 5.2
    message: `TTL ${record.ttlSeconds}, where type ${record.type} of ${record.owner} has ${set.ttlSeconds} already`,
    mend: 'give all records of one owner and type the same TTL',
  };
}

export function* zonesApartFromEndpoints(context: CheckContext): Iterable<Finding> {
  for (const { zone, path } of zonesOf(context)) {
    for (const cluster of context.draft.clusters ?? []) {
      const endpoint = cluster?.endpoint;
      if (zone.name === undefined || endpoint === undefined || !isAtOrBelow(endpoint, zone.name)) continue;
      const relation = endpoint === zone.name ? 'is' : 'contains';
      yield {
        path: [...path, 'name'],
        message: `${relation} the endpoint ${endpoint}, which no zone may override`,
        mend: 'name a zone that leaves the endpoint out',
      };
    }
  }
}
