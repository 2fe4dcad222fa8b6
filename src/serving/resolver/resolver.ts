/**
 * The resolver answers a query by the list of steps in steps.ts.
 *
 *     turn -> steps, in order, until one answers -> octets at once
 *               `--> forward: PENDING -> later: ask upstreams -> octets to the reply
 *
 * It knows all of its sibling rooms and nothing of sockets, files or AWS. This server is a forwarder (RFC 9499) with
 * authoritative data of its own. An answer that comes later comes within the forwarder's deadline.
 */
import { MAX_MESSAGE_OCTETS, rcodeAt } from '../../protocol/wire/header.ts';
import { type Query, VERDICT } from '../../protocol/wire/query.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { EndpointRecord } from '../../records/endpoint-record.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import type { ServingTable } from '../endpoints/serving-table.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import type { LocalZones } from '../local-zones/local-zones.ts';
import { PENDING, type QueryHandler, type Reply, type Route, type Step, type Turn } from '../turn.ts';
import { AliasClaims } from './alias-claims.ts';
import { AliasFollower } from './alias-follower.ts';
import { type FetchedAnswer, FetchedAnswers, type Upstreams } from './fetched-answers.ts';
import { KeptAnswers, writeNoData } from './kept-answers.ts';
import { OutageAnswers, type OutageNotes } from './outage-answers.ts';
import { type Identity, OwnAnswers, writeEmpty } from './own-answers.ts';
import { ORIGIN, ResolverCounters } from './resolver-counters.ts';
import { firstAnswer, resolverSteps } from './steps.ts';

export interface ResolverOptions {
  readonly endpoints: ServingTable;
  readonly cache: AnswerCache;
  readonly upstreams: Upstreams;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** The strings at `_status.<endpoint>`. */
  readonly statusText: (record: EndpointRecord) => readonly string[];
  readonly outage: OutageNotes;
  /** Another order of the steps, for the test of their reasons. */
  readonly arrange?: (steps: readonly Step[]) => readonly Step[];
}

/** Rules that a reload may replace. */
export interface ResolverRules {
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

/** What the steps work with besides the turn. */
export interface ResolverDeps extends ResolverOptions {
  /** Replaced whole by a reload. */
  rules: ResolverRules;
}

export class Resolver implements QueryHandler {
  readonly counters = new ResolverCounters();
  readonly #deps: ResolverDeps;
  readonly #fetched: FetchedAnswers;
  readonly #own: OwnAnswers;
  readonly #outage: OutageAnswers;
  readonly #kept: KeptAnswers;
  readonly #claims: AliasClaims;
  readonly #follower: AliasFollower;
  readonly #steps: readonly Step[];
  /** The reply space of every answer that comes later: it is sent before the next one is written. */
  readonly #laterSpace = new Uint8Array(MAX_MESSAGE_OCTETS);

