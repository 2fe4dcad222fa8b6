import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import type { ReadReply } from './messages.ts';
import { addresses, ENDPOINT, endpointRecord, Rig, TYPE } from './rig.ts';

const THREE = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
const OTHER = 'eks-cluster.eu-west-1.eks.amazonaws.com';
const REVERSE = '10.1.0.10.in-addr.arpa';

function rigWith(...more: Parameters<typeof endpointRecord>[0][]): Rig {
  return new Rig({ records: [endpointRecord({ addresses: THREE }), ...more.map(endpointRecord)] });
}

/** The reply of the first pass; whatever is asked of an endpoint never waits. */
function at(rig: Rig, query: Parameters<Rig['now']>[0], transport: 'udp' | 'tcp' = 'udp'): ReadReply {
  const reply = rig.now(query, transport);
  if (typeof reply === 'string') throw new Error(`no reply at once: ${reply}`);
  return reply;
}

const order = ({ answers }: ReadReply) => answers.map(({ data }) => data);

t.test('A: NOERROR, AA, RA, every address once', async (t) => {
  const rig = rigWith();
  const reply = at(rig, { name: ENDPOINT });
  t.match(reply, { rcode: RCODE.NOERROR, aa: true, ra: true, tc: false, authorities: [], additionals: [] });
  t.same(order(reply).toSorted(), THREE);
  for (const { owner, type, qclass, ttl } of reply.answers)
    t.same([owner, type, qclass, ttl], [ENDPOINT, 'A', 1, 60]);
});

for (const count of [1, 2, 3, 4, 7]) {
  const all = Array.from({ length: count }, (_, at) => `10.0.0.${at + 1}`);
  const stride = 700;

  t.test(`rotation of ${count}: each address comes first as often as the others`, async (t) => {
    for (const [client, between] of [
      ['that asks for A alone', []],
      ['that asks for A and AAAA in pairs', ['AAAA']],
      ['that asks for A, AAAA and HTTPS', ['AAAA', 'HTTPS']],
    ] as const) {
      const rig = new Rig({ records: [endpointRecord({ addresses: all })] });
      const first = new Map<string, number>();
      for (let turn = 0; turn < stride; turn++) {
        const reply = at(rig, { name: ENDPOINT });
        if (turn < 20) t.same(order(reply).toSorted(), all);
        first.set(order(reply)[0] ?? '', (first.get(order(reply)[0] ?? '') ?? 0) + 1);
        for (const type of between) at(rig, { name: ENDPOINT, type });
      }
      t.equal(first.size, count);
      for (const [address, times] of first)
        t.ok(
          Math.abs(times - stride / count) <= 5,
          `a client ${client}: ${address} ${times} times of ${stride}`,
        );
    }
  });

  t.test(`rotation of ${count}: two endpoints asked in turn rotate both`, async (t) => {
    const other = { endpoint: OTHER, addresses: all };
    const rig = new Rig({ records: [endpointRecord({ addresses: all }), endpointRecord(other)] });
    const firsts = [new Set<string>(), new Set<string>()];
    for (let turn = 0; turn < 100; turn++)
      firsts[turn % 2]?.add(order(at(rig, { name: turn % 2 === 0 ? ENDPOINT : OTHER }))[0] ?? '');
    t.same(
      firsts.map(({ size }) => size),
      [count, count],
    );
  });
}

t.test('three or more addresses: no two answers in a row begin alike', async (t) => {
  const rig = rigWith();
  let before = '';
  for (let turn = 0; turn < 200; turn++) {
    const [first = ''] = order(at(rig, { name: ENDPOINT }));
    if (first === before) t.fail(`${first} first twice at turn ${turn}`);
    before = first;
  }
});

