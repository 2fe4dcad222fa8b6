/**
 * The first steps of a query, in one straight line, for every transport. The intake decides on the twelve header octets, on
 * the client and on its limits. Only then it hands the turn to the handler. Nothing here makes an object for a query that is
 * answered at once. Below: how a listener ends when no query waits any more, and what the listeners count.
 */
import { LimitLog, type Log } from '../../log/log.ts';
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/message.ts';
import { parseCookieQuery, VERDICT } from '../../protocol/wire/query.ts';
import { writeCookieReply, writeEmptyReply, writeHeaderOnlyReply } from '../../protocol/wire/reply.ts';
import { EXTENDED_ERROR, RCODE } from '../../protocol/words/codes.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import { type Family, NO_REPLY, PENDING, type QueryHandler, type Reply, Turn } from '../turn.ts';
import {
  type ClientAccess,
  networkOf,
  networkText,
  RATE,
  type RateLimit,
  type RateVerdict,
} from './clients.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import type { ServerCookies } from './server-cookies.ts';

/** Rules that a reload may replace. */
export interface IntakeRules {
  readonly access: ClientAccess;
  /** Limits answers that other servers gave, to allowed clients. */
  readonly rateLimit: RateLimit;
  /** Limits REFUSED replies to clients that are not allowed. */
  readonly refusalLimit: RateLimit;
}

export interface IntakeOptions extends IntakeRules {
  readonly handler: QueryHandler;
  readonly log: Log;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly cookies: ServerCookies;
  /** Queries that may wait for their answer at one time; SERVFAIL at once beyond it. */
  readonly pendingLimit?: number;
}

const PENDING_LIMIT = 20_000; // twenty times the forwarder's limit, because many clients may wait for one name
/** Turns that are kept to be used again: some 1 KB each. As many queries wait at a time where thousands come in a second. */
const MOST_FREE_TURNS = 512;
/** A turn with a longer message is not kept: the usual query is a tenth of it. */
const FREE_TURN_OCTETS = 512;
const FAULT_LOG_INTERVAL_MS = 10_000;
const UNSENT_LOG_INTERVAL_MS = 60_000;
/** Header, the longest question, and OPT with an extended error of our own and a cookie. */
const MAX_ERROR_OCTETS = 12 + 255 + 4 + 11 + 6 + 28;

export class Intake {
  readonly counters = new ListenerCounters();
  readonly limitLog: LimitLog;
  /** The turn of every query that is answered at once; a listener fills in client, time and reply space, then calls `receive`. */
  readonly turn = new Turn();
  /** Queries that wait for their answer at this moment. */
  pending = 0;
  readonly #cookies: ServerCookies;
  readonly #handler: QueryHandler;
  readonly #log: Log;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pendingLimit: number;
  #rules: IntakeRules;
  readonly #freeTurns: Turn[] = [];
  #faultLoggedMs = Number.NEGATIVE_INFINITY;
  #unsentLoggedMs = Number.NEGATIVE_INFINITY;
  /** The rate limit's verdict on the reply at hand. */
  #rate: RateVerdict = RATE.SEND;

  constructor(options: IntakeOptions) {
    this.#handler = options.handler;
    this.#log = options.log;
    this.#clock = options.clock;
    this.limitLog = new LimitLog(options.log);
    this.#cookies = options.cookies;
    this.#pendingLimit = options.pendingLimit ?? PENDING_LIMIT;
    this.#rules = options;
  }

  /** Takes new rules from the next query on. */
  reconfigure(rules: IntakeRules): void {
    this.#rules = rules;
  }

  isAllowed(client: Uint8Array, clientAt: number, family: Family): boolean {
    return this.#rules.access.isAllowedOctets(client, clientAt, family);
  }

