/**
 * What every message is made of: the twelve octets that it starts with (RFC 1035 section 4.1.1), 16- and 32-bit integers, and
 * names. In a message a name may end in a compression pointer (RFC 1035 section 4.1.4): whether a name is whole, whether two names
 * are equal, whether a name lies under another. Below: the hash and the map by which tables find the name of a query. All work is
 * bounded. No reader of octets here throws; each says how it treats octets after the end.
 */
import { fillRandom } from '../../runtime/random.ts';
import { LOWER_CASE, MAX_NAME_OCTETS, nameToWire } from '../words/name.ts';

export const HEADER_OCTETS = 12;
/** Of a record, after its owner: TYPE, CLASS, TTL, RDLENGTH (RFC 1035 section 3.2.1). */
export const FIXED_RR_OCTETS = 10;
/** The largest message there is: TCP's length field has 16 bits (RFC 7766 section 8). */
export const MAX_MESSAGE_OCTETS = 65_535;
/** The UDP size that the server offers, and the most octets that it sends: this size fits one unfragmented datagram. */
export const EDNS_UDP_OCTETS = 1232;
/** The most that a client without EDNS can take over UDP (RFC 1035 section 4.2.1). */
export const PLAIN_UDP_OCTETS = 512;

/** Bits of the 16-bit flags field (RFC 1035 section 4.1.1; AD and CD: RFC 4035 section 3.2). */
export const FLAG = {
  QR: 0x8000,
  OPCODE: 0x7800,
  AA: 0x0400,
  TC: 0x0200,
  RD: 0x0100,
  RA: 0x0080,
  Z: 0x0040,
  AD: 0x0020,
  CD: 0x0010,
  RCODE: 0x000f,
} as const;

/** Big-endian 16-bit integer; octets beyond the end read as zero. */
export function uint16At(octets: Uint8Array, at: number): number {
  return ((octets[at] ?? 0) << 8) | (octets[at + 1] ?? 0);
}

/** Big-endian unsigned 32-bit integer; octets beyond the end read as zero. */
export function uint32At(octets: Uint8Array, at: number): number {
  return ((uint16At(octets, at) << 16) | uint16At(octets, at + 2)) >>> 0;
}

/** The four bits of the response code that the header of the message at `start` has (RFC 1035 section 4.1.1). */
export function rcodeAt(message: Uint8Array, start: number): number {
  return (message[start + 3] ?? 0) & FLAG.RCODE;
}

export function putUint16(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 8;
  octets[at + 1] = value;
}

export function putUint32(octets: Uint8Array, at: number, value: number): void {
  putUint16(octets, at, value >>> 16);
  putUint16(octets, at + 2, value);
}

/**
 * The offset after a name that may end in a compression pointer, or -1 when it is broken. The pointer is
 * not followed, but has to point back (RFC 1035 section 4.1.4: to a prior occurrence).
 */
export function skipName(octets: Uint8Array, start: number, end: number, messageStart = 0): number {
  let at = start;
  while (at < end) {
    const length = octets[at] ?? 0;
    if (length === 0) return at + 1;
    if (length >= 0xc0) {
      if (at + 2 > end) return -1;
      const target = messageStart + (((length & 0x3f) << 8) | (octets[at + 1] ?? 0));
      return target < start && target >= messageStart + HEADER_OCTETS ? at + 2 : -1;
    }
    if (length > 63) return -1;
    at += length + 1;
    if (at - start >= MAX_NAME_OCTETS) return -1;
  }
  return -1;
}

/**
 * Pointers that one name may follow. Go's resolver gives up after ten, so a name with more reaches no client; compressors
 * need one pointer for a name, seldom two.
 */
const MAX_POINTERS = 10;

const POINTER = 0xc0;
/** The last offset that a pointer leads to: 14 bits (RFC 1035 section 4.1.4). */
export const MAX_POINTED = 0x3fff;

/** Octets of the names that `wholeNameEnd` has found whole, written out: what work with them will cost. */
export const walked = { octets: 0 };

