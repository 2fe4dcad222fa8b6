/** The steps that answer from what upstreams said before: what the operator retains, what is fresh, what is stale. */
import { writeEmptyReply } from '../../protocol/wire/error-reply.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { type TtlPatch, writePatchedReply } from '../../protocol/wire/response-patch.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { CachedAnswer } from '../answer-cache/cached-answer.ts';
import { ageSeconds, freshness, type GivenAnswer, mayRecheck } from '../answer-cache/freshness.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { Later, LaterAnswers } from './later-answers.ts';
import type { OutageNotes } from './outage-notes.ts';
import { PASS, type ReplySpace } from './step.ts';

export interface KeptAnswersOptions<Route> {
  readonly cache: AnswerCache;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly later: Pick<Later<Route>, 'isCut'>;
  readonly outage: OutageNotes;
  /** Whether a name is denied because it comes from a search list. */
  readonly isSearchLeak: (query: Query, route: Route) => boolean;
}

export interface KeptAnswersRules {
  readonly disconnected: DisconnectedRules;
  readonly trustAuthenticatedData: boolean;
}

export class KeptAnswers<Route> {
  readonly #options: KeptAnswersOptions<Route>;
  readonly #later: Pick<LaterAnswers<Route>, 'prefetch'>;
  /** The expired answer that `fresh` found, to be given by `stale` if no step between them answers. */
  #stale: GivenAnswer | undefined;
  /** When `retained` was asked: the two that are asked next do not look at the clock again. */
  #nowMs = 0;
  /** Filled in anew for each reply, so that none needs objects of its own. */
  readonly #age = { ageSeconds: 0 };
  readonly #patch: Patch = {
    ttl: this.#age,
    extendedError: undefined,
    trustAuthenticatedData: false,
    limit: 0,
  };

  constructor(options: KeptAnswersOptions<Route>, later: Pick<LaterAnswers<Route>, 'prefetch'>) {
    this.#options = options;
    this.#later = later;
  }

  /** Whoever retains it keeps it fresh: a client never waits for an upstream. */
  retained(query: Query, route: Route, rules: KeptAnswersRules, reply: ReplySpace): number {
    const { cache, clock } = this.#options;
    this.#nowMs = clock.monotonicMs();
    const given = cache.giveRetained(query, this.#nowMs) ?? this.#beside(query, route, this.#nowMs);
    if (given === undefined) return PASS;
    if (given === 'nodata' || this.#deniesRetainedName(query, given))
      return writeNoData(query, reply.octets, reply.start);
    return this.#write(query, given.answer, given.ttl, given.extendedError, rules, reply);
  }

  /**
   * Whether to say of another type of a retained name that there is none, because no upstream can be asked, or every
   * upstream that was asked has failed: musl takes a SERVFAIL or NXDOMAIN for AAAA as the failure of the whole query, and
   * drops the A that it has.
   */
  isNoData(query: Query, route: Route, hasFailed = false): boolean {
    const { cache, later } = this.#options;
    if (query.qtype === TYPE.ANY || !cache.hasRetainedRecordsOf(query)) return false;
    return hasFailed || later.isCut(query, route);
  }

  /**
   * A name that has records of another type exists: an NXDOMAIN beside them is out of date, or was made up in a cut. A
   * denial in place of records of its own type is passed on (see retained-answer.ts, which says when it is believed).
   */
  #deniesRetainedName(query: Query, { answer }: GivenAnswer): boolean {
    if (answer.kind !== 'nxdomain' || answer.earlier?.kind === 'positive') return false;
    return this.#options.cache.hasRetainedRecordsOf(query);
  }

  #beside(query: Query, route: Route, nowMs: number): GivenAnswer | 'nodata' | undefined {
    if (!this.isNoData(query, route)) return undefined;
    const given = this.#options.cache.peekAny(query, nowMs, true);
    const isOfUse = given?.answer.kind === 'positive' || given?.answer.kind === 'nodata';
    return isOfUse ? given : 'nodata';
  }

  fresh(query: Query, route: Route, rules: KeptAnswersRules, reply: ReplySpace): number {
    const { cache } = this.#options;
    const nowMs = this.#nowMs;
    const kept = cache.find(query, nowMs);
    const state = kept && freshness(kept, nowMs, cache.settings);
    if (kept === undefined || state === 'stale' || kept.kind === 'failure') {
      return this.#withoutAsking(kept, query, route, rules, reply);
    }
    if (state === 'prefetch') this.#later.prefetch(query, kept, route, nowMs);
    this.#age.ageSeconds = ageSeconds(kept, nowMs);
    return this.#write(query, kept, this.#age, undefined, rules, reply);
  }

  /** Where nobody is to be asked, answers from what is kept of the question with any DO and CD; `stale` gives what has expired. */
  #withoutAsking(
    own: CachedAnswer | undefined,
    query: Query,
    route: Route,
    rules: KeptAnswersRules,
    reply: ReplySpace,
  ): number {
    const { cache, later } = this.#options;
    const nowMs = this.#nowMs;
    this.#stale = undefined;
    const isCut = later.isCut(query, route);
    const failure = own?.kind === 'failure' ? own : undefined;
    const isAskedBefore = own !== undefined && (failure !== undefined || !mayRecheck(own, nowMs));
    if (query.recursionDesired && !isCut && !isAskedBefore) return PASS;
    const given = cache.findAny(query, nowMs, isCut);
    if (given === undefined)
      return failure === undefined ? PASS : this.#failed(query, failure, isCut, route, rules, reply);
    if (given.extendedError === undefined) {
      return this.#write(query, given.answer, given.ttl, undefined, rules, reply);
    }
    this.#stale = given;
    return PASS;
  }

  #failed(
    query: Query,
    failure: CachedAnswer,
    isCut: boolean,
    route: Route,
    rules: KeptAnswersRules,
    reply: ReplySpace,
  ): number {
    // a remembered failure must not hide what can be said of the name without its upstreams
    if (isCut && rules.disconnected.find(query).kind !== 'stale') return PASS;
    if (isCut && this.#options.isSearchLeak(query, route)) return PASS;
    this.#options.outage.noteFailed(query);
    const extendedError = isCut ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
    return this.#write(query, failure, JUST_NOW, extendedError, rules, reply);
  }

  stale(query: Query, rules: KeptAnswersRules, reply: ReplySpace): number {
    const given = this.#stale;
    if (given === undefined) return PASS;
    this.#options.outage.noteStale(query);
    return this.#write(query, given.answer, given.ttl, given.extendedError, rules, reply);
  }

  #write(
    query: Query,
    kept: CachedAnswer,
    ttl: TtlPatch,
    extendedError: number | undefined,
    { trustAuthenticatedData }: KeptAnswersRules,
    reply: ReplySpace,
  ): number {
    const { octets, start, limit } = reply;
    reply.aliases = kept.index.aliases;
    reply.extendedError = extendedError;
    const patch = this.#patch;
    patch.ttl = ttl;
    patch.extendedError = extendedError;
    patch.trustAuthenticatedData = trustAuthenticatedData;
    patch.limit = limit;
    return writePatchedReply(query, kept.octets, kept.index, patch, octets, start);
  }
}

/** Nothing of the type, for as long as it lasts: without SOA no cache keeps it (RFC 2308 section 5). */
export function writeNoData(query: Query, reply: Uint8Array, replyStart: number): number {
  return writeEmptyReply(query, RCODE.NOERROR, EXTENDED_ERROR.STALE_ANSWER, reply, replyStart);
}

const JUST_NOW: TtlPatch = { ageSeconds: 0 };

interface Patch {
  ttl: TtlPatch;
  extendedError: number | undefined;
  trustAuthenticatedData: boolean;
  limit: number;
}
