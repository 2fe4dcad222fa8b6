/** A disk that hangs holds few threads of the pool, and says so. */

import { constants } from 'node:fs';
import t from 'tap';
import { StateDisk, systemFiles } from '../../src/store/file-system.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { watchedFiles } from './faulty-files.ts';

function setUp() {
  const [time, log] = [new VirtualTime(), new CollectingLog()];
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const files = watchedFiles(({ name }) => {
    begun.push(name);
    return new Promise<void>((resolve) => ends.push(resolve));
  });
  const disk = new StateDisk(files, { directory: '/state', clock: time, timers: time, log });
  return { disk, time, log, begun, end: () => ends.shift()?.() };
}

/** An operation before it ends on the real disk first, however long that takes. */
const begins = (look: () => boolean) => until('the next operation begins', look, 1);

t.test(
  'two operations at a time, the others in their order; a failure gives its place to the next',
  async (t) => {
    const { disk, begun, end, time } = setUp();
    const names = ['a', 'b', 'c', 'd'].map((name) => `${t.testdir()}/${name}`);
    const outcomes = names.map((path) => disk.files.unlink(path).catch((error) => error.code));
    const read = disk.files.readdir('/');
    await time.advance(1);
    t.strictSame(begun, ['unlink', 'unlink']);
    for (let at = 0; at < 5; at++) {
      end();
      await begins(() => begun.length === Math.min(5, 3 + at));
    }
    t.strictSame(await Promise.all(outcomes), Array(4).fill('ENOENT'));
    t.ok((await read).length > 0);
  },
);

t.test('an open file waits for its turn too', async (t) => {
  const { disk, begun, end } = setUp();
  const opening = disk.files.open(import.meta.filename, constants.O_RDONLY);
  await begins(() => begun.length === 1);
  end();
  const file = await opening;
  const stats = [file.stat(), file.stat(), file.stat()];
  await begins(() => begun.length === 3);
  for (let at = 0; at < 3; at++) {
    end();
    await begins(() => begun.length === Math.min(4, 4 + at));
  }
  t.equal((await Promise.all(stats)).length, 3);
  const closing = file.close();
  await begins(() => begun.length === 5);
  end();
  await closing;
});

t.test('after ten seconds it is said once, and again when the disk answers', async (t) => {
  const { disk, time, log, end, begun } = setUp();
  const reading = disk.files.readdir('/');
  await begins(() => begun.length === 1);
  await time.advance(9_999);
  t.equal(disk.hangsForMs, undefined);
  t.same(log.lines, []);
  await time.advance(3_600_000);
  t.equal(disk.hangsForMs, 3_609_999);
  t.match(log.lines, [{ level: 'error', fields: { directory: '/state' }, text: /does not answer/ }]);
  end();
  await reading;
  t.equal(disk.hangsForMs, undefined);
  t.match(log.lines.slice(1), [{ level: 'info', text: /answers again/ }]);
});

t.test('many short operations are no hang', async (t) => {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const disk = new StateDisk(systemFiles, { directory: '/state', clock: time, timers: time, log });
  for (let at = 0; at < 20; at++) {
    await disk.files.readdir('/');
    await time.advance(1_000);
  }
  t.same(log.lines, []);
});
