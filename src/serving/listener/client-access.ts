/** Which clients may ask: prefixes compiled to words, so that a look is a few comparisons and no string. */
import ipaddr from 'ipaddr.js';
import { uint32At } from '../../protocol/wire/header.ts';
import type { Family } from '../turn.ts';
import { isMapped, MAPPED_OFFSET, parseClientAddress } from './client-address.ts';
import { ListenerError } from './listener-error.ts';

/** Words of one prefix and of its mask: one of each for IPv4, four for IPv6. */
interface Prefix {
  readonly family: Family;
  readonly base: readonly number[];
  readonly mask: readonly number[];
}

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

  /** For an address as text, once per connection or in a test; what cannot be read is not allowed. */
  isAllowed(text: string): boolean {
    const address = parseClientAddress(text);
    return address !== undefined && this.isAllowedOctets(address.octets, 0, address.family);
  }

  /** For 4 or 16 octets at `at`; an IPv4-mapped address is looked up as IPv4. */
  isAllowedOctets(octets: Uint8Array, at: number, family: Family): boolean {
    if (family === 4) return this.#has4(uint32At(octets, at));
    if (isMapped(octets, at)) return this.#has4(uint32At(octets, at + MAPPED_OFFSET));
    return this.#has6(octets, at);
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
  // a prefix inside ::ffff:0:0/96 speaks of IPv4 clients, and those are looked up as IPv4
  if (octets.length === 16 && bits >= 96 && isMapped(octets, 0)) {
    return { octets: octets.subarray(MAPPED_OFFSET), bits: bits - 96 };
  }
  return { octets, bits };
}

/** The 32-bit mask of a prefix of which `bits` fall into this word; may be below 0 or above 32. */
function wordMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}
