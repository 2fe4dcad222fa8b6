/**
 * The resolver: the order in which a query is answered, as one literal list, each step with its reason.
 *
 *     query -> steps, in order, until one answers -> reply
 *                 `--> nothing is known yet: PENDING -> forward -> reply
 *
 * It knows all of its sibling rooms and nothing of sockets, files or AWS. We are a forwarder (RFC 9499) with
 * authoritative data of our own. What the first pass cannot answer comes back later, within the forwarder's deadline.
 */

import { writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/error-reply.ts';
import { MAX_MESSAGE_OCTETS, rcodeAt } from '../../protocol/wire/header.ts';
import { parseQuery, Query, VERDICT, type Verdict } from '../../protocol/wire/query.ts';
import { writePatchedReply } from '../../protocol/wire/response-patch.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import { type Asker, NO_REPLY, PENDING, type QueryHandler, type Transport } from '../listener/handler.ts';
import { STALE } from '../local-zones/disconnected-finding.ts';
import { AliasClaims } from './alias-claims.ts';
import { AliasFollower, type AliasHost, attempt } from './alias-follower.ts';
import { KeptAnswers, writeNoData } from './kept-answers.ts';
import { type Later, type LaterAnswer, LaterAnswers } from './later-answers.ts';
import type { OutageNotes } from './outage-notes.ts';
import { OwnAnswers, type OwnRules } from './own-answers.ts';
import { ORIGIN, ResolverCounters } from './resolver-counters.ts';
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
export interface ResolverRules<Route> extends OwnRules<Route> {
  readonly trustAuthenticatedData: boolean;
  /** How long a client waits for an answer, whatever the number of aliases on the way to it. */
  readonly deadlineMs: number;
}

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
  readonly #own: OwnAnswers<Route>;
  readonly #claims: AliasClaims<Route>;
  readonly query = new Query();
  readonly #reply = replySpace(new Uint8Array(0), 0);
  /** For replies that come later. */
  readonly #laterReply = replySpace(new Uint8Array(MAX_MESSAGE_OCTETS), 0);
  readonly #follower: AliasFollower;
  #rules: ResolverRules<Route>;
  /** Where the last answer came from. */
  #origin: (typeof ORIGIN)[keyof typeof ORIGIN] = ORIGIN.malformed;
  /** The query that was left pending last has an alias, and a part of its answer is known. */
  #isPartKnown = false;

  readonly #steps: readonly Step[] = [
    {
      origin: ORIGIN.class,
      why: 'only class IN has data here; CH answers what the operator chose to tell of this server',
      answer: (query, reply) => this.#own.otherClass(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.metaType,
      why: 'what asks a server for something and is not about a name is refused for every name, and never passed on',
      answer: (query, reply) => this.#own.metaType(query, reply),
    },
    {
      origin: ORIGIN.endpoint,
      why: 'what the server exists for: before everything that an operator or an upstream could say of the name',
      answer: (query, reply) => this.#own.endpoint(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.localZone,
      why: 'names that must not leave the site, and the rules of the operator, who knows better than an upstream',
      answer: (query, reply) => this.#own.localZone(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.retained,
      why: 'names that the operator wants answered at once, whatever happens; who keeps them fresh is not the query',
      answer: (query, reply) => this.#kept.retained(query, this.#own.route, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: "the operator's word on a zone while its upstreams are gone stands before what they said",
      answer: (query, reply) => this.#own.disconnected('before-cache', query, this.#rules, reply),
    },
    {
      origin: ORIGIN.cacheFresh,
      why: 'what an upstream said a moment ago',
      answer: (query, reply) => this.#kept.fresh(query, this.#own.route, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: 'services of AWS are gone with the link: an old address would only be waited for',
      answer: (query, reply) => this.#own.disconnected('before-stale', query, this.#rules, reply),
    },
    {
      origin: ORIGIN.cacheStale,
      why: 'what an upstream said once, where waiting for a newer answer would help nobody',
      answer: (query, reply) => this.#kept.stale(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: "EC2's own names can be worked out, and the rest of them denied at once, where nothing was kept",
      answer: (query, reply) => this.#own.disconnected('behind-stale', query, this.#rules, reply),
    },
    {
      origin: ORIGIN.notRecursive,
      why: 'without RD the client asks for what is here, and nothing is',
      answer: (query, reply) => this.#own.notRecursive(query, reply),
    },
    {
      origin: ORIGIN.localZone,
      why: "DS of a zone of ours belongs to the parent's servers, and they cannot be asked",
      answer: (query, reply) => this.#own.dsInCut(query, this.#rules, reply),
    },
    {
      origin: ORIGIN.disconnected,
      why: 'a known name with a suffix after it comes from a search list, which goes on only after a denial',
      answer: (query, reply) => this.#own.searchLeak(query, this.#rules, reply),
    },
  ];

  constructor(options: ResolverOptions<Route>, rules: ResolverRules<Route>) {
    this.#options = options;
    this.#rules = rules;
    this.#later = new LaterAnswers({ ...options, rules: () => this.#rules.disconnected });
    this.#own = new OwnAnswers(options, rules.defaultRoute);
    const isSearchLeak = (query: Query, route: Route) => this.#own.isSearchLeak(query, route, this.#rules);
    const outage: OutageNotes = {
      noteStale: (query) => options.outage.noteStale(query),
      noteEndpoint: (record) => options.outage.noteEndpoint(record),
      noteFailed: (query) => this.#noteFailed(query),
    };
    this.#kept = new KeptAnswers({ ...options, outage, isSearchLeak }, this.#later);
    this.#claims = new AliasClaims(options);
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
    const query = new Query(asker.network);
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
    const tell = (found: LaterAnswer): void =>
      attempt(() => {
        reply.limit = limit;
        const length = this.#writeFound(query, found, route, reply);
        if (reply.aliases === undefined || this.#claims.isClear(reply, this.#rules)) told(length);
        else follow(length);
      }, failed);
    this.#later.answer(query, route, { tell, fail: failed });
  }

  /** The reply to a query that had to wait. */
  #writeFound(query: Query, found: LaterAnswer, route: Route, reply: ReplySpace): number {
    if (query.qtype !== TYPE.DS) return this.#writeAny(query, found, route, reply);
    return this.#orNoDs(query, this.#writeAny(query, found, route, reply), reply);
  }

  #writeAny(query: Query, found: LaterAnswer, route: Route, reply: ReplySpace): number {
    const { outage, later } = this.#options;
    const { octets, start, limit } = reply;
    reply.aliases = undefined;
    this.#own.route = route;
    const hasFailed = found.origin === 'failed';
    if (hasFailed && this.#kept.isNoData(query, route, hasFailed)) {
      this.#origin = ORIGIN.retained;
      return writeNoData(query, octets, start);
    }
    // the first to meet a dead upstream has waited for it, and gets what all who come after get at once
    const isCut = hasFailed && (later.isCut(query, route) || later.isLinkCut(route));
    const spoken = isCut ? this.#rules.disconnected.find(query) : STALE;
    if (spoken.kind !== 'stale') {
      this.#origin = ORIGIN.disconnected;
      return this.#own.spoken(query, spoken, reply);
    }
    if (isCut && this.#own.isSearchLeak(query, route, this.#rules)) {
      this.#origin = ORIGIN.disconnected;
      return this.#own.denyLeak(query, reply);
    }
    this.#origin = ORIGIN[found.origin];
    if (found.origin === 'failed') this.#noteFailed(query);
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

  get rules(): ResolverRules<Route> {
    return this.#rules;
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
    const hasAliases =
      first !== PENDING && reply.aliases !== undefined && !this.#claims.isClear(reply, this.#rules);
    const length = hasAliases ? this.#follower.now(query, reply, first) : first;
    this.#isPartKnown = hasAliases;
    if (length !== PENDING) this.counters.countOrigin(this.#origin);
    return length;
  }

  /** The first step that has an answer, or PENDING. */
  #step(query: Query, reply: ReplySpace): number {
    reply.aliases = undefined;
    this.#own.route = this.#rules.defaultRoute;
    for (const step of this.#steps) {
      const length = step.answer(query, reply);
      if (length === PASS) continue;
      this.#origin = step.origin;
      return query.qtype === TYPE.DS ? this.#orNoDs(query, length, reply) : length;
    }
    return PENDING;
  }

  /** The reply in `reply`, unless it is none of the parent's about a zone that this server answers for. */
  #orNoDs(query: Query, length: number, reply: ReplySpace): number {
    if (rcodeAt(reply.octets, reply.start) === RCODE.NOERROR) return length;
    const answer = this.#own.noDs(query, this.#rules);
    if (answer === undefined) return length;
    this.#origin = ORIGIN.localZone;
    return this.#own.writeOwn(query, answer, reply);
  }

  /** A failure that a client sees: in the place of the parent's word on DS it gets ours. */
  #noteFailed(query: Query): void {
    if (this.#own.noDs(query, this.#rules) === undefined) this.#options.outage.noteFailed(query);
  }

  #aliasHost(): AliasHost {
    const resolver = this;
    return {
      timers: this.#options.later.timers,
      walk: (query, reply) => this.#step(query, reply),
      fetch: (query, reply, told, failed) => {
        const route = this.routeOf(query);
        this.#later.answer(query, route, {
          tell: (found) => attempt(() => told(this.#writeFound(query, found, route, reply)), failed),
          fail: failed,
        });
      },
      claim: (target, around) => this.#claims.claim(target, around, this.#rules, this.#own.route),
      clear: ({ aliases }, isPositive) => this.#claims.clear(aliases, isPositive, this.#rules),
      get isFromUpstream() {
        return UPSTREAM_ORIGINS.includes(resolver.#origin);
      },
      get isNotRecursive() {
        return resolver.#origin === ORIGIN.notRecursive;
      },
    };
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
}
