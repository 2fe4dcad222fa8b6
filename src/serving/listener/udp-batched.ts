/**
 * UDP in batches. When datagrams wait, they are received 64 at a time with one call, answered in place, and the replies sent
 * with one call. Replies that come later are sent together, at the end of the turn of the loop that brought them.
 */
import { isIPv6 } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { EDNS_UDP_OCTETS } from '../../protocol/wire/header.ts';
import { BATCH, type DatagramBatch, type Libc, NAME_OCTETS, NAME_WORDS } from '../../runtime/datagrams.ts';
import { COUNT } from '../counters.ts';
import { PENDING } from '../turn.ts';
import { parseClientAddress } from './clients.ts';
import type { ListenAddress } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import { Drain, SOCKET_BUFFER_OCTETS, type UdpListener, type UdpListenerContext } from './udp-listener.ts';

/** Octets kept of one datagram: a query with room for options. A longer datagram arrives cut, and is malformed. */
const SLOT_OCTETS = 4096;

/** Datagrams taken in one turn of the loop: about a millisecond, then upstreams' replies and other work have their turn. */
const TURN_BUDGET = 256;

export class BatchedUdpListener implements UdpListener {
  readonly kind = 'batched';
  readonly #context: UdpListenerContext;
  readonly #libc: Libc;
  readonly #family: 4 | 6;
  /** Offset of the client's address in its `sockaddr`. */
  readonly #addressAt: number;
  readonly #drain: Drain;
  #address: ListenAddress;
  #open: Open | undefined;
  /** Replies in the slots that are not sent yet. */
  #laid = 0;
  #isFlushDue = false;
  /** When the batch at hand was received. */
  #nowMs = 0;
  #closed: Promise<void> | undefined;

  constructor(address: ListenAddress, context: UdpListenerContext, libc: Libc) {
    this.#address = address;
    this.#context = context;
    this.#libc = libc;
    this.#family = isIPv6(address.address) ? 6 : 4;
    this.#addressAt = this.#family === 4 ? 4 : 8;
    this.#drain = new Drain(context.timers);
  }

  get address(): ListenAddress {
    return this.#address;
  }

  async start(): Promise<void> {
    const { address, port } = this.#address;
    const octets = parseClientAddress(address)?.octets ?? new Uint8Array(0);
    try {
      // buffers first: once the socket is open, clients wait
      const received = this.#libc.batch(this.#family, SLOT_OCTETS);
      const replies = this.#libc.batch(this.#family, EDNS_UDP_OCTETS);
      const { fd, port: bound } = this.#libc.open(this.#family, octets, port, SOCKET_BUFFER_OCTETS);
      this.#address = { address, port: bound };
      this.#open = { fd, received, replies, watch: this.#watch(fd) };
    } catch (error) {
      this.#closed = Promise.resolve();
      throw error;
    }
  }

  #watch(fd: number): Disposable {
    try {
      return this.#libc.watch(fd, () => this.#receive());
    } catch (error) {
      this.#libc.close(fd);
      throw error;
    }
  }

  close(graceMs: number): Promise<void> {
    const drained = this.#drain.close(graceMs);
    this.#closed ??= drained.then(() => {
      const open = this.#open;
      if (open === undefined) return;
      this.#flush();
      open.watch[Symbol.dispose]();
      this.#libc.close(open.fd);
      this.#open = undefined;
    });
    return this.#closed;
  }

  /** Receives and answers the datagrams that wait, within the budget of one turn. */
  #receive(): void {
    const open = this.#open;
    if (open === undefined) return;
    let count = BATCH;
    for (let taken = 0; count === BATCH && taken < TURN_BUDGET; taken += count) {
      count = open.received.receive(open.fd);
      this.#nowMs = this.#context.clock.monotonicMs();
      if (count < 0) this.#receiveFailed(count);
      for (let slot = 0; slot < count; slot++) this.#answerSlot(open.received, slot);
      this.#flush();
    }
  }

  #answerSlot(received: DatagramBatch, slot: number): void {
    const { intake } = this.#context;
    if (this.#drain.isClosing) {
      intake.counters.add(COUNT.droppedClosing);
      return;
    }
    const replies = this.#space();
    if (replies === undefined) return;
    const { slots, names } = received;
    const nameAt = slot * NAME_OCTETS;
    const { turn } = intake;
    const port = ((names[nameAt + 2] ?? 0) << 8) | (names[nameAt + 3] ?? 0);
    turn.from('udp', names, nameAt + this.#addressAt, this.#family, port, this.#nowMs);
    turn.into(replies.slots, this.#laid * EDNS_UDP_OCTETS);
    const start = slot * SLOT_OCTETS;
    const length = intake.receive(slots, start, start + received.lengthOf(slot));
    if (length === PENDING) this.#answerLater(received.nameWords, slot * NAME_WORDS);
    else if (length > 0) this.#lay(replies, length, received.nameWords, slot * NAME_WORDS);
  }

  #answerLater(nameWords: Uint32Array, wordAt: number): void {
    const { intake } = this.#context;
    const client = nameWords.slice(wordAt, wordAt + NAME_WORDS);
    this.#drain.began();
    intake.later((message) => {
      if (message.length > EDNS_UDP_OCTETS) intake.counters.add(COUNT.sendTooLarge);
      else if (message.length > 0 && !this.#drain.isOver) this.#layLater(message, client);
      this.#drain.ended();
    });
  }

  #layLater(message: Uint8Array, client: Uint32Array): void {
    const replies = this.#space();
    if (replies === undefined) return;
    const from = this.#laid * EDNS_UDP_OCTETS;
    for (let at = 0; at < message.length; at++) replies.slots[from + at] = message[at] ?? 0;
    this.#lay(replies, message.length, client, 0);
    this.#flushSoon();
  }

  /** The batch of replies, with a free slot. */
  #space(): DatagramBatch | undefined {
    if (this.#laid === BATCH) this.#flush();
    return this.#open?.replies;
  }

  /** Sets the destination of the reply in the next free slot: the `sockaddr` whose words start at `wordAt`. */
  #lay(replies: DatagramBatch, length: number, words: Uint32Array, wordAt: number): void {
    const to = this.#laid * NAME_WORDS;
    for (let i = 0; i < NAME_WORDS; i++) replies.nameWords[to + i] = words[wordAt + i] ?? 0;
    replies.setLength(this.#laid, length);
    this.#laid += 1;
  }

  /** Sends the replies of this turn of the loop together, at its end. */
  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    process.nextTick(this.#flushDue);
  }

  readonly #flushDue = (): void => {
    this.#isFlushDue = false;
    this.#flush();
  };

  /** Sends the replies in the slots. A datagram that the kernel refuses is counted and skipped; its client asks again. */
  #flush(): void {
    const open = this.#open;
    const count = this.#laid;
    if (open === undefined || count === 0) return;
    this.#laid = 0;
    for (let sent = 0; sent < count; ) {
      const taken = open.replies.send(open.fd, sent, count);
      if (taken < 0) this.#context.intake.counters.addSendError(getSystemErrorName(taken));
      sent += Math.max(1, taken);
    }
  }

  #receiveFailed(reason: number): void {
    this.#context.intake.counters.add(COUNT.receiveErrors);
    const fields = { reason: getSystemErrorName(reason), address: this.#address.address };
    LISTENER_MESSAGES.receiveFailed(this.#context.log, fields);
  }
}

/** The open socket and its buffers. */
interface Open {
  readonly fd: number;
  readonly received: DatagramBatch;
  readonly replies: DatagramBatch;
  readonly watch: Disposable;
}
