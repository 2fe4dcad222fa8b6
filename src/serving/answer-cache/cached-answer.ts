/**
 * One forwarded answer as the cache keeps it: octets and plain numbers. This file says how a kept answer is found, and
 * which responses are kept for how long. It also says to whom a kept answer may be given at a moment. Pure: the time is an argument, of
 * the monotonic clock, so that nothing changes when somebody sets the wall clock. Below: the answer as a record of octets, and back.
 */

import {
  FLAG,
  HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  putUint16,
  putUint32,
  uint16At,
  uint32At,
} from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { TtlPatch } from '../../protocol/wire/reply.ts';
import { MAX_RECORDS } from '../../protocol/wire/response.ts';
import { AliasNote, isPositive, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { EXTENDED_ERROR, RCODE } from '../../protocol/words/codes.ts';
import { LOWER_CASE } from '../../protocol/words/name.ts';

/** `nodata` is NOERROR without a record of the type asked for (RFC 2308 section 2.2). */
const ANSWER_KINDS = ['positive', 'nodata', 'nxdomain', 'failure'] as const;
export type AnswerKind = (typeof ANSWER_KINDS)[number];

export interface CachedAnswer {
  /** The number of its question, by which it is found. */
  readonly key: number;
  /** Its place in the store of answers; -1 outside of it. */
  readonly slot: number;
  /** Differs for any two answers that were ever in the store; 0 outside of it. */
  readonly serial: number;
  readonly kind: AnswerKind;
  /**
   * A whole message: cut after the last record that is kept, the question's name in lower case, TTLs capped, counts in step.
   * It ends at `index.end`.
   */
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  /** DO and CD of the query, which are part of the question (RFC 4035 sections 3.2.1 and 3.2.2). */
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  /** The cache keeps this answer at any age; the refresh journey asks for its replacement (retained-answers.ts). */
  readonly isRetained: boolean;
  /** Before the start of the process for an answer that was loaded. */
  readonly storedAtMs: number;
  readonly lifetimeMs: number;
  /**
   * For an NXDOMAIN or a retained NODATA: the good answer that the denial replaced. Clients get this answer again when upstreams
   * can no longer confirm the denial.
   */
  readonly earlier: CachedAnswer | undefined;
  /** This counter and those after it are written by the cache alone. */
  hits: number;
  /** When it was last given, or else stored. */
  usedAtMs: number;
  /** Before this moment a stale answer is given without asking an upstream. */
  nextRecheckMs: number;
  /** Before this moment no other prefetch is due. */
  nextPrefetchMs: number;
}

export type AnswerParts = Pick<CachedAnswer, 'kind' | 'octets' | 'index' | 'lifetimeMs' | 'earlier'>;

/** Makes an answer that is not in the store. DO and CD belong to the question that the answer is stored for. */
export function newAnswer(
  key: number,
  { dnssecOk, checkingDisabled }: Pick<CachedAnswer, 'dnssecOk' | 'checkingDisabled'>,
  { kind, octets, index, lifetimeMs, earlier }: AnswerParts,
  storedAtMs: number,
  isRetained = false,
): CachedAnswer {
  return {
    key,
    slot: -1,
    serial: 0,
    kind,
    octets,
    index,
    dnssecOk,
    checkingDisabled,
    isRetained,
    storedAtMs,
    lifetimeMs,
    earlier,
    hits: 0,
    usedAtMs: storedAtMs,
    nextRecheckMs: 0,
    nextPrefetchMs: 0,
  };
}

/** Whether `answer` was stored for the question that `query` asks. */
export function isAnswerTo(answer: CachedAnswer, query: Query): boolean {
  return (
    answer.dnssecOk === query.dnssecOk &&
    answer.checkingDisabled === query.checkingDisabled &&
    hasSameQuestion(answer.octets, answer.index.questionEnd, query)
  );
}

/** Whether two kept answers belong to one question, so that either could be given for it. */
export function isSameQuestion(one: CachedAnswer, other: CachedAnswer): boolean {
  return (
    one.dnssecOk === other.dnssecOk &&
    one.checkingDisabled === other.checkingDisabled &&
    haveSameQuestion(one.octets, one.index.questionEnd, other.octets, other.index.questionEnd)
  );
}

/** Whether two messages whose names are in lower case carry the same question. */
export function haveSameQuestion(
  one: Uint8Array,
  oneEnd: number,
  other: Uint8Array,
  otherEnd: number,
): boolean {
  if (oneEnd !== otherEnd) return false;
  for (let at = HEADER_OCTETS; at < oneEnd; at++) if (one[at] !== other[at]) return false;
  return true;
}

/** Whether `message` carries the query's question: the name in any case (RFC 4343), QTYPE and QCLASS exactly. */
export function hasSameQuestion(message: Uint8Array, questionEnd: number, query: Query): boolean {
  if (!hasSameName(message, questionEnd, query)) return false;
  const { octets, nameEnd } = query;
  let at = questionEnd - (query.questionEnd - nameEnd);
  for (let from = nameEnd; from < query.questionEnd; from++, at++) {
    if (message[at] !== octets[from]) return false;
  }
  return true;
}

/** Whether the question in `message` is about the query's name, in any case (RFC 4343). */
export function hasSameName(message: Uint8Array, questionEnd: number, query: Query): boolean {
  const { octets, start, nameEnd } = query;
  if (questionEnd !== query.questionEnd - start) return false;
  let at = HEADER_OCTETS;
  for (let from = query.nameStart; from < nameEnd; from++, at++) {
    const kept = message[at] ?? 0;
    const asked = octets[from] ?? 0;
    // most clients ask in lower case, as names are kept
    if (kept !== asked && LOWER_CASE[kept] !== LOWER_CASE[asked]) return false;
  }
  return true;
}

export interface CacheabilitySettings {
  readonly maxTtlSeconds: number;
  readonly negativeTtlSeconds: number;
}

type Cacheability =
  | {
      readonly kind: Exclude<AnswerKind, 'failure'>;
      /** 0: stale from the start. */
      readonly lifetimeSeconds: number;
      /** Longer TTLs are cut to this in the kept octets. */
      readonly maxTtlSeconds: number;
    }
  /** Remembered for a moment, in a table of its own. */
  | { readonly kind: 'failure' }
  | { readonly kind: 'none'; readonly reason: 'truncated' | 'rcode' | 'no soa' };

/** Decides whether and how long to keep a response. Indexing has checked its structure; this function does not check its question. */
export function cacheability(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  // RFC 2181 section 9: a truncated response is asked for again, never kept
  if ((index.flags & FLAG.TC) !== 0) return { kind: 'none', reason: 'truncated' };
  switch (index.rcode) {
    case RCODE.NOERROR:
      return isPositive(index) ? positive(index, settings) : negative('nodata', index, settings);
    case RCODE.NXDOMAIN:
      return negative('nxdomain', index, settings);
    case RCODE.SERVFAIL:
      return { kind: 'failure' };
    default:
      // REFUSED, NOTIMP and the like speak of the upstream, not of the name
      return { kind: 'none', reason: 'rcode' };
  }
}

function positive(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  const lifetimeSeconds = Math.min(index.minimumTtlSeconds ?? 0, settings.maxTtlSeconds);
  // RFC 1035 section 3.2.1: zero is for the transaction in progress only, so it is never given as fresh. It is still the last
  // answer: it replaces the answer before it, and is stale at once
  return { kind: 'positive', lifetimeSeconds, maxTtlSeconds: settings.maxTtlSeconds };
}

function negative(
  kind: 'nodata' | 'nxdomain',
  index: ResponseIndex,
  settings: CacheabilitySettings,
): Cacheability {
  // RFC 2308 section 5: without an SOA it should not be cached. Referrals and aliases that the upstream did not
  // follow to their end look the same, and are no answer to keep either
  if (index.negativeTtlSeconds === undefined) return { kind: 'none', reason: 'no soa' };
  // aliases and denials on the way may live shorter than the SOA
  const lifetimeSeconds = Math.min(
    index.negativeTtlSeconds,
    index.minimumTtlSeconds ?? 0,
    settings.negativeTtlSeconds,
  );
  // RFC 2308 section 5: the SOA's TTL counts down with the answer, so it must not outlive our belief in it
  return { kind, lifetimeSeconds, maxTtlSeconds: lifetimeSeconds };
}

/**
 * A denial without SOA should not be cached (RFC 2308 section 5). But musl and glibc take a SERVFAIL for AAAA as the failure of
 * the whole query. So the cache keeps such a denial for a cut, and never treats it as fresh. Only an empty message is such a
 * denial: a message with records could be a referral or half an alias.
 */
export function denialWithoutSoa(index: ResponseIndex, settings: CacheabilitySettings): Cacheability {
  const kept = cacheability(index, settings);
  const isEmpty = index.answerCount === 0 && index.authorityCount === 0;
  if (kept.kind !== 'none' || kept.reason !== 'no soa' || !isEmpty) return kept;
  const kind = index.rcode === RCODE.NXDOMAIN ? 'nxdomain' : 'nodata';
  return { kind, lifetimeSeconds: 0, maxTtlSeconds: settings.maxTtlSeconds };
}

/**
 * Copies the kept part of a response, with the QNAME in lower case. OPT and everything after it are left out (RFC 6891
 * section 6.1.1: hop by hop). Longer TTLs become `maxTtlSeconds`. The octets of `kept` from `index.end` on stay.
 */
export function keptOctets(
  message: Uint8Array,
  index: ResponseIndex,
  maxTtlSeconds: number,
  kept = new Uint8Array(index.end),
): Uint8Array {
  const nameEnd = index.questionEnd - 4;
  // octet by octet: a view of the message would cost more than the copy
  for (let at = 0; at < index.end; at++) {
    const octet = message[at] ?? 0;
    // a plain lower-casing of the whole question would turn QTYPE 65 (HTTPS) into 97
    kept[at] = at >= HEADER_OCTETS && at < nameEnd ? (LOWER_CASE[octet] ?? 0) : octet;
  }
  putUint16(kept, 10, index.additionalCount);
  capTtls(kept, index, maxTtlSeconds);
  return kept;
}

/** Reduces longer TTLs to `maxTtlSeconds`, in every section. RFC 8767 section 4: a TTL with its high bit set is long, not zero. */
export function capTtls(octets: Uint8Array, index: ResponseIndex, maxTtlSeconds: number): void {
  for (const at of index.ttlOffsets) {
    if (uint32At(octets, at) > maxTtlSeconds) putUint32(octets, at, maxTtlSeconds);
  }
}

export interface FreshnessSettings {
  /** How long after its lifetime an answer may still be given; `Infinity` for ever. */
  readonly staleForMs: number;
  readonly prefetch: boolean;
}

/**
 * - `fresh`     clients get the answer
 * - `prefetch`  clients get the answer, and the server asks an upstream for a new answer (`AnswerCache.claimPrefetch` first)
 * - `stale`     clients get `answerWhileStale`, if the upstream does not answer in time
 * - `expired`   clients never get the answer
 */
type Freshness = 'fresh' | 'prefetch' | 'stale' | 'expired';

/** RFC 8767 section 5, failure recheck timer: 30 s recommended. It also limits one answer to one prefetch at a time. */
export const RECHECK_MS = 30_000;

const PREFETCH_FRACTION = 0.1;
const PREFETCH_HITS = 2;

export function freshness(answer: CachedAnswer, nowMs: number, settings: FreshnessSettings): Freshness {
  const leftMs = answer.storedAtMs + answer.lifetimeMs - nowMs;
  if (leftMs > 0) return settings.prefetch && isPrefetchDue(answer, leftMs, nowMs) ? 'prefetch' : 'fresh';
  // RFC 9520 section 3.2: a failure is remembered for its time and never beyond
  if (answer.kind === 'failure') return 'expired';
  if (isWithinStale(answer, nowMs, settings)) return 'stale';
  return answer.earlier !== undefined && isWithinStale(answer.earlier, nowMs, settings) ? 'stale' : 'expired';
}

function isPrefetchDue(answer: CachedAnswer, leftMs: number, nowMs: number): boolean {
  return (
    leftMs <= answer.lifetimeMs * PREFETCH_FRACTION &&
    answer.hits >= PREFETCH_HITS &&
    answer.kind !== 'failure' &&
    !answer.isRetained &&
    nowMs >= answer.nextPrefetchMs &&
    nowMs >= answer.nextRecheckMs
  );
}

function isWithinStale(answer: CachedAnswer, nowMs: number, settings: FreshnessSettings): boolean {
  return answer.isRetained || nowMs < answer.storedAtMs + answer.lifetimeMs + settings.staleForMs;
}

/**
 * Chooses the answer that clients get instead of a stale answer. By RFC 8767 section 4 an NXDOMAIN of the authority replaces the
 * earlier answer; here it does so while the NXDOMAIN is fresh. But this server sees upstreams, not authorities, and upstreams deny
 * existing names when a link is about to fail. So a stale NXDOMAIN gives way to the last good answer, for the stale time of that answer.
 */
export function answerWhileStale(
  answer: CachedAnswer,
  nowMs: number,
  settings: FreshnessSettings,
): CachedAnswer {
  const { earlier } = answer;
  return earlier !== undefined && isWithinStale(earlier, nowMs, settings) ? earlier : answer;
}

/**
 * Whether an upstream may be asked about a stale answer, or failed too short a time ago (RFC 8767 section 5). Never for a
 * retained answer: it is refreshed on a schedule, so that no client waits for an upstream. Times up to `forgottenMs` do not count.
 */
export function mayRecheck(answer: CachedAnswer, nowMs: number, forgottenMs = 0): boolean {
  const { nextRecheckMs } = answer;
  return !answer.isRetained && (nowMs >= nextRecheckMs || nextRecheckMs <= forgottenMs);
}

/** Whole seconds by which the TTLs of a fresh answer have aged; never negative, and less than its lifetime. */
export function ageSeconds(answer: CachedAnswer, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - answer.storedAtMs) / 1000));
}

