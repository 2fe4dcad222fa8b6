/**
 * The resolver answers a query by one literal list of steps, at the end of this file.
 *
 *     turn -> steps, in order, until one answers -> octets at once
 *               `--> forward: PENDING -> later: the step's fetch asks upstreams -> octets to the reply
 *
 * It knows all of its sibling rooms and nothing of sockets, files or AWS. This server is a forwarder (RFC 9499) with
 * authoritative data of its own. An answer that comes later comes within the forwarder's deadline.
 */
import { MAX_MESSAGE_OCTETS, rcodeAt } from '../../protocol/wire/message.ts';
import { type Query, VERDICT } from '../../protocol/wire/query.ts';
import { RCODE, TYPE } from '../../protocol/words/codes.ts';
import {
  ORIGIN,
  PASS,
  PENDING,
  type QueryHandler,
  type Reply,
  ResolverCounters,
  type Route,
  type Step,
  type Turn,
  TurnRelay,
} from '../turn.ts';
import { AliasFollower, AliasTargets } from './alias-follower.ts';
import {
  type FetchedAnswer,
  FetchedAnswers,
  isGone,
  isLinkCut,
  isTurnCut,
  KeptAnswers,
  OwnAnswers,
  writeEmpty,
} from './answers.ts';
import { OutageAnswers } from './outage-answers.ts';
import type { ResolverDeps, ResolverOptions, ResolverRules } from './resolver-deps.ts';

export class Resolver implements QueryHandler {
  readonly counters = new ResolverCounters();
  readonly #deps: ResolverDeps;
  readonly #own: OwnAnswers;
  readonly #kept: KeptAnswers;
  readonly #outage: OutageAnswers;
  readonly #targets: AliasTargets;
  readonly #follower: AliasFollower;
  readonly #steps: readonly Step[];
  /** The reply space of all answers that come later: the server sends each answer before it writes the next answer. */
  readonly #laterSpace = new Uint8Array(MAX_MESSAGE_OCTETS);

