import fc from 'fast-check';
import t from 'tap';
import { nextDelayMs } from '../../src/refresh/cluster-sources.ts';
import type { Progress } from '../../src/refresh/source-poller.ts';

const settings = { intervalMs: 45_000, jitterPercent: 20, retryMinMs: 5_000, retryMaxMs: 60_000 };
const MIDDLE = 0.5; // no jitter

const cases: readonly [string, Partial<Progress>, number, number][] = [
  ['after a success, the interval', {}, MIDDLE, 45_000],
  ['the interval less its jitter', {}, 0, 36_000],
  ['the interval and its jitter', {}, 1, 54_000],
  ['after the first failure, 5 s', { consecutiveFailures: 1 }, MIDDLE, 5_000],
  ['the backoff has jitter too', { consecutiveFailures: 1 }, 0, 4_000],
  ['after the second failure, 10 s', { consecutiveFailures: 2 }, MIDDLE, 10_000],
  ['after the fourth failure, 40 s', { consecutiveFailures: 4 }, MIDDLE, 40_000],
  ['never more than 60 s', { consecutiveFailures: 5 }, MIDDLE, 60_000],
  ['nor after very many failures', { consecutiveFailures: 100_000 }, MIDDLE, 60_000],
  ['a few polls that never settle change nothing', { consecutiveFailures: 2, unsettled: 2 }, MIDDLE, 10_000],
  ['more of them make the polls rarer', { consecutiveFailures: 5, unsettled: 3 }, MIDDLE, 120_000],
  ['but never rarer than 5 min', { consecutiveFailures: 50, unsettled: 500 }, MIDDLE, 300_000],
];

t.test('the delay follows from how the polls went', (t) => {
  for (const [name, progress, fraction, expected] of cases) {
    const delayMs = nextDelayMs({ consecutiveFailures: 0, unsettled: 0, ...progress }, settings, fraction);
    t.equal(delayMs, expected, name);
  }
  t.end();
});

t.test('a refusal backs off to the interval where that is longer', (t) => {
  const hourly = { ...settings, intervalMs: 3_600_000 };
  const progress = { consecutiveFailures: 20, unsettled: 0 };
  t.equal(nextDelayMs({ ...progress, lastFailure: 'denied' }, hourly, MIDDLE), 3_600_000);
  t.equal(nextDelayMs({ ...progress, lastFailure: 'not-found' }, hourly, MIDDLE), 3_600_000);
  t.equal(nextDelayMs({ ...progress, lastFailure: 'denied' }, settings, MIDDLE), 60_000);
  t.equal(nextDelayMs({ ...progress, lastFailure: 'timeout' }, hourly, MIDDLE), 60_000);
  t.equal(nextDelayMs({ ...progress, lastFailure: 'denied', consecutiveFailures: 1 }, hourly, MIDDLE), 5_000);
  t.end();
});

t.test('no progress and no settings give a delay that is negative or no number', (t) => {
  const count = fc.nat(1_000_000);
  fc.assert(
    fc.property(
      count,
      count,
      fc.nat(100),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (failures, unsettled, jitterPercent, fraction) => {
        const progress = { consecutiveFailures: failures, unsettled };
        const delayMs = nextDelayMs(progress, { ...settings, jitterPercent }, fraction);
        return Number.isFinite(delayMs) && delayMs >= 0 && delayMs <= 600_000;
      },
    ),
  );
  t.end();
});
