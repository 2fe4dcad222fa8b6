import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { FarSource } from '../../src/far-side/poll.ts';
import type { SourceContext } from '../../src/records/observation.ts';
import { threadsNotEnded } from '../../src/runtime/background.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { ApiServers, slice } from './api-server.ts';
import { contextOf } from './polling.ts';
import { apart, context, soon, withProgram } from './threads.ts';

t.test('every poll through the thread reports what the simulated Region has, and its failures', async (t) => {
  const { sandbox, farSide } = await apart(t);
  const urls: string[] = [];
  const poll = (source: FarSource, known: Partial<SourceContext> = {}) =>
    farSide.poll(source, {}, contextOf({ cluster: 'demo', ...known }), soon(), (url) => urls.push(url));
  t.match(await poll('cluster'), { kind: 'details', details: { generation: 'instance-store' } });
  t.match(await poll('interfaces'), {
    kind: 'addresses',
    addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
  });
  t.match(await poll('route53', { endpoint: 'multi.site.example' }), { kind: 'addresses', ttlSeconds: 60 });
  t.match(await poll('route53', { endpoint: 'alias.site.example' }), {
    kind: 'addresses',
    addresses: [],
    targets: ['api.site.example'],
  });
  const url = new URL(sandbox.regionUrl).href;
  t.strictSame(new Set(urls.map((asked) => new URL(asked).href)), new Set([url]), 'and says whom it asks');
  sandbox.faults.add({ service: 'ec2', kind: 'deny' });
  t.match(await poll('interfaces'), { kind: 'failed', reason: 'denied', reachedFarSide: true, detail: /./ });
});

/** Says its name when it starts. */
const NAMED = `import { threadName } from 'node:worker_threads';
let calls = 0;
parentPort.postMessage({ kind: 'log', level: 'info', fields: {}, text: threadName + ' starts' });
parentPort.on('message', ({ kind, id, request }) => {
  if (kind === 'hello') parentPort.postMessage({ kind: 'done', id });
  else if (kind === 'call' && request.context?.cluster !== 'wait') parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`;

/** What the threads say, and when memory can go back, in one list. */
function withNamed(t: Test) {
  const time = new VirtualTime();
  const given: string[] = [];
  const giveBack = (when: string) => void given.push(when);
  const { ask, farSide, log } = withProgram(t, NAMED, { clock: time, timers: time, giveBack });
  const started = () => log.lines.map(({ text }) => text);
  const head = () => farSide.head({ url: 'https://127.0.0.1' }, soon());
  return { time, given, ask, farSide, started, head };
}

t.test('the thread with the AWS clients ends when it is not asked to poll', async (t) => {
  await until('the threads of earlier tests have ended', () => threadsNotEnded() === 0);
  const { time, given, ask, farSide, started, head } = withNamed(t);
  t.equal(await farSide.isReady(soon()), true);
  t.match(await head(), { calls: 1 });
  t.match(await farSide.poll('kubernetes', {}, context, soon()), { calls: 2 });
  t.strictSame(started(), ['far-side starts'], 'neither the sign of life nor the API servers need them');
  t.strictSame(given.splice(0), []);
  t.match(await ask('x'), { calls: 1 });
  t.strictSame(given.splice(0), ['thread-starts']);
  await time.advance(14_000);
  t.match(await ask('x'), { calls: 2 }, 'the same thread');
  await time.advance(14_000);
  const abort = new AbortController();
  const late = ask('wait', abort.signal);
  await time.advance(60_000);
  t.match(await head(), { calls: 3 }, 'a call under way keeps it');
  abort.abort();
  await time.advance(1_100);
  t.match(await late, { kind: 'failed', reason: 'internal' });
  t.match(await ask('x'), { calls: 4 }, 'and it stays for a while after the call');
  await time.advance(15_000);
  await until('its memory can go back', () => given.length > 0);
  t.strictSame(given.splice(0), ['thread-ended']);
  t.match(await ask('x'), { calls: 1 }, 'a new thread');
  t.strictSame(started(), ['far-side starts', 'aws starts', 'aws starts']);
});

