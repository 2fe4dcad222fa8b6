/** One forwarded answer as the cache keeps it: octets and plain numbers, so that it can be written to disk as it is. */
import { writeHeaderAndQuestion } from '../../protocol/wire/error-reply.ts';
import { HEADER_OCTETS, putUint16, putUint32, uint32At } from '../../protocol/wire/header.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { indexResponse, type ResponseIndex } from '../../protocol/wire/response.ts';
import { lower } from '../../protocol/words/name.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';

/** `nodata` is NOERROR without a record of the type asked for (RFC 2308 section 2.2). */
export type AnswerKind = 'positive' | 'nodata' | 'nxdomain' | 'failure';

export interface CachedAnswer {
  /** What it is looked up by, see cache-key.ts. */
  readonly key: number;
  readonly kind: AnswerKind;
  /**
   * A whole message of its own: cut behind the last record that is kept, the question's name in lower case, TTLs
   * capped, counts in step. It shares no buffer with what was received, and nothing writes to it again.
   */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  /** DO and CD of the query, which are part of what was asked (RFC 4035 sections 3.2.1 and 3.2.2). */
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** Kept whatever happens and however old it is; somebody else asks for the next one (retained-answers.ts). */
  readonly isRetained: boolean;
  /** Of the monotonic clock; before the start of the process for one that was loaded. */
  readonly storedAtMs: number;
  readonly lifetimeMs: number;
  /**
   * With an NXDOMAIN, and a retained NODATA too: the good answer that it took the place of, for the time when it can no
   * longer be confirmed.
   */
  readonly earlier: CachedAnswer | undefined;
  /** The rest counts what happens to the answer; only `AnswerCache` writes to it. */
  hits: number;
  /** When it was last given, or else stored. */
  usedAtMs: number;
  /** Before this moment of the monotonic clock a stale answer is given without asking an upstream. */
  nextRecheckMs: number;
  /** Before this moment no other prefetch is due. */
  nextPrefetchMs: number;
}

export interface AnswerParts {
  readonly kind: AnswerKind;
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  readonly lifetimeMs: number;
  readonly earlier: CachedAnswer | undefined;
}

/** What an answer is the answer to, beyond the question in its octets. */
export type Asked = Pick<CachedAnswer, 'key' | 'dnssecOk' | 'checkingDisabled' | 'isRetained'>;

/** `key` is one of the places for this question. */
export function cachedAnswer(query: Query, key: number, parts: AnswerParts, nowMs: number): CachedAnswer {
  const { dnssecOk, checkingDisabled } = query;
  return newAnswer({ key, dnssecOk, checkingDisabled, isRetained: false }, parts, nowMs);
}

/** One place that makes them, so that all have one shape. */
export function newAnswer(asked: Asked, parts: AnswerParts, storedAtMs: number): CachedAnswer {
  return {
    key: asked.key,
    kind: parts.kind,
    octets: parts.octets,
    index: parts.index,
    dnssecOk: asked.dnssecOk,
    checkingDisabled: asked.checkingDisabled,
    isRetained: asked.isRetained,
    storedAtMs,
    lifetimeMs: parts.lifetimeMs,
    earlier: parts.earlier,
    hits: 0,
    usedAtMs: storedAtMs,
    nextRecheckMs: 0,
    nextPrefetchMs: 0,
  };
}

/** Measured over 400,000 entries on Node 26: 820 octets of heap and some 200 outside it beyond the message itself. */
export const ENTRY_OVERHEAD_OCTETS = 1024;

/** What an answer is counted as against the cache's bound. */
export function sizeOf(answer: CachedAnswer): number {
  const own = ENTRY_OVERHEAD_OCTETS + answer.octets.length + answer.index.ttlOffsets.byteLength;
  return answer.earlier === undefined ? own : own + sizeOf(answer.earlier);
}

/**
 * Copies what is kept of a response. OPT and what stands behind it go (RFC 6891 section 6.1.1: hop by hop), and no
 * TTL leaves us that is longer than we believe it ourselves.
 */
export function keptOctets(message: Uint8Array, index: ResponseIndex, maxTtlSeconds: number): Uint8Array {
  const kept = new Uint8Array(index.end);
  const nameEnd = index.questionEnd - 4;
  // octet by octet: a view of the message would cost more than the copy
  for (let at = 0; at < kept.length; at++) {
    const octet = message[at] ?? 0;
    // a plain lower-casing of the whole question would turn QTYPE 65 (HTTPS) into 97
    kept[at] = at >= HEADER_OCTETS && at < nameEnd ? lower(octet) : octet;
  }
  putUint16(kept, 10, index.additionalCount);
  capTtls(kept, index, maxTtlSeconds);
  return kept;
}

/** Cuts longer TTLs, in every section. RFC 8767 section 4: one with its high bit set is long, and not zero. */
export function capTtls(octets: Uint8Array, index: ResponseIndex, maxTtlSeconds: number): void {
  for (const at of index.ttlOffsets) {
    if (uint32At(octets, at) > maxTtlSeconds) putUint32(octets, at, maxTtlSeconds);
  }
}

/** A SERVFAIL to a question, as octets and their index, with what the upstream that gave it said of the reason. */
export function failureParts(query: Query, extendedError?: number): Pick<AnswerParts, 'octets' | 'index'> {
  const octets = new Uint8Array(query.questionEnd - query.start);
  writeHeaderAndQuestion(query, RCODE.SERVFAIL, octets, 0);
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(`cannot index a failure of our own: ${index.reason}`);
  return { octets: keptOctets(octets, index, 0), index: { ...index, extendedError } };
}
