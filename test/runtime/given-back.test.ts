/**
 * When memory goes back to the system, and which mappings of the program may be dropped: a page that the process has written to,
 * or relocated, would be lost.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import v8 from 'node:v8';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { cleanMappings, GivingBack, openOwnMemory, smallNurseries } from '../../src/runtime/memory.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const NODE = '/opt/outpost-dns/node_modules/node/bin/node';

function mapping(head: string, anonymousKib: number): string {
  return `${head}\nSize:   128 kB\nRss:   64 kB\nAnonymous:   ${anonymousKib} kB\nVmFlags: rd mr mw me\n`;
}

t.test('only what no page was written in, of the program alone', async (t) => {
  const smaps = [
    mapping(`00400000-0082e000 r--p 00000000 fe:01 77   ${NODE}`, 0),
    mapping(`0082e000-03489000 r-xp 0042e000 fe:01 77   ${NODE}`, 0),
    mapping(`072a7000-072dc000 r--p 06ea7000 fe:01 77   ${NODE}`, 24),
    mapping(`072dc000-07308000 rw-p 06edc000 fe:01 77   ${NODE}`, 0),
    mapping(`07308000-07309000 r-xp 06edc000 fe:01 78   ${NODE}-other`, 0),
    mapping(`17397000-18e22000 rw-p 00000000 00:00 0   [heap]`, 0),
    mapping(`7fbfe8000000-7fc000000000 rwxp 00000000 00:00 0 `, 0),
    mapping(`7fb547dc0000-7fb547fd5000 r-xp 01627000 fe:01 77   ${NODE}`, 0), // V8's, for one thread
    mapping(`7fc0158ee000-7fc015a1e000 r-xs 00000000 fe:01 77   ${NODE}`, 0),
    mapping(`7fc015a1e000-7fc015a1f000 r-xp 00000000 fe:01 79   /usr/lib/libc.so.6`, 0),
    mapping(`ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]`, 0),
  ].join('');
  t.strictSame(cleanMappings(smaps, NODE), [
    { start: 0x400000n, end: 0x82e000n },
    { start: 0x82e000n, end: 0x3489000n },
  ]);
  t.strictSame(cleanMappings('', NODE), []);
  t.strictSame(
    cleanMappings(`0082e000-03489000 r-xp 0 fe:01 77 ${NODE}\n`, NODE),
    [],
    'cut off: not known to be clean',
  );
  t.strictSame(cleanMappings(smaps.replaceAll(NODE, `${NODE} (deleted)`), NODE), [], 'replaced on the disk');
});

t.test(
  'a mapping that goes with its thread is not dropped',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const smaps = () => readFile('/proc/self/smaps', 'utf8');
    const ofFile = (text: string) =>
      text.split('\n').filter((line) => line.endsWith(` ${process.execPath}`)).length;
    const before = await smaps();
    const worker = new Worker('require("node:worker_threads").parentPort.on("message", () => undefined)', {
      eval: true,
    });
    await once(worker, 'online');
    const during = await smaps();
    await worker.terminate();
    t.comment(`mappings of the program: ${ofFile(before)} before, ${ofFile(during)} with the thread`);
    t.ok(cleanMappings(before, process.execPath).length > 0);
    t.strictSame(cleanMappings(during, process.execPath), cleanMappings(before, process.execPath));
  },
);

t.test('the process goes on without its pages', { skip: process.platform !== 'linux' }, async (t) => {
  const residentMib = async () => {
    const rollup = await readFile('/proc/self/smaps_rollup', 'utf8');
    return Number(/^Rss: +(\d+)/m.exec(rollup)?.[1]) / 1024;
  };
  t.ok(cleanMappings(await readFile('/proc/self/smaps', 'utf8'), process.execPath).length > 0);
  const before = await residentMib();
  const memory = await openOwnMemory();
  memory?.trim();
  memory?.dropProgram();
  const after = await residentMib();
  t.comment(`${before.toFixed(0)} MiB before, ${after.toFixed(0)} after`);
  const { X509Certificate } = await import('node:crypto');
  t.throws(() => new X509Certificate('none'), 'code that was never run before runs');
  t.ok(JSON.stringify(Intl.supportedValuesOf('currency')).length > 100, 'and so does data');
});

t.test('holes go back by a thread of the pool', { skip: process.platform !== 'linux' }, async (t) => {
  const script = `
    import { pbkdf2 } from 'node:crypto';
    import { dlopen } from 'node:ffi';
    import { readFileSync } from 'node:fs';
    const { openOwnMemory } = await import(${JSON.stringify(join(import.meta.dirname, '..', '..', 'src', 'runtime', 'memory.ts'))});
    const memory = await openOwnMemory();
    const residentMib = () => Number(/^Rss: +(\\d+)/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))[1]) / 1024;
    const { functions: c } = dlopen(null, {
      malloc: { arguments: ['uint64'], return: 'pointer' },
      memset: { arguments: ['pointer', 'int32', 'uint64'], return: 'pointer' },
      free: { arguments: ['pointer'], return: 'void' },
    });
    const blocks = Array.from({ length: 2_000 }, () => c.malloc(32_768n));
    for (const block of blocks) c.memset(block, 1, 32_768n);
    for (const [at, block] of blocks.entries()) if (at % 10 !== 9) c.free(block);
    const withHoles = residentMib();
    let isBusy = true;
    pbkdf2('', '', 1_000_000, 8, 'sha512', () => (isBusy = false)); // the pool has one thread
    memory.trim();
    memory.trim();
    const called = { isBusy, givenBack: withHoles - residentMib() };
    while (isBusy || withHoles - residentMib() < 40) await new Promise((resolve) => setTimeout(resolve, 20));
    memory.trim();
    console.log(JSON.stringify(called));`;
  const options = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout } = await promisify(execFile)(process.execPath, options, { env });
  const { isBusy, givenBack } = JSON.parse(stdout);
  t.ok(isBusy && givenBack < 20, `${givenBack} MiB at once: the loop went on`);
});

t.test('memory goes back when the start is over, when a room says so, and from time to time', async (t) => {
  const time = new VirtualTime();
  const done: string[] = [];
  const own = { dropProgram: () => void done.push('program'), trim: () => void done.push('holes') };
  const memory = new GivingBack(async () => own, time);
  memory.dropProgram();
  memory.all();
  t.strictSame(done.splice(0), [], 'nothing before it is open');
  await memory.start();
  t.strictSame(done.splice(0), ['program'], 'the start left no holes yet');
  memory.dropProgram();
  memory.all();
  t.strictSame(done.splice(0), ['program', 'holes', 'program']);
  await time.advance(2_999);
  t.strictSame(done.splice(0), []);
  await time.advance(1);
  t.strictSame(done.splice(0), ['holes'], 'holes every three seconds');
  await time.advance(296_999);
  t.strictSame(new Set(done.splice(0)), new Set(['holes']));
  await time.advance(1);
  t.strictSame(done.splice(0).sort(), ['holes', 'program'], 'the program every five minutes');
  await time.advance(900_000);
  t.equal(done.splice(0).length, 303, 'and so on');
  memory.whileThreadLoads();
  t.strictSame(done.splice(0), ['program'], 'before a thread starts');
  await time.advance(100);
  t.strictSame(new Set(done), new Set(['program']));
  t.equal(done.splice(0).length, 10, 'while it loads');
  await time.advance(10_000);
  t.equal(done.splice(0).filter((what) => what === 'program').length, 20, 'and then no more');
  memory.whileThreadLoads();
  done.splice(0);
  memory[Symbol.dispose]();
  await time.advance(900_000);
  t.strictSame(done, []);
});

t.test(
  'where memory cannot be given back nothing is tried; a start that is stopped arms no timer',
  async (t) => {
    const time = new VirtualTime();
    const without = new GivingBack(async () => undefined, time);
    await without.start();
    without.all();
    const done: string[] = [];
    const own = { dropProgram: () => void done.push('program'), trim: () => void done.push('holes') };
    const stopped = new GivingBack(async () => own, time);
    const starting = stopped.start();
    stopped[Symbol.dispose]();
    await starting;
    await time.advance(900_000);
    t.strictSame(done, []);
  },
);

t.test('a thread has a small nursery', async (t) => {
  const nurseryMib = () =>
    (v8.getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0) /
    2 ** 20;
  const fill = `let kept = [];
    for (let round = 0; round < 400; round++) kept = [...kept.slice(-40_000), ...Array.from({ length: 2_000 }, () => ({}))];`;
  const inThread = async () => {
    const worker = new Worker(
      `const v8 = require('node:v8');
      ${fill}
      require('node:worker_threads').parentPort.postMessage((${nurseryMib.toString()})());`,
      { eval: true },
    );
    const [size] = await once(worker, 'message');
    await worker.terminate();
    return Number(size);
  };
  v8.setFlagsFromString('--max-semi-space-size=8'); // with it a thread has 4 to 7 MiB
  smallNurseries();
  const after = await inThread();
  t.ok(after > 0 && after <= 3, `${after} MiB`);
});
