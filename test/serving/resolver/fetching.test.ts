import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { message, rawRecord } from '../../helpers/zone-text.ts';
import { addresses, denial, Rig, type Says } from './rig.ts';

const WWW = { name: 'www.example.com' };
const answering = (question: string) => addresses(question, ['192.0.2.1'], 100);

t.test('dead upstream: SERVFAIL within the forwarder’s deadline, never silence, never REFUSED', async (t) => {
  const table: Readonly<Record<string, (question: string) => Says>> = {
    silence: () => undefined,
    'network error': () => ({ extendedError: 23 }),
    'no reachable authority': () => ({ extendedError: 22 }),
    REFUSED: (question) => denial(question, RCODE.REFUSED),
    NOTIMP: (question) => denial(question, RCODE.NOTIMP),
    FORMERR: (question) => denial(question, RCODE.FORMERR),
    NOTAUTH: (question) => denial(question, 9),
    'TC even over TCP': (question) => addresses(question, ['192.0.2.1'], 60, 0x8380),
  };
  for (const [what, says] of Object.entries(table)) {
    const rig = new Rig();
    rig.says = says;
    const asking = rig.timed({ ...WWW, edns: {} });
    await rig.time.advance(6000);
    const { reply, afterMs } = await asking;
    t.match(reply, { rcode: RCODE.SERVFAIL, answers: [], authorities: [], tc: false }, what);
    t.ok(afterMs <= 5000, `${what}: after ${afterMs} ms`);
  }
});

t.test('YXDOMAIN is about the name (RFC 6672): it is passed on, and not kept', async (t) => {
  const rig = new Rig();
  rig.says = (question) => denial(question, RCODE.YXDOMAIN);
  for (const turn of [1, 2]) {
    t.match(await rig.answer(WWW), { rcode: RCODE.YXDOMAIN });
    t.equal(rig.asked.length, turn);
  }
});

const refusing = (rcode: number) => (question: string) => denial(question, rcode);

t.test('a failure is remembered for 5 s only if it is about the upstreams', async (t) => {
  const table: readonly (readonly [string, Rig['says'], isRemembered: boolean])[] = [
    ['timeout', () => ({ extendedError: 22, reason: 'timeout' }), true],
    ['network', () => ({ extendedError: 23, reason: 'network' }), true],
    ['all down', () => ({ extendedError: 22, reason: 'all-down' }), true],
    ['malformed', () => ({ extendedError: 23, reason: 'malformed' }), true],
    ['loop', () => ({ extendedError: 23, reason: 'loop' }), true],
    ['too much to do', () => ({ extendedError: 0, reason: 'overloaded' }), false],
    ['closing', () => ({ extendedError: 14, reason: 'closing' }), false],
    ...[RCODE.SERVFAIL, RCODE.REFUSED, RCODE.NOTIMP, RCODE.FORMERR, RCODE.NOTAUTH].map(
      (rcode) => [`RCODE ${rcode}`, refusing(rcode), true] as const,
    ),
  ];
  for (const [what, says, isRemembered] of table) {
    const rig = new Rig();
    rig.says = says;
    t.match(await rig.answer(WWW), { rcode: RCODE.SERVFAIL }, what);
    await rig.time.advance(4_800);
    rig.says = answering;
    t.match(await rig.answer(WWW), { rcode: isRemembered ? RCODE.SERVFAIL : RCODE.NOERROR }, what);
    await rig.time.advance(200);
    t.match(await rig.answer(WWW), { rcode: RCODE.NOERROR }, `${what}: not for longer`);
  }
});

t.test('a stale answer is not asked for again for 30 s after any such failure', async (t) => {
  const table: readonly (readonly [string, Rig['says'], number])[] = [
    ['REFUSED', refusing(RCODE.REFUSED), 1],
    ['too much to do', () => ({ extendedError: 0, reason: 'overloaded' }), 2],
  ];
  for (const [what, says, asked] of table) {
    const rig = new Rig();
    rig.says = answering;
    await rig.answer(WWW);
    await rig.time.advance(101_000);
    rig.says = says;
    rig.asked.length = 0;
    t.match(await rig.answer({ ...WWW, edns: {} }), { ede: 3 });
    t.match(await rig.answer({ ...WWW, edns: {} }), { ede: 3 });
    t.equal(rig.asked.length, asked, what);
  }
});

