/** IPv4 networks as numbers, so that membership is two operations and no object. Addresses are unsigned 32-bit integers. */
import ipaddr from 'ipaddr.js';

export interface Ipv4Network {
  readonly base: number;
  readonly prefix: number;
}

/** `cidr` as `10.0.0.0/16`. Throws where it is no IPv4 network; bits beyond the prefix are ignored. */
export function ipv4Network(cidr: string): Ipv4Network {
  const [address, prefix] = ipaddr.IPv4.parseCIDR(cidr);
  const bits = address.toByteArray().reduce((number, octet) => number * 256 + octet, 0);
  return { base: networkOf(bits, prefix), prefix };
}

/** Whether all addresses of the block that starts at `base` and is `prefix` bits long are in the network. */
export function holdsBlock(network: Ipv4Network, base: number, prefix: number): boolean {
  return prefix >= network.prefix && networkOf(base, network.prefix) === network.base;
}

export function holdsAddress(network: Ipv4Network, address: number): boolean {
  return holdsBlock(network, address, 32);
}

function networkOf(address: number, prefix: number): number {
  // a shift by 32 is one by 0 in JavaScript
  return prefix === 0 ? 0 : (address & (-1 << (32 - prefix))) >>> 0;
}
