/**
 * Upstreams that drop `. NS`, as common filters do: a lost probe proves nothing then, and real questions show whether such an
 * upstream is up.
 */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, type Seen, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers = { afterMs: 20, says: 'answer' } as const;
const route = group('default', 'a');

function filtered(behave: (seen: Seen) => Doing): VirtualUpstreams {
  return new VirtualUpstreams([route], (seen) => (seen.isProbe ? 'silence' : behave(seen)));
}

/** As the resolver does: it asks whether the name is cut, and forwards only names that are not. */
async function isAnswered(world: VirtualUpstreams, name: string): Promise<boolean> {
  if (world.forwarder.isCut(clientQuery(name), route)) return false;
  return (await ask(world, name))[0].kind === 'response';
}

/** Asks every 100 ms for a name of its own; the ms until one is answered. */
async function untilAnswered(world: VirtualUpstreams): Promise<number> {
  const startedAtMs = world.time.monotonicMs();
  for (let at = 0; at < 300; at++) {
    if (await isAnswered(world, `n${at}.good.example`)) break;
    await world.time.advance(100);
  }
  return world.time.monotonicMs() - startedAtMs;
}

t.test('a name that never answers takes no upstream away whose probes are dropped', async (t) => {
  const world = filtered(({ name }) => (name.endsWith('silent.example') ? 'silence' : answers));
  t.match(shown(await ask(world, 'www.good.example')), /^a rcode 0/);
  await ask(world, 'www.silent.example');
  const tookMs = await untilAnswered(world);
  t.ok(tookMs <= 500, `${tookMs} ms`);
});

t.test('an upstream that was never heard before is found again by real questions', async (t) => {
  let isLost = true;
  const world = filtered(() => (isLost ? 'silence' : answers));
  await ask(world, 'first.example');
  t.ok(world.forwarder.isDown(route));
  isLost = false;
  const tookMs = await untilAnswered(world);
  t.ok(tookMs <= 3_000, `${tookMs} ms`);
});

t.test(
  'on a quiet site too it is up again within 3 s: the probe is a question that it answered before',
  async (t) => {
    let isLost = false;
    const world = filtered(() => (isLost ? 'silence' : answers));
    await ask(world, 'www.good.example');
    isLost = true;
    await ask(world, 'other.example');
    t.ok(world.forwarder.isDown(route));
    await world.time.advance(60_000);
    isLost = false;
    await world.time.advance(3_000);
    t.notOk(world.forwarder.isDown(route));
  },
);

t.test(
  'while it is down, one real question in a second goes through, and no client waits for it',
  async (t) => {
    const world = filtered(() => 'silence');
    await ask(world, 'first.example');
    t.ok(world.forwarder.isDown(route));
    const before = world.asked.length;
    for (let at = 0; at < 100; at++) {
      t.ok(world.forwarder.isCut(clientQuery(`n${at}.example`), route));
      await world.time.advance(100);
    }
    const passed = world.asked.length - before;
    t.ok(passed >= 5 && passed <= 11, `${passed} in 10 s`);
  },
);

t.test(
  'a question that is forwarded without asking first goes through as well, and has its answer',
  async (t) => {
    let isLost = true;
    const world = filtered(() => (isLost ? 'silence' : answers));
    await ask(world, 'first.example');
    isLost = false;
    await world.time.advance(1_500);
    t.match(shown(await ask(world, 'second.example')), /^a rcode 0/);
  },
);
