import t from 'tap';
import { systemRandom } from '../../../src/runtime/random.ts';
import {
  composeUpstreamQuery,
  isSameQuestion,
  type QueryForm,
  questionEndOf,
  questionOf,
} from '../../../src/serving/forwarder/exchange.ts';
import { clientQuery } from './hand-made-upstream.ts';

const plain: QueryForm = { withEdns: true, caseFrom: undefined, padded: false, authenticated: false };
const hex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex');

t.test(
  "the query to an upstream has RD, the client's case, CD and DO, AD where it is trusted, and OPT of 1232",
  async (t) => {
    const name = '03577757066f7574054f7264455200'.replace('066f7574054f72644552', '056f72446552');
    for (const [what, query, flags, opt, authenticated = false] of [
      ['plain', clientQuery('WwW.orDeR'), '0100', '00002904d0000000000000'],
      ['RD clear', clientQuery('WwW.orDeR', { flags: 0 }), '0100', '00002904d0000000000000'],
      ['CD', clientQuery('WwW.orDeR', { flags: 0x0110 }), '0110', '00002904d0000000000000'],
      ['AD', clientQuery('WwW.orDeR', { flags: 0x0120 }), '0100', '00002904d0000000000000'],
      ['DO', clientQuery('WwW.orDeR', { dnssecOk: true }), '0100', '00002904d0000080000000'],
      ['trusted', clientQuery('WwW.orDeR'), '0120', '00002904d0000000000000', true],
    ] as const) {
      const question = questionOf(query);
      const octets = composeUpstreamQuery(question, { ...plain, authenticated });
      t.equal(hex(octets), `0000${flags}0001000000000001${name}00010001${opt}`, what);
      t.equal(questionEndOf(question), octets.length - 11);
    }
  },
);

t.test('without EDNS there is no OPT', async (t) => {
  const octets = composeUpstreamQuery(questionOf(clientQuery('a.b')), { ...plain, withEdns: false });
  t.equal(hex(octets), '000001000001000000000000016101620000010001');
});

t.test('padded queries are multiples of 128 octets with an option of zeros (RFC 8467)', async (t) => {
  for (const length of [1, 20, 60, 63]) {
    const octets = composeUpstreamQuery(
      questionOf(clientQuery(`${'x'.repeat(length)}.${'y'.repeat(length)}`)),
      {
        ...plain,
        padded: true,
      },
    );
    t.equal(octets.length % 128, 0);
    const rdata = Buffer.from(octets.subarray(octets.indexOf(41, 12) + 9));
    t.equal(rdata.readUInt16BE(0), 12, 'option code');
    t.equal(rdata.readUInt16BE(2), rdata.length - 4, 'option length');
    t.ok(rdata.subarray(4).every((octet) => octet === 0));
  }
});

t.test('0x20 changes letters only, differently each time', async (t) => {
  const question = questionOf(clientQuery('abcdefghij-0123456789.klmnopqrstuvwxyz'));
  const seen = new Set<string>();
  for (let run = 0; run < 200; run++) {
    const octets = composeUpstreamQuery(question, { ...plain, caseFrom: systemRandom });
    const name = Buffer.from(octets.subarray(12, questionEndOf(question)));
    seen.add(hex(name));
    const lower = name.map((octet) => (octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet));
    t.strictSame(Buffer.from(lower), Buffer.from([...question.name, 0, 1, 0, 1]));
  }
  t.ok(seen.size > 190, `${seen.size} of 200 differ`);
});

t.test('questions are the same exactly when one exchange answers both, and then share a hash', async (t) => {
  const base = clientQuery('a.example');
  for (const [what, other, same] of [
    ['case', clientQuery('A.eXample'), true],
    ['EDNS', clientQuery('a.example', { edns: true }), true],
    ['RD', clientQuery('a.example', { flags: 0 }), true],
    ['type', clientQuery('a.example', { qtype: 28 }), false],
    ['DO', clientQuery('a.example', { dnssecOk: true }), false],
    ['CD', clientQuery('a.example', { flags: 0x0110 }), false],
    ['name', clientQuery('b.example'), false],
    ['label bounds', clientQuery('a\u0007example'), false],
  ] as const) {
    t.equal(isSameQuestion(questionOf(base), questionOf(other)), same, what);
    t.equal(base.key === other.key, same, `${what}: key`);
  }
});
