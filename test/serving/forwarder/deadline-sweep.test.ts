import fc from 'fast-check';
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

t.test('a defect of one that is due costs none of the others', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  const seen: number[] = [];
  for (let at = 0; at < 200; at++)
    sweep.add(
      deadline(time, 100, () => {
        seen.push(at);
        if (at === 3) throw new Error('a defect');
      }),
    );
  await t.rejects(time.advance(1_000), { message: 'a defect' });
  await time.advance(1_000);
  t.strictSame(
    seen.toSorted((one, other) => one - other),
    Array.from({ length: 200 }, (_, at) => at),
  );
});

t.test('a sweep looks at what is due, not at all that waits', async (t) => {
  const time = new VirtualTime();
  const sweep = new DeadlineSweep(time, time);
  let reads = 0;
  for (let at = 0; at < 10_000; at++) {
    const dueAtMs = time.monotonicMs() + 1_000 * at;
    sweep.add({
      get dueAtMs() {
        reads++;
        return dueAtMs;
      },
      onDue() {},
    });
  }
  reads = 0;
  await time.advance(99_500);
  t.equal(sweep.size, 9_900);
  t.ok(reads < 10 * 100, `${reads} reads for 100 that were due`);
  sweep.close();
});

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const step = fc.record({
  what: fc.constantFrom('add', 'add', 'delete', 'closer', 'away', 'wait'),
  which: fc.nat(40),
  ms: fc.nat(300),
});

t.test(
  'whatever is added, moved and deleted: each is called once, in time, and none that was deleted',
  async (t) => {
    let called = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 300 }), async (steps) => {
        const time = new VirtualTime();
        const sweep = new DeadlineSweep(time, time);
        const waiting = new Set<number>();
        const entries = Array.from({ length: 41 }, (_, at): Deadline => {
          const onDue = (nowMs: number) => {
            const lateMs = nowMs - entry.dueAtMs;
            if (!waiting.delete(at)) throw new Error(`${at} was not waiting`);
            if (lateMs < -1 || lateMs > 20) throw new Error(`${at} is ${lateMs} ms late`);
            called++;
            const other = entries[(at * 7) % 41];
            // one deletes another, or adds itself again
            if (other !== undefined && other !== entry && at % 3 === 0) {
              sweep.delete(other);
              waiting.delete((at * 7) % 41);
            } else if (at % 5 === 0) add(at, 5);
          };
          const entry: Deadline = { dueAtMs: 0, onDue };
          return entry;
        });
        const add = (at: number, inMs: number) => {
          const entry = entries[at]!;
          entry.dueAtMs = time.monotonicMs() + inMs;
          waiting.add(at);
          sweep.add(entry);
        };
        for (const { what, which, ms } of steps) {
          const entry = entries[which]!;
          if (what === 'wait') await time.advance(ms);
          else if (what === 'add' && !waiting.has(which)) add(which, ms);
          else if (what === 'closer' && waiting.has(which)) {
            entry.dueAtMs = Math.max(time.monotonicMs(), entry.dueAtMs - ms);
            sweep.add(entry);
          } else if (what === 'away' && waiting.has(which)) entry.dueAtMs += ms;
          else if (what === 'delete') {
            sweep.delete(entry);
            waiting.delete(which);
          }
          if (sweep.size !== waiting.size) throw new Error(`${sweep.size} wait, not ${waiting.size}`);
        }
        sweep.close();
        await time.advance(1_000);
      }),
      { seed, numRuns },
    );
    t.ok(called > numRuns, `${called} calls`);
  },
);
