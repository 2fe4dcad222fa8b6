/** UDP and TCP on one address and one port: they come together or not at all (RFC 7766 section 5). */

import { formatListenAddress, type ListenAddress } from './listen-address.ts';
import { bindError, type ListenerError, systemCode } from './listener-error.ts';
import { TcpListener } from './tcp.ts';
import type { TcpSlots } from './tcp-slots.ts';
import type { CreateUdpListener, UdpListener, UdpListenerContext } from './udp-listener.ts';

export interface EndpointContext extends UdpListenerContext {
  readonly createUdp: CreateUdpListener;
  readonly slots: TcpSlots;
}

export interface Endpoint {
  /** With the real port. */
  readonly address: ListenAddress;
  readonly udpKind: UdpListener['kind'];
  close(graceMs: number): Promise<void>;
}

const FREE_PORT_ATTEMPTS = 20;

/** Binds both, or throws a ListenerError and leaves nothing open. With port 0 both get the same free one. */
export async function openEndpoint(wanted: ListenAddress, context: EndpointContext): Promise<Endpoint> {
  for (let attempt = 1; ; attempt++) {
    const tcp = new TcpListener(wanted, context);
    await tcp.start().catch((error: unknown) => fail(error, 'tcp'));
    // UDP last: from here on somebody waits for every further step
    const udp = context.createUdp(tcp.address, context);
    try {
      await udp.start();
    } catch (error) {
      await tcp.close(0);
      // a port that was free for TCP may be taken for UDP
      const mayTryAnother = wanted.port === 0 && systemCode(error) === 'EADDRINUSE';
      if (!mayTryAnother || attempt === FREE_PORT_ATTEMPTS) fail(error, 'udp');
      continue;
    }
    return {
      address: udp.address,
      udpKind: udp.kind,
      close: async (graceMs) => {
        await Promise.all([udp.close(graceMs), tcp.close(graceMs)]);
      },
    };
  }

  function fail(error: unknown, transport: string): never {
    throw bindError(error, formatListenAddress(wanted), transport) satisfies ListenerError;
  }
}
