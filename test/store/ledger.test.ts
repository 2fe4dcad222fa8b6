import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
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
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import { Ledger, type LedgerOptions } from '../../src/store/ledger.ts';
import type { LedgerEvent } from '../../src/store/ledger-format.ts';
import { ledgerPath, readLedger } from '../../src/store/ledger-reader.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { until } from '../helpers/patience.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { filesWith, type Operation, systemError, watchedFiles } from './faulty-files.ts';
import { numbered, SAMPLES } from './ledger-events.ts';

function open(directory: string, more: Partial<LedgerOptions> & { files?: FileSystem } = {}) {
  const { files = systemFiles, ...options } = more;
  const time = new VirtualTime();
  const log = new CollectingLog();
  const ledger = new Ledger({ directory, ...options }, { clock: time, timers: time, log, files });
  return { ledger, time, log };
}

/** What the ledger holds: sequence, and the number that the event carries, and what was lost in front of it. */
async function numbers(directory: string): Promise<string[]> {
  const { entries, faults } = await readLedger(directory);
  if (faults.length > 0) throw new Error(JSON.stringify(faults));
  return entries.map(({ sequence, event, lost }) => {
    const reason = event?.kind === 'stop' ? event.reason.replace('number ', '') : event?.kind;
    return `${sequence}: ${reason}${lost > 0 ? `, lost ${lost}` : ''}`;
  });
}

t.test('what was recorded is in the file, in order, with the time at which it happened', async (t) => {
  const directory = t.testdir();
  const { ledger, time, log } = open(directory);
  for (const event of SAMPLES) {
    ledger.record(event);
    await time.advance(1000);
  }
  await ledger.flush();
  const { entries, malformed } = await readLedger(directory);
  t.strictSame(
    entries.map(({ event }) => event),
    SAMPLES,
  );
  t.strictSame(
    entries.map(({ sequence }) => sequence),
    SAMPLES.map((_, at) => at + 1),
  );
  t.equal(entries[0]?.at, '2026-01-01T00:00:00.000Z');
  t.equal(entries[10]?.at, '2026-01-01T00:00:10.000Z');
  t.equal(malformed, 0);
  t.equal(statSync(ledgerPath(directory, 0)).mode & 0o777, 0o640);
  t.strictSame(ledger.state(), { sequence: 11, queued: 0, written: 11, lost: 0, failures: 0 });
  t.strictSame(log.lines, []);
});

t.test('a wall clock that jumps changes the times, not the order', async (t) => {
  const directory = t.testdir();
  const { ledger, time } = open(directory);
  for (const [at, wall] of [
    '2026-01-01T00:00:00Z',
    '1970-01-01T00:00:00Z',
    '2099-12-31T23:59:59Z',
  ].entries()) {
    time.setWall(wall);
    ledger.record(numbered(at));
  }
  await ledger.flush();
  const { entries } = await readLedger(directory);
  t.match(entries, [
    { sequence: 1, at: '2026-01-01T00:00:00.000Z' },
    { sequence: 2, at: '1970-01-01T00:00:00.000Z' },
    { sequence: 3, at: '2099-12-31T23:59:59.000Z' },
  ]);
});

t.test('the sequence goes on over restarts and rotations', async (t) => {
  const directory = t.testdir();
  for (let run = 0; run < 5; run++) {
    const { ledger } = open(directory, { maxOctets: 300 });
    for (let at = 0; at < 3; at++) ledger.record(numbered(run * 3 + at));
    await ledger.close();
  }
  const { entries } = await readLedger(directory);
  t.strictSame(
    entries.map(({ sequence }) => sequence),
    Array.from({ length: 15 }, (_, at) => at + 1),
  );
});

t.test('no file grows beyond its bound, and the oldest goes', async (t) => {
  const directory = t.testdir();
  const { ledger } = open(directory, { maxOctets: 1000, olderFiles: 4 });
  for (let at = 1; at <= 200; at++) {
    ledger.record(numbered(at));
    if (at % 7 === 0) await ledger.flush();
  }
  await ledger.flush();
  t.strictSame(readdirSync(directory).sort(), [
    'ledger.1.jsonl',
    'ledger.2.jsonl',
    'ledger.3.jsonl',
    'ledger.4.jsonl',
    'ledger.jsonl',
  ]);
  for (const name of readdirSync(directory)) {
    const { size } = statSync(join(directory, name));
    t.ok(size <= 1000, `${name}: ${size} octets`);
    if (name !== 'ledger.jsonl') t.ok(size > 900, `${name} was filled: ${size} octets`);
  }
  const { entries, malformed } = await readLedger(directory);
  t.equal(entries.at(-1)?.sequence, 200);
  t.strictSame(
    entries.map(({ sequence }) => sequence),
    Array.from({ length: entries.length }, (_, at) => 200 - entries.length + 1 + at),
    'what is left has no gap',
  );
  t.ok(entries.length > 40 && entries.length < 80, `${entries.length} entries`);
  t.equal(malformed, 0);
});

