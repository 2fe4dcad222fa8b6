/**
 * The target of an alias is asked of what answers for it: an endpoint, the operator's own records, a retained name, the
 * cache, an upstream. RFC 1034 section 4.3.2 has the whole question begin again at the target, so the resolver's own list
 * of steps answers each part, and this file joins them.
 *
 *     reply with an alias -> who answers for its target? -> the same upstream, in the same response: leave it as it is
 *                                                         `-> somebody else, or nobody yet: cut there, ask the list again
 *
 * The usual answer has no alias, and a kept answer whose chain is whole is looked at once for each set of tables: both
 * cost a comparison. An alias chain has at most 16 aliases, ends where it comes back to a name, and has the time of one
 * question.
 */
import { type AliasChain, aliasChain, MAX_ALIASES, nameKey } from '../../protocol/wire/alias-chain.ts';
import { writeEmptyReply } from '../../protocol/wire/error-reply.ts';
import { FLAG, MAX_MESSAGE_OCTETS, putUint16, uint16At } from '../../protocol/wire/header.ts';
import { type ReplyPart, writeJoinedReply } from '../../protocol/wire/joined-reply.ts';
import { extendedErrorIn } from '../../protocol/wire/opt.ts';
import { composeQuery, parseQuery, Query } from '../../protocol/wire/query.ts';
import { indexResponse } from '../../protocol/wire/response.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { Timers } from '../../runtime/timers.ts';
import { PENDING } from '../listener/handler.ts';
import { type ReplySpace, replySpace } from './step.ts';

/** Who answers for the target of an alias in an answer that an upstream gave. */
export const CLAIM = {
  /** Nobody but that upstream. */
  none: 0,
  /** Nobody at this moment; an outage or another answer could change that. */
  perhaps: 1,
  /** This server, from better knowledge. */
  ours: 2,
} as const;
export type Claim = (typeof CLAIM)[keyof typeof CLAIM];

/** What is known of the answer in which a target stands. */
export interface Around {
  readonly isStale: boolean;
  /** It has records of the type asked for. */
  readonly isPositive: boolean;
}

/** What the follower needs of the resolver. */
export interface AliasHost {
  /** Answers from what is known, into `reply`; returns the octets written, or PENDING. */
  walk(query: Query, reply: ReplySpace): number;
  /** Fetches the answer to a question that `walk` left pending, into `reply`. */
  fetch(
    query: Query,
    reply: ReplySpace,
    told: (length: number) => void,
    failed: (error: unknown) => void,
  ): void;
  /** Whether the last answer came from an upstream, by whatever way, and not from this server's own data. */
  readonly isFromUpstream: boolean;
  /** Whether the last answer was a refusal because the client asked for what is here alone (RD=0). */
  readonly isNotRecursive: boolean;
  claim(target: Query, around: Around): Claim;
  /** Remembers that nobody else answers for any target in an answer. */
  clear(reply: ReplySpace, isPositive: boolean): void;
  readonly timers: Timers;
}

export class AliasFollower {
  readonly #host: AliasHost;
  /** Where the parts after the first are written. */
  readonly #space = replySpace(new Uint8Array(MAX_MESSAGE_OCTETS), MAX_MESSAGE_OCTETS);

  constructor(host: AliasHost) {
    this.#host = host;
  }

