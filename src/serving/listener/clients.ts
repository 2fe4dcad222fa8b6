/**
 * Converts a client's address to octets, the form that access and rate limits compare. Decides which clients may ask, and how
 * many replies a network gets.
 */
import ipaddr from 'ipaddr.js';
import { uint32At } from '../../protocol/wire/message.ts';
import { isAddress } from '../../protocol/words/address-text.ts';
import type { Family } from '../turn.ts';
import { ListenerError } from './listen-address.ts';

export interface ClientAddress {
  /** 4 octets for family 4, 16 for family 6. */
  readonly octets: Uint8Array;
  readonly family: Family;
}

/** The offset of an IPv4 address in its IPv4-mapped IPv6 form, `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2). */
const MAPPED_OFFSET = 12;

/** Whether the 16 octets at `at` are an IPv4-mapped address. */
function isMapped(octets: Uint8Array, at: number): boolean {
  if (octets[at + 10] !== 0xff || octets[at + 11] !== 0xff) return false;
  for (let i = 0; i < 10; i++) if (octets[at + i] !== 0) return false;
  return true;
}

/** Where the 4 octets of an IPv4 address stand, as they are or in the mapped form; -1 for any other IPv6 address. */
export function ipv4At(octets: Uint8Array, at: number, family: Family): number {
  if (family === 4) return at;
  return isMapped(octets, at) ? at + MAPPED_OFFSET : -1;
}

/** Whether the address is in 127.0.0.0/8, or is `::1` or the mapped form of a 127.0.0.0/8 address. */
export function isLoopback(octets: Uint8Array, at: number, family: Family): boolean {
  const four = ipv4At(octets, at, family);
  if (four >= 0) return octets[four] === 127;
  if (octets[at + 15] !== 1) return false;
  for (let i = 0; i < 15; i++) if (octets[at + i] !== 0) return false;
  return true;
}

// a client's network is a /24 of IPv4, or a /56 of IPv6: what a site is given (RFC 6177 section 2)
const NETWORK4_OCTETS = 3;
const NETWORK6_OCTETS = 7;

/** Returns a number for the network of a client, never 0. Two networks seldom share a number. */
export function networkOf({ octets, family }: ClientAddress): number {
  const four = ipv4At(octets, 0, family);
  let network = four >= 0 ? 4 : 6;
  const end = four >= 0 ? four + NETWORK4_OCTETS : NETWORK6_OCTETS;
  for (let i = Math.max(four, 0); i < end; i++)
    network = (Math.imul(network, 0x0100_0193) ^ (octets[i] ?? 0)) | 0;
  return network === 0 ? 1 : network;
}

/** Reads the octets of an address as Node writes it. Leaves out a zone (`fe80::1%eth0`); a mapped address becomes IPv4. */
export function parseClientAddress(text: string): ClientAddress | undefined {
  const zoneAt = text.indexOf('%');
  const bare = zoneAt < 0 ? text : text.slice(0, zoneAt);
  if (!isAddress(bare)) return undefined;
  const octets = Uint8Array.from(ipaddr.process(bare).toByteArray());
  return { octets, family: octets.length === 4 ? 4 : 6 };
}

/** The client's network as text. */
export function networkText(octets: Uint8Array, at: number, family: Family): string {
  const four = ipv4At(octets, at, family);
  const [from, length, kept] = four >= 0 ? [four, 4, NETWORK4_OCTETS] : [at, 16, NETWORK6_OCTETS];
  const network = Array.from({ length }, (_, i) => (i < kept ? (octets[from + i] ?? 0) : 0));
  return `${ipaddr.fromByteArray(network)}/${kept * 8}`;
}

const MEMORY = 4096; // addresses in each of two generations: some 2 MiB at most, for any number of clients

/** Remembers the octets of recent addresses, because Node names a datagram's sender by a string. */
export class ClientAddressBook {
  #recent = new Map<string, ClientAddress>();
  #before = new Map<string, ClientAddress>();

  of(text: string): ClientAddress | undefined {
    const known = this.#recent.get(text);
    if (known !== undefined) return known;
    const address = this.#before.get(text) ?? parseClientAddress(text);
    if (address === undefined) return undefined;
    if (this.#recent.size >= MEMORY) {
      this.#before = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(text, address);
    return address;
  }

  get size(): number {
    return this.#recent.size + this.#before.size;
  }
}

/** Words of one prefix and of its mask: one of each for IPv4, four for IPv6. */
interface Prefix {
  readonly family: Family;
  readonly base: readonly number[];
  readonly mask: readonly number[];
}

/** Which clients may ask: prefixes compiled to words, so that a query costs a few comparisons and no string. */
export class ClientAccess {
  readonly #base4: Int32Array;
  readonly #mask4: Int32Array;
  readonly #base6: Int32Array;
  readonly #mask6: Int32Array;

