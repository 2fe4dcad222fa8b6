/**
 * Replies of our own, and the parts that every reply has: header, question, and OPT (RFC 6891 section 6.1.2). OPT carries at
 * most one extended error (RFC 8914 section 2), and a COOKIE if the query had one (RFC 7873 section 4). The server cookie is
 * the last 16 octets of such a reply. It depends on the client's address, so it is written here as zeros, and the listener
 * fills it in.
 */
import { OPTION_EXTENDED_ERROR, TYPE } from '../words/codes.ts';
import { EDNS_UDP_OCTETS, FLAG, HEADER_OCTETS, putUint16, uint16At } from './header.ts';
import { CLIENT_COOKIE_OCTETS, OPTION_COOKIE, type Query, SERVER_COOKIE_OCTETS } from './query.ts';

const OPT_OCTETS = 11; // root owner, TYPE, CLASS, TTL, RDLENGTH
const EXTENDED_ERROR_OCTETS = 6; // OPTION-CODE, OPTION-LENGTH, INFO-CODE; we send no EXTRA-TEXT
const COOKIE_OCTETS = 4 + CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS;

/** A reply of twelve octets, for a message whose question cannot be read. `rcode` is below 16. */
export function writeHeaderOnlyReply(
  message: Uint8Array,
  start: number,
  rcode: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const flags = uint16At(message, start + 2);
  reply[replyStart] = message[start] ?? 0;
  reply[replyStart + 1] = message[start + 1] ?? 0;
  // RFC 1035 section 4.1.1: OPCODE is copied. RD and RA mean something only with OPCODE 0, QUERY (RFC 6895 section 2.1)
  const ofQuery = (flags & FLAG.OPCODE) === 0 ? (flags & FLAG.RD) | FLAG.RA : 0;
  putUint16(reply, replyStart + 2, FLAG.QR | (flags & FLAG.OPCODE) | ofQuery | rcode);
  reply.fill(0, replyStart + 4, replyStart + HEADER_OCTETS);
  return HEADER_OCTETS;
}

/**
 * A reply with the question and, where the query had EDNS, OPT. `flags` (AA, TC, AD) are added to those that
 * every reply has; `rcode` may have 12 bits. Returns the octets written.
 */
export function writeEmptyReply(
  query: Query,
  rcode: number,
  extendedError: number | undefined,
  reply: Uint8Array,
  replyStart: number,
  flags = 0,
): number {
  const questionEnd = writeHeaderAndQuestion(query, flags | (rcode & FLAG.RCODE), reply, replyStart);
  reply.fill(0, replyStart + 6, replyStart + HEADER_OCTETS);
  if (!query.hasEdns) return questionEnd - replyStart;
  putUint16(reply, replyStart + 10, 1);
  return writeOpt(reply, questionEnd, rcode, query, extendedError) - replyStart;
}

/** A reply without a question, to a query without one (RFC 7873 section 5.4): OPT with the cookie is all it holds. */
export function writeCookieReply(query: Query, rcode: number, reply: Uint8Array, replyStart: number): number {
  const end =
    replyStart + writeHeaderOnlyReply(query.octets, query.start, rcode & FLAG.RCODE, reply, replyStart);
  putUint16(reply, replyStart + 10, 1);
  return writeOpt(reply, end, rcode, query, undefined) - replyStart;
}

/** Octets that `writeEmptyReply` needs. */
function emptyReplyLength(query: Query, extendedError: number | undefined): number {
  return query.questionEnd - query.start + optLength(query, extendedError);
}

/**
 * Writes ID, flags (QR and RA set, OPCODE zero, RD and CD copied) and QDCOUNT 1. Copies the question octet for octet, in the
 * client's case. Leaves the other counts to the caller. Returns the question's end.
 */
export function writeHeaderAndQuestion(
  query: Query,
  flags: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const { octets, start, questionEnd } = query;
  reply[replyStart] = octets[start] ?? 0;
  reply[replyStart + 1] = octets[start + 1] ?? 0;
  putUint16(reply, replyStart + 2, FLAG.QR | FLAG.RA | (query.flags & (FLAG.RD | FLAG.CD)) | flags);
  putUint16(reply, replyStart + 4, 1);
  let to = replyStart + HEADER_OCTETS;
  for (let at = start + HEADER_OCTETS; at < questionEnd; at++) reply[to++] = octets[at] ?? 0;
  return to;
}

/** Question and OPT with TC set (RFC 2181 section 9: the client asks again over TCP for an answer that does not fit). */
export function writeTruncatedReply(
  query: Query,
  rcode: number,
  saidError: number | undefined,
  limit: number,
  reply: Uint8Array,
  replyStart: number,
  flags = 0,
): number {
  const extendedError = emptyReplyLength(query, saidError) <= limit ? saidError : undefined;
  return writeEmptyReply(query, rcode, extendedError, reply, replyStart, flags | FLAG.TC);
}

