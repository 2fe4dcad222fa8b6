/** What is asked of an upstream, and the octets of the query that asks it. */
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from '../../protocol/wire/header.ts';
import { composeQuery, type Query } from '../../protocol/wire/query.ts';
import { CLASS } from '../../protocol/words/classes.ts';
import { lower } from '../../protocol/words/name.ts';
import { TYPE } from '../../protocol/words/types.ts';
import type { Random } from '../../runtime/random.ts';
import { mixCase } from './name-case.ts';
import { domainHash } from './suffix-health.ts';

export interface Question {
  /** QNAME on the wire, in the case in which the client sent it. */
  readonly name: Uint8Array;
  readonly qtype: number;
  readonly qclass: number;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** Hash of the registered domain, 0 in a question of our own. */
  readonly domain: number;
  /** Set in a question of our own: what the answer is to tell. */
  readonly probes?: Probe;
}

/**
 * Whether the upstream can be reached (`trial`: only an answer tells, of it or of a suffix), or whether it sends our
 * queries back to us.
 */
export type Probe = 'reach' | 'trial' | 'loop';

/** What nearly every resolver has at hand, so that silence means the resolver and not the name. */
export const PROBE_QUESTION: Question = {
  name: Uint8Array.of(0),
  qtype: TYPE.NS,
  qclass: CLASS.IN,
  dnssecOk: false,
  checkingDisabled: false,
  domain: 0,
  probes: 'reach',
};

/** The question of a client's query, in octets of its own. */
export function questionOf(query: Query): Question {
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
  };
}

/** Whether one exchange can answer both: the same name in whatever case, type, class, DO and CD. */
export function isSameQuestion(one: Question, other: Question): boolean {
  if (one.qtype !== other.qtype || one.qclass !== other.qclass) return false;
  if (one.dnssecOk !== other.dnssecOk || one.checkingDisabled !== other.checkingDisabled) return false;
  const { name } = one;
  if (name.length !== other.name.length) return false;
  // a length octet is below 64 and has no other case
  for (let at = 0; at < name.length; at++)
    if (lower(name[at] ?? 0) !== lower(other.name[at] ?? 0)) return false;
  return true;
}

export interface QueryForm {
  readonly withEdns: boolean;
  /** The letters of the name get a random case from here (0x20). */
  readonly caseFrom: Random | undefined;
  /** The message is padded, for a transport that hides its content but not its length. */
  readonly padded: boolean;
  /**
   * AD is set: we understand it in the response (RFC 6840 section 5.7). Whatever the client asked for, because the
   * answer may be kept for one that does.
   */
  readonly authenticated: boolean;
}

/** The whole query with an ID of zero; whoever sends it puts the ID in. */
export function composeUpstreamQuery(question: Question, form: QueryForm): Uint8Array {
  const { qtype, qclass, checkingDisabled } = question;
  const { name } = question;
  // with EDNS, whatever the client has: 1232 octets fit one datagram and spare us a TCP exchange
  const edns = question.dnssecOk ? WITH_DO : WITHOUT_DO;
  const recursionDesired = true;
  const message = form.withEdns
    ? composeQuery({ id: 0, name, qtype, qclass, recursionDesired, checkingDisabled, edns })
    : composeQuery({ id: 0, name, qtype, qclass, recursionDesired, checkingDisabled });
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

/** Offset behind QCLASS of a query that `composeUpstreamQuery` made for this question. */
export function questionEndOf(question: Question): number {
  return HEADER_OCTETS + question.name.length + 4;
}
