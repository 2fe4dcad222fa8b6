/** Answers that have to be fetched first: forward, keep what comes, and give what was kept where nothing comes in time. */
import { FLAG } from '../../protocol/wire/header.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import type { TtlPatch } from '../../protocol/wire/response-patch.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { isAboutName, RCODE } from '../../protocol/words/rcodes.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import type { AnswerCache } from '../answer-cache/answer-cache.ts';
import { type CachedAnswer, capTtls } from '../answer-cache/cached-answer.ts';
import type { ForwardFailureReason } from '../forwarder/forward-outcome.ts';
import type { DisconnectedRules } from '../local-zones/disconnected-rules.ts';
import { mayBeMadeUp } from './made-up-denial.ts';
import type { Origin } from './resolver-counters.ts';

/** What the resolver needs of the forwarder. */
export interface Later<Route> {
  /** Asks the upstreams of `route`; tells the outcome within the forwarder's deadline, perhaps at once. Keeps `query`. */
  forward(query: Query, route: Route, landed: (fetched: Fetched) => void): void;
  /**
   * Whether nobody can be asked about the query's name: no upstream of the route answers, or none answers for this
   * suffix, or the name is on the far side of a link that is down. Makes no object. The query's class is IN.
   */
  isCut(query: Query, route: Route): boolean;
  /** Whether the link to the far side is known to be down, and the route leads to names beyond it. */
  isLinkCut(route: Route): boolean;
  /** Told of a denial that what is kept contradicts, and which upstream said so. */
  noteFalseDenial(query: Query, upstream: string): void;
  /** Whether the query is a probe of our own that came back: an upstream forwards to us. */
  isLoopProbe(query: Query): boolean;
  /** Told of such a query, so that the upstream is avoided. */
  noteLoop(query: Query): void;
  readonly timers: Timers;
}

export type Fetched =
  | {
      readonly kind: 'response';
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
      /** The upstream that said it. */
      readonly upstream?: string;
    }
  | {
      readonly kind: 'failed';
      readonly extendedError: number;
      readonly reason: ForwardFailureReason;
      /** `false`: it failed at once, by what was known before. */
      readonly wasAsked?: false;
    };

/** What to reply: octets to be patched, or a response code alone. */
export type LaterAnswer =
  | {
      readonly kind: 'octets';
      readonly origin: Origin;
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
      readonly ttl: TtlPatch;
      readonly extendedError: number | undefined;
    }
  | {
      readonly kind: 'rcode';
      readonly origin: Origin;
      readonly rcode: number;
      readonly extendedError: number | undefined;
    };

/** Who is told how it ends: by one of the two, once. */
export interface Told {
  tell(answer: LaterAnswer): void;
  fail(error: unknown): void;
}

export interface LaterAnswersOptions<Route> {
  readonly cache: AnswerCache;
  readonly later: Later<Route>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly rules: () => DisconnectedRules;
}

/** RFC 8767 section 5, client response timer: how long a client waits for what may be fresher than what we have. */
const CLIENT_RESPONSE_MS = 1_800;
/**
 * `. NS` is how CoreDNS probes us, and it counts any reply within 1 s as health. Silence about a dead upstream would
 * make it give us up, and the endpoint with us.
 */
const PROBE_RESPONSE_MS = 500;

export class LaterAnswers<Route> {
  readonly #cache: AnswerCache;
  readonly #later: Later<Route>;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #rules: () => DisconnectedRules;

  constructor({ cache, later, clock, rules }: LaterAnswersOptions<Route>) {
    this.#rules = rules;
    this.#cache = cache;
    this.#later = later;
    this.#clock = clock;
  }

