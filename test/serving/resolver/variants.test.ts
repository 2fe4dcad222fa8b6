/** What is kept of a question that was asked with another DO or CD than now (RFC 4035 sections 3.2.1 and 3.2.2). */
import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { message, rawRecord, soaData } from '../../helpers/zone-text.ts';
import type { QueryText, ReadReply } from './messages.ts';
import { Rig, type RigOptions } from './rig.ts';

const AD = 0x0020;
const signature = [...new Array<number>(18).fill(1), 7, ...Buffer.from('example'), 0, 1, 2, 3];

interface Variant {
  readonly dnssecOk?: boolean;
  readonly cd?: boolean;
}

const VARIANTS: readonly Variant[] = [{}, { dnssecOk: true }, { cd: true }, { dnssecOk: true, cd: true }];

function query({ dnssecOk = false, cd = false }: Variant, name = 'www.example', more = {}): QueryText {
  return { name, cd, ...(dnssecOk ? { edns: { dnssecOk } } : {}), ...more };
}

/** An upstream that signs with DO, as a resolver in front of a signed zone does. */
function signing(
  rig: Rig,
  kind: 'positive' | 'nodata' | 'nxdomain',
  flags = 0,
  address = [10, 0, 0, 1],
): void {
  rig.says = (text) => {
    const [name = '', type = ''] = text.split(' ');
    const signed = rig.asked.at(-1)?.dnssecOk === true ? [rawRecord(name, 'RRSIG', 300, signature)] : [];
    if (kind === 'positive') {
      const answers = [rawRecord(name, 'A', 300, address), ...signed];
      return message({ flags: 0x8180 | flags, question: [name, type], answers });
    }
    const soa = rawRecord('example', 'SOA', 300, soaData(300));
    const nsec = signed.length > 0 ? [rawRecord(name, 'NSEC', 300, [0, 0, 1, 0x40])] : [];
    const rcode = kind === 'nxdomain' ? RCODE.NXDOMAIN : RCODE.NOERROR;
    const authorities = [...nsec, ...signed, soa];
    return message({ flags: 0x8180 | flags | rcode, question: [name, type], authorities });
  };
}

async function kept(
  kind: 'positive' | 'nodata' | 'nxdomain',
  variant: Variant,
  options: RigOptions = {},
  flags = 0,
) {
  const rig = new Rig(options);
  signing(rig, kind, flags);
  await rig.answer(query(variant));
  rig.says = () => ({ extendedError: 22 });
  return rig;
}

const types = (reply: ReadReply) => [...reply.answers, ...reply.authorities].map(({ type }) => type).sort();

/** What the reply must say; the records of DNSSEC are there only for a query with DO from an answer to such a query. */
function expected(kind: 'positive' | 'nodata' | 'nxdomain', isSigned: boolean): readonly string[] {
  if (kind === 'positive') return isSigned ? ['A', 'RRSIG'] : ['A'];
  return isSigned ? ['NSEC', 'RRSIG', 'SOA'] : ['SOA'];
}

for (const kind of ['positive', 'nodata', 'nxdomain'] as const) {
  t.test(`in a cut a ${kind} answer reaches every DO and CD, fresh and stale`, async (t) => {
    for (const stored of VARIANTS) {
      for (const asked of VARIANTS) {
        const rig = await kept(kind, stored);
        rig.down.add('default');
        for (const [when, ede] of [
          ['fresh', undefined],
          ['stale', kind === 'nxdomain' ? 19 : 3],
        ] as const) {
          const what = `${JSON.stringify(stored)} for ${JSON.stringify(asked)}, ${when}`;
          const reply = rig.now(query(asked, 'www.example', { edns: { dnssecOk: asked.dnssecOk ?? false } }));
          if (typeof reply === 'string') throw new Error(`${what}: ${reply}`);
          const isSigned = (stored.dnssecOk && asked.dnssecOk) ?? false;
          t.strictSame(types(reply), expected(kind, isSigned), what);
          t.match(reply, {
            rcode: kind === 'nxdomain' ? RCODE.NXDOMAIN : RCODE.NOERROR,
            ede,
            ad: false,
            cd: asked.cd ?? false,
            opt: { dnssecOk: asked.dnssecOk ?? false },
          });
          await rig.time.advance(400_000);
        }
      }
    }
  });
}

t.test(
  'a failure that is remembered in between hides no answer, whatever DO and CD the question has',
  async (t) => {
    for (const stored of VARIANTS) {
      for (const asked of VARIANTS) {
        const rig = await kept('positive', stored);
        await rig.time.advance(400_000);
        const isGiven = !(stored.cd && !asked.cd);
        const what = `${JSON.stringify(stored)} for ${JSON.stringify(asked)}`;
        const first = await rig.answer(query(asked), { withinMs: 6_000 });
        t.match(
          first.rcode,
          isGiven ? RCODE.NOERROR : RCODE.SERVFAIL,
          `${what}: connected, the upstream fails`,
        );
        const asks = rig.asked.length;
        await rig.time.advance(20_000);
        if (isGiven) {
          t.match(rig.now(query(asked)), { answers: [{ data: '10.0.0.1' }] }, `${what}: at once, 20 s later`);
          t.equal(rig.asked.length, asks, 'nobody is asked for 30 s (RFC 8767 section 5)');
        }
        await rig.answer(query(asked), { withinMs: 6_000 });
        rig.down.add('default');
        t.match(rig.now(query(asked)), { answers: [{ data: '10.0.0.1' }] }, `${what}: in the cut`);
      }
    }
  },
);

