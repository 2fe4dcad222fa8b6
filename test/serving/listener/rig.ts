/** What the tests of the listeners share: a handler made of a callback, clients over loopback, and the whole room around them. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import type { Test } from 'tap';
import { uint16At } from '../../../src/protocol/wire/message.ts';
import { composeQuery, VERDICT } from '../../../src/protocol/wire/query.ts';
import { writeEmptyReply, writeHeaderOnlyReply } from '../../../src/protocol/wire/reply.ts';
import { TcpFramer } from '../../../src/protocol/wire/tcp-framing.ts';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { type Clock, systemClock, systemTimers, type Timers } from '../../../src/runtime/clock.ts';
import type { Libc } from '../../../src/runtime/datagrams.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import {
  ClientAccess,
  ClientAddressBook,
  parseClientAddress,
  RateLimit,
} from '../../../src/serving/listener/clients.ts';
import { Intake } from '../../../src/serving/listener/intake.ts';
import type { HostInterfaces } from '../../../src/serving/listener/listen-address.ts';
import { ServerCookies } from '../../../src/serving/listener/server-cookies.ts';
import { type TcpLimits, TcpListener, TcpSlots } from '../../../src/serving/listener/tcp.ts';
import {
  type ClientTransport,
  NO_REPLY,
  PENDING,
  type QueryHandler,
  type Reply,
  type Turn,
} from '../../../src/serving/turn.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { PATIENCE_MS, until } from '../../helpers/patience.ts';

export const LIMITS: TcpLimits = {
  connections: 150,
  connectionsPerClient: 150,
  idleMs: 10_000,
  frameMs: 3000,
  pipelined: 100,
};

export function query(id: number, name = 'known.test', edns = false): Uint8Array {
  return composeQuery({
    id,
    name: nameToWire(name),
    qtype: 1,
    qclass: 1,
    recursionDesired: true,
    checkingDisabled: false,
    ...(edns ? { edns: { dnssecOk: false } } : {}),
  });
}

export const idOf = (message: Uint8Array): number => uint16At(message, 0);
export const ids = (messages: readonly Uint8Array[]): number[] => messages.map(idOf);
export const rcodeOf = (message: Uint8Array): number => (message[3] ?? 0) & 15;

/** Answers every good query with an empty NOERROR; a query whose first label is `later` waits for `gate`. */
export class StubHandler implements QueryHandler {
  gate: (name: string) => Promise<void> = async () => undefined;
  /** What an answer for `big` carries after the empty reply; it counts as one record of another server. */
  padding = 0;

  answer({ query, verdict, space, spaceStart }: Turn): number {
    if (verdict === VERDICT.DROP) return NO_REPLY;
    if (verdict === VERDICT.BADVERS)
      return writeEmptyReply(query, RCODE.BADVERS, undefined, space, spaceStart);
    if (verdict !== VERDICT.OK)
      return writeHeaderOnlyReply(query.octets, query.start, RCODE.FORMERR, space, spaceStart);
    const name = query.nameText();
    if (name.startsWith('later')) return PENDING;
    if (name.startsWith('throws')) throw new Error('a fault of the handler');
    if (name.startsWith('silent')) return NO_REPLY;
    const length = writeEmptyReply(query, RCODE.NOERROR, undefined, space, spaceStart);
    if (!name.startsWith('big')) return length;
    space[spaceStart + 7] = 1; // ANCOUNT
    return length + this.padding;
  }

  later({ query }: Turn, reply: Reply): void {
    const name = query.nameText();
    void this.gate(name).then(() => {
      const space = new Uint8Array(1232);
      if (name.startsWith('later-none')) reply.send(space.subarray(0, NO_REPLY));
      else if (name.startsWith('later-throws')) reply.fail(new Error('a fault of the handler'));
      else reply.send(space.subarray(0, writeEmptyReply(query, RCODE.NOERROR, undefined, space, 0)));
      space.fill(0xff); // nobody may read it any more
    });
  }
}

