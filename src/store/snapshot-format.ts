/**
 * The octets of `answers.snapshot`: forwarded answers, last used first, in blocks with a proof each.
 *
 *     file    header, block ..., end
 *     header  "outpost-dns answers\n" (20 octets), version u32, written at u48 (wall ms), answers u32,
 *             scope (32 octets), proof (32 octets)
 *     block   length u32 (not 0), proof (32 octets), payload (of that length): entries
 *     end     length u32 (0), proof (32 octets)
 *
 *     entry   flags u8 (bits 0 and 1: kind 1 positive, 2 nodata, 3 nxdomain; 2: DO; 3: CD; 4: an earlier answer follows),
 *             hits u32, idle u48 (ms), answer, and the earlier answer after its kind u8
 *     answer  age u48 (ms), lifetime u48 (ms), length u16, message
 *
 * Integers are big-endian. A proof is the SHA-256 of the proof before it (none for the header), the length and the payload.
 * So proofs show that all blocks belong to one file and are in order. A truncated or damaged file is good up to its first
 * bad block. No entry needs another entry, so a part of the file is useful. `answers` is a hint: the number of answers when
 * the write began. `scope` is the SHA-256 of a text that names the servers asked: answers of a different scope may be wrong
 * here. Any change needs a new version, because the format has no members that an older version could skip. No code converts
 * old files, because the file may be lost.
 */

import { createSha256, sha256 } from '../runtime/checksum.ts';

const MAGIC = Buffer.from('outpost-dns answers\n', 'latin1');
const VERSION = 1;
const PROOF_OCTETS = 32;
const SCOPE_OCTETS = 32;
export const HEADER_OCTETS = MAGIC.length + 4 + 6 + 4 + SCOPE_OCTETS + PROOF_OCTETS;
export const FRAME_OCTETS = 4 + PROOF_OCTETS;
/** The part of the header that every version has. */
const VERSIONED_OCTETS = MAGIC.length + 4;

/** A block is closed once it has this size, which takes a fifth of a millisecond of SHA-256. */
const BLOCK_OCTETS = 48 * 1024;
const MAX_MESSAGE = 0xffff;
const ANSWER_OCTETS = 6 + 6 + 2;
const MAX_ENTRY = 1 + 4 + 6 + ANSWER_OCTETS + MAX_MESSAGE + 1 + ANSWER_OCTETS + MAX_MESSAGE;
/** The longest payload of a block. */
export const MAX_BLOCK_OCTETS = BLOCK_OCTETS + MAX_ENTRY;

const KINDS = ['positive', 'nodata', 'nxdomain'] as const;
const FLAG = { KIND: 0x03, DNSSEC_OK: 0x04, CHECKING_DISABLED: 0x08, EARLIER: 0x10 } as const;
const MAX_U48 = 2 ** 48 - 1; // 8,900 years
const MAX_U32 = 2 ** 32 - 1;

export interface SnapshotAnswer {
  readonly kind: (typeof KINDS)[number];
  /** A whole DNS message of at most 65,535 octets. */
  readonly octets: Uint8Array;
  /** Age when the snapshot was taken, in whole ms. */
  readonly ageMs: number;
  readonly lifetimeMs: number;
}

export interface SnapshotEntry extends SnapshotAnswer {
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  readonly hits: number;
  /** Time since the last use when the snapshot was taken, in whole ms. */
  readonly idleMs: number;
  readonly earlier?: SnapshotAnswer;
}

/** An upper bound of the octets of the entry in the file. */
export function entryOctets({ octets, earlier }: SnapshotEntry): number {
  return ENTRY_FIXED_OCTETS + octets.length + (earlier?.octets.length ?? 0);
}

const ENTRY_FIXED_OCTETS = 64;

/** Composes a file in parts in one buffer: write each part before the next call. */
export class SnapshotComposer {
  readonly #buffer = Buffer.allocUnsafeSlow(FRAME_OCTETS + MAX_BLOCK_OCTETS);
  #end = FRAME_OCTETS;
  #proof: Uint8Array = new Uint8Array(0);

  /** Octets of the block being filled, as it would be written now. */
  get blockOctets(): number {
    return this.#end;
  }

