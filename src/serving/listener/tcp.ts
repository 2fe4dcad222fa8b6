/**
 * TCP: a listener for one address, and the slots that the connections of all addresses share (RFC 7766 section 6.2.3). A
 * client that holds its connections open, or its frames back, never keeps another client out. A new connection takes the
 * place of the connection that has been idle for longest.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../../log/log.ts';
import { isSix } from '../../protocol/words/address-text.ts';
import type { Clock, Timers } from '../../runtime/clock.ts';
import type { Libc, OpenSocket } from '../../runtime/datagrams.ts';
import { type ClientAddress, type ClientAddressBook, networkText, parseClientAddress } from './clients.ts';
import { COUNT, type Intake } from './intake.ts';
import { codeOrName, type ListenAddress } from './listen-address.ts';
import { LISTENER_MESSAGES } from './listener-messages.ts';
import { type ConnectionHost, SCRATCH_OCTETS, SharedTurn, TcpConnection } from './tcp-connection.ts';
import type { Served, UdpSocket } from './udp.ts';

export interface TcpListenerContext {
  readonly slots: TcpSlots;
  readonly timers: Timers;
  readonly log: Log;
  /** Opens the socket, where C can be called. */
  readonly libc?: Pick<Libc, 'listen' | 'watch' | 'close'> | undefined;
}

const BACKLOG = 511;
/** A socket that was lost is opened again after this time: at once would be a busy loop while the port is taken. */
const LISTEN_AGAIN_MS = 1_000;

export class TcpListener {
  readonly #context: TcpListenerContext;
  readonly #server: Server;
  readonly #own = new Set<TcpConnection>();
  readonly #fd: number | undefined;
  /** A socket that no client has connected to yet. */
  #untouched: { readonly watch: Disposable; readonly release: () => void } | undefined;
  /** The code of the last failure to listen, which is logged once. */
  #fault: string | undefined;
  address: ListenAddress;
  #closed: Promise<void> | undefined;

  constructor(
    address: ListenAddress,
    context: TcpListenerContext,
    { fd, served }: Omit<UdpSocket, 'isShared'> = {},
  ) {
    this.address = address;
    this.#context = context;
    this.#fd = fd;
    // half open: a client that has closed its sending side still waits for replies
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (served?.isLimited === true && !isTo(served, socket)) return void socket.destroy();
      const connection = context.slots.accept(socket);
      if (connection === undefined) return;
      this.#own.add(connection);
      socket.on('close', () => this.#own.delete(connection));
    });
  }

  /** Resolves when connections are accepted; rejects with the system's error when the address cannot be bound. */
  async start(): Promise<void> {
    if (this.#listenInC()) return;
    const listening = once(this.#server, 'listening'); // rejects with the server's error
    this.#listen(this.#fd);
    await listening;
    const bound = this.#server.address();
    if (bound !== null && typeof bound === 'object') this.address = { ...this.address, port: bound.port };
    this.#surviveErrors();
  }

  #listen(fd?: number): void {
    const { address, port } = this.address;
    const bound = { host: address, port, ipv6Only: isSix(address) };
    this.#server.listen({ ...(fd === undefined ? bound : { fd }), backlog: BACKLOG, exclusive: true });
  }

  /**
   * Node's server takes a twentieth of a start to listen. So the socket is opened in C, where connections wait in its backlog, and Node
   * takes it over with the first of them.
   */
  #listenInC(): boolean {
    const { libc } = this.#context;
    const { address } = this.address;
    if (libc === undefined || this.#fd !== undefined) return false;
    const opened = listenInC(libc, this.address, BACKLOG);
    if (opened === undefined) return false;
    const { fd, port: bound } = opened;
    const release = () => libc.close(fd);
    try {
      this.#untouched = { watch: libc.watch(fd, () => this.#takeOver(fd)), release };
    } catch (error) {
      release();
      throw error;
    }
    this.address = { address, port: bound };
    return true;
  }

  #takeOver(fd: number): void {
    this.#untouched?.watch[Symbol.dispose]();
    this.#untouched = undefined;
    this.#surviveErrors();
    this.#listen(fd);
  }

  #surviveErrors(): void {
    const { slots, log, timers } = this.#context;
    const { address } = this.address;
    this.#server.on('error', (err) => {
      if (this.#server.listening) {
        // out of descriptors, most likely; existing connections go on
        slots.intake.counters.add(COUNT.tcpAcceptErrors);
        LISTENER_MESSAGES.acceptFailed(log, { err, address });
        return;
      }
      // Node could not take the socket over: its descriptor is gone, and TCP would be dead for good
      if (this.#fault !== codeOrName(err)) LISTENER_MESSAGES.listenFailed(log, { err, address });
      this.#fault = codeOrName(err);
      timers.after(LISTEN_AGAIN_MS, () => this.#closed === undefined && this.#listen());
    });
  }

  /** Accepts no more; connections end when they are answered, or after `graceMs`. Called again with 0: at once. */
  close(graceMs: number): Promise<void> {
    this.#untouched?.watch[Symbol.dispose]();
    this.#untouched?.release();
    this.#untouched = undefined;
    this.#closed ??= new Promise((resolve) => {
      const deadline = this.#context.timers.after(graceMs, () => this.#destroyAll());
      this.#server.close(() => {
        deadline[Symbol.dispose]();
        resolve();
      });
      for (const connection of this.#own) connection.finish(COUNT.tcpClosedByServer);
    });
    if (graceMs === 0) this.#destroyAll();
    return this.#closed;
  }

  #destroyAll(): void {
    for (const connection of this.#own) connection.destroy(COUNT.tcpClosedByServer);
  }
}

