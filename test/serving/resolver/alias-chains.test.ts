import t from 'tap';
import { answersFrom, both, ENDPOINT_LINES, lines, rigWith, sorted, THREE } from './alias-site.ts';
import type { ReadReply } from './messages.ts';
import { ENDPOINT, endpointRecord, Rig } from './rig.ts';

t.test('an alias in an own zone ends in the addresses of the endpoint', (t) =>
  both(t, async (t, rig) => {
    const reply = await rig.answer({ name: 'api.site.example' });
    t.match(reply, { rcode: 0, aa: true, tc: false, authorities: [] });
    t.equal(lines(reply)[0], `api.site.example 120 CNAME ${ENDPOINT}`);
    t.same(sorted(reply).slice(0, 3), ENDPOINT_LINES, 'each TTL is its own');
    t.same(
      lines(await rig.answer({ name: 'API.Site.Example' }))[0],
      `API.Site.Example 120 CNAME ${ENDPOINT}`,
    );
    t.equal(lines(await rig.answer({ name: 'two.site.example' })).length, 5, 'by way of another alias');
    t.same(rig.asked, []);
  }),
);

t.test('the addresses at the end of an alias rotate like those of the endpoint itself', async (t) => {
  const rig = rigWith();
  const firsts = new Set<string | undefined>();
  for (let turn = 0; turn < 12; turn++) {
    firsts.add((await rig.answer({ name: 'api.site.example' })).answers[1]?.data);
  }
  t.same([...firsts].toSorted(), THREE);
});

t.test(
  'every type is followed: AAAA and HTTPS end in NODATA of the endpoint, CNAME and ANY at the alias',
  (t) =>
    both(t, async (t, rig) => {
      for (const type of ['AAAA', 'HTTPS', 'TXT', 'MX', 'TYPE65280']) {
        const reply = await rig.answer({ name: 'api.site.example', type });
        t.match(reply, { rcode: 0, aa: true, authorities: [{ type: 'SOA', owner: ENDPOINT }] }, type);
        t.same(lines(reply), [`api.site.example 120 CNAME ${ENDPOINT}`], type);
      }
      const alias = await rig.answer({ name: 'api.site.example', type: 'CNAME' });
      t.same([lines(alias), alias.authorities], [[`api.site.example 120 CNAME ${ENDPOINT}`], []]);
      t.match((await rig.answer({ name: 'api.site.example', type: 'ANY' })).answers, [{ type: 'HINFO' }]);
      t.same(rig.asked, []);
    }),
);

t.test('from own zone to own zone, to a name under the endpoint, to its status, to a special name', (t) =>
  both(t, async (t, rig) => {
    t.same(lines(await rig.answer({ name: 'lab.site.example' })), [
      'lab.site.example 60 CNAME box.lab.test.example',
      'box.lab.test.example 30 A 10.8.8.8',
    ]);
    t.match(await rig.answer({ name: 'lab.site.example', type: 'TXT' }), {
      aa: true,
      answers: [{ type: 'CNAME' }, { type: 'TXT', data: 'hello' }],
    });
    t.match(await rig.answer({ name: 'gone.site.example' }), {
      rcode: 3,
      aa: true,
      answers: [{ type: 'CNAME' }],
      authorities: [{ owner: 'lab.test.example', type: 'SOA' }],
    });
    t.match(await rig.answer({ name: 'status.site.example', type: 'TXT' }), {
      rcode: 0,
      answers: [{ type: 'CNAME' }, { owner: `_status.${ENDPOINT}`, type: 'TXT' }],
    });
    t.match(await rig.answer({ name: 'under.site.example' }), {
      rcode: 3,
      answers: [{ type: 'CNAME' }],
      authorities: [{ owner: ENDPOINT, type: 'SOA' }],
    });
    t.match((await rig.answer({ name: 'local.site.example' })).answers, [{}, { data: '127.0.0.1' }]);
    t.same(rig.asked, []);
  }),
);

t.test('a target that a rule denies is denied: the RCODE is that of the last name (RFC 6604)', (t) =>
  both(t, async (t, rig) => {
    t.match(await rig.answer({ name: 'blocked.site.example' }), {
      rcode: 3,
      answers: [{ type: 'CNAME' }],
      authorities: [{ owner: 'ads.example', type: 'SOA' }],
    });
    t.match(await rig.answer({ name: 'broken.site.example', edns: {} }), { rcode: 2, answers: [], ede: 15 });
    t.match(await rig.answer({ name: 'refused.site.example', edns: {} }), { rcode: 5, answers: [], ede: 15 });
  }),
);

t.test('a loop over two own zones ends in SERVFAIL', (t) =>
  both(t, async (t, rig) => {
    t.match(await rig.answer({ name: 'ping.site.example', edns: {} }), { rcode: 2, answers: [], ede: 0 });
    t.same(rig.asked, []);
  }),
);

