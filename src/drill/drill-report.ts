/** Who would have been hurt: collected while a drill runs, kept until the next one, told as plain data. */
import type { Query } from '../protocol/wire/query.ts';
import { isAtOrUnder } from '../protocol/words/name.ts';
import { TYPE, typeFromText, typeName } from '../protocol/words/types.ts';
import type { EndpointRecord } from '../records/endpoint-record.ts';
import { HeavyHitters, type HeavyHittersReading } from './heavy-hitters.ts';

/** Names, with types, and endpoints that are counted one by one; the rest is counted together. */
const MAX_NAMES = 1_000;

export interface AskedName {
  /** A domain name as text. */
  readonly name: string;
  /** The mnemonic of the type. */
  readonly type: string;
  readonly queries: number;
}

export interface AskedNames {
  readonly queries: number;
  /** Most queries first, then by name and type. */
  readonly names: readonly AskedName[];
  /** Queries for names beyond those that are listed. */
  readonly otherQueries: number;
}

export interface AnsweredEndpoint {
  readonly endpoint: string;
  readonly answers: number;
}

export interface Hurt {
  /** Queries that nothing could be answered to. */
  readonly failed: AskedNames;
  /** Queries that were answered from what had expired. */
  readonly stale: AskedNames;
  /** Queries that were answered as ever. */
  readonly endpoints: readonly AnsweredEndpoint[];
}

/** The hooks are called on the query path: while nothing is collected they return at once. */
export class DrillReport {
  isCollecting = false;
  #failed = new HeavyHitters(MAX_NAMES);
  #stale = new HeavyHitters(MAX_NAMES);
  #endpoints = new HeavyHitters(MAX_NAMES);

  /** Forgets what was collected before, and collects. */
  begin(): void {
    this.#failed = new HeavyHitters(MAX_NAMES);
    this.#stale = new HeavyHitters(MAX_NAMES);
    this.#endpoints = new HeavyHitters(MAX_NAMES);
    this.isCollecting = true;
  }

  end(): void {
    this.isCollecting = false;
  }

  /** `query` got SERVFAIL, or the answer that a rule has for names that cannot be looked up now. Keeps nothing of it. */
  noteFailed(query: Query): void {
    if (this.isCollecting) this.#failed.count(keyOf(query));
  }

  /** `query` got an answer that had expired. Keeps nothing of it. */
  noteStale(query: Query): void {
    if (this.isCollecting) this.#stale.count(keyOf(query));
  }

  /** A query got what `record` holds. */
  noteEndpoint({ cluster, region, endpoint }: Pick<EndpointRecord, 'cluster' | 'region' | 'endpoint'>): void {
    if (this.isCollecting)
      this.#endpoints.count(endpoint ?? (region === undefined ? cluster : `${cluster} (${region})`));
  }

  read(): Hurt {
    return {
      failed: askedNames(this.#failed.read()),
      stale: askedNames(this.#stale.read()),
      endpoints: this.#endpoints.read().kept.map(({ key, count }) => ({ endpoint: key, answers: count })),
    };
  }
}

/** A space is escaped in a name: what stands behind the last one is the type. */
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

/** What to add to `retain` after a drill: names that a real outage would take away, and that somebody wants. Pure. */
const REVERSE_SUFFIXES = ['in-addr.arpa', 'ip6.arpa'];
/** Asked once may be a slip of somebody's fingers. */
const MIN_ASKED = 2;

export interface RetainAdvice {
  readonly name: string;
  /** The types that were asked for, in alphabetical order. */
  readonly types: readonly string[];
  /** How often the name was asked for: A and AAAA of one look-up count once. */
  readonly asked: number;
}

/** A question that is retained; `name` in normal form. */
export interface RetainedQuestionName {
  readonly name: string;
  readonly qtype: number;
}

/** Clients do without what these types say, as long as they get an address; and ANY is no type to keep. */
const DISPENSABLE = new Set<number | undefined>([TYPE.HTTPS, TYPE.SVCB, TYPE.ANY, undefined]);

/** Most wanted first, then by name. `byPolicy` tells names that are meant to fail; what is retained is left out. */
export function retainAdvice(
  { failed, stale }: Hurt,
  byPolicy: (name: string) => boolean,
  retained: readonly RetainedQuestionName[],
): readonly RetainAdvice[] {
  const kept = new Set(retained.map(({ name, qtype }) => `${name} ${qtype}`));
  const wanted = new Map<string, Map<string, number>>();
  for (const { name, type, queries } of [...failed.names, ...stale.names]) {
    if (name === '.' || byPolicy(name) || isReverse(name)) continue;
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
