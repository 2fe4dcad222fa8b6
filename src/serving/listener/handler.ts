/** What the listeners ask of whoever answers queries: octets in, octets out, in one call where the answer is known. */
import type { Query } from '../../protocol/wire/query.ts';

export type Transport = 'udp' | 'tcp';

/** The answer is not known yet: call `answerLater`. */
export const PENDING = -1;
/** This message gets no reply. */
export const NO_REPLY = 0;

/** Who waits for an answer. One of the two is called, once, perhaps before `answerLater` returns. */
export interface Asker {
  /** A number for the client's network, never 0: clients behind one NAT share it. Absent where no client asks. */
  readonly network?: number;
  /** The reply is the first `length` octets, which may be overwritten as soon as this returns; NO_REPLY: there is none. */
  reply(octets: Uint8Array, length: number): void;
  /** Answering failed by a fault of the handler. */
  fail(error: unknown): void;
}

export interface QueryHandler {
  /** The query of the last `answerNow`, parsed: valid until the next one. */
  readonly query: Query;
  /**
   * Answers now where the answer is known. Writes into `reply` from `replyStart`; returns the octets written,
   * NO_REPLY, or PENDING (then call `answerLater` with a copy of the message).
   * `reply` holds at least 1,232 octets from `replyStart` for udp and 65,535 for tcp; the handler itself
   * honours the client's UDP size.
   */
  answerNow(
    message: Uint8Array,
    start: number,
    end: number,
    transport: Transport,
    reply: Uint8Array,
    replyStart: number,
  ): number;
  /**
   * Answers the message for which the last `answerNow` returned PENDING: nothing else is asked of the handler in between,
   * which remembers what it knows of that answer. The message is the handler's own: nobody changes it.
   */
  answerLater(message: Uint8Array, transport: Transport, asker: Asker): void;
}
