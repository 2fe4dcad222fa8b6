/** What a suspend of the host does to clocks and timers, with clocks that a test moves. */
import t from 'tap';
import { SystemTimers } from '../../src/runtime/clock.ts';
import { SuspendMeter } from '../../src/runtime/suspends.ts';
import { until } from '../helpers/patience.ts';

/** A meter over clocks that a test moves. */
class Moved {
  #monotonicMs = 1000;
  #bootMs = 500_000;
  #wallMs = 1_000_000_000_000;
  readonly meter: SuspendMeter;

  constructor(hasWall: boolean) {
    this.meter = new SuspendMeter({
      monotonicMs: () => this.#monotonicMs,
      bootMs: () => this.#bootMs,
      ...(hasWall && { wallMs: () => this.#wallMs }),
    });
  }

  /** What is measured after `ms` in which the boot time and the wall clock jumped as well. */
  pass(ms: number, bootJumpMs = 0, wallJumpMs = 0): number {
    this.#monotonicMs += ms;
    this.#bootMs += ms + bootJumpMs;
    this.#wallMs += ms + wallJumpMs;
    return this.meter.measure();
  }
}

t.test('the clock since the boot goes on in a suspend, and only that counts', async (t) => {
  const moved = new Moved(false);
  for (const [ms, suspendedMs, measured] of [
    [1000, 0, 0],
    [1000, 10, 0], // the clocks are coarse
    [5, 3_600_000, 3_600_010], // what was too little before is in it
    [1000, 0, 0],
    [1000, 86_400_000, 86_400_000],
    [1000, -400_000_000, 0], // another host: never back
    [1000, 7000, 7000],
  ] as const) {
    t.equal(moved.pass(ms, suspendedMs), measured);
  }
});

const HOUR = 3_600_000;
const FIVE_YEARS = 5 * 365 * 24 * HOUR;

t.test('where the boot time may be another source, the wall clock has to have moved too', async (t) => {
  for (const [name, steps] of Object.entries({
    'an hour of sleep': [[1000, HOUR, HOUR, HOUR]],
    'the file is another source, and jumps alone': [[1000, HOUR, 0, 0]],
    'it jumps back and forth': [
      [1000, HOUR, 0, 0],
      [1000, -HOUR, 0, 0],
      [1000, HOUR, 0, 0],
    ],
    'it jumps a little, again and again': Array.from({ length: 20 }, () => [1000, 300, 0, 0]),
    'the wall clock was wrong at the boot and is set, then the file jumps': [
      [1000, 0, FIVE_YEARS, 0],
      [1000, HOUR, 0, 0],
    ],
    'the wall clock is set back': [[1000, 0, -FIVE_YEARS, 0]],
    'a time server sets the wall clock forward in the sleep: the boot time counts': [
      [1000, HOUR, FIVE_YEARS, HOUR],
    ],
    'a time server sets the wall clock back by less than half of the sleep': [[1000, HOUR, HOUR * 0.6, HOUR]],
    'a time server sets the wall clock far back in the sleep: nothing is known': [
      [1000, HOUR, -FIVE_YEARS, 0],
    ],
    'a virtual machine is paused: no clock of it moves, then its wall clock is set': [
      [1000, 0, 0, 0],
      [1000, 0, HOUR, 0],
    ],
    'a sleep after a jump of the file, and a jump after the sleep': [
      [1000, HOUR, 0, 0],
      [1000, 7000, 7000, 7000],
      [1000, HOUR, 0, 0],
    ],
    'a sleep of a fraction of a second, then a long one': [
      [1000, 400, 400, 0],
      [1000, HOUR, HOUR, HOUR + 400],
    ],
  })) {
    const moved = new Moved(true);
    t.strictSame(
      steps.map(([ms, boot, wall]) => moved.pass(ms ?? 0, boot, wall)),
      steps.map(([, , , measured]) => measured),
      name,
    );
  }
});

t.test('a host that falls asleep between two readings is measured by the next ones', async (t) => {
  let [monotonicMs, bootMs, wallMs] = [0, 0, 0];
  let sleepsBeforeWall = false;
  const meter = new SuspendMeter({
    monotonicMs: () => monotonicMs,
    bootMs: () => bootMs,
    wallMs: () => {
      if (sleepsBeforeWall) [bootMs, wallMs] = [bootMs + HOUR, wallMs + HOUR];
      sleepsBeforeWall = false;
      return wallMs;
    },
  });
  sleepsBeforeWall = true;
  t.equal(meter.measure(), 0);
  [monotonicMs, bootMs, wallMs] = [1000, bootMs + 1000, wallMs + 1000];
  t.equal(meter.measure(), HOUR);
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
