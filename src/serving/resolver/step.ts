/** One step of the resolver's list: it answers, or it has nothing to say. */
import type { Query } from '../../protocol/wire/query.ts';
import type { ORIGIN } from './resolver-counters.ts';

/** A step had nothing to say: the next one is asked. */
export const PASS = -2;

/** Where the reply to the query at hand goes, and how long it may be. */
export interface ReplySpace {
  octets: Uint8Array;
  start: number;
  limit: number;
}

export interface Step {
  readonly origin: (typeof ORIGIN)[keyof typeof ORIGIN];
  readonly why: string;
  /** Returns the octets written, or PASS. */
  readonly answer: (query: Query, reply: ReplySpace) => number;
}
