import fc from 'fast-check';
import t from 'tap';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';
import { LocalZonesError, type ZoneRule } from '../../../src/serving/local-zones/own-zones.ts';
import { rr } from '../../helpers/zone-text.ts';
import { asked, replyOctets, seen } from './asked.ts';

const build = (...rules: ZoneRule<string>[]) => new LocalZones<string>({ rules });
const soa = (apex: string) => `${apex} 60 SOA ${apex} nobody.invalid 60`;
const noName = (apex: string) => `NXDOMAIN |  | ${soa(apex)}`;
const noData = (apex: string) => `NOERROR |  | ${soa(apex)}`;

const site = build(
  {
    name: 'site.example',
    records: [
      rr('site.example 60 A 10.0.0.1'),
      rr('site.example 60 NS ns.other.example'),
      rr('site.example 60 MX 10 mail.site.example'),
      rr('site.example 60 TXT one two'),
      rr('www.site.example 60 A 10.0.0.2'),
      rr('www.site.example 60 A 10.0.0.3'),
      rr('www.site.example 60 AAAA fd00::2'),
      rr('deep.er.tree.site.example 60 A 10.0.0.4'),
      rr('alias.site.example 60 CNAME www.site.example'),
      rr('second.site.example 60 CNAME alias.site.example'),
      rr('away.site.example 60 CNAME elsewhere.example'),
      rr('broken.site.example 60 CNAME nothing.site.example'),
      rr('hollow.site.example 60 CNAME tree.site.example'),
      rr('up.site.example 60 CNAME site.example'),
      rr('routed.site.example 60 CNAME x.lab.site.example'),
      rr('mail.site.example 300 A 10.0.0.5'),
    ],
  },
  { name: 'lab.site.example', forwardTo: 'lab' },
);

const www = 'www.site.example 60 A 10.0.0.2; www.site.example 60 A 10.0.0.3';
const aliasRecord = 'alias.site.example 60 CNAME www.site.example';

const records: readonly [name: string, type: string, want: string][] = [
  ['site.example', 'A', 'NOERROR | site.example 60 A 10.0.0.1'],
  ['SITE.Example', 'A', 'NOERROR | site.example 60 A 10.0.0.1'],
  ['site.example', 'SOA', `NOERROR | ${soa('site.example')}`],
  ['site.example', 'NS', 'NOERROR | site.example 60 NS ns.other.example'],
  ['site.example', 'MX', 'NOERROR | site.example 60 MX 10 mail.site.example'],
  ['site.example', 'TXT', 'NOERROR | site.example 60 TXT ["one","two"]'],
  ['mail.site.example', 'A', 'NOERROR | mail.site.example 300 A 10.0.0.5'],
  ['mail.site.example', 'AAAA', noData('site.example')],
  ['site.example', 'AAAA', noData('site.example')],
  // RFC 4035 section 3.1.4.1: the parent's servers answer for DS at the apex, and for nothing under it
  ['site.example', 'DS', 'nothing'],
  ['www.site.example', 'DS', noData('site.example')],
  ['lab.site.example', 'DS', noData('site.example')],
  ['www.site.example', 'A', `NOERROR | ${www}`],
  ['www.site.example', 'AAAA', 'NOERROR | www.site.example 60 AAAA fd00::2'],
  ['www.site.example', 'HTTPS', noData('site.example')],
  ['www.site.example', 'SOA', noData('site.example')],
  ['www.site.example', 'ANY', 'NOERROR | www.site.example 60 HINFO RFC8482'],
  ['under.www.site.example', 'A', noName('site.example')],
  ['nothing.site.example', 'A', noName('site.example')],
  ['nothing.site.example', 'ANY', noName('site.example')],
  ['a.b.c.d.e.site.example', 'AAAA', noName('site.example')],
  // empty non-terminals (RFC 8020 section 2, RFC 4592 section 2.2.2)
  ['er.tree.site.example', 'A', noData('site.example')],
  ['tree.site.example', 'A', noData('site.example')],
  ['tree.site.example', 'ANY', 'NOERROR | tree.site.example 60 HINFO RFC8482'],
  ['x.tree.site.example', 'A', noName('site.example')],
  // aliases (RFC 1034 section 4.3.2)
  ['alias.site.example', 'A', `NOERROR | ${aliasRecord}; ${www}`],
  ['alias.site.example', 'AAAA', `NOERROR | ${aliasRecord}; www.site.example 60 AAAA fd00::2`],
  ['alias.site.example', 'CNAME', `NOERROR | ${aliasRecord}`],
  ['alias.site.example', 'HTTPS', `NOERROR | ${aliasRecord} | ${soa('site.example')}`],
  ['alias.site.example', 'ANY', 'NOERROR | alias.site.example 60 HINFO RFC8482'],
  ['x.alias.site.example', 'A', noName('site.example')],
  [
    'second.site.example',
    'A',
    `NOERROR | second.site.example 60 CNAME alias.site.example; ${aliasRecord}; ${www}`,
  ],
  ['second.site.example', 'CNAME', 'NOERROR | second.site.example 60 CNAME alias.site.example'],
  ['away.site.example', 'A', 'NOERROR | away.site.example 60 CNAME elsewhere.example'],
  [
    'broken.site.example',
    'A',
    `NXDOMAIN | broken.site.example 60 CNAME nothing.site.example | ${soa('site.example')}`,
  ],
  [
    'hollow.site.example',
    'A',
    `NOERROR | hollow.site.example 60 CNAME tree.site.example | ${soa('site.example')}`,
  ],
  ['up.site.example', 'A', 'NOERROR | up.site.example 60 CNAME site.example; site.example 60 A 10.0.0.1'],
  ['routed.site.example', 'A', 'NOERROR | routed.site.example 60 CNAME x.lab.site.example'],
  // a rule further down
  ['lab.site.example', 'A', 'forward to lab'],
  ['x.y.lab.site.example', 'TYPE999', 'forward to lab'],
  // a name that only ends alike
  ['offsite.example', 'A', 'nothing'],
  ['example', 'A', 'nothing'],
];

