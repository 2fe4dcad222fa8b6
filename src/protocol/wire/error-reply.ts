/** Replies without records, made from a query's raw header: for what could not or may not be answered. */
import { FLAG, HEADER_OCTETS, putUint16, uint16At } from './header.ts';
import { optLength, writeOpt } from './opt.ts';
import type { Query } from './query.ts';

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
  // RFC 1035 section 4.1.1: OPCODE is copied, and RD where it means something; RA, too, is about queries (RFC 6895 section 2.1)
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
export function emptyReplyLength(query: Query, extendedError: number | undefined): number {
  return query.questionEnd - query.start + optLength(query, extendedError);
}

/**
 * Writes ID, flags (QR and RA set, OPCODE zero, RD and CD copied), QDCOUNT 1 and the question octet for
 * octet, in the case in which it was sent. Leaves the other counts to the caller. Returns the question's end.
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
