/**
 * The answers of zones of this server's own. The operator's records: the answers of a name are composed when it is first
 * asked for. Special-use names: answers by the rule of their table, at the name itself and under it.
 */
import {
  type ApexAnswers,
  apexAnswers,
  composeLocalAnswer,
  composingApexAnswers,
  LOCAL_TTL_SECONDS,
  ownedByQname,
  ownSoa,
} from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/message.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { RCODE, type RecordData, type ResourceRecord, TYPE } from '../../protocol/words/codes.ts';
import {
  isAtOrUnder,
  labelCountOf,
  NameError,
  nameToWire,
  normalizeName,
  parentName,
  TextMap,
} from '../../protocol/words/name.ts';
import type { SpecialName } from '../../protocol/words/special-names.ts';
import { type Names, recordFaults, zoneBelow } from '../../protocol/words/zone-rules.ts';
import { JsonList } from '../../runtime/json-list.ts';
import type { Steps } from '../../runtime/slices.ts';
import { type FindingsByType, ownFindings } from './finding.ts';

interface OwnNamesOptions<Found> {
  /** The names of all rules: names at or under a zone further down are not answered by the zone above it. */
  readonly zones: Names;
  /** The number that `OwnNames` gave to this name. */
  readonly numberOf: (name: string) => number | undefined;
  /** What the caller makes of findings, once for each name. */
  readonly found: (findings: FindingsByType<never>) => Found;
  /** For negative answers. */
  readonly ttlSeconds?: number;
}

/** What many names have in common. */
interface NameKind<Found> {
  /** Labels of the name. */
  readonly labels: number;
  /** For all names under it that do not exist. */
  readonly under: Found;
  readonly isApex: boolean;
  readonly hasRecords: boolean;
  readonly noData: LocalAnswer;
}

/** A name that exists: with records, the apex, or between the two (RFC 8020 section 2). */
interface OwnName {
  readonly name: string;
  readonly apex: string;
  readonly records: Iterable<ResourceRecord>;
}

/**
 * The names of the operator's zones of records, each with a number. Tens of thousands are kept as octets, and clients ask for few
 * of them: the answers of a name are composed when it is first asked for. To compose those of ten thousand names takes seconds.
 */
export class OwnNames<Found> {
  readonly #options: OwnNamesOptions<Found>;
  readonly #names = new JsonList<OwnName>();
  /** By the number of a name, as are the findings. */
  readonly #kinds: NameKind<Found>[] = [];
  readonly #own: (Found | undefined)[] = [];
  readonly #allKinds = new Map<string, NameKind<Found>>();

  constructor(options: OwnNamesOptions<Found>) {
    this.#options = options;
  }

