/** An upstream that answers for some names and fails for others: which rules hold for which names, and how it ends. */
import t from 'tap';
import { RCODE, TYPE, typeName } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { SuffixHealth, TRUNCATED } from '../../../src/serving/forwarder/suffix-health.ts';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, type Seen, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers = { afterMs: 20, says: 'answer' } as const;
const route = group('default', 'a');

/** Fails for `names` in this order, and says which of `asked` are cut then. */
function cutAfter(failing: readonly string[], asked: readonly string[], isExpected = false): string[] {
  const health = new SuffixHealth();
  for (const [at, name] of failing.entries()) {
    if (name.startsWith('+')) health.noteAnswer(nameToWire(name.slice(1)), TYPE.A);
    else health.noteFailure(nameToWire(name), TYPE.A, at, isExpected, 5_000, 'SERVFAIL');
  }
  return asked.filter((name) => health.isCut(clientQuery(name), failing.length));
}

t.test('failures of some names count for others', async (t) => {
  type Row = [it: string, failing: string[], asked: string[], cut: string[]];
  const rows: Row[] = [
    ['one failure says nothing', ['www.a.com'], ['www.a.com', 'a.com', 'b.com'], []],
    ['two in a row: the name', ['www.a.com', 'WWW.a.com'], ['www.a.com', 'x.a.com', 'a.com'], ['www.a.com']],
    [
      'three names: their common suffix',
      ['x.a.com', 'y.a.com', 'z.a.com'],
      ['www.a.com', 'a.com', 'deep.www.a.com', 'b.com', 'com', '.'],
      ['www.a.com', 'a.com', 'deep.www.a.com'],
    ],
    [
      'a lame zone below a domain is all that is cut',
      ['x.lame.corp.example', 'y.lame.corp.example', 'z.lame.corp.example'],
      ['w.lame.corp.example', 'lame.corp.example', 'www.corp.example', 'corp.example'],
      ['w.lame.corp.example', 'lame.corp.example'],
    ],
    [
      'broken domains never add up to their parent',
      ['a.com', 'b.com', 'c.com', 'd.com', 'www.e.com'],
      ['good.com', 'www.good.com', 'com'],
      [],
    ],
    [
      'nor do domains below the registry of a country',
      ['a.co.uk', 'b.co.uk', 'c.co.uk', 'd.co.uk'],
      ['good.co.uk', 'www.good.co.uk'],
      [],
    ],
    [
      'an answer in between',
      ['x.a.com', 'y.a.com', '+w.a.com', 'z.a.com'],
      ['www.a.com', 'x.a.com', 'w.a.com'],
      [],
    ],
    [
      'a name that failed before is no new evidence against its suffix',
      ['x.a.com', 'y.a.com', '+w.a.com', 'x.a.com', 'y.a.com', 'x.a.com', 'z.a.com'],
      ['www.a.com', 'x.a.com', 'y.a.com'],
      ['x.a.com', 'y.a.com'],
    ],
    [
      'reverse names: 16 bits and below',
      ['1.2.0.10.in-addr.arpa', '1.3.0.10.in-addr.arpa', '1.4.0.10.in-addr.arpa'],
      ['9.9.0.10.in-addr.arpa', '9.9.1.10.in-addr.arpa', '9.9.168.192.in-addr.arpa'],
      ['9.9.0.10.in-addr.arpa'],
    ],
    ['a name of one label', ['local', 'local'], ['local', 'printer.local', '.'], ['local']],
    ['the root', ['.', '.'], ['.', 'com', 'a.com'], ['.']],
  ];
  for (const [it, failing, asked, cut] of rows) t.strictSame(cutAfter(failing, asked), cut, it);
});

t.test(
  'while the link is down one failure less is enough, and never a single one for a suffix',
  async (t) => {
    t.strictSame(cutAfter(['www.a.com'], ['www.a.com', 'x.a.com'], true), ['www.a.com']);
    t.strictSame(cutAfter(['w.a.com', 'v.a.com'], ['x.a.com', 'b.com'], true), ['x.a.com']);
  },
);

t.test('random names do not make it grow, and push out no suffix that fails', async (t) => {
  const health = new SuffixHealth();
  for (let at = 0; at < 20_000; at++)
    health.noteFailure(nameToWire(`r${at}.victim${at}.example`), TYPE.A, at, false, 5_000, 'SERVFAIL');
  t.ok(health.cut(20_000).length <= 512);
  for (let at = 0; at < 20_000; at++)
    health.noteFailure(nameToWire(`r${at}.one.example`), TYPE.A, at, false, 5_000, 'SERVFAIL');
  t.ok(health.isCut(clientQuery('new.one.example'), 20_000));
  t.notOk(health.isCut(clientQuery('new.two.example'), 20_000));
});

