import t, { type Test } from 'tap';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { typeFromText } from '../../../src/protocol/words/types.ts';
import type { ZoneRule } from '../../../src/serving/local-zones/zone-rules.ts';
import { message, rawRecord, rr, soaData } from '../../helpers/zone-text.ts';
import type { ReadReply } from './messages.ts';
import { ENDPOINT, endpointRecord, Rig, type RigOptions } from './rig.ts';

const THREE = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

/** Upstream's text: `name ttl TYPE data` per record, after `|` authority; the name of an SOA's zone; `!` for NXDOMAIN. */
type Zone = Readonly<Record<string, string>>;

function record(text: string): Buffer {
  const [owner = '.', ttl = '0', type = '', ...data] = text.trim().split(/\s+/);
  return rawRecord(owner, type, Number(ttl), rdata(type, data));
}

function rdata(type: string, data: readonly string[]): Uint8Array {
  const [first = ''] = data;
  switch (type) {
    case 'A':
      return Uint8Array.from(first.split('.').map(Number));
    case 'AAAA':
      return Buffer.concat([
        Buffer.from([0xfd]),
        Buffer.alloc(14),
        Buffer.from([Number(first.split('::')[1])]),
      ]);
    case 'CNAME':
    case 'DNAME':
    case 'PTR':
      return nameToWire(first);
    case 'SOA':
      return soaData(60);
    case 'TXT':
      return Buffer.concat([Buffer.of(first.length), Buffer.from(first)]);
    case 'MX':
      return Buffer.concat([Buffer.of(0, Number(first)), nameToWire(data[1] ?? '.')]);
    case 'SRV':
      return Buffer.concat([Buffer.from([0, 1, 0, 2, 0, 3]), nameToWire(first)]);
    default:
      return Buffer.from(first, 'hex');
  }
}

/** What an upstream says: `name TYPE` to its text; anything else fails. */
function speaks(rig: Rig, zone: Zone): void {
  rig.says = (question) => {
    const text = zone[question];
    if (text === undefined) return { extendedError: 22 };
    const [name = '.', type = 'A'] = question.split(' ');
    const [answers = '', authorities = ''] = text.replace('!', '').split('|');
    const part = (lines: string) =>
      lines
        .split(';')
        .filter((line) => line.trim() !== '')
        .map(record);
    return message({
      id: 7,
      flags: 0x8180 | (text.includes('!') ? 3 : 0),
      question: [name, type],
      answers: part(answers),
      authorities: part(authorities),
    });
  };
}

const line = ({ owner, ttl, type, data }: ReadReply['answers'][number]) => `${owner} ${ttl} ${type} ${data}`;
const lines = (reply: ReadReply) => reply.answers.map(line);
const sorted = (reply: ReadReply) => lines(reply).toSorted();

const site: ZoneRule<string> = {
  name: 'site.example',
  records: [
    rr(`api.site.example 120 CNAME ${ENDPOINT}`),
    rr('two.site.example 60 CNAME api.site.example'),
    rr('lab.site.example 60 CNAME box.lab.test.example'),
    rr('web.site.example 60 CNAME www.example.com'),
    rr(`status.site.example 60 CNAME _status.${ENDPOINT}`),
    rr(`under.site.example 60 CNAME x.${ENDPOINT}`),
    rr('blocked.site.example 60 CNAME ads.example'),
    rr('broken.site.example 60 CNAME fail.example'),
    rr('refused.site.example 60 CNAME no.example'),
    rr('gone.site.example 60 CNAME gone.lab.test.example'),
    rr('ping.site.example 60 CNAME pong.lab.test.example'),
    rr('box.site.example 60 A 10.9.9.9'),
    rr('kept.site.example 60 CNAME retained.example'),
    rr('local.site.example 60 CNAME www.localhost'),
  ],
};
const lab: ZoneRule<string> = {
  name: 'lab.test.example',
  records: [
    rr('box.lab.test.example 30 A 10.8.8.8'),
    rr('box.lab.test.example 30 TXT hello'),
    rr('pong.lab.test.example 30 CNAME ping.site.example'),
  ],
};
const rules: readonly ZoneRule<string>[] = [
  site,
  lab,
  { name: 'ads.example', answer: 'nxdomain' },
  { name: 'fail.example', answer: 'servfail' },
  { name: 'no.example', answer: 'refused' },
  { name: 'corp.example', forwardTo: 'corp' },
];

function rigWith(options: RigOptions = {}): Rig {
  return new Rig({ records: [endpointRecord({ addresses: THREE })], rules, ...options });
}

