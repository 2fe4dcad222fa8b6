/**
 * What gc-stress.test.ts runs: a listener and a forwarder in batches, asked for names that are known and for names that
 * are not, while the collector runs again and again, young and old generation, and listeners come and go.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeEmptyReply } from '../../src/protocol/wire/error-reply.ts';
import { parseQuery, Query } from '../../src/protocol/wire/query.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { systemTimers } from '../../src/runtime/timers.ts';
import { Forwarder } from '../../src/serving/forwarder/forwarder.ts';
import { BatchedUdpSockets } from '../../src/serving/forwarder/udp-socket-batched.ts';
import { ClientAccess } from '../../src/serving/listener/client-access.ts';
import { ClientAddressBook } from '../../src/serving/listener/client-address.ts';
import { NO_REPLY, PENDING, type QueryHandler } from '../../src/serving/listener/handler.ts';
import { Intake } from '../../src/serving/listener/intake.ts';
import { RateLimit } from '../../src/serving/listener/rate-limit.ts';
import { BatchedUdpListener } from '../../src/serving/listener/udp-batched.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { answerTo, clientQuery, HandMadeUpstream } from '../serving/forwarder/hand-made-upstream.ts';

const endsAtMs = performance.now() + Number(process.argv[2] ?? 3) * 1000;
const calls = await loadDatagramCalls();
if (calls.kind !== 'available') throw new Error(calls.reason);
const { libc } = calls;
const upstream = await HandMadeUpstream.start((asked) => {
  asked.reply(answerTo(asked));
  upstream.asked.length = 0;
});
const group = { name: '.', upstreams: [upstream.upstream] };
const log = new CollectingLog();
const forwarder = new Forwarder({
  clock: systemClock,
  timers: systemTimers,
  random: systemRandom,
  log,
  groups: [group],
  openUdp: new BatchedUdpSockets(libc).open,
});

/** Known names have an even ID and are answered at once; the others are asked for upstream. */
const query = new Query();
const handler: QueryHandler = {
  answerNow(message, start, end, _transport, reply, replyStart) {
    if (parseQuery(query, message, start, end) !== 0) return NO_REPLY;
    return query.id % 2 === 0 ? writeEmptyReply(query, 0, undefined, reply, replyStart) : PENDING;
  },
  answerLater(message, _transport, asker) {
    const waiting = new Query();
    parseQuery(waiting, message, 0, message.length);
    forwarder.forwardTo(waiting, group, (outcome) => {
      const reply = new Uint8Array(512);
      const rcode = outcome.kind === 'response' ? 0 : 2;
      asker.reply(reply, writeEmptyReply(waiting, rcode, undefined, reply, 0));
    });
  },
};
const context = {
  intake: new Intake({
    handler,
    log,
    access: new ClientAccess(['127.0.0.0/8']),
    rateLimit: new RateLimit({ responsesPerSecond: 0, slip: 2, seed: 7 }),
  }),
  log,
  clients: new ClientAddressBook(),
  clock: systemClock,
  timers: systemTimers,
};

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
while (performance.now() < endsAtMs) {
  const listener = new BatchedUdpListener({ address: '127.0.0.1', port: 0 }, context, libc);
  await listener.start();
  figures.listeners++;
  for (let burst = 0; burst < 20 && performance.now() < endsAtMs; burst++) {
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
forwarder.close();
client.close();
await upstream[Symbol.asyncDispose]();
process.stdout.write(`${JSON.stringify({ ...figures, rubbish: undefined })}\n`);
if (rubbish.length === 0) process.exitCode = 1;
