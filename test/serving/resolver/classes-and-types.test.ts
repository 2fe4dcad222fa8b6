import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { DisconnectedRules } from '../../../src/serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';
import { Identity } from '../../../src/serving/resolver/resolver-deps.ts';
import type { Route } from '../../../src/serving/turn.ts';
import { message, rawRecord, rr } from '../../helpers/zone-text.ts';
import { queryOf } from './messages.ts';
import { addresses, ENDPOINT, endpointRecord, Rig, routeNamed } from './rig.ts';

const CH = 3;

t.test('CH version.bind and id.server answer only where configured, in any case of the name', async (t) => {
  for (const [identity, versionRcode, idRcode] of [
    [{}, RCODE.REFUSED, RCODE.REFUSED],
    [{ version: 'outpost-dns 1' }, RCODE.NOERROR, RCODE.REFUSED],
    [{ id: 'site-a' }, RCODE.REFUSED, RCODE.NOERROR],
    [{ version: 'outpost-dns 1', id: 'site-a' }, RCODE.NOERROR, RCODE.NOERROR],
  ] as const) {
    const rig = new Rig({ identity });
    for (const [name, rcode] of [
      ['VERSION.Bind', versionRcode],
      ['id.server', idRcode],
    ] as const) {
      const reply = rig.now({ name, type: 'TXT', qclass: CH });
      t.match(
        reply,
        { rcode, ra: true, aa: rcode === RCODE.NOERROR },
        `${name} with ${JSON.stringify(identity)}`,
      );
    }
  }
  const rig = new Rig({ identity: { version: 'outpost-dns 1', id: 'site-a' } });
  t.match(rig.now({ name: 'version.bind', type: 'TXT', qclass: CH }), {
    answers: [{ owner: 'version.bind', type: 'TXT', qclass: CH, ttl: 0, data: 'outpost-dns 1' }],
  });
  t.match(rig.now({ name: 'id.server', type: 'ANY', qclass: CH }), { answers: [{ data: 'site-a' }] });
});

t.test('other names and types in CH, and every other class, are REFUSED and never forwarded', async (t) => {
  const rig = new Rig({ identity: { version: 'x' }, records: [endpointRecord({ addresses: ['10.0.0.1'] })] });
  for (const query of [
    { name: 'version.server', type: 'TXT', qclass: CH },
    { name: 'version.bind', type: 'A', qclass: CH },
    { name: 'x.version.bind', type: 'TXT', qclass: CH },
    { name: ENDPOINT, qclass: CH },
    { name: ENDPOINT, qclass: 0 },
    { name: ENDPOINT, qclass: 2 },
    { name: ENDPOINT, qclass: 4 },
    { name: ENDPOINT, qclass: 254 },
    { name: ENDPOINT, qclass: 255 },
    { name: 'localhost', qclass: 255 },
    { name: 'www.example.com', qclass: 65_535 },
  ]) {
    t.match(rig.now(query), { rcode: RCODE.REFUSED, aa: false, answers: [] }, JSON.stringify(query));
  }
  t.same(rig.asked, []);
  t.equal(rig.now({ name: 'version.bind', type: 'TXT' }), 'pending', 'in class IN it is an ordinary name');
});

t.test('questions to a server (types 128 to 254, and OPT) are REFUSED, NXNAME is FORMERR', async (t) => {
  const rig = new Rig({
    records: [endpointRecord({ addresses: ['10.0.0.1'] })],
    rules: [
      { name: 'rule.example', forwardTo: 'elsewhere' },
      { name: 'own.example', records: [rr('own.example 60 A 10.0.0.2')] },
      { name: 'dead.example', answer: 'servfail' },
      { name: 'gone.example', answer: 'nxdomain' },
    ],
  });
  const forwarded = ['www.example.com', 'www.rule.example', '.'];
  const own = [ENDPOINT, `x.${ENDPOINT}`, `_status.${ENDPOINT}`, '1.0.0.10.in-addr.arpa', 'localhost'];
  const ruled = ['own.example', 'x.own.example', 'dead.example', 'gone.example'];
  for (const name of [...forwarded, ...own, ...ruled]) {
    for (let type = 0; type <= 300; type++) {
      const isMeta = type === 41 || (type >= 128 && type <= 254);
      const reply = rig.now({ name, type, edns: {} }, 'tcp');
      const isRefused = typeof reply !== 'string' && reply.rcode === RCODE.REFUSED;
      const isNxName = type === 128; // RFC 9824 section 3.5
      const want = isNxName ? { rcode: RCODE.FORMERR, ede: 30 } : { rcode: RCODE.REFUSED, ede: 18 };
      if (isMeta) t.match(reply, { ...want, answers: [] }, `${name} type ${type}`);
      else if (isRefused) t.fail(`${name} type ${type} is refused`);
      const isParents = type === 43 && [ENDPOINT, 'own.example'].includes(name);
      if ((forwarded.includes(name) || isParents) !== (reply === 'pending') && !isMeta)
        t.fail(`${name} type ${type}: ${reply}`);
    }
  }
  t.same(rig.asked, []);
});