  /** The answer to `query`, which is this room's from now on: told once, within a client's patience, perhaps at once. */
  answer(query: Query, route: Route, { tell, fail }: Told): void {
    if (this.#later.isLoopProbe(query)) {
      this.#later.noteLoop(query);
      tell(failed(undefined));
      return;
    }
    const isProbe = isHealthProbe(query);
    if (isProbe || this.#keptAnswer(query, route) !== undefined) {
      this.#fetch(
        query,
        route,
        this.#within(isProbe ? PROBE_RESPONSE_MS : CLIENT_RESPONSE_MS, query, route, { tell, fail }),
      );
      return;
    }
    // what was kept before a restart may have come in meanwhile, and a cut may have begun
    this.#fetch(query, route, { tell: (found) => tell(this.#orKept(found, query, route)), fail });
  }

  /** Asks for what is kept and about to expire; the client that drew attention to it has its answer already. */
  prefetch(query: Query, kept: CachedAnswer, route: Route, nowMs: number): void {
    this.#cache.claimPrefetch(kept, nowMs);
    this.#fetch(query.copy(), route, PREFETCHED);
  }

  #fetch(query: Query, route: Route, told: Told): void {
    this.#later.forward(query, route, (fetched) => {
      let answer: LaterAnswer;
      try {
        answer = this.#keep(query, route, fetched);
      } catch (error) {
        told.fail(error);
        return;
      }
      told.tell(answer);
    });
  }

  /** Keeps what was fetched, and makes an answer of it. */
  #keep(query: Query, route: Route, fetched: Fetched): LaterAnswer {
    const nowMs = this.#clock.monotonicMs();
    if (fetched.kind === 'failed') {
      // what failed at once by what was known before must not go on failing once the upstream is back
      if (isAboutUpstreams(fetched.reason) && fetched.wasAsked !== false)
        this.#cache.noteFailure(query, nowMs);
      return failed(fetched.extendedError);
    }
    // RFC 2181 section 9: what was truncated even over TCP is no answer, and a part of one must not look like the whole
    if ((fetched.index.flags & FLAG.TC) !== 0) {
      this.#cache.noteFailure(query, nowMs);
      return failed(EXTENDED_ERROR.NETWORK_ERROR);
    }
    // REFUSED and the like speak of the upstream, not of the name, and musl ignores them for 5 s
    if (!isAboutName(fetched.index.rcode)) {
      const { extendedError } = fetched.index;
      this.#cache.noteFailure(query, nowMs, extendedError);
      return failed(extendedError ?? this.#reasonOf(query, route));
    }
    if (this.#isFalseDenial(query, route, fetched, nowMs)) {
      if (fetched.upstream !== undefined) this.#later.noteFalseDenial(query, fetched.upstream);
      this.#cache.noteFailure(query, nowMs);
      return failed(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY);
    }
    const kept = this.#cache.store(query, fetched.octets, fetched.index, nowMs);
    // what is not kept is given as it came, except that nobody is to believe it for longer than we would
    if (kept === undefined) capTtls(fetched.octets, fetched.index, this.#cache.settings.maxTtlSeconds);
    const { octets, index } = kept ?? fetched;
    return { kind: 'octets', origin: 'forwarded', octets, index, ttl: JUST_NOW, extendedError: undefined };
  }

  /** The extended error for a failure of which an upstream gives no reason. */
  #reasonOf(query: Query, route: Route): number | undefined {
    const isCut = this.#later.isLinkCut(route) || this.#later.isCut(query, route);
    return isCut ? EXTENDED_ERROR.NO_REACHABLE_AUTHORITY : undefined;
  }

  /**
   * Whether a denial is made up, as far as can be told while the link is down: what is kept and the operator's rules
   * are believed before it.
   */
  #isFalseDenial(
    query: Query,
    route: Route,
    { octets, index }: Fetched & { kind: 'response' },
    nowMs: number,
  ): boolean {
    if (!this.#later.isLinkCut(route) || !mayBeMadeUp(octets, index)) return false;
    const kept = this.#cache.peekAny(query, nowMs, true)?.answer.kind;
    if (kept === 'positive' || (kept === 'nodata' && index.rcode === RCODE.NXDOMAIN)) return true;
    const rule = this.#rules().find(query);
    return rule.kind !== 'stale' && rule.standing === 'before-cache';
  }

  #orKept(found: LaterAnswer, query: Query, route: Route): LaterAnswer {
    return found.origin === 'failed' ? (this.#keptAnswer(query, route) ?? found) : found;
  }

  /** What is kept of the question with any DO and CD; a fresh answer is only there with another DO or CD. */
  #keptAnswer(query: Query, route: Route): LaterAnswer | undefined {
    const isCut = this.#later.isCut(query, route);
    // the first pass has counted this question
    const given = this.#cache.peekAny(query, this.#clock.monotonicMs(), isCut);
    if (given === undefined) return undefined;
    const { answer, ttl, extendedError } = given;
    const origin = extendedError === undefined ? 'cacheFresh' : 'cacheStale';
    return { kind: 'octets', origin, octets: answer.octets, index: answer.index, ttl, extendedError };
  }

  /** For a client that is told something else when the answer takes longer, or fails. */
  #within(patienceMs: number, query: Query, route: Route, told: Told): Told {
    let isTold = false;
    const tell = (answer: LaterAnswer): void => {
      if (isTold) return;
      isTold = true;
      patience[Symbol.dispose]();
      told.tell(this.#orKept(answer, query, route));
    };
    const patience = this.#later.timers.after(patienceMs, () => {
      // RFC 8767 section 5: until the recheck nobody else waits for this upstream, which may stay silent for seconds
      this.#cache.noteFailure(query, this.#clock.monotonicMs());
      tell(failed(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY));
    });
    return {
      tell,
      fail: (error) => {
        patience[Symbol.dispose]();
        isTold = true;
        told.fail(error);
      },
    };
  }
}

/** Nobody waits for it; a fault is a defect like any other that nobody has caught. */
const PREFETCHED: Told = {
  tell: () => undefined,
  fail: (error) =>
    queueMicrotask(() => {
      throw error;
    }),
};

const JUST_NOW: TtlPatch = { ageSeconds: 0 };

function failed(extendedError: number | undefined): LaterAnswer {
  return { kind: 'rcode', origin: 'failed', rcode: RCODE.SERVFAIL, extendedError };
}

/** Too much to do here, or the end of it, says nothing about who can answer: it must not be remembered as if it did. */
function isAboutUpstreams(reason: ForwardFailureReason): boolean {
  return reason !== 'overloaded' && reason !== 'closing';
}

function isHealthProbe(query: Query): boolean {
  return query.labelCount === 0 && query.qtype === TYPE.NS;
}
