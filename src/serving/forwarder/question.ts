/**
 * Holds a question for an upstream, the octets of its query, and the registered domain of its name. The letters of the name
 * may get a random case, as a secret that a reply must bring back (draft-vixie-dnsext-dns0x20). With enough letters,
 * exchanges can share a port. The outcomes of a question stand at the end.
 */
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/message.ts';
import { composeQuery, type Query } from '../../protocol/wire/query.ts';
import { isAboutName, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { CLASS, EXTENDED_ERROR, TYPE } from '../../protocol/words/codes.ts';
import { LOWER_CASE } from '../../protocol/words/name.ts';
import type { Random } from '../../runtime/random.ts';

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

// a length octet is at most 63 and never in this range
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