/**
 * The offset after the name at `start`, or -1 when any part of it is broken. Each pointer has to point back, to labels that end
 * before the part of the name that points there (RFC 1035 section 4.1.4: to a prior occurrence). Otherwise a name could run on
 * through the fields of its own record into a record that is left out. The whole name has to fit 255 octets.
 */
export function wholeNameEnd(message: Uint8Array, start: number): number {
  let at = start;
  let segment = start;
  let end = -1;
  let octets = 1;
  let pointers = 0;
  let limit = message.length;
  while (at < limit) {
    const length = message[at] ?? 0;
    if (length === 0) {
      walked.octets += octets;
      return end < 0 ? at + 1 : end;
    }
    if (length >= POINTER) {
      if (at + 2 > limit || ++pointers > MAX_POINTERS) return -1;
      const target = pointerAt(message, at);
      if (target >= segment || target < HEADER_OCTETS) return -1;
      if (end < 0) end = at + 2;
      limit = segment;
      segment = target;
      at = target;
      continue;
    }
    if (length > 63) return -1;
    octets += length + 1;
    if (octets > MAX_NAME_OCTETS) return -1;
    at += length + 1;
  }
  return -1;
}

/** The offset after the name at `start`, which is written without a pointer and ends before `end`; -1 where it is not so. */
export function plainNameEnd(message: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const length = message[at] ?? 0;
    if (length === 0) return at + 1;
    if (length > 63) return -1;
    at += length + 1;
  }
  return -1;
}

/** Whether the message ends inside the name: in its labels, or between the two octets of its pointer. */
export function isCutOffName(message: Uint8Array, start: number): boolean {
  let at = start;
  while (at < message.length) {
    const length = message[at] ?? 0;
    if (length === 0 || length > 63) return length >= POINTER && at + 1 === message.length;
    at += length + 1;
  }
  return true;
}

/** Whether a pointer stands at `at`, in place of a label. */
export function isPointer(message: Uint8Array, at: number): boolean {
  return (message[at] ?? 0) >= POINTER;
}

/** Returns the target offset of the pointer at `at`. */
export function pointerAt(message: Uint8Array, at: number): number {
  return (((message[at] ?? 0) & 0x3f) << 8) | (message[at + 1] ?? 0);
}

/** Follows pointers from `start` and returns the offset of the next label's length octet. The caller has checked the name. */
export function labelAt(message: Uint8Array, start: number): number {
  let at = start;
  while ((message[at] ?? 0) >= POINTER) {
    const target = pointerAt(message, at);
    if (target >= at) return at; // not in a whole name
    at = target;
  }
  return at;
}

/** Whether two checked names are equal; the case of letters does not count (RFC 4343). */
export function isSameName(message: Uint8Array, left: number, right: number): boolean {
  let one = labelAt(message, left);
  let other = labelAt(message, right);
  while (one !== other) {
    const length = message[one] ?? 0;
    if (length !== (message[other] ?? 0)) return false;
    if (length === 0) return true;
    for (let i = 1; i <= length; i++) {
      if (LOWER_CASE[message[one + i] ?? 0] !== LOWER_CASE[message[other + i] ?? 0]) return false;
    }
    one = labelAt(message, one + length + 1);
    other = labelAt(message, other + length + 1);
  }
  return true;
}

/** Whether the checked name at `name` equals the name at `apex`, or lies under that name. */
export function isAtOrUnderName(message: Uint8Array, name: number, apex: number): boolean {
  const top = labelAt(message, apex);
  let surplus = labelsOf(message, name) - labelsOf(message, top);
  if (surplus < 0) return false;
  let at = labelAt(message, name);
  for (; surplus > 0; surplus--) at = labelAt(message, at + (message[at] ?? 0) + 1);
  return isSameName(message, at, top);
}

function labelsOf(message: Uint8Array, name: number): number {
  let labels = 0;
  for (let at = labelAt(message, name); (message[at] ?? 0) !== 0; labels++) {
    at = labelAt(message, at + (message[at] ?? 0) + 1);
  }
  return labels;
}

