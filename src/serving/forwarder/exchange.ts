/**
 * The contract of a transport, and what it carries: one query to one upstream, and one reply. A transport sends the message
 * and ends the exchange with the reply that `matchReply` accepts. It knows neither timeouts nor retries: attempt.ts does.
 * A new transport is a `TransportKind` in a file of its own, as udp.ts, tcp.ts and tls.ts have one; daemon/serving-rooms.ts
 * hands it in, and config/kinds/upstream.ts says how an operator writes it. At the end: an upstream as it is configured.
 */
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/message.ts';
import { acceptResponse } from '../../protocol/wire/response.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { RCODE } from '../../protocol/words/codes.ts';
import { LOWER_CASE } from '../../protocol/words/name.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';

export interface TransportKind {
  open(upstream: Upstream, context: TransportContext): Transport;
  /** Round trips until a reply can be there, a connection included. An attempt waits this number of times as long. */
  readonly roundTrips: number;
  /** Easy to forge, and replies may be truncated: names get a random case, and TCP is used where that fails. */
  readonly isDatagram?: true;
  /** Hides the content of a message but not its length: queries are padded (RFC 8467). */
  readonly isEncrypted?: true;
}

/** By the name that logs, metrics and `Upstream.transport` use. Those that name no transport are asked by `udp` and `tcp`. */
export type Transports = Readonly<Record<string, TransportKind>>;

/** Carries exchanges to one upstream by one protocol. */
export interface Transport {
  /** Sends the message, and ends the exchange once, after this call and before `giveUp` with `lost` or `unneeded`. */
  start(exchange: Exchange): void;
  giveUp(exchange: Exchange, how: GiveUp): void;
  /** Ends the exchanges in flight as failed, and closes the sockets. */
  close(): void;
}

/**
 * - `late`      no reply came in time; a later reply is still welcome
 * - `lost`      no reply came at all: it is not expected any more
 * - `unneeded`  the question has ended; the reply was not late yet
 */
export type GiveUp = 'late' | 'lost' | 'unneeded';

/** What every transport is given. */
export interface TransportContext {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** Called for a received message that was no reply to an exchange in flight. */
  readonly onMismatch: () => void;
}

/** Bounded, because each is a metric label. */
export type FailureReason = 'timeout' | 'network' | 'tls' | 'malformed' | 'spoofed' | 'loop';

export interface UpstreamFailure {
  readonly reason: FailureReason;
  readonly detail: string;
}

export interface UpstreamReply {
  readonly kind: 'reply';
  /** Owned by the receiver. */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  readonly elapsedMs: number;
  /** No connection was made first, so that the time is a round trip. */
  readonly isRoundTrip: boolean;
}

export type ExchangeEnd =
  | UpstreamReply
  /** A bare header that says FORMERR or NOTIMP to a query with EDNS (RFC 6891 section 7). */
  | { readonly kind: 'edns-refused'; readonly elapsedMs: number }
  /** All was right except the case of the name: the upstream loses it, or a forger has guessed everything else. */
  | { readonly kind: 'case-lost'; readonly elapsedMs: number }
  /** `endsEarly`: the message ends before the records that its header counts, and TC is not set. */
  | ({ readonly kind: 'failed'; readonly endsEarly?: boolean } & UpstreamFailure);

/** The socket or connection of a transport that an exchange is in flight on. */
export type Carrier = Pick<Transport, 'giveUp'>;

const NO_MESSAGE = new Uint8Array(0);

/** As transports see it. Its message may be sent again, in another form or by another transport, after the exchange has ended. */
export abstract class Exchange {
  /** The whole query; the transport writes the ID into the first two octets. */
  message: Uint8Array = NO_MESSAGE;
  questionEnd = 0;
  /** The name must come back in the same case (0x20). */
  exactCase = false;
  id = 0;
  /** The time when the message was sent; a transport that sends it once more sets this again. */
  startedAtMs = 0;
  carrier: Carrier | undefined;
  /** How often an upstream has closed the stream of this exchange, and the transport has sent it again on another stream. */
  repeats = 0;
  /** No other exchange may use the port of this exchange, because only port and ID keep a forger out. */
  needsOwnPort = false;
  /** The exchange waited for a new connection, so its time is no round-trip time. */
  hadToConnect = false;

  get hasEdns(): boolean {
    return this.message[11] !== 0;
  }

  /** For its transport alone. */
  abstract end(end: ExchangeEnd): void;

  fail(reason: FailureReason, detail: string): void {
    this.end({ kind: 'failed', reason, detail });
  }
}

/** The exchanges in flight on one socket or connection, by ID. */
export class ExchangesInFlight {
  readonly #byId = new Map<number, Exchange>();

  get size(): number {
    return this.#byId.size;
  }

