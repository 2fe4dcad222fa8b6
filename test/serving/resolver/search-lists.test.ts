import t from 'tap';
import { message, rawRecord, rr, soaData } from '../../helpers/zone-text.ts';
import { addresses, ENDPOINT, endpointRecord, Rig, type RigOptions } from './rig.ts';

const SUFFIX = 'ns.svc.site.test.example';
const DENIED = { rcode: 3, aa: false, answers: [], authorities: [], ede: 22 };
const FAILED = { rcode: 2, ede: 22 };

function rigWith(options: RigOptions = {}): Rig {
  const rig = new Rig({
    records: [endpointRecord({ addresses: ['10.0.1.10'] })],
    rules: [
      {
        name: 'own.example',
        records: [rr('www.own.example 60 A 10.0.0.2'), rr('api.deep.own.example 60 CNAME www.own.example')],
      },
      { name: 'lab', records: [rr('db.lab 60 A 10.0.0.3')] },
      { name: 'corp.example', forwardTo: 'corp' },
    ],
    disconnected: {
      zones: [{ name: 'cut.example', whileDisconnected: [rr('sso.cut.example 60 A 10.0.0.4')] }],
    },
    ...options,
  });
  const retained = (name: string) =>
    rig.cache.retain(
      name,
      1,
      {
        message: message({ question: [name, 'A'], answers: [rawRecord(name, 'A', 60, [10, 0, 0, 9])] }),
        ageMs: 0,
      },
      0,
    );
  retained('registry.example');
  retained('s3.amazonaws.com');
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  return rig;
}

const KNOWN = [
  ENDPOINT,
  'registry.example',
  'www.own.example',
  'api.deep.own.example',
  'db.lab',
  'sso.cut.example',
];

t.test(
  'in a cut a known name with a suffix after it is denied, so that the search goes on to the name itself',
  async (t) => {
    const rig = rigWith();
    rig.down.add('default');
    for (const name of KNOWN) {
      for (const suffix of ['com', 'corp.lan', SUFFIX]) {
        for (const type of ['A', 'AAAA', 'SRV', 'TXT']) {
          const query = { name: `${name}.${suffix}`, type, edns: {} };
          t.match(await rig.answer(query), DENIED, `${query.name} ${type}`);
          t.match(rig.now(query), DENIED, 'at once, as ever');
        }
      }
      t.equal((await rig.answer({ name })).rcode, 0, `${name} itself`);
    }
    t.match(rig.now({ name: `REGISTRY.Example.${SUFFIX}` }), { rcode: 3 });
  },
);

t.test('similar names still fail, with their reason', async (t) => {
  const rig = rigWith();
  rig.down.add('default');
  for (const name of [
    `unknown.example.${SUFFIX}`,
    `xregistry.example.${SUFFIX}`,
    `x.registry.example.${SUFFIX}`, // only whole names count
    `registry.${SUFFIX}`,
    `own.example.${SUFFIX}`, // an apex without records is nobody's to ask for
    `deep.own.example.${SUFFIX}`,
    `lab.${SUFFIX}`,
    'www.example.com',
    'com',
  ])
    t.match(await rig.answer({ name, edns: {} }), FAILED, name);
});

t.test('connected, nothing is denied: the name may be real', async (t) => {
  const rig = rigWith();
  for (const name of KNOWN) t.equal((await rig.answer({ name: `${name}.${SUFFIX}` })).rcode, 0);
  t.equal(rig.asked.length, KNOWN.length);
});

t.test('a real name under the suffix is answered as long as it is kept', async (t) => {
  const rig = rigWith();
  const real = { name: `registry.example.${SUFFIX}`, edns: {} };
  await rig.answer(real);
  rig.down.add('default');
  t.match(await rig.answer(real), { rcode: 0, answers: [{ data: '192.0.2.1' }] });
  await rig.time.advance(1_000_000);
  t.match(await rig.answer(real), { rcode: 0, ede: 3, answers: [{ data: '192.0.2.1' }] });
  t.match(await rig.answer({ ...real, type: 'AAAA' }), { rcode: 0, answers: [] }, 'beside its address');
  t.match(await rig.answer({ ...real, type: 'MX' }), { rcode: 3 });
});

t.test(
  'neither a failure from before the cut nor the first question in the cut hides the denial',
  async (t) => {
    const rig = rigWith();
    const name = `registry.example.${SUFFIX}`;
    rig.says = () => {
      rig.down.add('default');
      return { extendedError: 22, reason: 'timeout' };
    };
    t.match(await rig.answer({ name, edns: {} }), DENIED, 'a client that waited for a dead upstream');
    const other = rigWith();
    other.says = () => ({ extendedError: 22, reason: 'timeout' });
    t.equal((await other.answer({ name })).rcode, 2);
    other.down.add('default');
    t.match(other.now({ name, edns: {} }), DENIED);
    t.same(other.hurt.filter((text) => text.startsWith('failed')).length, 1);
  },
);