/** The parts from which the server writes a reply. */
export interface GivenAnswer {
  readonly answer: CachedAnswer;
  readonly ttl: TtlPatch;
  readonly extendedError: number | undefined;
}

export interface StaleSettings extends FreshnessSettings {
  /** TTL of every record in a stale answer (RFC 8767 section 4: 30 s recommended). */
  readonly staleTtlSeconds: number;
}

/** How an answer that has not expired is given at this moment. */
export function givenAnswer(answer: CachedAnswer, nowMs: number, settings: StaleSettings): GivenAnswer {
  if (freshness(answer, nowMs, settings) !== 'stale') return freshGiven(answer, nowMs);
  return staleGiven(answerWhileStale(answer, nowMs, settings), settings);
}

export function freshGiven(answer: CachedAnswer, nowMs: number): GivenAnswer {
  return { answer, ttl: { ageSeconds: ageSeconds(answer, nowMs) }, extendedError: undefined };
}

export function staleGiven(
  answer: CachedAnswer,
  { staleTtlSeconds }: { readonly staleTtlSeconds: number },
): GivenAnswer {
  return { answer, ttl: { ttlSeconds: staleTtlSeconds }, extendedError: staleExtendedError(answer) };
}

/** RFC 8914 sections 4.4 and 4.20. */
export function staleExtendedError(answer: CachedAnswer): number {
  return answer.kind === 'nxdomain' ? EXTENDED_ERROR.STALE_NXDOMAIN : EXTENDED_ERROR.STALE_ANSWER;
}

