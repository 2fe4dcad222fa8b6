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
  t.equal(world.asked.length, 2, 'a later one is asked anew');
});

t.test('questions that differ in type, DO, CD or group are not joined', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a'), group('other', 'a')], () => answers);
  for (const options of [{}, { qtype: 28 }, { dnssecOk: true }, { flags: 0x0110 }])
    void world.forwarder.forward(clientQuery('a.example', options), group('default'));
  void world.forwarder.forward(clientQuery('a.example'), group('other'));
  await world.time.advance(100);
  t.equal(world.asked.length, 5);
});

t.test('what one upstream cannot do the next one does', async (t) => {
  for (const [what, a, b, expected] of [
    ['the first is asked first', answers, answers, 'a rcode 0 after 20'],
    ['unreachable', unreachable, answers, 'b rcode 0 after 21'],
    ['SERVFAIL', servfail, answers, 'b rcode 0 after 40'],
    ['REFUSED', refused, answers, 'b rcode 0 after 40'],
    ['FORMERR, with EDNS and without', { afterMs: 20, says: 1 }, answers, 'b rcode 0 after 60'],
    ['NOTAUTH', { afterMs: 20, says: 9 }, answers, 'b rcode 0 after 40'],
    ['YXDOMAIN is an answer', { afterMs: 20, says: 6 }, answers, 'a rcode 6 after 20'],
    ['silent', 'silence', answers, 'b rcode 0 after 520'],
    ['malformed', { afterMs: 20, fails: 'malformed' }, answers, 'b rcode 0 after 40'],
    ['NXDOMAIN is an answer', { afterMs: 20, says: 3 }, answers, 'a rcode 3 after 20'],
    ['both SERVFAIL: the last one', servfail, servfail, 'b rcode 2 after 40'],
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

t.test('with all upstreams down questions fail at once, with the code of what is wrong', async (t) => {
  for (const [doing, code] of [
    ['silence', 22],
    [unreachable, 23],
  ] as const) {
    const world = new VirtualUpstreams([group('default', 'a', 'b')], () => doing);
    t.notOk(world.forwarder.isDown(group('default')), 'not before they were asked');
    while (world.changes.length < 2) await ask(world);
    const before = world.asked.length;
    t.ok(world.forwarder.isDown(group('default')));
    t.equal(shown(await ask(world, 'b.example')).replace(/ after .*/, ''), `all-down extended error ${code}`);
    const outcome = await world.forwarder.forward(clientQuery('c.example'), group('default'));
    t.match(outcome, { reason: 'all-down' }, 'without time passing');
    t.equal(world.asked.length, before, 'nobody was asked');
    t.equal(world.forwarder.snapshot().failedFast, 2);
  }
});

t.test('an upstream that is down is left out while another is up', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? 'silence' : answers,
  );
  for (let at = 0; at < 3; at++) await ask(world, `n${at}`);
  t.equal(world.changes.length, 1);
  t.equal(shown(await ask(world, 'fast')), 'b rcode 0 after 20');
});

t.test('an upstream that is down is probed ever more seldom, and is up after two replies', async (t) => {
  let isBack = false;
  const world = new VirtualUpstreams([group('default', 'a')], () => (isBack ? answers : unreachable));
  await ask(world);
  const downAtMs = Number(world.changes[0]?.split(' ').at(-1));
  const before = world.probed.length;
  await world.time.advance(10_000);
  const pauses = world.probed.slice(before).map((line) => Number(line.split(' ')[1]) - downAtMs);
  t.strictSame(pauses, [500, 1_501, 3_502, 5_503, 7_504, 9_505]);
  isBack = true;
  await world.time.advance(5_000);
  t.strictSame(
    world.changes.slice(1),
    [`a up at ${downAtMs + 11_506 + 20 + 100 + 20}`],
    'the second reply 0.1 s after the first',
  );
  t.equal(shown(await ask(world)), 'a rcode 0 after 20');
  await world.time.advance(60_000);
  t.equal(world.time.pendingTimers, 0, 'and nothing is left to do');
});

t.test('a name that is slow everywhere does not take a healthy upstream down', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ isProbe }) =>
    isProbe ? answers : 'silence',
  );
  for (let at = 0; at < 5; at++) t.match((await ask(world, 'slow.example'))[0], { reason: 'timeout' });
  t.strictSame(world.changes, []);
  t.ok(world.forwarder.snapshot().upstreams[0]?.isUp);
  t.ok(
    world.asked.every((line) => line.includes('udp')),
    'nor its UDP into doubt',
  );
  t.notOk(
    world.evidence.some(({ reachable }) => !reachable),
    'and the link is not blamed',
  );
});

t.test('a late reply still answers, and teaches the round trip', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => ({ afterMs: 900, says: 'answer' }));
  t.equal(shown(await ask(world)), 'a rcode 0 after 900');
  t.equal(world.asked.length, 2);
  await world.time.advance(1_000);
  await ask(world, 'b.example');
  t.equal(world.asked.length, 3, 'no second attempt now');
});

t.test('a late reply counts for health although another upstream has answered', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? { afterMs: 700, says: 'answer' } : answers,
  );
  t.equal(shown(await ask(world)), 'b rcode 0 after 520');
  await world.time.advance(1_000);
  t.equal(world.forwarder.snapshot().upstreams[0]?.rttMs, 700);
  t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 700');
});