t.test(
  "an own alias to a forwarded name: the upstream is asked for the target alone, and AA is the first name's",
  async (t) => {
    const rig = rigWith();
    answersFrom(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
    const reply = await rig.answer({ name: 'web.site.example', edns: { dnssecOk: true }, cd: true });
    t.match(reply, { rcode: 0, aa: true, ra: true, ad: false, opt: { dnssecOk: true } });
    t.same(lines(reply), ['web.site.example 60 CNAME www.example.com', 'www.example.com 300 A 192.0.2.1']);
    t.match(rig.asked, [
      { question: 'www.example.com A', route: 'default', dnssecOk: true, checkingDisabled: true },
    ]);
    t.equal(rig.asked.length, 1);
    // kept, then stale in a cut
    await rig.time.advance(100_000);
    t.same(
      lines(await rig.answer({ name: 'web.site.example', edns: { dnssecOk: true }, cd: true })).at(-1),
      'www.example.com 200 A 192.0.2.1',
    );
    rig.down.add('default');
    await rig.time.advance(300_000);
    t.match(await rig.answer({ name: 'web.site.example', edns: { dnssecOk: true }, cd: true }), {
      rcode: 0,
      ede: 3,
      answers: [{ ttl: 60 }, { ttl: 30, data: '192.0.2.1' }],
    });
  },
);

t.test(
  'a target that no upstream can be asked about is SERVFAIL with its reason, so that a client tries another server',
  async (t) => {
    const rig = rigWith();
    t.match(await rig.answer({ name: 'web.site.example', edns: {} }), { rcode: 2, ede: 22, answers: [] });
    rig.down.add('default');
    t.match(await rig.answer({ name: 'web.site.example', edns: {} }), { rcode: 2, ede: 22, answers: [] });
    t.ok(rig.hurt.includes('failed www.example.com A'), 'it is the target that should be retained');
  },
);

t.test('without RD an alias chain ends where our data ends', async (t) => {
  const rig = rigWith();
  const alone = await rig.answer({ name: 'web.site.example', rd: false });
  t.match(alone, { rcode: 0, aa: true, authorities: [] });
  t.same(lines(alone), ['web.site.example 60 CNAME www.example.com']);
  t.equal(lines(await rig.answer({ name: 'api.site.example', rd: false })).length, 4);
  t.same(rig.asked, []);
  answersFrom(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
  await rig.answer({ name: 'www.example.com' });
  t.equal(lines(await rig.answer({ name: 'web.site.example', rd: false })).length, 2, 'from the cache');
});

t.test('an upstream that gives half a chain: the rest comes from the source that has it', async (t) => {
  const half = (target: string) => ({ 'half.example.com A': `half.example.com 300 CNAME ${target}` });
  for (const [target, more, want] of [
    [ENDPOINT, {}, THREE],
    ['box.site.example', {}, ['10.9.9.9']],
    ['x.corp.example', { 'x.corp.example A': 'x.corp.example 60 A 10.4.4.4' }, ['10.4.4.4']],
    ['far.example.net', { 'far.example.net A': 'far.example.net 60 A 192.0.2.9' }, ['192.0.2.9']],
  ] as const) {
    const rig = rigWith();
    answersFrom(rig, { ...half(target), ...more });
    for (const it of ['fetched', 'kept']) {
      const reply = await rig.answer({ name: 'half.example.com' });
      t.match(reply, { rcode: 0, aa: false }, `${target} ${it}`);
      t.equal(lines(reply)[0], `half.example.com 300 CNAME ${target}`);
      t.same(
        reply.answers
          .slice(1)
          .map(({ data }) => data)
          .toSorted(),
        want,
        `${target} ${it}`,
      );
    }
    const routes = rig.asked.map(({ question, route }) => `${question} of ${route}`);
    t.equal(
      routes.filter((one) => one === 'half.example.com A of default').length,
      1,
      'half a chain is kept',
    );
    if (target === 'x.corp.example') t.equal(routes[1], 'x.corp.example A of corp');
    rig.down.add('default').add('corp');
    await rig.time.advance(400_000);
    const cut = await rig.answer({ name: 'half.example.com', edns: {} });
    t.match(cut, { rcode: 0, ede: 3, answers: [{ ttl: 30 }] }, `${target} in a cut`);
    t.same(
      cut.answers
        .slice(1)
        .map(({ data }) => data)
        .toSorted(),
      want,
      `${target} in a cut`,
    );
  }
});

t.test('half a chain whose target fails, is denied, or has no such type', async (t) => {
  const rig = rigWith();
  answersFrom(rig, {
    'half.example.com A': 'half.example.com 300 CNAME far.example.net',
    'half.example.com AAAA': 'half.example.com 300 CNAME far.example.net',
    'half.example.com TXT': 'half.example.com 300 CNAME far.example.net',
    'far.example.net AAAA': '| example.net 60 SOA',
    'far.example.net TXT': '! | example.net 60 SOA',
  });
  t.match(await rig.answer({ name: 'half.example.com', edns: {} }), { rcode: 2, ede: 22, answers: [] });
  for (const [type, rcode] of [
    ['AAAA', 0],
    ['TXT', 3],
  ] as const) {
    for (let time = 0; time < 2; time++) {
      const reply = await rig.answer({ name: 'half.example.com', type });
      t.match(reply, {
        rcode,
        answers: [{ type: 'CNAME' }],
        authorities: [{ owner: 'example.net', type: 'SOA' }],
      });
      t.equal(reply.answers.length, 1);
    }
  }
  t.equal(rig.asked.filter(({ question }) => question === 'far.example.net TXT').length, 1);
});

t.test('a whole chain of an upstream through a name of ours ends in our own data', async (t) => {
  const old = `${ENDPOINT} 60 A 192.0.2.99`;
  const rig = rigWith();
  answersFrom(rig, {
    'k8s.example.com A': `k8s.example.com 300 CNAME ${ENDPOINT}; ${old}`,
    'k8s.example.com AAAA': `k8s.example.com 300 CNAME ${ENDPOINT} | eks.amazonaws.com 60 SOA`,
    'box.example.com A': 'box.example.com 300 CNAME box.site.example; box.site.example 60 A 192.0.2.98',
    'ad.example.com A': 'ad.example.com 300 CNAME x.ads.example; x.ads.example 60 A 192.0.2.97',
    'no.example.com A': 'no.example.com 300 CNAME vpn.corp.example ! | example 60 SOA',
    'vpn.corp.example A': 'vpn.corp.example 60 A 10.4.4.5',
    'yes.example.com A': 'yes.example.com 300 CNAME vpn.corp.example; vpn.corp.example 60 A 192.0.2.96',
    'mdns.example.com A': 'mdns.example.com 300 CNAME x.local; x.local 60 A 192.0.2.95',
  });
  const end = (reply: ReadReply) =>
    reply.answers
      .slice(1)
      .map(({ data }) => data)
      .toSorted();
  for (const it of ['fetched', 'kept', 'kept and checked']) {
    t.same(end(await rig.answer({ name: 'k8s.example.com' })), THREE, it);
    t.match(await rig.answer({ name: 'k8s.example.com', type: 'AAAA' }), {
      rcode: 0,
      answers: [{ type: 'CNAME' }],
      authorities: [{ owner: ENDPOINT }],
    });
    t.same(end(await rig.answer({ name: 'box.example.com' })), ['10.9.9.9'], it);
    t.match(await rig.answer({ name: 'ad.example.com' }), { rcode: 3, answers: { length: 1 } }, it);
    t.same(
      end(await rig.answer({ name: 'no.example.com' })),
      ['10.4.4.5'],
      `${it}: the zone's own servers know it`,
    );
    t.same(end(await rig.answer({ name: 'yes.example.com' })), ['192.0.2.96'], `${it}: the answer stays`);
    t.same(
      end(await rig.answer({ name: 'mdns.example.com' })),
      ['192.0.2.95'],
      `${it}: no rule of the operator's`,
    );
  }
  rig.down.add('default').add('corp');
  await rig.time.advance(1_000_000);
  t.same(end(await rig.answer({ name: 'k8s.example.com' })), THREE, 'stale');
  t.same(end(await rig.answer({ name: 'box.example.com' })), ['10.9.9.9'], 'stale');
});

t.test('an endpoint that becomes known changes kept answers that lead to it at once', async (t) => {
  const rig = new Rig();
  answersFrom(rig, {
    'k8s.example.com A': `k8s.example.com 300 CNAME ${ENDPOINT}; ${ENDPOINT} 300 A 192.0.2.99`,
  });
  const last = async () =>
    (await rig.answer({ name: 'k8s.example.com' })).answers.map(({ data }) => data).toSorted();
  t.same(await last(), ['192.0.2.99', ENDPOINT]);
  t.same(await last(), ['192.0.2.99', ENDPOINT]);
  rig.publish(endpointRecord({ addresses: THREE }));
  t.same(await last(), [...THREE, ENDPOINT]);
  rig.publish(endpointRecord({ addresses: THREE.slice(1) }));
  t.same(await last(), [...THREE.slice(1), ENDPOINT]);
});

t.test('a chain over DNAME of an upstream, with its CNAME and without', async (t) => {
  for (const cname of ['; api.old.example 300 CNAME api.site.example', '']) {
    const rig = rigWith();
    answersFrom(rig, { 'api.old.example A': `old.example 300 DNAME site.example${cname}` });
    for (const it of ['fetched', 'kept']) {
      const reply = await rig.answer({ name: 'api.old.example' });
      t.equal(reply.rcode, 0, it);
      t.same(lines(reply).slice(1, 3), [
        'api.old.example 300 CNAME api.site.example',
        `api.site.example 120 CNAME ${ENDPOINT}`,
      ]);
      t.equal(reply.answers[0]?.type, 'DNAME');
      t.same(
        sorted(reply).filter((one) => one.includes(' A ')),
        ENDPOINT_LINES,
        it,
      );
    }
  }
});