t.test('a line longer than a whole file may be is written all the same, alone', async (t) => {
  const directory = t.testdir();
  const { ledger } = open(directory, { maxOctets: 50 });
  for (let at = 1; at <= 3; at++) ledger.record(numbered(at));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3']);
  t.equal(readdirSync(directory).length, 3);
});

t.test('a torn last line is closed by a line feed before anything is appended', async (t) => {
  const directory = t.testdir();
  const first = open(directory).ledger;
  first.record(numbered(1));
  first.record(numbered(2));
  await first.close();
  const path = ledgerPath(directory, 0);
  truncateSync(path, statSync(path).size - 10);
  const second = open(directory).ledger;
  second.record(numbered(3));
  await second.close();
  t.strictSame(await numbers(directory), ['1: 1', '2: 3']);
  t.equal((await readLedger(directory)).malformed, 1);
  t.equal(readFileSync(path, 'utf8').split('\n').length, 4, 'three lines: whole, torn, whole');
});

t.test(
  'what was done to the file behind our back is noticed: moved, removed, cut, or appended to',
  async (t) => {
    const cases: [string, (path: string) => void, string[]][] = [
      ['moved away', (path) => renameSync(path, `${path}.moved`), ['3: 3']],
      ['removed', (path) => rmSync(path), ['3: 3']],
      ['emptied', (path) => truncateSync(path, 0), ['3: 3']],
      ['cut in a line', (path) => truncateSync(path, statSync(path).size - 4), ['1: 1', '3: 3']],
      ['appended to', (path) => appendFileSync(path, '# a note by hand'), ['1: 1', '2: 2', '3: 3']],
    ];
    for (const [what, interfere, expected] of cases) {
      const directory = t.testdir();
      const { ledger } = open(directory);
      ledger.record(numbered(1));
      ledger.record(numbered(2));
      await ledger.flush();
      interfere(ledgerPath(directory, 0));
      ledger.record(numbered(3));
      await ledger.flush();
      t.strictSame(await numbers(directory), expected, what);
      t.equal(ledger.state().failures, 0, what);
    }
  },
);

