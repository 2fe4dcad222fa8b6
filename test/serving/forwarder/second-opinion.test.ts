/** The name of an endpoint is asked of two upstreams where there are two, and a difference is shown. */
import t from 'tap';
import { ask, type Doing, group, type Seen, VirtualUpstreams } from './virtual-upstreams.ts';

const NAME = 'abc.gr7.us-west-2.eks.amazonaws.com';
const answers = { afterMs: 20, says: 'answer' } as const;
const denies = { afterMs: 20, says: 3 } as const;
const both = group('default', 'a', 'b');

async function resolve(world: VirtualUpstreams): Promise<number> {
  const startMs = world.time.monotonicMs();
  const resolving = world.forwarder.resolveAddresses(NAME, new AbortController().signal, both);
  let afterMs = -1;
  void resolving.then(() => {
    afterMs = world.time.monotonicMs() - startMs;
  });
  for (let at = 0; at < 600 && afterMs < 0; at++) await world.time.advance(10);
  return afterMs;
}

function world(b: (seen: Seen) => Doing): VirtualUpstreams {
  return new VirtualUpstreams([both], (seen) => (seen.upstream === 'b' ? b(seen) : answers));
}

t.test('both are asked, and what they agree on is no difference', async (t) => {
  const it = world(() => answers);
  await resolve(it);
  t.same(
    it.seen.map(({ upstream, name }) => [upstream, name]),
    [
      ['a', NAME],
      ['b', NAME],
    ],
  );
  t.same(it.forwarder.snapshot().differences, []);
  t.same(it.log.lines, []);
});

t.test('a difference is in the snapshot and once in the log, and so is its end', async (t) => {
  let b: Doing = denies;
  const it = world(() => b);
  await resolve(it);
  await resolve(it);
  const opinions = [
    { upstream: 'a', says: '10.0.0.1' },
    { upstream: 'b', says: 'NXDOMAIN' },
  ];
  t.same(it.forwarder.snapshot().differences, [{ name: NAME, opinions }]);
  t.match(it.log.lines, [
    { level: 'warn', text: 'upstreams differ about an endpoint', fields: { opinions } },
  ]);
  t.equal(it.log.lines.length, 1);
  b = answers;
  await resolve(it);
  t.same(it.forwarder.snapshot().differences, []);
  t.match(it.log.lines[1], { level: 'info', text: 'upstreams agree again about an endpoint' });
});

t.test(
  'one that does not answer delays nothing for long, differs from nothing, and is not taken down',
  async (t) => {
    const it = world(({ name }) => (name === NAME ? 'silence' : answers));
    for (let at = 0; at < 5; at++) t.ok((await resolve(it)) <= 600);
    t.same(it.forwarder.snapshot().differences, []);
    t.same(it.changes, []);
    const servfail = world(() => ({ afterMs: 20, says: 2 }));
    await resolve(servfail);
    t.same(servfail.forwarder.snapshot().differences, []);
  },
);

t.test('a client of that name, and a single upstream, cost no second question', async (t) => {
  const it = world(() => denies);
  await ask(it, NAME);
  t.equal(it.asked.length, 1);
  const single = new VirtualUpstreams([group('default', 'a')], () => answers);
  const resolving = single.forwarder.resolveAddresses(NAME, new AbortController().signal, group('default'));
  await single.time.advance(100);
  t.match(await resolving, { kind: 'addresses' });
  t.equal(single.asked.length, 1);
});
