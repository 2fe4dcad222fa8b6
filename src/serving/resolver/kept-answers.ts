/** Holds the steps that answer from stored answers of upstreams: retained names, fresh answers, expired answers. */

import type { Query } from '../../protocol/wire/query.ts';
import { writeEmptyReply } from '../../protocol/wire/reply.ts';
import { type TtlPatch, writePatchedReply } from '../../protocol/wire/response-patch.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import {
  ageSeconds,
  type CachedAnswer,
  freshness,
  type GivenAnswer,
  mayRecheck,
} from '../answer-cache/cached-answer.ts';
import { type GivenOctets, PASS, type Route, type Turn } from '../turn.ts';
import type { FetchedAnswers } from './fetched-answers.ts';
import type { OwnAnswers } from './own-answers.ts';
import type { ResolverDeps } from './resolver-deps.ts';

export class KeptAnswers {
  readonly #deps: ResolverDeps;
  readonly #own: OwnAnswers;
  readonly #fetched: Pick<FetchedAnswers, 'prefetch'>;
  /** Filled in for each reply, so that a cache hit makes no object. */
  readonly #age = { ageSeconds: 0 };
  readonly #patch: Patch = {
    ttl: this.#age,
    extendedError: undefined,
    trustAuthenticatedData: false,
    limit: 0,
  };

  constructor(deps: ResolverDeps, own: OwnAnswers, fetched: Pick<FetchedAnswers, 'prefetch'>) {
    this.#deps = deps;
    this.#own = own;
    this.#fetched = fetched;
  }

  /** A retained name is kept fresh on a schedule: a client never waits for an upstream. */
  retained(turn: Turn): number {
    const { query, route, nowMs } = turn;
    const given = this.#deps.cache.giveRetained(query, nowMs) ?? this.#besideRetained(query, route, nowMs);
    if (given === undefined) return PASS;
    if (given === 'nodata' || this.#deniesRetainedName(query, given)) return writeNoData(turn);
    return this.give(turn, given);
  }

  /**
   * Whether to answer NODATA for another type of a retained name, because no upstream can be asked, or every upstream has
   * failed. musl takes a SERVFAIL or NXDOMAIN for AAAA as the failure of the whole search, and drops the A that it has.
   */
  isNoData(query: Query, route: Route, hasFailed = false): boolean {
    if (query.qtype === TYPE.ANY || !this.#deps.cache.hasRetainedRecordsOf(query)) return false;
    return hasFailed || this.#deps.upstreams.isCut(query, route);
  }

  fresh(turn: Turn): number {
    const { cache } = this.#deps;
    const { query, nowMs } = turn;
    const kept = cache.find(query, nowMs);
    const state = kept && freshness(kept, nowMs, cache.settings);
    if (kept === undefined || state === 'stale' || kept.kind === 'failure')
      return this.#withoutAsking(kept, turn);
    if (state === 'prefetch') this.#fetched.prefetch(query, kept, turn.route, nowMs);
    this.#age.ageSeconds = ageSeconds(kept, nowMs);
    return this.#write(turn, kept, this.#age, undefined);
  }

  /** Gives the expired answer that `fresh` left on the turn. */
  stale(turn: Turn): number {
    if (turn.stale === undefined) return PASS;
    this.#deps.outage.noteStale(turn.query);
    return this.give(turn, turn.stale);
  }

  /** Writes a reply from stored octets. */
  give(turn: Turn, { answer, ttl, extendedError }: GivenOctets): number {
    return this.#write(turn, answer, ttl, extendedError);
  }

  #write(
    turn: Turn,
    { octets, index }: { readonly octets: Uint8Array; readonly index: ResponseIndex },
    ttl: TtlPatch,
    extendedError: number | undefined,
  ): number {
    turn.aliases = index.aliases;
    turn.extendedError = extendedError;
    const patch = this.#patch;
    patch.ttl = ttl;
    patch.extendedError = extendedError;
    patch.trustAuthenticatedData = this.#deps.rules.trustAuthenticatedData;
    patch.limit = turn.limit;
    return writePatchedReply(turn.query, octets, index, patch, turn.space, turn.spaceStart);
  }

  /**
   * A name with records of another type exists: an NXDOMAIN beside them is out of date, or was made up in a cut. A denial
   * in place of records of its own type is passed on (see retained-answers.ts, which says when it is believed).
   */
  #deniesRetainedName(query: Query, { answer }: GivenAnswer): boolean {
    if (answer.kind !== 'nxdomain' || answer.earlier?.kind === 'positive') return false;
    return this.#deps.cache.hasRetainedRecordsOf(query);
  }

  #besideRetained(query: Query, route: Route, nowMs: number): GivenAnswer | 'nodata' | undefined {
    if (!this.isNoData(query, route)) return undefined;
    const given = this.#deps.cache.peekAny(query, nowMs, true);
    const isOfUse = given?.answer.kind === 'positive' || given?.answer.kind === 'nodata';
    return isOfUse ? given : 'nodata';
  }

  /**
   * Answers from an answer kept for the question with any DO and CD, where no upstream is to be asked. An expired answer is
   * left on the turn for `stale`.
   */
  #withoutAsking(own: CachedAnswer | undefined, turn: Turn): number {
    const { cache, upstreams } = this.#deps;
    const { query, nowMs } = turn;
    const isCut = upstreams.isCut(query, turn.route);
    const failure = own?.kind === 'failure' ? own : undefined;
    const isAskedBefore = own !== undefined && (failure !== undefined || !mayRecheck(own, nowMs));
    if (query.recursionDesired && !isCut && !isAskedBefore) return PASS;
    const given = cache.findAny(query, nowMs, isCut);
    if (given === undefined) return failure === undefined ? PASS : this.#failed(turn, failure, isCut);
    if (given.extendedError === undefined) return this.give(turn, given);
    turn.stale = given;
    return PASS;
  }

  #failed(turn: Turn, failure: CachedAnswer, isCut: boolean): number {
    const { query } = turn;
    // a remembered failure must not hide an answer that needs no upstream
    if (isCut && this.#deps.rules.disconnected.find(query).kind !== 'stale') return PASS;
    if (isCut && this.#own.isSearchLeak(query, turn.route)) return PASS;
    this.#own.noteFailed(query);
    const extendedError = isCut ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
    return this.#write(turn, failure, JUST_NOW, extendedError);
  }
}

/** Writes a reply without a record of the type. The reply has no SOA, so that no cache keeps it (RFC 2308 section 5). */
export function writeNoData({ query, space, spaceStart }: Turn): number {
  return writeEmptyReply(query, RCODE.NOERROR, EXTENDED_ERROR.STALE_ANSWER, space, spaceStart);
}

const JUST_NOW: TtlPatch = { ageSeconds: 0 };

interface Patch {
  ttl: TtlPatch;
  extendedError: number | undefined;
  trustAuthenticatedData: boolean;
  limit: number;
}