const ENDPOINT_LINES = THREE.map((address) => `${ENDPOINT} 60 A ${address}`);

/** Both with the upstreams there and without. */
async function both(t: Test, test: (t: Test, rig: Rig) => Promise<void> | void, options: RigOptions = {}) {
  await t.test('connected', async (t) => test(t, rigWith(options)));
  await t.test('in a cut', async (t) => {
    const rig = rigWith(options);
    for (const route of ['default', 'corp']) rig.down.add(route);
    await test(t, rig);
  });
}

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

t.test('the addresses at the end of an alias take turns like those of the endpoint itself', async (t) => {
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
    speaks(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
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
  'a target that nobody can be asked about is SERVFAIL with its reason, so that a client tries elsewhere',
  async (t) => {
    const rig = rigWith();
    t.match(await rig.answer({ name: 'web.site.example', edns: {} }), { rcode: 2, ede: 22, answers: [] });
    rig.down.add('default');
    t.match(await rig.answer({ name: 'web.site.example', edns: {} }), { rcode: 2, ede: 22, answers: [] });
    t.ok(rig.hurt.includes('failed www.example.com A'), 'it is the target that should be retained');
  },
);

t.test('without RD an alias is given as far as it is known here', async (t) => {
  const rig = rigWith();
  const alone = await rig.answer({ name: 'web.site.example', rd: false });
  t.match(alone, { rcode: 0, aa: true, authorities: [] });
  t.same(lines(alone), ['web.site.example 60 CNAME www.example.com']);
  t.equal(lines(await rig.answer({ name: 'api.site.example', rd: false })).length, 4);
  t.same(rig.asked, []);
  speaks(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
  await rig.answer({ name: 'www.example.com' });
  t.equal(lines(await rig.answer({ name: 'web.site.example', rd: false })).length, 2, 'from the cache');
});

t.test('an upstream that gives half a chain: the rest comes from what has it', async (t) => {
  const half = (target: string) => ({ 'half.example.com A': `half.example.com 300 CNAME ${target}` });
  for (const [target, more, want] of [
    [ENDPOINT, {}, THREE],
    ['box.site.example', {}, ['10.9.9.9']],
    ['x.corp.example', { 'x.corp.example A': 'x.corp.example 60 A 10.4.4.4' }, ['10.4.4.4']],
    ['far.example.net', { 'far.example.net A': 'far.example.net 60 A 192.0.2.9' }, ['192.0.2.9']],
  ] as const) {
    const rig = rigWith();
    speaks(rig, { ...half(target), ...more });
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
  speaks(rig, {
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

t.test(
  'a whole chain of an upstream that passes a name of ours ends in what this server knows',
  async (t) => {
    const old = `${ENDPOINT} 60 A 192.0.2.99`;
    const rig = rigWith();
    speaks(rig, {
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
    for (const it of ['fetched', 'kept', 'kept and looked at']) {
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
      t.same(
        end(await rig.answer({ name: 'yes.example.com' })),
        ['192.0.2.96'],
        `${it}: what was answered stands`,
      );
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
  },
);

t.test('an endpoint that becomes known changes kept answers that lead to it at once', async (t) => {
  const rig = new Rig();
  speaks(rig, { 'k8s.example.com A': `k8s.example.com 300 CNAME ${ENDPOINT}; ${ENDPOINT} 300 A 192.0.2.99` });
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
    speaks(rig, { 'api.old.example A': `old.example 300 DNAME site.example${cname}` });
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

t.test('later part kept, earlier part fresh, and the reverse', async (t) => {
  const rig = rigWith();
  speaks(rig, {
    'www.example.com A': 'www.example.com 3600 CNAME cdn.example.net; cdn.example.net 20 A 192.0.2.1',
    'cdn.example.net A': 'cdn.example.net 600 A 192.0.2.2',
    'alias.example.com A': 'alias.example.com 30 CNAME cdn.example.net',
  });
  await rig.answer({ name: 'www.example.com' });
  await rig.answer({ name: 'alias.example.com' });
  await rig.time.advance(60_000);
  rig.down.add('default');
  t.same(
    lines(await rig.answer({ name: 'alias.example.com' })),
    ['alias.example.com 30 CNAME cdn.example.net', 'cdn.example.net 540 A 192.0.2.2'],
    'stale, then fresh',
  );
  t.same(
    lines(await rig.answer({ name: 'www.example.com' })),
    ['www.example.com 30 CNAME cdn.example.net', 'cdn.example.net 540 A 192.0.2.2'],
    'a fresh answer about the target beats the stale one in the chain',
  );
  rig.down.clear();
  const fresh = rigWith();
  speaks(fresh, {
    'short.example.net A': 'short.example.net 20 A 192.0.2.3',
    'alias.example.com A': 'alias.example.com 3600 CNAME short.example.net',
  });
  await fresh.answer({ name: 'alias.example.com' });
  await fresh.time.advance(60_000);
  fresh.down.add('default');
  t.same(
    lines(await fresh.answer({ name: 'alias.example.com' })),
    ['alias.example.com 3540 CNAME short.example.net', 'short.example.net 30 A 192.0.2.3'],
    'fresh, then stale',
  );
});

t.test('a retained name at the end, in the middle and at the start', async (t) => {
  const rig = rigWith();
  const retain = (name: string, text: string, ageMs: number) =>
    rig.cache.retain(
      name,
      1,
      {
        message: message({ question: [name, 'A'], answers: text.split(';').map(record) }),
        ageMs,
      },
      rig.time.monotonicMs(),
    );
  t.ok(retain('retained.example', 'retained.example 60 A 10.6.6.6', 0) !== undefined);
  t.ok(retain('start.example', 'start.example 60 CNAME api.site.example', 0) !== undefined);
  speaks(rig, {
    'mid.example.com A': 'mid.example.com 10 CNAME retained.example; retained.example 10 A 192.0.2.66',
    'lie.example.com A': 'lie.example.com 300 CNAME retained.example ! | example 60 SOA',
  });
  const end = async (name: string) => (await rig.answer({ name })).answers.at(-1)?.data;
  t.equal(await end('kept.site.example'), '10.6.6.6');
  t.equal((await rig.answer({ name: 'start.example' })).answers.length, 5);
  t.equal(await end('mid.example.com'), '192.0.2.66', 'fresh from the upstream');
  for (const it of ['fetched', 'kept'])
    t.equal(await end('lie.example.com'), '10.6.6.6', `${it}: denied beyond`);
  await rig.time.advance(1_000_000);
  rig.down.add('default');
  t.equal(await end('mid.example.com'), '10.6.6.6', 'what is retained beats what is stale');
  t.equal(await end('kept.site.example'), '10.6.6.6');
  t.match(await rig.answer({ name: 'start.example', edns: {} }), { ede: 3, answers: { length: 5 } });
});

t.test(
  'records for the time without upstreams, as first and as later part; AA only for own data',
  async (t) => {
    const rig = rigWith({
      disconnected: {
        zones: [
          {
            name: 'corp.example',
            whileDisconnected: [
              rr(`k8s.corp.example 60 CNAME ${ENDPOINT}`),
              rr('db.corp.example 60 A 10.4.0.1'),
              rr('up.corp.example 60 CNAME db.corp.example'),
            ],
          },
        ],
      },
      rules: [...rules, { name: 'more.example', records: [rr('db.more.example 60 CNAME db.corp.example')] }],
    });
    speaks(rig, {
      'www.example.com A': 'www.example.com 3000 CNAME db.corp.example; db.corp.example 3000 A 192.0.2.77',
    });
    await rig.answer({ name: 'www.example.com' });
    rig.down.add('default').add('corp');
    t.match(await rig.answer({ name: 'k8s.corp.example' }), { rcode: 0, aa: false, answers: { length: 4 } });
    t.match(await rig.answer({ name: 'up.corp.example' }), { rcode: 0, aa: false, answers: { length: 2 } });
    t.match(await rig.answer({ name: 'db.more.example' }), { aa: true, answers: [{}, { data: '10.4.0.1' }] });
    t.equal((await rig.answer({ name: 'www.example.com' })).answers.at(-1)?.data, '10.4.0.1');
    rig.down.clear();
    t.equal((await rig.answer({ name: 'www.example.com' })).answers.at(-1)?.data, '192.0.2.77');
  },
);

t.test('a service of AWS after a stale alias fails at once in a cut, as it does by itself', async (t) => {
  const rig = rigWith({ disconnected: { regions: ['us-west-2'] } });
  const s3 = 'bucket.s3.us-west-2.amazonaws.com';
  speaks(rig, { 'files.example.com A': `files.example.com 60 CNAME ${s3}; ${s3} 60 A 192.0.2.1` });
  await rig.answer({ name: 'files.example.com' });
  rig.down.add('default');
  t.equal((await rig.answer({ name: 'files.example.com' })).rcode, 0, 'while fresh');
  await rig.time.advance(100_000);
  t.match(await rig.answer({ name: 'files.example.com', edns: {} }), { rcode: 2, ede: 22 });
});

t.test('the number of aliases is bounded to sixteen, from every source', async (t) => {
  const chain = (length: number, at: (n: number) => string) =>
    Object.fromEntries(Array.from({ length }, (_, n) => [`${at(n)} A`, `${at(n)} 60 CNAME ${at(n + 1)}`]));
  const name = (n: number) => `n${n}.example.com`;
  for (const [length, rcode] of [
    [16, 0],
    [17, 2],
    [40, 2],
  ] as const) {
    const rig = rigWith();
    speaks(rig, { ...chain(length, name), [`${name(length)} A`]: `${name(length)} 60 A 192.0.2.1` });
    const reply = await rig.answer({ name: name(0) }, { withinMs: 2000 });
    t.equal(reply.rcode, rcode, `${length} aliases`);
    if (rcode === 0) t.equal(reply.answers.length, 17);
    t.ok(rig.asked.length <= 17, `${rig.asked.length} questions`);
  }
  const one = rigWith();
  const whole = Array.from({ length: 60 }, (_, n) => `${name(n)} 60 CNAME ${name(n + 1)}`).join(';');
  speaks(one, { [`${name(0)} A`]: whole });
  t.equal((await one.answer({ name: name(0) }, { transport: 'tcp' })).rcode, 2);
  t.ok(one.asked.length <= 2);
  const loop = rigWith();
  speaks(loop, {
    'a.example.com A': 'a.example.com 60 CNAME b.example.com',
    'b.example.com A': 'b.example.com 60 CNAME A.example.COM',
  });
  t.match(await loop.answer({ name: 'a.example.com' }), { rcode: 2 });
  t.equal(loop.asked.length, 2);
});

t.test('a chain has the time of one question, however many upstreams are silent on the way', async (t) => {
  const rig = rigWith();
  rig.delayMs = 900;
  const name = (n: number) => `n${n}.example.com`;
  speaks(
    rig,
    Object.fromEntries(
      Array.from({ length: 16 }, (_, n) => [`${name(n)} A`, `${name(n)} 60 CNAME ${name(n + 1)}`]),
    ),
  );
  const timed = rig.timed({ name: name(0), edns: {} });
  await rig.time.advance(20_000);
  t.match(await timed, { reply: { rcode: 2, ede: 22 }, afterMs: 5000 });
});

t.test(
  'appended records stay readable: compressed names in RDATA of known types, unknown types untouched',
  async (t) => {
    const target = 'x.y.far.example.net';
    const rig = rigWith({
      rules: [...rules, { name: 'far.example', records: [rr(`a.far.example 60 CNAME ${target}`)] }],
    });
    const pointerToQname = Buffer.of(0xc0, 0x0c);
    const pointerToSuffix = Buffer.of(0xc0, 0x0c + 4); // far.example.net
    const compressed = (type: string, data: Uint8Array) => {
      const fixed = Buffer.alloc(10);
      fixed.writeUInt16BE(typeFromText(type) ?? 0, 0);
      fixed.writeUInt16BE(1, 2);
      fixed.writeUInt32BE(77, 4);
      fixed.writeUInt16BE(data.length, 8);
      return Buffer.concat([pointerToQname, fixed, data]);
    };
    const mail = Buffer.concat([Buffer.of(0, 10, 4), Buffer.from('mail'), pointerToSuffix]);
    const service = Buffer.concat([Buffer.of(0, 1, 0, 2, 0, 3, 3), Buffer.from('srv'), pointerToSuffix]);
    const opaque = Buffer.of(1, 2, 0xc0, 0x0c, 0xff);
    rig.says = (question) => {
      const type = question.split(' ')[1] ?? '';
      const data = {
        MX: mail,
        SRV: service,
        TYPE65280: opaque,
        PTR: Buffer.concat([Buffer.of(1, 0x70), pointerToSuffix]),
      }[type];
      return message({ id: 1, question: [target, type], answers: [compressed(type, data ?? opaque)] });
    };
    t.match((await rig.answer({ name: 'a.far.example', type: 'PTR' })).answers[1], {
      owner: target,
      ttl: 77,
      data: 'p.far.example.net',
    });
    t.equal(
      (await rig.answer({ name: 'a.far.example', type: 'TYPE65280' })).answers[1]?.data,
      opaque.toString('hex'),
    );
    const srv = await rig.answer({ name: 'a.far.example', type: 'SRV' });
    t.equal(
      srv.answers[1]?.data,
      Buffer.concat([service.subarray(0, 6), nameToWire('srv.far.example.net')]).toString('hex'),
      'RFC 3597 section 4: written out, since SRV must not be compressed',
    );
    const mx = await rig.answer({ name: 'a.far.example', type: 'MX' });
    t.equal(mx.answers[1]?.data.slice(0, 14), '000a046d61696c', 'the first label is there');
  },
);

t.test('the first part keeps its octets where nothing is left out of it', async (t) => {
  const rig = rigWith();
  const answers = [record('half.example.com 300 CNAME Api.SITE.example')];
  rig.says = (question) => message({ id: 9, question: [question.split(' ')[0] ?? '', 'A'], answers });
  const reply = await rig.answer({ name: 'half.example.com' });
  const first = answers[0] ?? Buffer.alloc(0);
  t.ok(reply.octets.includes(first), 'the record is there as it came');
  t.equal(reply.answers.length, 5);
});

t.test(
  'sizes: three addresses at the end of an alias fit 512 octets; what does not fit is TC, and whole over TCP',
  async (t) => {
    const long = 'x'.repeat(60);
    const many = Array.from({ length: 60 }, (_, n) => rr(`many.lab.test.example 60 A 10.1.1.${n + 1}`));
    const rig = rigWith({
      rules: [
        {
          name: 'site.example',
          records: [
            rr(`${long}.${long}.api.site.example 60 CNAME ${ENDPOINT}`),
            rr('many.site.example 60 CNAME many.lab.test.example'),
          ],
        },
        { name: 'lab.test.example', records: many },
      ],
    });
    const small = await rig.answer({ name: `${long}.${long}.api.site.example` });
    t.match(small, { tc: false, answers: { length: 4 } });
    t.ok(small.octets.length <= 512);
    const large = { name: 'many.site.example' };
    t.match(await rig.answer(large), { tc: true, rcode: 0, answers: [] });
    t.match(await rig.answer({ ...large, edns: { size: 4096 } }), { tc: false, answers: { length: 61 } });
    t.match(await rig.answer({ ...large, edns: { size: 600 } }), { tc: true, answers: [] });
    t.match(await rig.answer(large, { transport: 'tcp' }), { tc: false, answers: { length: 61 } });
  },
);

t.test('authority records that a positive answer does not need go before the answer does', async (t) => {
  const rig = rigWith();
  const servers = Array.from(
    { length: 12 },
    (_, n) => `example.net 60 TYPE65281 ${String(n).padStart(60, '0')}`,
  ).join(';');
  speaks(rig, { 'www.example.com A': `www.example.com 300 A 192.0.2.1 | ${servers}` });
  const reply = await rig.answer({ name: 'web.site.example' });
  t.match(reply, { tc: false, answers: { length: 2 }, authorities: [] });
  t.match(await rig.answer({ name: 'web.site.example' }, { transport: 'tcp' }), {
    authorities: { length: 12 },
  });
});

t.test('AD only where every part has it and the operator trusts the upstream', async (t) => {
  const rig = rigWith({ trustAuthenticatedData: true });
  rig.says = (question) => {
    const [name = '', type = 'A'] = question.split(' ');
    const answers =
      name === 'half.example.com'
        ? [record('half.example.com 300 CNAME far.example.net')]
        : [record('far.example.net 300 A 192.0.2.1')];
    return message({ id: 3, flags: 0x81a0, question: [name, type], answers });
  };
  const edns = { dnssecOk: true };
  t.match(await rig.answer({ name: 'half.example.com', edns }), { ad: true, answers: { length: 2 } });
  t.match(await rig.answer({ name: 'half.example.com', ad: true }), { ad: true });
  t.match(await rig.answer({ name: 'half.example.com' }), { ad: false });
  t.match(await rig.answer({ name: 'web.site.example', edns }), { ad: false });
});

t.test('a chain is counted once, where its end came from', async (t) => {
  const rig = rigWith();
  speaks(rig, { 'www.example.com A': 'www.example.com 300 A 192.0.2.1' });
  await rig.answer({ name: 'api.site.example' });
  await rig.answer({ name: 'web.site.example' });
  await rig.answer({ name: 'web.site.example' });
  const { origins, rcodes } = rig.resolver.counters.read();
  t.match(origins, { endpoint: 1, forwarded: 1, cache_fresh: 1, local_zone: 0 });
  t.same(rcodes, { NOERROR: 3 });
});

t.test('a defect while the target is answered is told at once, and costs nobody else', async (t) => {
  const rig = new Rig();
  speaks(rig, { 'www.example.com A': 'www.example.com 300 CNAME target.example.net' });
  rig.hurt.push = () => {
    throw new Error('a defect of the test');
  };
  let failure: unknown;
  rig.ask({ name: 'www.example.com' }).catch((error: unknown) => {
    failure = error;
  });
  await rig.time.advance(100);
  t.match(failure, { message: 'a defect of the test' });
});
