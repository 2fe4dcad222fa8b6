/**
 * A stored response becomes a reply by patching a copy of its octets: ID, flags, the question in the
 * client's case, TTLs, OPT. Everything else stays as the upstream sent it.
 */
import { emptyReplyLength, writeEmptyReply, writeHeaderAndQuestion } from './error-reply.ts';
import { FLAG, putUint16, putUint32, uint32At } from './header.ts';
import { optLength, writeOpt } from './opt.ts';
import type { Query } from './query.ts';
import type { ResponseIndex } from './response.ts';

/** How the TTLs of a copy are set: aged by so many seconds (floor 0), or all to one value (RFC 8767 section 4). */
export type TtlPatch = { readonly ageSeconds: number } | { readonly ttlSeconds: number };

export interface PatchOptions {
  readonly ttl: TtlPatch;
  readonly extendedError: number | undefined;
  /** AD of the upstream is passed on only where the operator trusts it and the client asked (RFC 6840 section 5.8). */
  readonly trustAuthenticatedData: boolean;
  /** What the client can take, in octets. */
  readonly limit: number;
}

/**
 * Writes the reply to `query` from a stored `response` whose question has the same name, and returns its
 * octets. What does not fit `limit` becomes an empty reply with TC.
 */
export function writePatchedReply(
  query: Query,
  response: Uint8Array,
  index: ResponseIndex,
  options: PatchOptions,
  reply: Uint8Array,
  replyStart: number,
): number {
  const total = index.end + optLength(query, options.extendedError);
  if (total > options.limit) return writeTruncatedReply(query, index.rcode, options, reply, replyStart);
  copyRecords(response, index, reply, replyStart);
  writeHeaderAndQuestion(query, patchedFlags(query, index, options), reply, replyStart);
  putUint16(reply, replyStart + 6, index.answerCount);
  putUint16(reply, replyStart + 8, index.authorityCount);
  putUint16(reply, replyStart + 10, index.additionalCount + (query.hasEdns ? 1 : 0));
  patchTtls(index.ttlOffsets, options.ttl, reply, replyStart);
  if (!query.hasEdns) return index.end;
  return writeOpt(reply, replyStart + index.end, index.rcode, query, options.extendedError) - replyStart;
}

function patchedFlags(query: Query, index: ResponseIndex, options: PatchOptions): number {
  const wantsAuthenticated = query.dnssecOk || (query.flags & FLAG.AD) !== 0;
  const authenticated = options.trustAuthenticatedData && wantsAuthenticated ? index.flags & FLAG.AD : 0;
  return authenticated | (index.rcode & FLAG.RCODE);
}

const FEW_OCTETS = 256; // up to about here a loop is faster than a view and the call that copies it

function copyRecords(
  response: Uint8Array,
  { questionEnd, end }: ResponseIndex,
  reply: Uint8Array,
  replyStart: number,
): void {
  if (end - questionEnd > FEW_OCTETS) {
    reply.set(response.subarray(questionEnd, end), replyStart + questionEnd);
    return;
  }
  for (let at = questionEnd; at < end; at++) reply[replyStart + at] = response[at] ?? 0;
}

function patchTtls(offsets: Uint16Array, patch: TtlPatch, reply: Uint8Array, replyStart: number): void {
  const fixed = 'ttlSeconds' in patch ? patch.ttlSeconds : undefined;
  const age = 'ageSeconds' in patch ? patch.ageSeconds : 0;
  for (let i = 0; i < offsets.length; i++) {
    const at = replyStart + (offsets[i] ?? 0);
    putUint32(reply, at, fixed ?? Math.max(uint32At(reply, at) - age, 0));
  }
}

/** Question and OPT with TC set (RFC 2181 section 9: what does not fit is asked for again over TCP). */
export function writeTruncatedReply(
  query: Query,
  rcode: number,
  options: { readonly extendedError: number | undefined; readonly limit: number },
  reply: Uint8Array,
  replyStart: number,
  flags = 0,
): number {
  const fits = emptyReplyLength(query, options.extendedError) <= options.limit;
  const extendedError = fits ? options.extendedError : undefined;
  return writeEmptyReply(query, rcode, extendedError, reply, replyStart, flags | FLAG.TC);
}
