/**
 * A UDP socket bound to a chosen port and connected to one upstream: the room's whole contact with `node:dgram`.
 *
 * Connected, because the kernel then drops what comes from any other address or port (a scanner does not even learn
 * that the port is open), reports ICMP errors (ECONNREFUSED at once instead of a timeout), and finds the route once
 * instead of at every send. The price is one set of sockets per upstream, and that what the kernel drops is not counted.
 */
import { createSocket, type SocketOptions } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Upstream } from './upstream.ts';

export interface UdpSocket {
  send(octets: Uint8Array): void;
  close(): void;
}

export interface UdpSocketEvents {
  /** From the upstream's address and port. The receiver owns the octets, but not the buffer: a copy for what is kept. */
  onMessage(octets: Uint8Array): void;
  /** From somewhere else: it came between bind and connect. */
  onStranger(): void;
  /** Sending failed, or the network said that the upstream cannot be reached. The socket is still to be closed. */
  onError(detail: string): void;
}

export type OpenedUdpSocket =
  | { readonly kind: 'open'; readonly socket: UdpSocket }
  | { readonly kind: 'port-taken' }
  | { readonly kind: 'failed'; readonly detail: string };

export type OpenUdpSocket = (upstream: Upstream, port: number, events: UdpSocketEvents) => OpenedUdpSocket;

/** Binds and connects before it returns: no name is looked up, and node waits for nothing else. */
export const openUdpSocket: OpenUdpSocket = (upstream, port, events) => {
  const isV6 = isIPv6(upstream.address);
  const socket = createSocket(socketOptions(isV6));
  let failure: Error | undefined;
  socket.on('error', (error) => {
    failure = error;
  });
  socket.bind({ port, address: isV6 ? '::' : '0.0.0.0', exclusive: true });
  if (failure !== undefined) {
    socket.close();
    return portTaken(failure) ? { kind: 'port-taken' } : { kind: 'failed', detail: failure.message };
  }
  let peer: { readonly address: string; readonly port: number };
  try {
    socket.connect(upstream.port, upstream.address);
    peer = socket.remoteAddress(); // throws when connect failed, of which node tells the reason only later
  } catch (error) {
    socket.close();
    return { kind: 'failed', detail: `cannot connect to "${upstream.text}": ${String(error)}` };
  }
  socket.removeAllListeners('error');
  const onError = (error: Error | null): void => {
    if (error !== null) events.onError(error.message);
  };
  socket.on('error', onError);
  socket.on('message', (octets, from) => {
    if (from.port === peer.port && from.address === peer.address) events.onMessage(octets);
    else events.onStranger();
  });
  return {
    kind: 'open',
    socket: {
      send: (octets) => socket.send(octets, onError),
      close: () => socket.close(),
    },
  };
};

/** The address is one already; a lookup of node's own would only wait for the next turn. */
function socketOptions(isV6: boolean): SocketOptions {
  return {
    type: isV6 ? 'udp6' : 'udp4',
    ipv6Only: isV6,
    lookup: (address, _options, callback) => callback(null, address, isV6 ? 6 : 4),
  };
}

/** In use, or kept by the system for the privileged: another port will do. */
function portTaken(error: Error): boolean {
  return 'code' in error && (error.code === 'EADDRINUSE' || error.code === 'EACCES');
}
