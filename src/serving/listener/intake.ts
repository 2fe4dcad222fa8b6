/**
 * The first steps of a query, in one straight line, whatever brought it: decide on the twelve header octets,
 * on who asks and on how much it has been given already, and only then hand it to the handler. Nothing here
 * allocates for a query that is answered at once.
 */

import type { Log } from '../../log/log.ts';
import { writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/error-reply.ts';
import { FLAG, HEADER_OCTETS, uint16At } from '../../protocol/wire/header.ts';
import { parseQuery, Query, VERDICT } from '../../protocol/wire/query.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ClientAccess } from './client-access.ts';
import type { Family } from './client-address.ts';
import { COUNT, Counters } from './counters.ts';
import { NO_REPLY, PENDING, type QueryHandler, type Transport } from './handler.ts';
import { RATE, type RateLimit } from './rate-limit.ts';
import { type Deliver, Waiting, type WaitingHost } from './waiting.ts';

/** What a reload may replace. */
export interface IntakeRules {
  readonly access: ClientAccess;
  readonly rateLimit: RateLimit;
}

export interface IntakeOptions extends IntakeRules {
  readonly handler: QueryHandler;
  readonly log: Log;
  /** Queries that may wait for their answer at one time; beyond, SERVFAIL at once. */
  readonly pendingLimit?: number;
}

const PENDING_LIMIT = 20_000; // twenty times what the forwarder has in flight, for those who wait for the same name
const FAULT_LOG_INTERVAL_MS = 10_000;
/** A reply this many times as long as its query counts against the rate of the client's network. */
const AMPLIFICATION = 2;
/** Header, the longest question, and OPT. */
const MAX_ERROR_OCTETS = 12 + 255 + 4 + 17;

export class Intake {
  readonly counters = new Counters();
  readonly #handler: QueryHandler;
  readonly #log: Log;
  readonly #pendingLimit: number;
  readonly #query = new Query();
  #rules: IntakeRules;
  #pending = 0;
  #faultLoggedMs = Number.NEGATIVE_INFINITY;

  constructor(options: IntakeOptions) {
    this.#handler = options.handler;
    this.#log = options.log;
    this.#pendingLimit = options.pendingLimit ?? PENDING_LIMIT;
    this.#rules = options;
  }

  /** Takes new rules from the next query on. */
  reconfigure(rules: IntakeRules): void {
    this.#rules = rules;
  }

  /** Queries that wait for their answer at this moment. */
  get pending(): number {
    return this.#pending;
  }

  isAllowed(client: Uint8Array, clientAt: number, family: Family): boolean {
    return this.#rules.access.isAllowedOctets(client, clientAt, family);
  }

  /**
   * Takes the message in `message` from `start` to `end`, sent by the 4 or 16 octets at `clientAt` of `client`
   * and from `port`, at `nowMs` (monotonic). Writes the reply to `reply` from `replyStart` and returns its
   * octets, NO_REPLY, or PENDING: then call `later` with the same message.
   */
  receive(
    message: Uint8Array,
    start: number,
    end: number,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    port: number,
    nowMs: number,
    transport: Transport,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    const { counters } = this;
    const { access, rateLimit } = this.#rules;
    const isUdp = transport === 'udp';
    counters.add(isUdp ? COUNT.receivedUdp : COUNT.receivedTcp);
    // no reply to what has no whole header, is itself a response (two servers could keep each other busy for
    // ever), or comes from port 0, which nobody listens on
    if (end - start < HEADER_OCTETS) return this.#drop(COUNT.droppedShort);
    const flags = uint16At(message, start + 2);
    if ((flags & FLAG.QR) !== 0) return this.#drop(COUNT.droppedResponse);
    if (port === 0) return this.#drop(COUNT.droppedPortZero);
    if (!access.isAllowedOctets(client, clientAt, family)) {
      // every reply to a stranger counts: each of them could be drawn by a forged sender
      const rate = rateLimit.take(client, clientAt, family, nowMs);
      if (rate !== RATE.SEND) return this.#drop(COUNT.droppedProhibited);
      counters.add(COUNT.refusedProhibited);
      return this.#replied(this.#refuse(message, start, end, reply, replyStart), isUdp);
    }
    // RFC 1035 section 4.1.1: a kind of query that we do not have is NOTIMP
    if ((flags & FLAG.OPCODE) !== 0) {
      counters.add(COUNT.refusedOpcode);
      return this.#replied(writeHeaderOnlyReply(message, start, RCODE.NOTIMP, reply, replyStart), isUdp);
    }
    const length = this.#answer(message, start, end, transport, nowMs, reply, replyStart);
    if (length <= 0) return length;
    // a reply of about the query's size turns nobody's flood against anybody: endpoint answers, negative answers and
    // errors are never held back, however loud the neighbours are
    if (isUdp && length > AMPLIFICATION * (end - start)) {
      const rate = rateLimit.take(client, clientAt, family, nowMs);
      if (rate === RATE.DROP) return this.#drop(COUNT.droppedRateLimited);
      if (rate === RATE.SLIP) return this.#slip(message, start, end, reply, replyStart);
    }
    return this.#replied(length, isUdp);
  }

  /** Has a message answered for which `receive` returned PENDING: `deliver` is called once, perhaps before this returns. */
  later(
    message: Uint8Array,
    start: number,
    end: number,
    nowMs: number,
    transport: Transport,
    deliver: Deliver,
  ): void {
    this.#pending += 1;
    const own = new Uint8Array(end - start);
    for (let at = 0; at < own.length; at++) own[at] = message[start + at] ?? 0;
    const waiting = new Waiting(this.#host, own, transport, nowMs, deliver);
    try {
      this.#handler.answerLater(own, transport, waiting);
    } catch (error) {
      waiting.fail(error);
    }
  }

  readonly #host: WaitingHost = {
    over: (length, transport) => {
      this.#pending -= 1;
      if (length > 0) this.#replied(length, transport === 'udp');
    },
    refuse: (error, { message, sinceMs }) => {
      this.#noteFault(error, sinceMs);
      const refusal = new Uint8Array(MAX_ERROR_OCTETS);
      const length = this.#writeEmpty(message, 0, message.length, RCODE.SERVFAIL, undefined, refusal, 0);
      return refusal.subarray(0, length);
    },
  };

  /** The handler's answer. A fault of ours is a SERVFAIL to the one who met it, and nothing to all others. */
  #answer(
    message: Uint8Array,
    start: number,
    end: number,
    transport: Transport,
    nowMs: number,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    try {
      const length = this.#handler.answerNow(message, start, end, transport, reply, replyStart);
      if (length !== PENDING || this.#pending < this.#pendingLimit) return length;
      this.counters.add(COUNT.overloaded);
    } catch (error) {
      this.#noteFault(error, nowMs);
    }
    return this.#writeEmpty(message, start, end, RCODE.SERVFAIL, undefined, reply, replyStart);
  }

  #noteFault(error: unknown, nowMs: number): void {
    this.counters.add(COUNT.handlerFaults);
    if (nowMs - this.#faultLoggedMs < FAULT_LOG_INTERVAL_MS) return;
    this.#faultLoggedMs = nowMs;
    this.#log.error({ err: error, faults: this.counters.get('handlerFaults') }, 'answer to a query failed');
  }

  #drop(reason: Parameters<Counters['add']>[0]): number {
    this.counters.add(reason);
    return NO_REPLY;
  }

  #replied(length: number, isUdp: boolean): number {
    this.counters.add(isUdp ? COUNT.repliesUdp : COUNT.repliesTcp);
    return length;
  }

  /** One reply above the rate: nothing but the question and TC, no larger than what was asked with. */
  #slip(message: Uint8Array, start: number, end: number, reply: Uint8Array, replyStart: number): number {
    if (parseQuery(this.#query, message, start, end) !== VERDICT.OK)
      return this.#drop(COUNT.droppedRateLimited);
    this.counters.add(COUNT.truncatedRateLimited);
    const length = writeEmptyReply(this.#query, RCODE.NOERROR, undefined, reply, replyStart, FLAG.TC);
    return this.#replied(length, true);
  }

  /** REFUSED, with the reason for those who can read it (RFC 8914 section 4.19). */
  #refuse(message: Uint8Array, start: number, end: number, reply: Uint8Array, replyStart: number): number {
    return this.#writeEmpty(message, start, end, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED, reply, replyStart);
  }

  /** An empty reply with the question where it can be read, and from the header alone where not. */
  #writeEmpty(
    message: Uint8Array,
    start: number,
    end: number,
    rcode: number,
    extendedError: number | undefined,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    if (parseQuery(this.#query, message, start, end) === VERDICT.OK) {
      return writeEmptyReply(this.#query, rcode, extendedError, reply, replyStart);
    }
    return writeHeaderOnlyReply(message, start, rcode, reply, replyStart);
  }
}