for (const [doing, failure] of [
  [{ afterMs: 20, says: RCODE.SERVFAIL }, 'SERVFAIL'],
  [{ afterMs: 20, says: RCODE.REFUSED }, 'REFUSED'],
  [{ afterMs: 20, says: 'referral' }, 'referral'],
  ['silence', 'no reply in time'],
] as const satisfies readonly (readonly [Doing, string])[])
  t.test(`what is cut shows its last failure: ${failure}`, async (t) => {
    const world = new VirtualUpstreams([route], ({ name, isProbe, isLoopProbe }) =>
      isProbe || isLoopProbe || name.startsWith('good') ? answers : doing,
    );
    await ask(world, 'good.example');
    for (const name of ['x.corp.example', 'x.corp.example']) await ask(world, name);
    t.match(world.forwarder.snapshot().upstreams, [{ cut: [{ name: 'x.corp.example', failure }] }]);
  });

t.test('a failure holds for 30 s, and is confirmed by one more', async (t) => {
  const health = new SuffixHealth();
  for (const name of ['x.a.com', 'y.a.com', 'z.a.com'])
    health.noteFailure(nameToWire(name), TYPE.A, 0, false, 5_000, 'SERVFAIL');
  t.ok(health.isCut(clientQuery('www.a.com'), 29_999));
  t.notOk(health.isCut(clientQuery('www.a.com'), 30_000));
  health.noteFailure(nameToWire('www.a.com'), TYPE.A, 40_000, false, 5_000, 'SERVFAIL');
  t.ok(health.isCut(clientQuery('v.a.com'), 40_001));
});

for (const [it, says, extendedError] of [
  ['lame', RCODE.SERVFAIL, undefined],
  ['bogus', RCODE.SERVFAIL, 6],
  ['refused', RCODE.REFUSED, undefined],
] as const)
  t.test(`${it} names that fail at once take no neighbour away while the link is up`, async (t) => {
    const link = { isFarSideCut: false, isAnyCut: false };
    const world = new VirtualUpstreams(
      [route],
      ({ name }) => (name.startsWith('bad') ? { afterMs: 20, says, extendedError } : answers),
      { link },
    );
    for (const name of ['bad0.shop.example', 'bad0.shop.example', 'bad0.play.example', 'bad0.play.example'])
      await ask(world, name);
    for (let at = 0; at < 5; at++) await ask(world, `bad${at}.corp.example`);
    t.ok(isCut(world, 'good.corp.example'), 'a rule and a kept answer speak for the suffix');
    t.match(shown(await ask(world, 'good.corp.example')), 'a rcode 0 after 20', 'any other name is asked');
    t.notOk(isCut(world, 'good.corp.example'), 'and its answer ends the cut');
    await ask(world, 'bad0.corp.example');
    t.ok(isCut(world, 'bad0.corp.example'), 'the name itself is known to fail');
    link.isFarSideCut = true;
    await ask(world, 'bad20.corp.example');
    await ask(world, 'bad21.corp.example');
    t.match(shown(await ask(world, 'good20.corp.example')), /^timeout/, 'in a cut it is not asked');
  });

t.test('a failure that comes at once keeps a cut that silence began', async (t) => {
  const health = new SuffixHealth();
  for (const name of ['x.a.com', 'y.a.com', 'z.a.com'])
    health.noteFailure(nameToWire(name), TYPE.A, 0, false, 5_000, 'SERVFAIL');
  health.noteFailure(nameToWire('w.a.com'), TYPE.A, 20_000, false, 20, 'SERVFAIL');
  t.ok(health.isLeftOut(clientQuery('v.a.com'), 49_999));
});

/** An upstream on the site: `corp.example` is its own, all else it fails for as `outside` says. */
function onSite(outside: () => Doing, more = {}): VirtualUpstreams {
  const isInside = (name: string) => name === 'corp.example' || name.endsWith('.corp.example');
  return new VirtualUpstreams(
    [route],
    ({ isProbe, isLoopProbe, name }) => (isInside(name) || isLoopProbe || isProbe ? answers : outside()),
    more,
  );
}

