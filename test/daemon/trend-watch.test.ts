/** The figures for the plots: counters are read once in ten seconds, and the figures survive a restart. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Counts, TrendWatch } from '../../src/daemon/trend-watch.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import { SPANS, Trend } from '../../src/trend/trend.ts';
import { pause } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { watchedFiles } from '../store/faulty-files.ts';

function setUp(directory: string, time: VirtualTime, files: FileSystem = systemFiles) {
  const counts = { answers: 0, hits: 0, upstreamSeconds: 0.01, link: 1 };
  let reads = 0;
  const trend = new Trend();
  const read = (): Counts => {
    reads += 1;
    return { ...counts };
  };
  const parts = { directory, files, clock: time, timers: time, random: systemRandom, read };
  const last = (figure: 'queriesPerSecond' | 'hitRatio' | 'link') =>
    trend.read('hours', figure, time.wallMs(), SPANS.hours.slots).filter((value) => value !== undefined);
  return { counts, watch: new TrendWatch(trend, parts), last, reads: () => reads };
}

t.test('rates come from two readings; nobody asked is no hit ratio', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'trend-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const time = new VirtualTime();
  const { counts, watch, last, reads } = setUp(directory, time);
  await watch.start();
  await time.advance(10_000);
  t.strictSame([last('queriesPerSecond'), last('link')], [[], [1]], 'one reading gives no rate');
  Object.assign(counts, { answers: 100, hits: 75 });
  await time.advance(10_000);
  t.strictSame([last('queriesPerSecond'), last('hitRatio')], [[10], [0.75]]);
  await time.advance(10_000);
  t.strictSame([last('queriesPerSecond'), last('hitRatio')], [[10, 0], [0.75]]);
  t.equal(reads(), 3, 'one reading in each interval');
  await watch[Symbol.asyncDispose]();
  const next = setUp(directory, time);
  await next.watch.start();
  t.strictSame(next.last('queriesPerSecond'), [10, 0], 'kept over the restart');
  await next.watch[Symbol.asyncDispose]();
});

t.test('without a file, with a wrong file, without a directory: the plots start empty', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'trend-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'trend.bin'), 'not ours');
  for (const place of [directory, join(directory, 'gone')]) {
    const { watch, last } = setUp(place, new VirtualTime());
    await watch.start();
    t.strictSame(last('link'), []);
    await watch[Symbol.asyncDispose]();
  }
});

t.test('what a kill left of a save is removed at the next start', async (t) => {
  const directory = t.testdir({ '.trend.bin.0123456789abcdef.tmp': 'half', 'trend.bin': 'not ours' });
  const { watch } = setUp(directory, new VirtualTime());
  await watch.start();
  t.strictSame(readdirSync(directory), ['trend.bin']);
  await watch[Symbol.asyncDispose]();
});

t.test('a stop before the disk has given the figures of before keeps them', async (t) => {
  const directory = t.testdir({});
  const time = new VirtualTime();
  const first = setUp(directory, time);
  await first.watch.start();
  await time.advance(20_000);
  await first.watch[Symbol.asyncDispose]();
  const disk = Promise.withResolvers<void>();
  const slow = watchedFiles(({ name }) => (name === 'read' ? disk.promise : undefined));
  const { watch } = setUp(directory, time, slow);
  const started = watch.start();
  const stopped = watch[Symbol.asyncDispose]();
  await pause(20); // a save that does not wait is over by then
  disk.resolve();
  await Promise.all([started, stopped]);
  const next = setUp(directory, time);
  await next.watch.start();
  t.same(next.last('link'), [1, 1]);
  await next.watch[Symbol.asyncDispose]();
});
