/**
 * Server cookies (RFC 7873, in the interoperable form of RFC 9018). A client that sends its cookie back has received a reply
 * at its address, so the address is not forged. The secret is drawn here and changes once a day. The previous secret stays
 * valid, and a cookie expires after an hour.
 */
import { uint32At } from '../../protocol/wire/message.ts';
import { CLIENT_COOKIE_OCTETS, SERVER_COOKIE_OCTETS } from '../../protocol/wire/query.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { Turn } from '../turn.ts';
import { ipv4At } from './clients.ts';

export interface ServerCookiesOptions {
  readonly clock: Clock;
  readonly random: Pick<Random, 'uint32'>;
  /** Secrets of 16 octets, the current secret first; without them a secret is drawn. */
  readonly secrets?: readonly Uint8Array[];
}

const VERSION = 1; // RFC 9018 section 4.1
const MAX_AGE_SECONDS = 3600; // RFC 9018 section 4.3, as are the next two
const RENEWAL_AGE_SECONDS = 1800;
const MAX_AHEAD_SECONDS = 300;
/** RFC 9018 section 5 asks for at most 36 days, and recommends one day. */
const SECRET_LIFETIME_MS = 86_400_000;
/** Version, reserved octets, time. */
const PREFIX_OCTETS = 8;
const HASHED_OCTETS = CLIENT_COOKIE_OCTETS + PREFIX_OCTETS;

export class ServerCookies {
  readonly #clock: Clock;
  readonly #random: Pick<Random, 'uint32'>;
  #secrets: readonly SipKey[];
  #secretSinceMs: number;
  /** The input of the hash: client cookie, version, reserved octets, time, client address. */
  readonly #input = new Uint8Array(HASHED_OCTETS + 16);
  readonly #hash = new Uint8Array(SERVER_COOKIE_OCTETS - PREFIX_OCTETS);

  constructor({ clock, random, secrets }: ServerCookiesOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#secrets = secrets === undefined ? [this.#makeSecret()] : secrets.map(sipKey);
    this.#secretSinceMs = secrets === undefined ? clock.monotonicMs() : Number.POSITIVE_INFINITY;
  }

  /** Whether the query carries a server cookie of ours for this client that has not expired. */
  isValid(turn: Turn): boolean {
    return this.#validAgeSeconds(turn) >= 0;
  }

  /** Writes the server cookie into its place: the last octets of the turn's reply, which has `length` octets. */
  fill(turn: Turn, length: number): void {
    const { query, space } = turn;
    const to = turn.spaceStart + length - SERVER_COOKIE_OCTETS;
    const age = this.#validAgeSeconds(turn);
    // RFC 9018 section 4.3: a young cookie is sent back unchanged
    if (age >= 0 && age <= RENEWAL_AGE_SECONDS) {
      const from = query.cookieAt + CLIENT_COOKIE_OCTETS;
      for (let i = 0; i < SERVER_COOKIE_OCTETS; i++) space[to + i] = query.octets[from + i] ?? 0;
      return;
    }
    const seconds = this.#nowSeconds();
    const prefix = [VERSION, 0, 0, 0, seconds >>> 24, seconds >>> 16, seconds >>> 8, seconds];
    for (let i = 0; i < PREFIX_OCTETS; i++) space[to + i] = prefix[i] ?? 0;
    const hashed = this.#prepare(turn, space, to);
    const secret = this.#currentSecrets()[0];
    if (secret !== undefined) sipHash24(secret, this.#input, 0, hashed, space, to + PREFIX_OCTETS);
  }

  /** The age of a valid cookie, at least 0; -1 for an invalid cookie or none. */
  #validAgeSeconds(turn: Turn): number {
    const { octets, cookieAt, cookieOctets } = turn.query;
    if (cookieOctets !== CLIENT_COOKIE_OCTETS + SERVER_COOKIE_OCTETS) return -1;
    const at = cookieAt + CLIENT_COOKIE_OCTETS;
    if (octets[at] !== VERSION) return -1;
    // RFC 9018 section 4.3: serial number arithmetic, because 32 bits of seconds end in 2106
    const age = (this.#nowSeconds() - uint32At(octets, at + 4)) | 0;
    if (age > MAX_AGE_SECONDS || age < -MAX_AHEAD_SECONDS) return -1;
    const length = this.#prepare(turn, octets, at);
    for (const secret of this.#currentSecrets()) {
      sipHash24(secret, this.#input, 0, length, this.#hash, 0);
      let difference = 0;
      for (let i = 0; i < this.#hash.length; i++)
        difference |= (this.#hash[i] ?? 0) ^ (octets[at + PREFIX_OCTETS + i] ?? 0);
      if (difference === 0) return Math.max(0, age);
    }
    return -1;
  }

  /** Writes the input of the hash, with version to time from `prefix`; returns its octets. */
  #prepare({ query, client, clientAt, family }: Turn, prefix: Uint8Array, prefixAt: number): number {
    const { octets, cookieAt } = query;
    const input = this.#input;
    for (let i = 0; i < CLIENT_COOKIE_OCTETS; i++) input[i] = octets[cookieAt + i] ?? 0;
    for (let i = 0; i < PREFIX_OCTETS; i++) input[CLIENT_COOKIE_OCTETS + i] = prefix[prefixAt + i] ?? 0;
    const four = ipv4At(client, clientAt, family);
    const [from, length] = four >= 0 ? [four, 4] : [clientAt, 16];
    for (let i = 0; i < length; i++) input[HASHED_OCTETS + i] = client[from + i] ?? 0;
    return HASHED_OCTETS + length;
  }

  #nowSeconds(): number {
    return Math.floor(this.#clock.wallMs() / 1000);
  }

  #currentSecrets(): readonly SipKey[] {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#secretSinceMs >= SECRET_LIFETIME_MS) {
      this.#secretSinceMs = nowMs;
      this.#secrets = [this.#makeSecret(), ...this.#secrets.slice(0, 1)];
    }
    return this.#secrets;
  }

  #makeSecret(): SipKey {
    return Uint32Array.from({ length: SIP_KEY_OCTETS / 4 }, () => this.#random.uint32());
  }
}

// SipHash-2-4, the keyed hash of server cookies (RFC 9018 section 4.4), on 64-bit numbers as pairs of 32-bit words. Without
// the key nobody can make a value, or two inputs of one value.

const SIP_KEY_OCTETS = 16;

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
