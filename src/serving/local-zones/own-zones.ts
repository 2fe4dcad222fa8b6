/**
 * The answers of zones of this server's own. The operator's records: the answers of a name are composed when it is first
 * asked for. Special-use names: answers by the rule of their table, at the name itself and under it.
 */
import {
  type ApexAnswers,
  apexAnswers,
  composeLocalAnswer,
  LOCAL_TTL_SECONDS,
  ownedByQname,
  ownSoa,
} from '../../protocol/wire/local-answer.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { RCODE, type RecordData, type ResourceRecord, TYPE } from '../../protocol/words/codes.ts';
import {
  isAtOrUnder,
  labelCountOf,
  NameError,
  normalizeName,
  parentName,
} from '../../protocol/words/name.ts';
import type { SpecialName } from '../../protocol/words/special-names.ts';
import { recordFaults, zoneBelow } from '../../protocol/words/zone-rules.ts';
import type { Steps } from '../../runtime/slices.ts';
import { type FindingsByType, ownFindings } from './finding.ts';

export interface StaticZone {
  /** Findings for each name that exists: names with records, the apex, and the names between (RFC 8020 section 2). */
  readonly names: ReadonlyMap<string, OwnName>;
  readonly otherNames: FindingsByType<never>;
}

/** Composed when it is first asked for: composing ten thousand names takes seconds, and clients ask for few of them. */
export class OwnName {
  readonly labels: number;
  readonly under: FindingsByType<never>;
  readonly isApex: boolean;
  readonly noData: LocalAnswer;
  readonly #name: string;
  readonly #zone: Zone;
  #own: FindingsByType<never> | undefined;

  constructor(name: string, zone: Zone) {
    this.labels = labelCountOf(name);
    this.under = zone.otherNames;
    this.isApex = name === zone.apex;
    this.noData = zone.shared.noData;
    this.#name = name;
    this.#zone = zone;
  }

  get own(): FindingsByType<never> {
    this.#own ??= findingsOf(this.#name, this.#zone);
    return this.#own;
  }
}

/** Records of one name by type. */
type RecordSets = ReadonlyMap<string, readonly ResourceRecord[]>;

/**
 * `records` are validated. `zones` are the names of all rules: names at or under a zone further down are not answered by this
 * zone. `ttlSeconds` is for negative answers.
 */
export function* staticZone(
  apex: string,
  records: readonly ResourceRecord[],
  zones: ReadonlySet<string>,
  ttlSeconds = LOCAL_TTL_SECONDS,
): Steps<StaticZone> {
  const shared = apexAnswers(apex, ttlSeconds);
  const zone = {
    apex,
    sets: yield* recordSets(apex, records),
    isOurs: (name: string) => zoneBelow(name, apex, zones) === undefined,
    soa: ownSoa(apex, ttlSeconds),
    shared,
    otherNames: ownFindings(shared.noName),
  };
  const names = new Map<string, OwnName>();
  for (const name of zone.sets.keys()) {
    names.set(name, new OwnName(name, zone));
    yield;
  }
  return { names, otherNames: zone.otherNames };
}

interface Zone {
  readonly apex: string;
  readonly sets: ReadonlyMap<string, RecordSets>;
  readonly isOurs: (name: string) => boolean;
  readonly soa: ResourceRecord;
  readonly shared: ApexAnswers;
  readonly otherNames: FindingsByType<never>;
}

function* recordSets(
  apex: string,
  records: readonly ResourceRecord[],
): Steps<ReadonlyMap<string, RecordSets>> {
  const names = new Map<string, Map<string, ResourceRecord[]>>();
  const at = (name: string) => {
    const known = names.get(name) ?? new Map<string, ResourceRecord[]>();
    names.set(name, known);
    return known;
  };
  at(apex);
  for (const record of records) {
    const sets = at(record.owner);
    const set = sets.get(record.type);
    if (set === undefined) sets.set(record.type, [record]);
    else set.push(record);
    // RFC 4592 section 2.2.2: empty non-terminals exist, so they are NODATA and not NXDOMAIN
    for (
      let name = parentName(record.owner);
      name !== undefined && isAtOrUnder(name, apex);
      name = parentName(name)
    ) {
      at(name);
    }
    yield;
  }
  return names;
}

