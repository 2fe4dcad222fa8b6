/**
 * Follows aliases. By RFC 1034 section 4.3.2 the whole question begins again at the target of an alias. So the resolver's own
 * list of steps answers each part, and this file joins the parts. An endpoint, the operator's own records, a retained name, the
 * cache or an upstream may answer for the target.
 *
 *     reply with an alias -> who answers for its target? -> the same upstream, in the same response: leave it as it is
 *                                                         `-> this server, or nobody yet: cut there, ask the list again
 *
 * The usual answer has no alias. A kept answer whose chain is whole is checked once for each set of tables. Both cost one
 * comparison. A chain has at most 16 aliases, ends where it comes back to a name, and has the time of one question.
 */

import { type AliasChain, aliasChain } from '../../protocol/wire/aliases.ts';
import { type ReplyPart, writeJoinedReply } from '../../protocol/wire/joined-reply.ts';
import { FLAG, MAX_MESSAGE_OCTETS, nameKey, putUint16, uint16At } from '../../protocol/wire/message.ts';
import { composeQuery, parseQuery, Query, VERDICT } from '../../protocol/wire/query.ts';
import { writeEmptyReply } from '../../protocol/wire/reply.ts';
import { extendedErrorsIn, indexResponse } from '../../protocol/wire/response.ts';
import { type AliasNote, MAX_ALIASES } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, isStaleError, RCODE } from '../../protocol/words/codes.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import { ORIGIN, PENDING, type Reply, type Route, relay, Turn } from '../turn.ts';
import { isCut } from './answers.ts';
import type { ResolverDeps } from './resolver-deps.ts';

interface AliasDeps {
  /** Answers by the list of steps; returns the octets written, or PENDING. */
  walk(turn: Turn): number;
  readonly targets: Pick<AliasTargets, 'whoAnswers' | 'clear'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
}

const UPSTREAM_ORIGINS: readonly number[] = [
  ORIGIN.retained,
  ORIGIN.cacheFresh,
  ORIGIN.cacheStale,
  ORIGIN.forwarded,
];

export class AliasFollower {
  readonly #deps: AliasDeps;
  /** The space for the parts after the first part. */
  readonly #space = new Uint8Array(MAX_MESSAGE_OCTETS);

  constructor(deps: AliasDeps) {
    this.#deps = deps;
  }

  /** Completes a reply of `length` octets in place. Returns the octets of the whole, or PENDING where a part has to be fetched. */
  followNow(turn: Turn, length: number): number {
    // the client asks again over TCP
    if (isTruncated(turn)) return length;
    const chain = new Chain(turn, this.#deps.targets);
    let next = chain.add(turn, length);
    if (next === undefined && chain.isUnchanged) return length;
    while (next !== undefined) {
      const part = this.#part(next);
      const octets = this.#deps.walk(part);
      if (octets === PENDING) return PENDING;
      next = chain.add(part, octets);
    }
    return chain.write();
  }

  /**
   * Completes a reply of `length` octets, or makes the whole reply if `length` is PENDING, and fetches the missing parts. Sends
   * the whole reply once, after `leftMs` at the latest.
   */
  followLater(turn: Turn, length: number, leftMs: number, reply: Reply): void {
    const chain = new Chain(turn, this.#deps.targets);
    let isOver = false;
    const end = (act: () => void): void => {
      if (isOver) return;
      isOver = true;
      deadline[Symbol.dispose]();
      act();
    };
    const fail = (error: unknown): void => end(() => reply.fail(error));
    const whole = relay(reply, (write: () => number) => reply.send(turn.space.subarray(0, write())));
    const send = (write: () => number): void => end(() => whole.send(write));
    const deadline = this.#deps.timers.after(leftMs, () =>
      send(() => empty(turn, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY)),
    );
    const ask = (part: Turn): void => {
      const octets = this.#deps.walk(part);
      if (octets === PENDING) part.step?.fetch?.(part, answerTo(part));
      else add(part, octets);
    };
    const add = (part: Turn, octets: number): void => {
      if (isOver) return;
      const next = chain.add(part, octets);
      if (next === undefined) send(() => chain.write());
      else ask(this.#part(next));
    };
    const answerTo = (part: Turn): Reply => relay({ fail }, (message) => add(part, message.length));
    if (length === PENDING) relay({ fail }, ask).send(turn);
    else if (isTruncated(turn)) send(() => length);
    else answerTo(turn).send(turn.space.subarray(0, length));
  }

  /** A turn of its own for the question about a target. */
  #part(query: Query): Turn {
    const part = new Turn(query);
    part.verdict = VERDICT.OK;
    part.nowMs = this.#deps.clock.monotonicMs();
    part.space = this.#space;
    part.limit = MAX_MESSAGE_OCTETS;
    return part;
  }
}

function isTruncated({ space, spaceStart }: Turn): boolean {
  return (uint16At(space, spaceStart + 2) & FLAG.TC) !== 0;
}

function empty({ query, space, spaceStart }: Turn, extendedError: number): number {
  return writeEmptyReply(query, RCODE.SERVFAIL, extendedError, space, spaceStart);
}

/** The parts of one reply, as far as they are known. */
class Chain {
  readonly #turn: Turn;
  readonly #targets: AliasDeps['targets'];
  readonly #parts: ReplyPart[] = [];
  readonly #names = new Set<string>();
  #aliases = 0;
  /** The chain leads nowhere: SERVFAIL, so that the client tries another server, or again. */
  #isEndless = false;

