/** The kinds of keys whose values are addresses, networks and sockets; address.ts reads them. */
import { textKind } from '../key.ts';
import { readIpv4Address, readIpv4Network, readNetwork, readSocketAddress } from './address.ts';

/** A single IPv4 address that a machine can have. */
export function ipv4Address() {
  return textKind(readIpv4Address, { allowed: 'an IPv4 address, such as 10.0.3.10', pattern: '^[0-9.]+$' });
}

/** A network of either family, as `10.0.0.0/8`. */
export function network() {
  return textKind((text) => readNetwork(text), {
    allowed: 'a network in CIDR form, such as 10.0.0.0/8 or fd00::/8',
    pattern: '^[0-9A-Fa-f.:]+/[0-9]{1,3}$',
  });
}

/** An IPv4 network, as `10.0.0.0/8`. */
export function ipv4Network() {
  return textKind(readIpv4Network, {
    allowed: 'an IPv4 network in CIDR form, such as 10.0.0.0/8',
    pattern: '^[0-9.]+/[0-9]{1,2}$',
  });
}

/** An address to listen on; port 0 stands for any free port. */
export function listenAddress(defaultPort: number) {
  return textKind((text) => readSocketAddress(text, defaultPort, 0), {
    allowed: `an address with an optional port (default ${defaultPort}), such as 127.0.0.1:${defaultPort} or [::1]:${defaultPort}`,
    pattern: `^[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN}$`,
  });
}

/** The address of a server that this host connects to. */
export function serverAddress(defaultPort: number) {
  return textKind((text) => readSocketAddress(text, defaultPort, 1), {
    allowed: `an address with an optional port (default ${defaultPort}), such as 10.0.0.9:${defaultPort} or [fd00::9]:${defaultPort}`,
    example: `10.0.0.9:${defaultPort}`,
    pattern: `^[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN}$`,
  });
}

/** In the pattern of an address with an optional port: the interface of a link-local address. */
export const ZONE_PATTERN = '(%[^%/\\s\\]]+(\\](:[0-9]+)?)?)?';
