/**
 * UDP in batches. When datagrams wait, one call receives up to 64, as many as there is time for. They are answered in place, and
 * one call sends the replies. Replies that come later are sent together, at the end of the turn of the loop that brought them.
 *
 * Under light load each datagram stays in the socket until its reply is sent. So a process that is killed in between loses no
 * query where the service manager holds the socket: the next process finds the query there, and answers it. A query that waits
 * for an upstream cannot stay in the socket, before the queries that come after it: taken-queries.ts keeps it.
 *
 * A socket on a wildcard gets the address that each datagram was sent to, and the reply leaves from that address (RFC 2181
 * section 4.1). So a wildcard is one socket, whatever addresses the host has and gets.
 */
import { getSystemErrorName } from 'node:util';
import { EDNS_UDP_OCTETS } from '../../protocol/wire/message.ts';
import { isSix, isWildcard, socketText } from '../../protocol/words/address-text.ts';
import { shareOfTurn } from '../../runtime/clock.ts';
import { BATCH, type DatagramBatch, INFO_WORDS, type Libc, NAME_WORDS } from '../../runtime/datagrams.ts';
import { PENDING } from '../turn.ts';
import { parseClientAddress } from './clients.ts';
import { COUNT, Drain } from './intake.ts';
import type { ListenAddress } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import type { LeftQuery } from './taken-queries.ts';
import { SOCKET_BUFFER_OCTETS, type UdpListener, type UdpListenerContext, type UdpSocket } from './udp.ts';

/** Octets kept of one datagram: a query with room for options. A longer datagram arrives cut, and is malformed. */
const SLOT_OCTETS = 4096;

/** Datagrams taken in one turn of the loop: about a millisecond, then upstreams' replies and other work have their turn. */
const TURN_BUDGET = 256;
/**
 * The longest such turn: a query that goes to an upstream takes ten times as long as an answer from the cache. Replies, deadlines
 * and TCP have a millisecond each in the same turn, and all of them three together (clock.ts). With one for queries an endpoint
 * answer took a tenth more.
 */
const TURN_MS = 2;

/** Queries of the process before this one that are answered in one turn of the loop, at most: each goes to an upstream. */
const LEFT_PER_TURN = 16;
/** The longest turn of these: the code is cold, and queries that come now wait for it. */
const LEFT_TURN_MS = 1;

/** Clients that are kept to be used again, of each socket: as many queries wait at a time where thousands come in a second. */
const MOST_FREE = 512;

const NO_WORDS = new Uint32Array(0);

/** The buffers of all sockets of one kind: a host with thousands of addresses needs no more than a host with one. */
interface Buffers {
  readonly received: DatagramBatch;
  readonly replies: DatagramBatch;
  /** The listener whose replies are laid in the slots. */
  owner: BatchedUdpListener | undefined;
}

export class SharedBatches {
  readonly libc: Libc;
  readonly #buffers = new Map<string, Buffers>();

  constructor(libc: Libc) {
    this.libc = libc;
  }

  of(family: 4 | 6, packetInfo: boolean): Buffers {
    const key = `${family} ${packetInfo}`;
    const known = this.#buffers.get(key);
    if (known !== undefined) return known;
    const received = this.libc.batch(family, SLOT_OCTETS, { packetInfo });
    const replies = this.libc.batch(family, EDNS_UDP_OCTETS, { packetInfo });
    const buffers = { received, replies, owner: undefined };
    this.#buffers.set(key, buffers);
    return buffers;
  }
}

export class BatchedUdpListener implements UdpListener {
  readonly kind = 'batched';
  readonly #context: UdpListenerContext;
  readonly #batches: SharedBatches;
  readonly #libc: Libc;
  readonly #how: UdpSocket;
  readonly #family: 4 | 6;
  /** Whether datagrams bring the address that they were sent to. */
  readonly #hasInfo: boolean;
  /** Offset of the client's address in its `sockaddr`. */
  readonly #addressAt: number;
  readonly #drain: Drain;
  address: ListenAddress;
  #open: Open | undefined;
  /** Replies in the slots that are not sent yet. */
  #laid = 0;
  #isFlushDue = false;
  /** Clients whose reply is laid; used again. */
  readonly #free: Waiting[] = [];
  /** Of the query at hand; used again. */
  readonly #sender: Sender = { words: NO_WORDS, wordAt: 0, info: NO_WORDS, infoAt: -1 };
  /** When the batch at hand was received. */
  #nowMs = 0;
  /** Under light load a datagram stays in the socket until it is answered. */
  readonly #load = new LightLoad();
  readonly #pace = new Pace();
  /** The listening address in the words of `TakenQueries`. */
  #addressText = new Uint8Array(0);
  /** Slots of `TakenQueries` whose replies are laid in the slots of the batch. */
  #kept: number[] = [];
  #closed: Promise<void> | undefined;

