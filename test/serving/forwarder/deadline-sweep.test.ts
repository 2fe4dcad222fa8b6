import t from 'tap';
import { type Deadline, DeadlineSweep } from '../../../src/runtime/clock.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';

function deadline(time: VirtualTime, inMs: number, onDue: (atMs: number) => void): Deadline {
  return { dueAtMs: time.monotonicMs() + inMs, onDue };
}

t.test('each deadline falls due once, at most 10 ms late and never early', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  const lateness: number[] = [];
  for (const inMs of [700, 5, 300, 301, 305, 311, 1_999, 0]) {
    const entry = deadline(time, inMs, (atMs) => lateness.push(atMs - entry.dueAtMs));
    sweep.add(entry);
  }
  await time.advance(10_000);
  t.equal(lateness.length, 8);
  t.ok(
    lateness.every((ms) => ms >= -1 && ms <= 20),
    `late by ${lateness.join(' ')} ms`,
  );
  t.equal(sweep.size, 0);
});

t.test('a thousand waiting deadlines hold one timer, and none when nothing waits', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  const entries = Array.from({ length: 1_000 }, (_, at) => deadline(time, 200 + (at % 7), () => {}));
  for (const entry of entries) sweep.add(entry);
  t.equal(time.pendingTimers, 1);
  for (const entry of entries) sweep.delete(entry);
  await time.advance(1_000);
  t.equal(time.pendingTimers, 0);
});

t.test('a deleted deadline is silent, also when another of the same sweep deletes it', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  const second = deadline(time, 100, () => t.fail('was deleted'));
  const first = deadline(time, 100, () => sweep.delete(second));
  sweep.add(first);
  sweep.add(second);
  await time.advance(1_000);
});

t.test('a deadline may be added again while it falls due', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  const seen: number[] = [];
  const entry = deadline(time, 100, (nowMs) => {
    seen.push(nowMs);
    entry.dueAtMs = nowMs + 400;
    if (seen.length < 3) sweep.add(entry);
  });
  sweep.add(entry);
  await time.advance(5_000);
  t.strictSame(seen, [100, 500, 900]);
});

t.test('closing forgets everything', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  sweep.add(deadline(time, 100, () => t.fail('was closed')));
  sweep.close();
  t.equal(time.pendingTimers, 0);
  await time.advance(1_000);
});

t.test('thousands that are due together are called some at a time, in their order', async (t) => {
  const time = new VirtualTime();
  const perTurn: number[] = [];
  const counted = {
    after: (delayMs: number, run: () => void) =>
      time.after(delayMs, () => {
        perTurn.push(0);
        run();
      }),
  };
  const sweep = new DeadlineSweep(time, counted);
  const called: number[] = [];
  for (let at = 0; at < 5_000; at++)
    sweep.add(
      deadline(time, 100 + at / 5_000, () => {
        called.push(at);
        perTurn[perTurn.length - 1]! += 1;
      }),
    );
  await time.advance(200);
  t.ok(Math.max(...perTurn) <= 64, `${Math.max(...perTurn)} in one turn`);
  t.same(
    called,
    Array.from({ length: 5_000 }, (_, at) => at),
  );
});

t.test('deadlines that take long are called few at a time', async (t) => {
  const time = new VirtualTime();
  let [turns, called] = [0, 0];
  const counted = {
    after: (delayMs: number, run: () => void) =>
      time.after(delayMs, () => {
        turns++;
        run();
      }),
  };
  const sweep = new DeadlineSweep(time, counted);
  const busy = () => {
    called++;
    for (const untilMs = performance.now() + 1; performance.now() < untilMs; );
  };
  for (let at = 0; at < 20; at++) sweep.add(deadline(time, 100, busy));
  await time.advance(200);
  t.equal(called, 20);
  t.ok(turns >= 9, `${turns} turns`);
});
