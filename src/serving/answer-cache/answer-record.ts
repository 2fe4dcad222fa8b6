/**
 * One answer as a record of octets, and back. Writes and reads in one reused space, so that a cache hit makes no object. Below:
 * the buffers that hold such records.
 *
 *     record  facts (32 octets, see `FACT`), the message, one octet where its length is odd, the offsets of its TTLs (u16 each)
 */
import { MAX_MESSAGE_OCTETS, uint16At } from '../../protocol/wire/message.ts';
import { MAX_RECORDS } from '../../protocol/wire/response.ts';
import { AliasNote, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import { ANSWER_KINDS, type AnswerKind, type CachedAnswer } from './cached-answer.ts';

/** Places of the facts, as words of 16 bits; TTLs and the extended error are words of 32 bits. */
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
} as const;
const WIDE = { minimumTtl: 5, negativeTtl: 6, extendedError: 7 } as const;
const FACT_OCTETS = 32;
const NONE = 0xffff_ffff;

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
    this.words[WIDE.extendedError] = index.extendedError ?? NONE;
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
    index.extendedError = extendedError === NONE ? undefined : extendedError;
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

// Records of any length in a few large buffers. A record is a chain of chunks. So no free place is too small, no room is lost
// between two records, and any record can use the chunks of a removed record. This file refuses to know what a record holds.
//
//     chunk   the number of the next chunk, plus one (u32; 0 at the end), 60 octets of the record
//
// A record is read and written as words of 32 bits: octet by octet takes three times as long.

const CHUNK_WORDS = 16;
const PAYLOAD_WORDS = CHUNK_WORDS - 1;
const PAYLOAD_OCTETS = PAYLOAD_WORDS * 4;
const CHUNK_OCTETS = CHUNK_WORDS * 4;

/** Chunks of a buffer: 256 KiB, which the system gives page by page as they are written. */
const SLAB_CHUNKS_LOG2 = 12;
const SLAB_CHUNKS = 2 ** SLAB_CHUNKS_LOG2;

/** The number of chunks that a record of this length takes. */
export function chunksFor(octets: number): number {
  return Math.ceil(octets / PAYLOAD_OCTETS);
}

export class Slabs {
  readonly #slabs: Uint32Array[] = [];
  /** The first of the free chunks, plus one; they are chained like those of a record. */
  #free = 0;
  /** Chunks from here on were never used. */
  #fresh = 0;

  /** The number of chunks in all buffers. */
  get capacity(): number {
    return this.#slabs.length * SLAB_CHUNKS;
  }

  /** Copies the first `octets` of `record` into chunks. Returns the number by which the record is read and removed. */
  put(record: Uint32Array, octets: number): number {
    const words = Math.ceil(octets / 4);
    const first = this.#take();
    let chunk = first;
    for (let from = 0; ; ) {
      const slab = this.#slabOf(chunk);
      const at = placeOf(chunk);
      const end = Math.min(from + PAYLOAD_WORDS, words);
      for (let to = at + 1; from < end; from++, to++) slab[to] = record[from] ?? 0;
      if (from === words) {
        slab[at] = 0;
        return first;
      }
      chunk = this.#take();
      slab[at] = chunk + 1;
    }
  }

  /** Copies the record to the start of `into`, and up to 14 words of no meaning after it. */
  read(first: number, into: Uint32Array): void {
    let to = 0;
    for (let next = first + 1; next !== 0; ) {
      const slab = this.#slabOf(next - 1);
      const at = placeOf(next - 1);
      for (let from = at + 1; from < at + CHUNK_WORDS; from++, to++) into[to] = slab[from] ?? 0;
      next = slab[at] ?? 0;
    }
  }

  remove(first: number): void {
    for (let last = first; ; ) {
      const slab = this.#slabOf(last);
      const next = slab[placeOf(last)] ?? 0;
      if (next !== 0) {
        last = next - 1;
        continue;
      }
      slab[placeOf(last)] = this.#free;
      this.#free = first + 1;
      return;
    }
  }

  #take(): number {
    if (this.#free !== 0) {
      const chunk = this.#free - 1;
      this.#free = this.#slabOf(chunk)[placeOf(chunk)] ?? 0;
      return chunk;
    }
    if (this.#fresh === this.capacity) this.#slabs.push(new Uint32Array(SLAB_CHUNKS * CHUNK_WORDS));
    return this.#fresh++;
  }

  #slabOf(chunk: number): Uint32Array {
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2];
    if (slab === undefined) throw new Error(`no chunk ${chunk} in ${this.#slabs.length} slabs`);
    return slab;
  }
}

/** The first word of a chunk in its buffer. */
function placeOf(chunk: number): number {
  return (chunk & (SLAB_CHUNKS - 1)) * CHUNK_WORDS;
}
