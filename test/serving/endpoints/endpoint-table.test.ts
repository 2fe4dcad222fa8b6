import { Packet } from 'dns2';
import t from 'tap';
import { parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { writeLocalReply } from '../../../src/protocol/wire/reply.ts';
import type { EndpointRecord } from '../../../src/records/endpoint-record.ts';
import {
  composeStatusAnswer,
  EndpointTable,
  ServingTable,
} from '../../../src/serving/endpoints/endpoint-table.ts';
import { message } from '../../helpers/zone-text.ts';

const endpoint = '0123456789abcdef0123456789abcdef.gr7.us-west-2.eks.amazonaws.com';

function record(addresses: readonly string[], more: Partial<EndpointRecord> = {}): EndpointRecord {
  return {
    cluster: 'demo',
    endpoint,
    addresses: addresses.map((address) => ({ address, provenance: {} })),
    ttlSeconds: 60,
    basis: 'name',
    confirmedAtMs: {},
    lastRefreshFailed: false,
    ...more,
  };
}

function asked(name: string, type: string): Query {
  const octets = message({ flags: 0x0100, question: [name, type] });
  const query = new Query();
  parseQuery(query, octets, 0, octets.length);
  return query;
}

function answered(table: EndpointTable, name: string, type: string, turn = 0) {
  const query = asked(name, type);
  const finding = table.find(query);
  if (finding?.kind !== 'answer' && finding?.kind !== 'above') return finding?.kind;
  const reply = new Uint8Array(512);
  return Packet.parse(
    Buffer.from(reply.subarray(0, writeLocalReply(query, finding.answer, turn, 512, reply, 0))),
  );
}

t.test('each kind of name and type at an endpoint, row by row', async (t) => {
  const table = new EndpointTable([record(['10.0.1.10', '10.0.2.10', '10.0.3.10'])]);
  const soa = [{ type: 6, name: endpoint, minimum: 60 }];
  for (const [name, type, header, sections] of [
    [
      endpoint,
      'A',
      { rcode: 0, aa: 1, ra: 1 },
      {
        answers: ['10.0.1.10', '10.0.2.10', '10.0.3.10'].map((address) => ({
          name: endpoint,
          address,
          ttl: 60,
        })),
        authorities: [],
      },
    ],
    [endpoint, 'AAAA', { rcode: 0, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [endpoint, 'HTTPS', { rcode: 0, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [endpoint, 'SOA', { rcode: 0, aa: 1, ra: 1 }, { answers: soa, authorities: [] }],
    [endpoint, 'NS', { rcode: 0, aa: 1, ra: 1 }, { answers: [{ type: 2, ns: endpoint }], authorities: [] }],
    [endpoint, 'TYPE65280', { rcode: 0, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [endpoint, 'ANY', { rcode: 0, aa: 1, ra: 1 }, { answers: [{ type: 13 }], authorities: [] }],
    [`x.${endpoint}`, 'A', { rcode: 3, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [`x.y.${endpoint}`, 'TXT', { rcode: 3, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [`x._status.${endpoint}`, 'TXT', { rcode: 3, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [`_status.${endpoint}`, 'A', { rcode: 0, aa: 1, ra: 1 }, { answers: [], authorities: soa }],
    [
      '10.1.0.10.in-addr.arpa',
      'PTR',
      { rcode: 0, aa: 1 },
      { answers: [{ domain: endpoint }], authorities: [] },
    ],
    ['10.1.0.10.in-addr.arpa', 'A', { rcode: 0, aa: 1 }, { answers: [], authorities: [{ type: 6 }] }],
  ] as const) {
    t.match(answered(table, name, type), { header, ...sections }, `${name} ${type}`);
  }
});

t.test('names that are not ours are not found', async (t) => {
  const table = new EndpointTable([record(['10.0.1.10'])]);
  for (const name of [
    'gr7.us-west-2.eks.amazonaws.com',
    'amazonaws.com',
    '11.1.0.10.in-addr.arpa',
    `x${endpoint}`,
    '.',
  ]) {
    t.equal(answered(table, name, 'A'), undefined, name);
  }
});

t.test('an endpoint without any address ever known is not ready, whatever the type', async (t) => {
  const table = new EndpointTable([record([])]);
  t.equal(answered(table, endpoint, 'A'), 'not-ready');
  t.equal(answered(table, endpoint, 'AAAA'), 'not-ready');
  t.equal(answered(table, `_status.${endpoint}`, 'TXT'), 'status', 'its status can be read all the same');
});

t.test('dead addresses come last in every rotation', async (t) => {
  const table = new EndpointTable([
    record([], {
      addresses: [
        { address: '10.0.0.1', provenance: {}, isLast: true },
        { address: '10.0.0.2', provenance: {} },
        { address: '10.0.0.3', provenance: {} },
      ],
    }),
  ]);
  const firsts = [0, 1, 2, 3].map((turn) => {
    const packet = answered(table, endpoint, 'A', turn);
    if (typeof packet !== 'object') throw new Error('no answer');
    t.equal(packet.answers[2]?.address, '10.0.0.1');
    return packet.answers[0]?.address;
  });
  t.strictSame(firsts, ['10.0.0.2', '10.0.0.3', '10.0.0.2', '10.0.0.3']);
});

t.test('two clusters stay apart, and the reverse name of a shared address names both', async (t) => {
  const other = 'other.eks.amazonaws.com';
  const table = new EndpointTable([
    record(['10.0.1.10']),
    record(['10.0.1.10'], { cluster: 'two', endpoint: other }),
  ]);
  t.match(answered(table, '10.1.0.10.in-addr.arpa', 'PTR'), {
    answers: [{ domain: endpoint }, { domain: other }],
  });
  t.match(answered(table, other, 'A'), { answers: [{ name: other }] });
});

t.test('a set of 26 addresses fits 512 octets (musl 1.2.3 has no TCP)', async (t) => {
  const addresses = Array.from({ length: 26 }, (_, i) => `10.0.0.${i + 1}`);
  t.match(answered(new EndpointTable([record(addresses)]), endpoint, 'A'), {
    header: { tc: 0 },
    answers: { length: 26 },
  });
});

t.test('the status text is a TXT at its own name', async (t) => {
  const query = asked(`_status.${endpoint}`, 'TXT');
  const reply = new Uint8Array(512);
  const length = writeLocalReply(
    query,
    composeStatusAnswer(endpoint, ['link=connected', 'age=3s']),
    0,
    512,
    reply,
    0,
  );
  t.match(Packet.parse(Buffer.from(reply.subarray(0, length))), {
    answers: [{ data: ['link=connected', 'age=3s'] }],
  });
});

t.test('publishing swaps the whole table: a reader of the old table keeps it whole', async (t) => {
  const serving = new ServingTable();
  t.equal(serving.current.records.length, 0);
  const first = new EndpointTable([record(['10.0.1.10'])]);
  serving.publish(first);
  const held = serving.current;
  serving.publish(new EndpointTable([record(['10.0.1.11'])]));
  t.equal(held, first);
  t.match(answered(held, endpoint, 'A'), { answers: [{ address: '10.0.1.10' }] });
  t.match(answered(serving.current, endpoint, 'A'), { answers: [{ address: '10.0.1.11' }] });
});

t.test('of two clusters with one endpoint the cluster with addresses answers, in either order', async (t) => {
  const empty = record([], { cluster: 'other' });
  for (const records of [
    [record(['10.0.1.10']), empty],
    [empty, record(['10.0.1.10'])],
    [record(['10.0.1.10']), record(['10.0.9.9'], { cluster: 'other' })],
  ]) {
    t.match(answered(new EndpointTable(records), endpoint, 'A'), { answers: [{ address: '10.0.1.10' }] });
  }
});

t.test('the longest name there is has its answers, and no room for its status', async (t) => {
  const longest = ['a'.repeat(63), 'b'.repeat(63), 'c'.repeat(63), 'd'.repeat(61)].join('.');
  const table = new EndpointTable([record(['10.0.1.10'], { endpoint: longest }), record(['10.0.2.10'])]);
  t.match(answered(table, longest, 'A'), { answers: [{ address: '10.0.1.10' }] });
  t.match(answered(table, longest, 'AAAA'), { header: { rcode: 0 } });
  t.match(answered(table, endpoint, 'A'), { answers: [{ address: '10.0.2.10' }] });
});

t.test('names above a reverse name exist without records (RFC 8020)', async (t) => {
  const table = new EndpointTable([record(['10.0.1.10'])]);
  for (const name of ['1.0.10.in-addr.arpa', '0.10.in-addr.arpa']) {
    t.match(
      answered(table, name, 'NS'),
      { header: { rcode: 0 }, answers: [], authorities: [{ type: 6 }] },
      name,
    );
  }
  t.equal(
    answered(table, '10.in-addr.arpa', 'NS'),
    undefined,
    'the apex of the empty zone has answers of its own',
  );
});

t.test(
  "a name that the cluster had before is answered as ever, unless it is another cluster's now",
  async (t) => {
    const former = 'before.eks.amazonaws.com';
    const renamed = record(['10.0.1.10'], { formerEndpoints: [former] });
    t.match(answered(new EndpointTable([renamed]), former, 'A'), {
      header: { rcode: 0, aa: 1 },
      answers: [{ name: former, address: '10.0.1.10' }],
    });
    const other = record(['10.0.9.9'], { cluster: 'other', endpoint: former });
    t.match(answered(new EndpointTable([renamed, other]), former, 'A'), {
      answers: [{ address: '10.0.9.9' }],
    });
  },
);

t.test('the operator’s name and the name from AWS are both answered', async (t) => {
  const real = { endpoint: 'real.eks.amazonaws.com', subnetIds: [], learnedAtMs: 0 };
  const given = 'given.example';
  const table = new EndpointTable([record(['10.0.1.10'], { endpoint: given, details: real })]);
  for (const name of [given, real.endpoint]) {
    t.match(answered(table, name, 'A'), { header: { aa: 1 }, answers: [{ name, address: '10.0.1.10' }] });
  }
  const owner = record(['10.0.9.9'], {
    cluster: 'other',
    endpoint: given,
    details: { ...real, endpoint: given },
  });
  const wrong = record(['10.0.1.10'], { endpoint: given, details: real });
  t.match(
    answered(new EndpointTable([wrong, owner]), given, 'A'),
    { answers: [{ address: '10.0.9.9' }] },
    'a name copied from another cluster takes nothing from that cluster',
  );
});

t.test('above a public address nothing is ours: those zones are forwarded', async (t) => {
  const table = new EndpointTable([record(['34.223.5.9'], { endpoint: 'api.example' })]);
  t.match(answered(table, '9.5.223.34.in-addr.arpa', 'PTR'), { answers: [{ domain: 'api.example' }] });
  for (const name of ['5.223.34.in-addr.arpa', '223.34.in-addr.arpa']) {
    t.equal(answered(table, name, 'SOA'), undefined, name);
  }
});

t.test(
  'a confirmation takes over the whole table; a change of one cluster composes only that cluster',
  async (t) => {
    const names = Array.from({ length: 100 }, (_, at) => `c${at}.gr7.us-west-2.eks.amazonaws.com`);
    const records = (of: (at: number) => Partial<EndpointRecord>) =>
      names.map((name, at) => record([`10.0.${at}.1`], { cluster: `c${at}`, endpoint: name, ...of(at) }));
    const first = new EndpointTable(records(() => ({})));
    const confirmed = records(() => ({ confirmedAtMs: { dns: 77 } }));
    const second = new EndpointTable(confirmed, first);
    t.equal(second.records, confirmed, 'what the status reads is new');
    const changed = records((at) => (at === 7 ? { changedAtMs: 9, ttlSeconds: 30 } : {}));
    const third = new EndpointTable(changed, second);
    const a = (table: EndpointTable, name: string) => {
      const found = table.find(asked(name, 'A'));
      return found?.kind === 'answer' ? found.answer : undefined;
    };
    for (const [at, name] of names.entries()) {
      t.ok(a(first, name) !== undefined && a(second, name) === a(first, name), name);
      t.equal(a(third, name) === a(second, name), at !== 7, name);
    }
    t.match(answered(third, names[7] ?? '', 'A'), { answers: [{ ttl: 30 }] });
    const dead = records((at) => (at === 3 ? { addresses: [{ address: '10.9.9.9', provenance: {} }] } : {}));
    const moved = new EndpointTable(dead, third);
    t.match(answered(moved, names[3] ?? '', 'A'), { answers: [{ address: '10.9.9.9' }] });
    t.equal(
      new EndpointTable(records(() => ({})).slice(1), third).find(asked(names[0]!, 'A')),
      undefined,
      'a cluster goes',
    );
  },
);

t.test('a table with an address that no endpoint can have is not built', async (t) => {
  for (const address of ['fd00::10', '10.0.1', 'eth0']) {
    t.throws(() => new EndpointTable([record(['10.0.1.10', address])]), {
      message: `no address of an endpoint: "${address}" of "${endpoint}"`,
    });
  }
});
