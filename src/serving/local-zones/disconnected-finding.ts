/**
 * What is said to a question whose upstreams are known not to answer, and how it is written.
 *
 * Nothing of it is authoritative: the authority lives on the far side of the link and will speak again (RFC 1035
 * section 4.1.1, and RFC 2181 section 5.4.1 for what a cache behind us makes of it). So AA is clear, RA is set, and
 * negative answers carry an SOA all the same, because without one nobody may keep them (RFC 2308 section 5).
 */
import { writeEmptyReply } from '../../protocol/wire/error-reply.ts';
import { FLAG, putUint16, uint16At } from '../../protocol/wire/header.ts';
import { type LocalAnswer, writeLocalReply } from '../../protocol/wire/local-answer.ts';
import type { Query } from '../../protocol/wire/query.ts';

/**
 * Where a finding stands beside the answer cache:
 *
 * - `before-cache`  a rule of the operator's: it holds while disconnected, whatever an upstream said before
 * - `before-stale`  an answer that is still fresh is given; one whose time is over is not
 * - `behind-stale`  whatever is kept is given, fresh or stale; this is for what is not kept
 */
export type Standing = 'before-cache' | 'before-stale' | 'behind-stale';

/** RFC 8767 section 5.2 has 30 s for stale answers; what is said in an upstream's place ends as soon. */
export const DISCONNECTED_TTL_SECONDS = 30;

export type DisconnectedFinding =
  /** No rule: what is kept is given, fresh or stale, and a failure where nothing is. */
  { readonly kind: 'stale' } | SpokenFinding;

/** To be written with `writeDisconnectedReply`. */
export type SpokenFinding = { readonly standing: Standing } & (
  | { readonly kind: 'rcode'; readonly rcode: number; readonly extendedError: number }
  | { readonly kind: 'answer'; readonly answer: LocalAnswer }
  /** One record worked out from the question's own octets; always fits the smallest reply. */
  | { readonly kind: 'computed'; readonly write: WriteComputed }
);

/** Returns the octets written. */
export type WriteComputed = (query: Query, reply: Uint8Array, replyStart: number) => number;

export const STALE: DisconnectedFinding = { kind: 'stale' };

/** `turn` picks the rotation of an answer with several addresses. Returns the octets written. */
export function writeDisconnectedReply(
  query: Query,
  finding: SpokenFinding,
  turn: number,
  limit: number,
  reply: Uint8Array,
  replyStart: number,
): number {
  switch (finding.kind) {
    case 'rcode':
      return writeEmptyReply(query, finding.rcode, finding.extendedError, reply, replyStart);
    case 'computed':
      return finding.write(query, reply, replyStart);
    case 'answer': {
      const length = writeLocalReply(query, finding.answer, turn, limit, reply, replyStart);
      putUint16(reply, replyStart + 2, uint16At(reply, replyStart + 2) & ~FLAG.AA);
      return length;
    }
  }
}
