/** What a suspend of the host does to clocks and timers, with clocks that a test moves. */
import t from 'tap';
import { SuspendMeter } from '../../src/runtime/clock.ts';
import { SystemTimers } from '../../src/runtime/timers.ts';
import { until } from '../helpers/patience.ts';

t.test('the clock since the boot goes on in a suspend, and only that counts', async (t) => {
  let [monotonicMs, bootMs] = [1000, 500_000];
  const meter = new SuspendMeter(
    () => monotonicMs,
    () => bootMs,
  );
  const pass = (ms: number, suspendedMs = 0) => {
    monotonicMs += ms;
    bootMs += ms + suspendedMs;
    return meter.measure();
  };
  for (const [ms, suspendedMs, measured, total] of [
    [1000, 0, 0, 0],
    [1000, 10, 0, 0], // the clocks are coarse
    [5, 3_600_000, 3_600_010, 3_600_010], // what was too little before is in it
    [1000, 0, 0, 3_600_010],
    [1000, 86_400_000, 86_400_000, 90_000_010],
    [1000, -400_000_000, 0, 90_000_010], // another host: never back
    [1000, 7000, 7000, 90_007_010],
  ] as const) {
    t.equal(pass(ms, suspendedMs), measured);
    t.equal(meter.totalMs, total);
  }
});

t.test(
  'timers that fell due in a suspend run at once, in their order; the others keep their moment',
  async (t) => {
    let nowMs = 0;
    const timers = new SystemTimers({ monotonicMs: () => nowMs });
    const ran: string[] = [];
    const note = (name: string) => () => void ran.push(name);
    timers.after(7_200_000, note('two hours'));
    timers.after(60_000, note('a minute'));
    timers.after(30_000, () => {
      ran.push('half a minute');
      timers.after(0, note('set by it'));
      disposed[Symbol.dispose]();
      throw new Error('costs this timer alone');
    });
    const disposed = timers.after(50_000, note('disposed of by an earlier one'));
    nowMs = 3_600_000;
    timers.catchUp();
    t.strictSame(ran, ['half a minute', 'a minute']);
    await until('what was set meanwhile runs', () => ran.length === 3);
    nowMs = 7_199_990;
    timers.catchUp();
    await until('the later one runs at its moment', () => ran.includes('two hours'));
    timers.catchUp();
    t.equal(ran.length, 4, 'each once');
  },
);
