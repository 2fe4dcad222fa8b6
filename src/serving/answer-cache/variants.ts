/**
 * Holds the answers for one question, asked with and without DO and CD. Chooses the variant that answers a query when the server
 * asks no upstream.
 *
 * - Any variant answers a query with CD, and a variant without CD answers any query: an answer that an upstream gave as good is
 *   good without checking, too.
 * - A variant with CD was not validated (RFC 4035 section 3.2.2). It answers a query without CD where its AD bit says that
 *   it was validated, and in a cut, when no upstream can validate. While an upstream could validate, a SERVFAIL
 *   may mean that the data are bogus, and they are not given.
 * - A query without DO gets no authenticating records that it did not ask for (RFC 4035 section 3.2.1). A query with DO may
 *   get an answer without them: a client that validates refuses it, and all others have their answer.
 * - AD is passed on as in every answer (protocol/wire/reply.ts): it stays true when records are left out.
 */

import { LRUCache } from 'lru-cache';
import { FLAG, questionKey } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { hasProofs, withoutProofs } from '../../protocol/wire/reply.ts';
import { sizeOf } from './answer-record.ts';
import {
  answerWhileStale,
  type CachedAnswer,
  type FreshnessSettings,
  freshGiven,
  freshness,
  type GivenAnswer,
  newAnswer,
  type StaleSettings,
  staleGiven,
} from './cached-answer.ts';

interface FoundVariant {
  readonly kept: CachedAnswer;
  readonly given: GivenAnswer;
}

/**
 * Octets of answers made fit lately: in a cut the same names are asked for repeatedly. They count beside `cache.size`, which
 * knows nothing of them.
 */
const FITTED_OCTETS = 2 * 1024 * 1024;

export class Variants {
  readonly #peek: (query: Query, key: number) => CachedAnswer | undefined;
  /** By serial number. */
  readonly #fitted = new LRUCache<number, CachedAnswer>({ maxSize: FITTED_OCTETS, sizeCalculation: sizeOf });
  /** The best variant so far, while `best` goes through the variants. A field saves an object for each call. */
  #says: CachedAnswer | undefined;
  #isFresh = false;
  #rank = 0;

  /** `peek` gives what is kept under a key for the query's question, as an object of its own. */
  constructor(peek: (query: Query, key: number) => CachedAnswer | undefined) {
    this.#peek = peek;
  }

  /** The best variant that this query may have; `isCut`: no upstream can be asked. */
  best(query: Query, nowMs: number, isCut: boolean, settings: StaleSettings): FoundVariant | undefined {
    const { nameHash, qtype, qclass, dnssecOk, checkingDisabled } = query;
    let best: CachedAnswer | undefined;
    for (let variant = 0; variant < 4; variant++) {
      // the query's own first
      const hasDo = (variant & 1) === 0 ? dnssecOk : !dnssecOk;
      const hasCd = (variant & 2) === 0 ? checkingDisabled : !checkingDisabled;
      const kept = this.#peek(query, questionKey(nameHash, qtype, qclass, hasDo, hasCd));
      if (kept === undefined || !mayAnswer(kept, query, isCut)) continue;
      if (this.#isBetter(kept, best, query, nowMs, settings)) best = kept;
    }
    if (best === undefined || this.#says === undefined) return undefined;
    const answer = this.#fit(this.#says, query);
    if (answer === undefined) return undefined;
    return { kept: best, given: this.#isFresh ? freshGiven(answer, nowMs) : staleGiven(answer, settings) };
  }

  /**
   * Compares with the best so far, and notes what the better variant says: itself, or the good answer before a denial that has
   * expired. The order: a denial that has expired comes last, because it may have been the first sign of a cut. With DO,
   * signed answers come before unsigned answers, because a client that validates can use no other. Then fresh comes before
   * stale, and newer before older.
   */
  #isBetter(
    kept: CachedAnswer,
    best: CachedAnswer | undefined,
    query: Query,
    nowMs: number,
    settings: FreshnessSettings,
  ): boolean {
    const state = freshness(kept, nowMs, settings);
    if (state === 'expired') return false;
    const isFresh = state !== 'stale';
    const says = isFresh ? kept : answerWhileStale(kept, nowMs, settings);
    const rank =
      (isFresh || says.kind !== 'nxdomain' ? 4 : 0) +
      (query.dnssecOk && hasProofs(says.octets, says.index) ? 2 : 0) +
      (isFresh ? 1 : 0);
    const isNewer = best !== undefined && says.storedAtMs > (this.#says?.storedAtMs ?? 0);
    const isBetter = best === undefined || rank > this.#rank || (rank === this.#rank && isNewer);
    if (!isBetter) return false;
    this.#says = says;
    this.#isFresh = isFresh;
    this.#rank = rank;
    return true;
  }

  /** The answer as this query may have it; `undefined` where the rest would be no answer. */
  #fit(answer: CachedAnswer, query: Query): CachedAnswer | undefined {
    if (query.dnssecOk || !answer.dnssecOk) return answer;
    const known = this.#fitted.get(answer.serial);
    if (known !== undefined) return known;
    const rest = withoutProofs(answer);
    if (rest === undefined) return undefined;
    const { key, kind, lifetimeMs, storedAtMs } = answer;
    const parts = { kind, lifetimeMs, earlier: undefined, ...rest };
    const fitted = rest.octets === answer.octets ? answer : newAnswer(key, answer, parts, storedAtMs);
    this.#fitted.set(answer.serial, fitted);
    return fitted;
  }
}

function mayAnswer(answer: CachedAnswer, query: Query, isCut: boolean): boolean {
  if (!answer.checkingDisabled || query.checkingDisabled) return true;
  return isCut || (answer.index.flags & FLAG.AD) !== 0;
}
