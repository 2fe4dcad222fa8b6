/**
 * The steps that answer without asking an upstream. Answers of our own: endpoint names, local zones, class CH; in an outage
 * also the operator's rules, EC2's names, DS of our zones, names of a search list. Stored answers: retained, fresh, expired.
 */
import { rcodeAt } from '../../protocol/wire/message.ts';
import { composeOwnQuery, parseQuery, Query, VERDICT } from '../../protocol/wire/query.ts';
import {
  JUST_NOW,
  type LocalAnswer,
  type PatchOptions,
  writeEmptyReply,
  writeHeaderOnlyReply,
  writeLocalReply,
  writePatchedReply,
} from '../../protocol/wire/reply.ts';
import { OPEN_ALIAS } from '../../protocol/wire/response-records.ts';
import { CLASS, EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { ageSeconds, type CachedAnswer, freshness, type GivenAnswer } from '../answer-cache/cached-answer.ts';
import { type RuleFinding, type Standing, writeDisconnectedReply } from '../local-zones/finding.ts';
import { type GivenOctets, NO_REPLY, PASS, type Route, type Step, type Turn } from '../turn.ts';
import { type FetchedAnswers, hasOtherAddress, isCut } from './fetched-answers.ts';
import { type ResolverDeps, StatusAnswers } from './resolver-deps.ts';

/** Labels of a known name at most, so that a name of 127 labels costs no more than a name of 17. */
const MAX_KNOWN_LABELS = 16;

export class OwnAnswers {
  readonly #deps: ResolverDeps;
  readonly #status: StatusAnswers;
  /** From 0 up to 1: the place in the order of the addresses at which the next answer begins. */
  #phase = 0;
  /** The name at hand without its last labels. */
  readonly #prefix = new Query();

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
    const first = this.#begin(turn, answer);
    return writeLocalReply(turn.query, answer, first, turn.limit, turn.space, turn.spaceStart);
  }

  /** Notes an open alias. Returns the record that comes first: each comes first equally often, to every client. */
  #begin(turn: Turn, { isOpen, rotation }: LocalAnswer): number {
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

  /** The rule for this name, if it has this place among the steps and the upstreams cannot be asked. */
  byRule(standing: Standing, turn: Turn): number {
    const { rules } = this.#deps;
    if (standing === 'before-cache' && !rules.disconnected.hasOperatorRules) return PASS;
    const found = rules.disconnected.find(turn.query);
    if (found.kind === 'stale' || found.standing !== standing) return PASS;
    return isCut(this.#deps, turn.query, turn.route) ? this.writeRule(turn, found) : PASS;
  }

  writeRule(turn: Turn, found: RuleFinding): number {
    const { query, space, spaceStart } = turn;
    const first = found.kind === 'answer' ? this.#begin(turn, found.answer) : 0;
    const length = writeDisconnectedReply(turn, found, first);
    // a computed answer helps the client, and so does a denial that always holds; a failure and a denial by rule do not
    const rcode = rcodeAt(space, spaceStart);
    const isDenied = rcode === RCODE.NXDOMAIN && found.standing === 'before-cache';
    if (rcode === RCODE.SERVFAIL || isDenied) this.#deps.outage.noteFailed(query);
    return length;
  }

  /** DS of a zone of ours. */
  dsInCut(turn: Turn): number {
    const answer = this.noDs(turn.query);
    if (answer === undefined || !isCut(this.#deps, turn.query, turn.route)) return PASS;
    return this.write(turn, answer);
  }

  searchLeak(turn: Turn): number {
    return this.isSearchLeak(turn.query, turn.route) ? this.denyLeak(turn) : PASS;
  }

  /** Without SOA, so that nobody keeps the denial (RFC 2308 section 5). */
  denyLeak(turn: Turn): number {
    return writeEmpty(turn, RCODE.NXDOMAIN, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
  }

  /**
   * Whether a search list made the question: it begins with a whole name that this server knows, and a suffix follows. musl with
   * `ndots:5` asks for `registry.example.<suffix>` first. It goes on to the next suffix, and to the name itself, only after
   * NXDOMAIN; a SERVFAIL ends its search. So such a name is denied while nobody can be asked whether it exists, and where the
   * question has failed in a cut. Not for the path of an answer: it makes objects.
   */
  isSearchLeak(query: Query, route: Route, hasFailed = false): boolean {
    if (!hasFailed && !isCut(this.#deps, query, route)) return false;
    const { endpoints, cache, rules } = this.#deps;
    const prefix = this.#prefix;
    for (let suffix = Math.max(1, query.labelCount - MAX_KNOWN_LABELS); suffix < query.labelCount; suffix++) {
      parsePrefix(query, suffix, prefix);
      if (endpoints.current.hasName(prefix) || cache.hasRetainedRecordsOf(prefix)) return true;
      if (rules.localZones.hasRecordsAt(prefix) || rules.disconnected.hasRecordsAt(prefix)) return true;
    }
    return false;
  }
}

export function writeEmpty(turn: Turn, rcode: number, extendedError: number | undefined): number {
  return writeEmptyReply(turn.query, rcode, extendedError, turn.space, turn.spaceStart);
}

/** Parses the query's name without its last `labels` labels into `prefix`. */
function parsePrefix(query: Query, labels: number, prefix: Query): void {
  const octets = query.labelStarts[labels] ?? 0;
  const name = new Uint8Array(octets + 1);
  for (let at = 0; at < octets; at++) name[at] = query.octets[query.nameStart + at] ?? 0;
  const message = composeOwnQuery(name, query.qtype);
  parseQuery(prefix, message, 0, message.length);
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

  /** NODATA for one type of address while nobody can be asked, where the other type is kept. */
  besideAddress(turn: Turn): number {
    if (!isCut(this.#deps, turn.query, turn.route)) return PASS;
    return hasOtherAddress(this.#deps.cache, turn.query, turn.nowMs) ? writeNoData(turn) : PASS;
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
    const isUnasked = isCut(this.#deps, query, turn.route);
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
