import t, { type Test } from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import type { ClientTransport } from '../../../src/serving/turn.ts';
import { type QueryText, queryOf, type ReadReply, wireName } from './messages.ts';
import { addresses, denial, ENDPOINT, endpointRecord, Rig } from './rig.ts';

/** One way to each kind of reply, and the rules that hold for it whatever the client. */
interface Way {
  readonly reply: string;
  readonly query: QueryText;
  readonly rcode: number;
  /** Our own data. */
  readonly aa?: boolean;
  readonly ede?: number;
  /** Brings the rig into the state for it. */
  readonly prepare?: (rig: Rig, query: QueryText) => unknown;
}

const WWW = { name: 'www.Example.com' };
const { FORMERR, NOERROR, NXDOMAIN, REFUSED, SERVFAIL } = RCODE;

const upstreamSays = (say: Rig['says']) => (rig: Rig) => {
  rig.says = say;
};

async function cached(rig: Rig, query: QueryText): Promise<void> {
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60);
  await rig.answer({ ...query, rd: true });
}

async function stale(rig: Rig, query: QueryText): Promise<void> {
  await cached(rig, query);
  await rig.time.advance(3_600_000);
  rig.down.add('default');
}

const WAYS: readonly Way[] = [
  { reply: 'endpoint A', query: { name: ENDPOINT }, rcode: NOERROR, aa: true },
  { reply: 'endpoint NODATA', query: { name: ENDPOINT, type: 'AAAA' }, rcode: NOERROR, aa: true },
  { reply: 'endpoint ANY', query: { name: ENDPOINT, type: 'ANY' }, rcode: NOERROR, aa: true },
  { reply: 'under an endpoint', query: { name: `Nope.${ENDPOINT}` }, rcode: NXDOMAIN, aa: true },
  { reply: 'status', query: { name: `_Status.${ENDPOINT}`, type: 'TXT' }, rcode: NOERROR, aa: true },
  { reply: 'reverse', query: { name: '1.0.0.10.In-Addr.arpa', type: 'PTR' }, rcode: NOERROR, aa: true },
  { reply: 'transfer', query: { name: ENDPOINT, type: 'AXFR' }, rcode: REFUSED, ede: 18 },
  { reply: 'not ready', query: { name: 'new.eks.example' }, rcode: SERVFAIL, ede: 14 },
  { reply: 'localhost', query: { name: 'LocalHost' }, rcode: NOERROR, aa: true },
  { reply: 'special NXDOMAIN', query: { name: 'Printer.local' }, rcode: NXDOMAIN, aa: true },
  { reply: 'static record', query: { name: 'Www.own.example' }, rcode: NOERROR, aa: true },
  { reply: 'static NODATA', query: { name: 'www.own.example', type: 'MX' }, rcode: NOERROR, aa: true },
  { reply: 'rule nxdomain', query: { name: 'a.gone.example' }, rcode: NXDOMAIN, aa: true },
  { reply: 'rule servfail', query: { name: 'a.failing.example' }, rcode: SERVFAIL, ede: 15 },
  { reply: 'rule refused', query: { name: 'a.refused.example' }, rcode: REFUSED, ede: 15 },
  { reply: 'class CH', query: { name: 'Version.bind', type: 'TXT', qclass: 3 }, rcode: NOERROR, aa: true },
  { reply: 'class HS', query: { name: 'www.example.com', qclass: 4 }, rcode: REFUSED },
  { reply: 'meta type', query: { name: 'www.example.com', type: 'IXFR' }, rcode: REFUSED, ede: 18 },
  { reply: 'NXNAME, RFC 9824', query: { name: 'www.example.com', type: 'NXNAME' }, rcode: FORMERR, ede: 30 },
  { reply: 'RD=0, nothing kept', query: { ...WWW, rd: false }, rcode: REFUSED },
  { reply: 'cached', query: WWW, rcode: NOERROR, prepare: cached },
  { reply: 'cached, RD=0', query: { ...WWW, rd: false }, rcode: NOERROR, prepare: cached },
  { reply: 'stale', query: WWW, rcode: NOERROR, ede: 3, prepare: stale },
  { reply: 'stale, RD=0', query: { ...WWW, rd: false }, rcode: NOERROR, ede: 3, prepare: stale },
  {
    reply: 'cached failure',
    query: WWW,
    rcode: SERVFAIL,
    prepare: (rig, query) => rig.answer(query),
  },
  {
    reply: 'forwarded',
    query: WWW,
    rcode: NOERROR,
    prepare: upstreamSays((q) => addresses(q, ['192.0.2.1'])),
  },
  {
    reply: 'forwarded NXDOMAIN',
    query: WWW,
    rcode: NXDOMAIN,
    prepare: upstreamSays((q) => denial(q, NXDOMAIN)),
  },
  { reply: 'forwarded NODATA', query: WWW, rcode: NOERROR, prepare: upstreamSays((q) => denial(q, NOERROR)) },
  {
    reply: 'upstream SERVFAIL',
    query: WWW,
    rcode: SERVFAIL,
    prepare: upstreamSays((q) => denial(q, SERVFAIL)),
  },
  {
    reply: 'upstream REFUSED',
    query: WWW,
    rcode: SERVFAIL,
    prepare: upstreamSays((q) => denial(q, REFUSED)),
  },
  { reply: 'upstream silent', query: WWW, rcode: SERVFAIL, ede: 22, prepare: upstreamSays(() => undefined) },
  {
    reply: 'upstream unreachable',
    query: WWW,
    rcode: SERVFAIL,
    ede: 23,
    prepare: upstreamSays(() => ({ extendedError: 23 })),
  },
  {
    reply: 'loop',
    query: WWW,
    rcode: SERVFAIL,
    prepare: (rig) => {
      rig.ownQuestion = 'www.example.com A';
    },
  },
];