t.test(
  'the link is cut, and a resolver on the site fails for the name before its upstreams are known to be away',
  async (t) => {
    const rig = rigWith();
    rig.link.isFarSideCut = true;
    rig.says = () => ({ extendedError: 22, reason: 'timeout' });
    t.match(await rig.answer({ name: `registry.example.${SUFFIX}`, edns: {} }), DENIED);
    t.match(await rig.answer({ name: `registry.example.${SUFFIX}`, edns: {} }), DENIED, 'again');
    t.match(await rig.answer({ name: `unknown.example.${SUFFIX}`, edns: {} }), { rcode: 2 });
  },
);

t.test(
  'the link is cut, and a resolver on the site is silent: no client waits for more than 1.8 s',
  async (t) => {
    const rig = rigWith();
    await rig.answer({ name: 'known.example' });
    rig.link.isFarSideCut = true;
    rig.says = () => undefined;
    const withinMs = 1_800;
    t.match(await rig.answer({ name: `registry.example.${SUFFIX}`, edns: {} }, { withinMs }), DENIED);
    const beside = { name: 'known.example', type: 'AAAA', edns: {} };
    t.match(await rig.answer(beside, { withinMs }), { rcode: 0, answers: [] }, 'beside its address');
    await t.rejects(
      rig.answer({ name: 'new.example' }, { withinMs }),
      /^no reply/,
      'there is nothing else to give',
    );
    rig.link.isFarSideCut = false;
    await t.rejects(
      rig.answer({ name: 'registry.example.corp.lan' }, { withinMs }),
      /^no reply/,
      'it may be real',
    );
  },
);

t.test(
  'the link is cut, and a resolver on the site makes up an empty answer: no search ends with it',
  async (t) => {
    const name = `registry.example.${SUFFIX}`;
    const empty = message({ question: [name, 'A'] });
    const fromRoot = message({
      question: [name, 'A'],
      authorities: [rawRecord('.', 'SOA', 60, soaData(60))],
    });
    for (const made of [empty, fromRoot]) {
      const rig = rigWith();
      rig.link.isFarSideCut = true;
      rig.says = () => made;
      t.match(await rig.answer({ name, edns: {} }), DENIED);
      t.match(await rig.answer({ name, edns: {} }), DENIED, 'again');
      t.same(rig.falseDenials, [], 'no evidence against other names of the suffix');
      rig.link.isFarSideCut = false;
      await rig.time.advance(6_000);
      t.match(await rig.answer({ name, edns: {} }), { rcode: 0, answers: [] }, 'connected, it is believed');
    }
    for (const [flags, from] of [
      [0x8580, 'its server'],
      [0x8180, 'a resolver that has asked its server'],
    ] as const) {
      const rig = rigWith();
      rig.link.isFarSideCut = true;
      rig.says = () =>
        message({
          flags,
          question: [name, 'A'],
          authorities: [rawRecord(SUFFIX, 'SOA', 60, soaData(60))],
        });
      const isRight = `a zone of the site is right: ${from}`;
      t.match(await rig.answer({ name, edns: {} }), { rcode: 0, answers: [] }, isRight);
    }
  },
);

t.test(
  'without RD a client asks for what is here: no denial is made for it, asked before or not',
  async (t) => {
    const rig = rigWith();
    rig.link.isFarSideCut = true;
    rig.says = () => ({ extendedError: 22, reason: 'timeout' });
    const query = { name: `registry.example.${SUFFIX}`, edns: {} };
    t.match(rig.now({ ...query, rd: false }), { rcode: 5 });
    t.match(await rig.answer(query), DENIED);
    t.match(rig.now({ ...query, rd: false }), { rcode: 2 }, 'the failure is remembered');
  },
);

t.test('only a cut of the whole name’s route counts', async (t) => {
  const rig = rigWith();
  rig.down.add('corp');
  t.match(await rig.answer({ name: 'registry.example.corp.example' }), { rcode: 3 });
  t.match(await rig.answer({ name: `registry.example.${SUFFIX}` }), { rcode: 0 });
});

t.test('a rule for the suffix wins, and without RD the name is REFUSED', async (t) => {
  const zones = [{ name: 'strict.example', whileDisconnected: 'servfail' as const }];
  const rig = rigWith({ disconnected: { zones, regions: ['us-west-2'] } });
  rig.down.add('default');
  t.match(rig.now({ name: 'registry.example.strict.example' }), { rcode: 2 });
  t.match(rig.now({ name: 's3.amazonaws.com.cn' }), { rcode: 2 }, 'a service of AWS in another partition');
  t.match(rig.now({ name: 'registry.example.us-west-2.compute.internal' }), {
    rcode: 3,
    authorities: { length: 1 },
  });
  t.match(rig.now({ name: `registry.example.${SUFFIX}`, rd: false }), { rcode: 5 });
});

t.test('the longest names take no longer', async (t) => {
  const rig = rigWith();
  rig.down.add('default');
  const many = Array.from({ length: 126 }, () => 'a').join('.');
  t.match(rig.now({ name: many }), 'pending');
  t.equal((await rig.answer({ name: many })).rcode, 2);
  const suffix = Array.from({ length: 110 }, () => 'a').join('.');
  t.equal((await rig.answer({ name: `registry.example.${suffix}` })).rcode, 3);
});
