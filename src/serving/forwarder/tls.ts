/**
 * DNS over TLS (RFC 7858) to an address. The certificate must be valid for the configured name (the strict profile of RFC
 * 8310). Sessions are resumed. This transport never falls back to a transport without protection.
 *
 * Node's TLS takes the event loop some 20 ms: to load it, and to make the context that has the certificates of the authorities. So it
 * is loaded only where an upstream speaks it, in turns before the first query (`needs`).
 */
import type { ConnectionOptions, checkServerIdentity, SecureContext } from 'node:tls';
import { isAddress } from '../../protocol/words/address-text.ts';
import { sleep, type Timers } from '../../runtime/clock.ts';
import { TLS_NEEDS } from '../../runtime/memory.ts';
import type { TransportContext, TransportKind, Upstream } from './exchange.ts';
import { StreamTransport } from './tcp.ts';

/** With `node:tls` Node starts a thread that reads its certificates: some 10 ms. A context that is made earlier waits for it. */
const CERTIFICATES_MS = 50;

/** `ca`: certificates in PEM that are trusted in place of the system's. */
export function tls(timers: Timers, ca?: readonly string[]): TransportKind {
  let made: SecureContext | undefined;
  /** One for all connections. */
  const secureContext = (): SecureContext => {
    made ??= process.getBuiltinModule('node:tls').createSecureContext({
      minVersion: 'TLSv1.2', // RFC 9325 section 3.1.1
      ca: ca && [...ca],
    });
    return made;
  };
  return {
    open: (upstream, context) => openTls(upstream, context, secureContext),
    roundTrips: 3,
    isEncrypted: true,
    needs: [...TLS_NEEDS, () => sleep(timers, CERTIFICATES_MS), secureContext],
  };
}

function openTls(
  upstream: Upstream,
  context: TransportContext,
  secureContext: () => SecureContext,
): StreamTransport {
  let session: Buffer | undefined;
  return new StreamTransport(context, () => {
    const tls = process.getBuiltinModule('node:tls');
    const socket = tls.connect({
      ...identityOf(upstream, tls.checkServerIdentity),
      port: upstream.port,
      secureContext: secureContext(),
      rejectUnauthorized: true, // NODE_TLS_REJECT_UNAUTHORIZED must not change this
      ALPNProtocols: ['dot'], // RFC 7858 section 6
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
