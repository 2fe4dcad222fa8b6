import fc from 'fast-check';
import t from 'tap';
import { nameText, rdataFromText, rdataText, recordPlaces } from '../../../src/protocol/wire/presentation.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { typeFromText } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { RDATA_SAMPLES } from '../../helpers/rdata-samples.ts';
import { message, opt, rawRecord } from '../../helpers/zone-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

const NAME = 'a.example';
const name = (text: string) => [...nameToWire(text)];
const string = (text: string) => [Buffer.byteLength(text), ...Buffer.from(text)];
const numbers = (...values: number[]) =>
  values.flatMap((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);

function textOf(type: string | number, rdata: Uint8Array | number[]): string {
  const octets = message({ question: [NAME, 'A'], answers: [rawRecord(NAME, type, 60, rdata)] });
  const [place] = recordPlaces(octets, name(NAME).length + 16);
  return place === undefined ? 'no record' : rdataText(octets, place);
}

/** As text, and the same octets from that text. */
const BOTH_WAYS: readonly (readonly [type: string, rdata: number[], text: string])[] = [
  ['A', [10, 0, 1, 10], '10.0.1.10'],
  ['AAAA', [0xfd, ...Array(14).fill(0), 1], 'fd00::1'],
  ['AAAA', Array(16).fill(0), '::'],
  ['AAAA', [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], '2001:db8::'],
  ['AAAA', [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8], '1:2:3:4:5:6:7:8'],
  ['NS', name('ns.example'), 'ns.example'],
  ['CNAME', name('b.example'), 'b.example'],
  ['PTR', name('.'), '.'],
  ['DNAME', name('other.example'), 'other.example'],
  [
    'SOA',
    [...name('ns.example'), ...name('host.example'), ...numbers(1, 2, 3, 4, 0xffffffff)],
    'ns.example host.example 1 2 3 4 4294967295',
  ],
  ['MX', [0, 10, ...name('mail.example')], '10 mail.example'],
  ['SRV', [0, 1, 0, 2, 1, 187, ...name('srv.example')], '1 2 443 srv.example'],
  ['HINFO', [...string('RFC8482'), 0], '"RFC8482" ""'],
  ['TXT', [...string('one two'), ...string('"quotes" and \\')], '"one two" "\\"quotes\\" and \\\\"'],
  ['TXT', [3, 0x00, 0x7f, 0xff], '"\\000\\127\\255"'],
  ['SPF', [0], '""'],
  ['CAA', [0, ...string('issue'), ...Buffer.from('ca.example; a=b')], '0 issue "ca.example; a=b"'],
  ['DS', [0x4e, 0x1f, 8, 1, 0xde, 0xad], '19999 8 1 dead'],
  ['DNSKEY', [1, 1, 3, 13, 0xff], '257 3 13 /w=='],
  [
    'RRSIG',
    [0, 1, 13, 2, ...numbers(60, 0x6955b900, 0x6955b900), 0, 9, ...name('example'), 0xff],
    'A 13 2 60 20260101000000 20260101000000 9 example /w==',
  ],
  ['HTTPS', [0, 1, 0], '\\# 3 000100'],
  ['TYPE65280', [], '\\# 0'],
];

for (const [type, rdata, text] of BOTH_WAYS) {
  t.test(`RDATA as text and back: ${type} as ${text}`, async (t) => {
    t.equal(textOf(type, rdata), text);
    t.strictSame(rdataFromText(typeFromText(type) ?? 0, text), { octets: Buffer.from(rdata) });
  });
}

t.test('other ways to write the same', async (t) => {
  for (const [type, text, rdata] of [
    ['TXT', 'bare words', [...string('bare'), ...string('words')]],
    ['TXT', '"a\\.b" \\065', [...string('a.b'), ...string('A')]],
    ['CNAME', 'B.Example.', name('b.example')],
    ['CAA', '0 issue ca.example', [0, ...string('issue'), ...Buffer.from('ca.example')]],
    ['A', '\\# 4 0A000001', [10, 0, 0, 1]],
    ['TYPE65280', '\\# 4 0a0b 0c0d', [10, 11, 12, 13]],
    ['DS', '1 8 1 DE ad', [0, 1, 8, 1, 0xde, 0xad]],
  ] as const)
    t.strictSame(rdataFromText(typeFromText(type) ?? 0, text), { octets: Buffer.from(rdata) }, text);
});

t.test('a text that is no RDATA of its type: the reason quotes the bad value', async (t) => {
  for (const [type, text, fault] of [
    ['A', '10.0.0.256', '"10.0.0.256" is not an IPv4 address'],
    ['A', '', '1 fields make a record of type A'],
    ['A', '10.0.0.1 10.0.0.2', '"10.0.0.2" is more than a record of its type has'],
    ['AAAA', '10.0.0.1', '"10.0.0.1" is not an IPv6 address'],
    ['AAAA', '1::2::3', '"1::2::3" is not an IPv6 address'],
    ['MX', '70000 mail', '"70000" is not a number up to 65535'],
    ['MX', 'ten mail', '"ten" is not a number up to 65535'],
    ['SOA', 'a b 1 2 3', '7 fields make a record of type SOA'],
    ['CNAME', 'a..b', 'not a domain name: "a..b": empty label'],
    ['TXT', `"${'x'.repeat(256)}"`, /is not strings of at most 255 octets each$/],
    ['TXT', '"\\999"', /is not strings/],
    ['CAA', '0 is-sue x', '"is-sue" is not letters and digits'],
    ['DS', '1 8 1 xyz', '"xyz" is not hexadecimal'],
    ['RRSIG', 'NOTYPE 13 2 60 20260101000000 20260101000000 9 example /w==', '"NOTYPE" is not a record type'],
    ['RRSIG', 'A 13 2 60 2026 20260101000000 9 example /w==', /"2026" is not a time/],
    ['HTTPS', '1 . alpn=h2', /RFC 3597 section 5/],
    ['TYPE65280', '\\# 3 00', /RFC 3597 section 5/],
  ] as const)
    t.match(rdataFromText(typeFromText(type) ?? 0, text), { fault }, `${type} ${text}`);
});

t.test('compressed names are written out; a broken one is a question mark', async (t) => {
  const octets = message({
    question: [NAME, 'A'],
    answers: [rawRecord(NAME, 'CNAME', 60, [1, 0x78, 0xc0, 12])],
  });
  const [place] = recordPlaces(octets, name(NAME).length + 16);
  t.equal(place && rdataText(octets, place), `x.${NAME}`);
  t.equal(nameText(octets, 12), NAME);
  t.equal(nameText(Buffer.from('00000000000000000000000003616263', 'hex'), 12), '?');
});

t.test('records of all three sections, OPT too; of a truncated message those that are whole', async (t) => {
  const a = rawRecord(NAME, 'A', 60, [10, 0, 0, 1]);
  const octets = message({
    question: [NAME, 'A'],
    answers: [a, a],
    authorities: [a],
    additionals: [opt(), a],
  });
  const end = name(NAME).length + 16;
  const sections = ['answer', 'answer', 'authority', 'additional', 'additional'];
  t.strictSame(
    recordPlaces(octets, end).map(({ section }) => section),
    sections,
  );
  t.equal(recordPlaces(octets.subarray(0, -1), end).length, 4);
  t.equal(recordPlaces(octets.subarray(0, end + 3), end).length, 0);
});

t.test('whatever RDATA holds, its text is printable and reads back as the same', async (t) => {
  const types = RDATA_SAMPLES.map(([type]) => type);
  const samples = fc
    .constantFrom(...RDATA_SAMPLES)
    .map(([type, rdata]) => [type, new Uint8Array(rdata)] as const);
  const random = fc.tuple(fc.constantFrom(...types, 65_280), fc.uint8Array({ maxLength: 300 }));
  const { failed, counterexample } = fc.check(
    fc.property(fc.oneof(samples, random), ([type, rdata]) => {
      const text = textOf(type, rdata);
      if (!/^[\x20-\x7e]+$/.test(text)) return false;
      const back = rdataFromText(type, text); // names lose their case and their pointers: the text is compared
      return 'octets' in back && textOf(type, back.octets) === text;
    }),
    { numRuns, seed },
  );
  t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`);
  for (const [type, rdata] of RDATA_SAMPLES) {
    const octets = message({ question: [NAME, 'A'], answers: [rawRecord(NAME, type, 60, rdata)] });
    t.equal(indexResponse(octets).kind, 'response', `${type}`);
  }
});