  constructor({ arrange = (steps) => steps, ...options }: ResolverOptions, rules: ResolverRules) {
    const deps = { ...options, rules };
    this.#deps = deps;
    // The parts need each other. The functions here are first called by a query, when every field is set.
    const fetched = new FetchedAnswers(deps, {
      write: (turn, answer) => this.#orNoDs(turn, this.#write(turn, answer)),
      hasSubstitute: (query, route) => this.#outage.hasSubstitute(query, route),
      isMadeUp: (query, response, nowMs) => this.#outage.isMadeUp(query, response, nowMs),
    });
    this.#own = new OwnAnswers(deps);
    this.#kept = new KeptAnswers(deps, this.#own, fetched, (turn) => this.#outage.insteadOfFailure(turn));
    this.#outage = new OutageAnswers(deps, this.#own, this.#kept);
    this.#targets = new AliasTargets(deps);
    this.#steps = arrange(resolverSteps(deps, this.#own, this.#kept, fetched, this.#outage));
    this.#follower = new AliasFollower({
      walk: (turn) => this.#walk(turn),
      targets: this.#targets,
      timers: options.timers,
      clock: options.clock,
    });
  }

  get rules(): ResolverRules {
    return this.#deps.rules;
  }

  /** Returns the route of a forwarded question, for questions of this server itself. */
  routeOf(query: Query): Route {
    const found = this.rules.localZones.find(query);
    return found?.kind === 'forward' ? found.route : this.rules.defaultRoute;
  }

  /** Whether the link to the far side is known to be down, and the route leads to names beyond it. */
  isLinkCut(route: Route): boolean {
    return isLinkCut(this.#deps, route);
  }

  /** Takes new rules from the next query on. */
  reconfigure(rules: ResolverRules): void {
    this.#deps.rules = rules;
  }

  answer(turn: Turn): number {
    const first = this.#walk(turn);
    const hasAliases = first > 0 && turn.aliases !== undefined && !this.#targets.isClear(turn);
    const length = hasAliases ? this.#follower.followNow(turn, first) : first;
    turn.isPartKnown = hasAliases;
    if (length > 0) this.#count(turn.origin, turn.space, turn.spaceStart);
    return length;
  }

  later(turn: Turn, reply: Reply): void {
    turn.endsAtMs = this.#deps.clock.monotonicMs() + this.rules.deadlineMs;
    turn.space = this.#laterSpace;
    if (turn.isPartKnown) this.#follow(turn, reply, PENDING);
    else turn.step?.fetch?.(turn, new TurnRelay(turn, reply, this.#orFollow));
  }

  /** Sends an answer that came later, unless its aliases have to be followed first. */
  readonly #orFollow = (turn: Turn, reply: Reply, message: Uint8Array, hasMore?: boolean): void => {
    if (turn.aliases === undefined || this.#targets.isClear(turn)) this.#send(turn, reply, message, hasMore);
    else this.#follow(turn, reply, message.length);
  };

  #follow(turn: Turn, reply: Reply, length: number): void {
    const leftMs = Math.max(0, turn.endsAtMs - this.#deps.clock.monotonicMs());
    this.#follower.followLater(turn, length, leftMs, new TurnRelay(turn, reply, this.#send));
  }

  readonly #send = (turn: Turn, reply: Reply, message: Uint8Array, hasMore?: boolean): void => {
    if (message.length > 0 && hasMore !== true) this.#count(turn.origin, message, 0);
    reply.send(message, hasMore);
  };

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

  /** Writes a fetched answer. A failure gives way to all that can be answered without upstreams. */
  #write(turn: Turn, answer: FetchedAnswer): number {
    turn.aliases = undefined;
    if (answer.origin !== 'failed') {
      turn.origin = ORIGIN[answer.origin];
      if (answer.origin === 'cacheStale') this.#deps.outage.noteStale(turn.query);
      return this.#kept.give(turn, answer.given);
    }
    const instead = this.#outage.insteadOfFailure(turn);
    if (instead !== PASS) return instead;
    const { query, route } = turn;
    if (!isGone(this.#deps, query, route)) this.#deps.failedNames?.note(query, turn.nowMs);
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

/**
 * The order in which a query is answered: each step says why it is there, and which steps must come before it. Steps share
 * nothing but the turn, so steps without such a reason may change places: test/serving/resolver/step-order.test.ts asks
 * every order that the reasons allow.
 */
function resolverSteps(
  deps: ResolverDeps,
  own: OwnAnswers,
  kept: KeptAnswers,
  fetched: FetchedAnswers,
  outage: OutageAnswers,
): readonly Step[] {
  const inCut =
    (answer: Step['answer']): Step['answer'] =>
    (turn) =>
      isTurnCut(deps, turn) ? answer(turn) : PASS;
  return [
    {
      name: 'malformed',
      origin: ORIGIN.malformed,
      why: 'a message that cannot be read has no question',
      after: {},
      answer: (turn) => own.malformed(turn),
    },
    {
      name: 'class',
      origin: ORIGIN.class,
      why: 'only class IN has data here; class CH has the version and name that the operator chose to give',
      after: { malformed: 'it reads the question' },
      answer: (turn) => own.otherClass(turn),
    },
    {
      name: 'meta-type',
      origin: ORIGIN.metaType,
      why: 'a zone transfer and the like is not about a name: it is refused for every name, and never passed on',
      after: { class: 'a class without data is refused without a reason, for every type' },
      answer: (turn) => own.metaType(turn),
    },
    {
      name: 'endpoint',
      origin: ORIGIN.endpoint,
      why: 'the name of an endpoint: no rule of the operator and no upstream changes its answer',
      after: { 'meta-type': 'the table has an answer for every type' },
      answer: (turn) => own.endpoint(turn),
    },
    {
      name: 'local-zone',
      origin: ORIGIN.localZone,
      why: 'names that must not leave the site, and the rules of the operator, who knows better than an upstream',
      after: { endpoint: 'a rule of the operator must not hide an endpoint' },
      answer: (turn) => own.localZone(turn),
    },
    {
      name: 'retained',
      origin: ORIGIN.retained,
      why: 'names that the operator wants answered at once, also during a cut; a schedule keeps them fresh, not the query',
      after: { 'local-zone': 'the zone has chosen the route, and with it whether upstreams can be asked' },
      answer: (turn) => kept.retained(turn),
    },
    {
      name: 'operator-rule',
      origin: ORIGIN.disconnected,
      why: "the operator's rule for a zone whose upstreams are gone wins over their earlier answers",
      after: { retained: 'a retained name is answered in a cut too' },
      answer: (turn) =>
        deps.rules.disconnected.hasOperatorRules ? outage.byRule('before-cache', turn) : PASS,
    },
    {
      name: 'fresh',
      origin: ORIGIN.cacheFresh,
      why: 'an answer of an upstream whose time is not over',
      after: { 'operator-rule': 'the rule holds although an upstream may have answered before' },
      answer: (turn) => kept.fresh(turn),
    },
    {
      name: 'aws-service',
      origin: ORIGIN.disconnected,
      why: 'services of AWS are gone with the link: a client would wait for an old address in vain',
      after: { fresh: 'an answer that is still fresh is given' },
      answer: inCut((turn) => outage.byRule('before-stale', turn)),
    },
    {
      name: 'stale',
      origin: ORIGIN.cacheStale,
      why: 'an expired answer, where waiting for a newer answer would help nobody',
      after: {
        fresh: 'the search for a fresh answer leaves the expired one on the turn',
        'aws-service': 'an old address of a service that is gone helps nobody',
      },
      answer: (turn) => kept.stale(turn),
    },
    {
      name: 'computed-name',
      origin: ORIGIN.disconnected,
      why: "EC2's own names can be computed, and the rest of them denied at once, where nothing was kept",
      after: { stale: 'an answer of an upstream is better than a computed answer' },
      answer: inCut((turn) => outage.byRule('after-stale', turn)),
    },
    {
      name: 'not-recursive',
      origin: ORIGIN.notRecursive,
      why: 'without RD the client asks for data that is here, and there is none',
      after: { 'computed-name': 'computed data is here too' },
      answer: (turn) => own.notRecursive(turn),
    },
    {
      name: 'beside-address',
      origin: ORIGIN.disconnected,
      why: 'the name has an address of the other type: a failure would take it from a client that asks for both',
      after: {
        'computed-name': 'a rule speaks for both types of address',
        'not-recursive': 'it is no data that is here',
      },
      answer: inCut((turn) => outage.besideAddress(turn)),
    },
    {
      name: 'ds-of-own-zone',
      origin: ORIGIN.localZone,
      why: "DS of a zone of ours belongs to the parent's servers, and they cannot be asked",
      after: { stale: "an earlier answer of the parent's servers is better than our own" },
      answer: inCut((turn) => outage.dsOfOwnZone(turn)),
    },
    {
      name: 'search-leak',
      origin: ORIGIN.disconnected,
      why: 'a known name with a suffix after it comes from a search list, which goes on only after a denial',
      after: { 'not-recursive': 'a search list asks with RD' },
      answer: inCut((turn) => outage.searchLeak(turn)),
    },
    {
      name: 'forward',
      origin: ORIGIN.forwarded,
      why: 'a question that no step can answer goes to upstreams',
      after: {
        'beside-address': 'in a cut every question to an upstream fails',
        'ds-of-own-zone': 'in a cut every question to an upstream fails',
        'search-leak': 'in a cut every question to an upstream fails',
      },
      answer: () => PENDING,
      fetch: (turn, reply) => fetched.answer(turn, reply),
    },
  ];
}

/** Runs the list: the first step that has an answer, or leaves the query pending, ends it. */
function firstAnswer(steps: readonly Step[], turn: Turn): number {
  for (const step of steps) {
    turn.origin = step.origin;
    const length = step.answer(turn);
    if (length === PASS) continue;
    turn.step = step;
    return length;
  }
  throw new Error('the list of steps has no end: its last step must answer every query');
}
