/**
 * Writes replies: of our own, from stored responses, and the parts that every reply has: header, question, and OPT (RFC 6891
 * section 6.1.2). OPT carries the extended errors that fit (RFC 8914 section 2), and a COOKIE if the query had one (RFC 7873 section
 * 4). The server cookie is the last 16 octets of such a reply. It depends on the client's address, so it is written here as zeros,
 * and the listener fills it in.
 *
 * A stored response becomes a reply by patching a copy of its octets: ID, flags, the question in the client's case, TTLs, OPT.
 * Everything else stays as the upstream sent it, as far as the client can take it.
 */
import {
  type ExtendedErrors,
  extendedErrorAt,
  extendedErrorCount,
  firstExtendedErrors,
  OPTION_EXTENDED_ERROR,
  TYPE,
} from '../words/codes.ts';
import { leaveOut } from './leave-out.ts';
import {
  EDNS_UDP_OCTETS,
  FIXED_RR_OCTETS,
  FLAG,
  HEADER_OCTETS,
  isSameName,
  putUint16,
  putUint32,
  skipName,
  uint16At,
  uint32At,
} from './message.ts';
import { CLIENT_COOKIE_OCTETS, OPTION_COOKIE, type Query, SERVER_COOKIE_OCTETS } from './query.ts';
import { indexResponse } from './response.ts';
import {
  coveredType,
  forEachRecord,
  isDenial,
  isPositive,
  type ResponseIndex,
  SECTION,
} from './response-records.ts';

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
  extendedError: ExtendedErrors | undefined,
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