function findingsOf(name: string, zone: Zone): FindingsByType<never> {
  const { apex, shared, sets } = zone;
  const own = sets.get(name);
  const isAlias = own?.has('CNAME') ?? false;
  const types: [number, LocalAnswer][] = [[TYPE.ANY, shared.hinfo]];
  // RFC 1034 section 4.2.1: a zone has SOA and NS at its apex; NS records of the operator replace these
  if (name === apex) types.push([TYPE.SOA, shared.soa], [TYPE.NS, shared.ns]);
  for (const records of own?.values() ?? []) types.push(recordSetAnswer(name, records));
  if (!isAlias) return ownFindings(shared.noData, types);
  const chain = aliasChain(name, zone);
  const target = sets.get(chain.end);
  for (const records of target?.values() ?? []) {
    const answers = [...chain.records, ...records];
    types.push([typeOf(records), composeLocalAnswer({ name, answers })]);
  }
  return ownFindings(aliasWithoutData(name, chain, zone), types);
}

function recordSetAnswer(name: string, answers: readonly ResourceRecord[]): [number, LocalAnswer] {
  const type = typeOf(answers);
  const rotated = type === TYPE.A || type === TYPE.AAAA ? answers.length : 0;
  return [type, composeLocalAnswer({ name, answers, rotated })];
}

function typeOf(records: readonly ResourceRecord[]): number {
  const type = records[0]?.type;
  if (type === undefined) throw new Error('a set of records without a record');
  return TYPE[type];
}

/** Aliases in one answer; the resolver follows the aliases after them. */
const MAX_ALIASES = 16;

interface AliasChain {
  readonly records: readonly ResourceRecord[];
  /** The last name: no alias of this zone, or an alias beyond the limit. */
  readonly end: string;
}

/** Follows aliases for as long as they stay in this zone (RFC 1034 section 4.3.2 step 3a). */
function aliasChain(name: string, zone: Zone): AliasChain {
  const records: ResourceRecord[] = [];
  let end = name;
  while (records.length < MAX_ALIASES) {
    const alias = zone.sets.get(end)?.get('CNAME')?.[0];
    if (alias?.type !== 'CNAME') break;
    records.push(alias);
    end = alias.target;
  }
  return { records, end };
}

/** The answer for a type that the end of the chain does not have. */
function aliasWithoutData(name: string, chain: AliasChain, zone: Zone): LocalAnswer {
  const { apex, sets, isOurs, soa } = zone;
  const answers = chain.records;
  const isAlias = sets.get(chain.end)?.has('CNAME') ?? false;
  // the resolver asks for names outside the zone (RFC 1034 section 4.3.2 step 3a)
  const isElsewhere = !isAtOrUnder(chain.end, apex) || !isOurs(chain.end);
  if (isElsewhere || isAlias) return composeLocalAnswer({ name, answers, isOpen: true });
  // RFC 6604 section 3: the RCODE is that of the last name
  const rcode = sets.has(chain.end) ? RCODE.NOERROR : RCODE.NXDOMAIN;
  return composeLocalAnswer({ rcode, name, answers, authorities: [soa] });
}

export interface SpecialZone {
  readonly own: FindingsByType<never>;
  readonly under: FindingsByType<never>;
  /**
   * Whether a zone begins at the name. DS is then asked of upstreams, where the parent zone lives. RFC 8375 section 4 and
   * RFC 6303 section 7 make this exception, because validators need the proof that the delegation is insecure.
   */
  readonly isApex: boolean;
  readonly noData: LocalAnswer;
}

