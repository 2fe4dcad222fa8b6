/** A thread that hangs, loops or ends: every call settles as a value, and a new thread takes its place. */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { threadsEnded, threadsNotEnded } from '../../src/runtime/background.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { apart, context, soon, withProgram } from './threads.ts';

t.test('a thread that is stuck delays nothing: an aborted call ends soon, as a value', async (t) => {
  const { farSide } = withProgram(t, `parentPort.on('message', () => { for (;;); });`);
  const abort = new AbortController();
  const head = farSide.head({ url: 'https://127.0.0.1', address: '127.0.0.1' }, abort.signal);
  const poll = farSide.poll('kubernetes', {}, context, abort.signal);
  abort.abort();
  t.equal(await head, 'silent', 'a thread of ours that hangs says nothing about the link');
  const late = { kind: 'failed', source: 'kubernetes', reason: 'internal', reachedFarSide: false };
  t.match(await poll, {
    ...late,
    detail: 'asking over https failed: the thread that does it does not answer',
  });
  t.match(await farSide.poll('kubernetes', {}, context, abort.signal), late, 'aborted before');
});

t.test('a thread that is there is ready, and one that is stuck is not', async (t) => {
  const { farSide } = await apart(t);
  t.equal(await farSide.isReady(soon()), true);
  const { farSide: stuck } = withProgram(t, `for (;;);`);
  t.equal(await stuck.isReady(AbortSignal.timeout(10)), false);
});

/** Loops for ever on one word, and answers everything else. */
const LOOPS = `let calls = 0;
parentPort.on('message', ({ kind, id, request }) => {
  if (kind !== 'call') return;
  if (request.context.cluster === 'loop') for (;;);
  parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`;

t.test(
  'a thread that loops is ended and replaced after three missed deadlines; every call settles',
  async (t) => {
    const { ask, log } = withProgram(t, LOOPS);
    t.match(await ask('x'), { calls: 1 });
    const neverAborted = ask('loop', new AbortController().signal);
    for (let missed = 1; missed <= 3; missed++) {
      t.match(await ask('x', AbortSignal.timeout(10)), {
        kind: 'failed',
        reason: 'internal',
        reachedFarSide: false,
      });
    }
    t.match(await neverAborted, { reason: 'internal', detail: /was replaced: it did not answer/ });
    t.match(log.lines, [{ level: 'error', fields: { missedDeadlines: 3 } }], 'said once');
    t.match(await ask('x'), { calls: 1 }, 'a new thread');
  },
);

t.test('a thread that is stuck in a poll of AWS takes no sign of life with it', async (t) => {
  const { farSide } = withProgram(
    t,
    `parentPort.on('message', ({ kind, id, name }) => {
  if (name === 'poll') for (;;);
  if (kind === 'call') parentPort.postMessage({ kind: 'done', id, output: 'answered' });
});`,
  );
  const stuck = farSide.poll('interfaces', {}, context, AbortSignal.timeout(10));
  t.match(await stuck, { reason: 'internal' });
  const head = { url: 'https://127.0.0.1', address: '127.0.0.1' };
  t.equal(await farSide.head(head, AbortSignal.timeout(5_000)), 'answered');
});

t.test('calls that are given up together miss one deadline, and a word in between counts', async (t) => {
  const time = new VirtualTime();
  const { ask, log } = withProgram(t, LOOPS, { clock: time, timers: time });
  const asked: Promise<unknown>[] = [];
  const give = async (name: string, calls: number): Promise<void> => {
    const abort = new AbortController();
    for (let call = 0; call < calls; call++) asked.push(ask(name, abort.signal));
    abort.abort();
    await time.advance(1_100);
  };
  t.match(await ask('x'), { calls: 1 });
  await give('loop', 10);
  await give('loop', 10);
  t.strictSame(log.lines, [], 'two deadlines');
  await give('loop', 10);
  t.equal(log.lines.length, 1);
  await Promise.all(asked);
});

t.test(
  'a thread that runs out of memory ends alone, is logged, and the next call has a new thread',
  async (t) => {
    const { ask, log } = withProgram(
      t,
      `let calls = 0;
parentPort.on('message', ({ kind, id, request }) => {
  if (kind !== 'call') return;
  if (request.context.cluster === 'grow') for (const all = []; ; ) all.push(new Array(1000).fill(all.length));
  parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`,
      { heapMb: 16 },
    );
    t.match(await ask('grow'), {
      kind: 'failed',
      reason: 'internal',
      detail: /the thread that does it ended/,
    });
    t.match(log.lines, [{ level: 'error', fields: { err: { code: 'ERR_WORKER_OUT_OF_MEMORY' } } }]);
    t.match(await ask('x'), { calls: 1 });
  },
);

