/** The forwarder's decisions, in virtual time; sockets have tests of their own. */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { MadeUpTransport, transportsOf } from './made-up-transport.ts';
import { ask, type Doing, group, shown, upstream, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const servfail: Doing = { afterMs: 20, says: 2 };
const refused: Doing = { afterMs: 20, says: 5 };
const unreachable: Doing = { afterMs: 1, fails: 'network' };

t.test('an answer comes with its octets, index, upstream and round trip', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => answers);
  const [outcome] = await ask(world);
  t.match(outcome, { kind: 'response', upstream: 'a', rttMs: 20, index: { rcode: 0, answerCount: 1 } });
});

t.test('TLS is loaded for an upstream that speaks it, before anybody asks, and for no other', async (t) => {
  const opened: string[] = [];
  const transports = transportsOf((name, { text }) => {
    opened.push(`${text} over ${name}`);
    return new MadeUpTransport(() => undefined);
  });
  const secure = { ...upstream('b'), transport: 'tls', serverName: 'b.example' };
  const upstreams = [upstream('a'), secure];
  new VirtualUpstreams([{ name: 'default', upstreams }], () => answers, { transports });
  t.strictSame(opened, ['b over tls']);
});

t.test('100 identical questions are one exchange, and all get its outcome', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => answers);
  const all = Array.from({ length: 100 }, (_, at) =>
    world.forwarder.forward(clientQuery(at % 2 === 0 ? 'a.example' : 'A.EXAMPLE'), group('default')),
  );
  await world.time.advance(100);
  const outcomes = await Promise.all(all);
  t.equal(world.asked.length, 1);
  t.ok(outcomes.every((outcome) => outcome === outcomes[0] && outcome.kind === 'response'));
  t.equal(world.forwarder.snapshot().coalesced, 99);
  await ask(world);
  t.equal(world.asked.length, 2, 'a later question is a new exchange');
});

t.test('questions that differ in type, DO, CD or group are not joined', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a'), group('other', 'a')], () => answers);
  for (const options of [{}, { qtype: 28 }, { dnssecOk: true }, { flags: 0x0110 }])
    void world.forwarder.forward(clientQuery('a.example', options), group('default'));
  void world.forwarder.forward(clientQuery('a.example'), group('other'));
  await world.time.advance(100);
  t.equal(world.asked.length, 5);
});

t.test('the next upstream answers where the first cannot', async (t) => {
  for (const [what, a, b, expected] of [
    ['the first is asked first', answers, answers, 'a rcode 0 after 20'],
    ['unreachable', unreachable, answers, 'b rcode 0 after 21'],
    ['SERVFAIL', servfail, answers, 'b rcode 0 after 40'],
    ['REFUSED', refused, answers, 'b rcode 0 after 40'],
    ['FORMERR, with EDNS and without', { afterMs: 20, says: 1 }, answers, 'b rcode 0 after 60'],
    ['NOTAUTH', { afterMs: 20, says: 9 }, answers, 'b rcode 0 after 40'],
    ['YXDOMAIN is an answer', { afterMs: 20, says: 6, withEdns: true }, answers, 'a rcode 6 after 20'],
    ['silent', 'silence', answers, 'b rcode 0 after 520'],
    ['malformed', { afterMs: 20, fails: 'malformed' }, answers, 'b rcode 0 after 40'],
    ['NXDOMAIN is an answer', { afterMs: 20, says: 3, withEdns: true }, answers, 'a rcode 3 after 20'],
    ['both SERVFAIL: the last one', servfail, servfail, 'b rcode 2 after 40'],
    ['a referral', { afterMs: 20, says: 'referral' }, answers, 'b rcode 0 after 40'],
    ['one passed on', { afterMs: 20, says: 'recursingReferral' }, answers, 'b rcode 0 after 40'],
    ['a stray referral', { afterMs: 20, says: 'strayReferral' }, answers, 'b rcode 0 after 40'],
    ['a stray SOA', { afterMs: 20, says: 'straySoa' }, answers, 'b rcode 0 after 40'],
    ['SERVFAIL, then REFUSED', servfail, refused, 'b rcode 5 after 40'],
    ['SERVFAIL, then silence', servfail, 'silence', 'a rcode 2 after 520'],
    ['REFUSED, then silence: not REFUSED', refused, 'silence', 'timeout extended error 22 after 520'],
    [
      'malformed both',
      { afterMs: 20, fails: 'malformed' },
      { afterMs: 20, fails: 'malformed' },
      'malformed extended error 23 after 40',
    ],
  ] as const satisfies readonly (readonly [string, Doing, Doing, string])[]) {
    const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
      upstream === 'a' ? a : b,
    );
    t.equal(shown(await ask(world)), expected, what);
  }
});