t.test('a late SERVFAIL does not cut short the attempt that is under way elsewhere', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a', 'b')], ({ upstream }) =>
    upstream === 'a' ? { afterMs: 700, says: 2 } : { afterMs: 400, says: 'answer' },
  );
  t.equal(shown(await ask(world)), 'b rcode 0 after 900');
  t.strictSame(world.asked, ['a udp 0', 'b udp 500']);
});

t.test('one lost exchange among many is one strike, and a burst lost at once is one too', async (t) => {
  let isBroken = true;
  const world = new VirtualUpstreams([group('default', 'a')], () => (isBroken ? 'silence' : answers));
  const all = Array.from({ length: 200 }, (_, at) =>
    world.forwarder.forward(clientQuery(`n${at}`), group('default')),
  );
  await world.time.advance(300);
  isBroken = false;
  await world.time.advance(1_000);
  t.strictSame(world.changes, []);
  for (const outcome of await Promise.all(all)) if (outcome.kind !== 'response') t.fail(outcome.detail);
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

t.test('where UDP is lost TCP is used, and UDP tried again after 30 s', async (t) => {
  let udpWorks = false;
  const world = new VirtualUpstreams([group('default', 'a')], ({ transport }) =>
    transport === 'tcp' || udpWorks ? answers : 'silence',
  );
  await ask(world);
  t.match(world.asked, ['a udp 0', 'a udp 500', 'a tcp 1500']);
  for (let second = 0; second < 20; second++) {
    await ask(world, `n${second}`);
    await world.time.advance(1_000);
  }
  t.notOk(
    world.asked.slice(3).some((line) => line.includes('udp')),
    'TCP meanwhile',
  );
  t.strictSame(world.changes, [], 'and it stays up');
  udpWorks = true;
  await world.time.advance(15_000);
  await ask(world, 'later');
  await ask(world, 'still later');
  t.ok(world.asked.slice(-2).every((line) => line.includes('udp')));
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
    const onItsWay = world.forwarder.forward(clientQuery('x.zone'), group('zone'));
    world.forwarder.reconfigure([group('default', 'a', 'd')], { deadlineMs: 3_000 });
    const upstreams = world.forwarder.snapshot().upstreams;
    t.strictSame(
      upstreams.map(({ upstream, isUp }) => `${upstream} ${isUp}`),
      ['a false', 'd true'],
    );
    t.strictSame(world.closed, ['b udp'], 'c still has work');
    await world.time.advance(200);
    t.match(await onItsWay, { kind: 'response', upstream: 'c' });
    t.strictSame(world.closed, ['b udp', 'c udp']);
    t.match((await ask(world))[0], { upstream: 'd' });
    t.match(await world.forwarder.forward(clientQuery('x.zone'), group('zone')), { reason: 'all-down' });
  },
);

t.test('an upstream that is removed while it is down is probed no more', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
  await ask(world);
  const before = world.probed.length;
  while (world.probed.length === before) await world.time.advance(10);
  world.forwarder.reconfigure([group('default', 'b')]); // with a probe under way
  await world.time.advance(60_000);
  t.equal(world.probed.length, before + 1);
  t.strictSame(world.closed.toSorted(), ['a tcp', 'a udp']);
});

t.test('closing stops the probes', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => unreachable);
  await ask(world);
  t.equal(world.changes.length, 1, 'it is down');
  await world.time.advance(100);
  world.forwarder.close();
  t.equal(world.time.pendingTimers, 0);
});

t.test('closing fails what is on its way, and leaves no timer', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => 'silence');
  const outcome = world.forwarder.forward(clientQuery('a.example'), group('default'));
  await world.time.advance(600);
  world.forwarder.close();
  t.match(await outcome, { kind: 'failed', reason: 'closing' });
  t.equal(world.time.pendingTimers, 0);
  t.match(await world.forwarder.forward(clientQuery('b.example'), group('default')), { kind: 'failed' });
  t.strictSame(world.changes, []);
});

t.test('evidence: any RCODE proves reach, and more of the same is told once a second', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => servfail);
  for (let at = 0; at < 200; at++) await ask(world, `n${at}`);
  t.match(world.evidence[0], { upstream: 'a', reachable: true, reason: 'SERVFAIL' });
  t.equal(world.evidence.length, 4, 'in four seconds');
  world.behave = () => unreachable;
  await ask(world, 'x');
  t.match(world.evidence.at(-1), { reachable: false, reason: 'network' });
  await world.time.advance(60_000);
  t.ok(world.evidence.length < 4 + 40 && world.evidence.length > 8, 'probes go on telling');
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
    { upstream: 'a', unhelpful: 1, exchanges: { udp: 1, tcp: 0 }, inFlight: 0, rttMs: 20 },
    { upstream: 'b', unhelpful: 0, exchanges: { udp: 1, tcp: 1 }, truncated: 1, mismatched: 0 },
  ]);
});

t.test(
  'an upstream that is cut off counts as down without being asked, and is as it was afterwards',
  async (t) => {
    const route = group('.', 'far', 'near');
    const only = group('corp.example', 'far');
    const cutOff = new Set<string>();
    const it = new VirtualUpstreams([route, only], () => ({ afterMs: 5, says: 'answer' }), {
      isCutOff: ({ text }) => cutOff.has(text),
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