  all(): Exchange[] {
    return [...this.#byId.values()];
  }

  /** Gives the exchange an ID that nobody can guess (RFC 5452 section 9.2), and writes it into the message. */
  add(exchange: Exchange, carrier: Carrier, random: Random): void {
    let id = random.uint16();
    while (this.#byId.has(id)) id = random.uint16();
    exchange.id = id;
    exchange.carrier = carrier;
    putUint16(exchange.message, 0, id);
    this.#byId.set(id, exchange);
  }

  /** The exchange that has the ID of a received message. */
  withIdOf(octets: Uint8Array): Exchange | undefined {
    return this.#byId.get(((octets[0] ?? 0) << 8) | (octets[1] ?? 0));
  }

  /** Returns whether it was in flight. */
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

/**
 * How a received message ends the exchange; `undefined` where it is no reply to it, and the exchange goes on waiting.
 * RFC 5452 section 9.1: a reply has the ID and the question; its socket has checked address and port.
 */
export function matchReply(exchange: Exchange, octets: Uint8Array, nowMs: number): ExchangeEnd | undefined {
  if (octets.length < HEADER_OCTETS || uint16At(octets, 0) !== exchange.id) return undefined;
  const flags = uint16At(octets, 2);
  if ((flags & FLAG.QR) === 0 || (flags & FLAG.OPCODE) !== 0) return undefined;
  const elapsedMs = nowMs - exchange.startedAtMs;
  const questions = uint16At(octets, 4);
  if (questions === 0 && isEdnsRefusal(exchange, octets, flags)) return { kind: 'edns-refused', elapsedMs };
  // RFC 9619: a response has one question. A forger who knows port and ID gains a failure by a wrong RCODE, as by any broken
  // reply. To wait for a better reply would hold the client for the whole time of an attempt
  if (questions !== 1) return malformed(`${questions} questions`);
  if (!hasSameQuestion(exchange, octets, false)) return undefined;
  if (exchange.exactCase && !hasSameQuestion(exchange, octets, true)) return { kind: 'case-lost', elapsedMs };
  const accepted = acceptResponse(octets);
  if (accepted.kind === 'fault') return malformed(accepted.reason, accepted.reason === 'cut off');
  const isRoundTrip = !exchange.hadToConnect;
  return { kind: 'reply', octets: accepted.octets, index: accepted.index, elapsedMs, isRoundTrip };
}

function malformed(detail: string, endsEarly = false): ExchangeEnd {
  return { kind: 'failed', reason: 'malformed', detail, endsEarly };
}

/**
 * RFC 6891 section 7: a server without EDNS answers FORMERR, and old ones send no more than the header. A forged refusal
 * costs a second exchange without EDNS, nothing else.
 */
function isEdnsRefusal(exchange: Exchange, octets: Uint8Array, flags: number): boolean {
  if (!exchange.hasEdns || octets.length !== HEADER_OCTETS) return false;
  const rcode = flags & FLAG.RCODE;
  return rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP;
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
    if (exactCase || at >= nameEnd || LOWER_CASE[sent] !== LOWER_CASE[received]) return false;
  }
  return true;
}

export interface Upstream {
  /** As the operator wrote it: for logs, metrics and outcomes. */
  readonly text: string;
  /** An IPv4 or IPv6 address in canonical text (a link-local one with its scope: `fe80::1%eth0`), never a name. */
  readonly address: string;
  readonly port: number;
  /** The only transport that may be used, such as `tls`. Without it: UDP, and TCP where UDP fails. */
  readonly transport?: string;
  /** The name or address that the upstream's certificate must be valid for. */
  readonly serverName?: string;
}

/** Upstreams that stand in for each other, in the order of preference. */
export interface UpstreamGroup {
  /** The apex of the names that go to this group, `.` for all other names; unique among the groups. */
  readonly name: string;
  readonly upstreams: readonly Upstream[];
}

/** Returns the same key for two spellings of one server; both spellings then share health and sockets. */
export function upstreamKey({ address, port, transport = '', serverName = '' }: Upstream): string {
  return `${address} ${port} ${transport} ${serverName}`;
}

/** Replaced whole at a reload. */
export interface ForwardSettings {
  /** For one question in all, every attempt with every upstream included. */
  readonly deadlineMs: number;
  /** Bounds of one attempt's timeout. */
  readonly attemptMinMs: number;
  readonly attemptMaxMs: number;
  /** Clients' questions in flight at a time. */
  readonly inFlight: number;
  /** Names are sent in a random case (0x20), and replies must bring it back. Without it each exchange has its own port. */
  readonly caseRandomization: boolean;
  /** AD of the upstreams is believed, so queries ask for it. */
  readonly trustAuthenticatedData: boolean;
}

export const DEFAULT_SETTINGS: ForwardSettings = {
  deadlineMs: 5_000,
  attemptMinMs: 200,
  attemptMaxMs: 2_000,
  inFlight: 1_000,
  caseRandomization: true,
  trustAuthenticatedData: false,
};