  /** Takes the records of a zone, which are validated, and tells each name with its number. */
  *add(
    apex: string,
    records: Iterable<ResourceRecord>,
    take: (name: string, number: number) => void,
  ): Steps<void> {
    const apexOctets = nameToWire(apex).length;
    yield* composingApexAnswers(this.#options.ttlSeconds);
    for (const [name, own] of yield* recordsByName(apex, records)) {
      this.#names.add({ name, apex, records: own });
      this.#own.push(undefined);
      const kind = { labels: labelCountOf(name), isApex: name === apex, hasRecords: own.length > 0 };
      take(name, this.#kinds.push(this.#kindOf(kind, apex, apexOctets)) - 1);
      yield;
    }
  }

  kind(number: number): NameKind<Found> {
    const kind = this.#kinds[number];
    if (kind === undefined) throw new Error(`no name ${number} of ${this.#kinds.length}`);
    return kind;
  }

  /** The findings for the name itself. */
  own(number: number): Found {
    const known = this.#own[number];
    if (known !== undefined) return known;
    const own = this.#options.found(this.#compose(this.#names.at(number)));
    this.#own[number] = own;
    return own;
  }

  #kindOf(
    facts: Pick<NameKind<Found>, 'labels' | 'isApex' | 'hasRecords'>,
    apex: string,
    apexOctets: number,
  ): NameKind<Found> {
    const key = `${facts.labels} ${facts.isApex} ${facts.hasRecords} ${apexOctets}`;
    const known = this.#allKinds.get(key);
    if (known !== undefined) return known;
    const { noName, noData } = apexAnswers(apex, this.#options.ttlSeconds);
    const kind = { ...facts, under: this.#options.found(ownFindings(noName)), noData };
    this.#allKinds.set(key, kind);
    return kind;
  }

  #compose(own: OwnName): FindingsByType<never> {
    const { apex } = own;
    const { zones, numberOf, ttlSeconds = LOCAL_TTL_SECONDS } = this.#options;
    return findingsOf(own, {
      apex,
      recordsAt: (name) => {
        const number = numberOf(name);
        const found = number === undefined ? undefined : this.#names.at(number);
        return found?.apex === apex ? [...found.records] : undefined;
      },
      isOurs: (name) => zoneBelow(name, apex, zones) === undefined,
      soa: ownSoa(apex, ttlSeconds),
      shared: apexAnswers(apex, ttlSeconds),
    });
  }
}

interface Zone {
  readonly apex: string;
  /** `undefined` for a name that does not exist. */
  readonly recordsAt: (name: string) => readonly ResourceRecord[] | undefined;
  readonly isOurs: (name: string) => boolean;
  readonly soa: ResourceRecord;
  readonly shared: ApexAnswers;
}

function* recordsByName(apex: string, records: Iterable<ResourceRecord>): Steps<TextMap<ResourceRecord[]>> {
  const names = new TextMap<ResourceRecord[]>();
  const at = (name: string) => names.get(name) ?? names.add(name, []);
  at(apex);
  for (const record of records) {
    at(record.owner).push(record);
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

function findingsOf(own: OwnName, zone: Zone): FindingsByType<never> {
  const { name, apex } = own;
  const { shared } = zone;
  const records = [...own.records];
  const types: [number, LocalAnswer][] = [[TYPE.ANY, shared.hinfo]];
  // RFC 1034 section 4.2.1: a zone has SOA and NS at its apex; NS records of the operator replace these
  if (name === apex) types.push([TYPE.SOA, shared.soa], [TYPE.NS, shared.ns]);
  for (const set of setsOf(records)) types.push(recordSetAnswer(name, set));
  if (!hasAlias(records)) return ownFindings(shared.noData, types);
  const chain = aliasChain(name, zone);
  const target = zone.recordsAt(chain.end);
  for (const set of setsOf(target ?? [])) {
    const answers = [...chain.records, ...set];
    types.push([typeOf(set), composeLocalAnswer({ name, answers })]);
  }
  return ownFindings(aliasWithoutData(name, chain, zone), types);
}

/** The records of one name by type. */
function setsOf(records: readonly ResourceRecord[]): Iterable<readonly ResourceRecord[]> {
  return Map.groupBy(records, ({ type }) => type).values();
}

function hasAlias(records: readonly ResourceRecord[] | undefined): boolean {
  return records?.some(({ type }) => type === 'CNAME') ?? false;
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
    const alias = zone.recordsAt(end)?.find(({ type }) => type === 'CNAME');
    if (alias?.type !== 'CNAME') break;
    records.push(alias);
    end = alias.target;
  }
  return { records, end };
}

/** The answer for a type that the end of the chain does not have. */
function aliasWithoutData(name: string, chain: AliasChain, zone: Zone): LocalAnswer {
  const { apex, isOurs, soa } = zone;
  const answers = chain.records;
  const target = zone.recordsAt(chain.end);
  // the resolver asks for names outside the zone (RFC 1034 section 4.3.2 step 3a)
  const isElsewhere = !isAtOrUnder(chain.end, apex) || !isOurs(chain.end);
  if (isElsewhere || hasAlias(target)) return composeLocalAnswer({ name, answers, isOpen: true });
  // RFC 6604 section 3: the RCODE is that of the last name
  const rcode = target === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR;
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
  | { readonly records: Iterable<ResourceRecord> }
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

/** Checks rules while they are taken: every fault there is comes in one error. */
export class RuleCheck {
  /** The names of all rules, in normal form. */
  readonly zones = new NameMap<true>();
  readonly #faults: ZoneFault[] = [];

  /** Comes before the rules: where a record may stand depends on all names. */
  *names(given: Iterable<{ readonly name: string }>): Steps<void> {
    const twice = new Set<string>();
    for (const rule of given) {
      yield;
      const name = normalName(rule.name, this.#faults);
      if (name === undefined) continue;
      if (this.zones.has(name)) twice.add(name);
      this.zones.set(name, true);
    }
    for (const zone of twice)
      this.#faults.push({ zone, record: undefined, reason: 'more than one rule for this zone' });
  }

  /** The rule with its name in normal form; `undefined` once there was a fault. */
  *rule<Route>(given: ZoneRule<Route>): Steps<ZoneRule<Route> | undefined> {
    const name = normalName(given.name, []);
    if (name === undefined) return undefined;
    const rule = { ...given, name };
    for (const fault of 'records' in rule ? recordFaults(name, rule.records, this.zones) : []) {
      yield;
      if (fault === undefined) continue;
      const { owner, type } = fault.record;
      this.#faults.push({ zone: name, record: `${owner} ${type}`, reason: fault.message });
    }
    return this.#faults.length > 0 ? undefined : rule;
  }

  /** Throws LocalZonesError with every fault. */
  end(): void {
    if (this.#faults.length > 0) throw new LocalZonesError(this.#faults);
  }
}

function normalName(text: string, faults: ZoneFault[]): string | undefined {
  try {
    return normalizeName(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    faults.push({ zone: text, record: undefined, reason: error.message });
    return undefined;
  }
}