  constructor(turn: Turn, targets: AliasDeps['targets']) {
    const { octets, nameStart, nameEnd } = turn.query;
    this.#turn = turn;
    this.#targets = targets;
    this.#names.add(nameKey(octets.subarray(nameStart, nameEnd)));
  }

  /** Whether the reply that was added is the whole answer as it stands. */
  get isUnchanged(): boolean {
    return !this.#isEndless && this.#parts.length === 1 && this.#parts[0]?.isShortened === false;
  }

  /** Takes the answer to the question at hand. Returns the next question; `undefined` where the chain is complete. */
  add(part: Turn, length: number): Query | undefined {
    const octets = new Uint8Array(part.space.subarray(part.spaceStart, part.spaceStart + length));
    const index = indexResponse(octets);
    if (index.kind === 'fault') throw new Error(`cannot read a reply of our own: ${index.reason}`);
    this.#turn.origin = part.origin;
    // RD=0: the answer ends where our data ends, and the client asks for the rest itself
    if (this.#parts.length > 0 && part.origin === ORIGIN.notRecursive) return undefined;
    const chain = aliasChain(octets, index);
    const extendedError = extendedErrorsIn(octets, index.end) ?? part.extendedError;
    const cutAt = UPSTREAM_ORIGINS.includes(part.origin)
      ? this.#cutAt(part, chain, extendedError)
      : undefined;
    const used = cutAt ?? chain.aliases.length;
    const isShortened = cutAt !== undefined && !(cutAt === chain.aliases.length && chain.end === 'open');
    this.#parts.push({ octets, index, chain, aliases: used, isShortened, extendedError });
    if (!this.#follow(chain, used)) return undefined;
    const target = chain.aliases[used - 1]?.target;
    if (target === undefined || !(isShortened || chain.end === 'open')) return undefined;
    return this.#question(target);
  }

  /** Writes the whole into the turn's reply space. */
  write(): number {
    const { query, space, spaceStart, limit } = this.#turn;
    if (this.#isEndless) return empty(this.#turn, EXTENDED_ERROR.OTHER);
    return writeJoinedReply(query, this.#parts, limit, space, spaceStart);
  }

  /** Counts the aliases that are used; false where they lead nowhere. */
  #follow({ aliases }: AliasChain, used: number): boolean {
    for (const { target } of aliases.slice(0, used)) {
      const key = nameKey(target);
      if (this.#names.has(key) || ++this.#aliases > MAX_ALIASES) {
        this.#isEndless = true;
        return false;
      }
      this.#names.add(key);
    }
    return true;
  }

  /** After how many aliases this server knows better than the answer at hand; `undefined` where it does not. */
  #cutAt({ route, aliases }: Turn, chain: AliasChain, extendedError: number | undefined): number | undefined {
    const isStale = isStaleError(extendedError);
    const isPositive = chain.end === 'data';
    let isClear = !isStale && chain.end !== 'open';
    for (const [at, { target }] of chain.aliases.entries()) {
      const answerer = this.#targets.whoAnswers(this.#question(target), { isStale, isPositive, route });
      if (answerer === ANSWERER.ours) return at + 1;
      if (answerer === ANSWERER.perhaps) isClear = false;
    }
    if (isClear) this.#targets.clear(aliases, isPositive);
    return undefined;
  }

  /** The client's question about another name: DO, CD, AD and RD as the client set them, EDNS to hear of extended errors. */
  #question(name: Uint8Array): Query {
    const { id, qtype, qclass, recursionDesired, checkingDisabled, dnssecOk, flags, network } =
      this.#turn.query;
    const edns = { dnssecOk };
    const octets = composeQuery({ id, name, qtype, qclass, recursionDesired, checkingDisabled, edns });
    putUint16(octets, 2, uint16At(octets, 2) | (flags & FLAG.AD));
    const query = new Query(network);
    parseQuery(query, octets, 0, octets.length);
    return query;
  }
}

// Decides who answers for the target of an alias in an upstream's answer: this upstream, or this server.

const ANSWERER = {
  /** The upstream that gave the answer, and nobody else. */
  none: 0,
  /** That upstream at this moment; an outage or a new answer could change this. */
  perhaps: 1,
  /** This server, because it knows better. */
  ours: 2,
} as const;
type Answerer = (typeof ANSWERER)[keyof typeof ANSWERER];

/** The answer that has the target. */
interface AliasAnswer {
  readonly isStale: boolean;
  /** The answer has records of the type asked for. */
  readonly isPositive: boolean;
  /** The upstreams that gave it. */
  readonly route: Route;
}

/** No retained name can change a positive answer. */
const ANY_RETAINED = -2;

export class AliasTargets {
  readonly #deps: ResolverDeps;
  /** The tables of the last answer, and their number: a kept answer remembers the number, or it would keep old tables alive. */
  #endpoints: unknown;
  #rules: unknown;
  #tables = 0;

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  /** Remembers with an answer that only its upstream answers for every target in it. */
  clear(aliases: AliasNote | undefined, isPositive: boolean): void {
    if (aliases === undefined) return;
    aliases.clearAtTables = this.#tablesNow();
    aliases.clearAtRetained = isPositive ? ANY_RETAINED : this.#deps.cache.retainedRevision;
  }