t.test(
  'a silent upstream is asked with doubling timeouts, over TCP after two losses, and is then down',
  async (t) => {
    const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
    t.equal(shown(await ask(world)), 'timeout extended error 22 after 3500');
    t.strictSame(world.asked, ['a udp 0', 'a udp 500', 'a tcp 1500']);
    t.strictSame(world.changes, ['a down at 3500']);
    t.match(world.log.lines, [
      { level: 'warn', text: 'upstream is down', fields: { upstream: 'a', reason: 'timeout' } },
    ]);
  },
);

t.test(
  'a server that drops or denies names in mixed case answers in the own case of the question',
  async (t) => {
    for (const [what, toMixed, expected] of [
      ['silent', 'silence', 'a rcode 0 after 520'],
      ['NODATA without SOA', { afterMs: 20, says: 0 }, 'a rcode 0 after 40'],
      ['NXDOMAIN without SOA', { afterMs: 20, says: 3 }, 'a rcode 0 after 40'],
    ] as const satisfies readonly (readonly [string, Doing, string])[]) {
      const world = new VirtualUpstreams([group('default', 'a')], ({ exchange, isProbe }) =>
        exchange.exactCase && !isProbe ? toMixed : answers,
      );
      const settled = await ask(world);
      t.equal(shown(settled), expected, what);
      t.match(settled[0], { index: { answerCount: 1 } });
    }
  },
);

t.test('a server that denies names in mixed case three times is asked without', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ exchange }) =>
    exchange.exactCase ? { afterMs: 20, says: 3 } : answers,
  );
  for (const name of ['a.example', 'b.example', 'c.example', 'd.example']) await ask(world, name);
  t.equal(world.asked.length, 7);
  t.match(world.log.lines, [{ text: /loses the case of names/ }]);
});

t.test(
  'a server that drops three names in mixed case, and answers them in their own case, is asked without',
  async (t) => {
    const world = new VirtualUpstreams([group('default', 'a')], ({ exchange, isProbe }) =>
      exchange.exactCase && !isProbe ? 'silence' : answers,
    );
    for (const name of ['one.example', 'two.example', 'three.example']) await ask(world, name);
    await world.time.advance(5_000);
    t.equal(shown(await ask(world, 'four.example')), 'a rcode 0 after 20');
    t.match(world.log.lines, [{ text: /loses the case of names/ }]);
  },
);

t.test('a first upstream that drops mixed case is found although the second one answers', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ exchange, isProbe, upstream }) =>
    upstream === 'a' && exchange.exactCase && !isProbe ? 'silence' : answers,
  );
  for (const name of ['host.one.example', 'host.two.example', 'host.three.example']) {
    await ask(world, name);
    await world.time.advance(6_000);
  }
  t.equal(shown(await ask(world, 'host.four.example')), 'a rcode 0 after 20');
});

t.test('a server that is slow with new names, and answers every question, keeps mixed case', async (t) => {
  const asked = new Set<string>();
  const world = new VirtualUpstreams([group('default', 'a')], ({ name }) => {
    const isNew = !asked.has(name);
    asked.add(name);
    return isNew ? { afterMs: 900, says: 'answer' } : answers;
  });
  for (const name of ['one.example', 'two.example', 'three.example', 'four.example']) await ask(world, name);
  await world.time.advance(5_000);
  await ask(world, 'five.example');
  t.equal(world.seen.at(-2)?.exchange.exactCase, true);
});

t.test('a server that falls silent after it was slow with some names keeps mixed case', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => ({ afterMs: 900, says: 'answer' }));
  await ask(world, 'one.example');
  await world.time.advance(5_000);
  world.behave = () => 'silence';
  for (let at = 0; at < 30; at++) {
    await ask(world, `n${at}.example`);
    await world.time.advance(1_000);
  }
  t.strictSame(
    world.log.lines.map(({ text }) => text),
    ['upstream is down'],
  );
});

