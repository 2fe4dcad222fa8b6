import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { addresses, denial, Rig, type RigOptions } from './rig.ts';

const WWW = { name: 'www.example.com', edns: {} };
const OLD = '192.0.2.1';
const NEW = '192.0.2.2';
const STALE = { rcode: RCODE.NOERROR, ede: 3, aa: false, answers: [{ data: OLD, ttl: 30 }] };
const FRESH = { rcode: RCODE.NOERROR, ede: undefined, answers: [{ data: NEW, ttl: 60 }] };

/** `www` was asked for once; its 60 s are over. The upstream has something new to say from now on. */
async function staleRig(options: RigOptions = {}, elapsedMs = 61_000): Promise<Rig> {
  const rig = new Rig(options);
  rig.says = (question) => addresses(question, [OLD], 60);
  await rig.answer(WWW);
  await rig.time.advance(elapsedMs);
  rig.asked.length = 0;
  rig.says = (question) => addresses(question, [NEW], 60);
  return rig;
}

t.test('connected: an upstream that answers within 1.8 s is waited for', async (t) => {
  for (const delayMs of [1, 500, 1799]) {
    const rig = await staleRig();
    rig.delayMs = delayMs;
    const asking = rig.timed(WWW);
    await rig.time.advance(3000);
    t.match(await asking, { reply: FRESH, afterMs: delayMs }, `answer after ${delayMs} ms`);
  }
});

t.test(
  'connected: after 1.8 s the stale answer is given; the late answer is kept for the next client',
  async (t) => {
    for (const delayMs of [1801, 2500, 4900]) {
      const rig = await staleRig();
      rig.delayMs = delayMs;
      const asking = rig.timed(WWW);
      await rig.time.advance(1799);
      let isAnswered = false;
      void asking.then(() => {
        isAnswered = true;
      });
      await rig.time.advance(0);
      t.notOk(isAnswered, 'nothing before 1.8 s');
      await rig.time.advance(1);
      t.match(await asking, { reply: STALE, afterMs: 1800 }, `answer after ${delayMs} ms`);
      await rig.time.advance(delayMs);
      t.match(rig.now(WWW), { answers: [{ data: NEW }], ede: undefined });
      t.equal(rig.asked.length, 1);
    }
  },
);

t.test('a failure within 1.8 s gives the stale answer at that moment', async (t) => {
  const failures: readonly (readonly [string, Rig['says']])[] = [
    ['network error', () => ({ extendedError: 23 })],
    ['SERVFAIL', (question) => denial(question, RCODE.SERVFAIL)],
    ['REFUSED', (question) => denial(question, RCODE.REFUSED)],
    ['NOTIMP', (question) => denial(question, RCODE.NOTIMP)],
    ['FORMERR', (question) => denial(question, RCODE.FORMERR)],
    ['TC over TCP', (question) => addresses(question, [NEW], 60, 0x8380)],
  ];
  for (const [what, says] of failures) {
    const rig = await staleRig();
    rig.says = says;
    const asking = rig.timed(WWW);
    await rig.time.advance(3000);
    t.match(await asking, { reply: STALE, afterMs: rig.delayMs }, what);
  }
});

t.test('upstream known dead: stale at once, no upstream is asked', async (t) => {
  const rig = await staleRig();
  rig.down.add('default');
  for (const query of [WWW, { ...WWW, name: 'WWW.example.COM' }, { ...WWW, edns: { size: 512 } }])
    t.match(rig.now(query), STALE);
  t.equal(rig.asked.length, 0);
  rig.down.clear();
  t.match(await rig.answer(WWW), FRESH, 'back: the new answer');
});

t.test('whether upstreams are dead is a question of the route that a zone rule chose', async (t) => {
  const rig = await staleRig({ rules: [{ name: 'example.com', forwardTo: 'site' }] });
  rig.down.add('default');
  t.equal(rig.now(WWW), 'pending', 'its own upstream lives');
  rig.down.add('site');
  t.match(rig.now(WWW), STALE);

  const other = await staleRig({ rules: [{ name: 'corp.example', forwardTo: 'site' }] });
  other.down.add('site');
  t.equal(other.now({ name: 'www.corp.example' }), 'pending');
  t.equal(other.now(WWW), 'pending', 'and not of the route of the query before');
});