/** Sections of a reply after its question, ready to be copied. */
export interface LocalAnswer {
  readonly rcode: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  readonly octets: Uint8Array;
  /** The name that compression pointers were composed against, and where they stand in `octets`. */
  readonly composedNameOctets: number;
  readonly pointerOffsets: readonly number[];
  /** The octets of one answer record, and the number of records that rotate. All other records keep their order. */
  readonly rotation: { readonly recordOctets: number; readonly records: number } | undefined;
  /** The answer ends in an alias, and another part of the server answers for the target. */
  readonly isOpen: boolean;
}

/**
 * Writes the authoritative reply. `nth`, a running number, says which record comes first. A name that is
 * longer than the composed name (a name under the apex) shifts every compression pointer by the difference. Returns the octets
 * written.
 */
export function writeLocalReply(
  query: Query,
  answer: LocalAnswer,
  nth: number,
  limit: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const questionOctets = query.questionEnd - query.start;
  const total = questionOctets + answer.octets.length + optLength(query, undefined);
  if (total > limit) {
    return writeTruncatedReply(query, answer.rcode, undefined, limit, reply, replyStart, FLAG.AA);
  }
  const at = writeHeaderAndQuestion(query, FLAG.AA | answer.rcode, reply, replyStart);
  putUint16(reply, replyStart + 6, answer.answerCount);
  putUint16(reply, replyStart + 8, answer.authorityCount);
  putUint16(reply, replyStart + 10, query.hasEdns ? 1 : 0);
  copyRotated(answer, nth, reply, at);
  const shift = query.nameEnd - query.nameStart - answer.composedNameOctets;
  if (shift !== 0) {
    for (const offset of answer.pointerOffsets)
      putUint16(reply, at + offset, uint16At(reply, at + offset) + shift);
  }
  const end = at + answer.octets.length;
  return (query.hasEdns ? writeOpt(reply, end, answer.rcode, query, undefined) : end) - replyStart;
}

function copyRotated(answer: LocalAnswer, nth: number, reply: Uint8Array, at: number): void {
  const { octets, rotation } = answer;
  if (rotation === undefined) {
    for (let i = 0; i < octets.length; i++) reply[at + i] = octets[i] ?? 0;
    return;
  }
  const rotating = rotation.records * rotation.recordOctets;
  let from = (nth % rotation.records) * rotation.recordOctets;
  for (let i = 0; i < rotating; i++) {
    reply[at + i] = octets[from] ?? 0;
    if (++from === rotating) from = 0;
  }
  for (let i = rotating; i < octets.length; i++) reply[at + i] = octets[i] ?? 0;
}

/** Octets that `writeOpt` writes: none for a query without EDNS. */
export function optLength(query: Query, extendedError: number | undefined): number {
  if (!query.hasEdns) return 0;
  return (
    OPT_OCTETS +
    (extendedError === undefined ? 0 : EXTENDED_ERROR_OCTETS) +
    (query.cookieAt < 0 ? 0 : COOKIE_OCTETS)
  );
}

/** Writes the record at `at`, for a query with EDNS, and returns the offset after it. `rcode` is the whole 12-bit code. */
export function writeOpt(
  reply: Uint8Array,
  at: number,
  rcode: number,
  query: Query,
  extendedError: number | undefined,
): number {
  reply[at] = 0;
  putUint16(reply, at + 1, TYPE.OPT);
  putUint16(reply, at + 3, EDNS_UDP_OCTETS);
  reply[at + 5] = rcode >>> 4; // RFC 6891 section 6.1.3: the upper eight bits
  reply[at + 6] = 0; // version
  reply[at + 7] = query.dnssecOk ? 0x80 : 0; // RFC 3225 section 3: DO is copied
  reply[at + 8] = 0;
  let end = at + OPT_OCTETS;
  if (extendedError !== undefined) {
    putUint16(reply, end, OPTION_EXTENDED_ERROR);
    putUint16(reply, end + 2, 2);
    putUint16(reply, end + 4, extendedError);
    end += EXTENDED_ERROR_OCTETS;
  }
  if (query.cookieAt >= 0) end = writeCookie(reply, end, query);
  putUint16(reply, at + 9, end - at - OPT_OCTETS);
  return end;
}

/** The client cookie as it came, and the place of the server cookie. */
function writeCookie(reply: Uint8Array, at: number, { octets, cookieAt }: Query): number {
  putUint16(reply, at, OPTION_COOKIE);
  putUint16(reply, at + 2, CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS);
  let to = at + 4;
  for (let i = 0; i < CLIENT_COOKIE_OCTETS; i++) reply[to++] = octets[cookieAt + i] ?? 0;
  for (let i = 0; i < SERVER_COOKIE_OCTETS; i++) reply[to++] = 0;
  return to;
}
