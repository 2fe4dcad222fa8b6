/**
 * UDP sockets to upstreams without `node:dgram`, whose objects cost more than the exchanges. Each takes few system calls. All
 * are watched together, so that one turn of the event loop takes every reply.
 */
import { getSystemErrorName } from 'node:util';
import ipaddr from 'ipaddr.js';
import { isSix } from '../../protocol/words/address-text.ts';
import { turnBound } from '../../runtime/clock.ts';
import {
  type DatagramBatch,
  type Libc,
  NAME_OCTETS,
  type ReadySet,
  socketName,
  type Watch,
} from '../../runtime/datagrams.ts';
import type { Upstream } from './exchange.ts';
import { type OpenUdpSocket, openUdpSocket, type UpstreamSocket, type UpstreamSocketEvents } from './udp.ts';

/** Replies taken from one socket at a time: as many as it has exchanges, and some forgeries. */
const BATCH = 16;
/** The longest turn of the loop that takes replies. */
const TURN_MS = 1;
/** The longest datagram there is: an upstream may send more than the 1,232 octets that queries offer. */
const SLOT_OCTETS = 0xffff;
/** Replies are copied into slabs, one after the other: an allocation for each reply would cost more. */
const SLAB_OCTETS = 32 * 1024;

interface Peer {
  readonly family: 4 | 6;
  readonly name: Uint8Array<ArrayBuffer>;
}

interface Watched {
  readonly set: ReadySet;
  readonly watch: Watch;
}

export class BatchedUdpSockets {
  readonly #libc: Libc;
  readonly #peers = new WeakMap<Upstream, Peer>();
  /** By token, which is never used again: an event may be about a descriptor whose number another socket has by now. */
  readonly #sockets = new Map<number, BatchedUdpSocket>();
  #tokens = 0;
  #watched: Watched | undefined;
  #batch4: DatagramBatch | undefined;
  #batch6: DatagramBatch | undefined;
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  readonly open: OpenUdpSocket = (upstream, port, events) => {
    // a link-local address needs its interface's number, which dgram knows how to find
    if (upstream.address.includes('%')) return openUdpSocket(upstream, port, events);
    const peer = this.#peer(upstream);
    const connected = this.#libc.connect(peer.family, port, peer.name);
    if (connected.kind === 'failed') {
      const { call, code } = connected;
      // in use, or reserved by the system for privileged processes: another port will do
      if (call === 'bind' && (code === 'EADDRINUSE' || code === 'EACCES')) return { kind: 'port-taken' };
      const what = call === 'connect' ? `cannot connect to "${upstream.text}": ` : '';
      return { kind: 'failed', detail: `${what}${call} ${code}` };
    }
    try {
      return { kind: 'open', socket: this.#watch(connected.fd, peer, events) };
    } catch (error) {
      this.#libc.close(connected.fd);
      return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
    }
  };

  /** Throws the system's error where the socket cannot be watched. */
  #watch(fd: number, peer: Peer, events: UpstreamSocketEvents): BatchedUdpSocket {
    this.#watched ??= this.#startWatching();
    const token = ++this.#tokens >>> 0;
    this.#watched.set.add(fd, token);
    const socket = new BatchedUdpSocket(this.#libc, fd, peer, events, () => this.#closed(token));
    this.#sockets.set(token, socket);
    if (this.#sockets.size === 1) this.#watched.watch.ref();
    return socket;
  }

  /** The set that all sockets belong to; it keeps the process alive while there are any. */
  #startWatching(): Watched {
    const set = this.#libc.readySet();
    return { set, watch: this.#libc.watch(set.fd, () => this.#receive(set)) };
  }

  #peer(upstream: Upstream): Peer {
    let peer = this.#peers.get(upstream);
    if (peer === undefined) {
      const family = isSix(upstream.address) ? 6 : 4;
      const octets = Uint8Array.from(ipaddr.parse(upstream.address).toByteArray());
      peer = { family, name: socketName(family, octets, upstream.port) };
      this.#peers.set(upstream, peer);
    }
    return peer;
  }

  #closed(token: number): void {
    this.#sockets.delete(token);
    if (this.#sockets.size === 0) this.#watched?.watch.unref();
  }

  /** What it leaves, the next turn finds: a hundred replies can come together, and each can be kept and sent on. */
  #receive(set: ReadySet): void {
    const count = set.ready();
    const isOver = turnBound(TURN_MS);
    for (let at = 0; at < count && !isOver(); at++) {
      const socket = this.#sockets.get(set.tokenAt(at));
      if (socket !== undefined) this.#receiveFrom(socket);
    }
  }

  #receiveFrom(socket: BatchedUdpSocket): void {
    const { fd, peer, events } = socket;
    const batch = this.#batchOf(peer.family);
    const count = batch.receive(fd);
    if (count < 0) events.onError(`recvmmsg ${getSystemErrorName(count)}`);
    for (let slot = 0; slot < count && socket.isOpen; slot++) {
      if (isFrom(peer, batch.names, slot * NAME_OCTETS)) events.onMessage(this.#copy(batch, slot));
      else events.onStranger();
    }
  }

  #batchOf(family: 4 | 6): DatagramBatch {
    const known = family === 4 ? this.#batch4 : this.#batch6;
    if (known !== undefined) return known;
    const batch = this.#libc.batch(family, SLOT_OCTETS, { size: BATCH });
    if (family === 4) this.#batch4 = batch;
    else this.#batch6 = batch;
    return batch;
  }

  #copy({ slots, lengthOf }: DatagramBatch, slot: number): Uint8Array {
    const length = lengthOf(slot);
    const from = slot * SLOT_OCTETS;
    if (this.#slabUsed + length > this.#slab.length) {
      this.#slab = new Uint8Array(Math.max(SLAB_OCTETS, length));
      this.#slabUsed = 0;
    }
    const at = this.#slabUsed;
    this.#slabUsed += length;
    // for some hundred octets a loop is faster than a view and the call that copies it
    for (let i = 0; i < length; i++) this.#slab[at + i] = slots[from + i] ?? 0;
    return this.#slab.subarray(at, at + length);
  }
}

class BatchedUdpSocket implements UpstreamSocket {
  readonly fd: number;
  readonly peer: Peer;
  readonly events: UpstreamSocketEvents;
  isOpen = true;
  readonly #libc: Libc;
  readonly #onClosed: () => void;

  constructor(libc: Libc, fd: number, peer: Peer, events: UpstreamSocketEvents, onClosed: () => void) {
    this.fd = fd;
    this.peer = peer;
    this.events = events;
    this.#libc = libc;
    this.#onClosed = onClosed;
  }

  send(octets: Uint8Array): void {
    const sent = this.#libc.send(this.fd, octets);
    if (sent >= 0) return;
    // not within this call: an exchange does not end before it has begun
    queueMicrotask(() => {
      if (this.isOpen) this.events.onError(`send ${getSystemErrorName(sent)}`);
    });
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#libc.close(this.fd);
    this.#onClosed();
  }
}

/** Whether the `sockaddr` at `at` has the peer's port and address. */
function isFrom({ family, name }: Peer, names: Uint8Array, at: number): boolean {
  for (let i = 2; i < 4; i++) if (names[at + i] !== name[i]) return false;
  const [from, to] = family === 4 ? [4, 8] : [8, 24];
  for (let i = from; i < to; i++) if (names[at + i] !== name[i]) return false;
  return true;
}
