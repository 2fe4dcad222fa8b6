/** Which transport speaks to an upstream: real sockets here, whatever a test likes there. */
import type { ExchangeTransport, TransportName } from './exchange.ts';
import type { StreamExchangeOptions } from './exchange-stream.ts';
import { tcpExchanges } from './exchange-tcp.ts';
import { type TlsTrust, tlsExchanges } from './exchange-tls.ts';
import { type UdpExchangeOptions, UdpExchanges } from './exchange-udp.ts';
import type { Upstream } from './upstream.ts';

/** `onMismatch` is called for every received message that is no reply to an exchange in flight. */
export type OpenTransport = (upstream: Upstream, onMismatch: () => void) => ExchangeTransport;

export type Transports = Readonly<Record<TransportName, OpenTransport>>;

export type SocketOptions = Omit<StreamExchangeOptions, 'onMismatch'> &
  TlsTrust &
  Pick<UdpExchangeOptions, 'usesPerSocket' | 'open'>;

export function socketTransports(options: SocketOptions): Transports {
  return {
    udp: (upstream, onMismatch) => new UdpExchanges({ ...options, upstream, onMismatch }),
    tcp: (upstream, onMismatch) => tcpExchanges(upstream, { ...options, onMismatch }),
    tls: (upstream, onMismatch) =>
      tlsExchanges(upstream, upstream.tls?.serverName ?? upstream.address, options, {
        ...options,
        onMismatch,
      }),
  };
}
