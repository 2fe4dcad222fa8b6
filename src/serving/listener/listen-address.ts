/**
 * An address and port to listen on, and which addresses of the host a wildcard stands for. A reply has to leave from the
 * address that was asked. Where a datagram does not bring that address, a wildcard becomes every address of the host, each
 * with its own socket. With one socket for all addresses the routing table would choose. Also: why an address cannot be served.
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

/** Tells the person who starts the server why the server cannot listen. Fatal at start; a reload then changes nothing. */
type ListenerErrorCode =
  | 'in-use'
  | 'not-permitted'
  | 'no-such-address'
  | 'bind-failed'
  | 'nothing-bound'
  | 'bad-prefix';

export class ListenerError extends Error {
  readonly code: ListenerErrorCode;
  /** The address, the address and port, or the prefix with the fault. */
  readonly subject: string;

  constructor(code: ListenerErrorCode, subject: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenerError';
    this.code = code;
    this.subject = subject;
  }
}

/** The error's `code`, such as `EADDRINUSE`, or its name if it has no code. */
export function systemCode(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}

/** Turns the error of `bind` into a sentence with the fix. `address` is as the operator wrote it, with port. */
export function bindError(error: unknown, address: string, transport: string): ListenerError {
  const failed = `cannot listen on "${address}" (${transport})`;
  const code = systemCode(error);
  const isBareLinkLocal = code === 'EINVAL' && address.startsWith('[fe80') && !address.includes('%');
  const [kind, detail] = isBareLinkLocal ? BARE_LINK_LOCAL : (KNOWN_ERRORS[code] ?? unknownError(error));
  const holder = kind === 'in-use' ? likelyHolder(address) : '';
  return new ListenerError(kind, address, `${failed}: ${detail}${holder}`, { cause: error });
}

const BARE_LINK_LOCAL = [
  'no-such-address',
  'a link-local address needs its interface, as in "fe80::1%eth0"',
] as const;
const NOT_PERMITTED = [
  'not-permitted',
  'not permitted: a port below 1024 needs CAP_NET_BIND_SERVICE',
] as const;

const KNOWN_ERRORS: Readonly<Record<string, readonly [ListenerErrorCode, string]>> = {
  EADDRINUSE: ['in-use', 'in use by '],
  EACCES: NOT_PERMITTED,
  EPERM: NOT_PERMITTED,
  EADDRNOTAVAIL: ['no-such-address', 'no interface of this host has that address (yet)'],
};

function unknownError(error: unknown): readonly [ListenerErrorCode, string] {
  return ['bind-failed', error instanceof Error ? error.message : String(error)];
}

function likelyHolder(address: string): string {
  const port = address.slice(address.lastIndexOf(':') + 1);
  const find = `"ss -lntup sport = :${port}" shows which`;
  if (port !== '53') return `another program: ${find}`;
  // systemd-resolved's stub listens on these two
  if (/^127\.0\.0\.5[34]:/.test(address))
    return `systemd-resolved, most likely (DNSStubListener=no frees it): ${find}`;
  return `another DNS server (dnsmasq, systemd-resolved, named or a second outpost-dns): ${find}`;
}
