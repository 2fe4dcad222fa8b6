/** How an upstream is found to send our own queries back, and that no client can make it look so. */
import t from 'tap';
import type { Query } from '../../../src/protocol/wire/query.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const isLooping = (world: VirtualUpstreams, at = 0) => world.forwarder.snapshot().upstreams[at]?.isLooping;

/** As the resolver does with a query that it would forward. Returns whether it was a probe. */
function comesIn(world: VirtualUpstreams, query: Query): boolean {
  const isProbe = world.forwarder.isLoopProbe(query);
  if (isProbe) world.forwarder.noteLoop(query);
  return isProbe;
}

t.test('all 65,536 IDs of a question that is on its way make no loop', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a')], () => 'silence');
  void world.forwarder.forward(clientQuery('slow.example'), group('.'));
  await world.time.advance(5);
  for (let id = 0; id <= 0xffff; id++) {
    const query = clientQuery('slow.example');
    query.id = id;
    if (comesIn(world, query)) t.fail(`taken for a loop with ID ${id}`);
  }
  t.equal(isLooping(world), false);
  t.notOk(world.forwarder.isDown(group('.')));
});

t.test('a probe under the apex of the group goes out 5 s after the start; nothing else is one', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a'), group('corp.example', 'b')], () => answers);
  await world.time.advance(60_000);
  t.match(
    world.loopProbes.map(({ upstream, atMs, query }) => `${upstream} ${atMs} ${query.nameText()}`),
    [/^a 5000 [0-9a-f]{32}\.[0-9a-f]{32}$/, /^b 5000 [0-9a-f]{32}\.[0-9a-f]{32}\.corp\.example$/],
  );
  const [a, b] = world.loopProbes.map(({ query }) => query.nameText());
  t.not(a, b?.replace('.corp.example', ''), 'each has a name of its own');
  for (const name of [
    a!.slice(1),
    `x.${a}`,
    b!.replace('corp', 'core'),
    a!.replace(/^./, (c) => (c === '0' ? '1' : '0')),
  ])
    t.notOk(comesIn(world, clientQuery(name)), name);
});

t.test('an upstream that comes and goes is probed all the same', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a')], ({ atMs }) =>
    atMs % 3_000 < 2_500 ? answers : { afterMs: 1, fails: 'network' },
  );
  for (let at = 0; at < 600; at++) {
    void world.forwarder.forward(clientQuery(`name-${at}.example`), group('.'));
    await world.time.advance(100);
  }
  t.ok(world.changes.length > 10, `it comes and goes: ${world.changes.length}`);
  t.ok(world.loopProbes.length > 1, 'each return does not put the planned probe off');
});

t.test('the probe that comes back, with whatever ID and case, is a loop for its group alone', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a', 'b'), group('corp.example', 'a')], () => answers);
  await world.time.advance(5_010);
  const probe = world.loopProbes.find(({ query, upstream }) => upstream === 'a' && query.labelCount === 2)!;
  t.ok(comesIn(world, clientQuery(probe.query.nameText().toUpperCase())));
  t.equal(isLooping(world), true);
  t.match(world.forwarder.snapshot().upstreams, [
    { isUp: true, failures: { loop: 1 } },
    { isLooping: false },
  ]);
  t.match(world.log.lines, [
    { level: 'warn', text: /sends our own queries back/, fields: { upstream: 'a', zone: '.' } },
  ]);
  t.match((await ask(world, 'a.example', '.'))[0], { upstream: 'b' }, 'avoided');
  t.match(
    (await ask(world, 'x.corp.example', 'corp.example'))[0],
    { upstream: 'a' },
    'another group uses it',
  );
});

t.test('a probe that comes back after more than 5 s does not count', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a')], () => answers);
  await world.time.advance(10_001);
  t.notOk(comesIn(world, world.loopProbes[0]!.query));
});

t.test(
  'a loop is avoided without a gap while it lasts, logged once, and forgotten within 30 s',
  async (t) => {
    const world = new VirtualUpstreams([group('.', 'a')], () => answers);
    await world.time.advance(5_000);
    let seen = 0;
    for (let second = 0; second < 300; second++) {
      for (; seen < world.loopProbes.length; seen++) comesIn(world, world.loopProbes[seen]!.query);
      await world.time.advance(1_000);
      if (!world.forwarder.isDown(group('.'))) t.fail(`asked again after ${second} s`);
    }
    t.match(await world.forwarder.forward(clientQuery('b.example'), group('.')), {
      reason: 'loop',
      extendedError: 23,
    });
    t.equal(world.log.lines.length, 1);
    t.ok(seen <= 13, `${seen} probes in 5 minutes`);
    await world.time.advance(31_000);
    t.notOk(world.forwarder.isDown(group('.')));
  },
);

