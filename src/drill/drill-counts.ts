/** Counts the queries that an outage would have hurt, while a drill runs. Keeps the counts until the next drill. */
import type { Query } from '../protocol/wire/query.ts';
import { TYPE, typeFromText, typeName } from '../protocol/words/codes.ts';
import { isAtOrUnder } from '../protocol/words/name.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';

/** Names with types, and endpoints, that have a count of their own; all others share one count. */
const MAX_NAMES = 1_000;

export interface AskedName {
  /** A domain name as text. */
  readonly name: string;
  /** The mnemonic of the type. */
  readonly type: string;
  readonly queries: number;
}

interface AskedNames {
  readonly queries: number;
  /** Most queries first, then by name and type. */
  readonly names: readonly AskedName[];
  /** Queries for names beyond those that are listed. */
  readonly otherQueries: number;
}

interface AnsweredEndpoint {
  readonly endpoint: string;
  readonly answers: number;
}

export interface DrillImpact {
  /** Queries without any answer. */
  readonly failed: AskedNames;
  /** Queries answered with expired records. */
  readonly stale: AskedNames;
  /** Queries for endpoints, which a cut does not touch. */
  readonly endpoints: readonly AnsweredEndpoint[];
}

/** Counts what a drill shows. The methods are called on the path of a query, and return at once while no drill runs. */
export class DrillCounts {
  isCollecting = false;
  #failed = new HeavyHitters(MAX_NAMES);
  #stale = new HeavyHitters(MAX_NAMES);
  #endpoints = new HeavyHitters(MAX_NAMES);

  /** Starts again from zero. */
  begin(): void {
    this.#failed = new HeavyHitters(MAX_NAMES);
    this.#stale = new HeavyHitters(MAX_NAMES);
    this.#endpoints = new HeavyHitters(MAX_NAMES);
    this.isCollecting = true;
  }

  end(): void {
    this.isCollecting = false;
  }

  /** `query` got SERVFAIL, or the answer that a rule has for a cut. Keeps no reference to it. */
  noteFailed(query: Query): void {
    if (this.isCollecting) this.#failed.count(keyOf(query));
  }

  /** `query` got an expired answer. Keeps no reference to it. */
  noteStale(query: Query): void {
    if (this.isCollecting) this.#stale.count(keyOf(query));
  }

  /** A query got the addresses of `record`. */
  noteEndpoint({ cluster, region, endpoint }: Pick<EndpointRecord, 'cluster' | 'region' | 'endpoint'>): void {
    if (this.isCollecting)
      this.#endpoints.count(endpoint ?? (region === undefined ? cluster : `${cluster} (${region})`));
  }