for (const [name, type, want] of records) {
  t.test(`records: ${name} ${type}`, async (t) => {
    t.equal(seen(site, name, type), want);
  });
}

t.test('addresses of a name take turns; after an alias they keep their order', async (t) => {
  const first = (name: string, turn: number) => seen(site, name, 'A', turn).match(/A (10\.0\.0\.\d)/)?.[1];
  t.same(
    [0, 1, 2].map((turn) => first('www.site.example', turn)),
    ['10.0.0.2', '10.0.0.3', '10.0.0.2'],
  );
  t.same(
    [0, 1, 2].map((turn) => first('alias.site.example', turn)),
    ['10.0.0.2', '10.0.0.2', '10.0.0.2'],
  );
});

t.test('a rule holds for its name and all names under it', async (t) => {
  const zones = build(
    { name: 'ads.example', answer: 'nxdomain' },
    { name: 'dead.example', answer: 'servfail' },
    { name: 'Closed.Example.', answer: 'refused' },
    { name: 'corp.example', forwardTo: 'corp' },
  );
  const cases: [string, string, string][] = [
    ['ads.example', 'A', noName('ads.example')],
    ['ads.example', 'SOA', noName('ads.example')],
    ['x.ads.example', 'AAAA', noName('ads.example')],
    ['dead.example', 'A', 'SERVFAIL (blocked)'],
    ['x.y.dead.example', 'ANY', 'SERVFAIL (blocked)'],
    ['closed.example', 'A', 'REFUSED (blocked)'],
    ['corp.example', 'A', 'forward to corp'],
    ['x.corp.example', 'DS', 'forward to corp'],
    ['example', 'A', 'nothing'],
  ];
  for (const [name, type, want] of cases) t.equal(seen(zones, name, type), want, `${name} ${type}`);
});