  /**
   * Takes the message in `message` from `start` to `end`, as `turn`. Writes the reply into the turn's reply space and
   * returns its octets, NO_REPLY, or PENDING: then call `answerLater`.
   */
  receive(message: Uint8Array, start: number, end: number): number {
    const { counters, turn } = this;
    counters.add(turn.transport === 'udp' ? COUNT.receivedUdp : COUNT.receivedTcp);
    // A message without a whole header gets no reply. A response gets no reply, because two servers could keep each other busy
    // for ever. Port 0 gets no reply, because no client listens there.
    if (end - start < HEADER_OCTETS) return this.#drop(COUNT.droppedShort);
    const flags = uint16At(message, start + 2);
    if ((flags & FLAG.QR) !== 0) return this.#drop(COUNT.droppedResponse);
    if (turn.port === 0) return this.#drop(COUNT.droppedPortZero);
    if (!this.#rules.access.isAllowedOctets(turn.client, turn.clientAt, turn.family))
      return this.#refuse(message, start, end);
    // RFC 1035 section 4.1.1: a kind of query that we do not have is NOTIMP
    if ((flags & FLAG.OPCODE) !== 0) {
      counters.add(COUNT.refusedOpcode);
      const { space, spaceStart } = turn;
      return this.#replied(turn, writeHeaderOnlyReply(message, start, RCODE.NOTIMP, space, spaceStart));
    }
    if (uint16At(message, start + 4) === 0 && parseCookieQuery(turn.query, message, start, end))
      return this.#replied(turn, this.#answerCookieQuery(turn));
    turn.read(message, start, end);
    let length = this.#answer(turn);
    if (length === PENDING && this.pending >= this.#pendingLimit) {
      counters.add(COUNT.overloaded);
      this.#noteLimit(turn, 'waiting queries');
      length = writeFailure(turn, RCODE.SERVFAIL);
    }
    return length > 0 ? this.#limited(turn, length) : length;
  }

  /**
   * Has the query at hand answered, for which `receive` returned PENDING. `send` is called with each message, perhaps before
   * this returns, until `hasMore` is not set; a message without octets says that there is no reply.
   */
  answerLater(send: Reply['send']): void {
    this.pending += 1;
    const turn = this.turn.keep(this.#freeTurns.pop());
    turn.query.network = networkOf({ octets: turn.client, family: turn.family });
    const reply = new LaterReply(turn, send, this.#ending);
    try {
      this.#handler.later(turn, reply);
    } catch (error) {
      reply.fail(error);
    }
  }

  readonly #ending: LaterEnding = {
    send: (turn, send, message, hasMore, hasCookie) => {
      if (!hasMore) this.pending -= 1;
      send(hasCookie ? this.#limitedLater(turn, message) : this.#repliedLater(turn, message), hasMore);
      if (!hasMore) this.#release(turn);
    },
    noteFault: (error, nowMs) => this.#noteFault(error, nowMs),
  };

  /** The turn has its reply. It is used again, unless a fetch may still need its question. */
  #release(turn: Turn): void {
    if (!turn.isFetched || turn.query.octets.length > FREE_TURN_OCTETS) return;
    if (this.#freeTurns.length < MOST_FREE_TURNS) this.#freeTurns.push(turn);
  }

  /** The handler's answer. A fault of ours costs this query a SERVFAIL, and no other query anything. */
  #answer(turn: Turn): number {
    try {
      return this.#handler.answer(turn);
    } catch (error) {
      this.#noteFault(error, turn.nowMs);
      return writeFailure(turn, RCODE.SERVFAIL);
    }
  }

  #noteFault(error: unknown, nowMs: number): void {
    this.counters.add(COUNT.handlerFaults);
    if (nowMs - this.#faultLoggedMs < FAULT_LOG_INTERVAL_MS) return;
    this.#faultLoggedMs = nowMs;
    LISTENER_MESSAGES.answerFailed(this.#log, { err: error, faults: this.counters.get('handlerFaults') });
  }

  /** Counts a reply that the system did not send, and says so: to the client it looks like a server that is down. */
  notSent(code: string): void {
    const nowMs = this.#clock.monotonicMs();
    this.counters.addSendError(code, nowMs);
    if (nowMs - this.#unsentLoggedMs < UNSENT_LOG_INTERVAL_MS) return;
    this.#unsentLoggedMs = nowMs;
    LISTENER_MESSAGES.notSent(this.#log, { reason: code, times: this.counters.unsent(nowMs)?.times });
  }

  #noteLimit({ client, clientAt, family, nowMs }: Turn, limit: string): void {
    this.limitLog.note(limit, nowMs, () => networkText(client, clientAt, family));
  }

  #drop(reason: number): number {
    this.counters.add(reason);
    return NO_REPLY;
  }

  #replied({ transport }: Turn, length: number): number {
    this.counters.add(transport === 'udp' ? COUNT.repliesUdp : COUNT.repliesTcp);
    return length;
  }

  /** REFUSED to a client that is not allowed, with the reason (RFC 8914 section 4.19). */
  #refuse(message: Uint8Array, start: number, end: number): number {
    const { turn } = this;
    // every reply to a stranger counts: a forged sender can draw each of them
    const rate = this.#rules.refusalLimit.take(turn.client, turn.clientAt, turn.family, turn.nowMs);
    const isSent = rate === RATE.SEND;
    this.#noteLimit(turn, isSent ? 'clients.allow' : 'limits.refusalsPerSecond');
    if (!isSent) return this.#drop(COUNT.droppedProhibited);
    this.counters.add(COUNT.refusedProhibited);
    turn.read(message, start, end);
    return this.#finish(turn, writeFailure(turn, RCODE.REFUSED, EXTENDED_ERROR.PROHIBITED));
  }

  /** A message that came later, as it goes out; no octets where the rate limit drops it. */
  #limitedLater(turn: Turn, message: Uint8Array): Uint8Array {
    if (message.length === NO_REPLY) return message;
    const { space, spaceStart } = turn;
    turn.nowMs = this.#clock.monotonicMs();
    turn.into(message, 0);
    const length = this.#limited(turn, message.length);
    // the handler writes its next message there
    turn.into(space, spaceStart);
    return length === message.length ? message : message.subarray(0, length);
  }

