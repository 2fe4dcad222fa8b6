import t from 'tap';
import { agoMs, stampFrom, stampNow, wallTime } from '../../../src/refresh/reconcile/timeline.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';

const wall = (text: string) => Date.parse(text);

t.test('a moment of this process goes out by the wall clock of then, whatever it was before', async (t) => {
  const time = new VirtualTime('1970-01-01T00:00:00Z');
  await time.advance(1000);
  const stamp = stampNow(time);
  await time.advance(60_000);
  time.setWall('2026-06-01T00:00:00Z');
  t.equal(wallTime(stamp, time), wall('2026-05-31T23:59:00Z'));
  t.equal(agoMs(stamp, time), 60_000);
});

t.test(
  'a moment that was loaded goes back out as it came, and its age never jumps or goes below 0',
  async (t) => {
    for (const at of ['2026-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2106-01-01T00:00:00Z']) {
      const time = new VirtualTime(at);
      await time.advance(5000);
      const stamp = stampFrom(wall('2025-12-31T23:00:00Z'), time);
      const before = agoMs(stamp, time);
      t.ok(before >= 0, at);
      await time.advance(1000);
      time.setWall('2026-01-01T12:00:00Z');
      t.equal(agoMs(stamp, time), before + 1000, `${at}: ages by the monotonic clock`);
      t.equal(wallTime(stamp, time), wall('2025-12-31T23:00:00Z'), at);
    }
  },
);

t.test('no clock makes a time that a file cannot have', async (t) => {
  const time = new VirtualTime('1970-01-01T00:00:00Z');
  const before = stampNow(time);
  await time.advance(1000);
  t.equal(wallTime({ monotonicMs: -5_000 }, time), 0);
  time.setWall('+099999-01-01T00:00:00Z');
  t.equal(new Date(wallTime(before, time)).toISOString().length, 24);
});