t.test('the longest name wins; for one name the operator wins over the special-use table', async (t) => {
  const zones = build(
    { name: '10.in-addr.arpa', forwardTo: 'site' },
    { name: '1.168.192.in-addr.arpa', forwardTo: 'site' },
    { name: '172.in-addr.arpa', forwardTo: 'site' },
    { name: 'local', forwardTo: 'windows' },
    { name: 'a.test', records: [rr('a.test 60 A 10.0.0.9')] },
    { name: 'localhost', answer: 'refused' },
    { name: 'corp', answer: 'nxdomain' },
    { name: 'ok.corp', forwardTo: 'corp' },
    { name: 'bad.ok.corp', answer: 'servfail' },
  );
  const cases: [string, string, string][] = [
    ['1.2.3.10.in-addr.arpa', 'PTR', 'forward to site'],
    ['10.in-addr.arpa', 'DS', 'nothing'],
    ['5.1.168.192.in-addr.arpa', 'PTR', 'forward to site'],
    ['5.2.168.192.in-addr.arpa', 'PTR', noName('168.192.in-addr.arpa')],
    ['1.0.16.172.in-addr.arpa', 'PTR', noName('16.172.in-addr.arpa')],
    ['1.0.32.172.in-addr.arpa', 'PTR', 'forward to site'],
    ['dc1.local', 'A', 'forward to windows'],
    ['a.test', 'A', 'NOERROR | a.test 60 A 10.0.0.9'],
    ['b.a.test', 'A', noName('a.test')],
    ['b.test', 'A', noName('test')],
    ['x.localhost', 'A', 'REFUSED (blocked)'],
    ['x.corp', 'A', noName('corp')],
    ['x.ok.corp', 'A', 'forward to corp'],
    ['x.bad.ok.corp', 'A', 'SERVFAIL (blocked)'],
  ];
  for (const [name, type, want] of cases) t.equal(seen(zones, name, type), want, `${name} ${type}`);
});

t.test('a rule for the root holds for names without another rule, except special-use names', async (t) => {
  const denied = build({ name: '.', answer: 'nxdomain' });
  t.equal(seen(denied, 'www.example', 'A'), noName('.'));
  t.equal(seen(denied, '.', 'NS'), noName('.'));
  t.equal(seen(denied, 'localhost', 'A'), 'NOERROR | localhost 60 A 127.0.0.1');
  const forwarded = build({ name: '.', forwardTo: 'all' });
  t.equal(seen(forwarded, '.', 'NS'), 'forward to all');
  t.equal(seen(forwarded, 'x.onion', 'A'), noName('onion'));
  const own = build({ name: '.', records: [rr('. 60 NS ns.example'), rr('www.example 60 A 10.0.0.1')] });
  t.equal(seen(own, '.', 'NS'), 'NOERROR | . 60 NS ns.example');
  t.equal(seen(own, '.', 'SOA'), `NOERROR | ${soa('.')}`);
  t.equal(seen(own, 'www.example', 'A'), 'NOERROR | www.example 60 A 10.0.0.1');
  t.equal(seen(own, 'example', 'A'), noData('.'));
  t.equal(seen(own, 'other', 'A'), noName('.'));
  t.match(faultsOf({ name: '.', records: [rr('* 60 A 10.0.0.1')] }), [/a wildcard, which is not supported/]);
});

t.test('answers fit names of any length, and their pointers lead to the right names', async () => {
  const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
  const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
  t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);
  const label = fc.stringMatching(/^[a-z]{1,20}$/);
  const labels = fc.array(label, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(labels, labels, fc.constantFrom('A', 'ANY', 'SOA', 'MX'), (apexLabels, front, type) => {
      const apex = [...apexLabels, 'zone'].join('.');
      const zones = build({ name: apex, records: [rr(`here.${apex} 60 A 10.0.0.1`)] });
      const missing = `${front.join('.')}.not.${apex}`;
      if (seen(zones, missing, type) !== noName(apex)) throw new Error(seen(zones, missing, type));
      const here = `here.${apex}`;
      const local = `${front.join('.')}.localhost`;
      if (seen(zones, here, 'MX') !== noData(apex)) throw new Error(seen(zones, here, 'MX'));
      if (seen(zones, local) !== `NOERROR | ${local} 60 A 127.0.0.1`) throw new Error(seen(zones, local));
      for (const [name, asked] of [
        [missing, type],
        [here, 'MX'],
        [local, type],
      ] as const) {
        if (indexResponse(replyOctets(zones, name, asked)).kind === 'fault')
          throw new Error(`${name} broken`);
      }
    }),
    { seed, numRuns },
  );
});

