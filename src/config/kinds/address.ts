/**
 * Reads IP addresses, networks and sockets from text, strictly, and returns them in canonical form. Without Zod: a start that has its
 * checked configuration does not load it.
 */
import ipaddr from 'ipaddr.js';
import type { Reading } from '../key.ts';

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** An address to connect to, in place of an address to listen on: loopback for a wildcard. */
export function connectable({ address, port }: SocketAddress): SocketAddress {
  return { address: address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address, port };
}

export type ParsedAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** `10.0.0.2`, `10.0.0.2:53`, `fd00::2`, `[fd00::2]`, `[fd00::2]:53`, `fe80::2%eth0`, `[fe80::2%eth0]:53`. */
export function readSocketAddress(
  text: string,
  defaultPort: number,
  leastPort: 0 | 1,
): Reading<SocketAddress> {
  const { host, portText } = splitPort(text);
  const { bare, zone } = splitZone(host);
  const address = parseAddress(bare);
  if (address === undefined) return notAnAddress(text, { host, portText }, leastPort);
  const suffix = portText === undefined ? '' : `:${portText}`;
  const refused = zoneFault(bare, zone, address) ?? mappedFault(address, suffix);
  if (refused !== undefined) return refused;
  const port = portText === undefined ? defaultPort : portOf(portText, leastPort);
  if (port === undefined) return { message: `port "${portText}" is not a number from ${leastPort} to 65535` };
  return { value: { address: `${addressText(address)}${zone}`, port } };
}

function splitPort(text: string): { host: string; portText: string | undefined } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) return { host: bracketed[1] ?? '', portText: bracketed[2] };
  const first = text.indexOf(':');
  // Two colons without brackets: an IPv6 address, whose last group could be a port.
  if (first === -1 || text.indexOf(':', first + 1) !== -1) return { host: text, portText: undefined };
  return { host: text.slice(0, first), portText: text.slice(first + 1) };
}

