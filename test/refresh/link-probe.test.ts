import t from 'tap';
import { type Evidence, initialLinkState, nextLinkState } from '../../src/link/link-monitor.ts';
import { LinkProbe, type LinkProbeOptions, type Ping } from '../../src/refresh/link-probe.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const random = { uint16: () => 0, uint32: () => 0, fraction: () => 0.5 };

function setUp(ping: Ping, more: Partial<LinkProbeOptions> = {}) {
  const time = new VirtualTime();
  const seen: (Evidence & { readonly atMs: number })[] = [];
  const evidence = (one: Evidence) => seen.push({ ...one, atMs: time.monotonicMs() });
  return { time, seen, probe: new LinkProbe({ ping, clock: time, timers: time, random, evidence, ...more }) };
}

t.test(
  'a quiet link is polled every ten seconds; a cut is known within 13 s, a return within 3 s',
  async (t) => {
    let isUp = true;
    const { time, seen, probe } = setUp(async () => (isUp ? 'answered' : 'timeout'));
    probe.watch(['us-west-2']);
    await time.advance(35_000);
    t.strictSame(
      seen.map(({ atMs, proves }) => [atMs, proves]),
      [
        [10_000, 'reachable'],
        [20_000, 'reachable'],
        [30_000, 'reachable'],
      ],
    );
    isUp = false;
    const cutAtMs = time.monotonicMs();
    await time.advance(20_000);
    let state = initialLinkState;
    const known = seen.find((one) => {
      state = nextLinkState(state, one, one.atMs);
      return state.condition === 'disconnected';
    });
    t.ok(
      known !== undefined && known.atMs - cutAtMs <= 13_000,
      `known after ${(known?.atMs ?? 0) - cutAtMs} ms`,
    );
    isUp = true;
    const backAtMs = time.monotonicMs();
    await time.advance(5_000);
    const back = seen.find(({ atMs, proves }) => atMs > backAtMs && proves === 'reachable');
    t.ok(
      back !== undefined && back.atMs - backAtMs <= 3_000,
      `back after ${(back?.atMs ?? 0) - backAtMs} ms`,
    );
    probe.stop();
    t.equal(time.pendingTimers, 0);
  },
);

t.test('a ping that hangs is given up, and one with nothing to say is no evidence', async (t) => {
  const hanging = setUp(
    (_region, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve('timeout'))),
  );
  hanging.probe.watch(['us-west-2']);
  await hanging.time.advance(12_000);
  t.match(hanging.seen, [{ proves: 'unreachable', reason: 'timeout' }]);
  hanging.probe.stop();
  const silent = setUp(async () => 'silent');
  silent.probe.watch(['us-west-2']);
  await silent.time.advance(60_000);
  t.strictSame(silent.seen, []);
  silent.probe.stop();
});

t.test('a path that becomes slow is in doubt, and then known to be there: never cut for good', async (t) => {
  let delayMs = 10;
  const time = new VirtualTime();
  const seen: (Evidence & { readonly atMs: number })[] = [];
  const probe = new LinkProbe({
    ping: (_region, signal) =>
      new Promise((resolve) => {
        time.after(delayMs, () => resolve('answered'));
        signal.addEventListener('abort', () => resolve('timeout'));
      }),
    clock: time,
    timers: time,
    random,
    evidence: (one) => seen.push({ ...one, atMs: time.monotonicMs() }),
  });
  probe.watch(['us-west-2']);
  await time.advance(15_000);
  delayMs = 6_000;
  await time.advance(60_000);
  t.match(
    seen.findLast(({ atMs }) => atMs < 30_000),
    { proves: 'reachable', reason: 'answered late' },
  );
  t.strictSame(
    seen.filter(({ atMs, proves }) => atMs > 30_000 && proves === 'unreachable'),
    [],
    'it answers: that it takes long is no cut',
  );
  t.ok(seen.filter(({ proves }) => proves === 'unreachable').length <= 4, 'and the doubt is short');
  delayMs = Number.MAX_SAFE_INTEGER;
  const cutAtMs = time.monotonicMs();
  await time.advance(60_000);
  const silence = seen.filter(({ atMs, proves }) => atMs > cutAtMs && proves === 'unreachable');
  t.ok((silence[2]?.atMs ?? Infinity) - cutAtMs < 35_000, 'silence is noticed on a slow path, too');
  probe.stop();
  await time.advance(0);
});

