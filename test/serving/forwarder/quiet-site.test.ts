/**
 * The only upstream is a resolver of the site that has lost its own way out. It answers the site's names and is silent about
 * all others. No client asks for the site's names, so only probes can show that it is up.
 */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, group, type Seen, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const route = group('default', 'a');
const IGNORED = { send: () => undefined, fail: () => undefined };
const isOfSite = ({ name }: Seen) => name.endsWith('corp.example');

/** A site that asked for its own name and then for `others` outside names, before its resolver was cut off. */
async function site(others: number, isAuthoritative: boolean): Promise<VirtualUpstreams> {
  let isCut = false;
  const world = new VirtualUpstreams([route], (seen) => {
    if (isCut && !isOfSite(seen)) return 'silence';
    return { afterMs: 20, says: 'answer', withAuthority: isAuthoritative && isOfSite(seen) };
  });
  await ask(world, 'www.corp.example');
  for (let at = 0; at < others; at++) await ask(world, `www.before${at}.example`);
  isCut = true;
  return world;
}

for (const [others, isAuthoritative, about] of [
  [2, false, 'the site asked for two outside domains since'],
  [100, true, 'the site asked for many outside domains since, and the resolver has authority for its own'],
] as const)
  t.test(`silence about the outside takes no resolver of the site down: ${about}`, async (t) => {
    const world = await site(others, isAuthoritative);
    for (let at = 0; at < 5; at++) {
      await ask(world, `www.outside${at}.example`);
      t.notOk(world.forwarder.isDown(route), `after ${at + 1} outside names`);
      t.notOk(world.forwarder.isCut(clientQuery('new.corp.example'), route));
    }
    t.match(shown(await ask(world, 'new.corp.example')), /^a rcode 0/);
    t.strictSame(world.changes, []);
    t.ok(world.forwarder.isCut(clientQuery('www.outside0.example'), route), 'the outside is cut');
  });

t.test('it is not taken down by many clients that ask at once either', async (t) => {
  const world = await site(2, false);
  for (let at = 0; at < 300; at++) {
    world.forwarder.forwardTo(clientQuery(`www.outside${at}.example`), route, IGNORED);
    await world.time.advance(10);
    t.notOk(world.forwarder.isDown(route), `after ${at + 1} outside names`);
  }
  t.strictSame(world.changes, []);
  const perSecond = world.probed.length / 3;
  t.ok(perSecond <= 20, `${perSecond} probes of the root in a second`);
});

t.test('a resolver that is gone with the link is still taken down', async (t) => {
  let isCut = false;
  const world = new VirtualUpstreams([route], () => (isCut ? 'silence' : { afterMs: 20, says: 'answer' }));
  await ask(world, 'www.corp.example');
  await ask(world, 'www.before.example');
  isCut = true;
  await ask(world, 'www.outside.example');
  t.ok(world.forwarder.isDown(route));
  const before = world.seen.length;
  await world.time.advance(60_000);
  const perProbe = (world.seen.length - before) / 30;
  t.ok(perProbe <= 8, `${perProbe} questions in a probe`);
});
