/**
 * An address and port to listen on, and which addresses of the host a wildcard stands for. A reply has to leave from the
 * address that was asked. Where a datagram does not bring that address, a wildcard becomes every address of the host, each
 * with its own socket. With one socket for all addresses the routing table would choose.
 */
import { isIPv4 } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import { isIpv6LinkLocal } from '../../protocol/words/address-text.ts';

export interface ListenAddress {
  /** An IP address as text; link-local IPv6 with its zone (`fe80::1%eth0`); `0.0.0.0` or `::` for all. */
  readonly address: string;
  /** 0: any free port, the same for UDP and TCP. */
  readonly port: number;
}

/** The result of `os.networkInterfaces()`. */
export type HostInterfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * The addresses of the wildcard's family that the host has now, each once, in the order of the interfaces. Of 127.0.0.0/8
 * only the address of the loopback interface is listed and served.
 */
export function expandWildcard(wildcard: string, interfaces: HostInterfaces): string[] {
  const family = isIPv4(wildcard) ? 'IPv4' : 'IPv6';
  const addresses = Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.filter((info) => info.family === family).map((info) => withZone(info.address, name)),
  );
  return [...new Set(addresses)];
}

/** RFC 4007 section 11: a link-local address is ambiguous without its interface. */
function withZone(address: string, interfaceName: string): string {
  return isIpv6LinkLocal(address) && !address.includes('%') ? `${address}%${interfaceName}` : address;
}
