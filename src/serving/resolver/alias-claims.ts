/** Who answers for a name that stands as an alias target in an answer of an upstream: that upstream, or this server. */
import type { AliasNote } from '../../protocol/wire/alias-chain.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import { type Around, CLAIM, type Claim } from './alias-follower.ts';
import type { Later } from './later-answers.ts';
import type { OwnRules } from './own-answers.ts';
import type { ReplySpace } from './step.ts';

export interface AliasClaimsOptions<Route> {
  readonly endpoints: ServingTable;
  readonly cache: AnswerCache;
  readonly later: Pick<Later<Route>, 'isCut'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** No retained name can change what a positive answer says. */
const ANY_RETAINED = -2;

export class AliasClaims<Route> {
  readonly #options: AliasClaimsOptions<Route>;
  /** The tables of the last answer, and their number: a kept answer remembers the number, or it would keep old tables alive. */
  #endpoints: unknown;
  #rules: unknown;
  #tables = 0;

  constructor(options: AliasClaimsOptions<Route>) {
    this.#options = options;
  }

  /** Remembers with an answer that nobody else answers for any target in it. */
  clear(aliases: AliasNote | undefined, isPositive: boolean, rules: OwnRules<Route>): void {
    if (aliases === undefined) return;
    aliases.clearAtTables = this.#tablesNow(rules);
    aliases.clearAtRetained = isPositive ? ANY_RETAINED : this.#options.cache.retainedRevision;
  }

  /** Whether that is known of a fresh answer, and still true. */
  isClear({ aliases, extendedError }: ReplySpace, rules: OwnRules<Route>): boolean {
    if (aliases === undefined || aliases.isOpen || extendedError !== undefined) return false;
    const { clearAtTables, clearAtRetained } = aliases;
    if (clearAtTables !== this.#tablesNow(rules)) return false;
    return clearAtRetained === ANY_RETAINED || clearAtRetained === this.#options.cache.retainedRevision;
  }

  #tablesNow(rules: OwnRules<Route>): number {
    const { current } = this.#options.endpoints;
    if (current !== this.#endpoints || rules !== this.#rules) {
      this.#endpoints = current;
      this.#rules = rules;
      this.#tables++;
    }
    return this.#tables;
  }

  /** `route` is where the answer came from. The order is that of the resolver's steps. */
  claim(target: Query, { isStale, isPositive }: Around, rules: OwnRules<Route>, route: Route): Claim {
    const { localZones, disconnected, defaultRoute } = rules;
    const own = this.#options.endpoints.current.find(target);
    if (own !== undefined && (own.kind === 'answer' || own.kind === 'status')) return CLAIM.ours;
    const rule = localZones.findRule(target);
    if (rule !== undefined && rule.kind !== 'forward') return CLAIM.ours;
    // other servers than those that gave the answer may know what those denied
    const isElsewhere = rule !== undefined && rule.route !== route;
    const isDoubtful = isStale || !isPositive;
    if (isElsewhere && isDoubtful) return CLAIM.ours;
    const spoken = disconnected.find(target);
    const isSpoken =
      spoken.kind !== 'stale' &&
      (spoken.standing === 'before-cache' || (spoken.standing === 'before-stale' && isStale));
    if (!isSpoken && !isDoubtful) return CLAIM.none;
    const isCut = this.#options.later.isCut(target, rule?.route ?? defaultRoute);
    if (isSpoken && isCut) return CLAIM.ours;
    if (isDoubtful && this.#hasBetter(target, isStale, isCut)) return CLAIM.ours;
    return isSpoken ? CLAIM.perhaps : CLAIM.none;
  }

  /** Whether a retained name says more than a denial, or any kept answer is fresh beside a stale one. */
  #hasBetter(target: Query, isStale: boolean, isCut: boolean): boolean {
    const { cache, clock } = this.#options;
    const given = cache.peekAny(target, clock.monotonicMs(), isCut);
    if (given?.answer.kind !== 'positive') return false;
    return given.answer.isRetained || (isStale && given.extendedError === undefined);
  }
}