t.test('all dead addresses come last, and live addresses rotate before them', async (t) => {
  const dead = ['10.0.2.10'];
  const rig = new Rig({ records: [endpointRecord({ addresses: [...THREE, '10.0.4.10'], dead })] });
  const firsts = new Set<string>();
  for (let turn = 0; turn < 30; turn++) {
    const found = order(at(rig, { name: ENDPOINT }));
    t.equal(found.at(-1), '10.0.2.10');
    t.equal(found.length, 4);
    firsts.add(found[0] ?? '');
  }
  t.same([...firsts].toSorted(), ['10.0.1.10', '10.0.3.10', '10.0.4.10']);
  rig.publish(endpointRecord({ addresses: THREE, dead: THREE }));
  t.same(order(at(rig, { name: ENDPOINT })).toSorted(), THREE, 'all dead: none is taken away');
});

for (const type of ['AAAA', 'HTTPS', 'SVCB', 'TXT', 'MX', 'CNAME', 'SRV', 'PTR', 'TYPE65280']) {
  t.test(`${type}: NOERROR, AA, RA, no answer, SOA in authority, at once`, async (t) => {
    const reply = at(rigWith(), { name: ENDPOINT, type });
    t.match(reply, { rcode: RCODE.NOERROR, aa: true, ra: true, tc: false, answers: [], additionals: [] });
    t.match(reply.authorities, [{ owner: ENDPOINT, type: 'SOA', ttl: 60, data: / minimum 60$/ }]);
    t.equal(reply.authorities.length, 1);
  });
}

t.test('ANY: one HINFO as RFC 8482', async (t) => {
  for (const name of [ENDPOINT, REVERSE]) {
    const reply = at(rigWith(), { name, type: 'ANY' });
    t.match(reply, {
      rcode: RCODE.NOERROR,
      aa: true,
      answers: [{ owner: name, type: 'HINFO', data: 'RFC8482|' }],
    });
    t.equal(reply.answers.length, 1);
  }
});

for (const name of [
  `api.${ENDPOINT}`,
  `a.b.c.${ENDPOINT}`,
  `_https._tcp.${ENDPOINT}`,
  `x._status.${ENDPOINT}`,
]) {
  for (const type of ['A', 'AAAA', 'TXT', 'ANY']) {
    t.test(`under it, ${name.slice(0, -ENDPOINT.length)} ${type}: NXDOMAIN with SOA`, async (t) => {
      const reply = at(rigWith(), { name, type });
      t.match(reply, { rcode: RCODE.NXDOMAIN, aa: true, ra: true, answers: [], additionals: [] });
      t.match(reply.authorities, [{ owner: ENDPOINT, type: 'SOA', ttl: 60, data: / minimum 60$/ }]);
    });
  }
}

t.test('PTR of a served address: the endpoint name; of two endpoints: both', async (t) => {
  const rig = rigWith({ endpoint: OTHER, addresses: ['10.0.1.10', '192.168.4.4'] });
  const shared = at(rig, { name: REVERSE, type: 'PTR' });
  t.match(shared, { rcode: RCODE.NOERROR, aa: true, ra: true });
  t.same(order(shared).toSorted(), [ENDPOINT, OTHER].toSorted());
  t.same(order(at(rig, { name: '4.4.168.192.in-addr.arpa', type: 'PTR' })), [OTHER]);
});

t.test('reverse names: another type is NODATA, an address that is not served is not ours', async (t) => {
  const rig = rigWith();
  t.match(at(rig, { name: REVERSE, type: 'A' }), { rcode: RCODE.NOERROR, aa: true, answers: [] });
  t.match(at(rig, { name: '11.1.0.10.in-addr.arpa', type: 'PTR' }), { rcode: RCODE.NXDOMAIN, answers: [] });
  t.equal(rig.now({ name: '1.0.88.198.in-addr.arpa', type: 'PTR' }), 'pending');
  rig.publish(endpointRecord({ addresses: ['10.0.9.9'] }));
  t.match(
    at(rig, { name: REVERSE, type: 'PTR' }),
    { rcode: RCODE.NXDOMAIN },
    'no longer served: no longer named',
  );
});

