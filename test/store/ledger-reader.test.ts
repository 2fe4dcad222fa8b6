import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { systemFiles } from '../../src/store/file-system.ts';
import { composeLine, type LedgerEvent } from '../../src/store/ledger-format.ts';
import { findLedgerEnd, ledgerPath, readLedger } from '../../src/store/ledger-reader.ts';
import { systemError } from '../helpers/system-error.ts';
import { filesWith, watchedFiles } from './faulty-files.ts';
import { numbered, sample } from './ledger-events.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 100);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const AT_MS = Date.UTC(2026, 0, 1);

function line(
  sequence: number,
  event: LedgerEvent = numbered(sequence),
  atMs = AT_MS + sequence * 1000,
  lost = 0,
) {
  return Buffer.from(composeLine({ sequence, atMs, lost, event }));
}

function lines(from: number, to: number): Buffer {
  return Buffer.concat(Array.from({ length: to - from + 1 }, (_, at) => line(from + at)));
}

const sequences = (reading: { entries: readonly { sequence: number }[] }) =>
  reading.entries.map(({ sequence }) => sequence);

t.test(
  'the files of a ledger are read as one, the newest last, gaps in their numbers included',
  async (t) => {
    const directory = t.testdir({
      'ledger.4.jsonl': lines(1, 3),
      'ledger.2.jsonl': lines(4, 5),
      'ledger.1.jsonl': lines(6, 9),
      'ledger.jsonl': lines(10, 11),
      'ledger.jsonl.bak': lines(100, 101),
      'ledger.01.jsonl': lines(100, 101),
      'endpoints.json': '{}',
    });
    const reading = await readLedger(directory);
    t.strictSame(sequences(reading), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    t.match(reading, { files: 4, malformed: 0, matched: 11, faults: [] });
  },
);

t.test('kinds, a time and a limit choose; the limit leaves the newest', async (t) => {
  const directory = t.testdir({
    'ledger.1.jsonl': Buffer.concat([line(1, sample('start')), line(2, sample('link'))]),
    'ledger.jsonl': Buffer.concat([
      line(3, sample('drill')),
      line(4, sample('link')),
      line(5, sample('stop')),
    ]),
  });
  const cases = [
    [{}, [1, 2, 3, 4, 5], 5],
    [{ limit: 2 }, [4, 5], 5],
    [{ limit: 99 }, [1, 2, 3, 4, 5], 5],
    [{ kinds: ['link'] }, [2, 4], 2],
    [{ kinds: ['link', 'drill'], limit: 2 }, [3, 4], 3],
    [{ kinds: [] }, [], 0],
    [{ sinceMs: AT_MS + 3000 }, [3, 4, 5], 3],
    [{ sinceMs: AT_MS + 3001, kinds: ['link'], limit: 1 }, [4], 1],
  ] as const;
  for (const [filter, expected, matched] of cases) {
    const reading = await readLedger(directory, filter);
    t.strictSame(sequences(reading), expected, JSON.stringify(filter));
    t.equal(reading.matched, matched);
  }
});

t.test('the order is that of the lines, not that of the wall clock', async (t) => {
  const years = [2026, 1970, 2099, 2026, 1999];
  const directory = t.testdir({
    'ledger.jsonl': Buffer.concat(years.map((year, at) => line(at + 1, numbered(at), Date.UTC(year, 0, 1)))),
  });
  const reading = await readLedger(directory);
  t.strictSame(sequences(reading), [1, 2, 3, 4, 5]);
  t.strictSame(
    reading.entries.map(({ at }) => Number(at.slice(0, 4))),
    years,
  );
});

t.test('lines that hold no entry are counted and skipped; empty ones are not even counted', async (t) => {
  const directory = t.testdir({
    'ledger.jsonl': Buffer.concat([
      line(1),
      line(2).subarray(0, 30),
      Buffer.from('\n\n\n'),
      Buffer.alloc(500),
      Buffer.from([0x0a, 0xff, 0xfe, 0x0a]),
      line(3),
      line(4).subarray(0, 40),
    ]),
  });
  const reading = await readLedger(directory);
  t.strictSame(sequences(reading), [1, 3]);
  t.equal(reading.malformed, 4);
});

t.test('a start without a stop before it is shown as the end of a run that was killed', async (t) => {
  const [start, stop, link] = [sample('start'), sample('stop'), sample('link')];
  const cases: [string, LedgerEvent[], boolean[]][] = [
    ['the first start of all', [start], [false]],
    ['after a stop', [start, stop, start], [false, false, false]],
    ['after anything else', [start, link, start], [false, false, true]],
    ['twice in a row', [start, start, start], [false, true, true]],
  ];
  for (const [what, events, expected] of cases) {
    const directory = t.testdir({
      'ledger.jsonl': Buffer.concat(events.map((event, at) => line(at + 1, event))),
    });
    const reading = await readLedger(directory);
    t.strictSame(
      reading.entries.map(({ isAfterCrash }) => isAfterCrash),
      expected,
      what,
    );
    const starts = await readLedger(directory, { kinds: ['start'] });
    t.strictSame(
      starts.entries.map(({ isAfterCrash }) => isAfterCrash),
      expected.filter((_, at) => events[at]?.kind === 'start'),
      `${what}: the filter does not change it`,
    );
  }
  const directory = t.testdir({
    'ledger.jsonl': Buffer.concat([line(1, start), line(2, start, AT_MS, 1)]),
  });
  t.equal((await readLedger(directory)).entries[1]?.isAfterCrash, false, 'the stop may be what was lost');
});

t.test('a rotation in the middle of reading hides nothing new and doubles nothing', async (t) => {
  const directory = t.testdir({
    'ledger.2.jsonl': lines(1, 3),
    'ledger.1.jsonl': lines(4, 6),
    'ledger.jsonl': lines(7, 9),
  });
  for (const at of [0, 1, 2]) {
    let opened = 0;
    const files = watchedFiles(async ({ name }) => {
      if (name !== 'open' || opened++ !== at) return;
      for (const age of [3, 2, 1]) {
        await systemFiles.rename(ledgerPath(directory, age - 1), ledgerPath(directory, age)).catch(() => {});
      }
      writeFileSync(ledgerPath(directory, 0), lines(10 + at, 10 + at));
    });
    const found = sequences(await readLedger(directory, {}, files));
    t.strictSame(
      found,
      [...new Set(found)].toSorted((a, b) => a - b),
      `before file ${at}: none twice`,
    );
    const before = new Set(found);
    // the oldest file got a number that was not there when the directory was listed
    t.ok(
      [7, 8, 9].every((sequence) => before.has(sequence)),
      `before file ${at}: the newest are there`,
    );
  }
});

t.test('a file that cannot be read is reported, and the others are read', async (t) => {
  const directory = t.testdir({ 'ledger.2.jsonl': lines(1, 2), 'ledger.jsonl': lines(5, 6) });
  mkdirSync(ledgerPath(directory, 1));
  t.match(await readLedger(directory), {
    entries: [{ sequence: 1 }, { sequence: 2 }, { sequence: 5 }, { sequence: 6 }],
    files: 3,
    faults: [{ path: ledgerPath(directory, 1), code: 'EINVAL', detail: /directory or device/ }],
  });
  const refused = watchedFiles(({ name, path }) => {
    if (name === 'open' && path.endsWith('2.jsonl')) throw systemError('EACCES', 'open');
  });
  t.match(await readLedger(directory, {}, refused), {
    entries: [{ sequence: 5 }, { sequence: 6 }],
    faults: [{ code: 'EINVAL' }, { code: 'EACCES', detail: /^open ".*ledger\.2\.jsonl": / }],
  });
  const closed = watchedFiles(({ name }) => {
    if (name === 'readdir') throw systemError('EACCES', 'scandir');
  });
  t.match(await readLedger(directory, {}, closed), {
    entries: [],
    files: 0,
    faults: [{ path: directory, code: 'EACCES' }],
  });
  t.match(await readLedger(join(directory, 'none')), { entries: [], files: 0, faults: [{ code: 'ENOENT' }] });
});

t.test('the end of a ledger: its last whole entry, and whether a line is torn', async (t) => {
  const torn = line(99).subarray(0, 20);
  const cases: [string, Record<string, Buffer>, { sequence: number; isTorn: boolean }][] = [
    ['no file', {}, { sequence: 0, isTorn: false }],
    ['an empty file', { 'ledger.jsonl': Buffer.alloc(0) }, { sequence: 0, isTorn: false }],
    ['a whole file', { 'ledger.jsonl': lines(1, 5) }, { sequence: 5, isTorn: false }],
    ['a torn file', { 'ledger.jsonl': Buffer.concat([lines(1, 5), torn]) }, { sequence: 5, isTorn: true }],
    [
      'nothing whole in the newest',
      { 'ledger.jsonl': torn, 'ledger.1.jsonl': lines(3, 4) },
      { sequence: 4, isTorn: true },
    ],
    [
      'a newest that was rotated away',
      { 'ledger.3.jsonl': Buffer.concat([lines(3, 4), torn]) },
      { sequence: 4, isTorn: false },
    ],
    [
      'a few lines of damage after the last entry',
      { 'ledger.jsonl': Buffer.concat([lines(1, 5), Buffer.from('damage\n'.repeat(90))]) },
      { sequence: 5, isTorn: false },
    ],
    [
      'more damage than is searched: the file before it goes on',
      {
        'ledger.jsonl': Buffer.concat([lines(6, 9), Buffer.from('{\n'.repeat(200))]),
        'ledger.1.jsonl': lines(1, 5),
      },
      { sequence: 5, isTorn: false },
    ],
    [
      'an entry after damage of any size',
      { 'ledger.jsonl': Buffer.concat([Buffer.from('{\n'.repeat(100_000)), line(7)]) },
      { sequence: 7, isTorn: false },
    ],
  ];
  for (const [what, files, expected] of cases) {
    t.strictSame(await findLedgerEnd(systemFiles, t.testdir(files)), expected, what);
  }
});

t.test('finding the end of a ledger reads no more than the tails of its files', async (t) => {
  const directory = t.testdir({
    'ledger.jsonl': '{\n'.repeat(7_500_000),
    'ledger.1.jsonl': Buffer.alloc(17 * 1024 * 1024, 0x78),
    'ledger.2.jsonl': lines(1, 5),
  });
  let octets = 0;
  const counting = filesWith((file) => ({
    read: async (into, offset, length, position) => {
      const outcome = await file.read(into, offset, length, position);
      octets += outcome.bytesRead;
      return outcome;
    },
  }));
  t.strictSame(await findLedgerEnd(counting, directory), { sequence: 5, isTorn: false });
  t.ok(octets <= 3 * 64 * 1024, `${octets} octets`);
});

t.test('no octets make the reader reject, and every line of ours that was left alone is found', async (t) => {
  const directory = t.testdir();
  const chunk = fc.oneof(
    { weight: 3, arbitrary: fc.nat(1000).map((sequence) => ({ octets: line(sequence), isOurs: true })) },
    {
      weight: 2,
      arbitrary: fc
        .uint8Array({ maxLength: 200 })
        .map((octets) => ({ octets: Buffer.concat([octets, Buffer.from('\n')]), isOurs: false })),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.nat(1000), fc.nat(70)).map(([n, cut]) => ({
        octets: Buffer.concat([line(n).subarray(0, cut), Buffer.from('\n')]),
        isOurs: false,
      })),
    },
  );
  await t.resolves(
    fc.assert(
      fc.asyncProperty(
        fc.array(chunk, { maxLength: 20 }),
        fc.uint8Array({ maxLength: 50 }),
        async (chunks, end) => {
          writeFileSync(
            join(directory, 'ledger.jsonl'),
            Buffer.concat([...chunks.map(({ octets }) => octets), Buffer.from(end)]),
          );
          const { entries, faults } = await readLedger(directory);
          const ours = chunks.filter(({ isOurs }) => isOurs).length;
          await findLedgerEnd(systemFiles, directory);
          return faults.length === 0 && entries.length === ours;
        },
      ),
      { seed, numRuns },
    ),
  );
});