const isCut = (world: VirtualUpstreams, name: string): boolean =>
  world.forwarder.isCut(clientQuery(name), route);

for (const [it, outside] of [
  ['is silent about', 'silence'],
  ['says SERVFAIL of', { afterMs: 20, says: RCODE.SERVFAIL }],
  ['says REFUSED of', { afterMs: 20, says: RCODE.REFUSED }],
] as const)
  t.test(`an upstream that ${it} the outside and answers for the site`, async (t) => {
    let isBack = false;
    const world = onSite(() => (isBack ? answers : outside));
    t.match(shown(await ask(world, 'www.corp.example')), /^a rcode 0/);
    await ask(world, 'www.out.example');
    await world.time.advance(4_000); // a second question, of the forwarder itself, confirms it
    t.ok(isCut(world, 'www.out.example'), 'known to fail');
    const [outcome, afterMs] = await ask(world, 'www.out.example');
    t.match(outcome, outcome.kind === 'failed' ? { extendedError: 22 } : {});
    t.ok(afterMs <= 500, `at once: ${afterMs} ms`);
    t.notOk(isCut(world, 'www.corp.example'), 'the site stays as it is');
    t.match(
      shown(await ask(world, 'never-asked.corp.example')),
      /^a rcode 0 .* after 20$|^a rcode 0 after 20$/,
    );
    t.notOk(world.forwarder.isDown(route), 'and so does the upstream');
    for (const name of ['www.b.example', 'www.c.example', 'www.d.example']) {
      await ask(world, name);
      await world.time.advance(6_000);
    }
    const [, doubtedMs] = await ask(world, 'www.e.example');
    t.ok(doubtedMs <= 1_600, `where all domains fail the next is not waited for as long: ${doubtedMs} ms`);
    t.match(shown(await ask(world, 'printer.corp.example')), /^a rcode 0/);
    isBack = true;
    for (let at = 0; at < 30 && isCut(world, 'www.out.example'); at++) await world.time.advance(100);
    t.notOk(isCut(world, 'www.out.example'), 'back within 3 s, by the questions of clients');
    t.match(shown(await ask(world, 'www.out.example')), /^a rcode 0/);
  });

for (const qtype of [TYPE.A, TYPE.AAAA])
  t.test(`in a cut one domain's silence shortens the wait for all others: ${typeName(qtype)}`, async (t) => {
    const link = { isFarSideCut: true, isAnyCut: true };
    const world = onSite(() => 'silence', { link });
    await ask(world, 'www.corp.example');
    const first = world.forwarder.forward(clientQuery('www.a.example', { qtype }), route);
    await world.time.advance(5_000);
    t.match(shown([await first, 5_000]), /^timeout/);
    const [outcome, afterMs] = await ask(world, 'www.b.example');
    t.match(outcome, { kind: 'failed', reason: 'timeout' });
    t.ok(afterMs <= 1_600, `${afterMs} ms`);
    t.match(shown(await ask(world, 'new.corp.example')), 'a rcode 0 after 20', 'the site stays as it is');
    link.isFarSideCut = false;
    t.ok((await ask(world, 'www.c.example'))[1] > 1_600, 'with the link it takes three domains');
  });

t.test('in a cut, an upstream that knows a name and cannot send its answer is in no doubt', async (t) => {
  const health = new SuffixHealth();
  health.noteFailure(nameToWire('large.a.example'), TYPE.A, 0, true, 5_000, TRUNCATED);
  t.notOk(health.isInDoubt(0, true));
  health.noteFailure(nameToWire('www.a.example'), TYPE.A, 0, true, 5_000, 'no reply in time');
  t.ok(health.isInDoubt(0, true));
});

t.test('trials do not take the upstream down, nor load it', async (t) => {
  const world = onSite(() => 'silence');
  await ask(world, 'www.corp.example');
  for (let at = 0; at < 3; at++) {
    await ask(world, 'www.out.example');
    await world.time.advance(3_000);
  }
  const before = world.asked.length;
  for (let at = 0; at < 300; at++) {
    t.ok(isCut(world, 'www.out.example') || at > 290);
    await world.time.advance(100);
  }
  const asked = world.asked.length - before;
  t.ok(asked >= 10 && asked <= 25, `${asked} questions in 30 s`);
  t.notOk(world.forwarder.isDown(route));
});