t.test('one thread at a time: meanwhile the thread with the AWS clients does everything else', async (t) => {
  await until('the threads of earlier tests have ended', () => threadsNotEnded() === 0);
  const { time, given, ask, farSide, started, head } = withNamed(t);
  t.match(await head(), { calls: 1 });
  t.match(await ask('x'), { calls: 1 });
  await until('the other thread has ended', () => threadsNotEnded() === 0);
  t.match(await head(), { calls: 2 }, 'answered by the thread that is there');
  t.match(await farSide.poll('kubernetes', {}, context, soon()), { calls: 3 });
  t.equal(await farSide.isReady(soon()), true);
  t.strictSame(started(), ['far-side starts', 'aws starts']);
  for (let second = 0; second < 14; second += 2) {
    await time.advance(2_000);
    t.match(await head(), { calls: 4 + second / 2 });
  }
  await time.advance(1_000);
  await until('it ends, although other calls came', () => given.includes('thread-ended'));
  t.match(await head(), { calls: 1 });
  t.strictSame(started(), ['far-side starts', 'aws starts', 'far-side starts']);
  t.strictSame(given, ['thread-starts', 'thread-ended'], 'and a thread without them gives nothing back');
});

t.test('a thread that is to end lets its calls end first', async (t) => {
  await until('the threads of earlier tests have ended', () => threadsNotEnded() === 0);
  const { time, given, ask, farSide, started, head } = withNamed(t);
  t.match(await head(), { calls: 1 });
  const abort = new AbortController();
  const waiting = farSide.poll('kubernetes', {}, contextOf({ cluster: 'wait' }), abort.signal);
  t.match(await ask('x'), { calls: 1 });
  t.equal(threadsNotEnded(), 0, 'the thread beside it has a call under way');
  abort.abort();
  await time.advance(1_100);
  t.match(await waiting, { kind: 'failed', reason: 'internal' });
  const late = new AbortController();
  const guest = farSide.poll('kubernetes', {}, contextOf({ cluster: 'wait' }), late.signal);
  await time.advance(60_000);
  t.strictSame(given.splice(0), ['thread-starts'], 'the thread with the AWS clients as well');
  late.abort();
  await time.advance(1_100);
  t.match(await guest, { kind: 'failed', reason: 'internal' });
  await until('it has ended', () => given.includes('thread-ended'));
  t.match(await head(), { calls: 1 });
  t.strictSame(started(), ['far-side starts', 'aws starts', 'far-side starts']);
});

t.test('a poll that is given up ends at once, and says how far it had come', async (t) => {
  const { sandbox, farSide } = await apart(t);
  const demo = contextOf({ cluster: 'demo' });
  await farSide.poll('cluster', {}, demo, soon());
  sandbox.link.set('down');
  const abort = new AbortController();
  const urls: string[] = [];
  const poll = farSide.poll('cluster', {}, demo, abort.signal, (url) => {
    urls.push(url);
    abort.abort();
  });
  t.match(await poll, { kind: 'failed', reason: 'timeout', reachedFarSide: false });
  t.equal(urls.length, 1, 'the URL is known before anything has answered');
});

t.test(
  'a thread that ends fails the calls under way, is logged, and the next call has a new thread',
  async (t) => {
    const { ask, log } = withProgram(
      t,
      `let calls = 0;
parentPort.on('message', ({ id, request: { context } }) => {
  if (context.cluster === 'crash') throw new Error('a defect');
  if (context.cluster === 'end') process.exit(3);
  if (context.cluster !== 'wait') parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`,
    );
    t.match(await ask('x'), { calls: 1 });
    t.match(await ask('x'), { calls: 2 }, 'one thread for all');
    const waiting = ask('wait');
    for (const how of ['crash', 'end']) {
      t.match(await ask(how), {
        kind: 'failed',
        reason: 'internal',
        reachedFarSide: false,
        detail: 'asking over https failed: the thread that does it ended',
      });
      t.match(await ask('x'), { calls: 1 }, `${how}: a new thread`);
    }
    t.match(await waiting, { kind: 'failed', reason: 'internal' });
    t.match(log.lines, [{ level: 'error', fields: { err: { message: 'a defect' } } }]);
  },
);

t.test('log lines of the thread are logged here, with their fields', async (t) => {
  const { ask, log } = withProgram(
    t,
    `parentPort.on('message', ({ id }) => {
  parentPort.postMessage({ kind: 'log', level: 'warn', fields: { profile: 'p' }, text: 'something' });
  parentPort.postMessage({ kind: 'done', id, output: {} });
});`,
  );
  await ask('x');
  t.match(log.lines, [{ level: 'warn', fields: { profile: 'p' }, text: 'something' }]);
});