t.test('a question fails 5 s after it was asked, however many upstreams are left', async (t) => {
  const names = Array.from({ length: 30 }, (_, at) => `u${at}`);
  const world = new VirtualUpstreams([group('default', ...names)], () => 'silence');
  t.equal(shown(await ask(world)), 'timeout extended error 22 after 5000');
  t.equal(world.asked.length, 10);
});

t.test('an upstream that refuses at once gets a pause before it is asked again', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => unreachable);
  const [outcome, afterMs] = await ask(world);
  t.match(outcome, { reason: 'network', extendedError: 23 });
  t.ok(afterMs >= 400 && afterMs <= 450, `${afterMs} ms`);
  t.equal(world.asked.length, 3);
});

t.test('a truncated reply is asked for again over TCP of the same upstream', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ transport }) =>
    transport === 'udp' ? { afterMs: 20, says: 'truncated' } : answers,
  );
  t.equal(shown(await ask(world)), 'a rcode 0 after 40');
  t.strictSame(world.asked, ['a udp 0', 'a tcp 20']);
});

t.test('a truncated reply whose TCP fails is not used; the next upstream is asked', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream, transport }) => {
    if (upstream === 'b') return answers;
    return transport === 'udp' ? { afterMs: 20, says: 'truncated' } : unreachable;
  });
  t.match((await ask(world))[0], { kind: 'response', upstream: 'b' });
});

t.test('too many forged replies move the question to TCP (RFC 5452 section 9.3)', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ transport }) =>
    transport === 'udp' ? { afterMs: 20, fails: 'spoofed' } : answers,
  );
  t.equal(shown(await ask(world)), 'a rcode 0 after 40');
  t.ok(world.forwarder.snapshot().upstreams[0]?.isUp);
});

t.test('at most 1,000 questions are in flight; one more fails at once, the refresh does not', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => ({ afterMs: 100, says: 'answer' }));
  const all = Array.from({ length: 1_000 }, (_, at) =>
    world.forwarder.forward(clientQuery(`n${at}`), group('default')),
  );
  t.match(await world.forwarder.forward(clientQuery('one.more'), group('default')), { reason: 'overloaded' });
  const refresh = world.forwarder.resolveAddresses('endpoint', AbortSignal.abort(), group('default'));
  t.match(await refresh, { reason: 'timeout', detail: 'given up by the caller' });
  t.equal(world.asked.length, 1_001);
  await world.time.advance(200);
  t.ok((await Promise.all(all)).every(({ kind }) => kind === 'response'));
  t.equal(world.forwarder.snapshot().inFlight, 0);
  t.match((await ask(world, 'one.more'))[0], { kind: 'response' });
});

t.test('a thousand questions in flight wait under one timer', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
  for (let at = 0; at < 1_000; at++) void world.forwarder.forward(clientQuery(`n${at}`), group('default'));
  t.equal(world.time.pendingTimers, 1);
});

t.test(
  'a reload keeps health and connections of upstreams that stay, and closes those that go',
  async (t) => {
    const world = new VirtualUpstreams([group('default', 'a', 'b'), group('zone', 'c')], ({ upstream }) =>
      upstream === 'a' ? unreachable : { afterMs: 100, says: 'answer' },
    );
    for (let at = 0; at < 3; at++) await ask(world, `n${at}`);
    t.equal(world.changes.length, 1, 'a is down');
    const pending = world.forwarder.forward(clientQuery('x.zone'), group('zone'));
    world.forwarder.reconfigure([group('default', 'a', 'd')], { deadlineMs: 3_000 });
    const upstreams = world.forwarder.snapshot().upstreams;
    t.strictSame(
      upstreams.map(({ upstream, isUp }) => `${upstream} ${isUp}`),
      ['a false', 'd true'],
    );
    t.strictSame(world.closed, ['b udp'], 'c still has work');
    await world.time.advance(200);
    t.match(await pending, { kind: 'response', upstream: 'c' });
    t.strictSame(world.closed, ['b udp', 'c udp']);
    t.match((await ask(world))[0], { upstream: 'd' });
    t.match(await world.forwarder.forward(clientQuery('x.zone'), group('zone')), { reason: 'all-down' });
  },
);