  #repliedLater(turn: Turn, message: Uint8Array): Uint8Array {
    this.#replied(turn, message.length);
    return message;
  }

  /** The reply after the rate limit and the cookie: its octets, or NO_REPLY. */
  #limited(turn: Turn, length: number): number {
    return turn.transport === 'udp' && this.#isHeldBack(turn)
      ? this.#holdBack(turn)
      : this.#finish(turn, length);
  }

  /**
   * Whether the reply is above the rate of the client's network. Never an answer of our own (AA), a denial, an error or a
   * truncated reply: forged queries gain only from records that other servers gave. Never the reply to a client that proves
   * its address by a cookie (RFC 7873 section 5.2.5).
   */
  #isHeldBack(turn: Turn): boolean {
    const { rateLimit } = this.#rules;
    if (!rateLimit.isOn) return false;
    const { query, client, clientAt, family, space, spaceStart } = turn;
    if ((uint16At(space, spaceStart + 2) & (FLAG.AA | FLAG.TC | FLAG.RCODE)) !== 0) return false;
    if (uint16At(space, spaceStart + 6) === 0) return false; // ANCOUNT: there is no such record
    if (query.cookieOctets > 8 && this.#cookies.isValid(turn)) return false;
    this.#rate = rateLimit.take(client, clientAt, family, turn.nowMs);
    if (this.#rate === RATE.SEND) return false;
    this.#noteLimit(turn, 'limits.responsesPerSecond');
    return true;
  }

  /** A reply above the rate becomes a reply that is no larger than its query, or none. Returns its octets. */
  #holdBack(turn: Turn): number {
    const { query, space, spaceStart } = turn;
    // RFC 7873 section 5.2.3: the client comes back with the cookie in this reply, and is not limited any more
    if (query.cookieAt >= 0) {
      this.counters.add(COUNT.refusedBadCookie);
      return this.#finish(turn, writeEmptyReply(query, RCODE.BADCOOKIE, undefined, space, spaceStart));
    }
    if (this.#rate === RATE.DROP) return this.#drop(COUNT.droppedRateLimited);
    this.counters.add(COUNT.truncatedRateLimited);
    return this.#replied(turn, writeEmptyReply(query, RCODE.NOERROR, undefined, space, spaceStart, FLAG.TC));
  }

  /** Fills in the server cookie where the query asks for it, and counts the reply. */
  #finish(turn: Turn, length: number): number {
    if (turn.query.cookieAt >= 0 && length > HEADER_OCTETS) this.#cookies.fill(turn, length);
    return this.#replied(turn, length);
  }

  /** RFC 7873 section 5.4: a query without a question that asks for a cookie, or whether its cookie is good. */
  #answerCookieQuery(turn: Turn): number {
    const { query, space, spaceStart } = turn;
    const isBad = query.cookieOctets > 8 && !this.#cookies.isValid(turn);
    const length = writeCookieReply(query, isBad ? RCODE.BADCOOKIE : RCODE.NOERROR, space, spaceStart);
    this.#cookies.fill(turn, length);
    return length;
  }
}

