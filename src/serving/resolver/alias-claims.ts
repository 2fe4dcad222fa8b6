/** Decides who answers for the target of an alias in an upstream's answer: this upstream, or this server. */
import type { AliasNote } from '../../protocol/wire/alias-chain.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { Route, Turn } from '../turn.ts';
import type { ResolverDeps } from './resolver-deps.ts';

export const CLAIM = {
  /** Only that upstream. */
  none: 0,
  /** Only that upstream at this moment; an outage or a new answer could change this. */
  perhaps: 1,
  /** This server, because it knows better. */
  ours: 2,
} as const;
export type Claim = (typeof CLAIM)[keyof typeof CLAIM];

/** The answer that has the target. */
export interface AliasAnswer {
  readonly isStale: boolean;
  /** It has records of the type asked for. */
  readonly isPositive: boolean;
  /** The upstreams that gave it. */
  readonly route: Route;
}

/** No retained name can change a positive answer. */
const ANY_RETAINED = -2;

export class AliasClaims {
  readonly #deps: ResolverDeps;
  /** The tables of the last answer, and their number: a kept answer remembers the number, or it would keep old tables alive. */
  #endpoints: unknown;
  #rules: unknown;
  #tables = 0;

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  /** Remembers with an answer that only its upstream answers for every target in it. */
  clear(aliases: AliasNote | undefined, isPositive: boolean): void {
    if (aliases === undefined) return;
    aliases.clearAtTables = this.#tablesNow();
    aliases.clearAtRetained = isPositive ? ANY_RETAINED : this.#deps.cache.retainedRevision;
  }

  /** Whether that is known of a fresh answer, and still true. */
  isClear({ aliases, extendedError }: Turn): boolean {
    if (aliases === undefined || aliases.isOpen || extendedError !== undefined) return false;
    const { clearAtTables, clearAtRetained } = aliases;
    if (clearAtTables !== this.#tablesNow()) return false;
    return clearAtRetained === ANY_RETAINED || clearAtRetained === this.#deps.cache.retainedRevision;
  }

  /** In the order of the resolver's steps. */
  claim(target: Query, { isStale, isPositive, route }: AliasAnswer): Claim {
    const { endpoints, rules, upstreams } = this.#deps;
    const { localZones, disconnected, defaultRoute } = rules;
    const own = endpoints.current.find(target);
    if (own !== undefined && (own.kind === 'answer' || own.kind === 'status')) return CLAIM.ours;
    const rule = localZones.findRule(target);
    if (rule !== undefined && rule.kind !== 'forward') return CLAIM.ours;
    // other servers than those that gave the answer may know the name that those denied
    const isElsewhere = rule !== undefined && rule.route !== route;
    const isDoubtful = isStale || !isPositive;
    if (isElsewhere && isDoubtful) return CLAIM.ours;
    const found = disconnected.find(target);
    const hasRule =
      found.kind !== 'stale' &&
      (found.standing === 'before-cache' || (found.standing === 'before-stale' && isStale));
    if (!hasRule && !isDoubtful) return CLAIM.none;
    const isCut = upstreams.isCut(target, rule?.route ?? defaultRoute);
    if (hasRule && isCut) return CLAIM.ours;
    if (isDoubtful && this.#hasBetter(target, isStale, isCut)) return CLAIM.ours;
    return hasRule ? CLAIM.perhaps : CLAIM.none;
  }

  /** Whether a retained name says more than a denial, or a kept answer is fresh while the upstream's answer is stale. */
  #hasBetter(target: Query, isStale: boolean, isCut: boolean): boolean {
    const { cache, clock } = this.#deps;
    const given = cache.peekAny(target, clock.monotonicMs(), isCut);
    if (given?.answer.kind !== 'positive') return false;
    return given.answer.isRetained || (isStale && given.extendedError === undefined);
  }

  #tablesNow(): number {
    const { endpoints, rules } = this.#deps;
    if (endpoints.current !== this.#endpoints || rules !== this.#rules) {
      this.#endpoints = endpoints.current;
      this.#rules = rules;
      this.#tables++;
    }
    return this.#tables;
  }
}
