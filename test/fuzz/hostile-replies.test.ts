/**
 * A hostile upstream: replies that were well formed and then changed, in every way that the issue names and at random.
 * What the product takes, keeps and passes on has to be read without a fault by a strict reader that is not the product's.
 */
import fc from 'fast-check';
import t from 'tap';
import { parseQuery, Query, VERDICT } from '../../src/protocol/wire/query.ts';
import { writePatchedReply } from '../../src/protocol/wire/reply.ts';
import { acceptResponse } from '../../src/protocol/wire/response.ts';
import { isReferral } from '../../src/protocol/wire/response-records.ts';
import { type CompressedRecord, compressedMessage } from '../helpers/compressed-message.ts';
import { RDATA_SAMPLES } from '../helpers/rdata-samples.ts';
import { readStrictly } from '../helpers/strict-parser.ts';
import { opt } from '../helpers/zone-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 10_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const NAME = 'www.site.example';
/** Nothing, or once in so many times a value. */
const seldom = <T>(every: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: every - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const owner = fc.oneof(
  { weight: 6, arbitrary: fc.constant(NAME) },
  { weight: 1, arbitrary: fc.constantFrom('site.example', 'victim.test', 'ns1.example', '.', `x.${NAME}`) },
);
const sample: fc.Arbitrary<CompressedRecord> = fc
  .record({
    owner,
    sample: fc.constantFrom(...RDATA_SAMPLES),
    cut: seldom(12, fc.nat(20)),
    more: seldom(20, fc.uint8Array({ maxLength: 4 })),
  })
  .map(({ owner, sample: [type, rdata], cut, more }) => {
    const whole = Buffer.concat([rdata, more ?? Buffer.alloc(0)]);
    return { owner, type, rdata: [cut === undefined ? whole : whole.subarray(0, cut)] };
  });
const compressed: fc.Arbitrary<CompressedRecord> = fc
  .record({
    owner,
    target: fc.constantFrom('a.site.example', 'victim.test', NAME, 'ns1.example'),
    kind: fc.constantFrom('NS', 'CNAME', 'MX', 'SRV', 'SOA', 'PTR', 'DNAME', 'HTTPS', 'RRSIG', 'NSEC'),
  })
  .map(({ owner, target, kind }) => {
    const rdata: Partial<Record<string, CompressedRecord['rdata']>> = {
      MX: [[0, 1], target],
      SRV: [[0, 0, 0, 0, 0, 53], target],
      SOA: [target, NAME, new Array<number>(20).fill(0)],
      HTTPS: [[0, 1], target],
      RRSIG: [new Array<number>(18).fill(1), target, [1]],
      NSEC: [target, [0, 1, 0x40]],
    };
    return { owner, type: kind, rdata: rdata[kind] ?? [target] };
  });
const section = (maxLength: number) => fc.array(fc.oneof(sample, compressed), { maxLength });
const change = fc.record({ at: fc.nat(600), octet: fc.nat(255) });
const hostile = fc
  .record({
    answers: section(3),
    authorities: section(2),
    additionals: section(2),
    changes: seldom(3, fc.array(change, { maxLength: 3 })),
    cut: seldom(20, fc.nat(400)),
    options: seldom(10, fc.array(fc.nat(20), { maxLength: 8 })),
  })
  .map(({ changes, cut, options, ...sections }) => {
    const octets = compressedMessage({ question: [NAME, 'A'], ...sections, tail: [opt({ options })] });
    const name = octets.subarray(0, 12 + 18 + 4);
    for (const { at, octet } of changes ?? [])
      if (at >= name.length || at < 12) octets[at % octets.length] = octet;
    return octets.subarray(0, cut ?? octets.length);
  });

t.test('no reply is passed on that a strict reader cannot read', async (t) => {
  const query = new Query();
  const reply = new Uint8Array(65_535);
  let passed = 0;
  let refused = 0;
  let hostileToReaders = 0;
  fc.assert(
    fc.property(hostile, (octets) => {
      try {
        readStrictly(octets);
      } catch {
        hostileToReaders++;
      }
      const accepted = acceptResponse(octets);
      if (accepted.kind === 'fault') {
        refused++;
        return true;
      }
      // the forwarder gives no client a referral
      if (isReferral(accepted.index)) return true;
      passed++;
      const asked = Uint8Array.from(octets.subarray(0, accepted.index.questionEnd));
      asked.set([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0], 2);
      if (parseQuery(query, asked, 0, asked.length) !== VERDICT.OK) return true;
      for (const limit of [512, 1232, 65_535]) {
        const options = {
          ttl: { ageSeconds: 1 },
          extendedError: undefined,
          trustAuthenticatedData: false,
          limit,
        };
        const length = writePatchedReply(query, accepted.octets, accepted.index, options, reply, 0);
        if (length > limit) throw new Error(`${length} octets, more than ${limit}`);
        readStrictly(Buffer.from(reply.subarray(0, length)));
      }
      return true;
    }),
    { numRuns, seed },
  );
  t.comment(
    `${numRuns} replies: ${hostileToReaders} unreadable, ${refused} refused, ${passed} passed on, 0 unreadable`,
  );
  t.ok(passed > numRuns / 20, `${passed} passed on`);
  t.ok(refused > numRuns / 20, `${refused} refused`);
});
