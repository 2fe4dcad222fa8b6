/**
 * UDP through `node:dgram`, one message at a time: runs wherever Node runs. Each socket is bound to one address, so that
 * every reply leaves from the address that was asked. The exception is a handed socket on a wildcard. It holds the datagrams
 * of a restart, and the routing table chooses the address of their replies.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { EDNS_UDP_OCTETS } from '../../protocol/wire/header.ts';
import { isSix } from '../../protocol/words/address-text.ts';
import { COUNT } from '../counters.ts';
import { PENDING } from '../turn.ts';
import { type ListenAddress, systemCode } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import {
  Drain,
  SOCKET_BUFFER_OCTETS,
  type UdpListener,
  type UdpListenerContext,
  type UdpSocket,
} from './udp-listener.ts';

const SLAB_OCTETS = 64 * 1024;

export class PlainUdpListener implements UdpListener {
  readonly kind = 'plain';
  readonly #context: UdpListenerContext;
  readonly #socket: Socket;
  readonly #how: UdpSocket;
  #address: ListenAddress;
  /** Replies are written one after the other and never over each other, because dgram may send a reply later. */
  #slab = Buffer.alloc(SLAB_OCTETS);
  #slabUsed = 0;
  readonly #drain: Drain;
  #closed: Promise<void> | undefined;

  constructor(address: ListenAddress, context: UdpListenerContext, how: UdpSocket = {}) {
    this.#address = address;
    this.#context = context;
    this.#how = how;
    this.#drain = new Drain(context.timers);
    const family = isSix(address.address) ? 6 : 4;
    this.#socket = createSocket({
      type: `udp${family}`,
      ipv6Only: family === 6,
      reuseAddr: how.isShared === true,
      // addresses only: without this dgram asks the system's resolver for each address, a turn of the loop later
      lookup: (text, _options, done) => done(null, text, family),
    });
  }

  get address(): ListenAddress {
    return this.#address;
  }

  async start(): Promise<void> {
    const socket = this.#socket;
    const { address, port } = this.#address;
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        const { fd } = this.#how;
        socket.bind(fd === undefined ? { address, port, exclusive: true } : { fd }, () => {
          socket.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      this.#closed = Promise.resolve();
      socket.close();
      throw error;
    }
    this.#address = { address, port: socket.address().port };
    this.#enlargeBuffers();
    socket.on('error', (error) => this.#receiveFailed(error));
    socket.on('message', (message, sender) => this.#receive(message, sender));
  }

  close(graceMs: number): Promise<void> {
    const drained = this.#drain.close(graceMs);
    this.#closed ??= drained.then(() => new Promise((resolve) => this.#socket.close(() => resolve())));
    return this.#closed;
  }

  #receive(message: Buffer, sender: RemoteInfo): void {
    // a datagram does not say to which address of a wildcard it was sent
    if (this.#how.served?.isLimited === true) return;
    const { intake, clients, clock } = this.#context;
    const client = clients.of(sender.address);
    if (client === undefined) {
      intake.counters.add(COUNT.receiveErrors);
      return;
    }
    if (this.#slabUsed + EDNS_UDP_OCTETS > SLAB_OCTETS) {
      this.#slab = Buffer.alloc(SLAB_OCTETS);
      this.#slabUsed = 0;
    }
    const { turn } = intake;
    turn.from('udp', client.octets, 0, client.family, sender.port, clock.monotonicMs());
    turn.into(this.#slab, this.#slabUsed);
    const length = intake.receive(message, 0, message.length);
    if (length === PENDING) {
      // until the socket is closed it takes datagrams: answers that are known at once still go out
      if (this.#drain.isClosing) intake.counters.add(COUNT.droppedClosing);
      else this.#answerLater(sender);
    } else if (length > 0) {
      const from = this.#slabUsed;
      this.#slabUsed += length;
      this.#send(this.#slab.subarray(from, from + length), sender);
    }
  }

  #answerLater(sender: RemoteInfo): void {
    this.#drain.began();
    this.#context.intake.later((reply) => {
      // a copy, because dgram may send it later
      if (reply.length > 0 && !this.#drain.isOver) this.#send(Buffer.copyBytesFrom(reply), sender);
      this.#drain.ended();
    });
  }

  #send(reply: Uint8Array, sender: RemoteInfo): void {
    try {
      this.#socket.send(reply, sender.port, sender.address, this.#sent);
    } catch (error) {
      this.#context.intake.counters.addSendError(systemCode(error));
    }
  }

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#context.intake.counters.addSendError(systemCode(error));
  };

  #receiveFailed(error: Error): void {
    this.#context.intake.counters.add(COUNT.receiveErrors);
    LISTENER_MESSAGES.receiveFailed(this.#context.log, { err: error, address: this.#address.address });
  }

  /** Linux silently grants what `net.core.rmem_max` allows; other systems may refuse. */
  #enlargeBuffers(): void {
    try {
      this.#socket.setRecvBufferSize(SOCKET_BUFFER_OCTETS);
      this.#socket.setSendBufferSize(SOCKET_BUFFER_OCTETS);
    } catch (error) {
      LISTENER_MESSAGES.buffersFail(this.#context.log, { err: error });
    }
  }
}

export function createPlainUdpListener(
  address: ListenAddress,
  context: UdpListenerContext,
  socket?: UdpSocket,
): PlainUdpListener {
  return new PlainUdpListener(address, context, socket);
}
