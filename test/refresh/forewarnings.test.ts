/** An operator hears in time of credentials that end and of a source that is silent, once in the log and all along in the status. */
import t from 'tap';
import type { Ending, Observation } from '../../src/records/observation.ts';
import { passedLimitMs } from '../../src/refresh/source-poller.ts';
import { A, B, setUp } from './refreshing.ts';
import { fails, ScriptedSource, sees } from './scripted-source.ts';

const DAY_MS = 86_400_000;

const ends = (what: Ending['what'], endsAtMs: number, isRenewed = false): Ending => ({
  what,
  endsAtMs,
  isRenewed,
});

t.test('the limits: 30, 7 and 1 days before an end, and none for a session that is renewed', (t) => {
  for (const [leftDays, isRenewed, wanted] of [
    [31, false, undefined],
    [30, false, 30],
    [7.5, false, 30],
    [7, false, 7],
    [1, false, 1],
    [-5, false, 1],
    [0.01, true, undefined],
  ] as const) {
    const passedMs = passedLimitMs(ends('session', 1_000 + leftDays * DAY_MS, isRenewed), 1_000);
    t.equal(passedMs, wanted === undefined ? undefined : wanted * DAY_MS, `${leftDays} days left`);
  }
  t.end();
});

t.test(
  'a certificate that ends: one line for each limit, a warning from then on, none after renewal',
  async (t) => {
    const kubernetes = new ScriptedSource('kubernetes', sees('kubernetes', A, B));
    const dns = new ScriptedSource('dns', sees('dns', A, B));
    const { time, log, refresher } = setUp([dns, kubernetes]);
    const startMs = time.wallMs();
    const observes = (days: number): Observation => ({
      ...sees('kubernetes', A, B),
      endings: [ends('kubernetes-certificate', startMs + days * DAY_MS)],
    });
    const lines = () => log.lines.filter(({ text }) => text.startsWith('credentials'));
    const warnings = () => refresher.snapshot().warnings.filter((one) => one.includes('certificate'));
    kubernetes.script = observes(40);
    refresher.start();
    for (const [day, count, level, warning] of [
      [1, 0, undefined, undefined],
      [11, 1, 'warn', 'ends at'],
      [32, 1, 'warn', 'ends at'],
      [33.5, 2, 'warn', 'ends at'],
      [39.5, 3, 'warn', 'ends at'],
      [41, 4, 'error', 'ended at'],
    ] as const) {
      time.setWall(new Date(startMs + day * DAY_MS).toISOString());
      await time.advance(600_000); // some polls
      t.equal(lines().length, count, `day ${day}: one line for each limit`);
      t.equal(lines().at(-1)?.level, level, `day ${day}`);
      t.match(warnings(), warning === undefined ? [] : [new RegExp(warning)], `day ${day}`);
      t.equal(refresher.snapshot().endings[0]?.what, 'kubernetes-certificate');
    }
    kubernetes.script = observes(400);
    await time.advance(600_000);
    t.strictSame([lines().length, warnings()], [4, []], 'renewed');
    // a poll that fails knows nothing of an end, and takes nothing away
    kubernetes.script = fails('kubernetes', 'timeout');
    await time.advance(600_000);
    t.match(refresher.snapshot().endings, [{ what: 'kubernetes-certificate' }]);
    refresher.stop();
  },
);

t.test(
  'a source that is silent for long while others answer; in a cut the silence of all is no news',
  async (t) => {
    const dns = new ScriptedSource('dns', sees('dns', A, B));
    const interfaces = new ScriptedSource('interfaces', sees('interfaces', A, B));
    const { time, log, refresher } = setUp([dns, interfaces]);
    refresher.start();
    await time.advance(60_000);
    interfaces.script = fails('interfaces', 'denied', true);
    const silent = () => refresher.snapshot().silent.map(({ source }) => source);
    const lines = () => log.lines.filter(({ text }) => text.startsWith('source has been silent'));
    await time.advance(10 * 60_000);
    t.strictSame([silent(), lines().length], [[], 0]);
    await time.advance(3 * 3_600_000);
    t.strictSame([silent(), lines().length], [['interfaces'], 1]);
    t.match(refresher.snapshot().warnings.join(), 'the source interfaces has given no answer for');
    interfaces.script = sees('interfaces', A, B);
    await time.advance(2 * 3_600_000);
    t.strictSame([silent(), lines().length], [[], 1]);
    for (const source of [dns, interfaces]) source.script = fails(source.name, 'timeout');
    await time.advance(6 * 3_600_000);
    t.strictSame([silent(), lines().length], [[], 1], 'a cut');
    refresher.stop();
  },
);