t.test('above a reverse name: never denied here, and otherwise left to the server of the zone', async (t) => {
  const records = [endpointRecord({ addresses: ['10.0.1.10', '192.168.4.4'] })];
  const forwarded = { name: '10.in-addr.arpa', forwardTo: 'site' };
  const denied = { name: '10.in-addr.arpa', answer: 'nxdomain' } as const;
  for (const name of ['1.0.10.in-addr.arpa', '0.10.in-addr.arpa']) {
    for (const rules of [[], [denied]]) {
      const reply = at(new Rig({ records, rules }), { name, type: 'SOA' });
      t.match(reply, { rcode: RCODE.NOERROR, answers: [], authorities: [{ owner: name }] }, name);
    }
    t.equal(
      new Rig({ records, rules: [forwarded] }).now({ name, type: 'SOA' }),
      'pending',
      `${name} by rule`,
    );
  }
  const apex = '168.192.in-addr.arpa';
  t.match(at(new Rig({ records }), { name: apex, type: 'NS' }).answers, [{ owner: apex, type: 'NS' }]);
  t.equal(new Rig({ records }).now({ name: apex, type: 'DS' }), 'pending', 'RFC 6303 section 7');
});

t.test('_status TXT: short strings, asked in any case; other types there are NODATA', async (t) => {
  const rig = rigWith();
  const name = `_STATUS.${ENDPOINT}`;
  const reply = at(rig, { name, type: 'TXT' });
  t.match(reply, { rcode: RCODE.NOERROR, aa: true, ra: true });
  t.match(reply.answers, [{ type: 'TXT', data: 'link=disconnected for 3m|addresses=3' }]);
  t.ok((reply.answers[0]?.ttl ?? 0) > 0);
  t.match(at(rig, { name, type: 'ANY' }).answers, reply.answers, 'RFC 8482 section 4.1');
  t.match(at(rig, { name, type: 'A' }), { rcode: RCODE.NOERROR, aa: true, answers: [] });
});

t.test('_status TXT: composed once a second for each endpoint, whatever the number of queries', async (t) => {
  const endpoints = ['one', 'two'].map((label) => `${label}.gr7.us-west-2.eks.amazonaws.com`);
  const records = endpoints.map((endpoint) => endpointRecord({ endpoint }));
  const rig = new Rig({ records });
  for (let second = 1; second <= 3; second++) {
    for (let i = 0; i < 1000; i++)
      rig.now({ name: `_status.${endpoints[i % 2]}`, type: 'TXT' }, i % 3 === 0 ? 'tcp' : 'udp');
    t.equal(rig.statusTexts, second * 2);
    await rig.time.advance(1000);
  }
});

t.test('not known yet: SERVFAIL with extended error 14 for every type, and _status says why', async (t) => {
  const rig = new Rig({ records: [endpointRecord({ addresses: [] })] });
  for (const type of ['A', 'AAAA', 'HTTPS', 'ANY', 'TXT']) {
    const reply = at(rig, { name: ENDPOINT, type, edns: {} });
    t.match(
      reply,
      { rcode: RCODE.SERVFAIL, ede: 14, ra: true, aa: false, answers: [], authorities: [] },
      type,
    );
  }
  t.match(at(rig, { name: `_status.${ENDPOINT}`, type: 'TXT' }).answers, [{ data: /addresses=0/ }]);
});

t.test('AXFR and IXFR: REFUSED with extended error 18, over TCP as well', async (t) => {
  for (const type of ['AXFR', 'IXFR'])
    for (const name of [ENDPOINT, `api.${ENDPOINT}`])
      t.match(at(rigWith(), { name, type, edns: {} }, 'tcp'), { rcode: RCODE.REFUSED, ede: 18, answers: [] });
});

t.test("never forwarded, whatever the state or the case, except for DS, which is the parent's", async (t) => {
  for (const records of [[endpointRecord({ addresses: THREE })], [endpointRecord({ addresses: [] })]]) {
    const rig = new Rig({ records });
    for (let type = 0; type < 0x1_0000; type += type < 300 ? 1 : 37) {
      const isForwarded = rig.now({ name: ENDPOINT.toUpperCase(), type }) === 'pending';
      if (isForwarded !== (type === TYPE.DS)) t.fail(`type ${type} is forwarded: ${isForwarded}`);
      if (type < 300 && rig.now({ name: `x.${ENDPOINT}`, type }) === 'pending')
        t.fail(`type ${type} below it`);
    }
    t.same(rig.asked, []);
  }
});