t.test('a question that waits counts once: as a miss, or as a stale hit', async (t) => {
  const rig = new Rig();
  rig.says = answering;
  await rig.answer(WWW);
  t.match(rig.cache.stats(), { hits: 0, staleHits: 0, misses: 1 });
  await rig.time.advance(101_000);
  await rig.answer(WWW);
  t.match(rig.cache.stats(), { hits: 0, staleHits: 1, misses: 1 });
});

t.test('a truncated answer is neither given as if it were whole nor kept', async (t) => {
  const rig = new Rig();
  rig.says = (question) => addresses(question, ['192.0.2.1'], 600, 0x8380);
  t.match(await rig.answer({ ...WWW, edns: {} }), { rcode: RCODE.SERVFAIL, answers: [], ede: 23 });
  await rig.time.advance(6000);
  rig.says = answering;
  t.match(await rig.answer(WWW), { rcode: RCODE.NOERROR, answers: [{ data: '192.0.2.1' }] });
});

t.test('extended errors: 22 and 23 from the forwarder, none if the upstream itself answered', async (t) => {
  for (const [says, ede] of [
    [() => ({ extendedError: 22 }), 22],
    [() => ({ extendedError: 23 }), 23],
    [(question: string) => denial(question, RCODE.SERVFAIL), undefined],
  ] as const) {
    const rig = new Rig();
    rig.says = says;
    t.match(await rig.answer({ ...WWW, edns: {} }), { rcode: RCODE.SERVFAIL, ede });
    const plain = new Rig();
    plain.says = says;
    t.match(await plain.answer(WWW), { rcode: RCODE.SERVFAIL, opt: undefined }, 'not without OPT');
  }
});

t.test('the route of a question: that of the longest zone rule, otherwise the default', async (t) => {
  const rig = new Rig({
    rules: [
      { name: 'corp.example', forwardTo: 'site' },
      { name: 'lab.corp.example', forwardTo: 'lab' },
      { name: '10.in-addr.arpa', forwardTo: 'site' },
      { name: 'local', forwardTo: 'site' },
    ],
  });
  rig.says = (question) => denial(question, RCODE.NXDOMAIN);
  for (const [name, type, route] of [
    ['www.example.com', 'A', 'default'],
    ['corp.example', 'A', 'site'],
    ['a.b.CORP.example', 'A', 'site'],
    ['lab.corp.example', 'A', 'lab'],
    ['x.lab.corp.example', 'A', 'lab'],
    ['xlab.corp.example', 'A', 'site'],
    ['notcorp.example', 'A', 'default'],
    ['4.3.2.10.in-addr.arpa', 'PTR', 'site'],
    ['printer.local', 'A', 'site'],
  ] as const) {
    rig.asked.length = 0;
    await rig.answer({ name, type });
    t.match(rig.asked, [{ route, question: `${name.toLowerCase()} ${type}` }], `${name} goes to ${route}`);
    rig.now({ name: 'in.between.example' });
  }
});

t.test('DO and CD are passed on and part of the key; AD and case are not', async (t) => {
  const rig = new Rig();
  rig.says = answering;
  for (const more of [
    {},
    { edns: { dnssecOk: true } },
    { cd: true },
    { cd: true, edns: { dnssecOk: true } },
  ]) {
    await rig.answer({ ...WWW, ...more });
    const again = { ...WWW, ...more, name: 'WwW.eXample.com', ad: true };
    t.type(rig.now(again), 'object', 'the second time from the cache');
  }
  t.same(
    rig.asked.map(({ dnssecOk, checkingDisabled }) => [dnssecOk, checkingDisabled]),
    [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ],
  );
});

t.test('each client gets its own ID, case and OPT back, even if many ask for one name', async (t) => {
  const rig = new Rig();
  rig.says = answering;
  const queries = Array.from({ length: 30 }, (_, id) => ({
    id,
    name: id % 2 === 0 ? 'wWw.example.com' : 'www.EXAMPLE.com',
    ...(id % 3 === 0 ? {} : { edns: {} }),
  }));
  const asking = Promise.all(queries.map((query) => rig.ask(query)));
  await rig.time.advance(50);
  for (const [id, reply] of (await asking).entries()) {
    t.match(reply, { id, answers: [{ data: '192.0.2.1' }] });
    t.equal(reply?.question.subarray(1, 4).toString(), id % 2 === 0 ? 'wWw' : 'www');
    t.equal(reply?.opt !== undefined, id % 3 !== 0);
  }
});