const FORMS: readonly (readonly [form: string, query: Partial<QueryText>])[] = [
  ['without EDNS', {}],
  ['with EDNS', { edns: {} }],
  ['with EDNS of 512', { edns: { size: 512 } }],
  ['with DO', { edns: { dnssecOk: true, size: 4096 } }],
  ['with CD', { cd: true }],
  ['with AD and an unknown option', { ad: true, edns: { options: [0xff, 0xf0, 0, 2, 1, 2] } }],
  [
    'with a cookie, an ECS and a padding',
    { edns: { options: [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 8, 0, 4, 0, 1, 0, 0, 0, 12, 0, 1, 0] } },
  ],
];

function newRig(): Rig {
  return new Rig({
    records: [
      endpointRecord({ addresses: ['10.0.0.1', '10.0.0.2'] }),
      endpointRecord({ endpoint: 'new.eks.example' }),
    ],
    identity: { version: 'outpost-dns' },
    rules: [
      {
        name: 'own.example',
        records: [{ owner: 'www.own.example', ttlSeconds: 60, type: 'A', address: '10.9.9.9' }],
      },
      { name: 'gone.example', answer: 'nxdomain' },
      { name: 'failing.example', answer: 'servfail' },
      { name: 'refused.example', answer: 'refused' },
    ],
  });
}

/** The rules for every reply, checked against the query in octets. */
function invariants(t: Test, reply: ReadReply, query: QueryText, transport: ClientTransport): void {
  const { rd = true, cd = false, edns, id = 0x2b67 } = query;
  t.equal(reply.id, id, 'the ID is the query’s');
  t.match(reply, { qr: true, opcode: 0, ra: true, z: false, ad: false }, 'QR and RA set; Z and AD clear');
  t.match(reply, { rd, cd }, 'RD and CD copied');
  t.same(
    reply.question,
    queryOf(query).subarray(12, 12 + wireName(query.name).length + 4),
    'question echoed octet for octet',
  );
  t.equal(reply.opt !== undefined, edns !== undefined, 'OPT exactly when the query had one');
  if (edns !== undefined) {
    const dnssecOk = edns.dnssecOk ?? false;
    t.match(reply.opt, { version: 0, size: 1232, dnssecOk, rest: 0 }, 'version 0, our size, DO copied');
  }
  const limit = transport === 'tcp' ? 65_535 : Math.min(edns?.size ?? 512, 1232);
  t.ok(reply.octets.length <= limit, `within ${limit} octets`);
}

for (const way of WAYS) {
  t.test(`${way.reply}: every rule holds in every form of the query`, async (t) => {
    for (const transport of ['udp', 'tcp'] as const) {
      for (const [form, more] of FORMS) {
        const rig = newRig();
        const query: QueryText = { ...way.query, ...more };
        await way.prepare?.(rig, query);
        const reply = await rig.answer(query, { withinMs: 6000, transport });
        t.comment(`${form} over ${transport}`);
        invariants(t, reply, query, transport);
        t.equal(reply.rcode, way.rcode);
        t.equal(reply.aa, way.aa ?? false, 'AA for our own data alone');
        t.equal(reply.tc, false);
        t.equal(reply.ede, query.edns === undefined ? undefined : way.ede, 'extended error');
      }
    }
  });
}

t.test('an ID of any value comes back', async (t) => {
  const rig = newRig();
  for (const id of [0, 1, 0x7fff, 0x8000, 0xffff]) t.match(rig.now({ name: ENDPOINT, id }), { id }, `${id}`);
});

t.test('BADVERS for every EDNS version above 0, with our own version and the question', async (t) => {
  const rig = newRig();
  for (const version of [1, 2, 100, 255]) {
    const query = { name: ENDPOINT, edns: { version, dnssecOk: true } };
    const reply = await rig.answer(query);
    invariants(t, reply, query, 'udp');
    t.match(reply, { rcode: RCODE.BADVERS, answers: [], ede: undefined }, `version ${version}`);
  }
});

t.test('AD is passed on only where the operator trusts the upstream and the client can use it', async (t) => {
  const AD = 0x0020;
  for (const [trust, upstreamSaysAd, query, passed] of [
    [false, true, { ad: true }, false],
    [false, true, { edns: { dnssecOk: true } }, false],
    [true, true, {}, false],
    [true, true, { ad: true }, true],
    [true, true, { edns: { dnssecOk: true } }, true],
    [true, false, { ad: true }, false],
  ] as const) {
    const rig = new Rig({ trustAuthenticatedData: trust });
    rig.says = (question) => addresses(question, ['192.0.2.1'], 60, upstreamSaysAd ? 0x8180 | AD : 0x8180);
    const what = `trust ${trust}, upstream AD ${upstreamSaysAd}, query ${JSON.stringify(query)}`;
    t.equal((await rig.answer({ ...WWW, ...query })).ad, passed, `${what}: forwarded`);
    t.equal((await rig.answer({ ...WWW, ...query })).ad, passed, `${what}: cached`);
    t.equal(rig.asked.length, 1);
  }
});

t.test('AA and other flags of the upstream do not come through', async (t) => {
  const rig = newRig();
  rig.says = (question) => addresses(question, ['192.0.2.1'], 60, 0x8180 | 0x0400 | 0x0040 | 0x0010);
  for (const what of ['forwarded', 'cached'])
    t.match(await rig.answer(WWW), { aa: false, z: false, cd: false, ra: true, rd: true }, what);
});
