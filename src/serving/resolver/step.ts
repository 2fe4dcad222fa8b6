/** One step of the resolver's list: it answers, or it has nothing to say. */
import type { AliasNote } from '../../protocol/wire/alias-chain.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { ORIGIN } from './resolver-counters.ts';

/** A step had nothing to say: the next one is asked. */
export const PASS = -2;

/** Where the reply to the query at hand goes, how long it may be, and what is to be known of what was written there. */
export interface ReplySpace {
  octets: Uint8Array;
  start: number;
  limit: number;
  /** Set where the answer has aliases, which may have to be followed. */
  aliases: AliasNote | undefined;
  /** The extended error of an answer with aliases, which is lost in a reply without EDNS. */
  extendedError: number | undefined;
}

export function replySpace(octets: Uint8Array, limit: number): ReplySpace {
  return { octets, start: 0, limit, aliases: undefined, extendedError: undefined };
}

export interface Step {
  readonly origin: (typeof ORIGIN)[keyof typeof ORIGIN];
  readonly why: string;
  /** Returns the octets written, or PASS. */
  readonly answer: (query: Query, reply: ReplySpace) => number;
}