/** Undefined for a link-local address: it needs its interface's number, which Node knows how to find. */
export function listenInC(
  libc: Pick<Libc, 'listen'>,
  { address, port }: ListenAddress,
  backlog: number,
): OpenSocket | undefined {
  const octets = parseClientAddress(address)?.octets;
  if (octets === undefined || address.includes('%')) return undefined;
  return libc.listen(isSix(address) ? 6 : 4, octets, port, backlog);
}

function isTo(served: Served, { localAddress = '' }: Socket): boolean {
  const octets = parseClientAddress(localAddress)?.octets;
  return octets !== undefined && served.has(octets);
}

export interface TcpLimits {
  /** Connections at one time: in total, and per client address. */
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** How long a connection may be idle while at least half of the slots are free. */
  readonly idleMs: number;
  /** How long a client may take from the first octet of a frame to its last. */
  readonly frameMs: number;
  /** Queries in flight per connection. */
  readonly pipelined: number;
}

export interface TcpSlotsContext {
  readonly intake: Intake;
  readonly clients: ClientAddressBook;
  readonly clock: Clock;
  readonly timers: Timers;
}

const SWEEP_MS = 500;
const IDLE_FLOOR = 0.05; // of idleMs, when every slot is taken

/** Idle time allowed with `used` of `slots` taken: full up to half of the slots, then down to a twentieth at the last slot. */
export function idleLimitMs(used: number, slots: number, idleMs: number): number {
  const freeOfHalf = (2 * (slots - used)) / slots;
  return idleMs * Math.min(1, Math.max(IDLE_FLOOR, freeOfHalf));
}

export class TcpSlots implements ConnectionHost {
  readonly intake: Intake;
  readonly clock: Clock;
  readonly sharedTurn = new SharedTurn();
  scratch = new Uint8Array(SCRATCH_OCTETS);
  readonly #clients: ClientAddressBook;
  readonly #timers: Timers;
  readonly #connections = new Set<TcpConnection>();
  readonly #perClient = new Map<string, Set<TcpConnection>>();
  #limits: TcpLimits;
  #isSweeping = false;
  #toFlush: TcpConnection[] = [];

  constructor(context: TcpSlotsContext, limits: TcpLimits) {
    this.intake = context.intake;
    this.clock = context.clock;
    this.#clients = context.clients;
    this.#timers = context.timers;
    this.#limits = limits;
  }

  /** Takes new limits; connections above them stay until they are idle. */
  reconfigure(limits: TcpLimits): void {
    this.#limits = limits;
  }

  get size(): number {
    return this.#connections.size;
  }

  get pipelined(): number {
    return this.#limits.pipelined;
  }

