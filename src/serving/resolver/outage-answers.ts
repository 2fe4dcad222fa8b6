/**
 * What is answered in a cut, while nobody can be asked: the operator's rules, EC2's names, DS of our zones, names of a search list,
 * and one type of address beside the other. And what a response is worth that came from a resolver on the site meanwhile. The
 * resolver asks here only in a cut, or after a failure.
 */
import { FLAG, rcodeAt } from '../../protocol/wire/message.ts';
import { composeOwnQuery, ownQuery, parseQuery, Query } from '../../protocol/wire/query.ts';
import { isPositive, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { type RuleFinding, type Standing, writeDisconnectedReply } from '../local-zones/finding.ts';
import { ORIGIN, PASS, type Route, type Turn } from '../turn.ts';
import {
  type FetchedResponse,
  isGone,
  isTurnCut,
  type KeptAnswers,
  type OwnAnswers,
  writeEmpty,
  writeNoData,
} from './answers.ts';
import type { ResolverDeps } from './resolver-deps.ts';

/** Labels of a known name at most, so that a name of 127 labels costs no more than a name of 17. */
const MAX_KNOWN_LABELS = 16;

export class OutageAnswers {
  readonly #deps: ResolverDeps;
  readonly #own: OwnAnswers;
  readonly #kept: KeptAnswers;
  /** The name at hand without its last labels. */
  readonly #prefix = new Query();

  constructor(deps: ResolverDeps, own: OwnAnswers, kept: KeptAnswers) {
    this.#deps = deps;
    this.#own = own;
    this.#kept = kept;
  }

  /** The rule for this name, if it has this place among the steps and the upstreams cannot be asked. */
  byRule(standing: Standing, turn: Turn): number {
    const found = this.#deps.rules.disconnected.find(turn.query);
    if (found.kind === 'stale' || found.standing !== standing) return PASS;
    return isTurnCut(this.#deps, turn) ? this.#writeRule(turn, found) : PASS;
  }

  #writeRule(turn: Turn, found: RuleFinding): number {
    const { query, space, spaceStart } = turn;
    const first = found.kind === 'answer' ? this.#own.begin(turn, found.answer) : 0;
    const length = writeDisconnectedReply(turn, found, first);
    // a computed answer helps the client, and so does a denial that always holds; a failure and a denial by rule do not
    const rcode = rcodeAt(space, spaceStart);
    const isDenied = rcode === RCODE.NXDOMAIN && found.standing === 'before-cache';
    if (rcode === RCODE.SERVFAIL || isDenied) this.#deps.outage.noteFailed(query);
    return length;
  }

  /** NODATA for one type of address, where the other type is kept. */
  besideAddress(turn: Turn): number {
    return hasOtherAddress(this.#deps.cache, turn.query, turn.nowMs) ? writeNoData(turn) : PASS;
  }

  /** DS of a zone of ours. */
  dsOfOwnZone(turn: Turn): number {
    const answer = this.#own.noDs(turn.query);
    return answer === undefined ? PASS : this.#own.write(turn, answer);
  }

  searchLeak(turn: Turn): number {
    return this.#isSearchLeak(turn.query) ? this.#denyLeak(turn) : PASS;
  }

  /** Without SOA, so that nobody keeps the denial (RFC 2308 section 5). */
  #denyLeak(turn: Turn): number {
    return writeEmpty(turn, RCODE.NXDOMAIN, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
  }

  /**
   * Whether a search list made the question: it begins with a whole name that this server knows, and a suffix follows. musl with
   * `ndots:5` asks for `registry.example.<suffix>` first. It goes on to the next suffix, and to the name itself, only after
   * NXDOMAIN; a SERVFAIL ends its search. So such a name is denied while nobody can be asked whether it exists, and where the
   * question has failed in a cut. It makes objects.
   */
  #isSearchLeak(query: Query): boolean {
    const { endpoints, cache, rules } = this.#deps;
    const prefix = this.#prefix;
    for (let suffix = Math.max(1, query.labelCount - MAX_KNOWN_LABELS); suffix < query.labelCount; suffix++) {
      parsePrefix(query, suffix, prefix);
      if (endpoints.current.hasName(prefix) || cache.hasRetainedRecordsOf(prefix)) return true;
      if (rules.localZones.hasRecordsAt(prefix) || rules.disconnected.hasRecordsAt(prefix)) return true;
    }
    return false;
  }

  /** For the client whose question failed, and for those that ask while the failure is remembered: what needs no upstream. */
  insteadOfFailure(turn: Turn): number {
    const { query, route, nowMs } = turn;
    if (this.#kept.isNoData(query, route, true)) {
      turn.origin = ORIGIN.retained;
      return writeNoData(turn);
    }
    // what follows is no data that is here, so it is not for a client without RD
    if (!query.recursionDesired || !isGone(this.#deps, query, route)) return PASS;
    const { origin } = turn;
    turn.origin = ORIGIN.disconnected;
    const rule = this.#deps.rules.disconnected.find(query);
    if (rule.kind !== 'stale') return this.#writeRule(turn, rule);
    if (hasOtherAddress(this.#deps.cache, query, nowMs)) return writeNoData(turn);
    if (this.#isSearchLeak(query)) return this.#denyLeak(turn);
    turn.origin = origin;
    return PASS;
  }

  /** Whether `insteadOfFailure` makes something better of a failure while the link is down. */
  hasSubstitute(query: Query, route: Route): boolean {
    const { cache, clock } = this.#deps;
    if (this.#kept.isNoData(query, route, true)) return true;
    const rule = this.#deps.rules.disconnected.find(query);
    // a denial of a name of the site is no better: the site's servers have all the time that there is
    if (rule.kind !== 'stale') return rule.kind !== 'rcode' && rule.standing === 'before-cache';
    return hasOtherAddress(cache, query, clock.monotonicMs()) || this.#isSearchLeak(query);
  }

  /** Whether a response that came while the link is down is made up, and not to be believed. */
  isMadeUp(query: Query, response: FetchedResponse, nowMs: number): boolean {
    const { octets, index, upstream } = response;
    if (!mayBeMadeUp(octets, index)) return false;
    const isFalse = this.#isFalseDenial(query, index, nowMs);
    if (isFalse && upstream !== undefined) this.#deps.upstreams.noteFalseDenial(query, upstream);
    return isFalse || this.#endsSearch(query, response);
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
  #endsSearch(query: Query, { octets, index }: FetchedResponse): boolean {
    const isEmpty = index.rcode === RCODE.NOERROR && isOfNoZone(octets, index);
    return isEmpty && this.#isSearchLeak(query);
  }
}

/** Parses the query's name without its last `labels` labels into `prefix`. */
function parsePrefix(query: Query, labels: number, prefix: Query): void {
  const octets = query.labelStarts[labels] ?? 0;
  const name = new Uint8Array(octets + 1);
  for (let at = 0; at < octets; at++) name[at] = query.octets[query.nameStart + at] ?? 0;
  const message = composeOwnQuery(name, query.qtype);
  parseQuery(prefix, message, 0, message.length);
}

/**
 * Whether an answer with the other type of address, A or AAAA, is kept for the name. A client that asks for both loses the
 * address that it has through a failure or NXDOMAIN for the other type (musl). Makes objects: not for the path of an answer.
 */
function hasOtherAddress(cache: ResolverDeps['cache'], query: Query, nowMs: number): boolean {
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
