import t from 'tap';
import { message, rawRecord, rr } from '../../helpers/zone-text.ts';
import { addresses, denial, ENDPOINT, endpointRecord, Rig, type RigOptions } from './rig.ts';

const records = [endpointRecord({ addresses: ['10.0.1.10', '10.0.2.10'], ttlSeconds: 45 })];
const own = { name: 'own.example', records: [rr('www.own.example 60 A 10.0.0.2')] };
const named = {
  name: 'named.example',
  records: [rr('named.example 60 NS ns1.named.example'), rr('ns1.named.example 60 A 10.0.0.3')],
};
const rigWith = (options: RigOptions = {}) => new Rig({ records, rules: [own, named], ...options });
const REVERSE = '10.1.0.10.in-addr.arpa';

t.test('every apex of ours has SOA and NS: endpoints, own zones, reverse names', async (t) => {
  const rig = rigWith();
  for (const [apex, ttl] of [
    [ENDPOINT, 45],
    ['own.example', 60],
    [REVERSE, 45],
    ['home.arpa', 60],
  ] as const) {
    const soa = await rig.answer({ name: apex, type: 'SOA' });
    t.match(soa, { rcode: 0, aa: true, authorities: [] }, apex);
    t.match(
      soa.answers,
      [{ owner: apex, type: 'SOA', ttl, data: `${apex} nobody.invalid minimum ${ttl}` }],
      apex,
    );
    t.equal(soa.answers.length, 1);
    const ns = await rig.answer({ name: apex, type: 'NS' });
    t.match(
      ns,
      { rcode: 0, aa: true, authorities: [], answers: [{ owner: apex, type: 'NS', ttl, data: apex }] },
      apex,
    );
    const below = await rig.answer({ name: `x.${apex}`, type: 'NS' });
    t.match(below, { rcode: 3, answers: [] }, `nothing is below ${apex}`);
  }
  t.match((await rig.answer({ name: 'named.example', type: 'NS' })).answers, [{ data: 'ns1.named.example' }]);
  t.match(await rig.answer({ name: 'www.own.example', type: 'SOA' }), {
    rcode: 0,
    answers: [],
    authorities: [{ type: 'SOA', owner: 'own.example' }],
  });
  t.match(await rig.answer({ name: `_status.${ENDPOINT}`, type: 'SOA' }), {
    rcode: 0,
    answers: [],
    authorities: [{ owner: ENDPOINT }],
  });
});

t.test('the SOA of an endpoint counts its changes, in answers and in denials', async (t) => {
  const rig = rigWith();
  const serial = async (type: string, section: 'answers' | 'authorities') => {
    const { octets, [section]: found } = await rig.answer({ name: ENDPOINT, type });
    t.equal(found.length, 1);
    return octets.readUInt32BE(octets.length - 20);
  };
  t.equal(await serial('SOA', 'answers'), 1_700_000_000);
  t.equal(await serial('AAAA', 'authorities'), 1_700_000_000);
});

t.test(
  "DS of a zone that is forwarded is asked of the parent's servers (RFC 4035 section 3.1.4.1)",
  async (t) => {
    const rig = rigWith({
      rules: [
        { name: 'corp.example', forwardTo: 'corp' },
        { name: 'lab.corp.example', forwardTo: 'lab' },
        { name: 'in.own.example', forwardTo: 'in' },
        own,
        { name: 'x.dead.example', forwardTo: 'x' },
        { name: 'dead.example', answer: 'servfail' },
        { name: 'gone.example', answer: 'nxdomain' },
        { name: 'y.gone.example', forwardTo: 'y' },
        { name: '3.10.in-addr.arpa', forwardTo: 'site' },
        { name: 'only.example', forwardTo: 'only' },
      ],
    });
    rig.says = (question) => denial(question, 0);
    const routeOf = async (name: string, type = 'DS') => {
      rig.asked.length = 0;
      const reply = await rig.answer({ name, type });
      return rig.asked[0]?.route ?? `here: ${reply.rcode} ${reply.authorities[0]?.owner}`;
    };
    t.equal(await routeOf('corp.example'), 'default');
    t.equal(await routeOf('Corp.Example', 'A'), 'corp');
    t.equal(await routeOf('corp.example', 'DNSKEY'), 'corp');
    t.equal(await routeOf('lab.corp.example'), 'corp');
    t.equal(await routeOf('host.lab.corp.example'), 'lab', "a cut further down is the zone's own");
    t.equal(await routeOf('in.own.example'), 'here: 0 own.example', 'the parent is ours: no such record');
    t.equal(await routeOf('y.gone.example'), 'here: 0 gone.example');
    t.equal(await routeOf('x.dead.example'), 'here: 2 undefined');
    t.equal(await routeOf('only.example'), 'default');
  },
);

