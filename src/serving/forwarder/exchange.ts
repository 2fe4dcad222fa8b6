/** One query sent once to one upstream: what its transport is given, how it ends, and which reply is its own. */
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/header.ts';
import { acceptResponse, type ResponseIndex } from '../../protocol/wire/response.ts';
import { lower } from '../../protocol/words/name.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { Random } from '../../runtime/random.ts';

export type TransportName = 'udp' | 'tcp' | 'tls';

/** Bounded, because each is a metric label. */
export type ExchangeFailure = 'timeout' | 'network' | 'tls' | 'malformed' | 'spoofed' | 'loop';

export type ExchangeEnd =
  | {
      readonly kind: 'reply';
      /** Owned by the receiver. */
      readonly octets: Uint8Array;
      readonly index: ResponseIndex;
      readonly elapsedMs: number;
      /** No connection had to be made first, so that the time is a round trip. */
      readonly isRoundTrip: boolean;
    }
  /** A bare header that says FORMERR or NOTIMP to a query with EDNS (RFC 6891 section 7). */
  | { readonly kind: 'edns-refused'; readonly elapsedMs: number }
  /** All was right except the case of the name: an upstream that loses it, or a forger who has guessed all else. */
  | { readonly kind: 'case-lost'; readonly elapsedMs: number }
  | { readonly kind: 'failed'; readonly reason: ExchangeFailure; readonly detail: string };

/** Who can drop an exchange that nobody waits for any more. */
export interface Carrier {
  /** `isInTime`: its reply was not late yet, so nothing follows for the socket. */
  drop(exchange: Exchange, isInTime?: boolean): void;
}

/** Filled in by the transport that carries it. */
export class Exchange {
  /** The whole query; its transport writes the ID into the first two octets. */
  readonly message: Uint8Array;
  readonly questionEnd: number;
  /** The name has to come back in the same case (0x20). */
  readonly exactCase: boolean;
  /** Called once at most, never while the exchange is being started. */
  readonly onEnd: (end: ExchangeEnd) => void;
  id = 0;
  startedAtMs = 0;
  carrier: Carrier | undefined;
  /** A stream that the upstream had closed already: such an exchange is sent once more on a new one. */
  isSecondTry = false;
  /** Its port is used by no other exchange: nothing else than the ID keeps a forger out. */
  hasOwnPort = false;
  /** It waited for a connection to be made, so that its time is no round trip. */
  hadToConnect = false;

  constructor(
    message: Uint8Array,
    questionEnd: number,
    exactCase: boolean,
    onEnd: (end: ExchangeEnd) => void,
  ) {
    this.message = message;
    this.questionEnd = questionEnd;
    this.exactCase = exactCase;
    this.onEnd = onEnd;
  }

  get hasEdns(): boolean {
    return this.message[11] !== 0;
  }
}

/** The exchanges of one socket or connection that wait for their replies: an ID belongs to one of them at a time. */
export class InFlight {
  readonly #byId = new Map<number, Exchange>();

  get size(): number {
    return this.#byId.size;
  }

