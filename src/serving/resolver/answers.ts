/**
 * The answers that the steps give. Answers of our own: endpoint names, local zones, class CH. Stored answers: retained, fresh,
 * expired. Answers that are fetched first: the question is forwarded and the answer stored; where none comes in time, a stored
 * answer is given. What is answered only while nobody can be asked is in outage-answers.ts.
 */
import { FLAG } from '../../protocol/wire/message.ts';
import { type Query, VERDICT } from '../../protocol/wire/query.ts';
import {
  evenTtls,
  JUST_NOW,
  type LocalAnswer,
  type PatchOptions,
  withoutProofs,
  writeEmptyReply,
  writeHeaderOnlyReply,
  writeLocalReply,
  writePatchedReply,
} from '../../protocol/wire/reply.ts';
import { isAboutName, OPEN_ALIAS } from '../../protocol/wire/response-records.ts';
import { CLASS, EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import {
  ageSeconds,
  type CachedAnswer,
  capTtls,
  freshness,
  type GivenAnswer,
} from '../answer-cache/cached-answer.ts';
import type { ForwardFailureReason } from '../forwarder/exchange.ts';
import {
  type GivenOctets,
  NO_REPLY,
  type Origin,
  PASS,
  type Reply,
  type Route,
  relay,
  type Step,
  type Turn,
  TurnRelay,
} from '../turn.ts';
import { type Fetched, type ResolverDeps, StatusAnswers } from './resolver-deps.ts';

export class OwnAnswers {
  readonly #deps: ResolverDeps;
  readonly #status: StatusAnswers;
  /** From 0 up to 1: the place in the order of the addresses at which the next answer begins. */
  #phase = 0;

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
    this.#status = new StatusAnswers(deps);
  }

  malformed(turn: Turn): number {
    const { verdict, query } = turn;
    if (verdict === VERDICT.OK) return PASS;
    if (verdict === VERDICT.DROP) return NO_REPLY;
    if (verdict === VERDICT.BADVERS) return writeEmpty(turn, RCODE.BADVERS, undefined);
    const rcode = verdict === VERDICT.NOTIMP ? RCODE.NOTIMP : RCODE.FORMERR;
    return writeHeaderOnlyReply(query.octets, query.start, rcode, turn.space, turn.spaceStart);
  }

  otherClass(turn: Turn): number {
    const { query } = turn;
    if (query.qclass === CLASS.IN) return PASS;
    const answer = query.qclass === CLASS.CH ? this.#deps.rules.identity.find(query) : undefined;
    return answer === undefined ? writeEmpty(turn, RCODE.REFUSED, undefined) : this.write(turn, answer);
  }

  metaType(turn: Turn): number {
    const { qtype } = turn.query;
    // RFC 9824 section 3.5
    if (qtype === TYPE.NXNAME) return writeEmpty(turn, RCODE.FORMERR, EXTENDED_ERROR.INVALID_QUERY_TYPE);
    // RFC 6895 section 3.1: 128 to 255 are QTYPEs and meta-TYPEs, with zone transfers among them (RFC 5936 section 2.2.1).
    // OPT is a meta-TYPE too. ANY (255) is a QTYPE that asks about a name, so it passes
    const isMeta = (qtype >= 128 && qtype < TYPE.ANY) || qtype === TYPE.OPT;
    return isMeta ? writeEmpty(turn, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED) : PASS;
  }

  endpoint(turn: Turn): number {
    const { endpoints, outage } = this.#deps;
    const found = endpoints.current.find(turn.query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'answer':
        if (found.isParents) return PASS;
        if (outage.isCollecting && found.record !== undefined) outage.noteEndpoint(found.record);
        return this.write(turn, found.answer);
      case 'status':
        return this.write(turn, this.#status.answer(found.name, found.record));
      case 'above':
        return this.#isDeniedByRule(turn.query) ? this.write(turn, found.answer) : PASS;
      case 'not-ready':
        outage.noteFailed(turn.query);
        return writeEmpty(turn, RCODE.SERVFAIL, EXTENDED_ERROR.NOT_READY);
    }
  }

  localZone(turn: Turn): number {
    const { query } = turn;
    const { localZones } = this.#deps.rules;
    const found = localZones.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'forward':
        turn.route = found.route;
        return PASS;
      case 'answer':
        // a special-use zone can contain reverse names of a VPC, which a later step computes in a cut
        if (localZones.findRule(query) === undefined && this.#isComputed(turn)) return PASS;
        return this.write(turn, found.answer);
      case 'rcode':
        return writeEmpty(turn, found.rcode, found.extendedError);
    }
  }

  notRecursive(turn: Turn): number {
    return turn.query.recursionDesired ? PASS : writeEmpty(turn, RCODE.REFUSED, undefined);
  }

  /** Writes an answer of our own; the next reply with the same answer begins with another address. */
  write(turn: Turn, answer: LocalAnswer): number {
    const first = this.begin(turn, answer);
    return writeLocalReply(turn.query, answer, first, turn.limit, turn.space, turn.spaceStart);
  }

  /** Notes an open alias. Returns the record that comes first: each comes first equally often, to every client. */
  begin(turn: Turn, { isOpen, rotation }: LocalAnswer): number {
    if (isOpen) turn.aliases = OPEN_ALIAS;
    if (rotation === undefined) return 0;
    this.#phase = (this.#phase + GOLDEN_RATIO) % 1;
    return Math.floor(this.#phase * rotation.records);
  }

  /** Our answer to a question for DS that the parent zone's servers should answer, for when they cannot. */
  noDs(query: Query): LocalAnswer | undefined {
    if (query.qtype !== TYPE.DS || query.qclass !== CLASS.IN) return undefined;
    const found = this.#deps.endpoints.current.find(query);
    if (found?.kind === 'answer' && found.isParents) return found.answer;
    return this.#deps.rules.localZones.noDs(query);
  }

  /** Notes that a client gets a failure. A failed DS question about a zone of ours is no failure, because `noDs` answers it. */
  noteFailed(query: Query): void {
    if (this.noDs(query) === undefined) this.#deps.outage.noteFailed(query);
  }

  #isComputed({ query, route }: Turn): boolean {
    return this.#deps.rules.disconnected.find(query).kind !== 'stale' && isCut(this.#deps, query, route);
  }

  #isDeniedByRule(query: Query): boolean {
    const found = this.#deps.rules.localZones.find(query);
    return found?.kind === 'answer' && found.answer.rcode === RCODE.NXDOMAIN;
  }
}

