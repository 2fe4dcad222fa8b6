/** Reads upstream servers from text: `10.0.0.2`, `[fd00::1]:5353`, `tls://9.9.9.9:853#dns.quad9.net`. */

import { socketText } from '../../protocol/words/address-text.ts';
import { type Reading, textKind } from '../key.ts';
import { parseAddress, readSocketAddress, type SocketAddress } from './address.ts';
import { readDomainName, ZONE_PATTERN } from './text.ts';

/** Plain data: finding an upstream takes no DNS. */
export interface UpstreamServer extends SocketAddress {
  /** In canonical form: for logs and metrics. */
  readonly text: string;
  /** The only transport that may be used; without it UDP, and TCP where UDP fails. */
  readonly transport?: TransportName;
  /** The name that the upstream's certificate must be valid for. */
  readonly serverName?: string;
}

const DNS_PORT = 53;
/** The transports that may be named, each with its port and its name in faults: a new encrypted transport is a row here. */
const TRANSPORTS = {
  tls: { port: 853, words: 'DNS on TLS' }, // RFC 7858 section 3.1
};
export type TransportName = keyof typeof TRANSPORTS;
/** The same by the scheme of a URL. */
export const SCHEMES = new Map<string, { readonly port: number; readonly words: string }>(
  Object.entries(TRANSPORTS),
);

export function upstream() {
  return textKind(readUpstream, {
    allowed:
      'an address with an optional port, such as 10.0.0.2 or [fd00::1]:5353, or tls://9.9.9.9:853#dns.quad9.net',
    pattern: `^((${[...SCHEMES.keys()].join('|')})://[^#]+#.+|[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN})$`,
  });
}

export function readUpstream(text: string): Reading<UpstreamServer> {
  const [, scheme = '', rest = ''] = /^(\w+):\/\/(.*)$/s.exec(text) ?? [];
  if (isTransport(scheme)) return readEncrypted(rest, scheme, SCHEMES.get(scheme)?.port ?? DNS_PORT);
  if (scheme !== '') {
    const others = [...SCHEMES].map(([name, { words }]) => `${name}:// before it for ${words}`);
    const fix = `write an address alone for DNS on UDP and TCP, or ${others.join(', or ')}`;
    return { message: `"${scheme}://" is not supported`, fix };
  }
  const foreign = foreignForm(text);
  if (foreign !== undefined) return foreign;
  const socket = readUpstreamSocket(text, DNS_PORT);
  return 'value' in socket ? { value: { text: socketText(socket.value), ...socket.value } } : socket;
}

/** As other servers write it: dnsmasq `192.0.2.1#53`, Unbound `192.0.2.1@853#name`, systemd-resolved `192.0.2.1#name`. */
function foreignForm(text: string): Reading<never> | undefined {
  const [form, address = '', sign, port, name = ''] = /^([^#@]+)([#@])([0-9]+)(#.+)?$/s.exec(text) ?? [];
  if (form !== undefined) {
    const host = parseAddress(address)?.kind() === 'ipv6' ? `[${address}]` : address;
    const scheme = name === '' ? '' : 'tls://';
    return { message: `a port after "${sign}"`, fix: `write ${scheme}${host}:${port}${name}` };
  }
  if (!text.includes('#')) return undefined;
  return { message: 'a name after "#" goes with tls://', fix: `write tls://${text}` };
}

function isTransport(scheme: string): scheme is TransportName {
  return SCHEMES.has(scheme);
}

function readEncrypted(text: string, transport: TransportName, defaultPort: number): Reading<UpstreamServer> {
  const hash = text.indexOf('#');
  const socket = readUpstreamSocket(hash === -1 ? text : text.slice(0, hash), defaultPort);
  if (!('value' in socket)) return socket;
  // RFC 8310 section 5: without a name to verify, any host on the path could be the server.
  if (hash === -1) {
    return {
      message: 'no server name to verify',
      fix: `add the name on its certificate: ${transport}://${text}#dns.example`,
    };
  }
  const name = readDomainName(text.slice(hash + 1));
  if (!('value' in name)) return { message: `server name: ${name.message}`, fix: name.fix };
  const serverName = name.value;
  const canonical = `${transport}://${socketText(socket.value)}#${serverName}`;
  return { value: { text: canonical, ...socket.value, transport, serverName } };
}

function readUpstreamSocket(text: string, defaultPort: number): Reading<SocketAddress> {
  const socket = readSocketAddress(text, defaultPort, 1);
  if (!('value' in socket)) {
    if (!socket.message.startsWith('a name')) return socket;
    return {
      message: `${socket.message}: finding it would take DNS itself`,
      fix: 'write the address of the server',
    };
  }
  const range = parseAddress(socket.value.address)?.range(); // none where it has an interface: it is link-local then
  if (range === 'unspecified' || range === 'multicast' || range === 'broadcast') {
    return { message: `${range} address: no server answers there` };
  }
  return socket;
}
