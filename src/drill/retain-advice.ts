/** What to add to `retain` after a drill: names that a real outage would take away, and that somebody wants. Pure. */
import { isAtOrUnder } from '../protocol/words/name.ts';
import { TYPE, typeFromText } from '../protocol/words/types.ts';
import type { Hurt } from './drill-report.ts';

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