export function specialZone({ name, rule }: SpecialName): SpecialZone {
  const { noData, noName, soa, ns, hinfo } = apexAnswers(name);
  const nothing = ownFindings(noName);
  const apex: readonly (readonly [number, LocalAnswer])[] = [
    [TYPE.SOA, soa],
    [TYPE.NS, ns],
    [TYPE.ANY, hinfo],
  ];
  switch (rule) {
    case 'nothing':
      return { own: nothing, under: nothing, isApex: false, noData };
    case 'empty':
      return { own: ownFindings(noData, apex), under: nothing, isApex: true, noData };
    case 'no-data':
      return { own: ownFindings(noData, apex), under: ownFindings(noData), isApex: true, noData };
    case 'loopback-ptr': {
      const ptr = recordAnswer(name, { type: 'PTR', target: 'localhost' });
      return { own: ownFindings(noData, [...apex, [TYPE.PTR, ptr]]), under: nothing, isApex: true, noData };
    }
    case 'loopback': {
      // RFC 6761 section 6.3: a name under localhost is localhost too
      const a = ownedByQname(recordAnswer(name, { type: 'A', address: '127.0.0.1' }));
      const aaaa = ownedByQname(recordAnswer(name, { type: 'AAAA', address: '::1' }));
      const addresses = [[TYPE.A, a] as const, [TYPE.AAAA, aaaa] as const];
      return {
        own: ownFindings(noData, [...apex, ...addresses]),
        under: ownFindings(noData, [[TYPE.ANY, hinfo], ...addresses]),
        isApex: false,
        noData,
      };
    }
  }
}

function recordAnswer(name: string, data: RecordData): LocalAnswer {
  const record = { owner: name, ttlSeconds: LOCAL_TTL_SECONDS, ...data };
  return composeLocalAnswer({ name, answers: [record] });
}

// Holds the operator's own zones as data, validates them, and reports all their faults in one error.

/** The rule for `name` and all names under it. */
export type ZoneRule<Route> = { readonly name: string } & (
  | { readonly forwardTo: Route }
  | { readonly answer: 'nxdomain' | 'servfail' | 'refused' }
  /** A, AAAA, CNAME, TXT, PTR, MX and NS with full names in normal form; names without records do not exist. */
  | { readonly records: readonly ResourceRecord[] }
);

interface ZoneFault {
  readonly zone: string;
  /** Owner and type of the record at fault; `undefined` where it is the zone as a whole. */
  readonly record: string | undefined;
  readonly reason: string;
}

/** The rule of the longest name that `name` is equal to or lies under. */
export function closestRule<Rule>(name: string, rules: ReadonlyMap<string, Rule>): Rule | undefined {
  if (rules.size === 0) return undefined;
  for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
    const rule = rules.get(at);
    if (rule !== undefined) return rule;
  }
  return undefined;
}

/** Rules that cannot be served. Fatal at start; at a reload the earlier rules stay in force. */
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

export interface ValidRules<Route> {
  readonly rules: readonly ZoneRule<Route>[];
  /** The names of all rules. */
  readonly zones: ReadonlySet<string>;
}

/** The rules with their names in normal form. Throws LocalZonesError with every fault there is. */
export function* validateRules<Route>(given: Iterable<ZoneRule<Route>>): Steps<ValidRules<Route>> {
  const faults: ZoneFault[] = [];
  const rules: ZoneRule<Route>[] = [];
  const zones = new Set<string>();
  const twice = new Set<string>();
  for (const rule of given) {
    yield;
    const name = normalName(rule.name, faults);
    if (name === undefined) continue;
    if (zones.has(name)) twice.add(name);
    zones.add(name);
    rules.push({ ...rule, name });
  }
  for (const zone of twice)
    faults.push({ zone, record: undefined, reason: 'more than one rule for this zone' });
  for (const rule of rules) {
    if (!('records' in rule)) continue;
    for (const fault of recordFaults(rule.name, rule.records, zones)) {
      yield;
      if (fault === undefined) continue;
      const { owner, type } = rule.records[fault.index] ?? NO_RECORD;
      faults.push({ zone: rule.name, record: `${owner} ${type}`, reason: fault.message });
    }
  }
  if (faults.length > 0) throw new LocalZonesError(faults);
  return { rules, zones };
}

const NO_RECORD = { owner: '', type: '' }; // each fault has its record

function normalName(text: string, faults: ZoneFault[]): string | undefined {
  try {
    return normalizeName(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    faults.push({ zone: text, record: undefined, reason: error.message });
    return undefined;
  }
}
