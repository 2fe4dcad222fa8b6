/** Which transport speaks to an upstream: real sockets here, whatever a test likes there. */
import type { ExchangeTransport, TransportHooks, TransportName } from './exchange.ts';
import type { StreamExchangeOptions } from './exchange-stream.ts';
import { tcpExchanges } from './exchange-tcp.ts';
import { type TlsTrust, tlsExchanges } from './exchange-tls.ts';
import { type UdpExchangeOptions, UdpExchanges } from './exchange-udp.ts';
import type { Upstream } from './upstream.ts';

export type OpenTransport = (upstream: Upstream, hooks: TransportHooks) => ExchangeTransport;

export type Transports = Readonly<Record<TransportName, OpenTransport>>;

export type SocketOptions = Omit<StreamExchangeOptions, keyof TransportHooks> &
  TlsTrust &
  Pick<UdpExchangeOptions, 'usesPerSocket' | 'open'>;

export function socketTransports(options: SocketOptions): Transports {
  return {
    udp: (upstream, hooks) => new UdpExchanges({ ...options, ...hooks, upstream }),
    tcp: (upstream, hooks) => tcpExchanges(upstream, { ...options, ...hooks }),
    tls: (upstream, hooks) => {
      const serverName = upstream.tls?.serverName ?? upstream.address;
      return tlsExchanges(upstream, serverName, options, { ...options, ...hooks });
    },
  };
}