export interface Sent {
  readonly from?: string;
  readonly port?: number;
  readonly nowMs?: number;
  readonly transport?: ClientTransport;
}

/** Hands a message to the intake as a listener does: the reply as octets, or the verdict NO_REPLY or PENDING. */
export function receive(intake: Intake, octets: Uint8Array, sent: Sent = {}): Uint8Array | number {
  const { from = '127.0.0.1', port = 5353, nowMs = 0, transport = 'udp' } = sent;
  const client = parseClientAddress(from)!;
  const space = new Uint8Array(70_000);
  const message = Buffer.concat([Buffer.alloc(3, 0xee), octets, Buffer.alloc(5, 0xee)]); // anywhere in a buffer
  intake.turn.from(transport, client.octets, 0, client.family, port, nowMs);
  intake.turn.into(space, 9);
  const length = intake.receive(message, 3, 3 + octets.length);
  return length > 0 ? space.slice(9, 9 + length) : length;
}

/** The messages that answer the query that `receive` left pending. */
export function laterReplies(intake: Intake): Promise<readonly Uint8Array[]> {
  const messages: Uint8Array[] = [];
  return new Promise((resolve) =>
    intake.answerLater((message, hasMore) => {
      if (message.length > NO_REPLY) messages.push(message.slice());
      if (hasMore !== true) resolve(messages);
    }),
  );
}

/** The reply to a query that waits; `undefined` for none. */
export async function laterReply(
  intake: Intake,
  octets: Uint8Array,
  sent: Sent = {},
): Promise<Uint8Array | undefined> {
  if (receive(intake, octets, sent) !== PENDING) throw new Error('the query does not wait');
  return (await laterReplies(intake))[0];
}

export interface RigOptions {
  readonly handler?: QueryHandler;
  readonly allow?: readonly string[];
  readonly responsesPerSecond?: number;
  readonly refusalsPerSecond?: number;
  readonly slip?: number;
  readonly limits?: Partial<TcpLimits>;
  readonly clock?: Clock;
  readonly timers?: Timers;
  readonly pendingLimit?: number;
  readonly libc?: Libc | undefined;
}

/** Everything that a listener of this room needs; with the system's clock unless `options` has another. */
export function makeRig(options: RigOptions = {}) {
  const log = new CollectingLog();
  const { responsesPerSecond = 0, refusalsPerSecond = 0, slip = 2 } = options;
  const intake = new Intake({
    handler: options.handler ?? new StubHandler(),
    log,
    clock: options.clock ?? systemClock,
    access: new ClientAccess(options.allow ?? ['127.0.0.0/8', '::1']),
    cookies: new ServerCookies({ clock: options.clock ?? systemClock, random: systemRandom }),
    rateLimit: new RateLimit({ responsesPerSecond, slip, seed: 7 }),
    refusalLimit: new RateLimit({ responsesPerSecond: refusalsPerSecond, slip: 0, seed: 7 }),
    ...(options.pendingLimit === undefined ? {} : { pendingLimit: options.pendingLimit }),
  });
  const context = {
    intake,
    log,
    clients: new ClientAddressBook(),
    clock: options.clock ?? systemClock,
    timers: options.timers ?? systemTimers,
    libc: options.libc,
  };
  const slots = new TcpSlots(context, { ...LIMITS, ...options.limits });
  return { ...context, slots };
}

/** A TCP listener on loopback with the whole room around it. */
export async function listenTcp(t: Test, options: RigOptions = {}, address = '127.0.0.1') {
  const rig = makeRig(options);
  const listener = new TcpListener({ address, port: 0 }, rig);
  await listener.start();
  t.teardown(() => listener.close(0));
  return { ...rig, listener, port: listener.address.port, counters: rig.intake.counters };
}

export interface Received {
  readonly reply: Buffer;
  readonly from: RemoteInfo;
}

/** A UDP client on loopback that keeps what it receives. */
export class UdpClient {
  readonly received: Received[] = [];
  readonly #socket: UdpSocket;
  #waiting: (() => void) | undefined;