// An answer as a record of octets, and back. Writes and reads in one reused space, so that a cache hit makes no object.
//
//     record  facts (32 octets, see `FACT`), the message, one octet where its length is odd, the offsets of its TTLs (u16 each)

/** Places of the facts, as words of 16 bits; TTLs and the first two extended errors are words of 32 bits. */
const FACT = {
  end: 0,
  ttls: 1,
  flags: 2,
  rcode: 3,
  questionEnd: 4,
  answerCount: 5,
  authorityCount: 6,
  additionalCount: 7,
  bits: 8,
  thirdError: 9,
} as const;
const WIDE = { minimumTtl: 5, negativeTtl: 6, extendedError: 7 } as const;
const FACT_OCTETS = 32;
const NONE = 0xffff_ffff;
/** What the third code of `ExtendedErrors` is multiplied by. */
const THIRD_ERROR = 0x1_0000_0000;

const BIT = {
  KIND: 0x03,
  DNSSEC_OK: 0x04,
  CHECKING_DISABLED: 0x08,
  ANSWERS_QTYPE: 0x10,
  HAS_EDNS: 0x20,
  IS_TIDY: 0x40,
  HAS_ALIASES: 0x80,
  IS_OPEN: 0x100,
} as const;

const SPACE_OCTETS = FACT_OCTETS + MAX_MESSAGE_OCTETS + 1 + 2 * MAX_RECORDS;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The parts of an answer that its record holds. */
type RecordParts = Pick<CachedAnswer, 'kind' | 'dnssecOk' | 'checkingDisabled' | 'octets' | 'index'>;