t.test('an IXFR as secondaries send it, with their SOA, is REFUSED and not FORMERR', async (t) => {
  for (const edns of [undefined, {}]) {
    const plain = queryOf({ name: 'www.example.com', type: 'IXFR' });
    const query = queryOf({ name: 'www.example.com', type: 'IXFR', ...(edns && { edns }) });
    query.writeUInt16BE(1, 8);
    const soa = Buffer.from([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0, ...Array<number>(20).fill(1)]);
    const octets = Buffer.concat([query.subarray(0, plain.length), soa, query.subarray(plain.length)]);
    t.match(new Rig().now(octets, 'tcp'), {
      rcode: RCODE.REFUSED,
      ede: edns && 18,
      question: plain.subarray(12),
    });
  }
});

t.test('RD=0: our own data, then the cache, otherwise REFUSED, and no upstream is asked', async (t) => {
  const rig = new Rig({
    records: [endpointRecord({ addresses: ['10.0.0.1'] })],
    rules: [{ name: 'own.example', answer: 'nxdomain' }],
  });
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  const ask = (name: string) => rig.now({ name, rd: false });
  t.match(ask(ENDPOINT), { rcode: RCODE.NOERROR, aa: true, rd: false, ra: true });
  t.match(ask('localhost'), { rcode: RCODE.NOERROR, aa: true, rd: false });
  t.match(ask('a.own.example'), { rcode: RCODE.NXDOMAIN, aa: true });
  t.match(ask('www.example.com'), { rcode: RCODE.REFUSED, rd: false, ra: true, answers: [] });
  await rig.answer({ name: 'www.example.com' });
  t.match(ask('www.example.com'), { rcode: RCODE.NOERROR, rd: false, answers: [{ data: '192.0.2.1' }] });
  await rig.time.advance(61_000);
  const stale = rig.now({ name: 'www.example.com', rd: false, edns: {} });
  t.match(
    stale,
    { rcode: RCODE.NOERROR, ede: 3, answers: [{ ttl: 30 }] },
    'a stale answer is in the cache, too',
  );
  t.match(ask('other.example.com'), { rcode: RCODE.REFUSED });
  t.equal(rig.asked.length, 1);
});

t.test('an unknown type and any RDATA pass octet for octet, forwarded and cached', async (t) => {
  const rig = new Rig();
  const rdata = Buffer.from([...Array(256).keys(), 0xc0, 0x0c]); // with octets like a pointer, too
  rig.says = () =>
    message({
      question: ['future.example.com', 'TYPE65280'],
      answers: [
        rawRecord('future.example.com', 65_280, 300, rdata),
        rawRecord('x.example.com', 65_281, 300, []),
      ],
    });
  for (const when of ['forwarded', 'cached'])
    t.match(
      await rig.answer({ name: 'future.EXAMPLE.com', type: 65_280 }),
      {
        answers: [
          { type: 'TYPE65280', data: rdata.toString('hex') },
          { type: 'TYPE65281', data: '' },
        ],
      },
      when,
    );
  t.equal(rig.asked.length, 1);
});

t.test('names with every octet in them are asked, kept and found', async (t) => {
  const rig = new Rig();
  const label = String.fromCharCode(0, 1, 0x2e, 0x5c, 0x20, 0x7f, 0xc0, 0xff);
  const octets = Buffer.concat([
    Buffer.from('2b6701000001000000000000', 'hex'),
    Buffer.of(label.length),
    Buffer.from(label, 'latin1'),
    Buffer.of(0, 0, 1, 0, 1),
  ]);
  rig.says = () => {
    const copy = Buffer.from(octets);
    copy[2] = 0x81;
    copy[3] = 0x83;
    return copy;
  };
  t.match(await rig.answer(octets), { rcode: RCODE.NXDOMAIN });
  t.same((await rig.answer(octets)).question, octets.subarray(12));
});

t.test('a reload takes effect with the next query: zones, identity, route, trust', async (t) => {
  const rig = new Rig({ identity: { version: 'one' }, rules: [{ name: 'a.example', answer: 'nxdomain' }] });
  rig.says = (question, route) =>
    addresses(question, [route === 'next' ? '192.0.2.2' : '192.0.2.1'], 60, 0x81a0);
  const keep = await rig.answer({ name: 'kept.example.com' });
  t.equal(keep.answers[0]?.data, '192.0.2.1');
  rig.resolver.reconfigure({
    localZones: new LocalZones<Route>({ rules: [{ name: 'b.example', answer: 'refused' }] }),
    disconnected: new DisconnectedRules({ zones: [], regions: [], vpcs: [] }),
    identity: new Identity({ version: 'two' }),
    defaultRoute: routeNamed('next'),
    routesBeyondLink: new Set(),
    trustAuthenticatedData: true,
    deadlineMs: 5000,
  });
  t.match(rig.now({ name: 'version.bind', type: 'TXT', qclass: CH }), { answers: [{ data: 'two' }] });
  t.match(rig.now({ name: 'x.b.example' }), { rcode: RCODE.REFUSED });
  t.match(await rig.answer({ name: 'x.a.example', ad: true }), {
    ad: true,
    answers: [{ data: '192.0.2.2' }],
  });
  t.equal(
    (await rig.answer({ name: 'kept.example.com' })).answers[0]?.data,
    '192.0.2.1',
    'the cache is kept',
  );
});