  /** Completes a reply of `length` octets in place. Returns the octets of the whole, or PENDING where a part has to be fetched. */
  now(query: Query, reply: ReplySpace, length: number): number {
    // it is asked for again over TCP
    if (isTruncated(reply)) return length;
    const chain = new Chain(query, this.#host);
    let next = chain.add(reply, length);
    if (next === undefined && chain.isUnchanged) return length;
    while (next !== undefined) {
      const octets = this.#host.walk(next, this.#space);
      if (octets === PENDING) return PENDING;
      next = chain.add(this.#space, octets);
    }
    return chain.write(reply);
  }

  /**
   * Completes a reply of `length` octets, or makes it from the beginning where `length` is PENDING, and fetches what has
   * to be fetched. `told` is called once, with the octets of the whole in `reply`, after `leftMs` at the latest.
   */
  later(
    query: Query,
    reply: ReplySpace,
    length: number,
    leftMs: number,
    told: (length: number) => void,
    failed: (error: unknown) => void,
  ): void {
    const chain = new Chain(query, this.#host);
    let isOver = false;
    const end = (write: () => number): void => {
      if (isOver) return;
      isOver = true;
      deadline[Symbol.dispose]();
      attempt(() => told(write()), failed);
    };
    const deadline = this.#host.timers.after(leftMs, () =>
      end(() => empty(query, EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, reply)),
    );
    const fail = (error: unknown): void => {
      if (isOver) return;
      isOver = true;
      deadline[Symbol.dispose]();
      failed(error);
    };
    const go = (next: Query | undefined): void => {
      if (isOver) return;
      if (next === undefined) {
        end(() => chain.write(reply));
        return;
      }
      const octets = this.#host.walk(next, this.#space);
      if (octets !== PENDING) {
        go(chain.add(this.#space, octets));
        return;
      }
      const fetched = (octets: number): void => attempt(() => go(chain.add(this.#space, octets)), fail);
      this.#host.fetch(next, this.#space, fetched, fail);
    };
    attempt(() => {
      if (length !== PENDING && isTruncated(reply)) end(() => length);
      else go(length === PENDING ? chain.begin() : chain.add(reply, length));
    }, fail);
  }
}

/** Work begun by a reply of somebody else's: what it throws is told to the one who waits. */
export function attempt(act: () => void, failed: (error: unknown) => void): void {
  try {
    act();
  } catch (error) {
    failed(error);
  }
}

function isTruncated({ octets, start }: ReplySpace): boolean {
  return (uint16At(octets, start + 2) & FLAG.TC) !== 0;
}

function empty(query: Query, extendedError: number, { octets, start }: ReplySpace): number {
  return writeEmptyReply(query, RCODE.SERVFAIL, extendedError, octets, start);
}

/** The parts of one reply, as far as they are known. */
class Chain {
  readonly #query: Query;
  readonly #host: AliasHost;
  readonly #parts: ReplyPart[] = [];
  readonly #names = new Set<string>();
  #aliases = 0;
  /** The chain leads nowhere: SERVFAIL, so that the client tries another server, or again. */
  #isEndless = false;

  constructor(query: Query, host: AliasHost) {
    this.#query = query;
    this.#host = host;
    this.#names.add(nameKey(query.octets.subarray(query.nameStart, query.nameEnd)));
  }

  /** Whether the reply that was added is the whole answer as it stands. */
  get isUnchanged(): boolean {
    return !this.#isEndless && this.#parts.length === 1 && this.#parts[0]?.isCut === false;
  }

  /** The question itself, to be asked like those that follow from it. */
  begin(): Query {
    return this.#question(this.#query.octets.subarray(this.#query.nameStart, this.#query.nameEnd));
  }

  /** Takes the answer to the question at hand. Returns the next question; `undefined` where the chain is complete. */
  add(reply: ReplySpace, length: number): Query | undefined {
    const octets = new Uint8Array(reply.octets.subarray(reply.start, reply.start + length));
    const index = indexResponse(octets);
    if (index.kind === 'fault') throw new Error(`cannot read a reply of our own: ${index.reason}`);
    // RD=0: what is here ends here, and the client asks for the rest itself
    if (this.#parts.length > 0 && this.#host.isNotRecursive) return undefined;
    const chain = aliasChain(octets, index);
    const isPositive = chain.end === 'data';
    const extendedError = extendedErrorIn(octets, index.end) ?? reply.extendedError;
    const cutAt = this.#host.isFromUpstream
      ? this.#cutAt(reply, chain, { extendedError, isPositive })
      : undefined;
    const used = cutAt ?? chain.aliases.length;
    const isCut = cutAt !== undefined && !(cutAt === chain.aliases.length && chain.end === 'open');
    this.#parts.push({ octets, index, chain, aliases: used, isCut, extendedError });
    if (!this.#follow(chain, used)) return undefined;
    const target = chain.aliases[used - 1]?.target;
    if (target === undefined || !(isCut || chain.end === 'open')) return undefined;
    return this.#question(target);
  }

  write({ octets, start, limit }: ReplySpace): number {
    if (this.#isEndless)
      return writeEmptyReply(this.#query, RCODE.SERVFAIL, EXTENDED_ERROR.OTHER, octets, start);
    return writeJoinedReply(this.#query, this.#parts, limit, octets, start);
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
  #cutAt(
    reply: ReplySpace,
    chain: AliasChain,
    { extendedError, isPositive }: { extendedError: number | undefined; isPositive: boolean },
  ): number | undefined {
    const isStale =
      extendedError === EXTENDED_ERROR.STALE_ANSWER || extendedError === EXTENDED_ERROR.STALE_NXDOMAIN;
    let isClear = !isStale && chain.end !== 'open';
    for (const [at, { target }] of chain.aliases.entries()) {
      const claim = this.#host.claim(this.#question(target), { isStale, isPositive });
      if (claim === CLAIM.ours) return at + 1;
      if (claim === CLAIM.perhaps) isClear = false;
    }
    if (isClear) this.#host.clear(reply, isPositive);
    return undefined;
  }

  /** The client's question about another name: DO, CD, AD and RD as the client set them, EDNS to hear of extended errors. */
  #question(name: Uint8Array): Query {
    const { id, qtype, qclass, recursionDesired, checkingDisabled, dnssecOk, flags } = this.#query;
    const edns = { dnssecOk };
    const octets = composeQuery({ id, name, qtype, qclass, recursionDesired, checkingDisabled, edns });
    putUint16(octets, 2, uint16At(octets, 2) | (flags & FLAG.AD));
    const query = new Query(this.#query.network);
    parseQuery(query, octets, 0, octets.length);
    return query;
  }
}
