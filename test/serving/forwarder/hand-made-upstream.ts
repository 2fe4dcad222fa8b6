/** An upstream made by hand for one test: UDP and TCP (or TLS) on one loopback port, each reply as the test says. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type SecureVersion } from 'node:tls';
import { parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import type { Upstream } from '../../../src/serving/forwarder/exchange.ts';
import { rawRecord } from '../../helpers/zone-text.ts';

/** What forwarders under test want, as the link does by default. */
export const EVIDENCE_WANTED = { failures: 3, answers: 3 };

export interface Asked {
  readonly octets: Buffer;
  readonly query: Query;
  readonly transport: 'udp' | 'tcp' | 'tls';
  /** Of the client. */
  readonly port: number;
  /** Sends octets back on the same socket, as many times as wanted. */
  reply(octets: Uint8Array): void;
  /** Ends the connection that it came over. */
  hangUp(): void;
}

export interface HandMadeOptions {
  /** 0: a free one. */
  readonly port?: number;
  readonly address?: string;
  /** Speaks TLS, and is to be asked as this name; its certificate is for `dns.test` in any case. */
  readonly tls?: string;
  readonly maxVersion?: SecureVersion;
  /** Probes (`. NS`) are kept out of `asked` unless they are wanted there. */
  readonly probes?: 'answered' | 'ignored' | 'asked';
  readonly withTcp?: boolean;
}

export type Behaviour = (asked: Asked) => void;

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/tls/${name}`, import.meta.url), 'utf8');
export const certificate = fixture('dns.test.crt');

export class HandMadeUpstream implements AsyncDisposable {
  readonly upstream: Upstream;
  readonly asked: Asked[] = [];
  connections = 0;
  readonly #close: () => Promise<void>;

  private constructor(upstream: Upstream, close: () => Promise<void>) {
    this.upstream = upstream;
    this.#close = close;
  }

  static async start(
    behaviour: Behaviour,
    {
      port = 0,
      address = '127.0.0.1',
      tls,
      probes = 'answered',
      withTcp = true,
      maxVersion = 'TLSv1.3',
    }: HandMadeOptions = {},
  ): Promise<HandMadeUpstream> {
    const sockets = new Set<Socket>();
    const { udp, bound } = await bindBoth(port, address);
    let made: HandMadeUpstream;
    const take = (asked: Omit<Asked, 'query'>): void => {
      const query = new Query();
      parseQuery(query, asked.octets, 0, asked.octets.length);
      const whole = { ...asked, query: query.copy() };
      const isProbe = query.qtype === 2 && query.labelCount === 0;
      if (query.labelCount >= 2 && /^[0-9a-f]{32}\./.test(query.nameText())) return; // for loops
      if (isProbe && probes === 'ignored') return;
      if (isProbe && probes === 'answered') {
        asked.reply(answerTo(whole));
        return;
      }
      made.asked.push(whole);
      behaviour(whole);
    };
    udp.on('message', (octets, from) =>
      take({
        octets,
        transport: 'udp',
        port: from.port,
        reply: (reply) => udp.send(reply, from.port, from.address),
        hangUp: () => {},
      }),
    );
    const onStream = (socket: Socket): void => {
      made.connections++;
      sockets.add(socket);
      let left = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      socket.on('data', (chunk) => {
        left = Buffer.concat([left, Buffer.from(chunk)]);
        while (left.length >= 2 && left.length >= 2 + left.readUInt16BE(0)) {
          const octets = left.subarray(2, 2 + left.readUInt16BE(0));
          left = left.subarray(2 + octets.length);
          take({
            octets,
            transport: tls === undefined ? 'tcp' : 'tls',
            port: socket.remotePort ?? 0,
            reply: (reply) =>
              socket.write(Buffer.concat([Buffer.of(reply.length >> 8, reply.length), reply])),
            hangUp: () => socket.destroy(),
          });
        }
      });
    };
    const server: Server | undefined = !withTcp
      ? undefined
      : tls === undefined
        ? createServer(onStream)
        : createTlsServer(
            { cert: certificate, key: fixture('dns.test.key'), maxVersion, ALPNProtocols: ['dot'] },
            onStream,
          );
    server?.on('tlsClientError', () => {});
    server?.listen(bound, address);
    if (server !== undefined) await once(server, 'listening');
    const upstream = {
      text: `${address}:${bound}`,
      address,
      port: bound,
      ...(tls === undefined ? {} : { transport: 'tls', serverName: tls }),
    };
    made = new HandMadeUpstream(upstream, async () => {
      udp.close();
      for (const socket of sockets) socket.destroy();
      server?.close();
      if (server !== undefined) await once(server, 'close');
    });
    return made;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

/** A UDP socket on a port that is free for TCP too. */
async function bindBoth(port: number, address: string): Promise<{ udp: UdpSocket; bound: number }> {
  for (let tries = 0; ; tries++) {
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    udp.bind(port, address);
    await once(udp, 'listening');
    const bound = udp.address().port;
    const probe = createServer().listen(bound, address);
    try {
      await once(probe, 'listening');
      probe.close();
      await once(probe, 'close');
      return { udp, bound };
    } catch (error) {
      udp.close();
      if (port !== 0 || tries > 20) throw error;
    }
  }
}

export interface ReplyParts {
  readonly id?: number;
  readonly flags?: number;
  /** Octets of the question section; those of the query by default. */
  readonly question?: Uint8Array;
  readonly answers?: readonly Uint8Array[];
  readonly additionals?: readonly Uint8Array[];
}

/** A reply to a query, right unless changed: one address record for its name. */
export function answerTo({ octets, query }: Pick<Asked, 'octets' | 'query'>, parts: ReplyParts = {}): Buffer {
  const answers = parts.answers ?? [rawRecord(query.nameText(), 'A', 60, [10, 0, 0, 1])];
  const additionals = parts.additionals ?? [];
  const header = Buffer.alloc(12);
  header.writeUInt16BE(parts.id ?? query.id, 0);
  header.writeUInt16BE(parts.flags ?? 0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(additionals.length, 10);
  const question = parts.question ?? octets.subarray(12, query.questionEnd);
  return Buffer.concat([header, question, ...answers, ...additionals]);
}

/** A reply without records that says this RCODE. */
export function sayRcode(asked: Pick<Asked, 'octets' | 'query'>, rcode: number): Buffer {
  return answerTo(asked, { flags: 0x8180 | rcode, answers: [] });
}

let nextId = 1;

/** A client's query, as the resolver would hand it on. */
export function clientQuery(
  name: string,
  { qtype = 1, edns = false, flags = 0x0100, dnssecOk = false } = {},
): Query {
  const labels = name === '.' ? [] : name.split('.');
  const header = Buffer.alloc(12);
  header.writeUInt16BE(nextId++ & 0xffff, 0);
  header.writeUInt16BE(flags, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(edns || dnssecOk ? 1 : 0, 10);
  const wire = Buffer.concat([
    ...labels.map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`)),
    Buffer.of(0),
  ]);
  const opt = Buffer.from([0, 0, 41, 4, 208, 0, 0, dnssecOk ? 0x80 : 0, 0, 0, 0]);
  const octets = Buffer.concat([
    header,
    wire,
    Buffer.of(qtype >> 8, qtype, 0, 1),
    ...(edns || dnssecOk ? [opt] : []),
  ]);
  const query = new Query();
  if (parseQuery(query, octets, 0, octets.length) !== 0) throw new Error(`no query: ${name}`);
  return query;
}