  /** Whether that is known of a fresh answer, and still true. */
  isClear({ aliases, extendedError }: Turn): boolean {
    if (aliases === undefined || aliases.isOpen || extendedError !== undefined) return false;
    const { clearAtTables, clearAtRetained } = aliases;
    if (clearAtTables !== this.#tablesNow()) return false;
    return clearAtRetained === ANY_RETAINED || clearAtRetained === this.#deps.cache.retainedRevision;
  }

  /** In the order of the resolver's steps. */
  whoAnswers(target: Query, { isStale, isPositive, route }: AliasAnswer): Answerer {
    const { endpoints, rules } = this.#deps;
    const { localZones, disconnected, defaultRoute } = rules;
    const own = endpoints.current.find(target);
    if (own !== undefined && (own.kind === 'answer' || own.kind === 'status')) return ANSWERER.ours;
    const rule = localZones.findRule(target);
    if (rule !== undefined && rule.kind !== 'forward') return ANSWERER.ours;
    // other servers than those that gave the answer may know the name that those denied
    const isElsewhere = rule !== undefined && rule.route !== route;
    const isDoubtful = isStale || !isPositive;
    if (isElsewhere && isDoubtful) return ANSWERER.ours;
    const found = disconnected.find(target);
    const hasRule =
      found.kind !== 'stale' &&
      (found.standing === 'before-cache' || (found.standing === 'before-stale' && isStale));
    if (!hasRule && !isDoubtful) return ANSWERER.none;
    const isUnasked = isCut(this.#deps, target, rule?.route ?? defaultRoute);
    if (hasRule && isUnasked) return ANSWERER.ours;
    if (isDoubtful && this.#hasBetter(target, isStale, isUnasked)) return ANSWERER.ours;
    return hasRule ? ANSWERER.perhaps : ANSWERER.none;
  }

  /** Whether a retained name says more than a denial, or a kept answer is fresh while the upstream's answer is stale. */
  #hasBetter(target: Query, isStale: boolean, isCut: boolean): boolean {
    const { cache, clock } = this.#deps;
    const given = cache.peekAny(target, clock.monotonicMs(), isCut);
    if (given?.answer.kind !== 'positive') return false;
    return given.answer.isRetained || (isStale && given.extendedError === undefined);
  }

  #tablesNow(): number {
    const { endpoints, rules } = this.#deps;
    if (endpoints.current !== this.#endpoints || rules !== this.#rules) {
      this.#endpoints = endpoints.current;
      this.#rules = rules;
      this.#tables++;
    }
    return this.#tables;
  }
}