t.test('after a failure it is polled often until three answers in a row', async (t) => {
  const outcomes = ['network', 'answered', 'answered', 'answered', 'answered'] as const;
  let pings = 0;
  const { time, seen, probe } = setUp(async () => outcomes[pings++] ?? 'answered');
  probe.watch(['us-west-2']);
  await time.advance(25_000);
  t.strictSame(
    seen.map(({ atMs }) => atMs),
    [10_000, 11_000, 12_000, 13_000, 23_000],
  );
  probe.stop();
  t.equal(time.pendingTimers, 0);
});

t.test('Regions come and go with the configuration', async (t) => {
  const { time, seen, probe } = setUp(async () => 'answered');
  probe.watch(['a', 'b']);
  await time.advance(10_000);
  probe.watch(['b', 'c']);
  await time.advance(10_000);
  t.strictSame(
    seen.map(({ key }) => key),
    ['a', 'b', 'b', 'c'],
  );
  probe.stop();
});

t.test('a poll that is over keeps nothing: its signal is aborted, and released', async (t) => {
  const signals: AbortSignal[] = [];
  const { time, probe } = setUp(async (_region, signal) => {
    signals.push(signal);
    return 'answered';
  });
  probe.watch(['us-west-2']);
  await time.advance(60_000);
  t.ok(signals.length >= 5);
  t.ok(signals.every(({ aborted }) => aborted));
  probe.stop();
});

/** The condition that a row of evidence comes to, and the worst on the way. */
function conditions(seen: readonly (Evidence & { readonly atMs: number })[]) {
  let state = initialLinkState;
  const all = seen.map((one) => {
    state = nextLinkState(state, one, one.atMs);
    return state.condition;
  });
  return { last: state.condition, all };
}

t.test('sources that are answered outweigh a sign of life that fails: no cut, at no moment', async (t) => {
  let isOpen = true;
  let doubts = 0;
  const { time, seen, probe } = setUp(async () => (isOpen ? 'answered' : 'timeout'), {
    onDoubt: (region) => {
      doubts++;
      time.after(700, () => answered(region));
    },
  });
  const answered = (region: string): void => {
    seen.push({
      side: 'aws',
      key: region,
      proves: 'reachable',
      reason: 'answered',
      atMs: time.monotonicMs(),
    });
    probe.sourceAnswered(region);
  };
  probe.watch(['us-west-2']);
  await time.advance(25_000);
  isOpen = false;
  for (let minute = 0; minute < 60; minute++) {
    await time.advance(60_000);
    if (minute % 5 === 0) answered('us-west-2');
  }
  t.notOk(conditions(seen).all.includes('disconnected'));
  t.equal(doubts, 1, 'the sources were asked once');
  t.equal(conditions(seen).last, 'connected');
  isOpen = true;
  await time.advance(20_000);
  isOpen = false;
  const before = seen.length;
  await time.advance(1_200_000);
  t.equal(doubts, 2);
  t.ok(
    seen.slice(before).some(({ proves }) => proves === 'unreachable'),
    'an old answer outweighs nothing',
  );
  t.equal(conditions(seen).last, 'disconnected');
  probe.stop();
});

t.test('sources that fail as well outweigh nothing: a cut is known as soon as ever', async (t) => {
  let isUp = true;
  const { time, seen, probe } = setUp(async () => (isUp ? 'answered' : 'timeout'));
  probe.watch(['us-west-2']);
  await time.advance(25_000);
  probe.sourceAnswered('us-west-2'); // before the cut
  isUp = false;
  await time.advance(13_000);
  t.equal(conditions(seen).last, 'disconnected');
  probe.stop();
});

t.test('a proxy that answers in place of AWS is named, late or not, and is no cut', async (t) => {
  for (const delayMs of [10, 3_000]) {
    const { time, seen, probe } = setUp(
      () => new Promise((resolve) => time.after(delayMs, () => resolve('proxy'))),
    );
    probe.watch(['us-west-2']);
    await time.advance(300_000);
    t.notOk(conditions(seen).all.includes('disconnected'), `after ${delayMs} ms`);
    t.match(seen.at(-1), { proves: 'nothing', reason: 'proxy' });
    probe.stop();
  }
});

t.test('a probe that cannot ask gives no evidence, however long that takes', async (t) => {
  let isAble = false;
  const { time, seen, probe } = setUp(async () => 'answered', {
    ready: (_region, signal) =>
      isAble
        ? Promise.resolve(true)
        : new Promise((resolve) => signal.addEventListener('abort', () => resolve(false))),
  });
  probe.watch(['us-west-2']);
  await time.advance(120_000);
  t.strictSame(seen, [], 'a thread that hangs is no cut');
  isAble = true;
  await time.advance(30_000);
  t.match(seen, [{ proves: 'reachable' }]);
  probe.stop();
  await time.advance(0);
});
