/**
 * Runs exchanges over UDP. Each has a random ID, and a socket chosen at random from several with random ports (RFC 5452 section 9.2).
 * Sockets are opened before they are needed, because to open a socket costs more than the exchange. A socket carries a few
 * exchanges whose names have a random case (exchange.ts), or a single exchange that has only port and ID. The transport replaces
 * a socket after its last exchange, and closes it when the replies have come.
 *
 * Sockets are connected. The kernel then drops datagrams from any other address or port, so that a scanner does not even
 * learn that the port is open. It reports ICMP errors (ECONNREFUSED at once instead of a timeout), and finds the route once
 * instead of at every send. The price is one set of sockets per upstream, and that nobody counts the datagrams that the
 * kernel drops.
 *
 * Where C can be called, the sockets are opened without `node:dgram`, whose objects cost more than the exchanges: `BatchedUdpSockets`.
 * Each takes few system calls. All are watched together, so that one call finds those that have replies.
 */
import { createSocket } from 'node:dgram';
import { getSystemErrorName } from 'node:util';
import { isSix } from '../../protocol/words/address-text.ts';
import { turnBound } from '../../runtime/clock.ts';
import {
  type DatagramBatch,
  type Libc,
  NAME_OCTETS,
  type Peer,
  peerOf,
  type ReadySet,
  type Watch,
} from '../../runtime/datagrams.ts';
import { systemCode } from '../../runtime/system-errors.ts';
import {
  type Carrier,
  type Exchange,
  ExchangesInFlight,
  type GiveUp,
  matchReply,
  type Transport,
  type TransportContext,
  type TransportKind,
  type Upstream,
} from './exchange.ts';

export interface UdpOptions extends Omit<TransportContext, 'timers'> {
  /** Exchanges that one socket carries, one after the other or side by side. */
  readonly usesPerSocket?: number | undefined;
  /** How sockets are opened: through `node:dgram`, unless given. */
  readonly openUdp?: OpenUdpSocket | undefined;
}

interface UpstreamSocket {
  send(octets: Uint8Array): void;
  close(): void;
}

export interface UpstreamSocketEvents {
  /** From the upstream's address and port. The receiver owns the octets, but not the buffer: what is kept is copied. */
  onMessage(octets: Uint8Array): void;
  /** A datagram from another address: it came between bind and connect. */
  onStranger(): void;
  /** Sending failed, or the network said that the upstream cannot be reached. The socket is still to be closed. */
  onError(detail: string): void;
}

type OpenedUdpSocket =
  | { readonly kind: 'open'; readonly socket: UpstreamSocket }
  | { readonly kind: 'port-taken' }
  | { readonly kind: 'failed'; readonly detail: string };

/** Opens a socket that is bound to `port` and connected to the upstream. */
export type OpenUdpSocket = (
  upstream: Upstream,
  port: number,
  events: UpstreamSocketEvents,
) => OpenedUdpSocket;

const USES_PER_SOCKET = 8;
/** Sockets to draw from, once there is traffic to fill them. */
const SOCKETS_READY = 16;
/** The transport replaces an older socket: a scan may have found its port, or the host may have lost its address. */
const SOCKET_AGE_MS = 30_000;
/**
 * RFC 5452 section 9.3: after this many forged replies to one port, its exchanges move to TCP. A forger who knows the port has
 * then guessed the right ID, of 65,536, with a chance of one in a thousand.
 */
const FORGERIES_BEARABLE = 64;
const OPEN_TRIES = 16; // ports drawn before the search for a free one ends
const FIRST_PORT = 1024; // RFC 5452 section 9.2: 53, or 1024 and above
const PORTS = 0x1_0000 - FIRST_PORT;

export function udp(openUdp?: OpenUdpSocket): TransportKind {
  const open = (upstream: Upstream, context: TransportContext) =>
    new UdpTransport(upstream, { ...context, openUdp });
  return { open, roundTrips: 1, isDatagram: true };
}

