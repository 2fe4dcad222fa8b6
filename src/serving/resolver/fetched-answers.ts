/** Answers that are fetched first: forward the question, store the answer, and give a stored answer where none comes in time. */
import { FLAG } from '../../protocol/wire/message.ts';
import { ownQuery, type Query } from '../../protocol/wire/query.ts';
import { evenTtls, JUST_NOW, withoutProofs } from '../../protocol/wire/reply.ts';
import { isAboutName, isPositive, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { type CachedAnswer, capTtls } from '../answer-cache/cached-answer.ts';
import type { ForwardFailureReason } from '../forwarder/question.ts';
import {
  type GivenOctets,
  type Origin,
  type Reply,
  type Route,
  relay,
  type Turn,
  TurnRelay,
} from '../turn.ts';
import type { Fetched, ResolverDeps } from './resolver-deps.ts';

/** Octets to be patched, or SERVFAIL. */
export type FetchedAnswer =
  | { readonly origin: Exclude<Origin, 'failed'>; readonly given: GivenOctets }
  | { readonly origin: 'failed'; readonly extendedError: number | undefined };

/** RFC 8767 section 5, client response timer: how long a client waits for an answer fresher than the stored one. */
const CLIENT_RESPONSE_MS = 1_800;
/**
 * CoreDNS probes us with `. NS`, and counts any reply within 1 s as health. Without a reply about a dead upstream it would
 * give us up, and the endpoint with us.
 */
const PROBE_RESPONSE_MS = 500;

interface AnswerWriter {
  /** Writes the answer into the turn's reply space, and returns its octets. */
  write(turn: Turn, answer: FetchedAnswer): number;
  /** Whether `write` gives the client something better than a failure where the question fails. */
  hasSubstitute(query: Query, route: Route): boolean;
  /** Whether a search list made the question from a known name. */
  isSearchLeak(query: Query, route: Route): boolean;
}

export class FetchedAnswers {
  readonly #deps: ResolverDeps;
  readonly #writer: AnswerWriter;

  constructor(deps: ResolverDeps, writer: AnswerWriter) {
    this.#deps = deps;
    this.#writer = writer;
  }

  /** Answers a turn of its own, once, within a client's patience, perhaps at once. */
  answer(turn: Turn, reply: Reply): void {
    const { query, route } = turn;
    const { upstreams } = this.#deps;
    if (upstreams.isLoopProbe(query)) {
      upstreams.noteLoop(query);
      new TurnRelay(turn, reply, this.#send).send(failed(undefined));
      return;
    }
    if (this.#needsNoUpstream(query, route)) {
      const patienceMs = isHealthProbe(query) ? PROBE_RESPONSE_MS : CLIENT_RESPONSE_MS;
      const within = this.#within(patienceMs, query, route, new TurnRelay(turn, reply, this.#send));
      const stored = relay(within, (fetched: Fetched) => {
        turn.isFetched = true;
        within.send(this.#store(query, route, fetched));
      });
      upstreams.forwardTo(query, route, stored);
      return;
    }
    upstreams.forwardTo(query, route, new TurnRelay(turn, reply, this.#sendFetched));
  }

  /** Whether a client need not wait for the upstream as long as its answer may take. */
  #needsNoUpstream(query: Query, route: Route): boolean {
    if (isHealthProbe(query) || this.#storedAnswer(query, route) !== undefined) return true;
    return this.#writer.hasSubstitute(query, route);
  }

  readonly #send = (turn: Turn, reply: Reply, answer: FetchedAnswer): void => {
    const length = this.#writer.write(turn, answer);
    reply.send(turn.space.subarray(turn.spaceStart, turn.spaceStart + length));
  };

  readonly #sendFetched = (turn: Turn, reply: Reply, fetched: Fetched): void => {
    const { query, route } = turn;
    turn.isFetched = true;
    // answers from before a restart may have been loaded meanwhile, and a cut may have begun
    this.#send(turn, reply, this.#orStored(this.#store(query, route, fetched), query, route));
  };

  /** Fetches an answer that is about to expire; the client that asked for it has its reply already. */
  prefetch(query: Query, kept: CachedAnswer, route: Route, nowMs: number): void {
    this.#deps.cache.claimPrefetch(kept, nowMs);
    const own = query.copy();
    const stored = relay(PREFETCHED, (fetched: Fetched) => {
      this.#store(own, route, fetched);
    });
    this.#deps.upstreams.forwardTo(own, route, stored);
  }

  /** Stores the response, and makes an answer of it. */
  #store(query: Query, route: Route, fetched: Fetched): FetchedAnswer {
    const { cache, clock, upstreams } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (fetched.kind === 'failed') {
      // a question that was not even asked says nothing new: the failure must end when the upstream is back
      if (isAboutUpstreams(fetched.reason) && fetched.wasAsked !== false) cache.noteFailure(query, nowMs);
      return failed(fetched.extendedError);
    }
    // RFC 2181 section 9: a response truncated even over TCP is no answer, and a part must not look like the whole
    if ((fetched.index.flags & FLAG.TC) !== 0) {
      cache.noteFailure(query, nowMs);
      return failed(EXTENDED_ERROR.NETWORK_ERROR);
    }
    // REFUSED, a referral and the like are about the upstream, not about the name, and musl ignores them for 5 s
    if (!isAboutName(fetched.index)) {
      const { extendedError } = fetched.index;
      cache.noteFailure(query, nowMs, extendedError);
      return failed(extendedError ?? this.#reasonOf(query, route));
    }
    if (isLinkCut(this.#deps, route) && mayBeMadeUp(fetched.octets, fetched.index)) {
      const isFalse = this.#isFalseDenial(query, fetched.index, nowMs);
      if (isFalse && fetched.upstream !== undefined) upstreams.noteFalseDenial(query, fetched.upstream);
      if (isFalse || this.#endsSearch(query, route, fetched)) {
        cache.noteFailure(query, nowMs);
        return failed(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
      }
    }
    evenTtls(fetched.octets, fetched.index);
    // RFC 4035 section 3.2.1: some upstreams give these records without DO
    const fit = query.dnssecOk ? fetched : (withoutProofs(fetched) ?? fetched);
    const kept = cache.store(query, fit.octets, fit.index, nowMs);
    // an answer that is not stored is given as it came, except that no TTL is longer than we would believe
    if (kept === undefined) capTtls(fit.octets, fit.index, cache.settings.maxTtlSeconds);
    const given = { answer: kept ?? fit, ttl: JUST_NOW, extendedError: undefined };
    return { origin: 'forwarded', given };
  }

  /** The extended error for a failure of which an upstream gives no reason. */
  #reasonOf(query: Query, route: Route): number | undefined {
    const isGone = isLinkCut(this.#deps, route) || isCut(this.#deps, query, route);
    return isGone ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
  }

  /** Whether a denial is made up, as far as can be known while the link is down: stored answers and the operator's rules win. */
  #isFalseDenial(query: Query, index: ResponseIndex, nowMs: number): boolean {
    const { cache, rules } = this.#deps;
    if (index.rcode === RCODE.NXDOMAIN && hasOtherAddress(cache, query, nowMs)) return true;
    const kept = cache.peekAny(query, nowMs, true)?.answer.kind;
    if (kept === 'positive' || (kept === 'nodata' && index.rcode === RCODE.NXDOMAIN)) return true;
    const rule = rules.disconnected.find(query);
    return rule.kind !== 'stale' && rule.standing === 'before-cache';
  }

  /** Whether an empty answer that is made up would end a search, as a failure does. The resolver of a real zone names the zone. */
  #endsSearch(query: Query, route: Route, { octets, index }: Fetched & { kind: 'response' }): boolean {
    const isEmpty = index.rcode === RCODE.NOERROR && isOfNoZone(octets, index);
    return isEmpty && this.#writer.isSearchLeak(query, route);
  }

  #orStored(answer: FetchedAnswer, query: Query, route: Route): FetchedAnswer {
    return answer.origin === 'failed' ? (this.#storedAnswer(query, route) ?? answer) : answer;
  }

  /** Finds a stored answer to the question with any DO and CD. Only an answer with a different DO or CD can be fresh here. */
  #storedAnswer(query: Query, route: Route): FetchedAnswer | undefined {
    const { cache, clock } = this.#deps;
    // the first pass has counted this question
    const given = cache.peekAny(query, clock.monotonicMs(), isCut(this.#deps, query, route));
    if (given === undefined) return undefined;
    return { origin: given.extendedError === undefined ? 'cacheFresh' : 'cacheStale', given };
  }

  /** Makes a reply that sends the stored answer when the fetch takes longer than `patienceMs`, or fails. */
  #within(patienceMs: number, query: Query, route: Route, reply: Reply<FetchedAnswer>): Reply<FetchedAnswer> {
    const { cache, clock, timers } = this.#deps;
    let isOver = false;
    const send = (answer: FetchedAnswer): void => {
      if (isOver) return;
      isOver = true;
      patience[Symbol.dispose]();
      reply.send(this.#orStored(answer, query, route));
    };
    const patience = timers.after(patienceMs, () => {
      // the link is back: there is nothing else to give any more
      if (!this.#needsNoUpstream(query, route)) return;
      // RFC 8767 section 5: until the recheck no other client waits for this upstream, which may stay silent for seconds
      cache.noteFailure(query, clock.monotonicMs());
      send(failed(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY));
    });
    return {
      send,
      fail: (error) => {
        patience[Symbol.dispose]();
        isOver = true;
        reply.fail(error);
      },
    };
  }
}

/** Whether the link to the far side is known to be down, and the route leads to names beyond it. */
export function isLinkCut({ link, rules }: Pick<ResolverDeps, 'link' | 'rules'>, { name }: Route): boolean {
  return link.isFarSideCut && rules.routesBeyondLink.has(name);
}

/**
 * Whether no server can answer for the query's name: no upstream of the route answers, or the name is on the far side of a link
 * that is down. Makes no object.
 */
export function isCut(deps: CutFacts, query: Query, route: Route): boolean {
  if (deps.upstreams.isCut(query, route)) return true;
  return isLinkCut(deps, route) && deps.rules.disconnected.isBeyondLink(query);
}

type CutFacts = Pick<ResolverDeps, 'link' | 'rules'> & {
  readonly upstreams: Pick<ResolverDeps['upstreams'], 'isCut'>;
};

/** No client waits; a defect is thrown like any other that nobody has caught. */
const PREFETCHED: Pick<Reply, 'fail'> = {
  fail: (error) =>
    queueMicrotask(() => {
      throw error;
    }),
};

function failed(extendedError: number | undefined): FetchedAnswer {
  return { origin: 'failed', extendedError };
}

/**
 * Whether an answer with the other type of address, A or AAAA, is kept for the name. A client that asks for both loses the
 * address that it has through a failure or NXDOMAIN for the other type (musl). Makes objects: not for the path of an answer.
 */
export function hasOtherAddress(cache: ResolverDeps['cache'], query: Query, nowMs: number): boolean {
  if (query.qtype !== TYPE.A && query.qtype !== TYPE.AAAA) return false;
  const name = new Uint8Array(query.octets.subarray(query.nameStart, query.nameEnd));
  const other = ownQuery(name, query.qtype === TYPE.A ? TYPE.AAAA : TYPE.A, false);
  return cache.peekAny(other, nowMs, true)?.answer.kind === 'positive';
}

/**
 * Whether a denial may be made up while the link is down. A resolver on the site that is cut off itself may deny names that
 * it cannot ask for, from an empty root zone or from nothing. A server with authority for a zone of its own is on the site,
 * and is right. An empty root is no such zone.
 */
export function mayBeMadeUp(octets: Uint8Array, index: ResponseIndex): boolean {
  return !isPositive(index) && ((index.flags & FLAG.AA) === 0 || isOfNoZone(octets, index));
}

/** Whether a denial names no zone but the root. */
function isOfNoZone(octets: Uint8Array, index: ResponseIndex): boolean {
  if (index.negativeTtlSeconds === undefined) return true;
  // the SOA comes first in the authority section of every server's denials
  return index.answerCount === 0 && octets[index.questionEnd] === 0;
}

/** Too much load here, or shutdown, says nothing about the upstreams: it must not be remembered as a failure. */
function isAboutUpstreams(reason: ForwardFailureReason): boolean {
  return reason !== 'overloaded' && reason !== 'closing';
}

function isHealthProbe(query: Query): boolean {
  return query.labelCount === 0 && query.qtype === TYPE.NS;
}
