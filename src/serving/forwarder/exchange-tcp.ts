/** Plain TCP streams to an upstream: for what does not fit a datagram, and where datagrams are lost (RFC 7766). */
import { connect } from 'node:net';
import { type StreamExchangeOptions, StreamExchanges } from './exchange-stream.ts';
import type { Upstream } from './upstream.ts';

export function tcpExchanges(upstream: Upstream, options: StreamExchangeOptions): StreamExchanges {
  return new StreamExchanges(options, () => ({
    socket: connect({ host: upstream.address, port: upstream.port, noDelay: true }),
    readyEvent: 'connect',
  }));
}