function portOf(text: string, least: number): number | undefined {
  if (!/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= least && port <= 65_535 ? port : undefined;
}

function notAnAddress(
  text: string,
  { host, portText }: { readonly host: string; readonly portText: string | undefined },
  least: number,
): Reading<never> {
  const port = portText === undefined ? '' : `:${portText}`;
  if (/^\w+:\/\//.test(text)) return { message: 'a URL, not an address' };
  if (host === '' || host === '*') {
    if (least > 0) return { message: 'no address' };
    return {
      message: 'no address',
      fix: `write 0.0.0.0${port} for all of IPv4 and [::]${port} for all of IPv6`,
    };
  }
  if (host === 'localhost') return { message: 'a name, not an address', fix: `write 127.0.0.1${port}` };
  if (/^[a-z]/i.test(host) && !host.includes(':')) return { message: 'a name, not an address' };
  return copiedWhole(text) ?? { message: 'not an IP address' };
}

/** A list in one text, or the address of an interface with its prefix. */
function copiedWhole(text: string): Reading<never> | undefined {
  const parts = text.split(/[\s,;]+/).filter((part) => part !== '');
  if (parts.length > 1 && parts.every((part) => parseAddress(part) !== undefined))
    return { message: 'more than one address', fix: `make each an item of its own: ${parts.join(' and ')}` };
  const [, address = ''] = /^([^/]+)\/[0-9]{1,3}$/.exec(text) ?? [];
  if (parseAddress(address) === undefined) return undefined;
  return { message: 'a network, not an address', fix: `write ${address}` };
}

/** `zone` with its "%", empty where there is none. An interface may have a name that the parser does not know: `eth0.100`. */
function splitZone(host: string): { readonly bare: string; readonly zone: string } {
  const at = host.indexOf('%');
  if (at < 0 || !/^%[^%/\s\]]+$/.test(host.slice(at))) return { bare: host, zone: '' };
  return { bare: host.slice(0, at), zone: host.slice(at) };
}

/** RFC 4007 section 11: a link-local address has no meaning without its interface, and only such an address has an interface. */
function zoneFault(bare: string, zone: string, address: ParsedAddress): Reading<never> | undefined {
  const isLinkLocal = address instanceof ipaddr.IPv6 && address.range() === 'linkLocal';
  if (isLinkLocal === (zone !== '')) return undefined;
  if (!isLinkLocal) {
    return { message: 'an interface ("%") with an address that is not link-local', fix: `write ${bare}` };
  }
  return {
    message: 'a link-local address without its interface',
    fix: `write ${bare}%eth0, with the interface through which it is reached`,
  };
}

function mappedFault(address: ParsedAddress, suffix: string): Reading<never> | undefined {
  if (!(address instanceof ipaddr.IPv6) || !address.isIPv4MappedAddress()) return undefined;
  return {
    message: 'an IPv4 address in IPv6 form',
    fix: `write ${address.toIPv4Address().toString()}${suffix}`,
  };
}

export function readIpv4Address(text: string): Reading<string> {
  const address = parseAddress(text);
  if (address === undefined) return { message: 'not an IP address' };
  if (!(address instanceof ipaddr.IPv4)) return { message: 'an IPv6 address: an Outpost has IPv4 only' };
  const range = address.range();
  if (range === 'unspecified' || range === 'loopback' || range === 'multicast' || range === 'broadcast') {
    return { message: `${range} address: no machine of the cluster can have it` };
  }
  return { value: addressText(address) };
}

const MAPPED_PREFIX = 96; // RFC 4291 section 2.5.5.2

export function readNetwork(text: string): Reading<string> {
  const match = /^([^/]+)\/([0-9]{1,3})$/.exec(text);
  const address = parseAddress(match?.[1] ?? text);
  if (address === undefined) return { message: 'not a network' };
  const bits = address instanceof ipaddr.IPv4 ? 32 : 128;
  if (match === null) return withoutPrefix(text, address, bits);
  const prefix = Number(match[2]);
  if (address instanceof ipaddr.IPv6 && address.zoneId !== undefined) {
    return { message: 'a network with an interface ("%")', fix: `write ${text.replace(/%[^/]*/, '')}` };
  }
  const refused = mappedFault(address, `/${Math.max(0, prefix - MAPPED_PREFIX)}`);
  if (refused !== undefined) return refused;
  if (prefix > bits) return { message: `a prefix longer than ${bits}` };
  const base = `${networkBase(address, prefix)}/${prefix}`;
  if (base !== `${addressText(address)}/${prefix}`) {
    return { message: `has bits set beyond the prefix of ${prefix}`, fix: `write ${base}` };
  }
  return { value: base };
}

function withoutPrefix(text: string, address: ParsedAddress, bits: number): Reading<never> {
  if (text.includes('/')) return { message: 'not a network' };
  return {
    message: 'a network without its prefix length',
    fix: `write ${addressText(address)}/${bits} for the one address`,
  };
}

export function readIpv4Network(text: string): Reading<string> {
  const reading = readNetwork(text);
  if (!('value' in reading) || !reading.value.includes(':')) return reading;
  return { message: 'an IPv6 network: an Outpost has IPv4 only' };
}

function networkBase(address: ParsedAddress, prefix: number): string {
  const cidr = `${addressText(address)}/${prefix}`;
  return addressText(
    address instanceof ipaddr.IPv4
      ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
      : ipaddr.IPv6.networkAddressFromCIDR(cidr),
  );
}

/** An address in its usual spelling; octal, hexadecimal and shortened IPv4 are none here. */
export function parseAddress(text: string): ParsedAddress | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  return ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}

/** Canonical text: RFC 5952 for IPv6. */
export function addressText(address: ParsedAddress): string {
  return address instanceof ipaddr.IPv4 ? address.toString() : address.toRFC5952String();
}

/** The canonical text of an address with or without an interface; `undefined` where it is no address. */
export function canonicalAddress(text: string): string | undefined {
  const { bare, zone } = splitZone(text);
  const address = parseAddress(bare);
  return address && `${addressText(address)}${zone}`;
}

/** Whether the address, in canonical text, lies in one of the networks. */
export function isInside(text: string, networks: readonly string[]): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  return networks.some((one) => {
    const [base, prefix] = ipaddr.parseCIDR(one);
    return base.kind() === address.kind() && address.match(base, prefix);
  });
}
