/** The one writer, without files: when a write happens, and what becomes of one that fails. */
import t from 'tap';
import { messages } from '../../src/log/log.ts';
import { type WriteEnd, Writer, type WriterOptions } from '../../src/store/writer.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const MESSAGES = messages({
  failing: { level: 'error', text: 'cannot be written', fields: { code: 'code', detail: 'detail' } },
  recovered: { level: 'info', text: 'can be written again' },
});
const written: WriteEnd = { kind: 'written' };
const full: WriteEnd = { kind: 'failed', code: 'ENOSPC', detail: 'no space left' };

function setUp(options: Partial<WriterOptions<WriteEnd>> = {}) {
  const [time, log] = [new VirtualTime(), new CollectingLog()];
  const begun: number[] = [];
  const disk = { write: async (): Promise<WriteEnd> => written };
  const write = () => {
    begun.push(time.monotonicMs());
    return disk.write();
  };
  const writer = new Writer({ write, messages: MESSAGES, ...options }, { clock: time, timers: time, log });
  const texts = () => log.lines.map(({ level, text }) => `${level} ${text}`);
  return { time, log, begun, disk, writer, texts };
}

t.test('one write at a time; a call during a write gets the end of the next', async (t) => {
  const { time, begun, disk, writer } = setUp();
  const first = Promise.withResolvers<WriteEnd>();
  disk.write = () => first.promise;
  const ends: string[] = [];
  const ask = (name: string) => void writer.now().then(({ kind }) => ends.push(`${name} ${kind}`));
  ask('a');
  t.equal(writer.isWriting, true);
  disk.write = async () => ({ kind: 'unchanged' });
  ask('b');
  ask('c');
  writer.start();
  await time.advance(10_000);
  t.equal(begun.length, 1);
  t.equal(writer.state().writingSinceMs, 0, 'a disk that hangs shows');
  first.resolve(written);
  await writer.ended();
  t.strictSame(ends, ['a written', 'b unchanged', 'c unchanged']);
  t.equal(begun.length, 2, 'one for all that came meanwhile');
  t.equal(writer.state().writingSinceMs, undefined);
  t.equal(writer.isWriting, false);
});

t.test('of planned moments the earliest counts, and any write takes their place', async (t) => {
  const { time, begun, writer } = setUp();
  writer.at(5_000);
  writer.at(3_000);
  writer.at(9_000);
  await time.advance(20_000);
  t.strictSame(begun, [3_000]);
  writer.at(30_000);
  await writer.now();
  await time.advance(60_000);
  t.strictSame(begun, [3_000, 20_000]);
  writer.at(0);
  await time.advance(0);
  t.strictSame(begun, [3_000, 20_000, 80_000], 'a moment that is over is now');
});

t.test('a failure is said once for each reason, counted, and tried again every 30 s', async (t) => {
  const { time, begun, disk, writer, texts } = setUp();
  disk.write = async () => full;
  t.strictSame(await writer.now(), full);
  await time.advance(60_000);
  t.strictSame(begun, [0, 30_000, 60_000]);
  t.match(writer.state(), { failures: 3, lastFailure: { code: 'ENOSPC', detail: 'no space left' } });
  t.strictSame(texts(), ['error cannot be written']);
  disk.write = async () => ({ kind: 'failed', code: 'EROFS', detail: 'read-only' });
  await time.advance(30_000);
  t.strictSame(texts(), ['error cannot be written', 'error cannot be written'], 'another reason');
  disk.write = async () => ({ kind: 'unchanged' });
  await time.advance(30_000);
  t.match(writer.state(), { failures: 4, lastFailure: { code: 'EROFS' } }, 'nothing was written yet');
  disk.write = async () => written;
  await writer.now();
  t.strictSame(texts().at(-1), 'info can be written again');
  t.strictSame(writer.state().lastFailure, undefined);
  await time.advance(600_000);
  t.equal(time.pendingTimers, 0);
});

t.test(
  'a disk that has just failed is not asked again at once, except for a caller that waits',
  async (t) => {
    const { time, begun, disk, writer } = setUp();
    const first = Promise.withResolvers<WriteEnd>();
    disk.write = () => first.promise;
    writer.start();
    writer.start();
    disk.write = async () => full;
    first.resolve(full);
    await writer.ended();
    t.equal(begun.length, 1);
    const second = Promise.withResolvers<WriteEnd>();
    disk.write = () => second.promise;
    writer.start();
    const waiting = writer.now();
    disk.write = async () => written;
    second.resolve(full);
    t.strictSame(await waiting, written);
    t.equal(begun.length, 3);
    t.equal(time.pendingTimers, 0, 'and no retry is left over');
  },
);

t.test('a defect rejects the calls that wait, counts as a failure, and is tried again', async (t) => {
  const { time, begun, disk, writer, log } = setUp();
  disk.write = () => Promise.reject(new TypeError('a bug'));
  await t.rejects(writer.now(), TypeError);
  t.match(writer.state(), { failures: 1, lastFailure: { code: 'INTERNAL', detail: 'a bug' } });
  t.match(log.lines, [{ level: 'error', fields: { code: 'INTERNAL', detail: 'a bug' } }]);
  disk.write = async () => written;
  await time.advance(30_000);
  t.equal(begun.length, 2);
  t.equal(writer.state().lastFailure, undefined);
});

t.test('a large file is written less often, whether its writes succeed or not', async (t) => {
  const MiB = 1024 * 1024;
  const HOUR = 3_600_000;
  for (const [octets, usualMs, urgentMs] of [
    [0, 50_000, 50_000],
    [100 * 1024, 50_000, 50_000],
    [MiB, 337_500, 84_375],
    [8 * MiB, 2_700_000, 675_000],
    [64 * MiB, HOUR, HOUR],
  ] as const) {
    const { writer } = setUp({ paceMs: 50_000 });
    t.equal(writer.earliestMs(), Number.NEGATIVE_INFINITY, 'at once, where nothing was written');
    writer.took(octets);
    t.strictSame([writer.earliestMs(), writer.earliestMs(true)], [usualMs, urgentMs], `${octets} octets`);
  }
  const { time, begun, disk, writer } = setUp({ retryMs: 50_000 });
  disk.write = async () => {
    writer.took(MiB);
    return full;
  };
  await writer.now();
  await time.advance(337_500);
  t.strictSame(begun, [0, 337_500]);
});

t.test('a stop waits for the last write or the one in progress, but not for a disk that hangs', async (t) => {
  const { time, begun, writer } = setUp();
  writer.at(1_000);
  await writer.stop(2_000, () => writer.now());
  t.equal(begun.length, 1);
  writer.at(5_000);
  t.equal(time.pendingTimers, 0, 'nothing is planned after it');
  await setUp().writer.stop(2_000);
  const hanging = setUp();
  hanging.disk.write = () => new Promise(() => {});
  hanging.writer.start();
  let isOver = false;
  void hanging.writer.stop(2_000).then(() => {
    isOver = true;
  });
  await hanging.time.advance(1_999);
  t.notOk(isOver);
  await hanging.time.advance(1);
  t.ok(isOver);
});