/** The number of kept records: each has an offset of its TTL. */
function recordsIn({ answerCount, authorityCount, additionalCount }: ResponseIndex): number {
  return answerCount + authorityCount + additionalCount;
}

function recordOctets(index: ResponseIndex): number {
  return FACT_OCTETS + index.end + (index.end & 1) + 2 * recordsIn(index);
}

/** A record is kept in chunks of this many words, the first of which is the number of the next chunk (stored-answers.ts). */
export const CHUNK_WORDS = 16;
export const PAYLOAD_WORDS = CHUNK_WORDS - 1;
const PAYLOAD_OCTETS = PAYLOAD_WORDS * 4;
const CHUNK_OCTETS = CHUNK_WORDS * 4;

/** The number of chunks that a record of this length takes. */
export function chunksFor(octets: number): number {
  return Math.ceil(octets / PAYLOAD_OCTETS);
}

/**
 * Octets of an answer outside its record: 92 in its page of slots, and up to 115 in lru-cache, rounded up. A page has an lru-cache
 * for each segment (segments.ts): with answers of one segment it is 65, of two 90, of three 115. Measured over 400,000 entries on
 * Node 26.
 */
export const ENTRY_OVERHEAD_OCTETS = 208;

/** The octets that an answer counts against the cache's bound. */
export function sizeOf({ index, earlier }: Pick<CachedAnswer, 'index' | 'earlier'>): number {
  const own = ENTRY_OVERHEAD_OCTETS + CHUNK_OCTETS * chunksFor(recordOctets(index));
  return earlier === undefined ? own : own + sizeOf(earlier);
}

