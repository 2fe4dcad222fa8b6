/** Recorded events: their order, their times, and events that come during a write. */
import { statSync } from 'node:fs';
import t from 'tap';
import type { LedgerEvent } from '../../src/store/ledger-format.ts';
import { ledgerPath, readLedger } from '../../src/store/ledger-reader.ts';
import { until } from '../helpers/patience.ts';
import { watchedFiles } from './faulty-files.ts';
import { numbered, SAMPLES } from './ledger-events.ts';
import { numbers, openLedger } from './open-ledger.ts';

t.test('recorded events are in the file, in order, with the time at which they happened', async (t) => {
  const directory = t.testdir();
  const { ledger, time, log } = openLedger(directory);
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
  t.strictSame(ledger.state(), {
    sequence: SAMPLES.length,
    queued: 0,
    written: SAMPLES.length,
    lost: 0,
    failures: 0,
    lastFailure: undefined,
  });
  t.strictSame(log.lines, []);
});

t.test('a wall clock that jumps changes the times, not the order', async (t) => {
  const directory = t.testdir();
  const { ledger, time } = openLedger(directory);
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

t.test('closing writes the events that wait, and later ones are not taken', async (t) => {
  const directory = t.testdir();
  const { ledger, time } = openLedger(directory);
  ledger.record(numbered(1));
  ledger.record(numbered(2));
  await ledger.close();
  ledger.record(numbered(3));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2']);
  t.equal(ledger.state().lost, 1);
  t.equal(time.pendingTimers, 0);
  await openLedger(t.testdir()).ledger.close();
});

t.test('an event that cannot be composed does not keep later ones out', async (t) => {
  const directory = t.testdir();
  const { ledger, log } = openLedger(directory);
  ledger.record(numbered(1));
  await ledger.flush();
  const circular: Record<string, unknown> = { kind: 'stop' };
  circular['reason'] = circular;
  // a defect elsewhere, because the types do not allow it
  t.doesNotThrow(() => ledger.record(circular as unknown as LedgerEvent));
  await ledger.flush();
  ledger.record(numbered(2));
  await ledger.flush();
  t.strictSame(await numbers(directory), ['1: 1', '2: 2, lost 1']);
  t.equal(log.lines[0]?.fields['code'], 'INTERNAL');
});

t.test('recording while a write is under way loses nothing and keeps the order', async (t) => {
  const directory = t.testdir();
  const { ledger } = openLedger(directory, { maxOctets: 4000, maxQueued: 10_000, olderFiles: 99 });
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
    const { ledger } = openLedger(directory, { files });
    ledger.record(numbered(1));
    await done.promise;
    for (let turn = 0; turn < turns; turn++) await undefined;
    ledger.record(numbered(2));
    await until('both are written', () => ledger.state().written === 2, 1);
    t.equal(ledger.state().written, 2, `${turns} turns after the close began`);
  }
});