t.test('a thread that ends is no evidence, and fails a poll as a value', async (t) => {
  const { farSide } = withProgram(t, `parentPort.on('message', () => process.exit(3));`);
  const request = { url: 'https://127.0.0.1', address: '127.0.0.1' };
  const failed = { kind: 'failed', source: 'kubernetes', reason: 'internal', reachedFarSide: false };
  t.equal(await farSide.head(request, soon()), 'silent');
  t.match(await farSide.poll('kubernetes', {}, context, soon()), {
    ...failed,
    detail: 'asking over https failed: the thread that does it ended',
  });
  farSide[Symbol.dispose]();
  t.equal(await farSide.head(request, soon()), 'silent');
  t.match(await farSide.poll('kubernetes', {}, context, soon()), { ...failed, detail: /stopping/ });
});

t.test(
  'a thread that cannot be ended is replaced once, and not again before one of the two has ended',
  async (t) => {
    const time = new VirtualTime();
    const pipe = join(t.testdir(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const { ask, farSide, log } = withProgram(
      t,
      `import { openSync } from 'node:fs';
let calls = 0;
parentPort.on('message', ({ kind, id, request }) => {
  if (kind !== 'call') return;
  if (request.context?.cluster === 'hang') {
    parentPort.postMessage({ kind: 'log', level: 'debug', fields: {}, text: 'hangs' });
    openSync(${JSON.stringify(pipe)}, 'r');
  }
  parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
});`,
      { clock: time, timers: time },
    );
    let hung = 0;
    const hang = async () => {
      const first = ask('hang');
      hung++;
      await until('it hangs', () => log.lines.filter(({ text }) => text === 'hangs').length === hung);
      for (let missed = 1; missed <= 3; missed++) {
        const abort = new AbortController();
        const call = ask('hang', abort.signal);
        abort.abort();
        await time.advance(1_100);
        await call;
      }
      await first;
    };
    t.match(await ask('x'), { calls: 1 });
    await threadsEnded(); // of the tests before
    await hang();
    t.equal(threadsNotEnded(), 1, 'it does not end');
    t.match(await ask('x'), { calls: 1 }, 'a new thread');
    await hang();
    t.equal(threadsNotEnded(), 2);
    const refused = { kind: 'failed', reason: 'internal', detail: /2 threads that did it have not ended/ };
    t.match(await ask('x'), refused, 'no third one');
    t.match(await ask('x'), refused);
    t.equal(threadsNotEnded(), 2);
    t.match(
      await farSide.head({ url: 'https://127.0.0.1' }, soon()),
      { calls: 1 },
      'the sign of life has its own',
    );
    t.match(
      log.lines.filter(({ level }) => level === 'error'),
      [{ fields: { missedDeadlines: 3 } }, { fields: { missedDeadlines: 3 } }, { fields: { threads: 2 } }],
    );
    const writer = openSync(pipe, 'r+'); // an open for reading waits for a writer, this one or a later one
    t.teardown(() => closeSync(writer));
    await until('one has ended', () => threadsNotEnded() < 2);
    t.match(await ask('x'), { calls: 1 }, 'a thread again');
    await until('both have ended', () => threadsNotEnded() === 0);
  },
);

t.test(
  'a file that hangs in a thread holds its end: the next thread stays, and goes on with its work',
  async (t) => {
    const time = new VirtualTime();
    const pipe = join(t.testdir(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const { ask, farSide, log } = withProgram(
      t,
      `import { open, stat } from 'node:fs';
let calls = 0;
parentPort.postMessage({ kind: 'log', level: 'info', fields: {}, text: 'starts' });
parentPort.on('message', ({ kind, id, request }) => {
  if (kind !== 'call') return;
  const done = () => parentPort.postMessage({ kind: 'done', id, output: { calls: ++calls } });
  if (request.context?.cluster !== 'hang') return done();
  open(${JSON.stringify(pipe)}, 'r', () => undefined);
  stat('.', done); // libuv's pool has taken the open before: until then an end of the thread cancels it
});`,
      { clock: time, timers: time },
    );
    await threadsEnded(); // of the tests before
    const idle = () => time.advance(15_000);
    t.match(await ask('hang'), { calls: 1 });
    await idle();
    t.equal(threadsNotEnded(), 1, 'it does not end');
    t.match(await ask('hang'), { calls: 1 }, 'a new thread');
    for (const calls of [2, 4]) {
      await idle();
      t.match(await ask('x'), { calls }, 'which would not end either');
      t.match(await farSide.head({ url: 'https://127.0.0.1' }, soon()), { calls: calls + 1 });
    }
    t.equal(threadsNotEnded(), 1);
    const writer = openSync(pipe, 'r+'); // an open for reading waits for a writer, this one or a later one
    t.teardown(() => closeSync(writer));
    await until('the first has ended', () => threadsNotEnded() === 0);
    await idle();
    await until('the second has ended', () => threadsNotEnded() === 0);
    t.match(await ask('x'), { calls: 1 }, 'a thread again');
    t.equal(log.lines.filter(({ text }) => text === 'starts').length, 3);
  },
);