t.test('a fresh answer has no sign of an upstream that is down', async (t) => {
  const rig = await staleRig({}, 1000);
  rig.down.add('default');
  t.match(rig.now(WWW), { ede: undefined, answers: [{ data: OLD, ttl: 59 }] });
});

t.test(
  'after a failure the upstream is asked again after 30 s and not before; meanwhile stale at once',
  async (t) => {
    const rig = await staleRig();
    rig.says = () => ({ extendedError: 23 });
    await rig.answer(WWW);
    t.equal(rig.asked.length, 1);
    for (const waitMs of [1, 10_000, 19_000, 800]) {
      await rig.time.advance(waitMs);
      t.match(rig.now(WWW), STALE, 'at once');
    }
    t.equal(rig.asked.length, 1);
    await rig.time.advance(200);
    rig.says = (question) => addresses(question, [NEW], 60);
    t.match(await rig.answer(WWW), FRESH);
    t.equal(rig.asked.length, 2);
  },
);

t.test('a silent upstream costs one client 1.8 s, and clients of the next 30 s nothing', async (t) => {
  const rig = await staleRig();
  rig.says = () => undefined;
  const first = rig.timed(WWW);
  await rig.time.advance(6000);
  t.match(await first, { reply: STALE, afterMs: 1800 });
  for (let at = 0; at < 20; at++) {
    t.match(rig.now(WWW), STALE);
    await rig.time.advance(1000);
  }
  t.equal(rig.asked.length, 1);
});

t.test('for as long as `staleFor` says: one day by default, without end where configured', async (t) => {
  const day = 86_400_000;
  for (const [staleForMs, elapsedMs, isServed] of [
    [day, 60_000 + day - 1000, true],
    [day, 60_000 + day + 1000, false],
    [0, 61_000, false],
    [Number.POSITIVE_INFINITY, 400 * day, true],
  ] as const) {
    const rig = await staleRig({ cache: { staleForMs } }, elapsedMs);
    rig.down.add('default');
    const reply = await rig.answer(WWW);
    t.match(
      reply,
      isServed ? STALE : { rcode: RCODE.SERVFAIL, ede: 22, answers: [] },
      `${elapsedMs} of ${staleForMs}`,
    );
  }
});

t.test('NXDOMAIN: stale with extended error 19 only where there never was a good answer', async (t) => {
  const rig = new Rig();
  rig.says = (question) => denial(question, RCODE.NXDOMAIN, 30);
  t.match(await rig.answer(WWW), { rcode: RCODE.NXDOMAIN, ede: undefined });
  await rig.time.advance(31_000);
  rig.down.add('default');
  t.match(rig.now(WWW), {
    rcode: RCODE.NXDOMAIN,
    ede: 19,
    aa: false,
    authorities: [{ type: 'SOA', ttl: 30 }],
  });

  const known = await staleRig();
  known.says = (question) => denial(question, RCODE.NXDOMAIN, 30);
  t.match(await known.answer(WWW), { rcode: RCODE.NXDOMAIN, ede: undefined }, 'fresh: it is believed');
  t.match(known.now(WWW), { rcode: RCODE.NXDOMAIN });
  await known.time.advance(31_000);
  known.down.add('default');
  t.match(known.now(WWW), STALE, 'no longer confirmed: the good answer is given again');
});

t.test('NODATA expires as an answer does', async (t) => {
  const rig = new Rig();
  rig.says = (question) => denial(question, RCODE.NOERROR, 30);
  await rig.answer({ ...WWW, type: 'AAAA' });
  await rig.time.advance(31_000);
  rig.down.add('default');
  t.match(rig.now({ ...WWW, type: 'AAAA' }), {
    rcode: RCODE.NOERROR,
    ede: 3,
    answers: [],
    authorities: [{ ttl: 30 }],
  });
});