  /** `allowed`: `10.0.0.0/8`, `fd00::/8`, or single addresses; a bit set beyond the prefix length is ignored. */
  constructor(allowed: readonly string[]) {
    const prefixes = allowed.map(compile);
    const four = prefixes.filter((prefix) => prefix.family === 4);
    const six = prefixes.filter((prefix) => prefix.family === 6);
    this.#base4 = Int32Array.from(four.flatMap((prefix) => prefix.base));
    this.#mask4 = Int32Array.from(four.flatMap((prefix) => prefix.mask));
    this.#base6 = Int32Array.from(six.flatMap((prefix) => prefix.base));
    this.#mask6 = Int32Array.from(six.flatMap((prefix) => prefix.mask));
  }

  /** For an address as text; an address that cannot be read is not allowed. */
  isAllowed(text: string): boolean {
    const address = parseClientAddress(text);
    return address !== undefined && this.isAllowedOctets(address.octets, 0, address.family);
  }

  /** For 4 or 16 octets at `at`; an IPv4-mapped address is compared as IPv4. */
  isAllowedOctets(octets: Uint8Array, at: number, family: Family): boolean {
    const four = ipv4At(octets, at, family);
    return four >= 0 ? this.#has4(uint32At(octets, four)) : this.#has6(octets, at);
  }

  #has4(word: number): boolean {
    const base = this.#base4;
    const mask = this.#mask4;
    for (let i = 0; i < base.length; i++) if ((word & (mask[i] ?? 0)) === base[i]) return true;
    return false;
  }

  #has6(octets: Uint8Array, at: number): boolean {
    const base = this.#base6;
    const mask = this.#mask6;
    for (let i = 0; i < base.length; i += 4) {
      let word = 0;
      while (word < 4 && (uint32At(octets, at + word * 4) & (mask[i + word] ?? 0)) === base[i + word]) word++;
      if (word === 4) return true;
    }
    return false;
  }
}

function compile(text: string): Prefix {
  const { octets, bits } = parsePrefix(text);
  const words = Array.from({ length: octets.length / 4 }, (_, i) => i);
  const mask = words.map((i) => wordMask(bits - i * 32));
  const base = words.map((i) => uint32At(octets, i * 4) & (mask[i] ?? 0));
  return { family: octets.length === 4 ? 4 : 6, base, mask };
}

function parsePrefix(text: string): { octets: Uint8Array; bits: number } {
  const single = parseClientAddress(text);
  if (single !== undefined) return { octets: single.octets, bits: single.octets.length * 8 };
  if (!ipaddr.isValidCIDR(text)) throw new ListenerError('bad-prefix', text, `cannot read prefix "${text}"`);
  const [address, bits] = ipaddr.parseCIDR(text);
  const octets = Uint8Array.from(address.toByteArray());
  // a prefix inside ::ffff:0:0/96 is about IPv4 clients, and those are compared as IPv4
  if (octets.length === 16 && bits >= 96 && isMapped(octets, 0)) {
    return { octets: octets.subarray(MAPPED_OFFSET), bits: bits - 96 };
  }
  return { octets, bits };
}

/** The 32-bit mask of a prefix with `bits` bits in this word; `bits` may be below 0 or above 32. */
function wordMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

// Limits the replies that a network gets per second, so that queries with a forged sender cannot flood a victim. A table of
// fixed size has a token bucket per /24 or /56, without a timer or an object per query; time is an argument. Every n-th
// reply above the rate becomes an empty reply with TC. A real client then comes back over TCP. A victim gets no more octets
// than the forged query had.

export const RATE = { SEND: 0, DROP: 1, SLIP: 2 } as const;
export type RateVerdict = (typeof RATE)[keyof typeof RATE];

interface RateLimitOptions {
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
    const four = ipv4At(octets, at, family);
    // /24 for IPv4; /56 for IPv6
    const high = four >= 0 ? (uint32At(octets, four) & 0xffffff00) >>> 0 : uint32At(octets, at);
    const low = four >= 0 ? 4 : ((uint32At(octets, at + 4) & 0xffffff00) | 6) >>> 0;
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
