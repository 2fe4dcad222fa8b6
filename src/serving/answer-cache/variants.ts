/**
 * The answers kept for one question as it was asked with and without DO and CD, and which of them answers a query when no
 * upstream is asked.
 *
 * - Any variant answers a query with CD, and a variant without CD answers any query: whatever an upstream gave as good is
 *   good without checking, too.
 * - A variant with CD was not validated (RFC 4035 section 3.2.2). It answers a query without CD where its AD bit says that
 *   it was validated all the same, and in a cut, when nobody can validate. While an upstream could validate, a SERVFAIL
 *   may mean that the data are bogus, and they are not given.
 * - A query without DO gets no authenticating records that it did not ask for (RFC 4035 section 3.2.1). A query with DO may
 *   get an answer without them: a client that validates refuses it, and all others have their answer.
 * - AD is passed on as for every answer (response-patch.ts): it stays true when records are left out.
 */
import { FLAG } from '../../protocol/wire/header.ts';
import { hasProofs, withoutProofs } from '../../protocol/wire/leave-out.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { keyOf } from './cache-key.ts';
import type { CachedAnswer } from './cached-answer.ts';
import {
  answerWhileStale,
  type FreshnessSettings,
  freshGiven,
  freshness,
  type GivenAnswer,
  staleGiven,
} from './freshness.ts';

export interface FoundVariant {
  readonly kept: CachedAnswer;
  readonly given: GivenAnswer;
}

export class Variants {
  readonly #peek: (query: Query, key: number) => CachedAnswer | undefined;

  /** `peek` gives what is kept under a key for the query's question. */
  constructor(peek: (query: Query, key: number) => CachedAnswer | undefined) {
    this.#peek = peek;
  }

  /** The best variant that this query may have; `isCut`: nobody can be asked. */
  best(
    query: Query,
    nowMs: number,
    isCut: boolean,
    settings: FreshnessSettings & { readonly staleTtlSeconds: number },
  ): FoundVariant | undefined {
    const found: Variant[] = [];
    for (const key of variantKeys(query)) {
      const kept = this.#peek(query, key);
      if (kept === undefined || !mayAnswer(kept, query, isCut)) continue;
      const state = freshness(kept, nowMs, settings);
      if (state === 'expired') continue;
      const isFresh = state !== 'stale';
      found.push({ kept, isFresh, says: isFresh ? kept : answerWhileStale(kept, nowMs, settings) });
    }
    if (found.length > 1) found.sort(byUse(query));
    for (const { kept, says, isFresh } of found) {
      const answer = fitted(says, query);
      if (answer === undefined) continue;
      return { kept, given: isFresh ? freshGiven(answer, nowMs) : staleGiven(answer, settings) };
    }
    return undefined;
  }
}

/** The keys of the four variants of a question, that of the query itself first. */
function variantKeys({ nameHash, qtype, qclass, dnssecOk, checkingDisabled }: Query): readonly number[] {
  return [
    keyOf(nameHash, qtype, qclass, dnssecOk, checkingDisabled),
    keyOf(nameHash, qtype, qclass, !dnssecOk, checkingDisabled),
    keyOf(nameHash, qtype, qclass, dnssecOk, !checkingDisabled),
    keyOf(nameHash, qtype, qclass, !dnssecOk, !checkingDisabled),
  ];
}

function mayAnswer(answer: CachedAnswer, query: Query, isCut: boolean): boolean {
  if (!answer.checkingDisabled || query.checkingDisabled) return true;
  return isCut || (answer.index.flags & FLAG.AD) !== 0;
}

/** A variant, and what it says at this moment: itself, or the good answer before a denial that has expired. */
interface Variant {
  readonly kept: CachedAnswer;
  readonly says: CachedAnswer;
  readonly isFresh: boolean;
}

/**
 * Sorts the better variant first: a denial that has expired last, because it may have been the first sign of a cut; with
 * DO, signed before unsigned, because a client that validates can use no other; fresh before stale; newer before older.
 */
function byUse(query: Query): (one: Variant, other: Variant) => number {
  const rank = ({ says, isFresh }: Variant): number =>
    (isFresh || says.kind !== 'nxdomain' ? 4 : 0) +
    (query.dnssecOk && hasProofs(says.octets, says.index) ? 2 : 0) +
    (isFresh ? 1 : 0);
  return (one, other) => rank(other) - rank(one) || other.says.storedAtMs - one.says.storedAtMs;
}

/** The answer as this query may have it; `undefined` where it cannot be had without what must be left out. */
function fitted(answer: CachedAnswer, query: Query): CachedAnswer | undefined {
  if (query.dnssecOk || !answer.dnssecOk) return answer;
  const rest = withoutProofs(answer);
  if (rest === undefined) return undefined;
  return rest.octets === answer.octets ? answer : { ...answer, ...rest };
}