/** Makes a key for a checked name: its labels with their lengths, without the root, in lower case. No person sees this key. */
export function nameKey(message: Uint8Array, start = 0): string {
  let key = '';
  for (let at = labelAt(message, start); (message[at] ?? 0) !== 0; ) {
    const length = message[at] ?? 0;
    key += String.fromCharCode(length);
    for (let i = 1; i <= length; i++) key += String.fromCharCode(LOWER_CASE[message[at + i] ?? 0] ?? 0);
    at = labelAt(message, at + length + 1);
  }
  return key;
}

/** Both as `nameKey` makes them. */
export function isAtOrUnderKey(name: string, apex: string): boolean {
  if (!name.endsWith(apex)) return false;
  let at = 0;
  while (at < name.length - apex.length) at += name.charCodeAt(at) + 1;
  return at === name.length - apex.length;
}

/** The octets of a name that may be compressed, written out; `undefined` where it is broken. */
export function expandName(message: Uint8Array, start: number): Uint8Array | undefined {
  if (wholeNameEnd(message, start) < 0) return undefined;
  const octets: number[] = [];
  for (let at = labelAt(message, start); ; at = labelAt(message, at + (message[at] ?? 0) + 1)) {
    octets.push(...message.subarray(at, at + 1 + (message[at] ?? 0)));
    if ((message[at] ?? 0) === 0) return Uint8Array.from(octets);
  }
}

export const MAX_LABELS = 128; // 255 octets hold 127 labels and the root

/**
 * The key of the hash by which tables find names: HalfSipHash-1-3 (Aumasson and Bernstein, 2012) over the labels of a name.
 * The right label comes first, so that one pass hashes every suffix. The key is random for each process and never leaves the
 * process. So nobody outside can make two names with the same hash, which would share a place in every table. No hash goes
 * to the disk. Two names may still share a hash by accident, so a table compares the names that it finds.
 *
 * Against the habit of the house the key is no argument: a table that was filled before the key came would find nothing.
 */
const hashKey = fillRandom(new Int32Array(2));
const KEY_LOW = hashKey[0] ?? 0;
const KEY_HIGH = hashKey[1] ?? 0;

/**
 * Writes the hash of each lower-cased suffix of the name at `nameStart` to `hashes`, by its number of labels.
 * `labelStarts` holds where the labels start, counted from `nameStart`, the rightmost label first.
 */
