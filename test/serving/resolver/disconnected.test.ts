import t from 'tap';
import { message, rawRecord, rr } from '../../helpers/zone-text.ts';
import { addresses, denial, Rig } from './rig.ts';

const disconnected = {
  regions: ['us-west-2'],
  zones: [
    { name: 'failing.example', whileDisconnected: 'servfail' },
    { name: 'denied.example', whileDisconnected: 'nxdomain' },
    { name: 'static.example', whileDisconnected: [rr('www.static.example 60 A 10.7.7.7')] },
  ],
} as const;

t.test(
  'while its upstreams are down each name has the answer of its rule, at once and without AA',
  async (t) => {
    const rig = new Rig({ disconnected });
    rig.down.add('default');
    for (const [name, rcode, data] of [
      ['x.failing.example', 2, []],
      ['x.denied.example', 3, []],
      ['www.static.example', 0, ['10.7.7.7']],
      ['ip-10-0-3-10.us-west-2.compute.internal', 0, ['10.0.3.10']],
      ['api.cluster.us-west-2.compute.internal', 3, []],
      ['sts.us-west-2.amazonaws.com', 2, []],
    ] as const) {
      const reply = rig.now({ name });
      if (typeof reply === 'string') throw new Error(`${name}: ${reply}`);
      t.equal(reply.rcode, rcode, name);
      t.same(
        reply.answers.map((answer) => answer.data),
        data,
        name,
      );
      t.same([reply.aa, reply.ra], [false, true], `${name}: no AA`);
    }
    t.equal(rig.asked.length, 0, 'nobody was asked');
    t.equal(rig.resolver.counters.read().origins['disconnected'], 6);
  },
);

t.test('several addresses of a stand-in rotate, even if a client always sends the same ID', async (t) => {
  const records = [rr('a.static.example 60 A 10.7.7.1'), rr('a.static.example 60 A 10.7.7.2')];
  const zones = [{ name: 'static.example', whileDisconnected: records }];
  const rig = new Rig({ disconnected: { regions: [], zones } });
  rig.down.add('default');
  const first = () => {
    const reply = rig.now({ name: 'a.static.example' });
    return typeof reply === 'string' ? reply : reply.answers[0]?.data;
  };
  t.same(new Set(Array.from({ length: 10 }, first)), new Set(['10.7.7.1', '10.7.7.2']));
});

t.test('while connected none of these rules applies', async (t) => {
  const rig = new Rig({ disconnected });
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  for (const name of ['x.failing.example', 'www.static.example', 'ip-10-0-3-10.us-west-2.compute.internal']) {
    t.same(
      (await rig.answer({ name })).answers.map(({ data }) => data),
      ['192.0.2.1'],
      name,
    );
  }
});

t.test(
  'the operator’s rule wins over the cache, a fresh answer over the rule for AWS, a stale answer over EC2’s computed names',
  async (t) => {
    const rig = new Rig({ disconnected });
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
    const names = [
      'x.failing.example',
      'sts.us-west-2.amazonaws.com',
      'ip-10-0-3-10.us-west-2.compute.internal',
    ];
    for (const name of names) await rig.answer({ name });
    rig.down.add('default');
    const said = () =>
      names.map((name) => {
        const reply = rig.now({ name });
        return typeof reply === 'string' ? reply : (reply.answers[0]?.data ?? reply.rcode);
      });
    t.same(said(), [2, '192.0.2.1', '192.0.2.1']);
    await rig.time.advance(120_000);
    t.same(said(), [2, 2, '192.0.2.1']);
  },
);

t.test('a client that waited for a dead upstream gets the answer of the rule', async (t) => {
  const rig = new Rig({ disconnected });
  rig.says = () => {
    rig.down.add('default');
    return { extendedError: 22, reason: 'timeout' };
  };
  const reply = await rig.answer({ name: 'ip-10-0-3-10.us-west-2.compute.internal' });
  t.same(
    reply.answers.map(({ data }) => data),
    ['10.0.3.10'],
  );
});

t.test('a remembered failure hides no rule', async (t) => {
  const rig = new Rig({ disconnected });
  rig.says = () => ({ extendedError: 22, reason: 'timeout' });
  t.equal((await rig.answer({ name: 'ip-10-0-3-10.us-west-2.compute.internal' })).rcode, 2);
  rig.down.add('default');
  t.match(rig.now({ name: 'ip-10-0-3-10.us-west-2.compute.internal' }), { rcode: 0 });
});