export class AnswerRecord implements RecordParts {
  /** The record; `Slabs.read` and `Slabs.put` use it. */
  readonly words = new Uint32Array(Math.ceil(SPACE_OCTETS / 4) + 16);
  readonly #halves = new Uint16Array(this.words.buffer);
  /** The message starts at 0; octets from `index.end` on mean nothing. */
  readonly octets = new Uint8Array(this.words.buffer, FACT_OCTETS, MAX_MESSAGE_OCTETS);
  readonly #ttlOffsets = new Uint16Array(MAX_RECORDS);
  readonly index: Writable<ResponseIndex> = {
    kind: 'response',
    rcode: 0,
    flags: 0,
    questionEnd: 0,
    qtype: 0,
    qclass: 0,
    answerCount: 0,
    authorityCount: 0,
    additionalCount: 0,
    end: 0,
    ttlOffsets: this.#ttlOffsets,
    minimumTtlSeconds: undefined,
    negativeTtlSeconds: undefined,
    answersQtype: false,
    aliases: undefined,
    hasEdns: false,
    extendedError: undefined,
    isTidy: true,
  };
  kind: AnswerKind = 'positive';
  dnssecOk = false;
  checkingDisabled = false;
  /** The answer has aliases, and ends in an alias without an answer for its target. */
  isOpen = false;
  hasAliases = false;