  constructor(
    address: ListenAddress,
    context: UdpListenerContext,
    batches: SharedBatches,
    how: UdpSocket = {},
  ) {
    this.address = address;
    this.#context = context;
    this.#batches = batches;
    this.#libc = batches.libc;
    this.#how = how;
    this.#family = isSix(address.address) ? 6 : 4;
    this.#hasInfo = isWildcard(address.address);
    this.#addressAt = this.#family === 4 ? 4 : 8;
    this.#drain = new Drain(context.timers);
  }

  async start(): Promise<void> {
    const { address } = this.address;
    try {
      // buffers first: once the socket is open, clients wait
      const buffers = this.#batches.of(this.#family, this.#hasInfo);
      const { fd, port } = this.#openSocket();
      this.address = { address, port };
      this.#open = { fd, buffers, watch: this.#watch(fd) };
      const text = socketText(this.address);
      this.#addressText = new Uint8Array(Buffer.from(text));
      this.#answerLeft(this.#context.taken?.takeLeft(text) ?? []);
    } catch (error) {
      this.#closed = Promise.resolve();
      throw error;
    }
  }

  #openSocket(): { readonly fd: number; readonly port: number } {
    const { address, port } = this.address;
    const options = { bufferOctets: SOCKET_BUFFER_OCTETS, packetInfo: this.#hasInfo };
    const { fd } = this.#how;
    if (fd === undefined) {
      const octets = parseClientAddress(address)?.octets ?? new Uint8Array(0);
      return this.#libc.open(this.#family, octets, port, options);
    }
    try {
      this.#libc.adopt(fd, options);
      return { fd, port };
    } catch (error) {
      this.#libc.close(fd);
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

  /** From now on datagrams stay in the socket: where the service manager holds it, the next process answers them. */
  close(graceMs: number): Promise<void> {
    if (this.#closed === undefined) this.#open?.watch[Symbol.dispose]();
    const drained = this.#drain.close(graceMs);
    this.#closed ??= drained.then(() => {
      const open = this.#open;
      if (open === undefined) return;
      this.#flush();
      this.#libc.close(open.fd);
      this.#open = undefined;
    });
    return this.#closed;
  }

  /** Receives and answers the datagrams that wait, within the budget of one turn. */
  #receive(): void {
    const open = this.#open;
    if (open === undefined || this.#drain.isClosing) return;
    const { clock } = this.#context;
    let nowMs = clock.monotonicMs();
    const untilMs = nowMs + shareOfTurn(TURN_MS);
    let taken = 0;
    for (let count = 1; this.#load.isLight && count === 1 && taken < LIGHT_DATAGRAMS; taken += count) {
      if (taken > 0 && this.#nowMs >= untilMs) return;
      count = this.#answerThenTake(open);
    }
    if (this.#load.isLight) return;
    // the load has just become heavy: part of the turn is over
    if (taken > 0) nowMs = this.#nowMs;
    const { received } = open.buffers;
    for (let most = 0, count = 0; count === most && taken < TURN_BUDGET; taken += count) {
      const beforeMs = nowMs;
      most = Math.min(this.#pace.within(untilMs - nowMs), TURN_BUDGET - taken);
      count = received.receive(open.fd, most);
      this.#received(count);
      for (let slot = 0; slot < count; slot++) this.#answerSlot(received, slot);
      this.#flush();
      nowMs = clock.monotonicMs();
      this.#pace.note(count, nowMs - beforeMs);
      if (!this.#pace.hasTime(untilMs - nowMs)) return;
    }
  }

  /** Answers the first datagram that waits, and takes it after that. Returns 1, 0 when none waits, or minus errno. */
  #answerThenTake({ fd, buffers: { received } }: Open): number {
    const count = received.peek(fd);
    this.#received(count);
    if (count <= 0) return count;
    try {
      this.#answerSlot(received, 0);
      this.#flush();
    } finally {
      received.drop(fd);
    }
    return count;
  }

  /** Notes the time of a call that received, its failure, and whether the load is light. */
  #received(count: number): void {
    this.#nowMs = this.#context.clock.monotonicMs();
    if (count < 0) this.#receiveFailed(count);
    else this.#load.note(count, this.#nowMs);
  }

  /** Answers what a process before this one was asked and did not answer, from the query at `from` on. */
  #answerLeft(left: readonly LeftQuery[], from = 0): void {
    if (from >= left.length) return;
    setImmediate(() => {
      const { clock } = this.#context;
      this.#nowMs = clock.monotonicMs();
      const untilMs = this.#nowMs + LEFT_TURN_MS;
      let at = from;
      do this.#answerOneLeft(left[at++]);
      while (at < left.length && at < from + LEFT_PER_TURN && clock.monotonicMs() < untilMs);
      this.#flush();
      this.#answerLeft(left, at);
    });
  }

  #answerOneLeft(one: LeftQuery | undefined): void {
    if (one === undefined) return;
    const { octets, name, info } = one;
    const words = new Uint32Array(name.buffer);
    const sender = { words, wordAt: 0, info: info ?? words, infoAt: info === undefined ? -1 : 0 };
    this.#answer(octets, 0, octets.length, name, sender);
  }

  #answerSlot(received: DatagramBatch, slot: number): void {
    const sender = this.#sender;
    sender.words = received.nameWords;
    sender.wordAt = slot * NAME_WORDS;
    sender.info = received.infoWords;
    sender.infoAt = this.#hasInfo ? received.infoAt(slot) : -1;
    const start = slot * SLOT_OCTETS;
    this.#answer(received.slots, start, start + received.lengthOf(slot), received.names, sender);
  }

