/** An upstream that is up for a second and down for two, again and again, in virtual time: what clients and the log get of it. */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, type Seen, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const MINUTE_MS = 60_000;
const isDownAt = (atMs: number): boolean => atMs % 3_000 >= 1_000;

/** `a` flaps, all others answer. */
const flapping =
  (down: Doing) =>
  ({ upstream, atMs }: Seen): Doing =>
    upstream === 'a' && isDownAt(atMs) ? down : answers;

/** Asks ten new names a second for ten minutes. */
async function askOften(world: VirtualUpstreams) {
  const outcomes: { readonly atMs: number; readonly waitMs: number; readonly isFailed: boolean }[] = [];
  for (let at = 0; at < 6_000; at++) {
    const atMs = world.time.monotonicMs();
    void world.forwarder
      .forward(clientQuery(`n${at}.d${at % 50}.example`), group('default'))
      .then(({ kind }) => {
        outcomes.push({ atMs, waitMs: world.time.monotonicMs() - atMs, isFailed: kind === 'failed' });
      });
    await world.time.advance(100);
  }
  await world.time.advance(10_000);
  return outcomes;
}

for (const [how, down] of [
  ['silent', 'silence'],
  ['unreachable', { afterMs: 1, fails: 'network' }],
] as const) {
  t.test(
    `beside another upstream, ${how}: few queries wait for it, and the log says it a few times`,
    async (t) => {
      const world = new VirtualUpstreams([group('default', 'a', 'b')], flapping(down));
      const outcomes = await askOften(world);
      t.equal(outcomes.length, 6_000);
      t.equal(outcomes.filter(({ isFailed }) => isFailed).length, 0, 'none fails');
      t.ok(Math.max(...outcomes.map(({ waitMs }) => waitMs)) < 500);
      const slow = outcomes.filter(({ waitMs }) => waitMs > 100);
      t.ok(slow.length <= 40, `${slow.length} of 6,000 wait: those of the first falls`);
      t.ok(
        slow.every(({ atMs }) => atMs < MINUTE_MS),
        'and later none',
      );
      t.ok(world.log.lines.length <= 8, `${world.log.lines.length} lines`);
      // a probe asks names of before
      const isNew = ({ name, atMs }: Seen): boolean =>
        Math.abs(Number(/^n(\d+)/.exec(name)?.[1]) * 100 - atMs) < 50;
      const tried = world.seen.filter(
        (seen) => seen.upstream === 'a' && isNew(seen) && seen.atMs > 5 * MINUTE_MS,
      );
      t.ok(tried.length >= 240 && tried.length <= 310, `${tried.length} questions in five minutes try it`);
      t.match(world.forwarder.snapshot().upstreams[0], { isUnsteady: true });
      // steady from now on
      world.behave = () => answers;
      for (let at = 0; at < 6 * 60; at++)
        await ask(world, `later${at}`).then(() => world.time.advance(1_000));
      t.match(shown(await ask(world, 'first')), /^a /, 'it is the first again');
      t.match(world.forwarder.snapshot().upstreams[0], { isUp: true, isUnsteady: false });
    },
  );

  t.test(`alone, ${how}: it is asked whenever it is up`, async (t) => {
    const world = new VirtualUpstreams([group('default', 'a')], flapping(down));
    const outcomes = await askOften(world);
    const answered = outcomes.filter(({ isFailed }) => !isFailed).length;
    t.ok(
      answered > 750,
      `${answered} of 2,000 that come while it is up: after each fall its return has to be noticed`,
    );
    t.ok(world.log.lines.length <= 8, `${world.log.lines.length} lines`);
    const left = world.log.lines
      .map(({ fields }) => fields['left'] ?? 0)
      .reduce((sum: number, one) => sum + Number(one), 0);
    t.ok(left > 90, `the others are counted: ${left}`);
  });
}

t.test('two cuts an hour leave the order as it is; so does one long cut', async (t) => {
  let isUp = true;
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' && !isUp ? 'silence' : answers,
  );
  for (let cut = 0; cut < 2; cut++) {
    isUp = false;
    for (let at = 0; at < 10; at++) await ask(world, `n${cut}.${at}`);
    await world.time.advance(5 * MINUTE_MS);
    isUp = true;
    await world.time.advance(5_000);
    t.match(shown(await ask(world, `back${cut}`)), /^a /);
    await world.time.advance(30 * MINUTE_MS);
  }
  t.strictSame(world.changes.length, 4);
  t.equal(world.log.lines.length, 4, 'each fall and each return has its line');
});
