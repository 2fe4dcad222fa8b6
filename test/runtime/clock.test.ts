/** Timers of the process, beyond the longest delay that the runtime takes; and work that ends early. */
import { getEventListeners } from 'node:events';
import { mock } from 'node:test';
import t from 'tap';
import { InnerAbort, SystemTimers } from '../../src/runtime/clock.ts';

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

t.test('inner work ends with the work around it, by itself, and when it is disposed of', async (t) => {
  const outer = new AbortController();
  const [first, second, third] = [0, 1, 2].map(() => new InnerAbort(outer.signal));
  first?.abort();
  third?.[Symbol.dispose]();
  const ended = () => [first, second, third].map((inner) => inner?.signal.aborted);
  t.strictSame(ended(), [true, false, true]);
  t.equal(outer.signal.aborted, false);
  outer.abort();
  t.strictSame(ended(), [true, true, true]);
  t.equal(new InnerAbort(outer.signal).signal.aborted, true, 'too late to begin');
});

t.test('inner work that is over leaves no listener at the work around it', async (t) => {
  const { signal } = new AbortController();
  for (let turn = 0; turn < 3; turn++) {
    using _inner = new InnerAbort(signal);
    t.equal(getEventListeners(signal, 'abort').length, 1);
  }
  t.equal(getEventListeners(signal, 'abort').length, 0);
});
