import type { AddressInfo, Socket } from 'node:net';
import { createTCPServer, createUDPServer, type Packet, type TCPServer, type UDPServer } from 'dns2';
import { CLASS, typeName } from '../src/protocol/words/codes.ts';
import { DnsAnswers } from './dns-answers.ts';
import { composeReply, type ParsedQuery, type ReplyContent, readQuery } from './dns-messages.ts';
import type { DnsRecord } from './facts.ts';
import type { DnsFault, Faults, LinkState, LinkSwitch } from './faults.ts';
import { plainName, type RegionState } from './region-state.ts';
import { listenError, listening, SandboxError } from './sandbox-error.ts';

export interface DnsServerOptions {
  readonly address: string;
  /** 0: any that is free for UDP and TCP. */
  readonly port: number;
  readonly state: RegionState;
  readonly faults: Faults;
  readonly link: LinkSwitch;
}

export interface SeenQuery {
  readonly atMs: number;
  readonly name: string;
  readonly type: string;
  readonly transport: 'udp' | 'tcp';
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** UDP payload size in the client's OPT record; 0: without one. */
  readonly ednsSizeOctets: number;
  /** As the question spelled it. */
  readonly askedName: string;
}

type Transport = SeenQuery['transport'];
type Send = (reply: Buffer) => Promise<unknown>;

const SEEN_LIMIT = 10_000; // queries remembered one by one
const COUNTED_LIMIT = 100_000; // names counted: a benchmark asks for a new one each time
const PORT_ATTEMPTS = 20;

/**
 * Plays Route 53's answers and the upstream, on dns2's servers. A hostile client can bring dns2 down; a sandbox has no
 * such client, and errors of its own handler are caught here.
 */
export class DnsServer implements AsyncDisposable {
  readonly #answers: DnsAnswers;
  readonly #state: RegionState;
  readonly #faults: Faults;
  readonly #link: LinkSwitch;
  readonly #udp: UDPServer;
  readonly #tcp: TCPServer;
  readonly #connections = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #seen: SeenQuery[] = [];
  readonly #counts = new Map<string, number>();

