/** A month without the link: the daemon's own rooms with every timer that they have, asked all the while. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { type Day, MOVED, type Month } from './thirty-days-child.ts';

const DAY_MS = 86_400_000;
const HOUR_SECONDS = 3_600;
/** A month. `OUTAGE_DAYS=8` is a quicker run, which sees the first of the two warnings. */
const DAYS = Number(process.env['OUTAGE_DAYS'] ?? 31);
const WARNED_AFTER_DAYS = [7, 30].filter((days) => days < DAYS);
const GROWTH_MB = 4;

t.setTimeout(900_000); // a month takes a minute and a half of one processor, which is shared

t.test('a month of disconnect: answered, aged and warned as it should be, with memory flat', async (t) => {
  const child = join(import.meta.dirname, 'thirty-days-child.ts');
  const directory = join(t.testdir(), 'state');
  const startMs = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    child,
    directory,
    `${DAYS}`,
  ]);
  const month = JSON.parse(stdout) as Month; // our own child's
  t.comment(`${DAYS} days in ${((performance.now() - startMs) / 1000).toFixed(0)} s`);

  t.equal(month.asked, DAYS * 24 * 4);
  t.same(month.faults, [], 'every name is answered as it should be, at once');

  for (const [at, day] of month.days.entries()) isAsOldAs(t, day, at + 1);
  t.equal(month.days.length, DAYS);
  t.match(
    month.warned.map(({ afterMs, level, days }) => [level, days, Math.floor(afterMs / DAY_MS)]),
    WARNED_AFTER_DAYS.map((days) => ['warn', days, days]),
    'the log warns after 7 days and after 30',
  );
  t.equal(month.warned.length, WARNED_AFTER_DAYS.length, 'once each');
  t.ok(month.lines < 40, `the log has ${month.lines} lines for all of it`);

  t.comment(`heap in MB: ${month.days.map(({ heapMb }) => heapMb.toFixed(1)).join(' ')}`);
  const most = (figure: 'heapMb' | 'timers' | 'cacheEntries', days: readonly Day[]) =>
    Math.max(...days.map((day) => day[figure]));
  const [early, late] = [month.days.slice(2, 9), month.days.slice(-7)];
  t.ok(most('heapMb', late) - most('heapMb', early) < GROWTH_MB, 'the heap does not grow');
  for (const figure of ['timers', 'cacheEntries'] as const)
    t.ok(
      most(figure, late) <= most(figure, early) + 1,
      `${figure}: ${most(figure, early)}, ${most(figure, late)}`,
    );

  t.not(month.afterReturn.conditionAfter3s, 'disconnected', 'the return is seen within 3 s');
  t.same(month.afterReturn.addressesAfter8s, MOVED, 'and refresh follows within 5 s of that');
  t.match(month.afterReturn, { lastRefreshFailed: false, warnings: [] });
});

function isAsOldAs(t: Test, day: Day, number: number): void {
  // when the link went, the interfaces had been seen five minutes ago, and the cluster's details within the hour
  const isRight = (seconds: number) => Math.abs(seconds - number * 24 * HOUR_SECONDS) < 1.25 * HOUR_SECONDS;
  t.ok(
    day.agesSeconds.length >= 8 && day.agesSeconds.every(isRight),
    `day ${number}: ages ${day.agesSeconds}`,
  );
  t.ok(isRight(day.cutForSeconds), `day ${number}: cut for ${day.cutForSeconds} s`);
  t.match(
    day,
    { condition: 'disconnected', isReady: true, pending: 0, credentials: 'accepted' },
    `day ${number}`,
  );
  const days = new RegExp(`^no source has confirmed anything for (${number - 1}|${number}) d: `);
  const early = /^no source has confirmed anything for (2[34] h|4[678] h|2 d): /;
  t.match(day.warnings.join('\n'), number > 2 ? days : early, `day ${number}`);
  t.equal(day.warnings.length, 1, `day ${number}: one warning`);
}