t.test('every answer repeats the case of the question, and the name is found in any case', async (t) => {
  const rig = rigWith();
  for (const name of [ENDPOINT.toUpperCase(), '5E9d0f3C.gR7.Us-wEsT-2.ekS.aMazonAws.coM']) {
    const reply = at(rig, { name });
    t.equal(reply.question.subarray(1, 9).toString(), name.slice(0, 8));
    t.equal(reply.answers[0]?.owner, name, 'the owner is the question, by pointer');
    t.equal(reply.answers.length, 3);
  }
});

t.test('the TTL is the record’s, in the answer and in the SOA', async (t) => {
  const rig = new Rig();
  for (const ttlSeconds of [5, 30, 60]) {
    rig.publish(endpointRecord({ addresses: THREE, ttlSeconds }));
    t.same(
      at(rig, { name: ENDPOINT }).answers.map(({ ttl }) => ttl),
      [ttlSeconds, ttlSeconds, ttlSeconds],
    );
    t.equal(at(rig, { name: ENDPOINT, type: 'AAAA' }).authorities[0]?.ttl, ttlSeconds);
  }
});

t.test('fits 512 octets without EDNS if the addresses allow it, and is cut only above that', async (t) => {
  const base = 12 + ENDPOINT.length + 2 + 4;
  const most = Math.floor((512 - base) / 16);
  for (const count of [1, 12, most - 1, most, most + 1, most + 30]) {
    const all = Array.from({ length: count }, (_, at) => `10.0.${at >> 8}.${at & 255}`);
    const rig = new Rig({ records: [endpointRecord({ addresses: all })] });
    const reply = at(rig, { name: ENDPOINT });
    t.match(reply, { tc: count > most, aa: true, rcode: RCODE.NOERROR }, `${count} addresses`);
    t.equal(reply.answers.length, count > most ? 0 : count);
    t.equal(at(rig, { name: ENDPOINT, edns: {} }).answers.length, count, 'with EDNS all of them');
    t.equal(at(rig, { name: ENDPOINT }, 'tcp').answers.length, count, 'over TCP all of them');
  }
});

t.test('wins over the operator’s rule, an upstream and the cache', async (t) => {
  const rig = new Rig({
    records: [],
    rules: [
      { name: 'amazonaws.com', answer: 'nxdomain' },
      { name: ENDPOINT, forwardTo: 'elsewhere' },
      { name: 'in-addr.arpa', answer: 'refused' },
    ],
  });
  rig.says = (question) => addresses(question, ['192.0.2.1']);
  const before = await rig.answer({ name: ENDPOINT });
  t.same(order(before), ['192.0.2.1'], 'no endpoint yet: forwarded by the rule, and cached');
  rig.publish(endpointRecord({ addresses: THREE }));
  t.same(order(at(rig, { name: ENDPOINT })).toSorted(), THREE);
  t.match(at(rig, { name: REVERSE, type: 'PTR' }), { rcode: RCODE.NOERROR, answers: [{ data: ENDPOINT }] });
});

t.test('RD=0, CD and every upstream down change nothing', async (t) => {
  const rig = rigWith();
  rig.down.add('default');
  for (const query of [{ rd: false }, { cd: true }, { rd: false, cd: true, edns: { dnssecOk: true } }])
    t.match(at(rig, { name: ENDPOINT, ...query }), {
      rcode: RCODE.NOERROR,
      aa: true,
      answers: { length: 3 },
    });
  t.same(rig.asked, []);
});

t.test('a record without an endpoint name is not served and harms no other name', async (t) => {
  const { endpoint: _, ...nameless } = endpointRecord({ addresses: THREE });
  const rig = new Rig({ records: [nameless] });
  t.equal(rig.now({ name: ENDPOINT }), 'pending');
  t.match(at(rig, { name: 'localhost' }), { rcode: RCODE.NOERROR });
});
