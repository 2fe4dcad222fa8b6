/**
 * What interrupted.test.ts runs with the interrupter before libc: a listener and a forwarder, and nothing else that has
 * sockets. Says where it listens; says what happened to it once standard input ends.
 */
import { once } from 'node:events';
import { dlopen } from 'node:ffi';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { batchedServer } from './batched-server.ts';

const upstreamPort = Number(process.argv[2]);
const text = `127.0.0.1:${upstreamPort}`;
const calls = await loadDatagramCalls();
if (calls.kind !== 'available') throw new Error(calls.reason);
/** A deadline of half a second lasts half a minute: what passes it was lost, and not held up by a machine that stands still. */
const SLOWER = 60;
const time = {
  clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() / SLOWER },
  timers: { after: (delayMs: number, run: () => unknown) => systemTimers.after(delayMs * SLOWER, run) },
};
const server = batchedServer(calls.libc, { text, address: '127.0.0.1', port: upstreamPort }, time);
const listener = server.listener();
await listener.start();
process.stdout.write(`${listener.address.port}\n`);

await once(process.stdin.resume(), 'end');
const { interruptions } = dlopen(null, {
  interruptions: { arguments: ['int32'], return: 'uint32' },
}).functions;
/** As interrupter.c has them. */
const CALLS = ['socket', 'connect', 'send', 'recvmmsg', 'sendmmsg', 'epoll_wait'];
const { intake, forwarder, log } = server;
process.stdout.write(
  `${JSON.stringify({
    interruptions: Object.fromEntries(CALLS.map((call, at) => [call, interruptions(at)])),
    failures: forwarder.snapshot().upstreams[0]?.failures,
    sendErrors: intake.counters.get('sendOther'),
    receiveErrors: intake.counters.get('receiveErrors'),
    log: log.lines,
  })}\n`,
);
forwarder.close();
await listener.close(50);