  private constructor({ state, faults, link }: DnsServerOptions) {
    this.#answers = new DnsAnswers(state);
    this.#state = state;
    this.#faults = faults;
    this.#link = link;
    this.#udp = createUDPServer((query, send) => this.#take(query, send, 'udp'));
    this.#tcp = createTCPServer((query, send) => this.#take(query, send, 'tcp'));
    this.#tcp.on('connection', (connection: Socket) => this.#connected(connection));
    link.onChange((state) => this.#linkChanged(state));
  }

  /** Throws SandboxError `port-taken`. */
  static async listen(options: DnsServerOptions): Promise<DnsServer> {
    for (let attempt = 1; ; attempt++) {
      const server = new DnsServer(options);
      try {
        await server.#listen(options.address, options.port);
        return server;
      } catch (error) {
        await server[Symbol.asyncDispose]();
        // a port that is free for TCP can be taken for UDP; without a given port the server tries another port
        const mayRetry = options.port === 0 && error instanceof SandboxError && error.code === 'port-taken';
        if (!mayRetry || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** `host:port`, for UDP and TCP. */
  get address(): string {
    const { address, port } = this.#udp.address();
    return `${address.includes(':') ? `[${address}]` : address}:${port}`;
  }

  get port(): number {
    return this.#udp.address().port;
  }

  /** The latest queries that got over the link, oldest first. */
  get queries(): readonly SeenQuery[] {
    return this.#seen;
  }

  /** How many queries for a name, of one type or of all, got over the link. */
  countOf(name: string, type = '*'): number {
    return this.#counts.get(`${plainName(name)} ${type}`) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([closed(this.#udp), closed(this.#tcp)]);
  }

  async #listen(address: string, port: number): Promise<void> {
    await listening(this.#tcp, { host: address, port }, 'the simulated upstream');
    // a server that listens on TCP has an AddressInfo; node's type also covers pipes and closed servers
    const { port: chosen } = this.#tcp.address() as AddressInfo;
    await new Promise<void>((resolve, reject) => {
      this.#udp.once('error', (error: Error) =>
        reject(listenError(error, `${address}:${chosen}`, 'the simulated upstream')),
      );
      this.#udp.bind(chosen, address, resolve);
    });
    this.#udp.on('error', () => {}); // ICMP tells of a client that has gone
  }

  #connected(connection: Socket): void {
    this.#connections.add(connection);
    connection.on('close', () => this.#connections.delete(connection));
    if (this.#link.state === 'refused') connection.resetAndDestroy();
  }

  #linkChanged(state: LinkState): void {
    for (const connection of this.#connections) {
      // a connection from before has lost octets while the link was down
      if (state === 'refused') connection.resetAndDestroy();
      if (state === 'up') connection.destroy();
    }
  }

  #take(packet: Packet, send: Send, transport: Transport): void {
    if (this.#link.state !== 'up') return;
    const query = readQuery(packet);
    if (query === undefined) {
      this.#refuse(packet, send, transport);
      return;
    }
    this.#note(query, transport);
    const fault = this.#faults.strikesQuery(plainName(query.name));
    if (fault?.kind === 'drop') return;
    const content = this.#content(query, fault);
    const reply = this.#compose(packet, content, transport, fault?.kind === 'truncate');
    if (fault?.kind === 'delay') this.#sendLater(send, reply, fault.delayMs);
    else this.#send(send, reply);
  }

  #refuse(packet: Packet, send: Send, transport: Transport): void {
    if (packet.header.qr !== 0) return; // never answer a response
    this.#send(send, this.#compose(packet, { rcode: 'FORMERR' }, transport, false));
  }

  #content(query: ParsedQuery, fault: DnsFault | undefined): ReplyContent {
    if (query.opcode !== 0) return { rcode: 'NOTIMP' };
    if (query.class !== CLASS.IN) return { rcode: 'REFUSED' };
    if (fault?.kind === 'servfail') return { rcode: 'SERVFAIL' };
    if (fault?.kind === 'refused') return { rcode: 'REFUSED' };
    const answer = this.#answers.resolve(query.name, typeName(query.type));
    if (fault?.kind === 'filter' && answer.answers.some(isPrivateAddress)) return { rcode: 'NOERROR' };
    return { ...answer, authenticated: fault?.kind === 'authenticated' };
  }

  #compose(packet: Packet, content: ReplyContent, transport: Transport, forceTruncation: boolean): Buffer {
    try {
      return composeReply(packet, content, transport, forceTruncation);
    } catch {
      // a record that dns2 cannot write: a broken upstream says SERVFAIL
      return composeReply(packet, { rcode: 'SERVFAIL' }, transport);
    }
  }

  #sendLater(send: Send, reply: Buffer, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#link.state === 'up') this.#send(send, reply);
    }, delayMs);
    this.#timers.add(timer);
  }

  #send(send: Send, reply: Buffer): void {
    // dns2 gives a promise over UDP and nothing over TCP; either way the client may have gone
    Promise.resolve(send(reply)).catch(() => {});
  }

  #note(query: ParsedQuery, transport: Transport): void {
    const [name, type] = [plainName(query.name), typeName(query.type)];
    for (const key of [`${name} ${type}`, `${name} *`]) {
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    }
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > COUNTED_LIMIT && oldest !== undefined) this.#counts.delete(oldest);
    this.#seen.push({
      atMs: this.#state.nowMs(),
      name,
      type,
      transport,
      recursionDesired: query.recursionDesired,
      checkingDisabled: query.checkingDisabled,
      dnssecOk: query.edns?.dnssecOk ?? false,
      ednsSizeOctets: query.edns?.sizeOctets ?? 0,
      askedName: query.name,
    });
    if (this.#seen.length > SEEN_LIMIT) this.#seen.splice(0, SEEN_LIMIT / 2);
  }
}

function isPrivateAddress({ type, value }: DnsRecord): boolean {
  return (
    type === 'A' &&
    /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(value)
  );
}

function closed(server: UDPServer | TCPServer): Promise<void> {
  if ('listening' in server && !server.listening) return Promise.resolve();
  return new Promise((resolve) => {
    server.once('close', () => resolve());
    server.close();
  });
}
