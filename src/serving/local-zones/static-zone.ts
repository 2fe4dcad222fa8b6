/** The answers of one zone of the operator's own records: every name, every type, composed when the zone is built. */

import { type ApexAnswers, apexAnswers, LOCAL_TTL_SECONDS } from '../../protocol/wire/apex-answers.ts';
import { composeLocalAnswer, type LocalAnswer } from '../../protocol/wire/local-answer.ts';
import { isAtOrUnder, parentName } from '../../protocol/words/name.ts';
import { ownSoa } from '../../protocol/words/own-soa.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ResourceRecord } from '../../protocol/words/resource-record.ts';
import { TYPE } from '../../protocol/words/types.ts';
import { type FindingsByType, ownFindings } from './finding.ts';

export interface StaticZone {
  /** Findings for each name that exists: those with records, the apex, and what lies between (RFC 8020 section 2). */
  readonly names: ReadonlyMap<string, FindingsByType<never>>;
  readonly otherNames: FindingsByType<never>;
}

/** Records of one name by type. */
type RecordSets = ReadonlyMap<string, readonly ResourceRecord[]>;

/**
 * `records` are sound: at or under the apex, no CNAME beside others, no loop of CNAMEs. `isOurs` says whether a name at
 * or under the apex is answered by this zone and not by a rule further down. `ttlSeconds` is that of negative answers.
 * Throws where an answer cannot be composed.
 */
export function staticZone(
  apex: string,
  records: readonly ResourceRecord[],
  isOurs: (name: string) => boolean,
  ttlSeconds = LOCAL_TTL_SECONDS,
): StaticZone {
  const zone = {
    apex,
    sets: recordSets(apex, records),
    isOurs,
    soa: ownSoa(apex, ttlSeconds),
    shared: apexAnswers(apex, ttlSeconds),
  };
  return {
    names: new Map([...zone.sets.keys()].map((name) => [name, findingsOf(name, zone)])),
    otherNames: ownFindings(zone.shared.noName),
  };
}

interface Zone {
  readonly apex: string;
  readonly sets: ReadonlyMap<string, RecordSets>;
  readonly isOurs: (name: string) => boolean;
  readonly soa: ResourceRecord;
  readonly shared: ApexAnswers;
}

function recordSets(apex: string, records: readonly ResourceRecord[]): ReadonlyMap<string, RecordSets> {
  const names = new Map<string, Map<string, ResourceRecord[]>>();
  const at = (name: string) => {
    const known = names.get(name) ?? new Map<string, ResourceRecord[]>();
    names.set(name, known);
    return known;
  };
  at(apex);
  for (const record of records) {
    const sets = at(record.owner);
    sets.set(record.type, [...(sets.get(record.type) ?? []), record]);
    // RFC 4592 section 2.2.2: empty non-terminals exist, so they are NODATA and not NXDOMAIN
    for (
      let name = parentName(record.owner);
      name !== undefined && isAtOrUnder(name, apex);
      name = parentName(name)
    ) {
      at(name);
    }
  }
  return names;
}

function findingsOf(name: string, zone: Zone): FindingsByType<never> {
  const { apex, shared, sets } = zone;
  const own = sets.get(name);
  const isAlias = own?.has('CNAME') ?? false;
  const types: [number, LocalAnswer][] = [[TYPE.ANY, shared.hinfo]];
  // RFC 1034 section 4.2.1: a zone has SOA and NS at its apex; NS that the operator gave replace these
  if (name === apex) types.push([TYPE.SOA, shared.soa], [TYPE.NS, shared.ns]);
  for (const records of own?.values() ?? []) types.push(recordSetAnswer(name, records));
  if (!isAlias) return ownFindings(shared.noData, types);
  const chain = aliasChain(name, zone);
  const behind = sets.get(chain.end);
  for (const records of behind?.values() ?? []) {
    types.push([typeOf(records), composed(name, RCODE.NOERROR, [...chain.records, ...records], [])]);
  }
  return ownFindings(aliasWithoutData(name, chain, zone), types);
}

function recordSetAnswer(name: string, records: readonly ResourceRecord[]): [number, LocalAnswer] {
  const type = typeOf(records);
  const isAddress = type === TYPE.A || type === TYPE.AAAA;
  const rotated = isAddress ? records.length : 0;
  return [
    type,
    composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers: records, authorities: [], rotated }),
  ];
}

function typeOf(records: readonly ResourceRecord[]): number {
  const type = records[0]?.type;
  if (type === undefined) throw new Error('a set of records without a record');
  return TYPE[type];
}

interface AliasChain {
  readonly records: readonly ResourceRecord[];
  /** The last name, which is no alias of this zone. */
  readonly end: string;
}

/** Follows aliases for as long as they stay in this zone (RFC 1034 section 4.3.2 step 3a). */
function aliasChain(name: string, zone: Zone): AliasChain {
  const records: ResourceRecord[] = [];
  let end = name;
  for (;;) {
    const alias = zone.sets.get(end)?.get('CNAME')?.[0];
    if (alias?.type !== 'CNAME') return { records, end };
    records.push(alias);
    end = alias.target;
  }
}

/** To a type that the end of the chain does not have. */
function aliasWithoutData(name: string, chain: AliasChain, zone: Zone): LocalAnswer {
  const { apex, sets, isOurs, soa } = zone;
  // what lies outside is for others to answer: the resolver asks them (RFC 1034 section 4.3.2 step 3a)
  const isElsewhere = !isAtOrUnder(chain.end, apex) || !isOurs(chain.end);
  if (isElsewhere) {
    const answers = chain.records;
    return composeLocalAnswer({ rcode: RCODE.NOERROR, name, answers, authorities: [], isOpen: true });
  }
  // RFC 6604 section 3: the RCODE is that of the last name
  const rcode = sets.has(chain.end) ? RCODE.NOERROR : RCODE.NXDOMAIN;
  return composed(name, rcode, chain.records, [soa]);
}

function composed(
  name: string,
  rcode: number,
  answers: readonly ResourceRecord[],
  authorities: readonly ResourceRecord[],
): LocalAnswer {
  return composeLocalAnswer({ rcode, name, answers, authorities });
}