t.test('another upstream that answers for the suffix is asked first', async (t) => {
  const both = group('default', 'a', 'b');
  const world = new VirtualUpstreams([both], ({ upstream, isProbe, name }) =>
    upstream === 'a' && name.endsWith('out.example') && !isProbe ? 'silence' : answers,
  );
  for (const name of ['x.out.example', 'y.out.example', 'z.out.example']) {
    t.match(shown(await ask(world, name)), /^b rcode 0/);
    await world.time.advance(1_000);
  }
  t.match(shown(await ask(world, 'w.out.example')), 'b rcode 0 after 20');
  t.match(shown(await ask(world, 'w.in.example')), 'a rcode 0 after 20', 'for others the order stays');
  t.notOk(world.forwarder.isCut(clientQuery('w.out.example'), both));
});

t.test('when the link comes back everything is asked again', async (t) => {
  const world = onSite(() => 'silence');
  await ask(world, 'www.corp.example');
  await ask(world, 'www.out.example');
  await world.time.advance(4_000);
  t.ok(isCut(world, 'www.out.example'));
  world.forwarder.forgetCuts();
  t.notOk(isCut(world, 'www.out.example'));
});

t.test('while the link is down a denial is no evidence that a name can be asked for', async (t) => {
  const link = { isFarSideCut: true, isAnyCut: true };
  const world = onSite(() => ({ afterMs: 20, says: RCODE.NXDOMAIN }), { link });
  await ask(world, 'www.out.example');
  t.notOk(isCut(world, 'www.out.example'), 'alone it is believed');
  world.forwarder.noteFalseDenial(clientQuery('www.out.example'), 'a');
  world.forwarder.noteFalseDenial(clientQuery('mail.out.example'), 'a');
  t.ok(isCut(world, 'new.out.example'), 'names that are known to exist were denied');
  link.isFarSideCut = false;
  for (let at = 0; at < 30 && isCut(world, 'www.out.example'); at++) await world.time.advance(100);
  t.notOk(isCut(world, 'www.out.example'));
});

t.test('a type that is dropped for every name takes no other type away', async (t) => {
  const HTTPS = 65;
  const isA = ({ exchange }: Seen) => exchange.message[exchange.questionEnd - 3] === TYPE.A;
  const world = new VirtualUpstreams([route], (seen) => (seen.isProbe || isA(seen) ? answers : 'silence'));
  await ask(world, 'known.example.com');
  for (let at = 0; at < 4; at++) {
    void world.forwarder.forward(clientQuery(`w${at}.example.com`, { qtype: HTTPS }), route);
    await world.time.advance(6_000);
    t.equal(shown(await ask(world, `new${at}.example.com`)), 'a rcode 0 after 20', `after ${at + 1}`);
    t.notOk(world.forwarder.isCut(clientQuery(`other${at}.example.com`), route));
  }
  const { cut } = world.forwarder.snapshot().upstreams[0]!;
  t.match(cut.at(-1), { failure: 'HTTPS: no reply in time' });
  t.ok(
    world.forwarder.isCut(clientQuery('w9.example.com', { qtype: HTTPS }), route),
    'it fails at once itself',
  );
});

t.test('where A fails, every type does', async (t) => {
  const health = new SuffixHealth();
  for (const name of ['x.a.com', 'y.a.com', 'z.a.com'])
    health.noteFailure(nameToWire(name), TYPE.A, 0, false, 5_000, 'SERVFAIL');
  t.ok(health.isCut(clientQuery('w.a.com', { qtype: 28 }), 1));
  health.noteAnswer(nameToWire('w.a.com'), 28);
  t.notOk(health.isCut(clientQuery('w.a.com'), 1), 'an answer of any type ends it');
});

t.test('truncated answers without TCP take no other name of the domain away', async (t) => {
  const world = new VirtualUpstreams([route], ({ name, transport }) => {
    if (transport === 'tcp') return 'silence';
    return name.startsWith('big') ? { afterMs: 20, says: 'truncated' } : answers;
  });
  for (let at = 0; at < 4; at++) void world.forwarder.forward(clientQuery(`big${at}.example.com`), route);
  await world.time.advance(6_000);
  t.equal(shown(await ask(world, 'small.example.com')), 'a rcode 0 after 20');
  await ask(world, 'big0.example.com');
  const [first] = world.forwarder.snapshot().upstreams[0]!.cut;
  t.match(first, { failure: 'truncated, and no reply over TCP' });
  t.ok(world.forwarder.isCut(clientQuery('big0.example.com'), route), 'the name itself fails at once');
});
