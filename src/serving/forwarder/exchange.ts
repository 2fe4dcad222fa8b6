/**
 * A question for an upstream, on its way. Parts: an upstream as it is configured; the contract of a transport, which carries the
 * octets of a query to an upstream and brings one reply, and whether a message is that reply; the question, and the octets of its
 * query; the registered domain of its name; its outcomes.
 *
 * A transport sends the message and ends the exchange with the reply that `matchReply` accepts. It knows neither timeouts nor
 * retries: attempt.ts does. A new transport is a `TransportKind` in a file of its own, as udp.ts, tcp.ts and tls.ts have one;
 * daemon/serving-rooms.ts hands it in, and config/kinds/upstream.ts says how an operator writes it.
 *
 * The letters of a question may get a random case, as a secret that a reply must bring back (draft-vixie-dnsext-dns0x20). With
 * enough letters, exchanges can share a port.
 */

import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/message.ts';
import { composeQuery, type Query } from '../../protocol/wire/query.ts';
import { acceptResponse } from '../../protocol/wire/response.ts';
import { isAboutName, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { CLASS, EXTENDED_ERROR, RCODE, TYPE } from '../../protocol/words/codes.ts';
import { LOWER_CASE } from '../../protocol/words/name.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import type { NodeModules } from '../../runtime/memory.ts';
import type { Random } from '../../runtime/random.ts';

// Upstreams, as they are configured.

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

export interface UpstreamEvidence {
  /** The upstream's text. */
  readonly upstream: string;
  readonly reachable: boolean;
  readonly reason: string;
}

/** What is known of the link at this moment: plain fields, because every question reads them. */
export interface LinkCuts {
  /** The link to the far side is known to be down: a failure is then expected, and a denial proves nothing. */
  readonly isFarSideCut: boolean;
  /** Any path is cut, in fact or in a drill. */
  readonly isAnyCut: boolean;
}

// The contract of a transport, and its exchanges.

export interface TransportKind {
  open(upstream: Upstream, context: TransportContext): Transport;
  /** Round trips until a reply can be there, a connection included. An attempt waits this number of times as long. */
  readonly roundTrips: number;
  /** Easy to forge, and replies may be truncated: names get a random case, and TCP is used where that fails. */
  readonly isDatagram?: true;
  /** Hides the content of a message but not its length: queries are padded (RFC 8467). */
  readonly isEncrypted?: true;
  /** What its first exchange would load: it comes before, in turns of its own. An exchange that is earlier loads the rest itself. */
  readonly needs?: NodeModules;
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

// A question, and the octets of its query.

export interface Question {
  /** QNAME on the wire, in the case in which the client sent it. */
  readonly name: Uint8Array;
  readonly qtype: number;
  readonly qclass: number;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** Hash of the registered domain, 0 in a question of our own. */
  readonly domain: number;
  /** Set in a question of our own. */
  readonly probes: Probe | undefined;
}

/**
 * Why the server asks a question of its own. `reach`: can the upstream be reached? `trial`: does it answer, for the upstream or
 * for a suffix? `loop`: does the upstream send our queries back to us? `plain`: is it answered without EDNS?
 */
export type Probe = 'reach' | 'trial' | 'loop' | 'plain';

/** Nearly every resolver has the answer at hand, so that silence is the resolver's fault and not the name's. */
export const PROBE_QUESTION = ownQuestion(Uint8Array.of(0), TYPE.NS, 'reach');

export function ownQuestion(name: Uint8Array, qtype: number, probes: Probe): Question {
  return { name, qtype, qclass: CLASS.IN, dnssecOk: false, checkingDisabled: false, domain: 0, probes };
}

/** The question of a client's query, in octets of its own. */
export function questionOf(query: Query, probes?: Probe): Question {
  const { octets, nameStart, nameEnd } = query;
  // octet by octet: a view of a small array would cost more than the copy
  const name = new Uint8Array(nameEnd - nameStart);
  for (let at = 0; at < name.length; at++) name[at] = octets[nameStart + at] ?? 0;
  return {
    name,
    qtype: query.qtype,
    qclass: query.qclass,
    dnssecOk: query.dnssecOk,
    checkingDisabled: query.checkingDisabled,
    domain: domainHash(query),
    probes,
  };
}

/** Whether one exchange can answer both questions: they have the same name in any case, type, class, DO and CD. */
export function isSameQuestion(one: Question, other: Question): boolean {
  if (one.qtype !== other.qtype || one.qclass !== other.qclass) return false;
  if (one.dnssecOk !== other.dnssecOk || one.checkingDisabled !== other.checkingDisabled) return false;
  const { name } = one;
  if (name.length !== other.name.length) return false;
  // a length octet is below 64 and has no other case
  for (let at = 0; at < name.length; at++)
    if (LOWER_CASE[name[at] ?? 0] !== LOWER_CASE[other.name[at] ?? 0]) return false;
  return true;
}

export interface QueryForm {
  readonly withEdns: boolean;
  /** The letters of the name get a random case from here (0x20). */
  readonly caseFrom: Random | undefined;
  readonly padded: boolean;
  /**
   * AD is set: we understand it in the response (RFC 6840 section 5.7). It does not depend on the client, because the answer
   * may be kept for other clients.
   */
  readonly authenticated: boolean;
}

/** The whole query with an ID of zero; its transport writes the ID. */
export function composeUpstreamQuery(question: Question, form: QueryForm): Uint8Array {
  const { name, qtype, qclass, checkingDisabled } = question;
  // EDNS does not depend on the client either: 1232 octets fit one datagram and save a TCP exchange
  const edns = form.withEdns ? (question.dnssecOk ? WITH_DO : WITHOUT_DO) : undefined;
  const message = composeQuery({
    id: 0,
    name,
    qtype,
    qclass,
    recursionDesired: true,
    checkingDisabled,
    edns,
  });
  if (form.caseFrom !== undefined)
    mixCase(message, HEADER_OCTETS, HEADER_OCTETS + name.length, form.caseFrom);
  if (form.authenticated) putUint16(message, 2, uint16At(message, 2) | FLAG.AD);
  return form.withEdns && form.padded ? withPadding(message) : message;
}

const WITH_DO = { dnssecOk: true };
const WITHOUT_DO = { dnssecOk: false };

const OPTION_PADDING = 12; // RFC 7830 section 3
const PADDING_BLOCK = 128; // RFC 8467 section 4.1: a query is padded to a multiple of 128 octets

/** Appends padding to a message that ends in an OPT record without options. */
function withPadding(message: Uint8Array): Uint8Array {
  const unpadded = message.length + 4;
  const padded = new Uint8Array(Math.ceil(unpadded / PADDING_BLOCK) * PADDING_BLOCK);
  padded.set(message);
  putUint16(padded, message.length - 2, padded.length - message.length); // RDLENGTH
  putUint16(padded, message.length, OPTION_PADDING);
  putUint16(padded, message.length + 2, padded.length - unpadded);
  return padded;
}

/** Offset after QCLASS in the query that `composeUpstreamQuery` makes for this question. */
export function questionEndOf(question: Question): number {
  return HEADER_OCTETS + question.name.length + 4;
}

/** Letters that let exchanges share a port: a forger who knows the port still needs 256 times as many replies. */
const ENOUGH_LETTERS = 8;

/** A length octet is at most 63 and never in this range. */
const isLetter = (lowered: number): boolean => lowered >= 0x61 && lowered <= 0x7a;

export function hasEnoughLetters(name: Uint8Array): boolean {
  let letters = 0;
  for (let at = 0; at < name.length; at++) if (isLetter(LOWER_CASE[name[at] ?? 0] ?? 0)) letters++;
  return letters >= ENOUGH_LETTERS;
}

/** Gives the letters from `start` to `end` a random case, in place. */
function mixCase(octets: Uint8Array, start: number, end: number, random: Random): void {
  let bits = 0;
  let left = 0;
  for (let at = start; at < end; at++) {
    const letter = (octets[at] ?? 0) | 0x20;
    // a length octet is at most 63: with that bit it is still below the letters
    if (!isLetter(letter) || (octets[at] ?? 0) < 0x41) continue;
    if (left === 0) {
      bits = random.uint32();
      left = 32;
    }
    octets[at] = letter & ~((bits & 1) << 5);
    bits >>>= 1;
    left--;
  }
}

// The registered domain of a name.

const IN_ADDR_LABELS = 4; // 16 bits of an IPv4 address under in-addr.arpa
const IP6_LABELS = 10; // 32 bits of an IPv6 address under ip6.arpa
const COUNTRY_OCTETS = 2;
/** A registry label below a country code has at most this many octets: "co", "ac", "com", "gov". */
const REGISTRY_OCTETS = 3;

/**
 * Counts the labels of a name's registered domain: "example.com", "example.co.uk", a reverse zone of 16 bits. The shape of the
 * name decides; a list of public suffixes would move the border by only one label. `first` and `second` are the offsets of the
 * last two labels of the name.
 */
export function domainDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  return Math.min(labelCount, usualDepth(octets, first, second, labelCount));
}

/** As `domainDepth`, for the name of a query. */
export function queryDomainDepth({ octets, nameStart, labelStarts, labelCount }: Query): number {
  const first = nameStart + (labelStarts[1] ?? 0);
  return domainDepth(octets, first, nameStart + (labelStarts[2] ?? 0), labelCount);
}

function domainHash(query: Query): number {
  return query.suffixHashes[queryDomainDepth(query)] ?? 0;
}

function usualDepth(octets: Uint8Array, first: number, second: number, labelCount: number): number {
  if (labelCount < 3) return 2;
  if (isLabel(octets, first, ARPA)) {
    if (isLabel(octets, second, IN_ADDR)) return IN_ADDR_LABELS;
    return isLabel(octets, second, IP6) ? IP6_LABELS : 2;
  }
  const isBelowCountry = octets[first] === COUNTRY_OCTETS && (octets[second] ?? 0) <= REGISTRY_OCTETS;
  return isBelowCountry ? 3 : 2;
}

const ARPA = Buffer.from('arpa');
const IN_ADDR = Buffer.from('in-addr');
const IP6 = Buffer.from('ip6');

function isLabel(octets: Uint8Array, at: number, label: Uint8Array): boolean {
  if (octets[at] !== label.length) return false;
  for (let i = 0; i < label.length; i++) if (LOWER_CASE[octets[at + 1 + i] ?? 0] !== label[i]) return false;
  return true;
}

// The outcomes of a forwarded question.

export type ForwardFailureReason =
  | 'timeout'
  | 'network'
  | 'all-down'
  | 'overloaded'
  | 'loop'
  | 'malformed'
  | 'closing';

/** Why a question was too much: no place was left, or it gave way to a question of another network, or of its own suffix. */
export type Overload = 'limit' | 'network' | 'suffix';

interface ForwardedResponse {
  readonly kind: 'response';
  /** The message of the upstream, unchanged: with its ID, question case and OPT. All clients that asked share it, so nobody may change it. */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  /** The text of the upstream that answered. */
  readonly upstream: string;
  readonly rttMs: number;
}

export interface ForwardFailure {
  readonly kind: 'failed';
  /** INFO-CODE for the SERVFAIL that the client gets (RFC 8914). */
  readonly extendedError: number;
  readonly reason: ForwardFailureReason;
  readonly detail: string;
  /** `false`: no upstream was asked, because of earlier failures. Nothing new is known of the name. */
  readonly wasAsked?: false;
}

export type ForwardOutcome = ForwardedResponse | ForwardFailure;

const EXTENDED_ERRORS: Readonly<Record<ForwardFailureReason, number>> = {
  timeout: EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  'all-down': EXTENDED_ERROR.NO_REACHABLE_AUTHORITY,
  network: EXTENDED_ERROR.NETWORK_ERROR,
  loop: EXTENDED_ERROR.NETWORK_ERROR,
  malformed: EXTENDED_ERROR.NETWORK_ERROR,
  // RFC 8914 has no code for being too busy
  overloaded: EXTENDED_ERROR.OTHER,
  closing: EXTENDED_ERROR.NOT_READY,
};

export function forwardFailure(reason: ForwardFailureReason, detail: string): ForwardFailure {
  return { kind: 'failed', reason, detail, extendedError: EXTENDED_ERRORS[reason] };
}

/** As `forwardFailure`, where no upstream was asked. */
export function notAsked(
  reason: ForwardFailureReason,
  detail: string,
  extendedErrorOf = reason,
): ForwardFailure {
  return { kind: 'failed', reason, detail, extendedError: EXTENDED_ERRORS[extendedErrorOf], wasAsked: false };
}

/** Whether the outcome says nothing about the name. */
export function saysNothing(outcome: ForwardOutcome): boolean {
  return outcome.kind === 'failed' || !isAboutName(outcome.index);
}