function faultsOf(...rules: ZoneRule<string>[]): string[] {
  try {
    build(...rules);
    return [];
  } catch (error) {
    if (!(error instanceof LocalZonesError)) throw error;
    t.equal(error.code, 'bad-zones');
    return error.faults.map(({ zone, record, reason }) => `${zone} / ${record ?? '-'} / ${reason}`);
  }
}

t.test('all faults are reported together, each with its zone and record', async (t) => {
  t.same(
    faultsOf(
      { name: 'a..b', answer: 'nxdomain' },
      { name: 'twice.example', answer: 'refused' },
      { name: 'TWICE.example.', forwardTo: 'x' },
      {
        name: 'site.example',
        records: [
          rr('www.site.example 60 A 10.0.0.1'),
          rr('www.site.example 60 A nowhere'),
          rr('a.lab.site.example 60 A 10.0.0.1'),
        ],
      },
      { name: 'lab.site.example', forwardTo: 'x' },
    ),
    [
      'a..b / - / not a domain name: "a..b": empty label',
      'twice.example / - / more than one rule for this zone',
      'site.example / www.site.example A / "nowhere" is not an IPv4 address',
      'site.example / a.lab.site.example A / the rule for zone lab.site.example holds there',
    ],
  );
});

const aliasBeside = (type: string) => `a.z ${type} / a CNAME beside other data of a.z`;
const long = 'x'.repeat(256);

const zoneFaults: readonly [it: string, lines: string[], want: string[]][] = [
  ['a record of another zone', ['www.y 60 A 10.0.0.1'], ['www.y A / owner "www.y." is not in the zone']],
  ['a record of a zone that ends alike', ['az 60 A 10.0.0.1'], ['az A / owner "az." is not in the zone']],
  ['a wildcard', ['*.a.z 60 A 10.0.0.1'], ['*.a.z A / owner "*.a.z.": a wildcard, which is not supported']],
  [
    'a wildcard at the apex',
    ['*.z 60 A 10.0.0.1'],
    ['*.z A / owner "*.z.": a wildcard, which is not supported'],
  ],
  [
    'an IPv6 address with a zone index',
    ['a.z 60 AAAA fe80::1%eth0'],
    ['a.z AAAA / "fe80::1%eth0" is not an IPv6 address in canonical form'],
  ],
  [
    'an IPv6 address that dns2 would compose wrongly',
    ['a.z 60 AAAA ::ffff:10.0.0.1'],
    ['a.z AAAA / "::ffff:10.0.0.1" is not an IPv6 address in canonical form'],
  ],
  [
    'an IPv4 address where IPv6 belongs',
    ['a.z 60 AAAA 10.0.0.1'],
    ['a.z AAAA / "10.0.0.1" is not an IPv6 address in canonical form'],
  ],
  ['a CNAME for the zone itself', ['z 60 CNAME a.example'], ['z CNAME / a CNAME for the zone itself']],
  ['NS below the apex', ['sub.z 60 NS ns.example'], ['sub.z NS / an NS record below the zone itself']],
  ['an SOA', ['z 60 SOA a b 1 2 3 4 5'], ['z SOA / type "SOA" is not supported']],
  ['HINFO', ['a.z 60 HINFO a b'], ['a.z HINFO / type "HINFO" is not supported']],
  ['TXT without a string', ['a.z 60 TXT'], ['a.z TXT / a TXT record without a string']],
  ['a string of 256 octets', [`a.z 60 TXT ok ${long}`], ['a.z TXT / a string of 256 octets, more than 255']],
  [
    'an escaped octet in an owner',
    ['a\\.b.z 60 A 10.0.0.1'],
    ['a\\.b.z A / a name with an escaped octet, which is not supported'],
  ],
  [
    'an escaped octet in a target',
    ['a.z 60 CNAME a\\032b.example'],
    ['a.z CNAME / a name with an escaped octet, which is not supported'],
  ],
  [
    'an escaped octet in an exchange',
    ['a.z 60 MX 1 a\\032b.example'],
    ['a.z MX / a name with an escaped octet, which is not supported'],
  ],
  ['a CNAME beside another record', ['a.z 60 CNAME b.example', 'a.z 60 A 10.0.0.1'], [aliasBeside('A')]],
  ['two CNAMEs', ['a.z 60 CNAME b.example', 'a.z 60 CNAME c.example'], [aliasBeside('CNAME')]],
  ['a record written twice', ['a.z 60 A 10.0.0.1', 'a.z 60 A 10.0.0.1'], ['a.z A / a record written twice']],
  ['a CNAME written twice', ['a.z 60 CNAME b.example', 'a.z 60 CNAME b.example'], [aliasBeside('CNAME')]],
  ['a CNAME to itself', ['a.z 60 CNAME a.z'], ['a.z CNAME / an alias that leads into a loop']],
  [
    'a ring of CNAMEs, and one that leads into it',
    ['in.z 60 CNAME a.z', 'a.z 60 CNAME b.z', 'b.z 60 CNAME a.z'],
    ['in.z CNAME / an alias that leads into a loop'],
  ],
  [
    'more addresses than one answer should hold',
    Array.from({ length: 1025 }, (_, n) => `a.z 60 A 10.0.${n >> 8}.${n & 255}`),
    ['a.z A / the records of type A of a.z take more than 16384 octets from here on'],
  ],
  ['as many as it may hold', Array.from({ length: 100 }, (_, n) => `a.z 60 A 10.0.0.${n}`), []],
];

