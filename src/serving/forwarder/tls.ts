/**
 * DNS over TLS (RFC 7858) to an address. The certificate must be valid for the configured name (the strict profile of RFC
 * 8310). Sessions are resumed. This transport never falls back to a transport without protection.
 *
 * Node's TLS takes the event loop some 20 ms: to load it, and to make the context that has the certificates of the authorities. So it
 * is loaded only where an upstream speaks it, in turns before the first query (`needs`).
 */
import type { ConnectionOptions, checkServerIdentity, SecureContext } from 'node:tls';
import { isAddress, isSix } from '../../protocol/words/address-text.ts';
import { sleep, type Timers } from '../../runtime/clock.ts';
import type { NodeModules } from '../../runtime/memory.ts';
import type { TransportContext, TransportKind, Upstream } from './exchange.ts';
import { type ConnectInC, dialInC, StreamTransport } from './tcp.ts';

const nodeTls = () => process.getBuiltinModule('node:tls');
const MODULES: NodeModules = [
  // `node:crypto` takes twice as long as a turn may: this question loads the part of it that has the keys
  () => process.getBuiltinModule('node:util').types.isKeyObject(undefined),
  () => process.getBuiltinModule('node:crypto'),
  nodeTls,
];
/** With `node:tls` Node starts a thread that reads its certificates: some 10 ms. A context that is made earlier waits for it. */
const CERTIFICATES_MS = 50;

/** `ca`: certificates in PEM that are trusted in place of the system's. */
export function tls(timers: Timers, ca?: readonly string[], connectInC?: ConnectInC): TransportKind {
  let made: SecureContext | undefined;
  /** One for all connections. */
  const secureContext = (): SecureContext => {
    if (made !== undefined) return made;
    Object.assign(process.getBuiltinModule('node:net'), { isIP: familyOf });
    made = nodeTls().createSecureContext({
      minVersion: 'TLSv1.2', // RFC 9325 section 3.1.1
      ca: ca && [...ca],
    });
    return made;
  };
  return {
    open: (upstream, context) => openTls(upstream, context, secureContext, connectInC),
    roundTrips: 3,
    isEncrypted: true,
    needs: [...MODULES, () => sleep(timers, CERTIFICATES_MS), secureContext],
  };
}

function openTls(
  upstream: Upstream,
  context: TransportContext,
  secureContext: () => SecureContext,
  connectInC: ConnectInC,
): StreamTransport {
  let session: Buffer | undefined;
  const dial = (stream: ConnectionOptions) => {
    const tls = nodeTls();
    const socket = tls.connect({
      ...identityOf(upstream, tls.checkServerIdentity),
      ...stream,
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
    return { socket, readyEvent: 'secureConnect' } as const;
  };
  return new StreamTransport(context, () => {
    const below = dialInC(upstream, connectInC);
    if (below === undefined) return dial({ port: upstream.port });
    return { ...below, above: () => dial({ socket: below.socket }) };
  });
}

/**
 * As `isIP` of `node:net`, which `node:tls` asks about each name of a server: Node's own compiles a pattern of all IPv6
 * addresses, for 10 ms.
 */
function familyOf(text: string): 0 | 4 | 6 {
  const address = isSix(text) ? text.replace(/%[\da-z.:-]+$/i, '') : text;
  if (!isAddress(address)) return 0;
  return isSix(address) ? 6 : 4;
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
