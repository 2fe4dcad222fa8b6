/**
 * UDP in batches: the loop wakes for the first datagram, which comes through `node:dgram`; what else waits is drained from
 * the same descriptor 64 at a time, answered in place and sent with one call. Under light load it is plain dgram.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { EDNS_UDP_OCTETS } from '../../protocol/wire/header.ts';
import { parseClientAddress } from './client-address.ts';
import { COUNT } from './counters.ts';
import {
  BATCH,
  type DatagramBatch,
  type Libc,
  NAME_OCTETS,
  SLOT_OCTETS,
  socketName,
} from './datagram-calls.ts';
import { Drain } from './drain.ts';
import { PENDING } from './handler.ts';
import type { ListenAddress } from './listen-address.ts';
import { SOCKET_BUFFER_OCTETS, type UdpListener, type UdpListenerContext } from './udp-listener.ts';

/**
 * Datagrams drained in one turn of the loop: some milliseconds, before timers and others have their turn. libuv itself
 * reads up to 32 a turn, each of which wakes us, so without a budget over all of them a flood would hold the loop.
 */
const TURN_BUDGET = 1024;

export class BatchedUdpListener implements UdpListener {
  readonly kind = 'batched';
  readonly #context: UdpListenerContext;
  readonly #libc: Libc;
  readonly #socket: Socket;
  readonly #family: 4 | 6;
  /** Where the client's address lies in its `sockaddr`. */
  readonly #addressAt: number;
  readonly #drain: Drain;
  #address: ListenAddress;
  #received: DatagramBatch | undefined;
  #replies: DatagramBatch | undefined;
  /** Replies laid into `#replies` that are not sent yet. */
  #laid = 0;
  #isFlushDue = false;
  #drainedInTurn = 0;
  #closed: Promise<void> | undefined;

  constructor(address: ListenAddress, context: UdpListenerContext, libc: Libc) {
    this.#address = address;
    this.#context = context;
    this.#libc = libc;
    this.#family = isIPv6(address.address) ? 6 : 4;
    this.#addressAt = this.#family === 4 ? 4 : 8;
    this.#drain = new Drain(context.timers);
    this.#socket = createSocket(this.#family === 4 ? 'udp4' : 'udp6');
  }

  get address(): ListenAddress {
    return this.#address;
  }

  async start(): Promise<void> {
    const { address, port } = this.#address;
    const octets = parseClientAddress(address)?.octets ?? new Uint8Array(0);
    try {
      const opened = this.#libc.open(this.#family, octets, port, SOCKET_BUFFER_OCTETS);
      this.#address = { address, port: opened.port };
      await this.#adopt(opened.fd);
      this.#received = this.#libc.batch(opened.fd, this.#family, SLOT_OCTETS);
      this.#replies = this.#libc.batch(opened.fd, this.#family, EDNS_UDP_OCTETS);
    } catch (error) {
      this.#closed = Promise.resolve();
      this.#socket.close();
      throw error;
    }
    this.#socket.on('error', (error) => this.#receiveFailed(error));
    this.#socket.on('message', (message, sender) => this.#wake(message, sender));
  }

