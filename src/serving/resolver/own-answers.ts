/** The steps that answer from this server's own data: endpoints, zones, and the rules for the time without upstreams. */
import { OPEN_ALIAS } from '../../protocol/wire/alias-chain.ts';
import { writeEmptyReply } from '../../protocol/wire/error-reply.ts';
import { rcodeAt } from '../../protocol/wire/header.ts';
import { type LocalAnswer, writeLocalReply } from '../../protocol/wire/local-answer.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import {
  type SpokenFinding,
  type Standing,
  writeDisconnectedReply,
} from '../local-zones/disconnected-finding.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';
import type { Identity } from './identity.ts';
import type { Later } from './later-answers.ts';
import type { OutageNotes } from './outage-notes.ts';
import { Rotation } from './rotation.ts';
import { isSearchLeak } from './search-leaks.ts';
import { StatusAnswers, type StatusAnswersOptions } from './status-answers.ts';
import { PASS, type ReplySpace } from './step.ts';

export interface OwnAnswersOptions<Route> extends StatusAnswersOptions {
  readonly endpoints: ServingTable;
  readonly cache: Pick<AnswerCache, 'hasRetainedRecordsOf'>;
  readonly later: Pick<Later<Route>, 'isCut'>;
  readonly outage: OutageNotes;
}

export interface OwnRules<Route> {
  readonly localZones: LocalZones<Route>;
  /** What holds for names whose upstreams are known not to answer. */
  readonly disconnected: DisconnectedRules;
  readonly identity: Identity;
  /** Where names without a rule of their own are forwarded. */
  readonly defaultRoute: Route;
}

export class OwnAnswers<Route> {
  readonly #options: OwnAnswersOptions<Route>;
  readonly #status: StatusAnswers;
  readonly #rotation = new Rotation();
  /** The route that a zone rule chose for the query at hand. */
  route: Route;

  constructor(options: OwnAnswersOptions<Route>, route: Route) {
    this.#options = options;
    this.#status = new StatusAnswers(options);
    this.route = route;
  }

  otherClass(query: Query, { identity }: OwnRules<Route>, reply: ReplySpace): number {
    if (query.qclass === CLASS.IN) return PASS;
    const answer = query.qclass === CLASS.CH ? identity.find(query) : undefined;
    if (answer === undefined) return this.#empty(query, RCODE.REFUSED, undefined, reply);
    return this.writeOwn(query, answer, reply);
  }

  metaType(query: Query, reply: ReplySpace): number {
    // RFC 6895 section 3.1: 128 to 255 are QTYPEs and meta-TYPEs, zone transfers among them (RFC 5936 section 2.2.1),
    // and OPT is one too; ANY alone asks about a name
    const isMeta = (query.qtype >= 128 && query.qtype < TYPE.ANY) || query.qtype === TYPE.OPT;
    return isMeta ? this.#empty(query, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED, reply) : PASS;
  }

  endpoint(query: Query, rules: OwnRules<Route>, reply: ReplySpace): number {
    const found = this.#options.endpoints.current.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'answer':
        if (found.isParents) return PASS;
        if (found.record !== undefined) this.#options.outage.noteEndpoint(found.record);
        return this.writeOwn(query, found.answer, reply);
      case 'status':
        return this.writeOwn(query, this.#status.answer(found.name, found.record), reply);
      case 'above':
        return isDeniedByRule(query, rules) ? this.writeOwn(query, found.answer, reply) : PASS;
      case 'not-ready':
        this.#options.outage.noteFailed(query);
        return this.#empty(query, RCODE.SERVFAIL, EXTENDED_ERROR.NOT_READY, reply);
    }
  }

  localZone(query: Query, rules: OwnRules<Route>, reply: ReplySpace): number {
    const found = rules.localZones.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'forward':
        this.route = found.route;
        return PASS;
      case 'answer':
        // networks of VPCs are inside of special-use zones, and their names are worked out in a cut
        if (rules.localZones.findRule(query) === undefined && this.#isWorkedOut(query, rules)) return PASS;
        return this.writeOwn(query, found.answer, reply);
      case 'rcode':
        return this.#empty(query, found.rcode, found.extendedError, reply);
    }
  }

