import fc from 'fast-check';
import t from 'tap';
import { leaveOut } from '../../../src/protocol/wire/leave-out.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { type CompressedRecord, compressedMessage } from '../../helpers/compressed-message.ts';
import { readStrictly, type StrictRecord } from '../../helpers/strict-parser.ts';
import { opt } from '../../helpers/zone-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

function indexed(octets: Uint8Array) {
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(index.reason);
  return index;
}

/** What a record says, wherever its names stand. */
const said = ({ section, owner, type, ttl, names, rdata }: StrictRecord) =>
  names.length > 0
    ? { section, owner, type, ttl, names }
    : { section, owner, type, ttl, rdata: rdata.toString('hex') };

t.test('a name whose target has gone is written out once, and pointed to from then on', async (t) => {
  const octets = compressedMessage({
    question: ['a.example', 'A'],
    answers: [
      { owner: 'a.example', type: 'CNAME', rdata: ['x.other.test'] },
      { owner: 'x.other.test', type: 'A', rdata: [[10, 0, 0, 1]] },
      { owner: 'x.other.test', type: 'A', rdata: [[10, 0, 0, 2]] },
    ],
  });
  const rest = leaveOut(octets, indexed(octets), (_type, _section, ordinal) => ordinal === 0);
  if (rest === undefined) throw new Error('no room');
  const { records } = readStrictly(Buffer.from(rest));
  t.strictSame(
    records.map(({ owner }) => owner),
    ['x.other.test', 'x.other.test'],
  );
  t.equal(rest.length, 12 + 11 + 4 + (14 + 14) + (2 + 14), 'the second owner is a pointer');
});

t.test('a name that no sender may compress is written out (RFC 3597 section 4)', async (t) => {
  const octets = compressedMessage({
    question: ['_s._tcp.example', 'SRV'],
    answers: [{ owner: '_s._tcp.example', type: 'SRV', rdata: [[0, 0, 0, 0, 0, 53], 'host.example'] }],
  });
  t.throws(() => readStrictly(octets), { message: 'compressed where it must not be' });
  const rest = leaveOut(octets, indexed(octets), () => false);
  t.strictSame(readStrictly(Buffer.from(rest ?? [])).records[0]?.names, ['host.example']);
});

t.test('a copy that would be longer than a message can be is none', async (t) => {
  const long = ['x'.repeat(63), 'y'.repeat(63), 'z'.repeat(63), 'example'].join('.');
  const answers = Array.from({ length: 600 }, () => ({
    owner: 'a.example',
    type: 'SRV',
    rdata: [[0, 0, 0, 0, 0, 53], long],
  }));
  const octets = compressedMessage({ question: ['a.example', 'SRV'], answers });
  t.equal(
    leaveOut(octets, indexed(octets), () => false),
    undefined,
  );
});

const name = fc
  .array(fc.constantFrom('a', 'b', 'ns1', 'mail', 'example', 'test', 'x-1'), { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join('.'));
const record: fc.Arbitrary<CompressedRecord> = fc.oneof(
  fc.record({ owner: name, type: fc.constantFrom('NS', 'CNAME', 'PTR', 'DNAME'), rdata: fc.tuple(name) }),
  fc.record({ owner: name, type: fc.constant('A'), rdata: fc.constant([[10, 0, 0, 1]]) }),
  fc.record({ owner: name, type: fc.constant('MX'), rdata: fc.tuple(fc.constant([0, 10]), name) }),
  fc.record({
    owner: name,
    type: fc.constant('SRV'),
    rdata: fc.tuple(fc.constant([0, 0, 0, 1, 0, 53]), name),
  }),
  fc.record({
    owner: name,
    type: fc.constant('SOA'),
    rdata: fc.tuple(name, name, fc.constant(new Array<number>(20).fill(7))),
  }),
  fc.record({
    owner: name,
    type: fc.constant('NAPTR'),
    rdata: fc.tuple(fc.constant([0, 1, 0, 1, 1, 0x75, 0, 1, 0x21]), name),
  }),
  fc.record({
    owner: name,
    type: fc.constant('RRSIG'),
    rdata: fc.tuple(fc.constant(new Array<number>(18).fill(1)), name, fc.constant([1, 2, 3])),
  }),
  fc.record({ owner: name, type: fc.constant(65_280), rdata: fc.constant([[0xc0, 0x0c, 0xff]]) }),
);
const section = fc.array(record, { maxLength: 6 });

t.test('whatever is left out, the rest says the same to a strict reader', async (t) => {
  let leftOut = 0;
  fc.assert(
    fc.property(name, section, section, section, fc.bigInt(0n, 2n ** 18n), fc.boolean(), (of, ...rest) => {
      const [answers, authorities, additionals, mask, hasOpt] = rest;
      const octets = compressedMessage({
        question: [of, 'A'],
        answers,
        authorities,
        additionals,
        tail: hasOpt ? [opt()] : [],
      });
      const isLeftOut = (ordinal: number) => ((mask >> BigInt(ordinal)) & 1n) === 1n;
      const copy = leaveOut(octets, indexed(octets), (_type, _section, ordinal) => isLeftOut(ordinal));
      if (copy === undefined) return false;
      // names that are wrongly compressed in the original are a lenient reader's business
      const whole = leaveOut(octets, indexed(octets), () => false);
      const want = readStrictly(Buffer.from(whole ?? [])).records.filter((_, ordinal) => !isLeftOut(ordinal));
      const got = readStrictly(Buffer.from(copy)).records;
      leftOut += answers.length + authorities.length + additionals.length - got.length;
      return JSON.stringify(got.map(said)) === JSON.stringify(want.map(said));
    }),
    { numRuns, seed },
  );
  t.ok(leftOut > 100, `${leftOut} records left out`);
});