  /** Gives the descriptor to dgram, which closes it at the end; one that dgram does not take is closed here. */
  async #adopt(fd: number): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.once('error', reject);
        this.#socket.bind({ fd }, () => {
          this.#socket.off('error', reject);
          resolve();
        });
      });
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  close(graceMs: number): Promise<void> {
    const drained = this.#drain.close(graceMs);
    this.#closed ??= drained.then(() => {
      this.#flush();
      return new Promise((resolve) => this.#socket.close(() => resolve()));
    });
    return this.#closed;
  }

  /** The first datagram of a turn, and all that wait behind it. */
  #wake(message: Buffer, sender: RemoteInfo): void {
    const received = this.#received;
    if (received === undefined) return;
    const client = this.#context.clients.of(sender.address);
    if (client === undefined) this.#context.intake.counters.add(COUNT.receiveErrors);
    else {
      const name = socketName(this.#family, client.octets, sender.port, scopeOf(sender.address));
      this.#answer(message, 0, message.length, client.octets, 0, sender.port, name, 0);
    }
    this.#flushSoon();
    while (this.#drainedInTurn < TURN_BUDGET) {
      const count = received.receive();
      if (count < 0) this.#receiveFailed(new Error(getSystemErrorName(count)));
      for (let slot = 0; slot < count; slot++) this.#answerSlot(received, slot);
      this.#flush();
      if (count < BATCH) return;
      this.#drainedInTurn += count;
    }
  }

  #answerSlot({ slots, names, lengthOf }: DatagramBatch, slot: number): void {
    const start = slot * SLOT_OCTETS;
    const nameAt = slot * NAME_OCTETS;
    const port = ((names[nameAt + 2] ?? 0) << 8) | (names[nameAt + 3] ?? 0);
    this.#answer(slots, start, start + lengthOf(slot), names, nameAt + this.#addressAt, port, names, nameAt);
  }

  #answer(
    message: Uint8Array,
    start: number,
    end: number,
    client: Uint8Array,
    clientAt: number,
    port: number,
    name: Uint8Array,
    nameAt: number,
  ): void {
    const { intake, clock } = this.#context;
    if (this.#drain.isClosing) {
      intake.counters.add(COUNT.droppedClosing);
      return;
    }
    const replies = this.#space();
    const length = intake.receive(
      message,
      start,
      end,
      client,
      clientAt,
      this.#family,
      port,
      clock.monotonicMs(),
      'udp',
      replies.slots,
      this.#laid * EDNS_UDP_OCTETS,
    );
    if (length === PENDING)
      void this.#answerLater(message, start, end, name.slice(nameAt, nameAt + NAME_OCTETS));
    else if (length > 0) this.#lay(replies, length, name, nameAt);
  }

  async #answerLater(message: Uint8Array, start: number, end: number, name: Uint8Array): Promise<void> {
    this.#drain.began();
    const reply = await this.#context.intake.later(
      message,
      start,
      end,
      this.#context.clock.monotonicMs(),
      'udp',
    );
    if (reply !== undefined && reply.length > EDNS_UDP_OCTETS)
      this.#context.intake.counters.add(COUNT.sendTooLarge);
    else if (reply !== undefined && !this.#drain.isOver) {
      const replies = this.#space();
      replies.slots.set(reply, this.#laid * EDNS_UDP_OCTETS);
      this.#lay(replies, reply.length, name, 0);
      this.#flushSoon();
    }
    this.#drain.ended();
  }

  /** The batch of replies, with a free slot. */
  #space(): DatagramBatch {
    if (this.#laid === BATCH) this.#flush();
    const replies = this.#replies;
    if (replies === undefined) throw new Error('a listener that receives has its batches');
    return replies;
  }

  /** The reply that stands in the next free slot is to go to the `sockaddr` at `nameAt`. */
  #lay(replies: DatagramBatch, length: number, name: Uint8Array, nameAt: number): void {
    const to = this.#laid * NAME_OCTETS;
    for (let i = 0; i < NAME_OCTETS; i++) replies.names[to + i] = name[nameAt + i] ?? 0;
    replies.setLength(this.#laid, length);
    this.#laid += 1;
  }

  /** What is laid in this turn of the loop leaves at its end at the latest. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      this.#drainedInTurn = 0;
      this.#flush();
    });
  }

  /** Sends what is laid. A datagram that the kernel does not take is counted and passed over; its client asks again. */
  #flush(): void {
    const replies = this.#replies;
    const count = this.#laid;
    if (replies === undefined || count === 0) return;
    this.#laid = 0;
    for (let sent = 0; sent < count; ) {
      const taken = replies.send(sent, count);
      if (taken < 0) this.#context.intake.counters.addSendError(getSystemErrorName(taken));
      sent += Math.max(1, taken);
    }
  }

  #receiveFailed(error: Error): void {
    this.#context.intake.counters.add(COUNT.receiveErrors);
    this.#context.log.debug({ err: error, address: this.#address.address }, 'receiving over udp failed');
  }
}

/** The number of the interface that a link-local sender is on (`fe80::1%eth0`): without it a reply may leave by another. */
function scopeOf(address: string): number {
  const zone = address.split('%')[1];
  if (zone === undefined) return 0;
  return networkInterfaces()[zone]?.find(({ family }) => family === 'IPv6')?.scopeid ?? 0;
}
