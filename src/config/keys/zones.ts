/**
 * The operator's own zones: rules for a name and all names under it. `protocol/words/zone-rules.ts` has the rules of their
 * records, for `records` and `whileDisconnected` alike.
 */
import { isAtOrUnder } from '../../protocol/words/name.ts';
import { recordFaults } from '../../protocol/words/zone-rules.ts';
import {
  alternative,
  choice,
  distinctList,
  inRoom,
  list,
  map,
  optional,
  required,
  wordOrList,
} from '../key.ts';
import { domainName, line } from '../kinds/text.ts';
import { type Upstream, upstream } from '../kinds/upstream.ts';
import { RECORD_FORM, readZoneRecord, type ZoneRecord } from '../kinds/zone-record.ts';
import type { OptionsOf } from '../options.ts';
import { withoutUndefined } from '../plain-data.ts';
import { type DraftOf, type Findings, type Items, joinedBy, type Place, unique } from '../rule.ts';

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
  readonly upstreams: readonly Upstream[];
}

export type ZoneOptions = { readonly name: string } & (
  | {
      readonly forwardTo: UpstreamGroup;
      readonly whileDisconnected?: 'stale' | 'servfail' | 'nxdomain' | readonly ZoneRecord[] | undefined;
    }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  | { readonly records: readonly ZoneRecord[] }
);

type ZoneSettings = OptionsOf<typeof zone>;

/** Zones as the rooms take them; `upstreams` are for names without a rule. */
export function zoneOptions(
  zones: readonly ZoneSettings[],
  upstreams: readonly Upstream[],
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
): readonly Upstream[] | undefined {
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
