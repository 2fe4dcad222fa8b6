/**
 * Clients that ask for much and read nothing: bounded memory, which comes back, and no query of another client waits for them.
 * The server runs with the environment of systemd/outpost-dns.service, by which freed memory goes back to the host.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { pause, until } from '../helpers/patience.ts';
import { queryOf } from '../serving/resolver/messages.ts';
import { isReady } from './readiness.ts';
import { ENDPOINT, Site } from './site.ts';

const CLIENTS = 150;
/** More than a connection gets in a turn, and than the kernel takes. */
const QUERIES_EACH = 1500;
const BIG = 'big.own.example';
const MIB = 1024 * 1024;
/** Issue 9.24. */
const MOST_MORE_MIB = 64;

function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kib === undefined) throw new Error('no such process');
  return (Number(kib) * 1024) / MIB;
}

t.test(
  '150 clients that never read: at most 64 MiB more, given back, and every query answered',
  async (t) => {
    const strings = Array.from({ length: 60 }, (_, at) => `"${`${at}`.padEnd(250, 'x')}"`);
    const records = strings.map((text) => `big TXT ${text}`);
    const site = await Site.open(t, { overrides: { zones: [{ name: 'own.example', records }] } });
    const server = site.start({ ...site.sandbox.environment, MALLOC_MMAP_THRESHOLD_: '98304' });
    await isReady(server);
    const { dnsPort } = site.ports;
    const first = await server.ask({ name: BIG, type: 'TXT' });
    t.ok(first.tc, 'the answer is large');
    // the memory of any busy server
    for (let at = 0; at < 300; at++) await server.ask({ name: ENDPOINT });
    const pid = server.pid;
    const before = residentMib(pid);

    const query = queryOf({ name: BIG, type: 'TXT' });
    const framed = Buffer.concat([Buffer.of(query.length >> 8, query.length & 255), query]);
    const burst = Buffer.concat(Array.from({ length: QUERIES_EACH }, () => framed));
    const clients = Array.from({ length: CLIENTS }, (_, at) => {
      const socket = connect({ port: dnsPort, host: '127.0.0.1', localAddress: `127.0.0.${10 + (at % 15)}` });
      socket.on('error', () => undefined);
      socket.pause();
      socket.write(burst);
      return socket;
    });
    t.teardown(() => clients.map((socket) => socket.destroy()));
    let most = before;
    const afterMs: number[] = [];
    for (let at = 0; at < 300; at++) {
      const reply = await server.ask({ name: ENDPOINT });
      if (reply.answers.length === 3) afterMs.push(reply.afterMs);
      most = Math.max(most, residentMib(pid));
      await pause(5);
    }
    t.equal(afterMs.length, 300, 'every query is answered');
    afterMs.sort((a, b) => a - b);
    t.comment(
      `${before.toFixed(0)} MiB before, ${most.toFixed(0)} MiB at most; ` +
        `an endpoint after ${afterMs[150]?.toFixed(1)} ms, at worst ${afterMs.at(-1)?.toFixed(1)} ms`,
    );
    t.ok(most - before <= MOST_MORE_MIB, `${(most - before).toFixed(0)} MiB more`);

    for (const socket of clients) socket.destroy();
    const startedMs = performance.now();
    await until('memory has come back', async () => residentMib(pid) - before <= MOST_MORE_MIB / 3);
    t.comment(
      `back after ${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${residentMib(pid).toFixed(0)} MiB`,
    );
  },
);