t.test('connected: another variant is the stale answer after 1.8 s, and is not given before', async (t) => {
  const rig = await kept('positive', { dnssecOk: true });
  rig.says = () => undefined;
  const asking = rig.timed(query({}));
  await rig.time.advance(6_000);
  t.match(await asking, { reply: { answers: [{ data: '10.0.0.1' }], ede: undefined }, afterMs: 1800 });
});

t.test('connected: fresh answers stay apart', async (t) => {
  const rig = await kept('positive', { dnssecOk: true });
  signing(rig, 'positive', 0, [10, 0, 0, 2]);
  t.equal(rig.now(query({})), 'pending');
  t.match(await rig.answer(query({})), { answers: [{ data: '10.0.0.2' }] });
});

t.test(
  'CD: an answer that was not validated is given without CD only in a cut, or if AD is set',
  async (t) => {
    for (const [flags, isGiven] of [
      [0, false],
      [AD, true],
    ] as const) {
      const rig = await kept('positive', { cd: true }, {}, flags);
      const bogus = message({ flags: 0x8182, question: ['www.example', 'A'] });
      rig.says = () => bogus;
      const rcode = isGiven ? RCODE.NOERROR : RCODE.SERVFAIL;
      t.match(await rig.answer(query({})), { rcode }, 'the upstream validates and says SERVFAIL');
      t.match(rig.now(query({})), { rcode }, 'and is remembered');
      t.match(rig.now({ ...query({}), rd: false }), { rcode }, 'without RD, too');
      rig.down.add('default');
      t.match(rig.now(query({})), { rcode: RCODE.NOERROR, ad: false }, 'nobody can validate');
    }
  },
);

t.test(
  'AD: as the upstream set it, for clients that ask for it, if the operator trusts the upstream',
  async (t) => {
    for (const trustAuthenticatedData of [false, true]) {
      const rig = await kept('positive', { dnssecOk: true }, { trustAuthenticatedData }, AD);
      rig.down.add('default');
      t.match(rig.now(query({})), { ad: false }, 'a client that does not know AD');
      t.match(rig.now({ ...query({}), ad: true }), { ad: trustAuthenticatedData });
      t.match(rig.now(query({ dnssecOk: true, cd: true })), { ad: trustAuthenticatedData });
    }
  },
);

t.test(
  'without RD, and with no answer of its own kept, any variant answers instead of REFUSED',
  async (t) => {
    const rig = await kept('positive', { dnssecOk: true });
    t.match(rig.now({ ...query({}), rd: false }), { rcode: RCODE.NOERROR, answers: [{ data: '10.0.0.1' }] });
  },
);

t.test('the better variant: good before an expired denial, fresh before stale, new before old', async (t) => {
  const rig = new Rig();
  signing(rig, 'positive');
  await rig.answer(query({ dnssecOk: true }));
  await rig.time.advance(1_000_000);
  signing(rig, 'nxdomain');
  await rig.answer(query({}));
  rig.down.add('default');
  t.match(rig.now(query({})), { rcode: RCODE.NXDOMAIN }, 'a denial holds while it is fresh');
  t.match(rig.now(query({ cd: true })), { rcode: RCODE.NXDOMAIN }, 'whatever was asked');
  await rig.time.advance(100_000);
  t.match(rig.now(query({})), { answers: [{ data: '10.0.0.1' }] }, 'and no longer');
  rig.down.clear();
  signing(rig, 'positive', 0, [10, 0, 0, 9]);
  await rig.answer(query({ cd: true }));
  rig.down.add('default');
  t.match(rig.now(query({})), { answers: [{ data: '10.0.0.9', ttl: 300 }] }, 'fresh and new');
  t.match(types(rig.now(query({ dnssecOk: true })) as ReadReply), ['A', 'RRSIG'], 'with DO, signatures');
});

t.test('after a restart: any variant that was saved answers', async (t) => {
  for (const stored of VARIANTS) {
    const before = await kept('positive', stored);
    const after = new Rig();
    for (const entry of before.cache.entries(before.time.monotonicMs()))
      if (entry !== undefined) after.cache.load(entry, after.time.monotonicMs());
    after.down.add('default');
    for (const asked of VARIANTS) {
      t.match(after.now(query(asked)), { rcode: RCODE.NOERROR, answers: [{ data: '10.0.0.1' }] });
    }
  }
});

t.test('types of proofs, asked for without DO, are given from an answer kept with DO', async (t) => {
  const rig = new Rig();
  rig.says = () =>
    message({
      question: ['example', 'DS'],
      answers: [
        rawRecord('example', 'DS', 300, [0, 1, 8, 0, 3]),
        rawRecord('example', 'RRSIG', 300, signature),
      ],
    });
  await rig.answer({ ...query({ dnssecOk: true }, 'example'), type: 'DS' });
  rig.down.add('default');
  t.strictSame(types(rig.now({ ...query({}, 'example'), type: 'DS' }) as ReadReply), ['DS']);
});

t.test('an upstream that signs without DO: no client without DO gets what it did not ask for', async (t) => {
  for (const kind of ['positive', 'nodata', 'nxdomain'] as const) {
    const rig = new Rig();
    signing(rig, kind);
    const { says } = rig;
    rig.says = (question, route) => {
      rig.asked.push({ ...rig.asked[0]!, dnssecOk: true });
      const given = says(question, route);
      rig.asked.pop();
      return given;
    };
    const given = await rig.answer(query({}, 'www.example', { edns: {} }));
    t.strictSame(types(given), expected(kind, false), kind);
    t.strictSame(types(await rig.answer(query({}))), expected(kind, false), `${kind}, kept`);
  }
});
