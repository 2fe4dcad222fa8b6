/**
 * DNS over TLS (RFC 7858) to an address. The certificate must be valid for the configured name (the strict profile of RFC
 * 8310). Sessions are resumed. This transport never falls back to a transport without protection.
 *
 * To load Node's TLS takes the event loop 20 to 35 ms. So it is loaded only where an upstream speaks it, and when the
 * transport is opened, not at its first query.
 */
import type { ConnectionOptions, checkServerIdentity } from 'node:tls';
import { isAddress } from '../../protocol/words/address-text.ts';
import type { TransportContext, TransportKind, Upstream } from './exchange.ts';
import { StreamTransport } from './tcp.ts';

/** `ca`: certificates in PEM that are trusted in place of the system's. */
export function tls(ca?: readonly string[]): TransportKind {
  const open = (upstream: Upstream, context: TransportContext) => openTls(upstream, context, ca);
  return { open, roundTrips: 3, isEncrypted: true };
}

function openTls(
  upstream: Upstream,
  context: TransportContext,
  ca: readonly string[] | undefined,
): StreamTransport {
  const tls = process.getBuiltinModule('node:tls');
  const identity = identityOf(upstream, tls.checkServerIdentity);
  let session: Buffer | undefined;
  return new StreamTransport(context, () => {
    const socket = tls.connect({
      ...identity,
      port: upstream.port,
      rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED must not change this
      minVersion: 'TLSv1.2', // RFC 9325 section 3.1.1
      ALPNProtocols: ['dot'], // RFC 7858 section 6
      ca: ca && [...ca],
      session,
    });
    socket.setNoDelay(true);
    socket.on('session', (ticket: Buffer) => {
      // a resumed session is not verified again: node gives a ticket only when its peer was verified (there is a test)
      session = ticket;
    });
    return { socket, readyEvent: 'secureConnect' };
  });
}

/** RFC 6066 section 3: an address is not sent as server name; it is compared with the certificate all the same. */
function identityOf(
  { address, serverName = address }: Upstream,
  check: typeof checkServerIdentity,
): ConnectionOptions {
  if (!isAddress(serverName)) return { host: address, servername: serverName };
  return {
    host: address,
    servername: '',
    checkServerIdentity: (_host, certificate) => check(serverName, certificate),
  };
}
