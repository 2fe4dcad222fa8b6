/** Timers of the process, beyond the longest delay that the runtime takes. */
import { mock } from 'node:test';
import t from 'tap';
import { SystemTimers } from '../../src/runtime/timers.ts';

const DAY_MS = 86_400_000;

t.test('a timer of sixty days runs after sixty days', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let ran = 0;
  new SystemTimers({ monotonicMs: () => 0 }).after(60 * DAY_MS, () => ran++);
  for (let day = 0; day < 59; day++) mock.timers.tick(DAY_MS);
  t.equal(ran, 0);
  for (let day = 0; day < 2; day++) mock.timers.tick(DAY_MS);
  t.equal(ran, 1);
});
