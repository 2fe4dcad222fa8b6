/** A client's address as octets: the form in which access and rate limits look at it, whoever received it. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Family } from '../turn.ts';

export interface ClientAddress {
  /** 4 octets for family 4, 16 for family 6. */
  readonly octets: Uint8Array;
  readonly family: Family;
}

/** Where an IPv4 address lies in its IPv4-mapped IPv6 form, `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2). */
export const MAPPED_OFFSET = 12;

/** Whether the 16 octets at `at` are an IPv4-mapped address. */
export function isMapped(octets: Uint8Array, at: number): boolean {
  if (octets[at + 10] !== 0xff || octets[at + 11] !== 0xff) return false;
  for (let i = 0; i < 10; i++) if (octets[at + i] !== 0) return false;
  return true;
}

/** Whether it is 127.0.0.0/8, `::1`, or the mapped form of the former. */
export function isLoopback(octets: Uint8Array, at: number, family: Family): boolean {
  if (family === 4) return octets[at] === 127;
  if (isMapped(octets, at)) return octets[at + MAPPED_OFFSET] === 127;
  if (octets[at + 15] !== 1) return false;
  for (let i = 0; i < 15; i++) if (octets[at + i] !== 0) return false;
  return true;
}

const NETWORK_OCTETS = 7; // 56 bits: what a site is given (RFC 6177 section 2); of IPv4 it is 24 bits

/** A number for the network of a client, never 0. Two networks seldom share one. */
export function networkOf({ octets, family }: ClientAddress): number {
  const isV4 = family === 4;
  const from = !isV4 && isMapped(octets, 0) ? MAPPED_OFFSET : 0;
  let network = isV4 || from > 0 ? 4 : 6;
  for (let i = from; i < from + (isV4 || from > 0 ? 3 : NETWORK_OCTETS); i++)
    network = (Math.imul(network, 0x0100_0193) ^ (octets[i] ?? 0)) | 0;
  return network === 0 ? 1 : network;
}

/** Octets of an address as Node writes it: a zone (`fe80::1%eth0`) is ignored, a mapped address is IPv4. */
export function parseClientAddress(text: string): ClientAddress | undefined {
  const zoneAt = text.indexOf('%');
  const bare = zoneAt < 0 ? text : text.slice(0, zoneAt);
  if (isIP(bare) === 0) return undefined;
  const octets = Uint8Array.from(ipaddr.process(bare).toByteArray());
  return { octets, family: octets.length === 4 ? 4 : 6 };
}

/** The client's network as text: the /24 of an IPv4 address, the /56 of an IPv6 one, as the rate limit counts them. */
export function networkText(octets: Uint8Array, at: number, family: Family): string {
  const isFour = family === 4 || isMapped(octets, at);
  const from = isFour && family === 6 ? at + MAPPED_OFFSET : at;
  const kept = isFour ? 3 : 7; // octets of the prefix
  const network = Array.from({ length: isFour ? 4 : 16 }, (_, i) => (i < kept ? (octets[from + i] ?? 0) : 0));
  return `${ipaddr.fromByteArray(network)}/${kept * 8}`;
}

const MEMORY = 4096; // addresses in each of two generations: some 2 MiB at most, however many clients there are

/** Remembers the octets of the addresses seen last, because Node names a datagram's sender by a string. */
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
