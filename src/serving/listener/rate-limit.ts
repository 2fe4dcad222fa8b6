/**
 * Limits the replies that a network gets per second, so that queries with a forged sender cannot flood a victim. A table of
 * fixed size has a token bucket per /24 or /56, without a timer or an object per query; time is an argument. Every n-th
 * reply above the rate becomes an empty reply with TC. A real client then comes back over TCP. A victim gets no more octets
 * than the forged query had.
 */
import { uint32At } from '../../protocol/wire/header.ts';
import type { Family } from '../turn.ts';
import { isLoopback, isMapped, MAPPED_OFFSET } from './clients.ts';

export const RATE = { SEND: 0, DROP: 1, SLIP: 2 } as const;
export type RateVerdict = (typeof RATE)[keyof typeof RATE];

export interface RateLimitOptions {
  /** Replies per second and prefix, and the largest burst; 0 turns the limit off. */
  readonly responsesPerSecond: number;
  /** Every `slip`-th reply above the rate is sent with TC; 0: none. */
  readonly slip: number;
  /** 32 random bits: without them an attacker could choose prefixes that push another prefix out of the table. */
  readonly seed: number;
}

const WAYS = 4; // places that a prefix may take; the least recently used place makes room
const SETS = 4096; // with 4 ways 16,384 prefixes at a time, some 460 KiB

export class RateLimit {
  /** Whether it limits anything. */
  readonly isOn: boolean;
  readonly #perMs: number;
  readonly #burst: number;
  readonly #slip: number;
  readonly #seed: number;
  // one place for each prefix; the key's low octet is the family, so zero marks a free place
  readonly #keyHigh: Uint32Array;
  readonly #keyLow: Uint32Array;
  readonly #tokens: Float64Array;
  readonly #usedMs: Float64Array;
  readonly #limited: Uint32Array;

  constructor(options: RateLimitOptions) {
    const places = options.responsesPerSecond === 0 ? 0 : SETS * WAYS;
    this.#keyHigh = new Uint32Array(places);
    this.#keyLow = new Uint32Array(places);
    this.#tokens = new Float64Array(places);
    this.#usedMs = new Float64Array(places);
    this.#limited = new Uint32Array(places);
    this.isOn = options.responsesPerSecond > 0;
    this.#perMs = options.responsesPerSecond / 1000;
    this.#burst = Math.max(1, options.responsesPerSecond);
    this.#slip = options.slip;
    this.#seed = options.seed;
  }

  /** Takes one token of the client's prefix; the address is at `octets[at]`. `nowMs` is monotonic. */
  take(octets: Uint8Array, at: number, family: Family, nowMs: number): RateVerdict {
    if (!this.isOn || isLoopback(octets, at, family)) return RATE.SEND;
    const place = this.#placeOf(octets, at, family, nowMs);
    const earned = (nowMs - (this.#usedMs[place] ?? 0)) * this.#perMs;
    const tokens = Math.min(this.#burst, (this.#tokens[place] ?? 0) + earned);
    this.#usedMs[place] = nowMs;
    if (tokens >= 1) {
      this.#tokens[place] = tokens - 1;
      return RATE.SEND;
    }
    this.#tokens[place] = tokens;
    const limited = (this.#limited[place] ?? 0) + 1;
    this.#limited[place] = limited;
    return this.#slip > 0 && limited % this.#slip === 0 ? RATE.SLIP : RATE.DROP;
  }

  #placeOf(octets: Uint8Array, at: number, family: Family, nowMs: number): number {
    const isFour = family === 4 || isMapped(octets, at);
    const from = isFour && family === 6 ? at + MAPPED_OFFSET : at;
    // /24 for IPv4; /56 for IPv6, which is what a site usually gets
    const high = isFour ? (uint32At(octets, from) & 0xffffff00) >>> 0 : uint32At(octets, from);
    const low = isFour ? 4 : ((uint32At(octets, from + 4) & 0xffffff00) | 6) >>> 0;
    const first = (mix(high ^ this.#seed, low) & (SETS - 1)) * WAYS;
    let oldest = first;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#keyLow[place] === low && this.#keyHigh[place] === high) return place;
      if ((this.#usedMs[place] ?? 0) < (this.#usedMs[oldest] ?? 0)) oldest = place;
    }
    this.#keyHigh[oldest] = high;
    this.#keyLow[oldest] = low;
    this.#tokens[oldest] = this.#burst;
    this.#usedMs[oldest] = nowMs;
    this.#limited[oldest] = 0;
    return oldest;
  }
}

/** Mixes two words into one, so that each bit depends on every bit of both (the finish of MurmurHash3). */
function mix(a: number, b: number): number {
  let hash = Math.imul(a, 0x9e3779b1) ^ b;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
