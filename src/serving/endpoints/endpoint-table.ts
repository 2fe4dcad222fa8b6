/**
 * Endpoints: the names that this server answers with authority, and never from anywhere else.
 *
 *     records -> new EndpointTable -> ServingTable.publish -> find(query) -> LocalAnswer -> octets
 *
 * The room turns endpoint records into composed answers once, when they change, and finds the answer to a query. It knows
 * nothing of where the records come from, how old they are, or whether AWS can be reached.
 * RFC 1034 section 4.3.2 (NODATA and NXDOMAIN), RFC 2308 (SOA in negative answers), RFC 8482 (ANY).
 */
import ipaddr from 'ipaddr.js';
import { type ApexAnswers, apexAnswers, composeLocalAnswer } from '../../protocol/wire/local-answer.ts';
import { NameMap } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { LocalAnswer } from '../../protocol/wire/reply.ts';
import { type ResourceRecord, TYPE } from '../../protocol/words/codes.ts';
import { NameError, nameToWire, reverseNameOfIpv4 } from '../../protocol/words/name.ts';
import { type EndpointRecord, isEndpointAddress, STATUS_LABEL } from '../../records/endpoint-record.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';

/** The table's finding for a query. */
type EndpointFinding =
  /**
   * `record` is set where the answer is the endpoint's addresses. `isParents` is set for DS at the apex, which is given only
   * when the servers of the parent zone cannot be asked (RFC 4035 section 3.1.4.1).
   */
  | {
      readonly kind: 'answer';
      readonly answer: LocalAnswer;
      readonly record?: EndpointRecord;
      readonly isParents?: true;
    }
  /** The text at `_status.<name>`, which changes with time and is composed on demand. */
  | { readonly kind: 'status'; readonly record: EndpointRecord; readonly name: string }
  /** A name above a reverse name of ours: it exists, and nothing else is known of it here. */
  | { readonly kind: 'above'; readonly answer: LocalAnswer }
  /** The name is ours, but no address was ever known. */
  | { readonly kind: 'not-ready' };

/** The findings at an apex, by type; any other type is NODATA. */
interface ApexFindings {
  readonly byType: ReadonlyMap<number, EndpointFinding>;
  readonly noData: EndpointFinding;
}

interface Zone {
  readonly nameOctets: number;
  readonly record: EndpointRecord;
  readonly apex: ApexFindings;
  readonly nxDomain: EndpointFinding;
  readonly status: EndpointFinding;
}

interface Reverse {
  readonly apex: ApexFindings;
  readonly above: EndpointFinding;
}

const NOT_READY: EndpointFinding = { kind: 'not-ready' };

/**
 * If two clusters have the same name, the cluster that AWS names comes first. An `endpoint` that an operator copied from
 * another cluster takes nothing from that cluster. A name that was ever known stays answered.
 */
const NAMES_IN_ORDER: readonly ((record: EndpointRecord) => readonly string[])[] = [
  ({ details }) => (details === undefined ? [] : [details.endpoint]),
  ({ endpoint }) => (endpoint === undefined ? [] : [endpoint]),
  ({ formerEndpoints = [] }) => formerEndpoints,
];

/** Whether the address is in a range that is set apart from public addresses. */
function isSetApart(address: string): boolean {
  return ipaddr.IPv4.parse(address).range() !== 'unicast';
}

export class EndpointTable {
  static readonly empty = new EndpointTable([]);

  readonly records: readonly EndpointRecord[];
  /** The values that the answers were composed from, as text, for each record. */
  readonly #served: string[] = [];
  #zones = new NameMap<Zone>();
  #statusNames = new NameMap<Zone>();
  #reverseNames = new NameMap<ReverseName>();
  #reverseAncestors = new NameMap<ReverseName>();
  /** Answers by name and by the values that they were composed from, for the next table. */
  #zonesByText = new Map<string, Zone>();