  header(writtenAtMs: number, answers: number, scope: string): Uint8Array {
    const octets = Buffer.alloc(HEADER_OCTETS);
    let at = MAGIC.copy(octets);
    at = octets.writeUInt32BE(VERSION, at);
    at = octets.writeUIntBE(whole(writtenAtMs, MAX_U48), at, 6);
    at = octets.writeUInt32BE(whole(answers, MAX_U32), at);
    at += scopeOf(scope).copy(octets, at);
    this.#proof = proofOf(this.#proof, octets.subarray(0, at));
    octets.set(this.#proof, at);
    return octets;
  }

  /** Adds an entry; returns whether the block is full and `block` has to be called. */
  add(entry: SnapshotEntry): boolean {
    const buffer = this.#buffer;
    const { dnssecOk, checkingDisabled, earlier } = entry;
    const flags =
      kindNumber(entry) |
      (dnssecOk ? FLAG.DNSSEC_OK : 0) |
      (checkingDisabled ? FLAG.CHECKING_DISABLED : 0) |
      (earlier === undefined ? 0 : FLAG.EARLIER);
    let at = buffer.writeUInt8(flags, this.#end);
    at = buffer.writeUInt32BE(whole(entry.hits, MAX_U32), at);
    at = buffer.writeUIntBE(whole(entry.idleMs, MAX_U48), at, 6);
    at = writeAnswer(buffer, entry, at);
    if (earlier !== undefined) at = writeAnswer(buffer, earlier, buffer.writeUInt8(kindNumber(earlier), at));
    this.#end = at;
    return at - FRAME_OCTETS >= BLOCK_OCTETS;
  }

  /** Returns the block with the entries added since the last block; `undefined` without entries. */
  block(): Uint8Array | undefined {
    return this.#end === FRAME_OCTETS ? undefined : this.#close();
  }

  end(): Uint8Array {
    this.#end = FRAME_OCTETS;
    return this.#close();
  }

  #close(): Uint8Array {
    const block = this.#buffer.subarray(0, this.#end);
    const payload = block.subarray(FRAME_OCTETS);
    block.writeUInt32BE(payload.length, 0);
    this.#proof = proofOf(this.#proof, block.subarray(0, 4), payload);
    block.set(this.#proof, 4);
    this.#end = FRAME_OCTETS;
    return block;
  }
}

function writeAnswer(buffer: Buffer, answer: SnapshotAnswer, start: number): number {
  let at = buffer.writeUIntBE(whole(answer.ageMs, MAX_U48), start, 6);
  at = buffer.writeUIntBE(whole(answer.lifetimeMs, MAX_U48), at, 6);
  at = buffer.writeUInt16BE(answer.octets.length, at);
  buffer.set(answer.octets, at);
  return at + answer.octets.length;
}

function kindNumber({ kind }: SnapshotAnswer): number {
  return KINDS.indexOf(kind) + 1;
}

/** A whole number from 0 to `most`; NaN counts as the highest age. */
function whole(value: number, most: number): number {
  return Number.isNaN(value) ? most : Math.min(most, Math.max(0, Math.round(value)));
}

export interface SnapshotHeader {
  readonly kind: 'header';
  /** Wall ms, by the clock of the writer. */
  readonly writtenAtMs: number;
  readonly answers: number;
  /** Compare with `scopeOf`. */
  readonly scope: Uint8Array;
  readonly proof: Uint8Array;
}

/** The octets of a header for the text of a scope. */
export function scopeOf(text: string): Buffer {
  return Buffer.from(sha256(Buffer.from(text)));
}

export type HeaderReading =
  | SnapshotHeader
  | { readonly kind: 'foreign'; readonly reason: 'not-our-format' }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'corrupt'; readonly reason: 'empty' | 'torn' | 'bad-header' | 'checksum-mismatch' };

/** Reads the first `HEADER_OCTETS` of a file, or all of it where it is shorter. */
export function parseHeader(octets: Uint8Array): HeaderReading {
  if (octets.length === 0) return { kind: 'corrupt', reason: 'empty' };
  const magic = octets.subarray(0, MAGIC.length);
  const isOurs = MAGIC.subarray(0, magic.length).equals(magic);
  if (!isOurs) return { kind: 'foreign', reason: 'not-our-format' };
  if (octets.length < VERSIONED_OCTETS) return { kind: 'corrupt', reason: 'torn' };
  const buffer = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  const version = buffer.readUInt32BE(MAGIC.length);
  if (version > VERSION) return { kind: 'newer', version };
  if (version !== VERSION) return { kind: 'corrupt', reason: 'bad-header' };
  if (octets.length < HEADER_OCTETS) return { kind: 'corrupt', reason: 'torn' };
  const proofAt = HEADER_OCTETS - PROOF_OCTETS;
  const proof = proofOf(new Uint8Array(0), octets.subarray(0, proofAt));
  if (!proof.equals(octets.subarray(proofAt, HEADER_OCTETS))) {
    return { kind: 'corrupt', reason: 'checksum-mismatch' };
  }
  const writtenAtMs = buffer.readUIntBE(VERSIONED_OCTETS, 6);
  const answers = buffer.readUInt32BE(VERSIONED_OCTETS + 6);
  const scope = new Uint8Array(octets.subarray(proofAt - SCOPE_OCTETS, proofAt));
  return { kind: 'header', writtenAtMs, answers, scope, proof };
}

/** The length that a frame states for the payload after it; 0 at the end of the file. */
export function payloadLength(frame: Uint8Array): number {
  return Buffer.from(frame.buffer, frame.byteOffset, FRAME_OCTETS).readUInt32BE(0);
}

/** Returns the chained hash of a block, or of the end, if the hash in its frame follows from `before`; otherwise `undefined`. */
export function proveBlock(
  before: Uint8Array,
  frame: Uint8Array,
  payload: Uint8Array,
): Uint8Array | undefined {
  const proof = proofOf(before, frame.subarray(0, 4), payload);
  return proof.equals(frame.subarray(4, FRAME_OCTETS)) ? proof : undefined;
}

/** The entries of a block with a valid proof, sharing its octets; `undefined` where an entry is malformed all the same. */
export function parseBlock(payload: Uint8Array): SnapshotEntry[] | undefined {
  const buffer = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const entries: SnapshotEntry[] = [];
  let at = 0;
  while (at < buffer.length) {
    const entry = readEntry(buffer, at);
    if (entry === undefined) return undefined;
    entries.push(entry.value);
    at = entry.end;
  }
  return entries;
}

interface Read<T> {
  readonly value: T;
  readonly end: number;
}

function readEntry(buffer: Buffer, start: number): Read<SnapshotEntry> | undefined {
  if (start + 11 > buffer.length) return undefined;
  const flags = buffer.readUInt8(start);
  const own = readAnswer(buffer, start + 11, flags & FLAG.KIND);
  if (own === undefined) return undefined;
  let end = own.end;
  let earlier: SnapshotAnswer | undefined;
  if ((flags & FLAG.EARLIER) !== 0) {
    const before = end < buffer.length ? readAnswer(buffer, end + 1, buffer.readUInt8(end)) : undefined;
    if (before === undefined) return undefined;
    earlier = before.value;
    end = before.end;
  }
  const value = {
    ...own.value,
    dnssecOk: (flags & FLAG.DNSSEC_OK) !== 0,
    checkingDisabled: (flags & FLAG.CHECKING_DISABLED) !== 0,
    hits: buffer.readUInt32BE(start + 1),
    idleMs: buffer.readUIntBE(start + 5, 6),
    ...(earlier === undefined ? {} : { earlier }),
  };
  return { value, end };
}

function readAnswer(buffer: Buffer, start: number, kindOctet: number): Read<SnapshotAnswer> | undefined {
  const kind = KINDS[kindOctet - 1];
  const from = start + ANSWER_OCTETS;
  if (kind === undefined || from > buffer.length) return undefined;
  const end = from + buffer.readUInt16BE(start + 12);
  if (end > buffer.length) return undefined;
  const ageMs = buffer.readUIntBE(start, 6);
  const lifetimeMs = buffer.readUIntBE(start + 6, 6);
  return { value: { kind, octets: buffer.subarray(from, end), ageMs, lifetimeMs }, end };
}

function proofOf(before: Uint8Array, ...parts: readonly Uint8Array[]): Buffer {
  const sum = createSha256();
  for (const part of [before, ...parts]) sum.update(part);
  return Buffer.from(sum.digest());
}

// The time between two processes.
//
// Only the wall clock can tell it, and that may be wrong by years. A host with an empty battery wakes up in 1970, and a bad
// time server has sent hosts to 2036. So the clock is believed only where the time that has passed is credible: from nothing
// to a month. Otherwise no old answer is made fresh, and no young answer is dropped: every answer is loaded as stale. An
// answer that was fresh becomes just stale; an answer that was stale stays as stale as it was. It is then given as any stale
// answer, and checked with an upstream where one answers.
//
// The same holds where other servers are asked now than when the snapshot was taken: their answers are better than nothing.

/** A host is off for longer more rarely than a clock is wrong by more. */
const CREDIBLE_MS = 30 * 86_400_000;

export interface Passed {
  readonly isCredible: boolean;
  /** 0 where it is not credible. */
  readonly passedMs: number;
}

/** The age of the answers is not known, or whether they still hold. */
export const UNKNOWN: Passed = { isCredible: false, passedMs: 0 };

export function passedSince(writtenAtMs: number, nowWallMs: number): Passed {
  const passedMs = nowWallMs - writtenAtMs;
  return passedMs >= 0 && passedMs <= CREDIBLE_MS ? { isCredible: true, passedMs } : UNKNOWN;
}

export function agedEntry(entry: SnapshotEntry, passed: Passed): SnapshotEntry {
  const { earlier } = entry;
  return {
    ...entry,
    ageMs: agedBy(entry, passed),
    idleMs: entry.idleMs + passed.passedMs,
    ...(earlier === undefined ? {} : { earlier: { ...earlier, ageMs: agedBy(earlier, passed) } }),
  };
}

function agedBy({ ageMs, lifetimeMs }: SnapshotAnswer, { isCredible, passedMs }: Passed): number {
  return isCredible ? ageMs + passedMs : Math.max(ageMs, lifetimeMs);
}
