/** Upstream servers as text: `10.0.0.2`, `[fd00::1]:5353`, `tls://9.9.9.9:853#dns.quad9.net`. */
import { type Reading, textKind } from '../key.ts';
import { parseAddress, readSocketAddress, type SocketAddress, ZONE_PATTERN } from './address.ts';
import { readDomainName } from './domain-name.ts';

export type Upstream =
  | ({ readonly transport: 'plain' } & SocketAddress)
  | ({ readonly transport: 'tls'; readonly serverName: string } & SocketAddress);

const DNS_PORT = 53;
const DNS_OVER_TLS_PORT = 853; // RFC 7858 section 3.1

export function upstream() {
  return textKind(readUpstream, {
    allowed:
      'an address with an optional port, such as 10.0.0.2 or [fd00::1]:5353, or tls://9.9.9.9:853#dns.quad9.net',
    pattern: `^(tls://[^#]+#.+|[0-9A-Fa-f.:\\[\\]]+${ZONE_PATTERN})$`,
  });
}

export function readUpstream(text: string): Reading<Upstream> {
  if (text.startsWith('tls://')) return readTls(text.slice('tls://'.length));
  const scheme = /^(\w+):\/\//.exec(text);
  if (scheme !== null) return { message: `"${scheme[1]}://" is not supported`, mend: plainOrTls };
  if (text.includes('#'))
    return { message: 'a name after "#" goes with tls://', mend: `write tls://${text}` };
  const socket = readUpstreamSocket(text, DNS_PORT);
  return 'value' in socket ? { value: { transport: 'plain', ...socket.value } } : socket;
}

const plainOrTls = 'write an address alone for DNS on UDP and TCP, or tls:// before it for DNS on TLS';

function readTls(text: string): Reading<Upstream> {
  const hash = text.indexOf('#');
  const socket = readUpstreamSocket(hash === -1 ? text : text.slice(0, hash), DNS_OVER_TLS_PORT);
  if (!('value' in socket)) return socket;
  // RFC 8310 section 5: without a name to verify, anyone on the path could be the server.
  if (hash === -1) {
    return {
      message: 'no server name to verify',
      mend: `add the name on its certificate: tls://${text}#dns.example`,
    };
  }
  const name = readDomainName(text.slice(hash + 1));
  if (!('value' in name)) return { message: `server name: ${name.message}`, ...mendOf(name) };
  return { value: { transport: 'tls', ...socket.value, serverName: name.value } };
}

function mendOf(reading: { readonly mend?: string }): { readonly mend?: string } {
  return reading.mend === undefined ? {} : { mend: reading.mend };
}

function readUpstreamSocket(text: string, defaultPort: number): Reading<SocketAddress> {
  const socket = readSocketAddress(text, defaultPort, 1);
  if (!('value' in socket)) {
    if (!socket.message.startsWith('a name')) return socket;
    return {
      message: `${socket.message}: finding it would take DNS itself`,
      mend: 'write the address of the server',
    };
  }
  const range = parseAddress(socket.value.address)?.range(); // none where it has an interface: it is link-local then
  if (range === 'unspecified' || range === 'multicast' || range === 'broadcast') {
    return { message: `${range} address: no server answers there` };
  }
  return socket;
}