t.test(
  'prefetch: in the last tenth of the lifetime, after two hits, once, and the client does not wait',
  async (t) => {
    const rig = new Rig();
    rig.says = answering;
    await rig.answer(WWW);
    rig.asked.length = 0;
    await rig.time.advance(80_000);
    t.match(rig.now(WWW), { answers: [{ ttl: 20 }] });
    t.equal(rig.asked.length, 0, 'not before the last tenth');
    await rig.time.advance(11_000);
    t.match(rig.now(WWW), { answers: [{ ttl: 9 }] }, 'the second hit, at once');
    t.equal(rig.asked.length, 1, 'asks for the next answer');
    for (let hit = 0; hit < 5; hit++) rig.now(WWW);
    t.equal(rig.asked.length, 1, 'once');
    await rig.time.advance(50);
    t.match(rig.now(WWW), { answers: [{ ttl: 100 }] }, 'the new answer has taken its place');
  },
);

t.test('no prefetch after one hit, where it is turned off, or for failures', async (t) => {
  const once = new Rig();
  once.says = answering;
  await once.answer(WWW);
  await once.time.advance(95_000);
  once.now(WWW);
  t.equal(once.asked.length, 1);

  const off = new Rig({ cache: { prefetch: false } });
  off.says = answering;
  await off.answer(WWW);
  await off.time.advance(95_000);
  for (let hit = 0; hit < 9; hit++) off.now(WWW);
  t.equal(off.asked.length, 1);

  const failing = new Rig();
  failing.says = (question) => denial(question, RCODE.SERVFAIL);
  await failing.answer(WWW);
  await failing.time.advance(4700);
  for (let hit = 0; hit < 9; hit++) failing.now(WWW);
  t.equal(failing.asked.length, 1);
});

t.test(
  'a failed prefetch leaves the kept answer, and a prefetch takes the route of the zone rule',
  async (t) => {
    const rig = new Rig({ rules: [{ name: 'example.com', forwardTo: 'site' }] });
    rig.says = answering;
    await rig.answer(WWW);
    rig.now(WWW);
    await rig.time.advance(95_000);
    rig.says = (question) => denial(question, RCODE.SERVFAIL);
    rig.now(WWW);
    await rig.time.advance(50);
    t.same(
      rig.asked.map(({ route }) => route),
      ['site', 'site'],
    );
    t.match(rig.now(WWW), { rcode: RCODE.NOERROR, answers: [{ ttl: 5 }] });
    await rig.time.advance(10_000);
    t.match(rig.now({ ...WWW, edns: {} }), { ede: 3 }, 'within 30 s of the failure: stale at once');
  },
);

t.test('TTL 0: asked for every time while an upstream can be asked, known in a cut', async (t) => {
  const rig = new Rig();
  rig.says = (question) => addresses(question, ['192.0.2.1'], 0);
  for (let turn = 1; turn <= 3; turn++) {
    t.match(await rig.answer(WWW), { answers: [{ ttl: 0, data: '192.0.2.1' }] });
    t.equal(rig.asked.length, turn);
  }
  rig.down.add('default');
  for (const more of [{}, { cd: true }, { edns: { dnssecOk: true } }]) {
    t.match(rig.now({ ...WWW, ...more }), {
      rcode: RCODE.NOERROR,
      answers: [{ ttl: 30, data: '192.0.2.1' }],
    });
  }
});

t.test('TTL 0 in a denial, and a denial without SOA: asked for every time, denied in a cut', async (t) => {
  for (const [rcode, negativeTtl] of [
    [RCODE.NOERROR, 0],
    [RCODE.NXDOMAIN, 0],
    [RCODE.NOERROR, undefined],
    [RCODE.NXDOMAIN, undefined],
  ] as const) {
    const rig = new Rig();
    const bare = message({ flags: 0x8180 | rcode, question: [WWW.name, 'A'] });
    rig.says = (question) => (negativeTtl === undefined ? bare : denial(question, rcode, negativeTtl));
    for (let turn = 1; turn <= 2; turn++) {
      t.match(await rig.answer(WWW), { rcode });
      t.equal(rig.asked.length, turn);
    }
    rig.down.add('default');
    t.match(rig.now(WWW), { rcode, answers: [] });
  }
});

t.test(
  'the last answer counts in a cut, whatever its TTL: an older answer does not outlive it',
  async (t) => {
    const rig = new Rig();
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
    await rig.answer(WWW);
    await rig.time.advance(61_000);
    rig.says = (question) => addresses(question, ['192.0.2.2'], 0);
    await rig.answer(WWW);
    rig.down.add('default');
    t.match(rig.now(WWW), { answers: [{ data: '192.0.2.2' }] });
  },
);