  all(): Exchange[] {
    return [...this.#byId.values()];
  }

  /** Gives it an ID that nobody can guess (RFC 5452 section 9.2), in its message, too. */
  add(exchange: Exchange, carrier: Carrier, random: Random): void {
    let id = random.uint16();
    while (this.#byId.has(id)) id = random.uint16();
    exchange.id = id;
    exchange.carrier = carrier;
    putUint16(exchange.message, 0, id);
    this.#byId.set(id, exchange);
  }

  /** The one that a received message may be the reply to, by its ID alone. */
  askedBy(octets: Uint8Array): Exchange | undefined {
    return this.#byId.get(((octets[0] ?? 0) << 8) | (octets[1] ?? 0));
  }

  /** False when it is in flight no more. */
  remove(exchange: Exchange): boolean {
    if (this.#byId.get(exchange.id) !== exchange) return false;
    this.#byId.delete(exchange.id);
    exchange.carrier = undefined;
    return true;
  }

  removeAll(): Exchange[] {
    const removed = this.all();
    for (const exchange of removed) this.remove(exchange);
    return removed;
  }
}

/** Carries exchanges to one upstream by one protocol. */
export interface ExchangeTransport {
  /** Sends, and ends the exchange by its `onEnd` unless it is dropped before. Knows no timeouts. */
  start(exchange: Exchange): void;
  /** The reply is late: a stream that is silent since then takes no further exchange. */
  doubt(exchange: Exchange): void;
  /** Ends what is in flight as failed, and closes its sockets. */
  close(): void;
}

/** What a transport needs beside the upstream's address. */
export interface TransportHooks {
  /** A received message was no reply to any exchange in flight. */
  onMismatch(): void;
}

/** What a received message is to the exchange that waits for its ID. */
export type ReplyVerdict =
  | { readonly kind: 'mismatched' }
  /** All is right but the case of the name: an upstream that loses it, or a forger who got everything else right. */
  | { readonly kind: 'wrong-case' }
  | { readonly kind: 'edns-refused' }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'reply'; readonly octets: Uint8Array; readonly index: ResponseIndex };

const MISMATCHED: ReplyVerdict = { kind: 'mismatched' };
const WRONG_CASE: ReplyVerdict = { kind: 'wrong-case' };

/**
 * RFC 5452 section 9.1: a reply has the address and port asked (the socket's business), the ID, and the question.
 * Anything else is no reply to this exchange, which goes on waiting.
 */
export function judgeReply(exchange: Exchange, octets: Uint8Array): ReplyVerdict {
  if (octets.length < HEADER_OCTETS || uint16At(octets, 0) !== exchange.id) return MISMATCHED;
  const flags = uint16At(octets, 2);
  if ((flags & FLAG.QR) === 0 || (flags & FLAG.OPCODE) !== 0) return MISMATCHED;
  const questions = uint16At(octets, 4);
  if (questions === 0 && isEdnsRefusal(exchange, octets, flags)) return EDNS_REFUSED;
  // RFC 9619: a response has one question. A forger who has the port and the ID gains a failure by another number, as by
  // any other broken reply; to wait for a better one would hold the client for the whole time of an attempt
  if (questions !== 1) return { kind: 'malformed', detail: `${questions} questions` };
  if (!hasSameQuestion(exchange, octets, false)) return MISMATCHED;
  if (exchange.exactCase && !hasSameQuestion(exchange, octets, true)) return WRONG_CASE;
  const accepted = acceptResponse(octets);
  if (accepted.kind === 'fault') return { kind: 'malformed', detail: accepted.reason };
  return { kind: 'reply', octets: accepted.octets, index: accepted.index };
}

const EDNS_REFUSED: ReplyVerdict = { kind: 'edns-refused' };

/**
 * RFC 6891 section 7: a server without EDNS answers FORMERR, and old ones send no more than the header. To be taken
 * in by a forged one costs a second exchange without EDNS, nothing else.
 */
function isEdnsRefusal(exchange: Exchange, octets: Uint8Array, flags: number): boolean {
  const rcode = flags & FLAG.RCODE;
  return (
    exchange.hasEdns && octets.length === HEADER_OCTETS && (rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP)
  );
}

/** How an exchange ends by a message that is its own; the verdict's octets are the receiver's from now on. */
export function endBy(
  exchange: Exchange,
  verdict: Exclude<ReplyVerdict, { kind: 'mismatched' }>,
  nowMs: number,
): ExchangeEnd {
  const elapsedMs = nowMs - exchange.startedAtMs;
  switch (verdict.kind) {
    case 'malformed':
      return { kind: 'failed', reason: 'malformed', detail: verdict.detail };
    case 'wrong-case':
      return { kind: 'case-lost', elapsedMs };
    case 'edns-refused':
      return { kind: 'edns-refused', elapsedMs };
    case 'reply': {
      const { octets, index } = verdict;
      return { kind: 'reply', octets, index, elapsedMs, isRoundTrip: !exchange.hadToConnect };
    }
  }
}

/** Whether the message asks what the exchange asks. */
function hasSameQuestion(
  { message, questionEnd }: Exchange,
  octets: Uint8Array,
  exactCase: boolean,
): boolean {
  if (octets.length < questionEnd) return false;
  const nameEnd = questionEnd - 4;
  for (let at = HEADER_OCTETS; at < questionEnd; at++) {
    const sent = message[at] ?? 0;
    const received = octets[at] ?? 0;
    if (sent === received) continue;
    // RFC 4343: letters of a name are equal in both cases; QTYPE and QCLASS are numbers
    if (exactCase || at >= nameEnd || lower(sent) !== lower(received)) return false;
  }
  return true;
}
