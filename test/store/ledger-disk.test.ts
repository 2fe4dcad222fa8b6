/** A disk that fails, fills up or hangs, and files that another program has changed: no event is lost. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { FileSystem } from '../../src/store/file-system.ts';
import { ledgerPath, readLedger } from '../../src/store/ledger-reader.ts';
import { until } from '../helpers/patience.ts';
import { systemError } from '../helpers/system-error.ts';
import { filesWith, type Operation, watchedFiles } from './faulty-files.ts';
import { numbered } from './ledger-events.ts';
import { numbers, openLedger } from './open-ledger.ts';

t.test('a torn last line is closed by a line feed before anything is appended', async (t) => {
  const directory = t.testdir();
  const first = openLedger(directory).ledger;
  first.record(numbered(1));
  first.record(numbered(2));
  await first.close();
  const path = ledgerPath(directory, 0);
  truncateSync(path, statSync(path).size - 10);
  const second = openLedger(directory).ledger;
  second.record(numbered(3));
  await second.close();
  t.strictSame(await numbers(directory), ['1: 1', '2: 3']);
  t.equal((await readLedger(directory)).malformed, 1);
  t.equal(readFileSync(path, 'utf8').split('\n').length, 4, 'three lines: whole, torn, whole');
});

t.test('a file that another program moved, removed, cut or appended to is noticed', async (t) => {
  const cases: [string, (path: string) => void, string[]][] = [
    ['moved away', (path) => renameSync(path, `${path}.moved`), ['3: 3']],
    ['removed', (path) => rmSync(path), ['3: 3']],
    ['emptied', (path) => truncateSync(path, 0), ['3: 3']],
    ['cut in a line', (path) => truncateSync(path, statSync(path).size - 4), ['1: 1', '3: 3']],
    ['appended to', (path) => appendFileSync(path, '# a note by hand'), ['1: 1', '2: 2', '3: 3']],
  ];
  for (const [what, interfere, expected] of cases) {
    const directory = t.testdir();
    const { ledger } = openLedger(directory);
    ledger.record(numbered(1));
    ledger.record(numbered(2));
    await ledger.flush();
    interfere(ledgerPath(directory, 0));
    ledger.record(numbered(3));
    await ledger.flush();
    t.strictSame(await numbers(directory), expected, what);
    t.equal(ledger.state().failures, 0, what);
  }
});

t.test('a disk that fails in any operation loses nothing: the next event brings all of them', async (t) => {
  for (const name of ['open', 'stat', 'write', 'sync', 'close', 'readdir'] as const) {
    let isBroken = true;
    const files = watchedFiles((operation) => {
      if (isBroken && operation.name === name) throw systemError('EIO', name);
    });
    const directory = t.testdir();
    const { ledger, log } = openLedger(directory, { files });
    ledger.record(numbered(1));
    await ledger.flush();
    ledger.record(numbered(2));
    await ledger.flush();
    t.match(ledger.state(), { lost: 0, failures: 2, lastFailure: { code: 'EIO' } }, name);
    t.match(
      log.lines,
      [
        {
          level: 'error',
          text: 'ledger cannot be written: events wait',
          fields: { code: 'EIO' },
        },
      ],
      `${name}: said once`,
    );
    t.equal(log.lines.length, 1);
    isBroken = false;
    ledger.record(numbered(3));
    await ledger.flush();
    t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3'], `${name}: each once`);
    t.strictSame(ledger.state().lastFailure, undefined);
    t.equal(log.lines[1]?.text, 'ledger can be written again');
  }
});

t.test(
  'a failed write is tried again by itself, every 30 s until it succeeds or the ledger is closed',
  async (t) => {
    let isBroken = true;
    let attempts = 0;
    const files = watchedFiles((operation) => {
      if (operation.name !== 'open') return;
      attempts++;
      if (isBroken) throw systemError('ENOSPC', 'open');
    });
    const directory = t.testdir();
    const { ledger, time } = openLedger(directory, { files });
    ledger.record(numbered(1));
    await ledger.flush();
    await time.advance(29_999);
    t.equal(attempts, 1);
    await time.advance(1);
    await ledger.flush();
    t.match(ledger.state(), { queued: 1, failures: attempts }, 'still full, and tried');
    t.ok(attempts > 1);
    isBroken = false;
    await time.advance(30_000);
    await until(
      'it is written',
      () => ledger.state().written === 1 && ledger.state().lastFailure === undefined,
    );
    t.strictSame(await numbers(directory), ['1: 1']);
    t.equal(ledger.state().lastFailure, undefined);
    const settled = attempts;
    await time.advance(300_000);
    t.equal(attempts, settled, 'and then it rests');
    isBroken = true;
    ledger.record(numbered(2));
    await ledger.close();
    const closed = attempts;
    await time.advance(300_000);
    t.equal(attempts, closed, 'nothing is tried after the end');
  },
);

t.test('a full disk takes part of a line: the line is closed, and written again whole', async (t) => {
  const directory = t.testdir();
  let room = 130;
  const { ledger } = openLedger(directory, {
    files: smallDisk(
      () => room,
      (left) => {
        room = left;
      },
    ),
  });
  ledger.record(numbered(1));
  ledger.record(numbered(2));
  await ledger.flush();
  t.match(ledger.state(), { written: 1, queued: 1, lastFailure: { code: 'ENOSPC' } });
  t.strictSame(await numbers(directory), ['1: 1']);
  t.equal((await readLedger(directory)).malformed, 1, 'the torn one');
  ledger.record(numbered(3));
  await ledger.flush();
  t.match(ledger.state(), { written: 1, queued: 2, failures: 2 }, 'still full');
  room = 10_000;
  ledger.record(numbered(4));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3', '4: 4']);
  t.match(ledger.state(), { written: 4, queued: 0, lost: 0 });
});

t.test('wherever a full disk cuts, after a torn line too, each event is there once in the end', async (t) => {
  for (const torn of ['', '{"sequence":']) {
    // around the start, and the ends of both lines
    for (const first of [0, 78, 156].flatMap((edge) => Array.from({ length: 12 }, (_, at) => edge + at))) {
      const directory = t.testdir();
      writeFileSync(ledgerPath(directory, 0), torn);
      let room = first;
      const files = smallDisk(
        () => room,
        (left) => {
          room = left;
        },
      );
      const { ledger } = openLedger(directory, { files });
      ledger.record(numbered(1));
      ledger.record(numbered(2));
      await ledger.flush();
      room = 10_000;
      ledger.record(numbered(3));
      await ledger.flush();
      const found = await numbers(directory);
      if (found.join() !== '1: 1,2: 2,3: 3') t.fail(`room for ${first}, torn "${torn}": ${found.join()}`);
    }
  }
  t.pass('all of them');
});

/** A disk with room for `octets`, that takes at most 50 at a time. */
function smallDisk(room: () => number, leave: (octets: number) => void): FileSystem {
  return filesWith((file) => ({
    write: async (octets, offset, length) => {
      const taken = Math.min(length, room(), 50);
      if (taken === 0) throw systemError('ENOSPC');
      const outcome = await file.write(octets, offset, taken);
      leave(room() - outcome.bytesWritten);
      return outcome;
    },
  }));
}