t.test(
  'a question that is asked again while it gets no answer is suspicious: one probe in 20 s',
  async (t) => {
    for (const doing of ['silence', { afterMs: 3_000, says: 2 }] as const) {
      const world = new VirtualUpstreams([group('.', 'a')], ({ isProbe }) => (isProbe ? answers : doing));
      await world.time.advance(60_000);
      t.equal(world.loopProbes.length, 1, 'the one at the start');
      await ask(world, 'alone.example', '.');
      t.equal(world.loopProbes.length, 1, 'nobody else asked');
      for (let at = 0; at < 5; at++) {
        const asking = ask(world, `n${at}.example`, '.');
        void world.forwarder.forward(clientQuery(`n${at}.example`), group('.'));
        await asking;
      }
      const [, ...more] = world.loopProbes;
      t.ok(more.length >= 1 && more.length <= 2, `${more.length} probes`);
    }
  },
);

t.test('a loop is reported as a loop, not as the timeout that it caused', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a')], ({ isProbe }) => (isProbe ? answers : 'silence'));
  await world.time.advance(4_900);
  const asking = ask(world, 'a.example', '.');
  await world.time.advance(200);
  comesIn(world, world.loopProbes[0]!.query);
  t.match((await asking)[0], { reason: 'loop', extendedError: 23 });
});

t.test(
  'an upstream that comes up is probed for loops, and silence to such a probe is no fault',
  async (t) => {
    let isBack = false;
    const world = new VirtualUpstreams([group('.', 'a')], ({ isLoopProbe }) =>
      isLoopProbe ? 'silence' : isBack ? answers : { afterMs: 1, fails: 'network' },
    );
    await ask(world, 'a.example', '.');
    await world.time.advance(60_000);
    t.equal(world.loopProbes.length, 0, 'none while it is down');
    isBack = true;
    await world.time.advance(20_000);
    t.equal(world.loopProbes.length, 1);
    t.equal(world.changes.length, 2, 'down and up');
    t.equal(world.evidence.at(-1)?.reachable, true);
    t.equal(world.forwarder.snapshot().upstreams[0]?.failures.timeout, 0);
  },
);

t.test('a reload keeps known loops, and probes only new members', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a')], () => answers);
  await world.time.advance(5_010);
  comesIn(world, world.loopProbes[0]!.query);
  world.forwarder.reconfigure([group('.', 'a', 'b')]);
  t.equal(isLooping(world), true);
  await world.time.advance(6_000);
  t.strictSame(
    world.loopProbes.map(({ upstream }) => upstream),
    ['a', 'b'],
  );
  world.forwarder.reconfigure([group('.', 'c')]);
  await world.time.advance(60_000);
  t.strictSame(
    world.loopProbes.map(({ upstream }) => upstream),
    ['a', 'b', 'c'],
  );
});

t.test('an upstream that has left its group sends no probe, although its last questions fail', async (t) => {
  const world = new VirtualUpstreams([group('.', 'a'), group('corp.example', 'a')], () => ({
    afterMs: 100,
    says: 2,
  }));
  const asking = [1, 2].map(() =>
    world.forwarder.forward(clientQuery('slow.corp.example'), group('corp.example')),
  );
  world.forwarder.reconfigure([group('.', 'a')]);
  await world.time.advance(30_000);
  await Promise.all(asking);
  t.notOk(
    world.loopProbes.some(({ query }) => query.nameText().endsWith('corp.example')),
    'the group is no more',
  );
});

t.test('where there is no room for a probe under the apex there is none', async (t) => {
  const apex = Array.from({ length: 4 }, () => 'x'.repeat(50)).join('.');
  const world = new VirtualUpstreams([group(apex, 'a')], () => answers);
  await world.time.advance(60_000);
  t.equal(world.loopProbes.length, 0);
});

t.test('thousands of groups that are new together send their first probes one after the other', async (t) => {
  const groups = Array.from({ length: 3_000 }, (_, at) => group(`z${at}.example`, `u${at}`));
  const world = new VirtualUpstreams(groups, () => answers);
  await world.time.advance(20_000);
  const sent = new Map<number, number>();
  for (const { atMs } of world.loopProbes) sent.set(atMs, (sent.get(atMs) ?? 0) + 1);
  t.equal(world.loopProbes.length, 3_000);
  t.ok(Math.max(...sent.values()) <= 20, `${Math.max(...sent.values())} in one turn`);
});

t.test('a name in the shape of a probe costs the same with thousands of groups', async (t) => {
  const groups = Array.from({ length: 1_000 }, (_, at) => group(`z${at}.example`, `u${at}`));
  const world = new VirtualUpstreams(groups, () => answers);
  await world.time.advance(8_000);
  const inFlight = world.loopProbes.at(-1)!;
  let read = 0;
  const { monotonicMs } = world.time;
  world.time.monotonicMs = () => {
    read++;
    return monotonicMs.call(world.time);
  };
  t.notOk(world.forwarder.isLoopProbe(clientQuery(`${'a'.repeat(32)}.${'b'.repeat(32)}.z1.example`)));
  t.ok(read < 3, `${read} members were looked at`);
  t.equal(inFlight.query.labelCount, 4);
});