  /** Answers the query in `octets`. `names`: the words of the sender as octets. */
  #answer(octets: Uint8Array, start: number, end: number, names: Uint8Array, sender: Sender): void {
    const { intake } = this.#context;
    if (sender.infoAt >= 0 && !this.#isServed(sender.info, sender.infoAt)) return;
    const replies = this.#space();
    if (replies === undefined) return;
    const at = sender.wordAt * 4;
    const { turn } = intake;
    const port = ((names[at + 2] ?? 0) << 8) | (names[at + 3] ?? 0);
    turn.from('udp', names, at + this.#addressAt, this.#family, port, this.#nowMs);
    turn.into(replies.slots, this.#laid * EDNS_UDP_OCTETS);
    const length = intake.receive(octets, start, end);
    if (length > 0) this.#lay(replies, length, sender);
    else if (length === PENDING) this.#answerLater(octets, start, end, sender);
  }

  /** Whether a datagram was sent to an address that is served: not to a broadcast or multicast address, which no reply may leave from. */
  #isServed(words: Uint32Array, at: number): boolean {
    const isFour = this.#family === 4;
    // IPv4: the local address differs from the destination; without a local address the kernel did not say
    if (isFour && words[at + 1] !== 0 && words[at + 1] !== words[at + 2]) return false;
    if (!isFour && ((words[at] ?? 0) & 0xff) === 0xff) return false;
    return this.#how.served?.hasWords(words, isFour ? at + 2 : at, this.#family) ?? true;
  }

  #answerLater(octets: Uint8Array, start: number, end: number, sender: Sender): void {
    const waiting = this.#free.pop() ?? new Waiting((one, message) => this.#answered(one, message));
    const { words, info } = waiting.sender;
    copyWords(sender.words, sender.wordAt, words);
    const hasInfo = sender.infoAt >= 0;
    waiting.sender.infoAt = hasInfo ? 0 : -1;
    if (hasInfo) copyWords(sender.info, sender.infoAt, info);
    const { intake, taken } = this.#context;
    const kept = hasInfo ? info : undefined;
    // a query that a process before this one has left is kept no more: it has no `octets` in the socket's slots
    waiting.kept =
      taken === undefined || octets !== this.#open?.buffers.received.slots
        ? -1
        : taken.keep(this.#addressText, octets, start, end, words, kept, this.#nowMs);
    this.#drain.began();
    intake.answerLater(waiting.send);
  }

  /** The reply of a query that has waited: one message, which the intake gives once. */
  #answered(waiting: Waiting, message: Uint8Array): void {
    const { intake, taken } = this.#context;
    if (this.#drain.isOver) {
      if (waiting.kept >= 0) taken?.leave(waiting.kept);
    } else {
      if (message.length > EDNS_UDP_OCTETS) intake.counters.add(COUNT.sendTooLarge);
      else if (message.length > 0) this.#layLater(message, waiting);
      // not before the reply is sent
      if (waiting.kept >= 0 && this.#laid > 0) this.#kept.push(waiting.kept);
      else if (waiting.kept >= 0) taken?.forget(waiting.kept);
    }
    if (this.#free.length < MOST_FREE) this.#free.push(waiting);
    this.#drain.ended();
  }

  #layLater(message: Uint8Array, { sender }: Waiting): void {
    const replies = this.#space();
    if (replies === undefined) return;
    const from = this.#laid * EDNS_UDP_OCTETS;
    for (let at = 0; at < message.length; at++) replies.slots[from + at] = message[at] ?? 0;
    this.#lay(replies, message.length, sender);
    this.#flushSoon();
  }

  /** The batch of replies, with a free slot. */
  #space(): DatagramBatch | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    const { buffers } = open;
    if (buffers.owner !== this) {
      if (buffers.owner !== undefined) buffers.owner.#flush();
      buffers.owner = this;
    }
    if (this.#laid === BATCH) this.#flush();
    return buffers.replies;
  }

  /** Addresses the reply in the next free slot: to the sender, from the address in the packet information. */
  #lay(replies: DatagramBatch, length: number, { words, wordAt, info, infoAt }: Sender): void {
    const to = this.#laid * NAME_WORDS;
    for (let i = 0; i < NAME_WORDS; i++) replies.nameWords[to + i] = words[wordAt + i] ?? 0;
    if (this.#hasInfo) replies.setInfo(this.#laid, info, infoAt);
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
      const taken = open.buffers.replies.send(open.fd, sent, count);
      if (taken < 0) this.#context.intake.notSent(getSystemErrorName(taken));
      sent += Math.max(1, taken);
    }
    if (this.#kept.length > 0) this.#forgetKept();
  }

  #forgetKept(): void {
    for (const slot of this.#kept) this.#context.taken?.forget(slot);
    this.#kept = [];
  }

  #receiveFailed(reason: number): void {
    this.#context.intake.counters.add(COUNT.receiveErrors);
    const fields = { reason: getSystemErrorName(reason), address: this.address.address };
    LISTENER_MESSAGES.receiveFailed(this.#context.log, fields);
  }
}

/** Where a reply goes to, and which address it leaves from. */
interface Sender {
  /** The client's `sockaddr` is at `wordAt`. */
  words: Uint32Array;
  wordAt: number;
  info: Uint32Array;
  /** Where the packet information is; -1: there is none. */
  infoAt: number;
}

/** A query that waits: words of its own. */
class Waiting {
  readonly sender: Sender = {
    words: new Uint32Array(NAME_WORDS),
    wordAt: 0,
    info: new Uint32Array(INFO_WORDS),
    infoAt: -1,
  };
  /** Its slot in `TakenQueries`, or -1. */
  kept = -1;
  readonly send: (message: Uint8Array) => void;

