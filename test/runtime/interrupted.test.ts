/**
 * Signals come in between: every third call of those that carry datagrams fails with EINTR and has done nothing. No query may
 * be the worse for it. A library of C before libc does so, which wants a compiler: where there is none, the lab runs this.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { answerTo, clientQuery, HandMadeUpstream } from '../serving/forwarder/hand-made-upstream.ts';

const EVERY = 3;
const QUERIES = 4000;
/** Sent before their answers are waited for: no more than a receive buffer of the usual size holds. */
const AT_ONCE = 100;

const library = join(t.testdir(), 'interrupter.so');
const skip = await whySkip();

async function whySkip(): Promise<string | false> {
  const calls = await loadDatagramCalls();
  if (calls.kind !== 'available') return calls.reason;
  const source = join(import.meta.dirname, 'interrupter.c');
  const compiled = spawnSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (compiled.error !== undefined) return `no gcc: ${compiled.error.message}`;
  return compiled.status === 0 ? false : `gcc cannot make the library: ${compiled.stderr}`;
}

t.test(`${QUERIES} queries are answered while calls are interrupted`, { skip }, async (t) => {
  await using upstream = await HandMadeUpstream.start((asked) => asked.reply(answerTo(asked)));
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, 'interrupted-child.ts'),
      `${upstream.upstream.port}`,
    ],
    {
      env: { ...process.env, LD_PRELOAD: library, INTERRUPT_EVERY: `${EVERY}` },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  t.teardown(() => child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value);
  const answered = await askAll(port);
  child.stdin.end();
  const figures: unknown = JSON.parse(`${(await lines.next()).value}`);
  t.same(await exit, [0, null]);
  t.comment(JSON.stringify(figures));
  t.same(answered, { right: QUERIES, wrong: 0 }, 'each once, none in vain');
  t.match(figures, { failures: { timeout: 0, network: 0 }, sendErrors: 0, receiveErrors: 0 });
  t.same((figures as { log: unknown }).log, [], 'nothing to log');
  for (const [call, count] of Object.entries((figures as { interruptions: object }).interruptions))
    t.ok(count > 10, `${call} was interrupted ${count} times`);
});

/** Odd IDs are asked for upstream. Ends where an answer does not come. */
async function askAll(port: number) {
  const answered = { right: 0, wrong: 0 };
  const client = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 }).bind(0, '127.0.0.1');
  await once(client, 'listening');
  let all = Promise.withResolvers<boolean>();
  client.on('message', (reply) => {
    const isRight = reply[3] === 0x80 && reply.includes(`n${reply.readUInt16BE(0)}`);
    answered[isRight ? 'right' : 'wrong']++;
    if ((answered.right + answered.wrong) % AT_ONCE === 0) all.resolve(true);
  });
  for (let id = 0; id < QUERIES; ) {
    all = Promise.withResolvers();
    for (let at = 0; at < AT_ONCE; at++, id++) {
      const message = clientQuery(`n${id}.example`).octets.slice();
      message.set([id >> 8, id & 0xff]);
      client.send(message, port, '127.0.0.1');
    }
    const patience = setTimeout(() => all.resolve(false), PATIENCE_MS);
    const isDone = await all.promise;
    clearTimeout(patience);
    if (!isDone) break;
  }
  client.close();
  return answered;
}