t.test(
  "in a cut the rule of a zone is not asked about its DS: the zone's own servers may be there",
  async (t) => {
    const zones = [{ name: 'corp.example', whileDisconnected: 'nxdomain' as const }];
    const rig = rigWith({ rules: [{ name: 'corp.example', forwardTo: 'corp' }], disconnected: { zones } });
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
    rig.down.add('default');
    t.match(await rig.answer({ name: 'corp.example', type: 'DS', edns: {} }), { rcode: 2, ede: 22 });
    t.equal((await rig.answer({ name: 'corp.example' })).rcode, 0);
    rig.down.clear();
    rig.down.add('corp');
    await rig.time.advance(6000);
    rig.says = (question) => denial(question, 0);
    t.match(await rig.answer({ name: 'corp.example', type: 'DS' }), { rcode: 0, answers: [] });
    t.equal((await rig.answer({ name: 'corp.example' })).rcode, 3);
  },
);

for (const [what, apex, soa] of [
  ['an endpoint', ENDPOINT, ENDPOINT],
  ['an own zone', 'own.example', 'own.example'],
  ['a special name', 'home.arpa', 'home.arpa'],
] as const) {
  t.test(
    `DS of ${what} is the parent's; where that cannot be asked, or knows no such name, it is NODATA`,
    async (t) => {
      const rig = rigWith();
      const ds = rawRecord(apex, 'DS', 300, [0, 1, 8, 2, ...Buffer.alloc(32)]);
      rig.says = () => message({ question: [apex, 'DS'], answers: [ds] });
      t.match(await rig.answer({ name: apex, type: 'DS' }), {
        rcode: 0,
        aa: false,
        answers: [{ type: 'DS' }],
      });
      t.same(
        rig.asked.map(({ question, route }) => `${question} of ${route}`),
        [`${apex} DS of default`],
      );
      t.match(
        rig.now({ name: apex, type: 'DS', rd: false }),
        { rcode: 0, answers: [{ type: 'DS' }] },
        'kept',
      );
      const noDs = { rcode: 0, aa: true, answers: [], authorities: [{ owner: soa, type: 'SOA' }] };
      for (const [it, says] of [
        ['NXDOMAIN', denial(`${apex} DS`, 3)],
        ['SERVFAIL', denial(`${apex} DS`, 2)],
        ['silence', undefined],
      ] as const) {
        const other = rigWith();
        other.says = () => says;
        t.match(await other.answer({ name: apex, type: 'DS' }, { withinMs: 6000 }), noDs, it);
        t.match(await other.answer({ name: apex, type: 'DS' }, { withinMs: 6000 }), noDs, `${it}, kept`);
        t.equal((await other.answer({ name: apex, type: 'DS', rd: false })).rcode, 0, `${it}, RD=0`);
        t.same(other.hurt, [], 'nobody is hurt by it');
      }
      const cut = rigWith();
      cut.down.add('default');
      t.match(cut.now({ name: apex, type: 'DS' }), noDs, 'in a cut, at once');
      t.match(cut.now({ name: apex, type: 'DS', rd: false }), noDs);
      const rule = rigWith({
        rules: [
          own,
          { name: 'eks.amazonaws.com', forwardTo: 'eks' },
          { name: 'example', forwardTo: 'parent' },
        ],
      });
      await rule.answer({ name: apex, type: 'DS' });
      const routes = new Map([
        [ENDPOINT, 'eks'],
        ['own.example', 'parent'],
      ]);
      t.equal(rule.asked[0]?.route, routes.get(apex) ?? 'default');
    },
  );
}