  /** Composes the record; returns its octets. */
  write({ kind, dnssecOk, checkingDisabled, octets, index }: RecordParts): number {
    const halves = this.#halves;
    const { end, ttlOffsets, aliases } = index;
    const ttls = recordsIn(index);
    halves[FACT.end] = end;
    halves[FACT.ttls] = ttls;
    halves[FACT.flags] = index.flags;
    halves[FACT.rcode] = index.rcode;
    halves[FACT.questionEnd] = index.questionEnd;
    halves[FACT.answerCount] = index.answerCount;
    halves[FACT.authorityCount] = index.authorityCount;
    halves[FACT.additionalCount] = index.additionalCount;
    halves[FACT.bits] =
      ANSWER_KINDS.indexOf(kind) |
      (dnssecOk ? BIT.DNSSEC_OK : 0) |
      (checkingDisabled ? BIT.CHECKING_DISABLED : 0) |
      (index.answersQtype ? BIT.ANSWERS_QTYPE : 0) |
      (index.hasEdns ? BIT.HAS_EDNS : 0) |
      (index.isTidy ? BIT.IS_TIDY : 0) |
      (aliases === undefined ? 0 : BIT.HAS_ALIASES) |
      (aliases?.isOpen ? BIT.IS_OPEN : 0);
    this.words[WIDE.minimumTtl] = index.minimumTtlSeconds ?? NONE;
    this.words[WIDE.negativeTtl] = index.negativeTtlSeconds ?? NONE;
    // two codes are never the same, so that no two of them look like NONE
    this.words[WIDE.extendedError] = (index.extendedError ?? NONE) % THIRD_ERROR;
    halves[FACT.thirdError] = Math.floor((index.extendedError ?? 0) / THIRD_ERROR);
    // octet by octet: a view of the message would cost more than the copy
    for (let at = 0; at < end; at++) this.octets[at] = octets[at] ?? 0;
    let at = (FACT_OCTETS + end + 1) >> 1;
    for (let ttl = 0; ttl < ttls; ttl++) halves[at++] = ttlOffsets[ttl] ?? 0;
    return recordOctets(index);
  }

  /** Takes the facts from `words`, except the note of the aliases. */
  readFacts(): void {
    const halves = this.#halves;
    const { words, index, octets } = this;
    const end = halves[FACT.end] ?? 0;
    const ttls = halves[FACT.ttls] ?? 0;
    const bits = halves[FACT.bits] ?? 0;
    const questionEnd = halves[FACT.questionEnd] ?? 0;
    const minimumTtl = words[WIDE.minimumTtl];
    const negativeTtl = words[WIDE.negativeTtl];
    const extendedError = words[WIDE.extendedError];
    index.end = end;
    index.flags = halves[FACT.flags] ?? 0;
    index.rcode = halves[FACT.rcode] ?? 0;
    index.questionEnd = questionEnd;
    index.qtype = uint16At(octets, questionEnd - 4);
    index.qclass = uint16At(octets, questionEnd - 2);
    index.answerCount = halves[FACT.answerCount] ?? 0;
    index.authorityCount = halves[FACT.authorityCount] ?? 0;
    index.additionalCount = halves[FACT.additionalCount] ?? 0;
    index.minimumTtlSeconds = minimumTtl === NONE ? undefined : minimumTtl;
    index.negativeTtlSeconds = negativeTtl === NONE ? undefined : negativeTtl;
    index.extendedError =
      extendedError === NONE || extendedError === undefined
        ? undefined
        : extendedError + (halves[FACT.thirdError] ?? 0) * THIRD_ERROR;
    index.answersQtype = (bits & BIT.ANSWERS_QTYPE) !== 0;
    index.hasEdns = (bits & BIT.HAS_EDNS) !== 0;
    index.isTidy = (bits & BIT.IS_TIDY) !== 0;
    this.kind = ANSWER_KINDS[bits & BIT.KIND] ?? 'positive';
    this.dnssecOk = (bits & BIT.DNSSEC_OK) !== 0;
    this.checkingDisabled = (bits & BIT.CHECKING_DISABLED) !== 0;
    this.hasAliases = (bits & BIT.HAS_ALIASES) !== 0;
    this.isOpen = (bits & BIT.IS_OPEN) !== 0;
    let at = (FACT_OCTETS + end + 1) >> 1;
    for (let ttl = 0; ttl < ttls; ttl++) this.#ttlOffsets[ttl] = halves[at++] ?? 0;
  }

  /** The octets of the record in `words`, after `readFacts`. */
  get octetsUsed(): number {
    return recordOctets(this.index);
  }

  /** Octets and index of their own, for longer than the next read. */
  copy(): RecordParts {
    const { kind, dnssecOk, checkingDisabled, index } = this;
    const octets = new Uint8Array(index.end);
    octets.set(this.octets.subarray(0, index.end));
    const ttls = this.#halves[FACT.ttls] ?? 0;
    const aliases = this.hasAliases ? new AliasNote(this.isOpen) : undefined;
    const own = { ...index, aliases, ttlOffsets: this.#ttlOffsets.slice(0, ttls) };
    return { kind, dnssecOk, checkingDisabled, octets, index: own };
  }
}