  read(): DrillImpact {
    return {
      failed: askedNames(this.#failed.read()),
      stale: askedNames(this.#stale.read()),
      endpoints: this.#endpoints.read().kept.map(({ key, count }) => ({ endpoint: key, answers: count })),
    };
  }
}

/** A name has its spaces escaped: the type follows the last space. */
function keyOf(query: Query): string {
  return `${query.nameText()} ${typeName(query.qtype)}`;
}

function askedNames({ kept, others }: HeavyHittersReading): AskedNames {
  const names = kept.map(({ key, count }) => {
    const space = key.lastIndexOf(' ');
    return { name: key.slice(0, space), type: key.slice(space + 1), queries: count };
  });
  const queries = names.reduce((sum, name) => sum + name.queries, others);
  return { queries, names, otherQueries: others };
}

/** A name needs this many queries before the report advises to retain it: a single query may be a typing error. */
const MIN_ASKED = 2;
const REVERSE_SUFFIXES = ['in-addr.arpa', 'ip6.arpa'];

export interface RetainAdvice {
  readonly name: string;
  /** The types that were asked for, in alphabetical order. */
  readonly types: readonly string[];
  /** How often clients asked for the name: A and AAAA of one client lookup count once. */
  readonly asked: number;
}

/** A question that is retained; `name` in normal form. */
export interface RetainedQuestionName {
  readonly name: string;
  readonly qtype: number;
}

/** Clients need no answer of these types once they have an address; ANY is no type of a record. */
const DISPENSABLE = new Set<number | undefined>([TYPE.HTTPS, TYPE.SVCB, TYPE.ANY, undefined]);

/**
 * Names to add to `retain`: names that clients asked for and that a real outage would take away. Most wanted first, then by
 * name.
 *
 * @param byPolicy which of these names a rule fails on purpose
 * @param retained questions that are retained already
 */
export function retainAdvice(
  { failed, stale }: DrillImpact,
  byPolicy: (names: readonly string[]) => (name: string) => boolean,
  retained: readonly RetainedQuestionName[],
): readonly RetainAdvice[] {
  const kept = new Set(retained.map(({ name, qtype }) => `${name} ${qtype}`));
  const wanted = new Map<string, Map<string, number>>();
  const asked = [...failed.names, ...stale.names];
  const isByPolicy = byPolicy(asked.map(({ name }) => name));
  for (const { name, type, queries } of asked) {
    if (name === '.' || isByPolicy(name) || isReverse(name)) continue;
    const qtype = typeFromText(type);
    if (DISPENSABLE.has(qtype) || kept.has(`${name} ${qtype}`)) continue;
    const types = wanted.get(name) ?? new Map<string, number>();
    types.set(type, (types.get(type) ?? 0) + queries);
    wanted.set(name, types);
  }
  return [...wanted]
    .map(([name, types]) => ({ name, types: [...types.keys()].sort(), asked: Math.max(...types.values()) }))
    .filter(({ asked }) => asked >= MIN_ASKED)
    .sort((a, b) => b.asked - a.asked || compare(a.name, b.name));
}

function isReverse(name: string): boolean {
  return REVERSE_SUFFIXES.some((suffix) => isAtOrUnder(name, suffix));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

// Counts by key in bounded memory: the Space-Saving scheme (Metwally, Agrawal, El Abbadi 2005). With room for m keys,
// every key that makes up more than one m-th of all counts is kept. A flood of random names cannot push out a name
// that clients ask for often. A new key takes the place of a key with the lowest rank and inherits that rank. The
// rank only decides which key leaves next. The reported count of a key counts from the time when the key came in; all
// keys that left share one count. So the sum is always right.

interface Entry {
  readonly key: string;
  count: number;
  /** The count plus the inherited rank: never less than all that was ever counted of the key. */
  rank: number;
}

interface HeavyHittersReading {
  /** Highest count first, then by key. */
  readonly kept: readonly { readonly key: string; readonly count: number }[];
  /** Counts of keys that were not kept. */
  readonly others: number;
}

export class HeavyHitters {
  readonly #room: number;
  readonly #entries = new Map<string, Entry>();
  /** The entries of each rank, to find the lowest without a search. */
  readonly #ranks = new Map<number, Set<Entry>>();
  #lowest = 1;
  #others = 0;

  constructor(room: number) {
    this.#room = room;
  }

  count(key: string): void {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.count++;
      this.#raise(known);
    } else if (this.#entries.size < this.#room) {
      this.#add({ key, count: 1, rank: 1 });
      this.#lowest = 1;
    } else {
      const leaving = this.#takeLowest();
      this.#add({ key, count: 1, rank: leaving.rank + 1 });
      this.#others += leaving.count;
      if (!this.#ranks.has(this.#lowest)) this.#lowest++;
    }
  }

  read(): HeavyHittersReading {
    const kept = [...this.#entries.values()]
      .map(({ key, count }) => ({ key, count }))
      .sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
    return { kept, others: this.#others };
  }

  #raise(entry: Entry): void {
    this.#leaveRank(entry);
    // the entry moves up by one rank, so its new rank is now the lowest
    if (entry.rank === this.#lowest && !this.#ranks.has(entry.rank)) this.#lowest++;
    entry.rank++;
    this.#joinRank(entry);
  }

  #add(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    this.#joinRank(entry);
  }

  /** The entry that has had the lowest rank for the longest time. */
  #takeLowest(): Entry {
    for (const entry of this.#ranks.get(this.#lowest) ?? []) {
      this.#entries.delete(entry.key);
      this.#leaveRank(entry);
      return entry;
    }
    throw new Error('a table that is full has a lowest rank');
  }

  #joinRank(entry: Entry): void {
    const others = this.#ranks.get(entry.rank);
    if (others === undefined) this.#ranks.set(entry.rank, new Set([entry]));
    else others.add(entry);
  }

  #leaveRank(entry: Entry): void {
    const others = this.#ranks.get(entry.rank);
    others?.delete(entry);
    if (others?.size === 0) this.#ranks.delete(entry.rank);
  }
}