t.test('a queue that is full loses the newest, counts them, and reports them in the next line', async (t) => {
  const directory = t.testdir();
  let isBroken = true;
  const files = watchedFiles(({ name }) => {
    if (isBroken && name === 'open') throw systemError('ENOSPC', 'open');
  });
  const { ledger } = openLedger(directory, { files, maxQueued: 3 });
  for (let at = 1; at <= 5; at++) {
    ledger.record(numbered(at));
    await ledger.flush();
  }
  t.match(ledger.state(), { queued: 3, lost: 2 });
  isBroken = false;
  ledger.record(numbered(6)); // lost too, but it makes the others be written
  await ledger.flush();
  ledger.record(numbered(7));
  await ledger.flush();
  ledger.record(numbered(8));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3', '4: 7, lost 3', '5: 8'], 'reported once');
  t.match(ledger.state(), { queued: 0, lost: 3, written: 5 });
});

t.test('a disk that hangs delays no caller: recording returns at once, closing after a second', async (t) => {
  const directory = t.testdir();
  const hang = Promise.withResolvers<void>();
  const operations: Operation[] = [];
  const files = watchedFiles(async (operation) => {
    operations.push(operation);
    if (operation.name === 'sync') await hang.promise;
  });
  const { ledger, time } = openLedger(directory, { files, maxQueued: 10 });
  for (let at = 1; at <= 20; at++) ledger.record(numbered(at));
  await until('a write hangs', () => operations.some(({ name }) => name === 'sync'), 5);
  for (let at = 21; at <= 30; at++) ledger.record(numbered(at));
  t.equal(operations.filter(({ name }) => name === 'sync').length, 1, 'one write at a time');
  let isClosed = false;
  const closing = ledger.close().then(() => {
    isClosed = true;
  });
  await time.advance(900);
  t.notOk(isClosed);
  await time.advance(200);
  t.ok(isClosed);
  await closing;
  t.equal(time.pendingTimers, 0);
  hang.resolve();
  await ledger.flush();
});

t.test(
  'a foreign thing in the place of the file is left alone: no event is lost, nothing hangs',
  async (t) => {
    const elsewhere = join(t.testdir({ elsewhere: '' }), 'elsewhere');
    for (const [what, code, place] of [
      ['a directory', 'EISDIR', (path: string) => mkdirSync(path)],
      ['a link to another file', 'ELOOP', (path: string) => symlinkSync(elsewhere, path)],
      ['a pipe without a reader', 'ENXIO', (path: string) => execFileSync('mkfifo', [path])],
      [
        'a pipe with a reader',
        'EINVAL',
        (path: string) => {
          execFileSync('mkfifo', [path]);
          const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
          t.teardown(() => closeSync(reader));
        },
      ],
    ] as const) {
      const directory = mkdtempSync(join(tmpdir(), 'ledger-'));
      t.teardown(() => rmSync(directory, { recursive: true }));
      place(ledgerPath(directory, 0));
      const { ledger } = openLedger(directory);
      ledger.record(numbered(1));
      await ledger.flush();
      t.match(ledger.state(), { queued: 1, failures: 1, lastFailure: { code } }, what);
      rmSync(ledgerPath(directory, 0), { recursive: true });
      ledger.record(numbered(2));
      await ledger.flush();
      t.strictSame(await numbers(directory), ['1: 1', '2: 2'], what);
    }
    t.equal(statSync(elsewhere).size, 0);
  },
);

t.test('a directory that comes late is no loss', async (t) => {
  const directory = join(t.testdir(), 'late');
  const { ledger } = openLedger(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  t.match(ledger.state(), { failures: 1, lastFailure: { code: 'ENOENT' } });
  mkdirSync(directory);
  ledger.record(numbered(2));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2']);
});
