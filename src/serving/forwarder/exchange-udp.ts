/**
 * Exchanges over UDP: each with a random ID, from a socket drawn at random among several that are bound to random ports
 * (RFC 5452 section 9.2), ahead of their use, because to open one costs more than the exchange. A socket carries a few
 * exchanges whose names have a random case (name-case.ts), or one that has nothing but port and ID; it is replaced after
 * the last of them, and closed when their replies have come.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import {
  type Carrier,
  type Exchange,
  type ExchangeTransport,
  endBy,
  InFlight,
  judgeReply,
  type TransportHooks,
} from './exchange.ts';
import { type OpenUdpSocket, openUdpSocket, type UdpSocket } from './udp-socket.ts';
import type { Upstream } from './upstream.ts';

export interface UdpExchangeOptions extends TransportHooks {
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly random: Random;
  /** Exchanges that one socket carries, one after the other or side by side. */
  readonly usesPerSocket?: number;
  readonly open?: OpenUdpSocket;
}

const USES_PER_SOCKET = 8;
/** Sockets to draw from, once there is traffic to fill them. */
const SOCKETS_READY = 16;
/** A port that waited so long for its turn may have been found by a scan, or belong to an address the host has lost. */
const SOCKET_AGE_MS = 30_000;
/**
 * RFC 5452 section 9.3: so many forged replies to one port, and its exchanges are given up for TCP. A forger who
 * knows the port has then guessed one of 65,536 IDs with a chance of one in a thousand.
 */
const FORGERIES_BEARABLE = 64;
const OPEN_TRIES = 16; // ports drawn before none is taken to be free
const FIRST_PORT = 1024; // RFC 5452 section 9.2: 53, or 1024 and above
const PORTS = 0x1_0000 - FIRST_PORT;

export class UdpExchanges implements ExchangeTransport {
  readonly #options: UdpExchangeOptions;
  readonly #usesPerSocket: number;
  /** With uses left. */
  readonly #ready: UdpPort[] = [];
  /** Used up, waiting for replies. */
  readonly #retired = new Set<UdpPort>();

  constructor(options: UdpExchangeOptions) {
    this.#options = options;
    this.#usesPerSocket = options.usesPerSocket ?? USES_PER_SOCKET;
  }

  /** Sockets open now. */
  get openSockets(): number {
    return this.#ready.length + this.#retired.size;
  }

  start(exchange: Exchange): void {
    const port = exchange.hasOwnPort ? this.#drawUnused() : this.#draw();
    if (typeof port === 'string') {
      // not within the call: who starts an exchange is not told of its end before it has begun
      queueMicrotask(() => exchange.onEnd({ kind: 'failed', reason: 'network', detail: port }));
      return;
    }
    port.start(exchange);
    if (port.usesLeft === 0 || exchange.hasOwnPort) this.#retire(port);
    if (this.#ready.length < SOCKETS_READY) this.#openAhead(); // behind the send, so off this query's path
  }

  doubt(): void {}

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

  /** A failure shows when the next exchange needs a socket. */
  #openAhead(): void {
    const opened = this.#open();
    if (typeof opened !== 'string') this.#ready.push(opened);
  }

  #open(): UdpPort | string {
    const { upstream, random, open = openUdpSocket } = this.#options;
    for (let tries = 0; tries < OPEN_TRIES; tries++) {
      const port = new UdpPort(this.#options, this.#usesPerSocket, () => this.#retire(port));
      const opened = open(upstream, FIRST_PORT + Math.floor(random.fraction() * PORTS), port);
      if (opened.kind === 'failed') return opened.detail;
      if (opened.kind === 'open') {
        port.socket = opened.socket;
        return port;
      }
    }
    return `cannot bind a port for "${upstream.text}": ${OPEN_TRIES} random ones are taken`;
  }

  /** Takes no further exchange; called again when the last one in flight has ended. */
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
class UdpPort implements Carrier {
  readonly inFlight = new InFlight();
  readonly openedAtMs: number;
  socket: UdpSocket | undefined;
  usesLeft: number;
  readonly #options: UdpExchangeOptions;
  /** It is to take no further exchange, or it is used up and idle. */
  readonly #onDone: () => void;
  #forgeries = 0;

  constructor(options: UdpExchangeOptions, uses: number, onDone: () => void) {
    this.#options = options;
    this.#onDone = onDone;
    this.openedAtMs = options.clock.monotonicMs();
    this.usesLeft = uses;
  }

  start(exchange: Exchange): void {
    const { random, clock } = this.#options;
    this.inFlight.add(exchange, this, random);
    this.usesLeft--;
    exchange.startedAtMs = clock.monotonicMs();
    this.socket?.send(exchange.message);
  }

  drop(exchange: Exchange, isInTime = false): void {
    if (!this.inFlight.remove(exchange)) return;
    // nothing came back: the next exchange had better start from a fresh socket
    if (!isInTime || this.usesLeft === 0) this.#onDone();
  }

  onMessage(octets: Uint8Array): void {
    const exchange = this.inFlight.askedBy(octets);
    const verdict = exchange === undefined ? undefined : judgeReply(exchange, octets);
    if (exchange === undefined || verdict === undefined || verdict.kind === 'mismatched') {
      this.onStranger();
      return;
    }
    this.inFlight.remove(exchange);
    if (this.usesLeft === 0) this.#onDone();
    if (verdict.kind === 'wrong-case') this.#options.onMismatch();
    exchange.onEnd(endBy(exchange, verdict, this.#options.clock.monotonicMs()));
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
    this.#onDone();
    for (const exchange of failed) exchange.onEnd({ kind: 'failed', reason, detail });
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}
