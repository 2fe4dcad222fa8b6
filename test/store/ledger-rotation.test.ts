/** The ledger over its files: their bounds, their order, and a kill between any two steps. */
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ledgerPath, readLedger } from '../../src/store/ledger-reader.ts';
import { systemError } from '../helpers/system-error.ts';
import { watchedFiles } from './faulty-files.ts';
import { numbered } from './ledger-events.ts';
import { numbers, openLedger } from './open-ledger.ts';

t.test('the sequence goes on over restarts and rotations', async (t) => {
  const directory = t.testdir();
  for (let run = 0; run < 5; run++) {
    const { ledger } = openLedger(directory, { maxOctets: 300 });
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
  const { ledger } = openLedger(directory, { maxOctets: 1000, olderFiles: 4 });
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
  const { ledger } = openLedger(directory, { maxOctets: 50 });
  for (let at = 1; at <= 3; at++) ledger.record(numbered(at));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2', '3: 3']);
  t.equal(readdirSync(directory).length, 3);
});

t.test('a kill at any step of a rotation leaves all lines but those of the oldest file', async (t) => {
  for (let step = 0; step <= 5; step++) {
    const directory = t.testdir();
    let renames = 0;
    const files = watchedFiles(({ name }) => {
      if (name === 'rename' && renames++ >= step) throw systemError('EIO', 'rename');
    });
    const filler = openLedger(directory, { maxOctets: 200, olderFiles: 3 }).ledger;
    for (let at = 1; at <= 8; at++) filler.record(numbered(at));
    await filler.flush();
    const full = await numbers(directory);
    t.equal(full.length, 8, 'two lines a file, four files');
    const killed = openLedger(directory, { maxOctets: 200, olderFiles: 3, files }).ledger;
    killed.record(numbered(9));
    await killed.flush();
    const left = await numbers(directory);
    t.ok(left.length >= 6, `step ${step}: ${left.join(' ')}`);
    const next = openLedger(directory, { maxOctets: 200, olderFiles: 3 }).ledger;
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
  const [one, other] = [openLedger(directory).ledger, openLedger(directory).ledger];
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

t.test('a file of foreign size is rotated away, not read into memory line by line', async (t) => {
  const directory = t.testdir();
  writeFileSync(ledgerPath(directory, 0), Buffer.alloc(17 * 1024 * 1024, 0x78));
  const { ledger } = openLedger(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  t.ok(existsSync(ledgerPath(directory, 1)));
  t.equal(statSync(ledgerPath(directory, 0)).size < 1000, true);
  t.match(await readLedger(directory), {
    entries: [{ sequence: 1 }],
    faults: [{ path: ledgerPath(directory, 1), code: 'EFBIG' }],
  });
});

t.test('directories in the places of older files are moved away, with what is in them', async (t) => {
  for (const places of [[4], [1], [2, 3], [1, 2, 3, 4]]) {
    const directory = t.testdir();
    for (const age of places) {
      mkdirSync(ledgerPath(directory, age));
      writeFileSync(join(ledgerPath(directory, age), 'a person’s'), 'copy');
    }
    const { ledger, log } = openLedger(directory, { maxOctets: 200, olderFiles: 4 });
    for (let at = 1; at <= 20; at++) {
      ledger.record(numbered(at));
      await ledger.flush();
    }
    t.match(ledger.state(), { written: 20, lost: 0, queued: 0, failures: 0 }, `at ${places.join(' and ')}`);
    t.strictSame(log.lines, []);
    const { files } = await readLedger(directory);
    t.equal(files, 5);
    const aside = readdirSync(directory).filter((name) => existsSync(join(directory, name, 'a person’s')));
    t.equal(aside.length, places.length, aside.join(' '));
    t.ok(
      aside.every((name) => /^ledger\.[1-4]\.jsonl\.foreign-/.test(name)),
      aside.join(' '),
    );
  }
});
