/** What the listeners ask of whoever answers queries: octets in, octets out, in one call where the answer is known. */
export type Transport = 'udp' | 'tcp';

/** The answer is not known yet: call `answerLater`. */
export const PENDING = -1;
/** This message gets no reply. */
export const NO_REPLY = 0;

export interface QueryHandler {
  /**
   * Answers now where the answer is known. Writes into `reply` from `replyStart`; returns the octets written,
   * NO_REPLY, or PENDING (then call `answerLater` with the same message, before its buffer is reused).
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
  /** Copies what it needs before its first await. Resolves to the reply (undefined: no reply). Never rejects. */
  answerLater(
    message: Uint8Array,
    start: number,
    end: number,
    transport: Transport,
  ): Promise<Uint8Array | undefined>;
}
