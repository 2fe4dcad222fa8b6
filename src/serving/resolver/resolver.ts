/**
 * The resolver: the order in which a query is answered, as one literal list, each step with its reason.
 *
 *     query -> steps, in order, until one answers -> reply
 *                 `--> nothing is known yet: PENDING -> forward -> reply
 *
 * It knows all of its sibling rooms and nothing of sockets, files or AWS. We are a forwarder (RFC 9499) with
 * authoritative data of our own. What the first pass cannot answer comes back later, within the forwarder's deadline.
 */

import { OPEN_ALIAS } from '../../protocol/wire/alias-chain.ts';
import { writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/error-reply.ts';
import { MAX_MESSAGE_OCTETS, rcodeAt } from '../../protocol/wire/header.ts';
import { type LocalAnswer, writeLocalReply } from '../../protocol/wire/local-answer.ts';
import { parseQuery, Query, VERDICT, type Verdict } from '../../protocol/wire/query.ts';
import { writePatchedReply } from '../../protocol/wire/response-patch.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { EndpointRecord } from '../../store/endpoint-record.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import { freshness } from '../answer-cache/freshness.ts';
import { composeStatusAnswer } from '../endpoints/endpoint-answers.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import { type Asker, NO_REPLY, PENDING, type QueryHandler, type Transport } from '../listener/handler.ts';
import {
  type SpokenFinding,
  STALE,
  type Standing,
  writeDisconnectedReply,
} from '../local-zones/disconnected-finding.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';
import { AliasFollower, type AliasHost, type Around, CLAIM, type Claim } from './alias-follower.ts';
import type { Identity } from './identity.ts';
import { KeptAnswers, writeNoData } from './kept-answers.ts';
import { type Later, type LaterAnswer, LaterAnswers } from './later-answers.ts';
import type { OutageNotes } from './outage-notes.ts';
import { ORIGIN, ResolverCounters } from './resolver-counters.ts';
import { Rotation } from './rotation.ts';
import { PASS, type ReplySpace, replySpace, type Step } from './step.ts';

export interface ResolverOptions<Route> {
  readonly endpoints: ServingTable;
  readonly cache: AnswerCache;
  readonly later: Later<Route>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings at `_status.<endpoint>`. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
  readonly outage: OutageNotes;
}

/** What a reload may replace. */
export interface ResolverRules<Route> {
  readonly localZones: LocalZones<Route>;
  /** What holds for names whose upstreams are known not to answer. */
  readonly disconnected: DisconnectedRules;
  readonly identity: Identity;
  /** Where names without a rule of their own are forwarded. */
  readonly defaultRoute: Route;
  readonly trustAuthenticatedData: boolean;
  /** How long a client waits for an answer, whatever the number of aliases on the way to it. */
  readonly deadlineMs: number;
}

/** No retained name can change what a positive answer says. */
const ANY_REVISION = -2;
const UPSTREAM_ORIGINS: readonly number[] = [
  ORIGIN.retained,
  ORIGIN.cacheFresh,
  ORIGIN.cacheStale,
  ORIGIN.forwarded,
];

export class Resolver<Route> implements QueryHandler {
  readonly counters = new ResolverCounters();
  readonly #options: ResolverOptions<Route>;
  readonly #later: LaterAnswers<Route>;
  readonly #kept: KeptAnswers<Route>;
  readonly query = new Query();
  readonly #reply = replySpace(new Uint8Array(0), 0);
  /** For replies that come later. */
  readonly #laterReply = replySpace(new Uint8Array(MAX_MESSAGE_OCTETS), 0);
  readonly #follower: AliasFollower;
  #rules: ResolverRules<Route>;
  /** The route that a zone rule chose for the query at hand. */
  #route: Route;
  /** Where the last answer came from. */
  #origin: (typeof ORIGIN)[keyof typeof ORIGIN] = ORIGIN.malformed;
  /** The query that was left pending last has an alias, and a part of its answer is known. */
  #isPartKnown = false;
  readonly #rotation = new Rotation();

  readonly #steps: readonly Step[] = [
    {
      origin: ORIGIN.class,
      why: 'only class IN has data here; CH answers what the operator chose to tell of this server',
      answer: (query, reply) => this.#answerOtherClass(query, reply),
    },
    {
      origin: ORIGIN.metaType,
      why: 'what asks a server for something and is not about a name is refused for every name, and never passed on',
      answer: (query, reply) => this.#refuseMetaType(query, reply),
    },
    {
      origin: ORIGIN.endpoint,
      why: 'what the server exists for: before everything that an operator or an upstream could say of the name',
      answer: (query, reply) => this.#answerEndpoint(query, reply),
    },
    {
      origin: ORIGIN.localZone,
      why: 'names that must not leave the site, and the rules of the operator, who knows better than an upstream',
      answer: (query, reply) => this.#answerLocalZone(query, reply),
    },
    {
      origin: ORIGIN.retained,
      why: 'names that the operator wants answered at once, whatever happens; who keeps them fresh is not the query',
      answer: (query, reply) => this.#kept.retained(query, this.#route, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: "the operator's word on a zone while its upstreams are gone stands before what they said",
      answer: (query, reply) => this.#answerDisconnected('before-cache', query, reply),
    },
    {
      origin: ORIGIN.cacheFresh,
      why: 'what an upstream said a moment ago',
      answer: (query, reply) => this.#kept.fresh(query, this.#route, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: 'services of AWS are gone with the link: an old address would only be waited for',
      answer: (query, reply) => this.#answerDisconnected('before-stale', query, reply),
    },
    {
      origin: ORIGIN.cacheStale,
      why: 'what an upstream said once, where waiting for a newer answer would help nobody',
      answer: (query, reply) => this.#kept.stale(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: "EC2's own names can be worked out, and the rest of them denied at once, where nothing was kept",
      answer: (query, reply) => this.#answerDisconnected('behind-stale', query, reply),
    },
    {
      origin: ORIGIN.notRecursive,
      why: 'without RD the client asks for what is here, and nothing is',
      answer: (query, reply) => this.#refuseNotRecursive(query, reply),
    },
  ];

  constructor(options: ResolverOptions<Route>, rules: ResolverRules<Route>) {
    this.#options = options;
    this.#rules = rules;
    this.#route = rules.defaultRoute;
    this.#later = new LaterAnswers(options);
    this.#kept = new KeptAnswers(options, this.#later);
    this.#follower = new AliasFollower(this.#aliasHost());
  }

  /** Takes new rules from the next query on. */
  reconfigure(rules: ResolverRules<Route>): void {
    this.#rules = rules;
  }

  answerNow(
    message: Uint8Array,
    start: number,
    end: number,
    transport: Transport,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    const query = this.query;
    const verdict = parseQuery(query, message, start, end);
    if (verdict !== VERDICT.OK) return this.#refuseMalformed(verdict, message, start, reply, replyStart);
    const length = this.#walk(query, transport, reply, replyStart);
    if (length > 0) this.counters.countRcode(reply, replyStart);
    return length;
  }

  answerLater(message: Uint8Array, transport: Transport, asker: Asker): void {
    const isPartKnown = this.#isPartKnown;
    this.#isPartKnown = false;
    const query = new Query();
    if (parseQuery(query, message, 0, message.length) !== VERDICT.OK) {
      asker.reply(this.#laterReply.octets, NO_REPLY);
      return;
    }
    const reply = this.#laterReply;
    const limit = transport === 'udp' ? query.udpLimit : MAX_MESSAGE_OCTETS;
    const told = (length: number): void => {
      this.counters.countOrigin(this.#origin);
      this.counters.countRcode(reply.octets, 0);
      asker.reply(reply.octets, length);
    };
    const failed = (error: unknown): void => asker.fail(error);
    const { clock } = this.#options;
    const endsAtMs = clock.monotonicMs() + this.#rules.deadlineMs;
    const follow = (length: number): void => {
      const leftMs = Math.max(0, endsAtMs - clock.monotonicMs());
      this.#follower.later(query, { ...reply, limit }, length, leftMs, told, failed);
    };
    if (isPartKnown) {
      follow(PENDING);
      return;
    }
    const route = this.routeOf(query);
    const tell = (found: LaterAnswer): void => {
      try {
        reply.limit = limit;
        const length = this.#writeFound(query, found, route, reply);
        if (reply.aliases === undefined || this.#isClear(reply)) told(length);
        else follow(length);
      } catch (error) {
        asker.fail(error);
      }
    };
    this.#later.answer(query, route, { tell, fail: failed });
  }

  /** The reply to a query that had to wait. */
  #writeFound(query: Query, found: LaterAnswer, route: Route, reply: ReplySpace): number {
    const { outage, later } = this.#options;
    const { octets, start, limit } = reply;
    reply.aliases = undefined;
    this.#route = route;
    if (found.origin === 'failed' && this.#kept.isNoData(query, route)) {
      this.#origin = ORIGIN.retained;
      return writeNoData(query, octets, start);
    }
    // the first to meet a dead upstream has waited for it, and gets what all who come after get at once
    const isCut = found.origin === 'failed' && later.isCut(query, route);
    const spoken = isCut ? this.#rules.disconnected.find(query) : STALE;
    if (spoken.kind !== 'stale') {
      this.#origin = ORIGIN.disconnected;
      return this.#writeSpoken(query, spoken, reply);
    }
    this.#origin = ORIGIN[found.origin];
    if (found.origin === 'failed') outage.noteFailed(query);
    if (found.origin === 'cacheStale') outage.noteStale(query);
    if (found.kind === 'rcode')
      return writeEmptyReply(query, found.rcode, found.extendedError, octets, start);
    const { ttl, extendedError } = found;
    const { trustAuthenticatedData } = this.#rules;
    const options = { ttl, extendedError, trustAuthenticatedData, limit };
    reply.aliases = found.index.aliases;
    reply.extendedError = extendedError;
    return writePatchedReply(query, found.octets, found.index, options, octets, start);
  }

  /** Where a question that is forwarded goes to. */
  routeOf(query: Query): Route {
    const found = this.#rules.localZones.find(query);
    return found?.kind === 'forward' ? found.route : this.#rules.defaultRoute;
  }

  #walk(query: Query, transport: Transport, octets: Uint8Array, start: number): number {
    const reply = this.#reply;
    reply.octets = octets;
    reply.start = start;
    reply.limit = transport === 'udp' ? query.udpLimit : MAX_MESSAGE_OCTETS;
    const first = this.#step(query, reply);
    const hasAliases = first !== PENDING && reply.aliases !== undefined && !this.#isClear(reply);
    const length = hasAliases ? this.#follower.now(query, reply, first) : first;
    this.#isPartKnown = hasAliases;
    if (length !== PENDING) this.counters.countOrigin(this.#origin);
    return length;
  }

  /** The first step that has an answer, or PENDING. */
  #step(query: Query, reply: ReplySpace): number {
    reply.aliases = undefined;
    this.#route = this.#rules.defaultRoute;
    for (const step of this.#steps) {
      const length = step.answer(query, reply);
      if (length === PASS) continue;
      this.#origin = step.origin;
      return length;
    }
    return PENDING;
  }

  #aliasHost(): AliasHost {
    const resolver = this;
    return {
      timers: this.#options.later.timers,
      walk: (query, reply) => this.#step(query, reply),
      fetch: (query, reply, told, failed) => {
        const route = this.routeOf(query);
        this.#later.answer(query, route, {
          tell: (found) => told(this.#writeFound(query, found, route, reply)),
          fail: failed,
        });
      },
      claim: (target, around) => this.#claim(target, around),
      clear: ({ aliases }, isPositive) => {
        if (aliases === undefined) return;
        aliases.clearOf = this.#options.endpoints.current;
        aliases.clearOfRules = this.#rules;
        aliases.clearAtRevision = isPositive ? ANY_REVISION : this.#options.cache.retainedRevision;
      },
      get isFromUpstream() {
        return UPSTREAM_ORIGINS.includes(resolver.#origin);
      },
      get isNotRecursive() {
        return resolver.#origin === ORIGIN.notRecursive;
      },
    };
  }

  /** Whether the aliases of a fresh answer were followed under the same tables, and lead to nobody else. */
  #isClear({ aliases, extendedError }: ReplySpace): boolean {
    if (aliases === undefined || aliases.isOpen || extendedError !== undefined) return false;
    return (
      aliases.clearOf === this.#options.endpoints.current &&
      aliases.clearOfRules === this.#rules &&
      (aliases.clearAtRevision === ANY_REVISION ||
        aliases.clearAtRevision === this.#options.cache.retainedRevision)
    );
  }

  /** Who answers for a name that stands as a target in an answer of an upstream: the order is that of the steps. */
  #claim(target: Query, { isStale, isPositive }: Around): Claim {
    const { endpoints, cache, later, clock } = this.#options;
    const own = endpoints.current.find(target);
    if (own !== undefined && (own.kind === 'answer' || own.kind === 'status')) return CLAIM.ours;
    const rule = this.#rules.localZones.findRule(target);
    if (rule !== undefined && rule.kind !== 'forward') return CLAIM.ours;
    // other servers than those that gave the answer may know what those denied
    const isElsewhere = rule?.kind === 'forward' && rule.route !== this.#route;
    if (isElsewhere && (isStale || !isPositive)) return CLAIM.ours;
    const spoken = this.#rules.disconnected.find(target);
    const isSpoken =
      spoken.kind !== 'stale' &&
      (spoken.standing === 'before-cache' || (spoken.standing === 'before-stale' && isStale));
    if (isSpoken && later.isCut(target, this.routeOf(target))) return CLAIM.ours;
    if (isStale || !isPositive) {
      const nowMs = clock.monotonicMs();
      const kept = cache.peek(target, nowMs);
      if (kept?.kind === 'positive') {
        if (kept.isRetained || (isStale && freshness(kept, nowMs, cache.settings) !== 'stale'))
          return CLAIM.ours;
      }
    }
    return isSpoken ? CLAIM.perhaps : CLAIM.none;
  }

  #refuseMalformed(
    verdict: Verdict,
    message: Uint8Array,
    start: number,
    reply: Uint8Array,
    at: number,
  ): number {
    if (verdict === VERDICT.DROP) return NO_REPLY;
    this.counters.countOrigin(ORIGIN.malformed);
    const rcode = verdict === VERDICT.NOTIMP ? RCODE.NOTIMP : RCODE.FORMERR;
    const length =
      verdict === VERDICT.BADVERS
        ? writeEmptyReply(this.query, RCODE.BADVERS, undefined, reply, at)
        : writeHeaderOnlyReply(message, start, rcode, reply, at);
    this.counters.countRcode(reply, at);
    return length;
  }

  #answerOtherClass(query: Query, reply: ReplySpace): number {
    if (query.qclass === CLASS.IN) return PASS;
    const answer = query.qclass === CLASS.CH ? this.#rules.identity.find(query) : undefined;
    if (answer === undefined) return this.#empty(query, RCODE.REFUSED, undefined, reply);
    return this.#writeOwn(query, answer, reply);
  }

  #refuseMetaType(query: Query, reply: ReplySpace): number {
    // RFC 6895 section 3.1: 128 to 255 are QTYPEs and meta-TYPEs, zone transfers among them (RFC 5936 section 2.2.1),
    // and OPT is one too; ANY alone asks about a name
    const isMeta = (query.qtype >= 128 && query.qtype < TYPE.ANY) || query.qtype === TYPE.OPT;
    return isMeta ? this.#empty(query, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED, reply) : PASS;
  }

  #answerEndpoint(query: Query, reply: ReplySpace): number {
    const found = this.#options.endpoints.current.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'answer':
        if (found.record !== undefined) this.#options.outage.noteEndpoint(found.record);
        return this.#writeOwn(query, found.answer, reply);
      case 'status': {
        const answer = composeStatusAnswer(found.name, this.#options.statusText(found.record));
        return this.#writeOwn(query, answer, reply);
      }
      case 'above':
        return this.#isDeniedByRule(query) ? this.#writeOwn(query, found.answer, reply) : PASS;
      case 'not-ready':
        this.#options.outage.noteFailed(query);
        return this.#empty(query, RCODE.SERVFAIL, EXTENDED_ERROR.NOT_READY, reply);
    }
  }

  #isDeniedByRule(query: Query): boolean {
    const found = this.#rules.localZones.find(query);
    return found?.kind === 'answer' && found.answer.rcode === RCODE.NXDOMAIN;
  }

  #answerLocalZone(query: Query, reply: ReplySpace): number {
    const found = this.#rules.localZones.find(query);
    if (found === undefined) return PASS;
    switch (found.kind) {
      case 'forward':
        this.#route = found.route;
        return PASS;
      case 'answer':
        return this.#writeOwn(query, found.answer, reply);
      case 'rcode':
        return this.#empty(query, found.rcode, found.extendedError, reply);
    }
  }

  #answerDisconnected(standing: Standing, query: Query, reply: ReplySpace): number {
    if (!this.#options.later.isCut(query, this.#route)) return PASS;
    const found = this.#rules.disconnected.find(query);
    if (found.kind === 'stale' || found.standing !== standing) return PASS;
    return this.#writeSpoken(query, found, reply);
  }

  #writeSpoken(query: Query, found: SpokenFinding, reply: ReplySpace): number {
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

  #writeOwn(query: Query, answer: LocalAnswer, reply: ReplySpace): number {
    if (answer.isOpen) reply.aliases = OPEN_ALIAS;
    return writeLocalReply(query, answer, this.#turnOf(answer), reply.limit, reply.octets, reply.start);
  }

  #turnOf({ rotation }: LocalAnswer): number {
    return rotation === undefined ? 0 : this.#rotation.next(rotation.records);
  }

  #refuseNotRecursive(query: Query, reply: ReplySpace): number {
    return query.recursionDesired ? PASS : this.#empty(query, RCODE.REFUSED, undefined, reply);
  }

  #empty(query: Query, rcode: number, extendedError: number | undefined, reply: ReplySpace): number {
    return writeEmptyReply(query, rcode, extendedError, reply.octets, reply.start);
  }
}
