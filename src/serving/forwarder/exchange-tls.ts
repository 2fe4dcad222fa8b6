/**
 * TLS streams to an upstream (RFC 7858): by address, with a certificate that must be valid for the pinned name
 * (the strict profile of RFC 8310), sessions resumed. There is no fallback to an unprotected transport.
 *
 * Node's TLS takes the loop 20 to 35 ms to load: only where an upstream speaks it, and when its exchanges are made, not at
 * its first query.
 */
import { isIP } from 'node:net';
import type { ConnectionOptions, checkServerIdentity } from 'node:tls';
import { type StreamExchangeOptions, StreamExchanges } from './exchange-stream.ts';
import type { Upstream } from './upstream.ts';

export interface TlsTrust {
  /** Certificates in PEM that are trusted in place of the system's. */
  readonly ca?: readonly string[];
}

export function tlsExchanges(
  upstream: Upstream,
  serverName: string,
  trust: TlsTrust,
  options: StreamExchangeOptions,
): StreamExchanges {
  const tls = process.getBuiltinModule('node:tls');
  const identity = identityWith(tls.checkServerIdentity, upstream, serverName);
  let session: Buffer | undefined;
  return new StreamExchanges(options, () => {
    const socket = tls.connect({
      ...identity,
      port: upstream.port,
      rejectUnauthorized: true, // whatever the environment says
      minVersion: 'TLSv1.2', // RFC 9325 section 3.1.1
      ALPNProtocols: ['dot'], // RFC 7858 section 6
      ...(trust.ca === undefined ? {} : { ca: [...trust.ca] }),
      ...(session === undefined ? {} : { session }),
    });
    socket.setNoDelay(true);
    socket.on('session', (ticket: Buffer) => {
      // a resumed session is not verified again: node tells of one only when its peer was (there is a test)
      session = ticket;
    });
    return { socket, readyEvent: 'secureConnect' };
  });
}

/** RFC 6066 section 3: an address is not sent as server name; it is compared with the certificate all the same. */
function identityWith(
  check: typeof checkServerIdentity,
  upstream: Upstream,
  serverName: string,
): ConnectionOptions {
  if (isIP(serverName) === 0) return { host: upstream.address, servername: serverName };
  return {
    host: upstream.address,
    servername: '',
    checkServerIdentity: (_host, certificate) => check(serverName, certificate),
  };
}