export class UdpTransport implements Transport {
  readonly #upstream: Upstream;
  readonly #options: UdpOptions;
  readonly #usesPerSocket: number;
  /** With uses left. */
  readonly #ready: UdpPort[] = [];
  /** Used up, waiting for replies. */
  readonly #retired = new Set<UdpPort>();

  constructor(upstream: Upstream, options: UdpOptions) {
    this.#upstream = upstream;
    this.#options = options;
    this.#usesPerSocket = options.usesPerSocket ?? USES_PER_SOCKET;
  }

  get openSockets(): number {
    return this.#ready.length + this.#retired.size;
  }

  start(exchange: Exchange): void {
    const port = exchange.needsOwnPort ? this.#drawUnused() : this.#draw();
    if (typeof port === 'string') {
      queueMicrotask(() => exchange.fail('network', port)); // not within this call, as Transport says
      return;
    }
    port.start(exchange);
    if (port.usesLeft === 0 || exchange.needsOwnPort) this.#retire(port);
    // opens the next socket after the send, so that this query does not wait; the next exchange that needs a socket reports a failure
    if (this.#ready.length < SOCKETS_READY) {
      const opened = this.#open();
      if (typeof opened !== 'string') this.#ready.push(opened);
    }
  }

  giveUp(exchange: Exchange, how: GiveUp): void {
    if (how !== 'late') exchange.carrier?.giveUp(exchange, how);
  }

