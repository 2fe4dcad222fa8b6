/**
 * Answers a question as a client would get the answer, without any effect: no upstream is asked, nothing is counted, kept or
 * forgotten. A second resolver walks the same list of steps over the same table, rules and kept answers.
 *
 *     as it is now     a question for upstreams stays `forward`: only they know the answer
 *     as if cut        upstreams across the link are silent: the answer is what is left
 */
import { MAX_MESSAGE_OCTETS } from '../../protocol/wire/message.ts';
import { composeOwnQuery, parseQuery, Query, VERDICT } from '../../protocol/wire/query.ts';
import { EXTENDED_ERROR } from '../../protocol/words/codes.ts';
import { nameToWire } from '../../protocol/words/name.ts';
import type { AnswerCache, AnswerStore } from '../answer-cache/answer-cache.ts';
import { ORIGIN, type Origin, PENDING, type Route, Turn } from '../turn.ts';
import { isCut } from './answers.ts';
import { Resolver } from './resolver.ts';
import type { ResolverOptions, ResolverRules, Upstreams } from './resolver-deps.ts';

export interface RehearsalDeps {
  readonly options: ResolverOptions & { readonly cache: AnswerCache };
  readonly rules: () => ResolverRules;
  /** Whether all upstreams of a route, which answer now or do not, are across the link. */
  readonly isAcrossLink: (route: Route) => boolean;
}

export interface Rehearsed {
  /** The step of the resolver's list that answers. */
  readonly step: string;
  /** Why the step stands in the list. */
  readonly why: string;
  readonly origin: Origin;
  /** The message that a client gets; undefined where only upstreams know the answer, or where the client gets none. */
  readonly message: Uint8Array | undefined;
  /** The route that a question for upstreams takes. */
  readonly route: string;
  /** The kept answer from which the step answers. */
  readonly kept?: KeptAge;
}

export interface KeptAge {
  readonly ageMs: number;
  /** Negative for an expired answer. */
  readonly freshForMs: number;
  /** Until it is given no more, even where no upstream can be asked; absent for a retained answer, which has no end. */
  readonly givenForMs?: number;
}

export class Rehearsal {
  readonly #deps: RehearsalDeps;
  readonly #space = new Uint8Array(MAX_MESSAGE_OCTETS);

  constructor(deps: RehearsalDeps) {
    this.#deps = deps;
  }

  /** Throws NameError where the text is no name. */
  answer(name: string, qtype: number, as: 'now' | 'cut'): Rehearsed {
    const { options, rules } = this.#deps;
    const asked = as === 'cut' ? this.#cutOff() : { upstreams: NOT_ASKED(options.upstreams) };
    const kept = options.cache.withoutTrace();
    const cache = as === 'cut' ? withoutFailures(kept) : kept;
    const unnoted = { outage: UNNOTED, timers: NO_TIMERS };
    const resolver = new Resolver({ ...options, ...asked, ...unnoted, cache }, rules());
    const turn = this.#turnFor(name, qtype);
    const length = resolver.answer(turn);
    if (length !== PENDING) return this.#withAge(rehearsed(turn, length), turn, cache);
    const later: Uint8Array[] = [];
    // without EDNS and with nobody to ask, an answer that comes later comes at once
    const route = turn.route.name;
    resolver.later(turn, {
      send: (message) => {
        later.push(message.slice());
      },
      fail: (error) => {
        throw error;
      },
    });
    const [message] = later;
    const answer = { ...rehearsed(turn, 0), route, message };
    return message === undefined ? answer : this.#withAge(answer, turn, cache);
  }

  #withAge(answer: Rehearsed, { query }: Turn, cache: AnswerStore): Rehearsed {
    if (!FROM_KEPT.has(answer.origin)) return answer;
    const nowMs = this.#deps.options.clock.monotonicMs();
    const found = cache.find(query, nowMs);
    if (found === undefined) return answer; // an answer to the question with another DO or CD
    const { storedAtMs, lifetimeMs, isRetained } = found;
    const freshForMs = storedAtMs + lifetimeMs - nowMs;
    const givenForMs = freshForMs + cache.settings.staleForMs;
    const kept = { ageMs: nowMs - storedAtMs, freshForMs, ...(isRetained ? {} : { givenForMs }) };
    return { ...answer, kept };
  }

  #turnFor(name: string, qtype: number): Turn {
    const { clock } = this.#deps.options;
    const octets = composeOwnQuery(nameToWire(name), qtype);
    const query = new Query();
    const turn = new Turn(query);
    turn.verdict = parseQuery(query, octets, 0, octets.length);
    if (turn.verdict !== VERDICT.OK) throw new Error(`a question that cannot be parsed: "${name}"`);
    turn.from('tcp', LOOPBACK, 0, 4, 0, clock.monotonicMs());
    turn.space = this.#space;
    turn.limit = MAX_MESSAGE_OCTETS;
    return turn;
  }

  /** Upstreams across the link are silent; those on the site are as they are now, and are not asked. */
  #cutOff(): Pick<ResolverOptions, 'upstreams' | 'link'> {
    const { options, rules, isAcrossLink } = this.#deps;
    const link = { isFarSideCut: true };
    const upstreams: Upstreams = {
      ...NOT_ASKED(options.upstreams),
      isCut: (query, route) => isAcrossLink(route) || options.upstreams.isCut(query, route),
      forwardTo: (query, route, reply) => {
        // upstreams on the site go on, and only they know the answer
        if (!isCut({ link, upstreams, rules: rules() }, query, route)) return;
        const extendedError = EXTENDED_ERROR.NO_REACHABLE_AUTHORITY;
        reply.send({ kind: 'failed', reason: 'all-down', extendedError, wasAsked: false });
      },
    };
    return { upstreams, link };
  }
}

/** Origins of answers that upstreams gave earlier. */
const FROM_KEPT: ReadonlySet<Origin> = new Set(['retained', 'cacheFresh', 'cacheStale']);
const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

const NOT_ASKED = (now: Upstreams): Upstreams => ({
  isCut: (query, route) => now.isCut(query, route),
  isLoopProbe: () => false,
  noteFalseDenial: () => undefined,
  noteLoop: () => undefined,
  forwardTo: () => undefined,
});

/** A remembered failure says nothing of a cut, which lasts longer, and would be the answer in place of a later step. */
function withoutFailures(cache: AnswerStore): AnswerStore {
  const find: AnswerStore['find'] = (query, nowMs) => {
    const found = cache.find(query, nowMs);
    return found?.kind === 'failure' ? undefined : found;
  };
  return { ...cache, find };
}

const NO_TIMERS: ResolverOptions['timers'] = { after: () => ({ [Symbol.dispose]: () => undefined }) };

const UNNOTED: ResolverOptions['outage'] = {
  isCollecting: false,
  noteFailed: () => undefined,
  noteStale: () => undefined,
  noteEndpoint: () => undefined,
};

function rehearsed(turn: Turn, length: number): Rehearsed {
  const { step, origin, space, spaceStart, route } = turn;
  return {
    step: step?.name ?? 'none',
    why: step?.why ?? '',
    origin: ORIGINS[origin] ?? 'failed',
    message: length > 0 ? space.slice(spaceStart, spaceStart + length) : undefined,
    route: route.name,
  };
}

// the keys of ORIGIN are its names, in their order
const ORIGINS = Object.keys(ORIGIN) as readonly Origin[];