t.test('a SERVFAIL is kept for 5 s and never stale; with the upstream down it has the reason', async (t) => {
  const rig = new Rig();
  rig.says = (question) => denial(question, RCODE.SERVFAIL);
  t.match(await rig.answer(WWW), { rcode: RCODE.SERVFAIL, ede: undefined });
  await rig.time.advance(4800);
  t.match(rig.now(WWW), { rcode: RCODE.SERVFAIL, ede: undefined });
  rig.down.add('default');
  t.match(rig.now(WWW), { rcode: RCODE.SERVFAIL, ede: 22 }, 'RFC 8914: why it stays so');
  rig.down.clear();
  await rig.time.advance(300);
  rig.says = (question) => addresses(question, [NEW], 60);
  t.match(await rig.answer(WWW), FRESH);
  t.equal(rig.asked.length, 2);
});

t.test('other upstreams are asked at once about an answer that those before could not confirm', async (t) => {
  const rig = await staleRig();
  rig.says = (question) => denial(question, RCODE.SERVFAIL);
  const OTHER = { name: 'other.example.com', edns: {} };
  t.match(await rig.answer(WWW), STALE);
  t.match(await rig.answer(OTHER), { rcode: RCODE.SERVFAIL });
  rig.says = (question) => addresses(question, [NEW], 60);
  await rig.time.advance(1_000);
  t.match(await rig.answer(WWW), STALE);
  rig.cache.forgetFailures(rig.time.monotonicMs(), 0);
  t.match(await rig.answer(WWW), FRESH);
  t.match(await rig.answer(OTHER), FRESH);
  await rig.time.advance(61_000);
  rig.says = (question) => denial(question, RCODE.SERVFAIL);
  t.match(await rig.answer(WWW), { ede: 3 });
  rig.asked.length = 0;
  t.match(await rig.answer(WWW), { ede: 3 });
  t.equal(rig.asked.length, 0, 'their own failures count');
});

t.test(
  'upstreams that are replaced fail questions on their way a few seconds later, and that does not count either',
  async (t) => {
    const rig = await staleRig();
    rig.cache.forgetFailures(rig.time.monotonicMs(), 5_000);
    rig.cache.forgetFailures(rig.time.monotonicMs(), 0); // one of the others is up
    rig.says = (question) => denial(question, RCODE.SERVFAIL);
    await rig.time.advance(4_000);
    t.match(await rig.answer(WWW), STALE);
    rig.says = (question) => addresses(question, [NEW], 60);
    t.match(await rig.answer(WWW), FRESH);
  },
);

t.test('a failure never replaces a good answer, fresh or stale', async (t) => {
  const rig = await staleRig();
  rig.says = (question) => denial(question, RCODE.SERVFAIL);
  for (let round = 0; round < 5; round++) {
    t.match(await rig.answer(WWW), STALE);
    await rig.time.advance(31_000);
  }
  rig.says = (question) => addresses(question, [NEW], 60);
  t.match(await rig.answer(WWW), FRESH);
});

t.test(
  'TTLs age by whole seconds and never grow; TTLs of stale answers are 30 s, as configured',
  async (t) => {
    const rig = await staleRig({ cache: { staleTtlSeconds: 7, prefetch: false } }, 0);
    for (const [elapsedMs, ttl] of [
      [900, 60],
      [100, 59],
      [58_000, 1],
      [900, 1],
    ] as const) {
      await rig.time.advance(elapsedMs);
      t.match(rig.now(WWW), { answers: [{ ttl }], ede: undefined }, `${ttl}`);
    }
    await rig.time.advance(50);
    rig.down.add('default');
    t.match(rig.now(WWW), { answers: [{ ttl: 7 }], ede: 3 });
  },
);

t.test('a jump of the wall clock makes no answer older or younger', async (t) => {
  const rig = await staleRig({}, 10_000);
  for (const wall of ['1970-01-01T00:00:00Z', '2099-01-01T00:00:00Z']) {
    rig.time.setWall(wall);
    t.match(rig.now(WWW), { answers: [{ ttl: 50, data: OLD }], ede: undefined });
  }
});
