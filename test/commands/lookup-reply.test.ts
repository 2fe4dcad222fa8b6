import fc from 'fast-check';
import t from 'tap';
import { readExtendedErrors, readReply } from '../../src/commands/lookup.ts';
import { indexResponse } from '../../src/protocol/wire/response.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';
import { message, opt, rawRecord } from '../helpers/zone-text.ts';

const name = (text: string) => [...nameToWire(text)];
const numbers = (...values: number[]) =>
  values.flatMap((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
const string = (text: string) => [Buffer.byteLength(text), ...Buffer.from(text)];

const CASES: ReadonlyArray<readonly [type: string, rdata: number[], text: string]> = [
  ['A', [10, 0, 1, 10], '10.0.1.10'],
  ['AAAA', [0xfd, ...Array(14).fill(0), 1], 'fd00::1'],
  ['CNAME', name('b.example'), 'b.example'],
  ['PTR', name('.'), '.'],
  ['NS', name('ns.example'), 'ns.example'],
  ['MX', [0, 10, ...name('mail.example')], '10 mail.example'],
  ['SRV', [0, 1, 0, 2, 1, 187, ...name('srv.example')], '1 2 443 srv.example'],
  ['TXT', [...string('one'), ...string('with "quotes" and \\')], '"one" "with \\"quotes\\" and \\\\"'],
  ['HINFO', [...string('RFC8482'), 0], '"RFC8482" ""'],
  [
    'SOA',
    [...name('a.example'), ...name('b.example'), ...numbers(1, 2, 3, 4, 5)],
    'a.example b.example 1 2 3 4 5',
  ],
  ['DNSKEY', [1, 1, 3, 13, 0xff], '257 3 13 /w=='],
  [
    'RRSIG',
    [0, 1, 13, 2, ...numbers(60, 0x6955b900, 0x6955b900), 0, 9, ...name('example'), 0xff],
    'A 13 2 60 20260101000000 20260101000000 9 example /w==',
  ],
  ['HTTPS', [0, 1, 0], '\\# 3 000100'],
  ['TYPE65280', [], '\\# 0'],
];

for (const [type, rdata, text] of CASES) {
  t.test(`RDATA as text: ${type} as ${text}`, async (t) => {
    const reply = readReply(
      message({ question: ['a.example', 'A'], answers: [rawRecord('a.example', type, 60, rdata)] }),
    );
    t.match(reply, { records: [{ name: 'a.example', ttlSeconds: 60, type, data: text }] });
  });
}

t.test('extended errors: several, among other options; a broken option is a broken reply', async (t) => {
  const read = (options: number[], before: Buffer[] = []) => {
    const octets = message({ question: ['a', 'A'], answers: before, additionals: [opt({ options })] });
    const index = indexResponse(octets);
    if (index.kind === 'fault') return index.reason;
    return readExtendedErrors(octets, index).map(({ code, text }) => `${code} ${text}`);
  };
  const cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
  t.strictSame(read([]), []);
  t.strictSame(read(cookie), []);
  t.strictSame(read([...cookie, 0, 15, 0, 2, 0, 3, 0, 15, 0, 3, 0, 22, 0x78]), ['3 ', '22 x']);
  t.strictSame(read([0, 15, 0, 2, 0, 3], [rawRecord('a', 'A', 1, [1, 2, 3, 4])]), ['3 '], 'behind an answer');
  t.strictSame(read([0, 15, 0, 1, 9]), [], 'too short for its code');
  t.strictSame(read([0, 15, 0, 2, 0, 3, 0, 15, 0, 99, 0]), 'opt broken', 'longer than OPT');
  t.strictSame(read([0, 15, 0, 2, 0, 3, 0]), 'opt broken', 'half an option');
  t.strictSame(read([0, 15, 0, 4, 0, 3, 0xff, 0xfe]), ['3 \ufffd\ufffd'], 'text that is not UTF-8');
});

t.test('every reply is parsed or refused, none throws', async (t) => {
  const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
  const whole = message({
    question: ['a.example', 'A'],
    answers: CASES.map(([type, rdata]) => rawRecord('a.example', type, 60, rdata)),
    additionals: [opt({ options: [0, 15, 0, 4, 0, 3, 0x61, 0x62] })],
  });
  const mutations = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 });
  const lengths = fc.oneof(
    { weight: 4, arbitrary: fc.constant(whole.length) },
    { weight: 1, arbitrary: fc.nat(whole.length) },
  );
  const property = fc.property(mutations, lengths, (changes, length) => {
    const octets = Uint8Array.from(whole);
    for (const [at, value] of changes) octets[at] = value;
    const read = readReply(octets.subarray(0, length));
    return 'fault' in read || Array.isArray(read.records);
  });
  const { failed, seed, counterexample } = fc.check(property, { numRuns });
  t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`);
});