t.test('a disk that fails in any operation loses nothing: the next event brings all of them', async (t) => {
  for (const name of ['open', 'stat', 'write', 'sync', 'close', 'readdir'] as const) {
    let isBroken = true;
    const files = watchedFiles((operation) => {
      if (isBroken && operation.name === name) throw systemError('EIO', name);
    });
    const directory = t.testdir();
    const { ledger, log } = open(directory, { files });
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
    const { ledger, time } = open(directory, { files });
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
    await until('it is written', () => ledger.state().written === 1);
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
  const { ledger } = open(directory, {
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

t.test(
  'wherever a full disk cuts, behind a torn line too, each event is there once in the end',
  async (t) => {
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
        const { ledger } = open(directory, { files });
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
  },
);

/** A disk with room for so many octets, that takes at most 50 at a time. */
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

t.test(
  'a queue that is full loses the newest, counts them, and tells of them in the next line',
  async (t) => {
    const directory = t.testdir();
    let isBroken = true;
    const files = watchedFiles(({ name }) => {
      if (isBroken && name === 'open') throw systemError('ENOSPC', 'open');
    });
    const { ledger } = open(directory, { files, maxQueued: 3 });
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
    t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3', '4: 7, lost 3', '5: 8'], 'told once');
    t.match(ledger.state(), { queued: 0, lost: 3, written: 5 });
  },
);

t.test('a disk that hangs holds up nobody: recording returns at once, closing after a second', async (t) => {
  const directory = t.testdir();
  const hang = Promise.withResolvers<void>();
  const operations: Operation[] = [];
  const files = watchedFiles(async (operation) => {
    operations.push(operation);
    if (operation.name === 'sync') await hang.promise;
  });
  const { ledger, time } = open(directory, { files, maxQueued: 10 });
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

t.test('closing writes what waits, and nothing is taken after it', async (t) => {
  const directory = t.testdir();
  const { ledger, time } = open(directory);
  ledger.record(numbered(1));
  ledger.record(numbered(2));
  await ledger.close();
  ledger.record(numbered(3));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2']);
  t.equal(ledger.state().lost, 1);
  t.equal(time.pendingTimers, 0);
  await open(t.testdir()).ledger.close();
});

t.test('an event that cannot be composed does not keep later ones out', async (t) => {
  const directory = t.testdir();
  const { ledger, log } = open(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  const circular: Record<string, unknown> = { kind: 'stop' };
  circular['reason'] = circular;
  // a bug somewhere else, as the types do not allow it
  t.doesNotThrow(() => ledger.record(circular as unknown as LedgerEvent));
  await ledger.flush();
  ledger.record(numbered(2));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2, lost 1']);
  t.equal(log.lines[0]?.fields['code'], 'INTERNAL');
});

t.test(
  'what stands in the place of the file is left alone: nothing is lost over it, nothing hangs',
  async (t) => {
    const elsewhere = join(t.testdir({ elsewhere: '' }), 'elsewhere');
    for (const [what, code, place] of [
      ['a directory', 'EISDIR', (path: string) => mkdirSync(path)],
      ['a link to another file', 'ELOOP', (path: string) => symlinkSync(elsewhere, path)],
      ['a pipe that nobody reads', 'ENXIO', (path: string) => execFileSync('mkfifo', [path])],
      [
        'a pipe that somebody reads',
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
      const { ledger } = open(directory);
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
  const { ledger } = open(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  t.match(ledger.state(), { failures: 1, lastFailure: { code: 'ENOENT' } });
  mkdirSync(directory);
  ledger.record(numbered(2));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2']);
});

t.test('a kill at any step of a rotation leaves all lines but those of the oldest file', async (t) => {
  for (let step = 0; step <= 5; step++) {
    const directory = t.testdir();
    let renames = 0;
    const files = watchedFiles(({ name }) => {
      if (name === 'rename' && renames++ >= step) throw systemError('EIO', 'rename');
    });
    const filler = open(directory, { maxOctets: 200, olderFiles: 3 }).ledger;
    for (let at = 1; at <= 8; at++) filler.record(numbered(at));
    await filler.flush();
    const full = await numbers(directory);
    t.equal(full.length, 8, 'two lines a file, four files');
    const killed = open(directory, { maxOctets: 200, olderFiles: 3, files }).ledger;
    killed.record(numbered(9));
    await killed.flush();
    const left = await numbers(directory);
    t.ok(left.length >= 6, `step ${step}: ${left.join(' ')}`);
    const next = open(directory, { maxOctets: 200, olderFiles: 3 }).ledger;
    next.record(numbered(10));
    await next.flush();
    const after = await readLedger(directory);
    t.equal(after.entries.at(-1)?.event?.kind, 'stop');
    t.match((await numbers(directory)).at(-1), /: 10$/, `step ${step}: goes on`);
    t.ok(readdirSync(directory).length <= 4, `step ${step}: no file too many`);
    const sequences = after.entries.map(({ sequence }) => sequence);
    t.strictSame(
      sequences,
      sequences.toSorted((a, b) => a - b),
      `step ${step}: in order`,
    );
  }
});

t.test('two ledgers in one directory, as two servers by mistake: every line is whole', async (t) => {
  const directory = t.testdir();
  const [one, other] = [open(directory).ledger, open(directory).ledger];
  for (let at = 0; at < 100; at++) {
    one.record(numbered(at));
    other.record(numbered(1000 + at));
    if (at % 5 === 0) await Promise.all([one.flush(), other.flush()]);
  }
  await Promise.all([one.close(), other.close()]);
  const { entries, malformed } = await readLedger(directory);
  t.equal(entries.length, 200);
  t.equal(malformed, 0);
});

t.test('recording while a write is under way loses nothing and keeps the order', async (t) => {
  const directory = t.testdir();
  const { ledger } = open(directory, { maxOctets: 4000, maxQueued: 10_000, olderFiles: 99 });
  let recorded = 0;
  for (let round = 0; round < 200; round++) {
    for (let more = 0; more < round % 4; more++) ledger.record(numbered(++recorded));
    await new Promise((resolve) => setImmediate(resolve));
    if (round % 3 === 0) queueMicrotask(() => ledger.record(numbered(++recorded)));
  }
  await ledger.flush();
  t.equal(ledger.state().queued, 0);
  t.strictSame(
    await numbers(directory),
    Array.from({ length: recorded }, (_, at) => `${at + 1}: ${at + 1}`),
  );
});

t.test('an event that comes in the very moment in which a write ends is written, too', async (t) => {
  for (let turns = 0; turns < 12; turns++) {
    const directory = t.testdir();
    const done = Promise.withResolvers<void>();
    const files = watchedFiles(async ({ name }) => {
      if (name === 'close') done.resolve();
    });
    const { ledger } = open(directory, { files });
    ledger.record(numbered(1));
    await done.promise;
    for (let turn = 0; turn < turns; turn++) await undefined;
    ledger.record(numbered(2));
    await until('both are written', () => ledger.state().written === 2, 1);
    t.equal(ledger.state().written, 2, `${turns} turns after the close began`);
  }
});

t.test('a file of foreign size is rotated away, not read into memory line by line', async (t) => {
  const directory = t.testdir();
  writeFileSync(ledgerPath(directory, 0), Buffer.alloc(17 * 1024 * 1024, 0x78));
  const { ledger } = open(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  t.ok(existsSync(ledgerPath(directory, 1)));
  t.equal(statSync(ledgerPath(directory, 0)).size < 1000, true);
  t.match(await readLedger(directory), {
    entries: [{ sequence: 1 }],
    faults: [{ path: ledgerPath(directory, 1), code: 'EFBIG' }],
  });
});