for (const [it, lines, want] of zoneFaults) {
  t.test(`records: ${it}`, async (t) => {
    t.same(
      faultsOf({ name: 'z', records: lines.map((line) => rr(line)) }),
      want.map((fault) => `z / ${fault}`),
    );
  });
}

t.test('a zone with an empty list of records exists, and no name in it', async (t) => {
  const empty = build({ name: 'empty.example', records: [] });
  t.equal(seen(empty, 'empty.example'), noData('empty.example'));
  t.equal(seen(empty, 'www.empty.example'), noName('empty.example'));
});

t.test(
  'a zone whose name dns2 cannot compose is refused for records, and works for other rules',
  async (t) => {
    const name = 'a\\.b';
    t.match(faultsOf({ name, records: [rr(`www.${name} 60 A 10.0.0.1`)] }), [/escaped octet/]);
    t.equal(seen(build({ name, forwardTo: 'x' }), `c.${name}`), 'forward to x');
    t.equal(seen(build({ name, answer: 'nxdomain' }), `c.${name}`).slice(0, 8), 'NXDOMAIN');
  },
);

t.test('a lookup allocates nothing, found or not', async (t) => {
  for (const name of ['www.example.com', 'www.site.example', 'nothing.site.example', 'api.localhost']) {
    const query = asked(name);
    const spin = (times: number) => {
      let found = 0;
      for (let i = 0; i < times; i++) if (site.find(query) !== undefined) found++;
      return found;
    };
    spin(200_000);
    const grown: number[] = [];
    // until the optimiser is done: on a busy machine that takes longer
    for (let round = 0; round < 5 || (round < 100 && Math.min(...grown) >= 200_000); round++) {
      const before = process.memoryUsage().heapUsed;
      spin(100_000);
      grown.push(Math.abs(process.memoryUsage().heapUsed - before));
    }
    // one object of the smallest size per lookup would be 1.6 million octets
    t.ok(Math.min(...grown) < 200_000, name);
  }
});

t.test('thousands of rules are put into tables one by one', async (t) => {
  const rules = Array.from({ length: 3_000 }, (_, at) => ({ name: `z${at}.example`, forwardTo: at }));
  let [puts, most] = [0, 0];
  const { set } = Map.prototype;
  const { add } = Set.prototype;
  Map.prototype.set = function (key, value) {
    puts++;
    return set.call(this, key, value);
  };
  Set.prototype.add = function (value) {
    puts++;
    return add.call(this, value);
  };
  const steps = LocalZones.building({ rules, siteNames: { route: 0 } });
  do {
    most = Math.max(most, puts);
    puts = 0;
  } while (!steps.next().done);
  Object.assign(Map.prototype, { set });
  Object.assign(Set.prototype, { add });
  t.ok(most < 1_000, `${most} in one step`);
});