t.test('lifetimes are capped: a day for answers, 60 s for denials', async (t) => {
  const rig = new Rig();
  rig.says = (question) =>
    question.startsWith('www')
      ? addresses(question, ['192.0.2.1'], 604_800)
      : denial(question, RCODE.NXDOMAIN, 3600);
  t.match(await rig.answer(WWW), { answers: [{ ttl: 86_400 }] });
  t.match(await rig.answer({ name: 'nope.example.com' }), { authorities: [{ ttl: 60 }] });
  await rig.time.advance(61_000);
  t.equal(rig.now({ name: 'nope.example.com' }), 'pending');
  t.match(rig.now(WWW), { answers: [{ ttl: 86_400 - 61 }] });
});

t.test('a probe of our own that comes back is SERVFAIL at once, noted, and not forwarded', async (t) => {
  const rig = new Rig();
  rig.ownQuestion = 'www.example.com A';
  t.match(await rig.answer({ name: 'WWW.example.com' }, { withinMs: 0 }), { rcode: RCODE.SERVFAIL });
  t.same(rig.loops, ['www.example.com A']);
  t.same(rig.asked, []);
});

t.test('`. NS`, the health probe of CoreDNS, is answered within 0.5 s in every state', async (t) => {
  const probe = { name: '.', type: 'NS', edns: {} };
  const rooted = () => addresses('. NS', [], 60);
  const table: readonly (readonly [string, Partial<Pick<Rig, 'says' | 'delayMs'>>, object, number])[] = [
    ['upstream answers', { says: rooted }, { rcode: RCODE.NOERROR }, 20],
    ['upstream is silent', { says: () => undefined }, { rcode: RCODE.SERVFAIL, ede: 22 }, 500],
    [
      'upstream refuses',
      { says: (question) => denial(question, RCODE.REFUSED) },
      { rcode: RCODE.SERVFAIL },
      20,
    ],
    ['upstream is slow', { says: rooted, delayMs: 900 }, { rcode: RCODE.SERVFAIL, ede: 22 }, 500],
    ['upstream is down', {}, { rcode: RCODE.SERVFAIL, ede: 22 }, 0],
  ];
  for (const [state, upstream, expected, atMostMs] of table) {
    const rig = Object.assign(new Rig(), upstream);
    if (state === 'upstream is down') rig.down.add('default');
    const asking = rig.timed(probe);
    await rig.time.advance(6000);
    const { reply, afterMs } = await asking;
    t.match(reply, { ...expected, id: 0x2b67, ra: true }, state);
    t.ok(afterMs <= atMostMs, `${state}: after ${afterMs} ms`);
  }
  t.match(new Rig().now({ ...probe, rd: false }), { rcode: RCODE.REFUSED }, 'without RD (no_rec): at once');
  const ruled = new Rig({ rules: [{ name: '.', answer: 'servfail' }] });
  t.match(ruled.now(probe), { rcode: RCODE.SERVFAIL, ede: 15 }, 'a rule for the root: at once');
});

t.test('`. NS` expires like any answer, and then waits at most 0.5 s', async (t) => {
  const rig = new Rig();
  rig.says = () => denial('. NS', RCODE.NOERROR, 60);
  await rig.answer({ name: '.', type: 'NS' });
  await rig.time.advance(100_000);
  rig.says = () => undefined;
  const asking = rig.timed({ name: '.', type: 'NS', edns: {} });
  await rig.time.advance(6000);
  t.match(await asking, { reply: { rcode: RCODE.NOERROR, ede: 3 }, afterMs: 500 });
});

t.test('records of one set have their smallest TTL (RFC 2181 section 5.2), also when it is 0', async (t) => {
  for (const [ttls, want] of [
    [[300, 20, 100], 20],
    [[20, 300, 300], 20],
    [[0, 60], 0],
    [[0x8000_0001, 90_000], 86_400],
  ] as const) {
    const rig = new Rig();
    rig.says = () =>
      message({
        question: ['www.example.com', 'A'],
        answers: [
          rawRecord('www.example.com', 'CNAME', 600, nameToWire('web.example.com')),
          ...ttls.map((ttl, at) =>
            rawRecord(at === 1 ? 'WEB.example.com' : 'web.example.com', 'A', ttl, [10, 0, 0, at]),
          ),
        ],
      });
    for (const when of ['given', 'kept']) {
      const { answers } = await rig.answer(WWW);
      t.strictSame(
        answers.map(({ ttl }) => ttl),
        [600, ...ttls.map(() => want)],
        `${ttls}, ${when}`,
      );
    }
  }
});