  #isWorkedOut(query: Query, { disconnected }: OwnRules<Route>): boolean {
    return disconnected.find(query).kind !== 'stale' && this.#options.later.isCut(query, this.route);
  }

  /** The answer of our own to a question for DS that is for the parent's servers, and that those could not answer. */
  noDs(query: Query, { localZones }: OwnRules<Route>): LocalAnswer | undefined {
    if (query.qtype !== TYPE.DS || query.qclass !== CLASS.IN) return undefined;
    const found = this.#options.endpoints.current.find(query);
    return found?.kind === 'answer' && found.isParents ? found.answer : localZones.noDs(query);
  }

  disconnected(standing: Standing, query: Query, rules: OwnRules<Route>, reply: ReplySpace): number {
    if (!this.#options.later.isCut(query, this.route)) return PASS;
    const found = rules.disconnected.find(query);
    if (found.kind === 'stale' || found.standing !== standing) return PASS;
    return this.spoken(query, found, reply);
  }

  /** What is said in the place of upstreams that cannot be asked. */
  spoken(query: Query, found: SpokenFinding, reply: ReplySpace): number {
    const { octets, start, limit } = reply;
    const turn = found.kind === 'answer' ? this.#turnOf(found.answer) : 0;
    if (found.kind === 'answer' && found.answer.isOpen) reply.aliases = OPEN_ALIAS;
    const length = writeDisconnectedReply(query, found, turn, limit, octets, start);
    this.#noteSpoken(query, found, octets, start);
    return length;
  }

  /** What can be worked out helps, and so does a denial that holds at all times; a failure does not, nor a denial for the time being. */
  #noteSpoken(query: Query, { standing }: SpokenFinding, reply: Uint8Array, replyStart: number): void {
    const rcode = rcodeAt(reply, replyStart);
    const isDenied = rcode === RCODE.NXDOMAIN && standing === 'before-cache';
    if (rcode === RCODE.SERVFAIL || isDenied) this.#options.outage.noteFailed(query);
  }

  writeOwn(query: Query, answer: LocalAnswer, reply: ReplySpace): number {
    if (answer.isOpen) reply.aliases = OPEN_ALIAS;
    return writeLocalReply(query, answer, this.#turnOf(answer), reply.limit, reply.octets, reply.start);
  }

  #turnOf({ rotation }: LocalAnswer): number {
    return rotation === undefined ? 0 : this.#rotation.next(rotation.records);
  }

  dsInCut(query: Query, rules: OwnRules<Route>, reply: ReplySpace): number {
    const answer = this.noDs(query, rules);
    if (answer === undefined || !this.#options.later.isCut(query, this.route)) return PASS;
    return this.writeOwn(query, answer, reply);
  }

  /** See search-leaks.ts. */
  searchLeak(query: Query, rules: OwnRules<Route>, reply: ReplySpace): number {
    return this.isSearchLeak(query, this.route, rules) ? this.denyLeak(query, reply) : PASS;
  }

  isSearchLeak(query: Query, route: Route, rules: OwnRules<Route>): boolean {
    return this.#options.later.isCut(query, route) && isSearchLeak(query, this.#options, rules);
  }

  /** Without SOA, so that nobody keeps the denial (RFC 2308 section 5). */
  denyLeak(query: Query, reply: ReplySpace): number {
    return this.#empty(query, RCODE.NXDOMAIN, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, reply);
  }

  notRecursive(query: Query, reply: ReplySpace): number {
    return query.recursionDesired ? PASS : this.#empty(query, RCODE.REFUSED, undefined, reply);
  }

  #empty(query: Query, rcode: number, extendedError: number | undefined, reply: ReplySpace): number {
    return writeEmptyReply(query, rcode, extendedError, reply.octets, reply.start);
  }
}

function isDeniedByRule<Route>(query: Query, { localZones }: OwnRules<Route>): boolean {
  const found = localZones.find(query);
  return found?.kind === 'answer' && found.answer.rcode === RCODE.NXDOMAIN;
}