  /**
   * Records without an endpoint name are only listed. `before` is the table that this table replaces: equal answers are
   * taken over from it, and all names where nothing differs.
   */
  constructor(records: readonly EndpointRecord[], before?: EndpointTable, composedBy = atOnce<void>) {
    this.records = records;
    composedBy(this.#compose(before));
  }

  /** The same in steps of some ten microseconds, because there may be thousands of records. */
  static *composing(records: readonly EndpointRecord[], before: EndpointTable): Steps<EndpointTable> {
    let steps: Steps<void> | undefined;
    const table = new EndpointTable(records, before, (work) => {
      steps = work;
    });
    if (steps !== undefined) yield* steps;
    return table;
  }

  *#compose(before: EndpointTable | undefined): Steps<void> {
    for (const record of this.records) {
      this.#served.push(servedText(record));
      yield;
    }
    if (before !== undefined && isSame(this.#served, before.#served)) {
      this.#zones = before.#zones;
      this.#statusNames = before.#statusNames;
      this.#reverseNames = before.#reverseNames;
      this.#reverseAncestors = before.#reverseAncestors;
      this.#zonesByText = before.#zonesByText;
      return;
    }
    yield* this.#fill(before);
  }

  *#fill(before: EndpointTable | undefined): Steps<void> {
    const owners = new Map<string, EndpointRecord>();
    const namesByAddress = new Map<string, { names: string[]; ttlSeconds: number }>();
    for (const record of this.records) {
      yield;
      if (record.endpoint === undefined) continue;
      for (const { address } of record.addresses) {
        if (!isEndpointAddress(address)) {
          throw new TypeError(`no address of an endpoint: "${address}" of "${record.endpoint}"`);
        }
        const entry = namesByAddress.get(address) ?? { names: [], ttlSeconds: record.ttlSeconds };
        if (!entry.names.includes(record.endpoint)) entry.names.push(record.endpoint);
        namesByAddress.set(address, entry);
      }
    }
    for (const namesOf of NAMES_IN_ORDER) {
      for (const record of this.records) {
        for (const name of namesOf(record)) this.#add(record, name, owners, before);
        yield;
      }
    }
    for (const [address, { names, ttlSeconds }] of namesByAddress) {
      const name = reverseNameOfIpv4(address);
      this.#reverseNames.set(name, new ReverseName(name, names, ttlSeconds));
      if (isSetApart(address)) this.#addAncestors(name, ttlSeconds);
      yield;
    }
  }

  /** If two records have one name, the first with addresses answers. */
  #add(
    record: EndpointRecord,
    name: string,
    owners: Map<string, EndpointRecord>,
    before: EndpointTable | undefined,
  ): void {
    const owner = owners.get(name);
    if (owner !== undefined && (owner.addresses.length > 0 || record.addresses.length === 0)) return;
    owners.set(name, record);
    const text = `${name} ${servedText(record)}`;
    const known = before === undefined ? undefined : before.#zonesByText.get(text);
    const zone = known ?? zoneOf(record, name);
    this.#zonesByText.set(text, zone);
    this.#zones.set(name, zone);
    const statusName = `${STATUS_LABEL}.${name}`;
    if (isName(statusName)) this.#statusNames.set(statusName, zone);
  }

  /**
   * Adds the names above a reverse name. Only in a private range: the zones above a public address belong to others, and are forwarded.
   * RFC 8020: a name above an existing name is not denied, because a cache would then deny the existing name too. The /8 is the apex
   * of an empty zone (RFC 6303), and exists already.
   */
  #addAncestors(reverseName: string, ttlSeconds: number): void {
    const labels = reverseName.split('.');
    for (const name of [labels.slice(1).join('.'), labels.slice(2).join('.')]) {
      this.#reverseAncestors.set(name, new ReverseName(name, [], ttlSeconds));
    }
  }

  /** The finding for a query of class IN; `undefined` where the name is none of ours. Makes no object after the first query for a name. */
  find(query: Query): EndpointFinding | undefined {
    const zone = this.#zones.closest(query);
    if (zone !== undefined) return this.#findInZone(query, zone);
    const reverse = this.#reverseNames.exact(query)?.found;
    if (reverse === undefined) return this.#reverseAncestors.exact(query)?.found.above;
    return findAt(reverse.apex, query.qtype);
  }

  /** Whether the query's name is an endpoint's. */
  hasName(query: Query): boolean {
    return this.#zones.exact(query) !== undefined;
  }

  #findInZone(query: Query, zone: Zone): EndpointFinding {
    if (query.nameEnd - query.nameStart === zone.nameOctets) return findAtApex(query.qtype, zone);
    if (this.#statusNames.exact(query) === undefined) return zone.nxDomain;
    // RFC 8482 section 4.1: the answer to ANY may be a part of the records; here it is all of them
    const isText = query.qtype === TYPE.TXT || query.qtype === TYPE.ANY;
    return isText ? zone.status : zone.apex.noData;
  }
}

function findAtApex(qtype: number, zone: Zone): EndpointFinding {
  // no address known yet: SERVFAIL, so that a client asks its second server
  if (zone.record.addresses.length === 0 && qtype !== TYPE.DS) return NOT_READY;
  return findAt(zone.apex, qtype);
}

function findAt({ byType, noData }: ApexFindings, qtype: number): EndpointFinding {
  return byType.get(qtype) ?? noData;
}

const servedTexts = new WeakMap<EndpointRecord, string>();

/**
 * The values of a record that answers are composed from. A confirmation changes none of them. Cluster and Region are among
 * them, because the text at `_status` is found by them.
 */