/** Writes an empty reply: with the question if the question is readable, otherwise from the header alone. */
function writeFailure(turn: Turn, rcode: number, extendedError?: number): number {
  const { verdict, query, space, spaceStart } = turn;
  if (verdict === VERDICT.OK) return writeEmptyReply(query, rcode, extendedError, space, spaceStart);
  return writeHeaderOnlyReply(query.octets, query.start, rcode, space, spaceStart);
}

/** What the replies of all queries that wait share. */
interface LaterEnding {
  send(turn: Turn, send: Reply['send'], message: Uint8Array, hasMore: boolean, hasCookie: boolean): void;
  noteFault(error: unknown, nowMs: number): void;
}

/** Passes messages on up to the last message, and then no more, even if the handler sends again or fails. */
class LaterReply implements Reply {
  readonly #turn: Turn;
  readonly #send: Reply['send'];
  readonly #ending: LaterEnding;
  #isOver = false;
  /** The first message and a failure end in the place for a cookie; messages after the first have none. */
  #hasCookie = true;

  constructor(turn: Turn, send: Reply['send'], ending: LaterEnding) {
    this.#turn = turn;
    this.#send = send;
    this.#ending = ending;
  }

  send(message: Uint8Array, hasMore = false): void {
    if (this.#isOver) return;
    const isTruncated = hasMore && this.#turn.transport === 'udp';
    if (isTruncated) putUint16(message, 2, uint16At(message, 2) | FLAG.TC);
    this.#isOver = !hasMore || isTruncated;
    this.#ending.send(this.#turn, this.#send, message, !this.#isOver, this.#hasCookie);
    this.#hasCookie = false;
  }

  fail(error: unknown): void {
    this.#ending.noteFault(error, this.#turn.nowMs);
    this.#hasCookie = true;
    if (this.#isOver) return;
    const turn = this.#turn;
    turn.into(new Uint8Array(MAX_ERROR_OCTETS), 0);
    this.send(turn.space.subarray(0, writeFailure(turn, RCODE.SERVFAIL)));
  }
}

/** The end of a listener: it takes no more queries, and leaves when no query waits any more, or after a grace period. */
export class Drain {
  /** No more queries are taken. */
  isClosing = false;
  /** Nothing may be sent any more: the socket is being closed. */
  isOver = false;
  readonly #timers: Timers;
  #waiting = 0;
  #grace: Disposable | undefined;
  readonly #over = Promise.withResolvers<void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** A query waits for its answer. */
  began(): void {
    this.#waiting += 1;
  }

  /** The answer of a query that waited was sent. */
  ended(): void {
    this.#waiting -= 1;
    if (this.#waiting === 0 && this.isClosing) this.#end();
  }

  /** Resolves when no query waits any more, or `graceMs` later; called again with 0: at once. */
  close(graceMs: number): Promise<void> {
    this.isClosing = true;
    if (graceMs === 0 || this.#waiting === 0) this.#end();
    else if (!this.isOver) this.#grace ??= this.#timers.after(graceMs, () => this.#end());
    return this.#over.promise;
  }

  #end(): void {
    this.isOver = true;
    this.#grace?.[Symbol.dispose]();
    this.#over.resolve();
  }
}

// The counts of the listeners: one integer for each event in one array, raised on the way of a query and read at scrape time.

/** The metric that a count of the listeners belongs to, and the value of its label there. */
export interface CountMeaning {
  readonly metric: 'received' | 'replies' | 'dropped' | 'limited' | 'faults' | 'sendErrors' | 'connections';
  readonly label: string;
}

export const COUNT_MEANINGS = {
  receivedUdp: { metric: 'received', label: 'udp' },
  receivedTcp: { metric: 'received', label: 'tcp' },
  repliesUdp: { metric: 'replies', label: 'udp' },
  repliesTcp: { metric: 'replies', label: 'tcp' },
  droppedShort: { metric: 'dropped', label: 'short' },
  droppedResponse: { metric: 'dropped', label: 'response' },
  droppedPortZero: { metric: 'dropped', label: 'port_zero' },
  droppedRateLimited: { metric: 'dropped', label: 'rate_limited' },
  droppedProhibited: { metric: 'dropped', label: 'prohibited' },
  droppedClosing: { metric: 'dropped', label: 'closing' },
  refusedProhibited: { metric: 'limited', label: 'prohibited' },
  refusedOpcode: { metric: 'limited', label: 'opcode' },
  truncatedRateLimited: { metric: 'limited', label: 'rate_limited' },
  refusedBadCookie: { metric: 'limited', label: 'bad_cookie' },
  overloaded: { metric: 'limited', label: 'overloaded' },
  handlerFaults: { metric: 'faults', label: 'handler' },
  receiveErrors: { metric: 'faults', label: 'receive' },
  tcpAcceptErrors: { metric: 'faults', label: 'accept' },
  sendTooLarge: { metric: 'sendErrors', label: 'too_large' },
  sendUnreachable: { metric: 'sendErrors', label: 'unreachable' },
  sendRefused: { metric: 'sendErrors', label: 'refused' },
  sendNoBuffers: { metric: 'sendErrors', label: 'no_buffers' },
  sendOther: { metric: 'sendErrors', label: 'other' },
  tcpAccepted: { metric: 'connections', label: 'accepted' },
  tcpOverLimit: { metric: 'connections', label: 'over_limit' },
  tcpOverClientLimit: { metric: 'connections', label: 'over_client_limit' },
  tcpProhibited: { metric: 'connections', label: 'prohibited' },
  tcpClosedByClient: { metric: 'connections', label: 'closed_by_client' },
  tcpClosedReset: { metric: 'connections', label: 'reset' },
  tcpClosedIdle: { metric: 'connections', label: 'idle' },
  tcpClosedSlowFrame: { metric: 'connections', label: 'slow_frame' },
  tcpClosedSlowReader: { metric: 'connections', label: 'slow_reader' },
  tcpClosedBadFrame: { metric: 'connections', label: 'bad_frame' },
  tcpMadeRoom: { metric: 'connections', label: 'made_room' },
  tcpClosedByServer: { metric: 'connections', label: 'closed_by_server' },
} as const satisfies Readonly<Record<string, CountMeaning>>;

export type CountName = keyof typeof COUNT_MEANINGS;

const NAMES = Object.keys(COUNT_MEANINGS);

/** Place of each count in `ListenerCounters.values`. */
export const COUNT = Object.fromEntries(NAMES.map((name, place) => [name, place])) as Readonly<
  Record<CountName, number> // the names are those of the meanings
>;

/** Replies that the system did not send, since a minute without one. */
export interface Unsent {
  /** The system's code for the latest. */
  readonly code: string;
  readonly times: number;
  readonly latestMs: number;
}

export class ListenerCounters {
  #unsent: Unsent | undefined;
  /** By place. Floating point because integers stay exact in it far beyond 32 bits. */
  readonly values = new Float64Array(NAMES.length);

  add(place: number): void {
    this.values[place] = (this.values[place] ?? 0) + 1;
  }

  get(name: CountName): number {
    return this.values[COUNT[name]] ?? 0;
  }

  /** Counts the error of a failed send; the reply is lost, and the client asks again. */
  addSendError(code: string, nowMs: number): void {
    this.add(SEND_ERRORS.get(code) ?? COUNT.sendOther);
    this.#unsent = { code, times: (this.unsent(nowMs)?.times ?? 0) + 1, latestMs: nowMs };
  }

  /** What a person should know of lost replies; undefined where the latest is more than a minute ago. */
  unsent(nowMs: number): Unsent | undefined {
    const unsent = this.#unsent;
    return unsent !== undefined && nowMs - unsent.latestMs < UNSENT_MS ? unsent : undefined;
  }
}

const UNSENT_MS = 60_000;

export const SEND_ERRORS: ReadonlyMap<string, number> = new Map([
  ['EMSGSIZE', COUNT.sendTooLarge],
  ['ENETUNREACH', COUNT.sendUnreachable],
  ['EHOSTUNREACH', COUNT.sendUnreachable],
  ['ENETDOWN', COUNT.sendUnreachable],
  ['ECONNREFUSED', COUNT.sendRefused],
  ['EPERM', COUNT.sendRefused], // a local packet filter
  ['EACCES', COUNT.sendRefused], // a broadcast address as sender
  ['ENOBUFS', COUNT.sendNoBuffers],
  ['ENOMEM', COUNT.sendNoBuffers],
  ['EAGAIN', COUNT.sendNoBuffers],
]);