export function hashSuffixes(
  octets: Uint8Array,
  nameStart: number,
  labelStarts: Uint8Array,
  labels: number,
  hashes: Int32Array,
): void {
  let v0 = KEY_LOW;
  let v1 = KEY_HIGH;
  let v2 = KEY_LOW ^ 0x6c796765; // the constants are those of the algorithm
  let v3 = KEY_HIGH ^ 0x74656462;
  hashes[0] = v1 ^ v3;
  for (let label = 0; label < labels; label++) {
    const start = nameStart + (labelStarts[label] ?? 0);
    // the length octet goes first, so that labels cannot run into each other
    const end = start + (octets[start] ?? 0) + 1;
    for (let at = start; at < end; at += 4) {
      let word = LOWER_CASE[octets[at] ?? 0] ?? 0;
      if (at + 1 < end) word |= (LOWER_CASE[octets[at + 1] ?? 0] ?? 0) << 8;
      if (at + 2 < end) word |= (LOWER_CASE[octets[at + 2] ?? 0] ?? 0) << 16;
      if (at + 3 < end) word |= (LOWER_CASE[octets[at + 3] ?? 0] ?? 0) << 24;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    hashes[label + 1] = finished(v0, v1, v2 ^ 0xff, v3);
  }
}

/** Three more rounds, for the suffix that ends here; the longer suffixes go on from the state before them. */
function finished(w0: number, w1: number, w2: number, w3: number): number {
  let v0 = w0;
  let v1 = w1;
  let v2 = w2;
  let v3 = w3;
  for (let round = 0; round < 3; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  return v1 ^ v3;
}

/** Where the suffixes of a name start, by their number of labels. */
const starts = new Uint8Array(MAX_LABELS);
const hashes = new Int32Array(MAX_LABELS);

/** Hash of a whole name in wire form. */
export function hashName(wire: Uint8Array): number {
  return hashes[askedNameAt(wire, 0).labelCount] ?? 0;
}

/** The name at `nameStart`, which is not compressed, for a search in a `NameMap`. Valid until the next call. */
export function askedNameAt(octets: Uint8Array, nameStart: number): AskedName {
  let labelCount = 0;
  let at = nameStart;
  for (; (octets[at] ?? 0) !== 0; at += (octets[at] ?? 0) + 1) starts[++labelCount] = at - nameStart;
  starts[0] = at - nameStart;
  const labelStarts = starts.subarray(1, labelCount + 1).reverse();
  hashSuffixes(octets, nameStart, labelStarts, labelCount, hashes);
  return { octets, nameStart, nameEnd: at + 1, labelCount, labelStarts: starts, suffixHashes: hashes };
}

/** Whether the lower-cased suffix of `depth` labels of a query's name is `wire` (lower case). */
export function suffixEquals(query: AskedName, depth: number, wire: Uint8Array): boolean {
  return isSuffix(query, depth, wire, 0, wire.length);
}

/** As `suffixEquals`, for the name in `names` from `start` to `end`. */
export function isSuffix(
  query: AskedName,
  depth: number,
  names: Uint8Array,
  start: number,
  end: number,
): boolean {
  const from = query.nameStart + (query.labelStarts[depth] ?? 0);
  if (query.nameEnd - from !== end - start) return false;
  for (let at = start; at < end; at++) {
    if (LOWER_CASE[query.octets[from + at - start] ?? 0] !== names[at]) return false;
  }
  return true;
}

/** The name of a `Query`. */
export interface AskedName {
  readonly octets: Uint8Array;
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly labelCount: number;
  readonly labelStarts: Uint8Array;
  readonly suffixHashes: Int32Array;
}

/**
 * Mixes QNAME (in lower case), QTYPE, QCLASS, DO and CD to a 32-bit signed integer, which V8 keeps without an object. Two
 * questions may share a key, so each reader compares the question that it finds. For one name every QTYPE, DO and CD has its
 * own key.
 */
export function questionKey(
  nameHash: number,
  qtype: number,
  qclass: number,
  dnssecOk: boolean,
  checkingDisabled: boolean,
): number {
  const aspects = qtype | (dnssecOk ? 0x1_0000 : 0) | (checkingDisabled ? 0x2_0000 : 0) | (qclass << 18);
  // an odd factor keeps different aspects different
  return nameHash ^ Math.imul(aspects, 0x9e3779b1);
}

/** Words of a place in the table of a `NameMap`: the hash of a name, and its number plus one, or 0 where the place is free. */
const PLACE_WORDS = 2;

/**
 * The map by which tables find the name of a query, exactly or by its longest suffix, without a string. It is made for thousands
 * of names: they stand one after the other in one buffer, and the table is one of numbers. To the collector of garbage, which
 * looks at every object that is alive, they are a few objects. A `Map` or `Set` of strings would cost more than its own size: V8
 * also enters each string that one is asked for in its table of strings, and walks through that table in each full collection.
 */
export class NameMap<V> {
  /** By the number of a name. */
  readonly #values: V[] = [];
  #names = new Uint8Array(256);
  /** Where a name ends in `#names`, by its number; the next name begins there. */
  #ends = new Uint32Array(8);
  /** Twice as many places as names, or more; the number of places is a power of two. */
  #table = new Int32Array(16 * PLACE_WORDS);
  /** Names in the map by their number of labels: a depth without names is not searched. */
  readonly #namesAtDepth = new Uint32Array(128);
  #deepest = 0;

  /** `name` is a text in normal form or with any case; a later value replaces an earlier one. */
  set(name: string, value: V): this {
    const wire = nameToWire(name);
    const hash = hashName(wire);
    const known = this.#find(wire, hash);
    if (known !== undefined) {
      this.#values[known] = value;
      return this;
    }
    const number = this.#values.push(value) - 1;
    this.#write(wire, number);
    if ((number + 1) * 2 * PLACE_WORDS > this.#table.length) this.#widen();
    enter(this.#table, hash, number);
    const depth = labelCount(wire);
    this.#namesAtDepth[depth] = (this.#namesAtDepth[depth] ?? 0) + 1;
    this.#deepest = Math.max(this.#deepest, depth);
    return this;
  }

  /** The value of this name, which is a text as that of `set`. */
  get(name: string): V | undefined {
    const wire = nameToWire(name);
    const number = this.#find(wire, hashName(wire));
    return number === undefined ? undefined : this.#values[number];
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** The value of the query's own name. */
  exact(query: AskedName): V | undefined {
    return this.#at(query, query.labelCount);
  }

  /** The value of the longest name in the map that is the query's name or an ancestor of it. */
  closest(query: AskedName): V | undefined {
    return this.#closest(query, query.labelCount);
  }

  /** The value of the longest name in the map that is an ancestor of the query's name. */
  closestAbove(query: AskedName): V | undefined {
    return this.#closest(query, query.labelCount - 1);
  }

  #closest(query: AskedName, labels: number): V | undefined {
    for (let depth = Math.min(labels, this.#deepest); depth >= 0; depth--) {
      const value = this.#at(query, depth);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #at(query: AskedName, depth: number): V | undefined {
    if (this.#namesAtDepth[depth] === 0) return undefined;
    const table = this.#table;
    const hash = query.suffixHashes[depth] ?? 0;
    for (let place = placeOf(hash, table); ; place = (place + PLACE_WORDS) & (table.length - 1)) {
      const number = (table[place + 1] ?? 0) - 1;
      if (number < 0) return undefined;
      if (table[place] !== hash) continue;
      const start = this.#startOf(number);
      const end = this.#ends[number] ?? 0;
      if (isSuffix(query, depth, this.#names, start, end)) return this.#values[number];
    }
  }

  /** The number of the name. */
  #find(wire: Uint8Array, hash: number): number | undefined {
    const table = this.#table;
    for (let place = placeOf(hash, table); ; place = (place + PLACE_WORDS) & (table.length - 1)) {
      const number = (table[place + 1] ?? 0) - 1;
      if (number < 0) return undefined;
      if (table[place] !== hash) continue;
      const [start, end] = [this.#startOf(number), this.#ends[number] ?? 0];
      if (Buffer.compare(this.#names.subarray(start, end), wire) === 0) return number;
    }
  }

  #startOf(number: number): number {
    return number === 0 ? 0 : (this.#ends[number - 1] ?? 0);
  }

  #write(wire: Uint8Array, number: number): void {
    const start = this.#startOf(number);
    const end = start + wire.length;
    if (end > this.#names.length)
      this.#names = new Uint8Array(this.#names.buffer.transfer(this.#names.length * 2));
    if (number === this.#ends.length) this.#ends = new Uint32Array(this.#ends.buffer.transfer(number * 8));
    this.#names.set(wire, start);
    this.#ends[number] = end;
  }

  #widen(): void {
    const before = this.#table;
    this.#table = new Int32Array(before.length * 2);
    for (let place = 0; place < before.length; place += PLACE_WORDS) {
      const number = (before[place + 1] ?? 0) - 1;
      if (number >= 0) enter(this.#table, before[place] ?? 0, number);
    }
  }
}

/** The first place for the hash in a table whose length is a power of two. */
function placeOf(hash: number, table: Int32Array): number {
  return Math.imul(hash, PLACE_WORDS) & (table.length - 1);
}

function enter(table: Int32Array, hash: number, number: number): void {
  let place = placeOf(hash, table);
  while (table[place + 1] !== 0) place = (place + PLACE_WORDS) & (table.length - 1);
  table[place] = hash;
  table[place + 1] = number + 1;
}

function labelCount(wire: Uint8Array): number {
  let count = 0;
  for (let at = 0; (wire[at] ?? 0) !== 0; at += (wire[at] ?? 0) + 1) count++;
  return count;
}