  close(): void {
    for (const port of [...this.#ready, ...this.#retired]) port.fail('network', 'the forwarder is closing');
    for (const port of this.#ready.splice(0)) port.close();
  }

  /** A socket with uses left, or why there is none. */
  #draw(): UdpPort | string {
    const oldestMs = this.#options.clock.monotonicMs() - SOCKET_AGE_MS;
    while (this.#ready.length > 0) {
      const port = this.#ready[Math.floor(this.#options.random.fraction() * this.#ready.length)];
      if (port === undefined || port.openedAtMs >= oldestMs) return port ?? 'no socket';
      this.#retire(port);
    }
    const opened = this.#open();
    if (typeof opened !== 'string') this.#ready.push(opened);
    return opened;
  }

  /** A socket that has carried nothing yet. */
  #drawUnused(): UdpPort | string {
    const oldestMs = this.#options.clock.monotonicMs() - SOCKET_AGE_MS;
    for (let at = this.#ready.length - 1; at >= 0; at--) {
      const port = this.#ready[at];
      if (port?.usesLeft === this.#usesPerSocket && port.openedAtMs >= oldestMs) return port;
    }
    return this.#open();
  }

  #open(): UdpPort | string {
    const { random, openUdp: open = openUdpSocket } = this.#options;
    for (let tries = 0; tries < OPEN_TRIES; tries++) {
      const port = new UdpPort(this.#options, this.#usesPerSocket, (done) => this.#retire(done));
      const opened = open(this.#upstream, FIRST_PORT + Math.floor(random.fraction() * PORTS), port);
      if (opened.kind === 'failed') return opened.detail;
      if (opened.kind === 'open') {
        port.socket = opened.socket;
        return port;
      }
    }
    return `cannot bind a port for "${this.#upstream.text}": ${OPEN_TRIES} random ports are taken`;
  }

  /** The socket takes no further exchange; called again when the last exchange in flight has ended. */
  #retire(port: UdpPort): void {
    const at = this.#ready.indexOf(port);
    if (at >= 0) this.#ready.splice(at, 1);
    port.usesLeft = 0;
    if (port.inFlight.size > 0) {
      this.#retired.add(port);
    } else {
      this.#retired.delete(port);
      port.close();
    }
  }
}

/** One socket and the exchanges in flight on it. */
class UdpPort implements Carrier, UpstreamSocketEvents {
  readonly inFlight = new ExchangesInFlight();
  readonly openedAtMs: number;
  socket: UpstreamSocket | undefined;
  usesLeft: number;
  readonly #options: UdpOptions;
  /** Called when it shall take no further exchange, and when it is used up and idle. */
  readonly #onDone: (port: UdpPort) => void;
  #forgeries = 0;

  constructor(options: UdpOptions, uses: number, onDone: (port: UdpPort) => void) {
    this.#options = options;
    this.#onDone = onDone;
    this.openedAtMs = options.clock.monotonicMs();
    this.usesLeft = uses;
  }

  start(exchange: Exchange): void {
    this.inFlight.add(exchange, this, this.#options.random);
    this.usesLeft--;
    this.socket?.send(exchange.message);
  }

  giveUp(exchange: Exchange, how: GiveUp): void {
    if (!this.inFlight.remove(exchange)) return;
    // nothing came back: the next exchange had better start from a fresh socket
    if (how === 'lost' || this.usesLeft === 0) this.#onDone(this);
  }

  onMessage(octets: Uint8Array): void {
    const exchange = this.inFlight.withIdOf(octets);
    const end = exchange && matchReply(exchange, octets, this.#options.clock.monotonicMs());
    if (exchange === undefined || end === undefined) {
      this.onStranger();
      return;
    }
    this.inFlight.remove(exchange);
    if (this.usesLeft === 0) this.#onDone(this);
    if (end.kind === 'case-lost') this.#options.onMismatch();
    exchange.end(end);
  }

  onStranger(): void {
    this.#options.onMismatch();
    if (++this.#forgeries < FORGERIES_BEARABLE) return;
    this.fail('spoofed', `${this.#forgeries} messages to one port that were no reply`);
  }

  /** ICMP errors do not say which datagram they are about; all went to the same upstream. */
  onError(detail: string): void {
    this.fail('network', detail);
  }

  fail(reason: 'network' | 'spoofed', detail: string): void {
    const failed = this.inFlight.removeAll();
    this.#onDone(this);
    for (const exchange of failed) exchange.fail(reason, detail);
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}

/** Through `node:dgram`. Binds and connects before it returns: no name is looked up, and node waits for nothing else. */
export const openUdpSocket: OpenUdpSocket = (upstream, port, events) => {
  const isV6 = isSix(upstream.address);
  const socket = createSocket({
    type: isV6 ? 'udp6' : 'udp4',
    ipv6Only: isV6,
    // the address is an address already; node's own look-up would wait for the next turn
    lookup: (address, _options, callback) => callback(null, address, isV6 ? 6 : 4),
  });
  let failure: Error | undefined;
  socket.on('error', (error) => {
    failure = error;
  });
  socket.bind({ port, address: isV6 ? '::' : '0.0.0.0', exclusive: true });
  if (failure !== undefined) {
    socket.close();
    return isPortTaken(failure) ? { kind: 'port-taken' } : { kind: 'failed', detail: failure.message };
  }
  let peer: { readonly address: string; readonly port: number };
  try {
    socket.connect(upstream.port, upstream.address);
    peer = socket.remoteAddress(); // throws when connect failed, of which node gives the reason only later
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
    socket: { send: (octets) => socket.send(octets, onError), close: () => socket.close() },
  };
};

/** Whether the port is in use, or reserved for privileged processes: the caller then tries another port. */
function isPortTaken(error: Error): boolean {
  const code = systemCode(error);
  return code === 'EADDRINUSE' || code === 'EACCES';
}

// Sockets through C.

/** Replies taken from one socket at a time: as many as it has exchanges, and some forgeries. */
const BATCH = 16;
/** The longest turn of the loop that takes replies. */
const TURN_MS = 1;
/** The longest datagram there is: an upstream may send more than the 1,232 octets that queries offer. */
const SLOT_OCTETS = 0xffff;
/** Replies are copied into slabs, one after the other: an allocation for each reply would cost more. */
const SLAB_OCTETS = 32 * 1024;

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
      peer = peerOf(upstream);
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