t.test('beside an address of one type that is kept, the other type is no failure', async (t) => {
  const name = 'www.example';
  const nothing = { rcode: 0, answers: [], authorities: [], ede: 3 };
  const dead = () => ({ extendedError: 22, reason: 'timeout' }) as const;
  const siteThatKnows = async () => {
    const rig = new Rig({ disconnected });
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
    await rig.answer({ name });
    return rig;
  };
  const other = { name, type: 'AAAA', edns: {} };

  for (const ageMs of [1_000, 100_000]) {
    const rig = await siteThatKnows();
    await rig.time.advance(ageMs);
    rig.down.add('default');
    t.match(rig.now(other), nothing, `${ageMs} ms after the address`);
    t.match(rig.now({ ...other, edns: { dnssecOk: true } }), nothing);
    t.match(await rig.answer({ ...other, type: 'MX' }), { rcode: 2 }, 'mail would go elsewhere');
    t.match(rig.now({ ...other, rd: false }), { rcode: 5 });
    t.match(await rig.answer({ ...other, name: 'unknown.example' }), { rcode: 2 });
  }

  const denying = await siteThatKnows();
  denying.link.isFarSideCut = true;
  denying.says = (question) => denial(question, 3);
  t.match(await denying.answer(other), nothing, 'a resolver on the site denies what it cannot ask for');
  t.same(denying.falseDenials, [`${name} AAAA`]);

  const waited = await siteThatKnows();
  waited.says = () => {
    waited.down.add('default');
    return dead();
  };
  t.match(await waited.answer(other), nothing, 'a client that waited for a dead upstream');

  const failing = await siteThatKnows();
  failing.says = dead;
  t.match(await failing.answer(other), { rcode: 2 }, 'connected, a failure is passed on');
  failing.down.add('default');
  t.match(failing.now(other), nothing, 'a remembered failure');
});

t.test(
  'the link is cut: clients that ask while a failure is remembered get what the first client got',
  async (t) => {
    const rig = new Rig();
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
    await rig.answer({ name: 'www.example.com' });
    rig.link.isFarSideCut = true;
    rig.says = () => ({ extendedError: 22, reason: 'timeout' });
    for (const client of ['first', 'second', 'third'])
      t.match(await rig.answer({ name: 'www.example.com', type: 'AAAA' }), { rcode: 0, answers: [] }, client);
  },
);

t.test(
  'the link is cut, and a resolver on the site is silent: what a rule or a retained name says comes after 1.8 s',
  async (t) => {
    const rig = new Rig({ disconnected });
    const name = 'retained.example';
    const kept = message({ question: [name, 'A'], answers: [rawRecord(name, 'A', 60, [10, 0, 0, 9])] });
    rig.cache.retain(name, 1, { message: kept, ageMs: 0 }, 0);
    rig.link.isFarSideCut = true;
    rig.says = () => undefined;
    for (const [query, rcode, afterMs] of [
      [{ name: 'www.static.example' }, 0, 1_800],
      [{ name: 'x.denied.example' }, 3, 1_800],
      [{ name, type: 'HTTPS' }, 0, 1_800],
      [{ name: 'x.failing.example' }, 2, 5_000], // an answer would be better
    ] as const) {
      const asking = rig.timed(query);
      await rig.time.advance(6_000);
      t.match(await asking, { reply: { rcode }, afterMs }, query.name);
    }
  },
);

t.test('the link comes back while a client waits beside a kept address: it gets the answer', async (t) => {
  const rig = new Rig();
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  await rig.answer({ name: 'www.example.com' });
  rig.link.isFarSideCut = true;
  rig.delayMs = 3_000;
  rig.says = (question) => denial(question, 0);
  const asking = rig.timed({ name: 'www.example.com', type: 'AAAA' });
  await rig.time.advance(1_000);
  rig.link.isFarSideCut = false;
  await rig.time.advance(5_000);
  t.match(await asking, { reply: { rcode: 0, authorities: { length: 1 } }, afterMs: 3_000 });
});
