import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Test } from 'tap';
import { opt } from '../helpers/zone-text.ts';

export type Transport = 'udp' | 'tcp';
/** The replies to a query, message by message. */
export type Answering = (
  query: Buffer,
  transport: Transport,
) => readonly Buffer[] | Promise<readonly Buffer[]>;

/** A DNS server on loopback, UDP and TCP on one port, with the replies of the test; returns `host:port`. */
export async function fakeServer(t: Test, answer: Answering): Promise<string> {
  const udp = createSocket('udp4');
  udp.on('message', async (query, { port, address }) => {
    for (const reply of await answer(query, 'udp')) udp.send(reply, port, address);
  });
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', async (chunk) => {
      const replies = await answer(Buffer.from(chunk).subarray(2), 'tcp');
      // in two pieces: a reader that takes a chunk for a message fails
      for (const reply of replies) {
        socket.write(Buffer.of(reply.length >> 8));
        setImmediate(() => socket.write(Buffer.concat([Buffer.of(reply.length & 255), reply])));
      }
    });
    t.teardown(() => socket.destroy());
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const bound = tcp.address();
  const port = typeof bound === 'object' ? (bound?.port ?? 0) : 0;
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  t.teardown(() => {
    udp.close();
    tcp.close();
  });
  return `127.0.0.1:${port}`;
}

/** An OPT record with one extended error (RFC 8914). */
export function extendedError(code: number, text = ''): Buffer {
  const octets = Buffer.from(text);
  return opt({ options: [0, 15, 0, octets.length + 2, 0, code, ...octets] });
}

/** The reply with the ID of `query`. */
export function repliedTo(query: Buffer, reply: Buffer): Buffer {
  const copy = Buffer.from(reply);
  query.copy(copy, 0, 0, 2);
  return copy;
}