  constructor(t: Test, family: 4 | 6 = 4) {
    this.#socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 });
    this.#socket.on('message', (reply, from) => {
      this.received.push({ reply, from });
      this.#waiting?.();
    });
    t.teardown(() => this.#socket.close());
  }

  send(octets: Uint8Array, port: number, address = '127.0.0.1'): void {
    this.#socket.send(octets, port, address);
  }

  /** Resolves to all that was received once it is `count`. */
  async atLeast(count: number): Promise<readonly Received[]> {
    await within(`${count} replies`, (resolve) => {
      this.#waiting = () => {
        if (this.received.length >= count) resolve();
      };
      this.#waiting();
    });
    return this.received;
  }

  async ask(octets: Uint8Array, port: number, address = '127.0.0.1'): Promise<Received> {
    const before = this.received.length;
    this.send(octets, port, address);
    const all = await this.atLeast(before + 1);
    return all[before]!;
  }
}

/** A TCP client on loopback that unframes what it receives. */
export class TcpClient {
  readonly socket: Socket;
  readonly replies: Buffer[] = [];
  /** Chunks in which they arrived: how often the server wrote, at most. */
  chunks = 0;
  isClosed = false;
  #changed: (() => void) | undefined;

  constructor(t: Test, port: number, address = '127.0.0.1', localAddress?: string) {
    const framer = new TcpFramer();
    this.socket = connect({
      port,
      host: address,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    this.socket.on('data', (chunk: Buffer) => {
      this.chunks += 1;
      framer.push(chunk);
      while (framer.next()) this.replies.push(Buffer.from(framer.octets.subarray(framer.start, framer.end)));
      this.#changed?.();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
      this.#changed?.();
    });
    t.teardown(() => this.socket.destroy());
  }

  send(...messages: Uint8Array[]): void {
    this.socket.write(Buffer.concat(messages.map(frame)));
  }

  async atLeast(count: number): Promise<readonly Buffer[]> {
    await this.#until(`${count} replies`, () => this.replies.length >= count);
    return this.replies;
  }

  closed(): Promise<void> {
    return this.#until('the end of the connection', () => this.isClosed);
  }

  connected(): Promise<void> {
    return within('a connection', (resolve) => this.socket.once('connect', resolve));
  }

  #until(what: string, holds: () => boolean): Promise<void> {
    return within(what, (resolve) => {
      this.#changed = () => {
        if (holds()) resolve();
      };
      this.#changed();
    });
  }
}

export function frame(message: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(message.length >> 8, message.length & 255), message]);
}

function within(what: string, start: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE_MS);
    start(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Resolves when the condition holds; it is checked every few milliseconds of real time. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  await until(what, holds, 10);
}

/** What `os.networkInterfaces()` would return on a host with these addresses. */
export function hostWith(addresses: Readonly<Record<string, readonly string[]>>): HostInterfaces {
  const entries = Object.entries(addresses).map(([name, texts]) => {
    const infos = texts.map((address): NetworkInterfaceInfo => {
      const common = { address, mac: '00:00:00:00:00:00', internal: name === 'lo', cidr: null };
      if (address.includes(':')) return { ...common, family: 'IPv6', netmask: 'ffff::', scopeid: 0 };
      return { ...common, family: 'IPv4', netmask: '255.0.0.0' };
    });
    return [name, infos] as const;
  });
  return Object.fromEntries(entries);
}

/** The address answers over UDP, from itself, and over TCP. */
export async function answers(t: Test, address: string, port: number): Promise<void> {
  const udp = new UdpClient(t, address.includes(':') ? 6 : 4);
  const { reply, from } = await udp.ask(query(7), port, address);
  t.same([idOf(reply), from.address, from.port], [7, address, port], `udp ${address}`);
  const tcp = new TcpClient(t, port, address);
  tcp.send(query(8));
  t.same((await tcp.atLeast(1)).map(idOf), [8], `tcp ${address}`);
}
