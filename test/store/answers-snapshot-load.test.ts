import { monitorEventLoopDelay } from 'node:perf_hooks';
import t from 'tap';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { systemPause } from '../../src/runtime/slices.ts';
import { AnswerCache } from '../../src/serving/answer-cache/answer-cache.ts';
import { AnswersSnapshot, type SnapshotLoad } from '../../src/store/answers-snapshot.ts';
import { collectGarbage } from '../helpers/collect-garbage.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { asked, indexed, positive, settings } from '../serving/answer-cache/asked.ts';
import { PowerCutDisk } from './power-cut-disk.ts';
import { processOn } from './snapshot-setup.ts';

/** With a real clock and a real disk: figures of the machine are printed, and only facts that hold on any machine are asserted. */
const ANSWERS = Number(process.env['SNAPSHOT_ANSWERS'] ?? 20_000);

function processIn(directory: string) {
  const cache = new AnswerCache({ ...settings, sizeOctets: 2000 * ANSWERS });
  const parts = {
    cache,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: new CollectingLog(),
    pause: systemPause,
  };
  return {
    cache,
    snapshot: new AnswersSnapshot({ directory, sizeOctets: 2000 * ANSWERS, scope: '' }, parts),
  };
}

function put(cache: AnswerCache, name: string): void {
  const octets = positive(name, 80_000);
  cache.store(asked(name), octets, indexed(octets), systemClock.monotonicMs());
}

/** Runs `work` while a counter takes every turn of the event loop that it can get. */
async function besides<T>(
  work: Promise<T>,
  turn: () => void,
): Promise<{ result: T; turns: number; delayMs: string }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let turns = 0;
  let isOver = false;
  const done = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await new Promise((resolve) => setImmediate(resolve));
    turn();
    turns++;
  }
  delay.disable();
  const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) =>
    (ns / 1e6).toFixed(1),
  );
  return { result: await done, turns, delayMs: `p50 ${p50}, p99 ${p99}, max ${max}` };
}

t.test(`${ANSWERS} answers are written and loaded while everything else has its turn`, async (t) => {
  const directory = t.testdir();
  const before = processIn(directory);
  await before.snapshot.start();
  for (let n = 0; n < ANSWERS; n++) put(before.cache, `host-${n}.example.com`);
  let number = 0;
  const writing = await besides(before.snapshot.write(), () =>
    put(before.cache, `meanwhile-${number++ % 50}.example.com`),
  );
  const { result: written } = writing;
  if (written.kind !== 'written') throw new Error(written.kind);
  t.comment(
    `written: ${written.answers} answers, ${written.octets} octets in ${written.durationMs.toFixed(0)} ms, ` +
      `${written.slices} slices, the longest ${written.longestSliceMs.toFixed(1)} ms; event loop delay ${writing.delayMs} ms`,
  );
  t.ok(written.answers >= ANSWERS);
  t.ok(writing.turns > written.slices / 2, `${writing.turns} turns for others`);

  const after = processIn(directory);
  let firstFoundAt: number | undefined;
  let turn = 0;
  let wasServed = true;
  const loading = await besides<SnapshotLoad>(after.snapshot.start(), () => {
    turn++;
    put(after.cache, 'new.example.com');
    wasServed &&= after.cache.find(asked('new.example.com'), systemClock.monotonicMs()) !== undefined;
    if (
      firstFoundAt === undefined &&
      after.cache.find(asked('host-0.example.com'), systemClock.monotonicMs())
    )
      firstFoundAt = turn;
  });
  const { verdicts, durationMs, slices, longestSliceMs } = loading.result;
  t.comment(
    `loaded: ${JSON.stringify(verdicts)} in ${durationMs.toFixed(0)} ms, ${slices} slices, ` +
      `the longest ${longestSliceMs.toFixed(1)} ms; event loop delay ${loading.delayMs} ms`,
  );
  t.equal(verdicts.kept, written.answers);
  t.ok(loading.turns > slices / 2, `${loading.turns} turns for others`);
  t.ok(wasServed, 'new answers are served all the while');
  t.ok(
    firstFoundAt !== undefined && firstFoundAt < turn,
    `loaded answers are there as they come: turn ${firstFoundAt} of ${turn}`,
  );
});

t.test('memory stays flat over repeated snapshots', async (t) => {
  const { cache, snapshot } = processIn(t.testdir());
  await snapshot.start();
  for (let n = 0; n < 5000; n++) put(cache, `host-${n}.example.com`);
  const used: number[] = [];
  for (let round = 0; round < 40; round++) {
    put(cache, 'changed.example.com');
    const { kind } = await snapshot.write();
    if (kind !== 'written') throw new Error(kind);
    if (round % 10 !== 9) continue;
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    used.push((heapUsed + external) / 1e6);
  }
  t.comment(`MB after each 10 snapshots: ${used.map((mb) => mb.toFixed(1)).join(', ')}`);
  const [, second = 0, , last = 0] = used;
  // a leak would be 20 times 5,000 entries
  t.ok(last - second < 15, `${(last - second).toFixed(1)} MB more`);
});

t.test('work pauses where a slice is over, even with tiny steps', async (t) => {
  const disk = new PowerCutDisk();
  let pauses = 0;
  const options = {
    files: disk.files,
    pause: async () => {
      pauses++;
    },
  };
  const before = processOn(options);
  await before.snapshot.start();
  for (let n = 0; n < 1000; n++) before.put(`n${n}.example`);
  // a machine on which each reading of the clock takes 0.1 ms
  let spentMs = 0;
  const { monotonicMs } = before.time;
  before.time.monotonicMs = () => {
    spentMs += 0.1;
    return monotonicMs.call(before.time) + spentMs;
  };
  const written = await before.snapshot.write();
  if (written.kind !== 'written') throw new Error(written.kind);
  t.ok(written.longestSliceMs < 1.5, `the longest slice: ${written.longestSliceMs.toFixed(2)} ms`);
  t.ok(pauses >= 90, `${pauses} pauses`);
});
