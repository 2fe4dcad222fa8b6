/**
 * Which addresses a configured one stands for. A wildcard becomes every address of the host, because a reply has to
 * leave from the address that was asked, and a socket bound to all of them leaves that to the routing table.
 */
import { isIP, isIPv4 } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { parseClientAddress } from './client-address.ts';

/** What `os.networkInterfaces()` returns. */
export type HostInterfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** A host that routes for many (kube-ipvs0) may carry thousands; beyond this they have to be named one by one. */
export const MAX_EXPANDED = 512;

/** Whether it is `0.0.0.0` or `::`, however written. */
export function isWildcard(address: string): boolean {
  const zeros = /^\[?[0:.]+\]?$/.test(address) && isIP(address) !== 0;
  return zeros && (parseClientAddress(address)?.octets.every((octet) => octet === 0) ?? false);
}

/**
 * The addresses of the wildcard's family that the host has now, each once, in the order of the interfaces.
 * Loopback is the one address that the interface has: the rest of 127.0.0.0/8 is not listed, and not served.
 */
export function expandWildcard(wildcard: string, interfaces: HostInterfaces): string[] {
  const family = isIPv4(wildcard) ? 'IPv4' : 'IPv6';
  const addresses = Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.filter((info) => info.family === family).map((info) => withZone(info.address, name)),
  );
  return [...new Set(addresses)];
}

/** RFC 4007 section 11: a link-local address says nothing without its interface. */
function withZone(address: string, interfaceName: string): string {
  return /^fe[89ab]/i.test(address) && !address.includes('%') ? `${address}%${interfaceName}` : address;
}