  constructor({ arrange = (steps) => steps, ...options }: ResolverOptions, rules: ResolverRules) {
    const deps = { ...options, rules };
    this.#deps = deps;
    this.#fetched = new FetchedAnswers(deps);
    this.#own = new OwnAnswers(deps);
    this.#outage = new OutageAnswers(deps, this.#own);
    this.#kept = new KeptAnswers(deps, { own: this.#own, outage: this.#outage, fetched: this.#fetched });
    this.#claims = new AliasClaims(deps);
    const forward = (turn: Turn, reply: Reply) => this.#forward(turn, reply);
    this.#steps = arrange(resolverSteps({ own: this.#own, outage: this.#outage, kept: this.#kept, forward }));
    this.#follower = new AliasFollower({
      walk: (turn) => this.#walk(turn),
      claims: this.#claims,
      timers: options.upstreams.timers,
      clock: options.clock,
    });
  }

  get rules(): ResolverRules {
    return this.#deps.rules;
  }

  /** Where a question that is forwarded goes to, for questions that this server asks itself. */
  routeOf(query: Query): Route {
    const found = this.rules.localZones.find(query);
    return found?.kind === 'forward' ? found.route : this.rules.defaultRoute;
  }

  /** Takes new rules from the next query on. */
  reconfigure(rules: ResolverRules): void {
    this.#deps.rules = rules;
  }

  answer(turn: Turn): number {
    const first = this.#walk(turn);
    const hasAliases = first > 0 && turn.aliases !== undefined && !this.#claims.isClear(turn);
    const length = hasAliases ? this.#follower.now(turn, first) : first;
    turn.isPartKnown = hasAliases;
    if (length > 0) this.#count(turn.origin, turn.space, turn.spaceStart);
    return length;
  }

  later(turn: Turn, reply: Reply): void {
    const { clock } = this.#deps;
    const endsAtMs = clock.monotonicMs() + this.rules.deadlineMs;
    turn.space = this.#laterSpace;
    const counted: Reply = {
      send: (message, hasMore) => {
        if (message.length > 0 && hasMore !== true) this.#count(turn.origin, message, 0);
        reply.send(message, hasMore);
      },
      fail: (error) => reply.fail(error),
    };
    const follow = (length: number): void => {
      const leftMs = Math.max(0, endsAtMs - clock.monotonicMs());
      this.#follower.later(turn, length, leftMs, counted);
    };
    if (turn.isPartKnown) {
      follow(PENDING);
      return;
    }
    turn.step?.later?.(turn, {
      send: (message, hasMore) => {
        if (turn.aliases === undefined || this.#claims.isClear(turn)) counted.send(message, hasMore);
        else follow(message.length);
      },
      fail: (error) => reply.fail(error),
    });
  }

  #count(origin: number, message: Uint8Array, start: number): void {
    this.counters.countOrigin(origin);
    this.counters.countRcode(message, start);
  }

  /** The answer of the list of steps, or PENDING. */
  #walk(turn: Turn): number {
    turn.begin(this.rules.defaultRoute);
    const length = firstAnswer(this.#steps, turn);
    return length > 0 && turn.verdict === VERDICT.OK ? this.#orNoDs(turn, length) : length;
  }

  /** The step `forward`: asks the upstreams of the turn's route. */
  #forward(turn: Turn, reply: Reply): void {
    this.#fetched.answer(turn, {
      send: (answer) => {
        let length: number;
        try {
          length = this.#orNoDs(turn, this.#write(turn, answer));
        } catch (error) {
          reply.fail(error);
          return;
        }
        reply.send(turn.space.subarray(turn.spaceStart, turn.spaceStart + length));
      },
      fail: (error) => reply.fail(error),
    });
  }

  /** Writes a fetched answer. A failure gives way to all that can be answered without upstreams. */
  #write(turn: Turn, answer: FetchedAnswer): number {
    turn.aliases = undefined;
    if (answer.origin !== 'failed') {
      turn.origin = ORIGIN[answer.origin];
      if (answer.origin === 'cacheStale') this.#deps.outage.noteStale(turn.query);
      return this.#kept.give(turn, answer.given);
    }
    const { query, route } = turn;
    if (this.#kept.isNoData(query, route, true)) {
      turn.origin = ORIGIN.retained;
      return writeNoData(turn);
    }
    // the first client to meet a dead upstream has waited for it, and gets what later clients get at once
    const { rules, upstreams } = this.#deps;
    if (upstreams.isCut(query, route) || upstreams.isLinkCut(route)) {
      turn.origin = ORIGIN.disconnected;
      const rule = rules.disconnected.find(query);
      if (rule.kind !== 'stale') return this.#outage.write(turn, rule);
      if (this.#outage.isSearchLeak(query, route)) return this.#outage.denyLeak(turn);
    }
    turn.origin = ORIGIN.failed;
    this.#own.noteFailed(query);
    return writeEmpty(turn, RCODE.SERVFAIL, answer.extendedError);
  }

  /** The reply as it is, unless it denies DS of a zone that this server answers for: then our own answer. */
  #orNoDs(turn: Turn, length: number): number {
    if (turn.query.qtype !== TYPE.DS || rcodeAt(turn.space, turn.spaceStart) === RCODE.NOERROR) return length;
    const answer = this.#own.noDs(turn.query);
    if (answer === undefined) return length;
    turn.origin = ORIGIN.localZone;
    return this.#own.write(turn, answer);
  }
}