export function writeEmpty(turn: Turn, rcode: number, extendedError: number | undefined): number {
  return writeEmptyReply(turn.query, rcode, extendedError, turn.space, turn.spaceStart);
}

// Each answer turns the order of the addresses by this step, so that all come first equally often. A plain count fails for a
// client that asks for two names in turn: it would get the same order of each for ever.
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

/** Stored answers of upstreams. */
export class KeptAnswers {
  readonly #deps: ResolverDeps;
  readonly #own: OwnAnswers;
  readonly #fetched: FetchedAnswers;
  readonly #insteadOfFailure: Step['answer'];
  /** Filled in for each reply, so that a cache hit makes no object. */
  readonly #age = { ageSeconds: 0 };
  readonly #patch: Patch = {
    ttl: JUST_NOW,
    extendedError: undefined,
    trustAuthenticatedData: false,
    limit: 0,
  };

  constructor(deps: ResolverDeps, own: OwnAnswers, fetched: FetchedAnswers, instead: Step['answer']) {
    this.#deps = deps;
    this.#own = own;
    this.#fetched = fetched;
    this.#insteadOfFailure = instead;
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
   * Whether to answer NODATA for another type of a retained name, because no upstream can be asked, or all have failed.
   * musl takes a SERVFAIL or NXDOMAIN for AAAA as the failure of the whole search, and drops the A record that it has.
   */
  isNoData(query: Query, route: Route, hasFailed = false): boolean {
    if (query.qtype === TYPE.ANY || !this.#deps.cache.hasRetainedRecordsOf(query)) return false;
    return hasFailed || isCut(this.#deps, query, route);
  }

  fresh(turn: Turn): number {
    const { cache } = this.#deps;
    const { query, nowMs } = turn;
    const kept = cache.find(query, nowMs);
    if (kept === undefined || kept.kind === 'failure') return this.#withoutAsking(kept, turn);
    const state = freshness(kept, nowMs, cache.settings);
    if (state === 'stale') return this.#withoutAsking(kept, turn);
    if (state === 'prefetch') this.#fetched.prefetch(query, kept, turn.route, nowMs);
    this.#age.ageSeconds = ageSeconds(kept, nowMs);
    return this.#write(turn, kept, this.#age);
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
    answer: GivenOctets['answer'],
    ttl: PatchOptions['ttl'],
    extendedError?: number,
  ): number {
    const { octets, index } = answer;
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
    const { cache } = this.#deps;
    const { query, nowMs } = turn;
    const isUnasked = isTurnCut(this.#deps, turn);
    const failure = own?.kind === 'failure' ? own : undefined;
    const isAskedBefore = own !== undefined && (failure !== undefined || !cache.mayRecheck(own, nowMs));
    if (query.recursionDesired && !isUnasked && !isAskedBefore) return PASS;
    const given = cache.findAny(query, nowMs, isUnasked);
    if (given === undefined) return failure === undefined ? PASS : this.#failed(turn, failure, isUnasked);
    if (given.extendedError === undefined) return this.give(turn, given);
    turn.stale = given;
    return PASS;
  }

  #failed(turn: Turn, failure: CachedAnswer, isUnasked: boolean): number {
    // a remembered failure must not hide an answer that needs no upstream
    if (isUnasked && !turn.query.recursionDesired) return PASS;
    const instead = this.#insteadOfFailure(turn);
    if (instead !== PASS) return instead;
    this.#own.noteFailed(turn.query);
    const extendedError = isUnasked ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
    return this.#write(turn, failure, JUST_NOW, extendedError);
  }
}

/** Writes a reply without a record of the type. The reply has no SOA, so that no cache keeps it (RFC 2308 section 5). */
export function writeNoData({ query, space, spaceStart }: Turn): number {
  return writeEmptyReply(query, RCODE.NOERROR, EXTENDED_ERROR.STALE_ANSWER, space, spaceStart);
}

type Patch = { -readonly [Key in keyof PatchOptions]: PatchOptions[Key] };

// Answers that are fetched first.

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

export type FetchedResponse = Extract<Fetched, { readonly kind: 'response' }>;

interface AnswerWriter {
  /** Writes the answer into the turn's reply space, and returns its octets. */
  write(turn: Turn, answer: FetchedAnswer): number;
  /** Whether `write` gives the client something better than a failure where the question fails while the link is down. */
  hasSubstitute(query: Query, route: Route): boolean;
  /** Whether a response that came while the link is down is made up, and not to be believed. */
  isMadeUp(query: Query, response: FetchedResponse, nowMs: number): boolean;
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
    return isLinkCut(this.#deps, route) && this.#writer.hasSubstitute(query, route);
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
    const { cache, clock } = this.#deps;
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
    if (isLinkCut(this.#deps, route) && this.#writer.isMadeUp(query, fetched, nowMs)) {
      cache.noteFailure(query, nowMs);
      return failed(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
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
    return isGone(this.#deps, query, route) ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
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

/** Too much load here, or shutdown, says nothing about the upstreams: it must not be remembered as a failure. */
function isAboutUpstreams(reason: ForwardFailureReason): boolean {
  return reason !== 'overloaded' && reason !== 'closing';
}

function isHealthProbe(query: Query): boolean {
  return query.labelCount === 0 && query.qtype === TYPE.NS;
}

// Whether upstreams can be asked at all.

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

/** As `isCut`, for the question of a turn: found once in each pass of the steps. */
export function isTurnCut(deps: CutFacts, turn: Turn): boolean {
  turn.isCut ??= isCut(deps, turn.query, turn.route);
  return turn.isCut;
}

/** Whether nobody can be asked for the name, or an answer about it may be made up on the site. */
export function isGone(deps: CutFacts, query: Query, route: Route): boolean {
  return isCut(deps, query, route) || isLinkCut(deps, route);
}

type CutFacts = Pick<ResolverDeps, 'link' | 'rules'> & {
  readonly upstreams: Pick<ResolverDeps['upstreams'], 'isCut'>;
};