  constructor(answered: (waiting: Waiting, message: Uint8Array) => void) {
    this.send = (message) => answered(this, message);
  }
}

function copyWords(from: Uint32Array, at: number, to: Uint32Array): void {
  for (let i = 0; i < to.length; i++) to[i] = from[at + i] ?? 0;
}

/** The open socket and its buffers. */
interface Open {
  readonly fd: number;
  readonly buffers: Buffers;
  readonly watch: Disposable;
}

/**
 * Up to this many datagrams in this time the load is light: 10,000 queries per second. To leave a query in its socket until it is
 * answered costs two calls more, some 1 us: above light load that were more than 3 % of the processor time of a query.
 */
const LIGHT_DATAGRAMS = 100;
const LIGHT_WINDOW_MS = 10;

/** Whether few queries come. */
class LightLoad {
  /**
   * False at the start: the first batch is taken at once. A query that ends the process, which no query should, then cannot end
   * the next process too.
   */
  isLight = false;
  #windowMs = Number.NEGATIVE_INFINITY;
  #inWindow = 0;

  note(datagrams: number, nowMs: number): void {
    if (nowMs - this.#windowMs >= LIGHT_WINDOW_MS) {
      this.isLight = this.#inWindow < LIGHT_DATAGRAMS;
      this.#windowMs = nowMs;
      this.#inWindow = 0;
    }
    this.#inWindow += datagrams;
    if (this.#inWindow >= LIGHT_DATAGRAMS) this.isLight = false;
  }
}

/** A call takes this many at least: with fewer it would cost more than their answers. */
const FEWEST = 4;
/** What a datagram takes at the start: its code is new. */
const COLD_MS = TURN_MS / FEWEST;
/** No datagram takes less; and a clock may stand still. */
const FASTEST_MS = TURN_MS / TURN_BUDGET;

/** How many datagrams a call takes: as many as there is time for, if each takes as long as each of the call before. */
class Pace {
  #eachMs = COLD_MS;

  within(restMs: number): number {
    return Math.min(BATCH, Math.max(FEWEST, Math.floor(restMs / this.#eachMs)));
  }

  /** Whether the rest of a turn is worth a call. */
  hasTime(restMs: number): boolean {
    return restMs >= FEWEST * this.#eachMs;
  }

  note(count: number, tookMs: number): void {
    if (count > 0) this.#eachMs = Math.max(FASTEST_MS, tookMs / count);
  }
}