/** As many as fit beside `octets` that end without OPT. They alone are no reason for TC, which would cost a whole answer (RFC 8914 section 3). */
export function errorsThatFit(
  query: Query,
  errors: ExtendedErrors | undefined,
  octets: number,
  limit: number,
): ExtendedErrors | undefined {
  if (errors === undefined) return undefined;
  const room = limit - octets - optLength(query, undefined);
  return room >= extendedErrorCount(errors) * EXTENDED_ERROR_OCTETS
    ? errors
    : firstExtendedErrors(errors, Math.floor(room / EXTENDED_ERROR_OCTETS));
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
  saidError: ExtendedErrors | undefined,
  limit: number,
  reply: Uint8Array,
  replyStart: number,
  flags = 0,
): number {
  const extendedError = errorsThatFit(query, saidError, query.questionEnd - query.start, limit);
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
export function optLength(query: Query, extendedError: ExtendedErrors | undefined): number {
  if (!query.hasEdns) return 0;
  return (
    OPT_OCTETS +
    (extendedError === undefined ? 0 : extendedErrorCount(extendedError) * EXTENDED_ERROR_OCTETS) +
    (query.cookieAt < 0 ? 0 : COOKIE_OCTETS)
  );
}

/** Writes the record at `at`, for a query with EDNS, and returns the offset after it. `rcode` is the whole 12-bit code. */
export function writeOpt(
  reply: Uint8Array,
  at: number,
  rcode: number,
  query: Query,
  extendedError: ExtendedErrors | undefined,
): number {
  reply[at] = 0;
  putUint16(reply, at + 1, TYPE.OPT);
  putUint16(reply, at + 3, EDNS_UDP_OCTETS);
  reply[at + 5] = rcode >>> 4; // RFC 6891 section 6.1.3: the upper eight bits
  reply[at + 6] = 0; // version
  reply[at + 7] = query.dnssecOk ? 0x80 : 0; // RFC 3225 section 3: DO is copied
  reply[at + 8] = 0;
  let end = at + OPT_OCTETS;
  for (let nth = 0; extendedError !== undefined && nth < extendedErrorCount(extendedError); nth++) {
    putUint16(reply, end, OPTION_EXTENDED_ERROR);
    putUint16(reply, end + 2, 2);
    putUint16(reply, end + 4, extendedErrorAt(extendedError, nth));
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

// From stored responses.

/** How the TTLs of a copy are set: aged by `ageSeconds` (floor 0), or all to `ttlSeconds` (RFC 8767 section 4). */
export type TtlPatch = { readonly ageSeconds: number } | { readonly ttlSeconds: number };

/** For an answer that an upstream has just given. */
export const JUST_NOW: TtlPatch = { ageSeconds: 0 };

export interface PatchOptions {
  readonly ttl: TtlPatch;
  /** Takes the place of the upstream's extended errors. */
  readonly extendedError: ExtendedErrors | undefined;
  /** AD of the upstream is passed on only where the operator trusts it and the client asked (RFC 6840 section 5.8). */
  readonly trustAuthenticatedData: boolean;
  /** The largest reply that the client accepts, in octets. */
  readonly limit: number;
}

/**
 * Writes the reply to `query` from a stored `response` whose question has the same name, and returns its octets. Where the
 * answer does not fit `limit`, the records that it does not need are left out. An answer that does not fit alone becomes an
 * empty reply with TC.
 */
export function writePatchedReply(
  query: Query,
  response: Uint8Array,
  index: ResponseIndex,
  options: PatchOptions,
  reply: Uint8Array,
  replyStart: number,
): number {
  if (index.end + optLength(query, undefined) > options.limit) {
    return writeShorterReply(query, response, index, options, reply, replyStart);
  }
  return writeSections(query, response, index, options, 3, index.end, reply, replyStart);
}

/** The question and the first `sections` sections of records, which end at `end` in the response. */
function writeSections(
  query: Query,
  response: Uint8Array,
  index: ResponseIndex,
  options: PatchOptions,
  sections: number,
  end: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  const authority = sections > 1 ? index.authorityCount : 0;
  const additional = sections > 2 ? index.additionalCount : 0;
  copyRecords(response, index.questionEnd, end, reply, replyStart);
  writeHeaderAndQuestion(query, patchedFlags(query, index, options), reply, replyStart);
  putUint16(reply, replyStart + 6, index.answerCount);
  putUint16(reply, replyStart + 8, authority);
  putUint16(reply, replyStart + 10, additional + (query.hasEdns ? 1 : 0));
  patchTtls(index.ttlOffsets, index.answerCount + authority + additional, options.ttl, reply, replyStart);
  if (!query.hasEdns) return end;
  const errors = errorsThatFit(query, options.extendedError ?? index.extendedError, end, options.limit);
  return writeOpt(reply, replyStart + end, index.rcode, query, errors) - replyStart;
}

/**
 * RFC 2181 section 9: TC is for an answer that does not fit, not for additions to it. Extended errors take only the room that is left.
 * The reply first loses the additional section, and then the authority records that the answer does not need.
 */
function writeShorterReply(
  query: Query,
  response: Uint8Array,
  index: ResponseIndex,
  options: PatchOptions,
  reply: Uint8Array,
  replyStart: number,
): number {
  const limit = options.limit - optLength(query, undefined);
  const extendedError = options.extendedError ?? index.extendedError;
  if (!answerFits(response, index, limit))
    return writeTruncatedReply(query, index.rcode, extendedError, options.limit, reply, replyStart);
  const ends = sectionEnds(response, index);
  for (let sections = 3; sections > 0; sections--) {
    const end = ends[sections - 1] ?? 0;
    if (end > limit) continue;
    if (sections === 1 && !isWholeAlone(query, response, index)) break;
    return writeSections(query, response, index, options, sections, end, reply, replyStart);
  }
  const needed = withNeededAuthority(query, response, index);
  if (needed !== undefined && needed.index.end <= limit) {
    const { rcode, flags } = index;
    const shorter = { ...needed.index, rcode, flags, extendedError };
    return writePatchedReply(query, needed.octets, shorter, options, reply, replyStart);
  }
  return writeTruncatedReply(query, index.rcode, extendedError, options.limit, reply, replyStart);
}

/** Whether the answer section ends within `limit`. Thousands of records are not read for each query over UDP. */
function answerFits(
  response: Uint8Array,
  { questionEnd, answerCount }: ResponseIndex,
  limit: number,
): boolean {
  let at = questionEnd;
  for (let left = answerCount; left > 0 && at <= limit; left--) {
    const typeAt = skipName(response, at, response.length);
    at = typeAt + FIXED_RR_OCTETS + uint16At(response, typeAt + 8);
  }
  return at <= limit;
}

/** The offsets after the answer, the authority and the additional section. */
function sectionEnds(response: Uint8Array, index: ResponseIndex): readonly number[] {
  const ends = [index.questionEnd, index.questionEnd, index.questionEnd];
  forEachRecord(response, index, ({ section, end }) => {
    for (let at = section; at < ends.length; at++) ends[at] = end;
  });
  return ends;
}

/** Whether the client needs only the answer section. */
function isWholeAlone(query: Query, response: Uint8Array, index: ResponseIndex): boolean {
  if (!isPositive(index)) return false;
  let hasProofs = false;
  forEachRecord(response, index, ({ section, type }) => {
    if (section === SECTION.authority && isDenial(type)) hasProofs = true;
  });
  // RFC 4035 section 3.1.3.3: records in the authority section prove an answer from a wildcard
  return !(query.dnssecOk && hasProofs);
}

/**
 * The response with only the authority records that it needs. These are proofs, where the client wants them, and the SOA of a
 * denial (RFC 2308 section 3). `undefined` where no record can go: a referral is its authority section.
 */
function withNeededAuthority(
  query: Query,
  response: Uint8Array,
  index: ResponseIndex,
): IndexedResponse | undefined {
  const isNegative = !isPositive(index);
  if (isNegative && index.negativeTtlSeconds === undefined) return undefined;
  const isNeeded = (type: number, covered: number): boolean => {
    if (isNegative && covered === TYPE.SOA) return type === TYPE.SOA || query.dnssecOk;
    return query.dnssecOk && isDenial(covered);
  };
  const octets = leaveOut(response, index, (type, section, _ordinal, rdataAt) => {
    if (section === SECTION.answer) return false;
    if (section === SECTION.additional) return true;
    return !isNeeded(type, coveredType(response, type, rdataAt));
  });
  return octets && indexed(octets);
}

function patchedFlags(query: Query, index: ResponseIndex, options: PatchOptions): number {
  const wantsAuthenticated = query.dnssecOk || (query.flags & FLAG.AD) !== 0;
  const authenticated = options.trustAuthenticatedData && wantsAuthenticated ? index.flags & FLAG.AD : 0;
  return authenticated | (index.rcode & FLAG.RCODE);
}

const FEW_OCTETS = 256; // up to about here a loop is faster than a view and the call that copies it

function copyRecords(
  response: Uint8Array,
  questionEnd: number,
  end: number,
  reply: Uint8Array,
  replyStart: number,
): void {
  if (end - questionEnd > FEW_OCTETS) {
    reply.set(response.subarray(questionEnd, end), replyStart + questionEnd);
    return;
  }
  for (let at = questionEnd; at < end; at++) reply[replyStart + at] = response[at] ?? 0;
}

function patchTtls(
  offsets: Uint16Array,
  count: number,
  patch: TtlPatch,
  reply: Uint8Array,
  replyStart: number,
): void {
  const fixed = 'ttlSeconds' in patch ? patch.ttlSeconds : undefined;
  const age = 'ageSeconds' in patch ? patch.ageSeconds : 0;
  for (let i = 0; i < count; i++) {
    const at = replyStart + (offsets[i] ?? 0);
    putUint32(reply, at, fixed ?? Math.max(uint32At(reply, at) - age, 0));
  }
}

/**
 * Gives records of one set that differ in their TTL the smallest of them, in place. RFC 2181 section 5.2: for all purposes
 * such a set has its lowest TTL. Signatures of one owner are of different sets (RFC 4034 section 3). Sets whose records stand
 * apart are left as they are.
 */
export function evenTtls(octets: Uint8Array, { ttlOffsets, questionEnd }: ResponseIndex): void {
  let ownerAt = questionEnd;
  let firstAt = 0;
  for (let at = 0; at < ttlOffsets.length; at++) {
    const ttlAt = ttlOffsets[at] ?? 0;
    const next = ttlAt + 6 + uint16At(octets, ttlAt + 4);
    const nextTtlAt = ttlOffsets[at + 1] ?? 0;
    const type = uint16At(octets, ttlAt - 4);
    const goesOn = nextTtlAt > 0 && type === uint16At(octets, nextTtlAt - 4) && type !== TYPE.RRSIG;
    if (!goesOn || !isSameName(octets, ownerAt, next)) {
      if (at > firstAt) setToSmallest(octets, ttlOffsets.subarray(firstAt, at + 1));
      firstAt = at + 1;
    }
    ownerAt = next;
  }
}

function setToSmallest(octets: Uint8Array, ttlOffsets: Uint16Array): void {
  let smallest = Number.POSITIVE_INFINITY;
  for (const at of ttlOffsets) smallest = Math.min(smallest, uint32At(octets, at));
  for (const at of ttlOffsets) putUint32(octets, at, smallest);
}

export interface IndexedResponse {
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
}

/**
 * A response to a query with DO, as a query without DO gets it. RFC 4035 section 3.2.1 leaves out all authenticating
 * records, except those of the type asked for. `undefined` where a record that stays is broken.
 */
export function withoutProofs({ octets, index }: IndexedResponse): IndexedResponse | undefined {
  if (!hasProofs(octets, index)) return { octets, index };
  const rest = leaveOut(octets, index, (type, section) => isProof(type, section, index.qtype));
  const left = rest && indexed(rest);
  const { rcode, hasEdns, extendedError } = index; // OPT is not in the copy
  return left && { octets: left.octets, index: { ...left.index, rcode, hasEdns, extendedError } };
}

function indexed(octets: Uint8Array): IndexedResponse | undefined {
  const index = indexResponse(octets);
  return index.kind === 'response' ? { octets, index } : undefined;
}

/** Whether a response has what a query without DO must not get. */
export function hasProofs(octets: Uint8Array, index: ResponseIndex): boolean {
  for (let at = 0; at < index.ttlOffsets.length; at++) {
    const section = at < index.answerCount ? 0 : 1;
    if (isProof(uint16At(octets, (index.ttlOffsets[at] ?? 0) - 4), section, index.qtype)) return true;
  }
  return false;
}

function isProof(type: number, section: number, qtype: number): boolean {
  if (type === qtype || (qtype === TYPE.ANY && section === 0)) return false;
  switch (type) {
    case TYPE.DS:
    case TYPE.RRSIG:
    case TYPE.NSEC:
    case TYPE.DNSKEY:
    case TYPE.NSEC3:
      return true;
    default:
      return false;
  }
}