function servedText(record: EndpointRecord): string {
  const known = servedTexts.get(record);
  if (known !== undefined) return known;
  const { cluster, region, ttlSeconds, changedAtMs, addresses } = record;
  const names = NAMES_IN_ORDER.map((namesOf) => namesOf(record));
  const served = addresses.map(({ address, isLast }) => (isLast === true ? `${address} last` : address));
  const text = JSON.stringify([cluster, region, names, ttlSeconds, changedAtMs, served]);
  servedTexts.set(record, text);
  return text;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, at) => text === other[at]);
}

function zoneOf(record: EndpointRecord, endpoint: string): Zone {
  const { ttlSeconds } = record;
  // seconds since 1970 of the last change: grows with every change as long as the clock does
  const serial = Math.floor((record.changedAtMs ?? 0) / 1000) >>> 0;
  const answers = apexAnswers(endpoint, ttlSeconds, serial);
  const a: EndpointFinding = { kind: 'answer', answer: addressAnswer(record, endpoint), record };
  return {
    nameOctets: nameToWire(endpoint).length,
    record,
    apex: apexFindings(answers, [
      [TYPE.A, a],
      [TYPE.DS, { kind: 'answer', answer: answers.noData, isParents: true }],
    ]),
    nxDomain: { kind: 'answer', answer: answers.noName },
    status: { kind: 'status', record, name: endpoint },
  };
}

function apexFindings(
  { soa, ns, hinfo, noData }: ApexAnswers,
  more: readonly (readonly [type: number, finding: EndpointFinding])[],
): ApexFindings {
  const own = [
    [TYPE.SOA, { kind: 'answer', answer: soa }],
    [TYPE.NS, { kind: 'answer', answer: ns }],
    [TYPE.ANY, { kind: 'answer', answer: hinfo }],
  ] as const;
  return {
    byType: new Map<number, EndpointFinding>([...own, ...more]),
    noData: { kind: 'answer', answer: noData },
  };
}

/**
 * A reverse name of ours is the apex of a zone without other names. Composes its answers at the first query: a table is built
 * with each change, and reverse names are seldom asked for.
 */
class ReverseName {
  readonly #name: string;
  readonly #targets: readonly string[];
  readonly #ttlSeconds: number;
  #found: Reverse | undefined;

  constructor(name: string, targets: readonly string[], ttlSeconds: number) {
    this.#name = name;
    this.#targets = targets;
    this.#ttlSeconds = ttlSeconds;
  }

  get found(): Reverse {
    if (this.#found !== undefined) return this.#found;
    const name = this.#name;
    const ttlSeconds = this.#ttlSeconds;
    const answers = apexAnswers(name, ttlSeconds);
    const pointers = this.#targets.map(
      (target) => ({ owner: name, ttlSeconds, type: 'PTR', target }) as const,
    );
    const ptr = composeLocalAnswer({ name, answers: pointers });
    this.#found = {
      apex: apexFindings(answers, [[TYPE.PTR, { kind: 'answer', answer: ptr }]]),
      above: { kind: 'above', answer: answers.noData },
    };
    return this.#found;
  }
}

/** Whether the text is a name: a name of nearly 255 octets has no room for another label. */
function isName(text: string): boolean {
  try {
    nameToWire(text);
    return true;
  } catch (error) {
    if (error instanceof NameError) return false;
    throw error;
  }
}

/** The only place where the journeys of queries and of records meet: one assignment of an immutable table. */
export class ServingTable {
  #current = EndpointTable.empty;

  get current(): EndpointTable {
    return this.#current;
  }

  publish(next: EndpointTable): void {
    this.#current = next;
  }
}

/** The text at `_status` changes every second; a resolver in between may keep it for this long. */
const STATUS_TTL_SECONDS = 5;

/** The addresses. AAAA and the like are NODATA: musl takes NXDOMAIN as "no such name". */
function addressAnswer({ addresses, ttlSeconds }: EndpointRecord, endpoint: string): LocalAnswer {
  const first = addresses.filter(({ isLast }) => isLast !== true);
  const last = addresses.filter(({ isLast }) => isLast === true);
  return composeLocalAnswer({
    name: endpoint,
    answers: [...first, ...last].map(({ address }) => ({ owner: endpoint, ttlSeconds, type: 'A', address })),
    // Go dials in this order and divides its time among the addresses: a dead address in front costs seconds
    rotated: first.length === 0 ? last.length : first.length,
  });
}

/** The TXT at `_status.<endpoint>`; each of `strings` is at most 255 octets. */
export function composeStatusAnswer(endpoint: string, strings: readonly string[]): LocalAnswer {
  const owner = `${STATUS_LABEL}.${endpoint}`;
  const answer: ResourceRecord = { owner, ttlSeconds: STATUS_TTL_SECONDS, type: 'TXT', strings };
  return composeLocalAnswer({ name: owner, answers: [answer] });
}