  /** Gives an accepted socket a slot, or destroys it. */
  accept(socket: Socket): TcpConnection | undefined {
    const { counters } = this.intake;
    const text = socket.remoteAddress ?? '';
    const client = this.#clients.of(text);
    // no address: the client reset the connection between the kernel's accept and ours
    if (client === undefined) return reject(COUNT.tcpClosedReset);
    const isAllowed = this.intake.isAllowed(client.octets, 0, client.family);
    // a client that is not allowed gets REFUSED, but never at the cost of clients that are
    if (!isAllowed && this.size * 2 >= this.#limits.connections) {
      this.noteLimit('clients.allow', client);
      return reject(COUNT.tcpProhibited);
    }
    const key = clientKey(client);
    const own = this.#perClient.get(key) ?? new Set();
    if (own.size >= this.#limits.connectionsPerClient) {
      this.noteLimit('limits.tcpConnectionsPerClient', client);
      if (!makeRoom(own)) return reject(COUNT.tcpOverClientLimit);
    }
    if (this.size >= this.#limits.connections) {
      this.noteLimit('limits.tcpConnections', client);
      if (!makeRoom(this.#connections) && !this.#takeFromLargest(own.size)) return reject(COUNT.tcpOverLimit);
    }
    counters.add(COUNT.tcpAccepted);
    const connection = new TcpConnection(this, socket, client, isAllowed);
    this.#connections.add(connection);
    own.add(connection);
    this.#perClient.set(key, own);
    this.#sweepLater();
    return connection;

    function reject(reason: number): undefined {
      counters.add(reason);
      socket.on('error', () => undefined); // the socket is destroyed either way
      socket.destroy();
    }
  }

  released(connection: TcpConnection): void {
    if (!this.#connections.delete(connection)) return;
    const key = clientKey(connection.client);
    const own = this.#perClient.get(key);
    own?.delete(connection);
    if (own?.size === 0) this.#perClient.delete(key);
  }

  noteLimit(limit: string, { octets, family }: ClientAddress): void {
    const nowMs = this.clock.monotonicMs();
    this.intake.limitLog.note(limit, nowMs, () => networkText(octets, 0, family));
  }

  /**
   * When every connection waits for an answer, a client with `held` connections gets the place of a connection of the client that
   * has most. Otherwise that client could keep others out: it asks on every connection for names that no upstream answers.
   */
  #takeFromLargest(held: number): boolean {
    let largest: Set<TcpConnection> | undefined;
    for (const own of this.#perClient.values()) if (own.size > (largest?.size ?? 0)) largest = own;
    if (largest === undefined || largest.size <= held + 1) return false;
    let oldest: TcpConnection | undefined;
    for (const connection of largest)
      if (oldest === undefined || connection.activeMs < oldest.activeMs) oldest = connection;
    oldest?.destroy(COUNT.tcpMadeRoom);
    return oldest !== undefined;
  }

  flushSoon(connection: TcpConnection): void {
    if (this.#toFlush.length === 0) setImmediate(() => this.#flush());
    if (this.#toFlush.at(-1) !== connection) this.#toFlush.push(connection);
  }

  renewScratch(): void {
    this.scratch = new Uint8Array(SCRATCH_OCTETS);
  }

  #flush(): void {
    const connections = new Set(this.#toFlush);
    this.#toFlush = [];
    for (const connection of connections) connection.flush();
  }

  /** One timer for all connections, and none while there are none. */
  #sweepLater(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#timers.after(SWEEP_MS, () => {
      this.#isSweeping = false;
      this.#sweep();
      if (this.size > 0) this.#sweepLater();
    });
  }

  #sweep(): void {
    const nowMs = this.clock.monotonicMs();
    const { connections, idleMs, frameMs } = this.#limits;
    const limitMs = idleLimitMs(this.size, connections, idleMs);
    for (const connection of this.#connections) connection.expire(nowMs, limitMs, frameMs);
  }
}

/** Ends the connection with the oldest incomplete frame, or else the connection that has been idle for longest. */
function makeRoom(connections: ReadonlySet<TcpConnection>): boolean {
  let incomplete: TcpConnection | undefined;
  let idle: TcpConnection | undefined;
  for (const connection of connections) {
    const sinceMs = connection.isDelayed ? -1 : connection.incompleteSinceMs;
    if (sinceMs >= 0 && sinceMs < (incomplete?.incompleteSinceMs ?? Number.POSITIVE_INFINITY))
      incomplete = connection;
    if (!connection.isWaiting && connection.activeMs < (idle?.activeMs ?? Number.POSITIVE_INFINITY))
      idle = connection;
  }
  const victim = incomplete ?? idle;
  victim?.destroy(COUNT.tcpMadeRoom);
  return victim !== undefined;
}

/** One client is an IPv4 address, or the /64 that a single IPv6 host has to itself. */
function clientKey({ octets, family }: ClientAddress): string {
  return Buffer.from(octets.subarray(0, family === 4 ? 4 : 8)).toString('hex');
}
