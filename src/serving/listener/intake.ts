/**
 * The first steps of a query, in one straight line, whatever brought it: decide on the twelve header octets,
 * on who asks and on how much it has been given already, and only then hand it to the handler. Nothing here
 * allocates for a query that is answered at once.
 */

import { LimitLog } from '../../log/limit-log.ts';
import type { Log } from '../../log/log.ts';
import { writeCookieReply, writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/error-reply.ts';
import { FLAG, HEADER_OCTETS, uint16At } from '../../protocol/wire/header.ts';
import { parseCookieQuery, parseQuery, Query, VERDICT } from '../../protocol/wire/query.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { ClientAccess } from './client-access.ts';
import { type Family, networkText } from './client-address.ts';
import { COUNT, Counters } from './counters.ts';
import { NO_REPLY, PENDING, type QueryHandler, type Transport } from './handler.ts';
import { RATE, type RateLimit, type RateVerdict } from './rate-limit.ts';
import type { ServerCookies } from './server-cookies.ts';
import { type Deliver, Waiting, type WaitingHost } from './waiting.ts';

/** What a reload may replace. */
export interface IntakeRules {
  readonly access: ClientAccess;
  /** Of answers that other servers gave, to clients that are allowed. */
  readonly rateLimit: RateLimit;
  /** Of REFUSED, to clients that are not. */
  readonly refusalLimit: RateLimit;
}

export interface IntakeOptions extends IntakeRules {
  readonly handler: QueryHandler;
  readonly log: Log;
  readonly cookies: ServerCookies;
  /** Queries that may wait for their answer at one time; beyond, SERVFAIL at once. */
  readonly pendingLimit?: number;
}

const PENDING_LIMIT = 20_000; // twenty times what the forwarder has in flight, for those who wait for the same name
const FAULT_LOG_INTERVAL_MS = 10_000;
/** Header, the longest question, and OPT with an extended error and a cookie. */
const MAX_ERROR_OCTETS = 12 + 255 + 4 + 11 + 6 + 28;

export class Intake {
  readonly counters = new Counters();
  readonly limitLog: LimitLog;
  readonly #cookies: ServerCookies;
  readonly #handler: QueryHandler;
  readonly #log: Log;
  readonly #pendingLimit: number;
  readonly #query = new Query();
  #rules: IntakeRules;
  #pending = 0;
  #faultLoggedMs = Number.NEGATIVE_INFINITY;
  /** What the rate limit said of the reply at hand. */
  #rate: RateVerdict = RATE.SEND;

  constructor(options: IntakeOptions) {
    this.#handler = options.handler;
    this.#log = options.log;
    this.limitLog = new LimitLog(options.log);
    this.#cookies = options.cookies;
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
    const { access, refusalLimit } = this.#rules;
    const isUdp = transport === 'udp';
    counters.add(isUdp ? COUNT.receivedUdp : COUNT.receivedTcp);
    // no reply to what has no whole header, is itself a response (two servers could keep each other busy for
    // ever), or comes from port 0, which nobody listens on
    if (end - start < HEADER_OCTETS) return this.#drop(COUNT.droppedShort);
    const flags = uint16At(message, start + 2);
    if ((flags & FLAG.QR) !== 0) return this.#drop(COUNT.droppedResponse);
    if (port === 0) return this.#drop(COUNT.droppedPortZero);
    if (!access.isAllowedOctets(client, clientAt, family)) {
      // every reply to a stranger counts: a forged sender can draw each of them
      const rate = refusalLimit.take(client, clientAt, family, nowMs);
      const isSent = rate === RATE.SEND;
      const limit = isSent ? 'clients.allow' : 'limits.refusalsPerSecond';
      this.limitLog.note(limit, nowMs, () => networkText(client, clientAt, family));
      if (!isSent) return this.#drop(COUNT.droppedProhibited);
      counters.add(COUNT.refusedProhibited);
      const length = this.#refuse(message, start, end, reply, replyStart);
      return this.#finish(this.#query, client, clientAt, family, isUdp, reply, replyStart, length);
    }
    // RFC 1035 section 4.1.1: a kind of query that we do not have is NOTIMP
    if ((flags & FLAG.OPCODE) !== 0) {
      counters.add(COUNT.refusedOpcode);
      return this.#replied(writeHeaderOnlyReply(message, start, RCODE.NOTIMP, reply, replyStart), isUdp);
    }
    if (uint16At(message, start + 4) === 0 && parseCookieQuery(this.#query, message, start, end)) {
      const length = this.#answerCookieQuery(client, clientAt, family, reply, replyStart);
      return this.#replied(length, isUdp);
    }
    let length = this.#answer(message, start, end, transport, nowMs, reply, replyStart);
    if (length === PENDING && this.#pending >= this.#pendingLimit) {
      counters.add(COUNT.overloaded);
      this.limitLog.note('waiting queries', nowMs, () => networkText(client, clientAt, family));
      length = this.#writeEmpty(message, start, end, RCODE.SERVFAIL, undefined, reply, replyStart);
    }
    if (length <= 0) return length;
    const { query } = this.#handler;
    if (isUdp && this.#isHeldBack(query, client, clientAt, family, nowMs, reply, replyStart))
      return this.#holdBack(query, client, clientAt, family, reply, replyStart);
    return this.#finish(query, client, clientAt, family, isUdp, reply, replyStart, length);
  }

  /** Has a message answered for which `receive` returned PENDING: `deliver` is called once, perhaps before this returns. */
  later(
    message: Uint8Array,
    start: number,
    end: number,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    nowMs: number,
    transport: Transport,
    deliver: Deliver,
  ): void {
    this.#pending += 1;
    const own = new Uint8Array(end - start);
    for (let at = 0; at < own.length; at++) own[at] = message[start + at] ?? 0;
    const octets = new Uint8Array(family === 4 ? 4 : 16);
    for (let i = 0; i < octets.length; i++) octets[i] = client[clientAt + i] ?? 0;
    const waiting = new Waiting(this.#host, own, { octets, family }, transport, nowMs, deliver);
    try {
      this.#handler.answerLater(own, transport, waiting);
    } catch (error) {
      waiting.fail(error);
    }
  }

  readonly #host: WaitingHost = {
    over: (waiting, reply, length) => {
      this.#pending -= 1;
      return length > 0 ? this.#finishLater(waiting, reply, length) : length;
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
      return this.#handler.answerNow(message, start, end, transport, reply, replyStart);
    } catch (error) {
      this.#noteFault(error, nowMs);
      return this.#writeEmpty(message, start, end, RCODE.SERVFAIL, undefined, reply, replyStart);
    }
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

  /** What `receive` does with a reply that is known at once, for one that came later. */
  #finishLater({ message, client, transport, sinceMs }: Waiting, reply: Uint8Array, length: number): number {
    const query = this.#query;
    const isUdp = transport === 'udp';
    const mayMatter = this.#rules.rateLimit.isOn || uint16At(message, 10) !== 0; // ARCOUNT: there may be a cookie
    if (!mayMatter || parseQuery(query, message, 0, message.length) !== VERDICT.OK)
      return this.#replied(length, isUdp);
    const { octets, family } = client;
    if (isUdp && this.#isHeldBack(query, octets, 0, family, sinceMs, reply, 0))
      return this.#holdBack(query, octets, 0, family, reply, 0);
    return this.#finish(query, octets, 0, family, isUdp, reply, 0, length);
  }

  /**
   * Whether the reply is above the rate of the client's network. Never an answer of our own (AA), a denial, an error or a
   * truncated reply: only records that other servers gave are worth drawing with forged queries. Never the reply to a
   * client that proves its address by a cookie (RFC 7873 section 5.2.5).
   */
  #isHeldBack(
    query: Query,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    nowMs: number,
    reply: Uint8Array,
    at: number,
  ): boolean {
    const { rateLimit } = this.#rules;
    if (!rateLimit.isOn) return false;
    if ((uint16At(reply, at + 2) & (FLAG.AA | FLAG.TC | FLAG.RCODE)) !== 0) return false;
    if (uint16At(reply, at + 6) === 0) return false; // ANCOUNT: there is no such record
    if (query.cookieOctets > 8 && this.#cookies.isValid(query, client, clientAt, family)) return false;
    this.#rate = rateLimit.take(client, clientAt, family, nowMs);
    if (this.#rate === RATE.SEND) return false;
    this.limitLog.note('limits.responsesPerSecond', nowMs, () => networkText(client, clientAt, family));
    return true;
  }

  /** A reply above the rate becomes one that is no larger than its query, or none. Returns its octets. */
  #holdBack(
    query: Query,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    // RFC 7873 section 5.2.3: with the cookie in this reply the client comes back, and is not limited any more
    if (query.cookieAt >= 0) {
      this.counters.add(COUNT.refusedBadCookie);
      const length = writeEmptyReply(query, RCODE.BADCOOKIE, undefined, reply, replyStart);
      return this.#finish(query, client, clientAt, family, true, reply, replyStart, length);
    }
    if (this.#rate === RATE.DROP) return this.#drop(COUNT.droppedRateLimited);
    this.counters.add(COUNT.truncatedRateLimited);
    return this.#replied(writeEmptyReply(query, RCODE.NOERROR, undefined, reply, replyStart, FLAG.TC), true);
  }

  /** Fills in the server cookie where the query asks for one, and counts the reply. */
  #finish(
    query: Query,
    client: Uint8Array,
    clientAt: number,
    family: Family,
    isUdp: boolean,
    reply: Uint8Array,
    replyStart: number,
    length: number,
  ): number {
    if (query.cookieAt >= 0 && length > HEADER_OCTETS)
      this.#cookies.fill(query, client, clientAt, family, reply, replyStart + length);
    return this.#replied(length, isUdp);
  }

  /** RFC 7873 section 5.4: a query without a question that asks for a cookie, or whether its cookie is good. */
  #answerCookieQuery(
    client: Uint8Array,
    clientAt: number,
    family: Family,
    reply: Uint8Array,
    replyStart: number,
  ): number {
    const query = this.#query;
    const isBad = query.cookieOctets > 8 && !this.#cookies.isValid(query, client, clientAt, family);
    const length = writeCookieReply(query, isBad ? RCODE.BADCOOKIE : RCODE.NOERROR, reply, replyStart);
    this.#cookies.fill(query, client, clientAt, family, reply, replyStart + length);
    return length;
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
