/**
 * Mutated messages against a live server, over UDP and TCP: it does not end, it does not grow, and a known name is answered
 * all along. `MUTATED` messages of each kind (10,000; a million for the long run), `FUZZ_SEED` repeats a run.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { readHexFiles } from '../helpers/hex-file.ts';
import { until } from '../helpers/patience.ts';
import { queryOf } from '../serving/resolver/messages.ts';
import { AskingThread } from './asking-thread.ts';
import type { ServerProcess } from './server-process.ts';
import { ENDPOINT, Site } from './site.ts';

const messages = Number(process.env['MUTATED'] ?? 10_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
const BURST = 100;
/** Kept names may take 64 MiB, and the collector its time; a leak of 256 octets a message takes more. */
const GROWTH_MIB = 192;

/** Mulberry32: short, and with the same numbers for the same seed. */
function chance(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const seeds: readonly Buffer[] = [
  ...readHexFiles('queries').map(({ octets }) => Buffer.from(octets)),
  ...readHexFiles('responses').map(({ octets }) => Buffer.from(octets)),
  queryOf({ name: ENDPOINT, edns: {} }),
  queryOf({ name: ENDPOINT, type: 'AAAA' }),
  queryOf({ name: `_status.${ENDPOINT}`, type: 'TXT', edns: { dnssecOk: true } }),
  queryOf({ name: 'example.com', type: 'MX', edns: {} }),
].filter(({ length }) => length > 0);

function mutated(random: () => number): Buffer {
  const below = (limit: number): number => Math.floor(random() * limit);
  const octets = Buffer.from(seeds[below(seeds.length)] ?? Buffer.alloc(12));
  for (let left = below(6); left > 0; left--) octets[below(octets.length)] = below(256);
  const shape = below(10);
  if (shape === 0) return octets.subarray(0, below(octets.length + 1));
  if (shape === 1) return Buffer.concat([octets, Buffer.alloc(below(1400), below(256))]);
  if (shape === 2) return Buffer.from(Array.from({ length: below(600) }, () => below(256)));
  return octets;
}

const residentMib = (server: ServerProcess): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

const percentile = (values: readonly number[], share: number): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? 0;

t.test('mutated messages cost no client an answer, and the server neither its life nor memory', async (t) => {
  t.comment(`FUZZ_SEED=${seed} MUTATED=${messages}`);
  const random = chance(seed);
  const site = await Site.open(t);
  const server = site.start();
  await server.firstAnswer({ name: ENDPOINT });
  await until('the endpoint is ours', async () => (await server.ask({ name: ENDPOINT })).aa);

  await using thread = new AskingThread(site.ports.dnsPort, { name: ENDPOINT });
  let wrong = 0;
  const known = async (): Promise<number> => {
    const { aa, answers, afterMs } = await thread.ask();
    if (!aa || answers !== 3) wrong++;
    return afterMs;
  };
  await known();

  for (const transport of ['udp', 'tcp'] as const) {
    const flood = transport === 'udp' ? overUdp : overTcp;
    // memory that is taken once, such as caches and compiled code, comes first
    await flood(site.ports.dnsPort, BURST * 10, random, async () => undefined);
    const beforeMib = residentMib(server);
    const tookMs: number[] = [];
    await flood(site.ports.dnsPort, messages, random, async () => void tookMs.push(await known()));
    const grownMib = residentMib(server) - beforeMib;
    t.comment(
      `${messages} over ${transport}: known name p50 ${percentile(tookMs, 0.5).toFixed(2)} ms, ` +
        `p99 ${percentile(tookMs, 0.99).toFixed(2)} ms; ${grownMib.toFixed(0)} MiB more`,
    );
    t.ok(server.isRunning, `${transport}: it runs`);
    t.ok(grownMib < GROWTH_MIB, `${transport}: ${grownMib.toFixed(0)} MiB more`);
  }
  t.equal(wrong, 0, 'each answer about the endpoint was whole');
  t.same(server.logged('answer to a query failed'), [], 'and no message met a defect');
});

async function overUdp(
  port: number,
  count: number,
  random: () => number,
  between: () => Promise<void>,
): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('message', () => undefined);
  for (let sent = 0; sent < count; sent += BURST) {
    for (let at = 1; at < BURST; at++) socket.send(mutated(random), port, '127.0.0.1');
    await new Promise((resolve) => socket.send(mutated(random), port, '127.0.0.1', resolve));
    await between();
  }
  socket.close();
}

/** Frames of mutated messages, and sometimes a frame with a wrong length; a closed connection is made again. */
async function overTcp(
  port: number,
  count: number,
  random: () => number,
  between: () => Promise<void>,
): Promise<void> {
  for (let sent = 0; sent < count; sent += BURST) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    const frames = Array.from({ length: BURST }, () => {
      const octets = mutated(random);
      const length = random() < 0.01 ? Math.floor(random() * 65_536) : octets.length;
      return Buffer.concat([Buffer.of(length >> 8, length & 0xff), octets]);
    });
    const closed = once(socket, 'close');
    socket.end(Buffer.concat(frames));
    await between();
    socket.destroy();
    await closed;
  }
}
