/**
 * SipHash-2-4, the keyed hash of DNS server cookies (RFC 9018 section 4.4), on 64-bit numbers as pairs of 32-bit words.
 * Who lacks the key can neither make a value nor two inputs of one value.
 */
import { uint32At } from './header.ts';

export const SIP_KEY_OCTETS = 16;

/** A key of 16 octets as four words, low word first. */
export type SipKey = Uint32Array;

export function sipKey(octets: Uint8Array): SipKey {
  return Uint32Array.from({ length: SIP_KEY_OCTETS / 4 }, (_, word) => littleEndian(octets, word * 4));
}

function littleEndian(octets: Uint8Array, at: number): number {
  const big = uint32At(octets, at);
  return ((big & 0xff) << 24) | ((big & 0xff00) << 8) | ((big >>> 8) & 0xff00) | (big >>> 24);
}

const COMPRESSION_ROUNDS = 2;
const FINAL_ROUNDS = 4;

/** Writes the 8 octets of the hash of `input` from `start` to `end` to `output` at `at`. */
export function sipHash24(
  key: SipKey,
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  at: number,
): void {
  const key0 = key[0] ?? 0;
  const key1 = key[1] ?? 0;
  const key2 = key[2] ?? 0;
  const key3 = key[3] ?? 0;
  // "somepseudorandomlygeneratedbytes", as the algorithm's authors chose it
  let low0 = key0 ^ 0x70736575;
  let high0 = key1 ^ 0x736f6d65;
  let low1 = key2 ^ 0x6e646f6d;
  let high1 = key3 ^ 0x646f7261;
  let low2 = key0 ^ 0x6e657261;
  let high2 = key1 ^ 0x6c796765;
  let low3 = key2 ^ 0x79746573;
  let high3 = key3 ^ 0x74656462;
  const length = end - start;
  const blocks = length >>> 3;
  for (let block = 0; block <= blocks + 1; block++) {
    const isFinal = block > blocks;
    let low = 0;
    let high = 0;
    if (block < blocks) {
      low = littleEndian(input, start + block * 8);
      high = littleEndian(input, start + block * 8 + 4);
    } else if (!isFinal) {
      // the rest of the input, and its length in the last octet
      const from = start + blocks * 8;
      for (let i = 0; i < 4; i++) if (from + i < end) low |= (input[from + i] ?? 0) << (8 * i);
      for (let i = 4; i < 7; i++) if (from + i < end) high |= (input[from + i] ?? 0) << (8 * (i - 4));
      high |= length << 24;
    }
    if (isFinal) low2 ^= 0xff;
    low3 ^= low;
    high3 ^= high;
    for (let round = isFinal ? FINAL_ROUNDS : COMPRESSION_ROUNDS; round > 0; round--) {
      let sum = (low0 >>> 0) + (low1 >>> 0);
      high0 = (high0 + high1 + (sum > 0xffffffff ? 1 : 0)) | 0;
      low0 = sum | 0;
      let turned = (low1 << 13) | (high1 >>> 19);
      high1 = ((high1 << 13) | (low1 >>> 19)) ^ high0;
      low1 = turned ^ low0;
      turned = low0;
      low0 = high0;
      high0 = turned;

      sum = (low2 >>> 0) + (low3 >>> 0);
      high2 = (high2 + high3 + (sum > 0xffffffff ? 1 : 0)) | 0;
      low2 = sum | 0;
      turned = (low3 << 16) | (high3 >>> 16);
      high3 = ((high3 << 16) | (low3 >>> 16)) ^ high2;
      low3 = turned ^ low2;

      sum = (low0 >>> 0) + (low3 >>> 0);
      high0 = (high0 + high3 + (sum > 0xffffffff ? 1 : 0)) | 0;
      low0 = sum | 0;
      turned = (low3 << 21) | (high3 >>> 11);
      high3 = ((high3 << 21) | (low3 >>> 11)) ^ high0;
      low3 = turned ^ low0;

      sum = (low2 >>> 0) + (low1 >>> 0);
      high2 = (high2 + high1 + (sum > 0xffffffff ? 1 : 0)) | 0;
      low2 = sum | 0;
      turned = (low1 << 17) | (high1 >>> 15);
      high1 = ((high1 << 17) | (low1 >>> 15)) ^ high2;
      low1 = turned ^ low2;
      turned = low2;
      low2 = high2;
      high2 = turned;
    }
    low0 ^= low;
    high0 ^= high;
  }
  putLittleEndian(output, at, low0 ^ low1 ^ low2 ^ low3);
  putLittleEndian(output, at + 4, high0 ^ high1 ^ high2 ^ high3);
}

function putLittleEndian(octets: Uint8Array, at: number, word: number): void {
  octets[at] = word;
  octets[at + 1] = word >>> 8;
  octets[at + 2] = word >>> 16;
  octets[at + 3] = word >>> 24;
}