t.test(
  'a reload that takes an upstream away asks the new one what is in flight to the old one',
  async (t) => {
    const world = new VirtualUpstreams([group('default', 'old', 'other')], ({ upstream }) =>
      upstream === 'old' ? 'silence' : answers,
    );
    const { time, forwarder } = world;
    const both = Promise.all([1, 2].map(() => forwarder.forward(clientQuery('a.example'), group('default'))));
    await time.advance(100);
    forwarder.reconfigure([group('default', 'new', 'newer')]);
    await time.advance(20);
    t.match(await both, [{ upstream: 'new' }, { upstream: 'new' }]);
    t.strictSame(world.asked, ['old udp 0', 'new udp 100'], 'one exchange, at once');
    t.equal(forwarder.snapshot().inFlight, 0);
  },
);

t.test('what is in flight when a reload comes', async (t) => {
  type Row = [it: string, doing: Record<string, Doing>, after: string[], expected: string, asked: string[]];
  const late = { afterMs: 150, says: 'answer' } as const;
  const rows: Row[] = [
    [
      'the next new one where the first refuses',
      { old: 'silence', new: refused, newer: answers },
      ['new', 'newer'],
      'newer rcode 0 after 140',
      ['old udp 0', 'new udp 100', 'newer udp 120'],
    ],
    [
      'the answer of the old one is welcome',
      { old: late, new: 'silence' },
      ['new'],
      'old rcode 0 after 150',
      ['old udp 0', 'new udp 100'],
    ],
    [
      'all new ones refuse: that is the answer, and the old one is not waited for',
      { old: 'silence', new: refused },
      ['new'],
      'new rcode 5 after 120',
      ['old udp 0', 'new udp 100'],
    ],
    [
      'an upstream that stays and may still answer is waited for',
      { old: late, new: answers },
      ['new', 'old'],
      'old rcode 0 after 150',
      ['old udp 0'],
    ],
    [
      'no group any more: no other is asked, and the old one has a time in which most answers come',
      { old: 'silence' },
      [],
      'timeout extended error 22 after 1600',
      ['old udp 0', 'old udp 500', 'old tcp 1500'],
    ],
    [
      'no group any more: its answer is waited for',
      { old: late },
      [],
      'old rcode 0 after 150',
      ['old udp 0'],
    ],
  ];
  for (const [it, doing, after, expected, asked] of rows) {
    const world = new VirtualUpstreams(
      [group('default', 'old')],
      ({ upstream }) => doing[upstream] ?? 'silence',
    );
    world.time.after(100, () =>
      world.forwarder.reconfigure(after.length > 0 ? [group('default', ...after)] : []),
    );
    t.equal(shown(await ask(world)), expected, it);
    t.strictSame(world.asked, asked, it);
  }
});

t.test('a question in flight is asked of new upstreams after one reload only', async (t) => {
  const world = new VirtualUpstreams([group('default', 'old')], () => 'silence');
  for (const [at, name] of ['new', 'newer', 'newest'].entries())
    world.time.after(100 * (at + 1), () => world.forwarder.reconfigure([group('default', name)]));
  t.match((await ask(world))[0], { kind: 'failed', reason: 'timeout' });
  t.notOk(world.asked.some((one) => one.startsWith('newe')));
});

t.test('closing closes upstreams that a reload took away and that may still answer', async (t) => {
  const world = new VirtualUpstreams([group('default', 'old')], ({ upstream }) =>
    upstream === 'old' ? 'silence' : { afterMs: 20, says: 'answer' },
  );
  const asking = world.forwarder.forward(clientQuery('a.example'), group('default'));
  await world.time.advance(100);
  world.forwarder.reconfigure([group('default', 'new')]);
  await world.time.advance(30);
  t.match(await asking, { upstream: 'new' });
  world.forwarder.close();
  t.strictSame(world.closed.toSorted(), ['new udp', 'old udp']);
});

t.test('closing fails the pending questions, and leaves no timer', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
  const outcome = world.forwarder.forward(clientQuery('a.example'), group('default'));
  await world.time.advance(600);
  world.forwarder.close();
  t.match(await outcome, { kind: 'failed', reason: 'closing' });
  t.equal(world.time.pendingTimers, 0);
  t.match(await world.forwarder.forward(clientQuery('b.example'), group('default')), { kind: 'failed' });
  t.strictSame(world.changes, []);
});

