/**
 * The process that gc-stress.test.ts runs: a listener and a forwarder in batches, asked for known and for unknown names.
 * Meanwhile the collector runs again and again, young and old generation, and listeners come and go.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { answerTo, clientQuery, HandMadeUpstream } from '../serving/forwarder/hand-made-upstream.ts';
import { batchedServer } from './batched-server.ts';

const seconds = Number(process.argv[2] ?? 3);
const endsAtMs = performance.now() + seconds * 1000;
const calls = await loadDatagramCalls();
if (calls.kind !== 'available') throw new Error(calls.reason);
const upstream = await HandMadeUpstream.start((asked) => {
  asked.reply(answerTo(asked));
  upstream.asked.length = 0;
});
const server = batchedServer(calls.libc, upstream.upstream);

const figures = { answers: 0, wrong: 0, collections: 0, listeners: 0 };
const client = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 }).bind(0, '127.0.0.1');
await once(client, 'listening');
client.on('message', (reply) => {
  figures.answers++;
  const name = `n${reply.readUInt16BE(0)}`;
  if ((reply[3] ?? 0) !== 0x80 || !reply.includes(name)) figures.wrong++;
});

const { gc } = globalThis;
if (gc === undefined) throw new Error('run it with --expose-gc');
let rubbish: unknown[] = [];
/** A slow machine takes longer to try as much. */
const goesOn = () =>
  performance.now() < endsAtMs ||
  figures.answers <= 500 * seconds ||
  figures.collections <= 10 * seconds ||
  figures.listeners <= seconds;
while (goesOn()) {
  const listener = server.listener();
  await listener.start();
  figures.listeners++;
  for (let burst = 0; burst < 20 && goesOn(); burst++) {
    for (let at = 0; at < 50; at++) {
      const id = (burst * 50 + at) % 1000;
      const message = clientQuery(`n${id}.example`).octets.slice();
      message.set([id >> 8, id & 0xff]);
      client.send(message, listener.address.port, '127.0.0.1');
    }
    rubbish = Array.from({ length: 200 }, (_, size) => new Uint8Array(size * 40));
    gc({ type: burst % 4 === 0 ? 'major' : 'minor', execution: 'sync' });
    figures.collections++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await listener.close(50);
}
server.forwarder.close();
client.close();
await upstream[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify(figures)}\n`);
if (rubbish.length === 0) process.exitCode = 1;
