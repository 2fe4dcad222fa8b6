/**
 * A steady load, and the result of every query. A UDP query is sent once: no retry hides a loss. A TCP client keeps its
 * connection, and opens another one when the server ends it.
 */
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, type Socket as Stream } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { composeQuery, isAnswer } from './wire.ts';

export const KINDS = ['endpoint', 'cached', 'forwarded'] as const;
export type Kind = (typeof KINDS)[number];

export interface LoadOptions {
  readonly server: string;
  readonly port: number;
  /** UDP queries per second. */
  readonly rate: number;
  readonly tcpClients: number;
  /** The name of query `index` of this kind. */
  readonly nameOf: (kind: Kind, index: number) => string;
}

export interface Figures {
  readonly asked: number;
  readonly lost: number;
  /** Replies that were no answer, such as SERVFAIL. */
  readonly failed: number;
  /** Answered after more than a second. */
  readonly late: number;
  readonly longestMs: number;
}

/** The kernel gives a socket room for some hundred replies, and this process may stand still. */
const SOCKETS = 16;
const BURST = 50; // after a stall of this process, the queries that are due are sent in portions
/** In twenty queries; the rest is for the endpoint. */
const CACHED_IN_20 = 6;
const FORWARDED_IN_20 = 2;
/** A machine may stand still for seconds: only after this time a query is lost. */
const PATIENCE_MS = 30_000;
const SECOND_MS = 1_000;

export class Load {
  readonly tcp: readonly TcpClient[];
  readonly #options: LoadOptions;
  readonly #sockets: readonly Socket[];
  readonly #sentMs: number[] = [];
  /** NaN: no reply; infinity: no answer. */
  readonly #tookMs: number[] = [];
  #answered = 0;
  #ticking: NodeJS.Timeout | undefined;
  #tickMs = 0;
  #standstillMs = 0;

  private constructor(options: LoadOptions, sockets: readonly Socket[]) {
    this.#options = options;
    this.#sockets = sockets;
    this.tcp = Array.from({ length: options.tcpClients }, (_, at) => new TcpClient(options, at));
  }

