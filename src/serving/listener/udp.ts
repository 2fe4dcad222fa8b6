/**
 * UDP: the contract of a listener, and the listener that runs wherever Node runs, one message at a time through
 * `node:dgram`. Each of its sockets is bound to one address, so that every reply leaves from the address that was asked. The
 * exception is a handed socket on a wildcard. It holds the datagrams of a restart, and the routing table chooses the address of
 * their replies.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Log } from '../../log/log.ts';
import { EDNS_UDP_OCTETS } from '../../protocol/wire/message.ts';
import { isSix } from '../../protocol/words/address-text.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import { PENDING } from '../turn.ts';
import type { ClientAddressBook } from './clients.ts';
import { COUNT, Drain, type Intake } from './intake.ts';
import { codeOrName, type ListenAddress } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import type { TakenQueries } from './taken-queries.ts';

export interface UdpListener {
  /** How messages are received, for log and metric: one at a time or in batches. */
  readonly kind: 'plain' | 'batched';
  /** The address that it listens on; with the real port after `start`. */
  readonly address: ListenAddress;
  /** Resolves when queries are received; rejects with the system's error when the address cannot be bound. */
  start(): Promise<void>;
  /** Takes no more queries; leaves when those that wait are answered, or after `graceMs`. Called again with 0: at once. */
  close(graceMs: number): Promise<void>;
}

export interface UdpListenerContext {
  readonly intake: Intake;
  readonly clients: ClientAddressBook;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Keeps what waits for an upstream, for the next process. */
  readonly taken?: TakenQueries;
}

export type CreateUdpListener = (
  address: ListenAddress,
  context: UdpListenerContext,
  socket?: UdpSocket,
) => UdpListener;

/** How the socket of a listener comes to be. */
export interface UdpSocket {
  /** The descriptor of a bound socket that the service manager handed over. */
  readonly fd?: number;
  /** The service manager holds a socket on the wildcard of this port: the more exact address gets the datagrams. */
  readonly isShared?: boolean;
  readonly served?: Served;
}

/** Which of the addresses of a wildcard's socket are served; a reload may change it. */
export class Served {
  #only: readonly WildcardAddress[] | undefined;
  /** Those addresses as 16 octets each, IPv4 in its mapped form, in words as packet information has them. */
  #words = new Uint32Array(0);

  /** Undefined: all. */
  get only(): readonly WildcardAddress[] | undefined {
    return this.#only;
  }

  set only(addresses: readonly WildcardAddress[] | undefined) {
    this.#only = addresses;
    this.#words = new Uint32Array(Uint8Array.from((addresses ?? []).flatMap(sixteenOctets)).buffer);
  }

  get isLimited(): boolean {
    return this.#only !== undefined;
  }

  /** Whether the 4 or 16 octets are an address that is served. */
  has(octets: Uint8Array): boolean {
    return this.#only === undefined || this.#only.some((one) => Buffer.compare(one.octets, octets) === 0);
  }

  /** The same for the address at `at` of packet information, one word or four. It is asked for each datagram: no objects. */
  hasWords(words: Uint32Array, at: number, family: 4 | 6): boolean {
    if (this.#only === undefined) return true;
    const own = this.#words;
    for (let i = 0; i < own.length; i += 4) {
      if (family === 4 ? isSameFour(own, i, words[at]) : isSameSix(own, i, words, at)) return true;
    }
    return false;
  }
}

function isSameFour(own: Uint32Array, i: number, word: number | undefined): boolean {
  return own[i + 3] === word && own[i + 2] === MAPPED_WORD && own[i + 1] === 0 && own[i] === 0;
}

function isSameSix(own: Uint32Array, i: number, words: Uint32Array, at: number): boolean {
  return (
    own[i + 3] === words[at + 3] &&
    own[i + 2] === words[at + 2] &&
    own[i + 1] === words[at + 1] &&
    own[i] === words[at]
  );
}

/** The octets in front of an IPv4 address in its mapped form (RFC 4291 section 2.5.5.2). */
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const MAPPED_WORD = new Uint32Array(Uint8Array.from(MAPPED_PREFIX).buffer)[2];

function sixteenOctets({ octets }: WildcardAddress): readonly number[] {
  return octets.length === 16 ? [...octets] : [...MAPPED_PREFIX, ...octets];
}

/** An address that the socket of a wildcard serves. */
export interface WildcardAddress extends ListenAddress {
  readonly octets: Uint8Array;
}

/** Receive and send buffer requested from the kernel: a burst of some 5,000 queries survives a busy turn of the loop. */
export const SOCKET_BUFFER_OCTETS = 4 * 1024 * 1024;

const SLAB_OCTETS = 64 * 1024;

export class PlainUdpListener implements UdpListener {
  readonly kind = 'plain';
  readonly #context: UdpListenerContext;
  readonly #socket: Socket;
  readonly #how: UdpSocket;
  address: ListenAddress;
  /** Replies are written one after the other and never over each other, because dgram may send a reply later. */
  #slab = Buffer.alloc(SLAB_OCTETS);
  #slabUsed = 0;
  readonly #drain: Drain;
  #closed: Promise<void> | undefined;

  constructor(address: ListenAddress, context: UdpListenerContext, how: UdpSocket = {}) {
    this.address = address;
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

  async start(): Promise<void> {
    const socket = this.#socket;
    const { address, port } = this.address;
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
    this.address = { address, port: socket.address().port };
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
    this.#context.intake.answerLater((reply) => {
      // a copy, because dgram may send it later
      if (reply.length > 0 && !this.#drain.isOver) this.#send(Buffer.copyBytesFrom(reply), sender);
      this.#drain.ended();
    });
  }

  #send(reply: Uint8Array, sender: RemoteInfo): void {
    try {
      this.#socket.send(reply, sender.port, sender.address, this.#sent);
    } catch (error) {
      this.#context.intake.notSent(codeOrName(error));
    }
  }

  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#context.intake.notSent(codeOrName(error));
  };

  #receiveFailed(error: Error): void {
    this.#context.intake.counters.add(COUNT.receiveErrors);
    LISTENER_MESSAGES.receiveFailed(this.#context.log, { err: error, address: this.address.address });
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