t.test('addresses of a name, for the refresh', async (t) => {
  for (const [doing, expected] of [
    [answers, { kind: 'addresses', addresses: ['10.0.0.1'], ttlSeconds: 60 }],
    [
      { afterMs: 20, says: 3 },
      { kind: 'no-addresses', rcode: 3 },
    ],
    [
      { afterMs: 20, says: 0 },
      { kind: 'no-addresses', rcode: 0 },
    ],
    [servfail, { kind: 'failed', reason: 'servfail', detail: '"a": SERVFAIL' }],
    [refused, { kind: 'failed', reason: 'servfail', detail: '"a": REFUSED' }],
    [
      { afterMs: 20, says: 'referral' },
      { kind: 'failed', reason: 'servfail', detail: '"a": referral' },
    ],
    [
      { afterMs: 20, says: 'strayReferral' },
      { kind: 'failed', reason: 'servfail', detail: '"a": referral' },
    ],
    ['silence', { kind: 'failed', reason: 'timeout' }],
    [unreachable, { kind: 'failed', reason: 'network' }],
    [
      { afterMs: 20, fails: 'malformed' },
      { kind: 'failed', reason: 'malformed' },
    ],
  ] as const satisfies readonly (readonly [Doing, object])[]) {
    const world = new VirtualUpstreams([group('default', 'a')], () => doing);
    const resolved = world.forwarder.resolveAddresses(
      'answer',
      new AbortController().signal,
      group('default'),
    );
    await world.time.advance(6_000);
    t.match(await resolved, expected);
  }
  const world = new VirtualUpstreams([group('default', 'a')], () => answers);
  const bad = world.forwarder.resolveAddresses('a..b', new AbortController().signal, group('default'));
  t.match(await bad, { kind: 'failed', reason: 'malformed', detail: /a\.\.b/ });
});

t.test('counters say what happened', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream, transport }) => {
    if (upstream === 'a') return servfail;
    return transport === 'udp' ? { afterMs: 20, says: 'truncated' } : answers;
  });
  await ask(world);
  t.match(world.forwarder.snapshot().upstreams, [
    {
      upstream: 'a',
      unhelpful: { SERVFAIL: 1, REFUSED: 0, referral: 0 },
      exchanges: { udp: 1, tcp: 0 },
      inFlight: 0,
      rttMs: 20,
    },
    {
      upstream: 'b',
      unhelpful: { SERVFAIL: 0, REFUSED: 0, referral: 0 },
      exchanges: { udp: 1, tcp: 1 },
      truncated: 1,
      mismatched: 0,
    },
  ]);
});

t.test(
  'an upstream that is cut off counts as down without being asked, and is as it was afterwards',
  async (t) => {
    const route = group('.', 'far', 'near');
    const only = group('corp.example', 'far');
    const cutOff = new Set<string>();
    const it = new VirtualUpstreams([route, only], () => ({ afterMs: 5, says: 'answer' }), {
      isDrilled: ({ text }) => cutOff.has(text),
      link: { isFarSideCut: false, isAnyCut: true },
    });
    const asked = () =>
      it.seen.filter(({ isProbe, isLoopProbe }) => !isProbe && !isLoopProbe).map((one) => one.upstream);
    t.notOk(it.forwarder.isDown(only));
    cutOff.add('far');
    t.ok(it.forwarder.isDown(only));
    t.notOk(it.forwarder.isDown(route), 'another one is near');
    t.match(await it.forwarder.forward(clientQuery('x.corp.example'), only), {
      kind: 'failed',
      reason: 'all-down',
      extendedError: 22,
    });
    const answered = it.forwarder.forward(clientQuery('www.example'), route);
    await it.time.advance(10);
    t.match(await answered, { kind: 'response' });
    t.same(asked(), ['near']);
    cutOff.clear();
    t.notOk(it.forwarder.isDown(only));
    const again = it.forwarder.forward(clientQuery('y.corp.example'), only);
    await it.time.advance(10);
    t.match(await again, { kind: 'response' });
    t.same(asked(), ['near', 'far']);
  },
);