  static async start(options: LoadOptions): Promise<Load> {
    const sockets = Array.from({ length: SOCKETS }, () =>
      createSocket({ type: 'udp4', recvBufferSize: 1 << 20 }),
    );
    const load = new Load(options, sockets);
    for (const [at, socket] of sockets.entries()) {
      socket.on('error', () => undefined); // where nothing holds the port, each query gets an ICMP error
      socket.on('message', (reply) => load.#taken(at, reply));
      await new Promise<void>((resolve) => socket.connect(options.port, options.server, resolve));
    }
    const startedMs = performance.now();
    load.#tickMs = startedMs;
    load.#ticking = setInterval(() => {
      const nowMs = performance.now();
      load.#standstillMs = Math.max(load.#standstillMs, nowMs - load.#tickMs);
      load.#tickMs = nowMs;
      const due = Math.floor(((nowMs - startedMs) * options.rate) / 1000);
      for (let left = Math.min(BURST, due - load.asked); left > 0; left--) load.#ask();
    }, 1);
    return load;
  }

  /** Queries so far: the index of the next one. */
  get asked(): number {
    return this.#sentMs.length;
  }

  /** The longest time in which this process did not run, since the last call: no wait is measured more exactly. */
  takeStandstillMs(): number {
    const longest = this.#standstillMs;
    this.#standstillMs = 0;
    return longest;
  }

  /** Resolves once a query that is asked from now on is answered. */
  async untilAnswered(): Promise<void> {
    const from = this.asked;
    for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(5))
      for (let index = from; index < this.asked; index++) if (Number.isFinite(this.#tookMs[index])) return;
    throw new Error(`no query was answered within ${PATIENCE_MS / 1000} s`);
  }

  /** Resolves once every TCP client has an answer over the connection that it has now. */
  async untilTcpAnswered(): Promise<void> {
    for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline; await sleep(5))
      if (this.tcp.every(({ isAnswered }) => isAnswered)) return;
    throw new Error(`a TCP client had no answer within ${PATIENCE_MS / 1000} s`);
  }

  /** Asks no more, and waits for the last answers. */
  async end(): Promise<void> {
    clearInterval(this.#ticking);
    for (const client of this.tcp) client.end();
    const deadline = performance.now() + PATIENCE_MS;
    while (this.#answered < this.asked && performance.now() < deadline) await sleep(20);
  }

  /** Of the queries with an index from `from` to before `to`. */
  figures(from: number, to: number, kinds: readonly Kind[] = KINDS): Figures {
    const figures = { asked: 0, lost: 0, failed: 0, late: 0, longestMs: 0 };
    for (let index = from; index < to; index++) {
      if (!kinds.includes(kindOf(index))) continue;
      const tookMs = this.#tookMs[index] ?? Number.NaN;
      figures.asked += 1;
      if (Number.isNaN(tookMs)) figures.lost += 1;
      else if (tookMs === Number.POSITIVE_INFINITY) figures.failed += 1;
      else {
        if (tookMs > SECOND_MS) figures.late += 1;
        figures.longestMs = Math.max(figures.longestMs, tookMs);
      }
    }
    return figures;
  }

  /** Datagrams that the kernel has dropped for want of room: those of this load, and those of `port`. */
  drops(port: number): { readonly own: number; readonly server: number } {
    const ports = new Set(this.#sockets.map((socket) => socket.address().port));
    const drops = { own: 0, server: 0 };
    for (const line of readFileSync('/proc/self/net/udp', 'utf8').split('\n').slice(1)) {
      const words = line.trim().split(/\s+/);
      const local = Number.parseInt(words[1]?.split(':')[1] ?? '', 16);
      if (ports.has(local)) drops.own += Number(words.at(-1));
      else if (local === port) drops.server += Number(words.at(-1));
    }
    return drops;
  }

  #ask(): void {
    const index = this.asked;
    const query = composeQuery(
      Math.floor(index / SOCKETS) & 0xffff,
      this.#options.nameOf(kindOf(index), index),
    );
    this.#sentMs.push(performance.now());
    this.#tookMs.push(Number.NaN);
    this.#sockets[index % SOCKETS]?.send(query, () => undefined);
  }

  /** The queries of one socket are numbered; 65,536 of them last longer than any run. */
  #taken(at: number, reply: Buffer): void {
    if (reply.length < 12) return;
    const index = reply.readUInt16BE(0) * SOCKETS + at;
    const sentMs = this.#sentMs[index];
    // a reply that comes twice: the query was answered by two processes
    if (sentMs === undefined || !Number.isNaN(this.#tookMs[index])) return;
    this.#answered += 1;
    this.#tookMs[index] = isAnswer(reply) ? performance.now() - sentMs : Number.POSITIVE_INFINITY;
  }
}

function kindOf(index: number): Kind {
  const at = index % 20;
  if (at < FORWARDED_IN_20) return 'forwarded';
  return at < FORWARDED_IN_20 + CACHED_IN_20 ? 'cached' : 'endpoint';
}

const ASK_EVERY_MS = 500;
const RECONNECT_AFTER_MS = 20;

/** Asks for the endpoint twice a second over one connection; when that ends, it connects again and repeats its query. */
class TcpClient {
  readonly #options: LoadOptions;
  /** An address for each client: one address may have 20 connections. */
  readonly #address: string;
  /** Connections that the server ended. */
  reconnects = 0;
  /** Connections that were opened in place of an ended one, and ended without an answer: the client had to try again. */
  failedRetries = 0;
  answers = 0;
  /** Whether there was an answer over the present connection. */
  isAnswered = false;
  longestMs = 0;
  /** When the query at hand was first asked. */
  #askedMs: number | undefined;
  #stream: Stream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(options: LoadOptions, at: number) {
    this.#options = options;
    this.#address = `127.0.1.${1 + at}`;
    this.#timer = setTimeout(() => this.#connect(true), (at * ASK_EVERY_MS) / options.tcpClients);
  }

  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#stream?.destroy();
  }

  #connect(isFirst: boolean): void {
    const { server, port } = this.#options;
    this.isAnswered = false;
    const stream = connect({ host: server, port, localAddress: this.#address });
    this.#stream = stream;
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      if (chunk.length < 14 || !isAnswer(chunk.subarray(2))) return;
      this.isAnswered = true;
      this.#answered();
    });
    stream.on('close', () => {
      if (this.#isOver) return;
      this.reconnects += 1;
      if (!isFirst && !this.isAnswered) this.failedRetries += 1;
      this.isAnswered = false;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#connect(false), RECONNECT_AFTER_MS);
    });
    this.#ask();
  }

  #ask(): void {
    this.#askedMs ??= performance.now();
    const query = composeQuery(this.answers & 0xffff, this.#options.nameOf('endpoint', 0));
    this.#stream?.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 0xff), query]));
  }

  #answered(): void {
    if (this.#askedMs === undefined) return;
    this.longestMs = Math.max(this.longestMs, performance.now() - this.#askedMs);
    this.#askedMs = undefined;
    this.answers += 1;
    this.#timer = setTimeout(() => this.#ask(), ASK_EVERY_MS);
  }
}
