/**
 * The steps that answer in place of upstreams that cannot be asked: the operator's rules for an outage, EC2's computed
 * names, DS of our own zones, and names that a search list made.
 */
import { OPEN_ALIAS } from '../../protocol/wire/alias-chain.ts';
import { rcodeAt } from '../../protocol/wire/header.ts';
import { composeQuery, parseQuery, Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import {
  type SpokenFinding,
  type Standing,
  writeDisconnectedReply,
} from '../local-zones/disconnected-finding.ts';
import { PASS, type Route, type Turn } from '../turn.ts';
import { type OwnAnswers, writeEmpty } from './own-answers.ts';
import type { ResolverDeps } from './resolver.ts';

/** Notes what an outage does to clients. Called on the query path, in an outage or not: keep nothing of a query. */
export interface OutageNotes {
  /** A client got SERVFAIL, or the denial that the operator's rule gives while the upstreams are gone. */
  noteFailed(query: Query): void;
  /** A client got an answer that had expired. */
  noteStale(query: Query): void;
  /** A client got the addresses of `record`. */
  noteEndpoint(record: EndpointRecord): void;
}

/** Labels of a known name at most, so that a name of 127 labels costs no more than a name of 17. */
const MAX_KNOWN_LABELS = 16;

export class OutageAnswers {
  readonly #deps: ResolverDeps;
  readonly #own: OwnAnswers;
  /** The name at hand without its last labels. */
  readonly #prefix = new Query();

  constructor(deps: ResolverDeps, own: OwnAnswers) {
    this.#deps = deps;
    this.#own = own;
  }

  /** The rule for this name, if it has this place among the steps and the upstreams cannot be asked. */
  byRule(standing: Standing, turn: Turn): number {
    const { rules, upstreams } = this.#deps;
    if (!upstreams.isCut(turn.query, turn.route)) return PASS;
    const found = rules.disconnected.find(turn.query);
    if (found.kind === 'stale' || found.standing !== standing) return PASS;
    return this.write(turn, found);
  }

  write(turn: Turn, found: SpokenFinding): number {
    const { query, space, spaceStart, limit } = turn;
    const first = found.kind === 'answer' ? this.#own.firstOf(found.answer) : 0;
    if (found.kind === 'answer' && found.answer.isOpen) turn.aliases = OPEN_ALIAS;
    const length = writeDisconnectedReply(query, found, first, limit, space, spaceStart);
    // a computed answer helps the client, and so does a denial that always holds; a failure and a denial by rule do not
    const rcode = rcodeAt(space, spaceStart);
    const isDenied = rcode === RCODE.NXDOMAIN && found.standing === 'before-cache';
    if (rcode === RCODE.SERVFAIL || isDenied) this.#deps.outage.noteFailed(query);
    return length;
  }

  /** DS of a zone of ours. */
  noDs(turn: Turn): number {
    const answer = this.#own.noDs(turn.query);
    if (answer === undefined || !this.#deps.upstreams.isCut(turn.query, turn.route)) return PASS;
    return this.#own.write(turn, answer);
  }

  searchLeak(turn: Turn): number {
    return this.isSearchLeak(turn.query, turn.route) ? this.denyLeak(turn) : PASS;
  }

  /** Without SOA, so that nobody keeps the denial (RFC 2308 section 5). */
  denyLeak(turn: Turn): number {
    return writeEmpty(turn, RCODE.NXDOMAIN, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
  }

  /**
   * Whether a search list made the question: the name begins with a whole name that this server knows, and a suffix
   * follows. musl with `ndots:5` asks for `registry.example.<suffix>` first. It goes on to the next suffix, and to the name
   * itself, only after NXDOMAIN; a SERVFAIL ends its search. So such a name is denied while nobody can be asked whether it
   * exists. A name that is kept is answered by an earlier step. Not for the path of an answer: it makes objects.
   */
  isSearchLeak(query: Query, route: Route): boolean {
    if (!this.#deps.upstreams.isCut(query, route)) return false;
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

/** Parses the query's name without its last `labels` labels into `prefix`. */
function parsePrefix(query: Query, labels: number, prefix: Query): void {
  const octets = query.labelStarts[labels] ?? 0;
  const name = new Uint8Array(octets + 1);
  for (let at = 0; at < octets; at++) name[at] = query.octets[query.nameStart + at] ?? 0;
  const message = composeQuery({
    id: 0,
    name,
    qtype: query.qtype,
    qclass: CLASS.IN,
    recursionDesired: true,
    checkingDisabled: false,
  });
  parseQuery(prefix, message, 0, message.length);
}
