/**
 * The hash that names are looked up by: HalfSipHash-1-3 (Aumasson and Bernstein, 2012) over the labels of a name, right
 * label first, so that every suffix is hashed on the way. Its key is drawn when the process begins and never leaves it:
 * nobody outside can make two names that share a hash, which would share a place in every table. A hash is never written
 * to disk. Two names may still share one by accident, so a table compares what it finds.
 *
 * The key is drawn here and not handed in, against the habit of the house, because a table that was filled before the key
 * came would find nothing.
 */
import { randomFillSync } from 'node:crypto';
import { lower } from '../words/name.ts';

const key = randomFillSync(new Int32Array(2));
const KEY_LOW = key[0] ?? 0;
const KEY_HIGH = key[1] ?? 0;

const lowerTable = Uint8Array.from({ length: 256 }, (_, octet) => lower(octet));

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
      let word = lowerTable[octets[at] ?? 0] ?? 0;
      if (at + 1 < end) word |= (lowerTable[octets[at + 1] ?? 0] ?? 0) << 8;
      if (at + 2 < end) word |= (lowerTable[octets[at + 2] ?? 0] ?? 0) << 16;
      if (at + 3 < end) word |= (lowerTable[octets[at + 3] ?? 0] ?? 0) << 24;
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

const MAX_LABELS = 128; // 255 octets hold 127 labels and the root
const starts = new Uint8Array(MAX_LABELS);
const hashes = new Int32Array(MAX_LABELS);

/** Hash of a whole name in wire form. */
export function hashName(wire: Uint8Array): number {
  let labels = 0;
  for (let at = 0; (wire[at] ?? 0) !== 0; at += (wire[at] ?? 0) + 1) starts[labels++] = at;
  starts.subarray(0, labels).reverse();
  hashSuffixes(wire, 0, starts, labels, hashes);
  return hashes[labels] ?? 0;
}