t.test('a sign of life through the thread: an answer, a portal that is none, silence', async (t) => {
  const { sandbox, farSide } = await apart(t);
  const { hostname: address } = new URL(sandbox.regionUrl);
  const url = sandbox.regionUrl;
  t.equal(await farSide.head({ url, address }, soon()), 'answered');
  const named = new URL(url);
  named.hostname = 'ec2.us-west-2.amazonaws.test';
  t.equal(await farSide.head({ url: named.href, address }, soon()), 'answered', 'the address is what counts');
  const portal = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n')).listen(0, '127.0.0.1');
  await once(portal, 'listening');
  t.teardown(() => portal.close());
  // the assertion: it listens on TCP, so its address is no path
  const { port } = portal.address() as AddressInfo;
  t.equal(await farSide.head({ url: `https://127.0.0.1:${port}`, address }, soon()), 'proxy');
  sandbox.link.set('down');
  t.equal(await farSide.head({ url, address }, AbortSignal.timeout(100)), 'timeout');
});

t.test('the API servers are polled through the thread, and a failure comes as a value', async (t) => {
  const { farSide } = await apart(t);
  await using servers = await ApiServers.start(['127.0.0.1']);
  servers.slices = [slice(['127.0.0.1', '127.0.0.2'])];
  const kubeconfig = join(t.testdir(), 'kubeconfig');
  const settings = { kubernetes: { kind: 'kubeconfig', kubeconfig } } as const;
  const poll = () => farSide.poll('kubernetes', settings, context, soon());
  t.match(await poll(), { kind: 'failed', reason: 'no-credentials', detail: /ENOENT/ });
  writeFileSync(kubeconfig, servers.kubeconfig({ token: 'the-token' }));
  t.strictSame(await poll(), {
    kind: 'addresses',
    source: 'kubernetes',
    addresses: ['127.0.0.1', '127.0.0.2'],
  });
  t.match(await farSide.poll('kubernetes', {}, context, soon()), { reason: 'no-credentials' });
});

t.test('once disposed nothing is asked, and calls under way fail', async (t) => {
  const { ask, farSide } = withProgram(t, `parentPort.on('message', () => {});`);
  const waiting = ask('x');
  await until('it is asked', () => true);
  farSide[Symbol.dispose]();
  const stopping = { kind: 'failed', reason: 'internal', detail: /stopping/ };
  t.match(await waiting, stopping);
  t.match(await ask('x'), stopping);
  t.equal(await farSide.isReady(soon()), false);
});

t.test(
  'the thread alone gives way to all others',
  { skip: process.platform !== 'linux' && 'the priority is that of the process' },
  async (t) => {
    await readFile('/dev/null'); // the first user of libuv's pool makes its threads, with its own priority: here as in the server
    const before = niceValues();
    const { farSide, sandbox } = await apart(t);
    const { hostname: address } = new URL(sandbox.regionUrl);
    t.equal(await farSide.head({ url: sandbox.regionUrl, address }, soon()), 'answered');
    const after = niceValues();
    for (const [thread, nice] of before) t.equal(after.get(thread) ?? nice, nice, `thread ${thread}`);
    const own = before.get(String(process.pid)) ?? Number.NaN;
    t.equal(after.get(String(process.pid)), own, 'the main thread is as it was');
    const added = [...after].filter(([thread]) => !before.has(thread)).map(([, nice]) => nice);
    t.ok(added.length > 0, 'the thread is there, and perhaps one that Node starts to read certificates');
    for (const nice of added) t.equal(nice, Math.min(own + 10, 19));
  },
);

/** Of each thread of this process: field 19 of proc_pid_stat(5). */
function niceValues(): Map<string, number> {
  return new Map(
    readdirSync('/proc/self/task').flatMap((thread): [string, number][] => {
      try {
        const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
        // the second field, the name, may have blanks in it
        return [[thread, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])]];
      } catch (error) {
        const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
        if (code === 'ENOENT' || code === 'ESRCH') return []; // a thread that has ended since it was listed
        throw error;
      }
    }),
  );
}
