import fc from 'fast-check';
import t from 'tap';
import { answerLines, contentOf } from '../../src/records/retained-record.ts';
import { processorMs } from '../helpers/patience.ts';
import { message, rawRecord } from '../helpers/zone-text.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

const name = 'www.example.com';
const lines = (type: string | number, rdata: number[]) =>
  answerLines(message({ question: [name, 'A'], answers: [rawRecord(name, type, 60, rdata)] }));

t.test('records as a person reads them', async (t) => {
  const cases: [type: string, rdata: number[], want: string][] = [
    ['A', [10, 0, 0, 1], '10.0.0.1'],
    ['AAAA', [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 1], '2001:db8::1'],
    ['AAAA', new Array<number>(16).fill(0), '::'],
    ['CNAME', [1, 0x58, 0], 'x'],
    ['CNAME', [1, 0x78, 0xc0, 16], 'x.example.com'],
    ['CNAME', [1, 0x78, 0xc0, 12], `x.${name}`],
    ['TXT', [3, 0x61, 0x22, 0x5c, 1, 0xff], '"a\\"\\\\" "\\255"'],
    ['TXT', [0], '""'],
    ['SRV', [0, 0, 0, 1, 0, 53, 0], '0 1 53 .'],
    ['HTTPS', [0, 1, 0], '\\# 3 000100'],
    ['TYPE999', [], '\\# 0'],
  ];
  t.strictSame(lines('A', [10, 0, 0]), [], 'a message with broken RDATA says nothing');
  for (const [type, rdata, want] of cases) t.strictSame(lines(type, rdata), [`${name} 60 ${type} ${want}`]);
  const many = message({
    question: [name, 'A'],
    answers: Array.from({ length: 40 }, (_, n) => rawRecord(name, 'A', 60, [10, 0, 0, n])),
  });
  t.equal(answerLines(many).length, 33);
  t.equal(answerLines(many).at(-1), '... and 8 more');
  t.strictSame(answerLines(new Uint8Array(20)), []);
});

t.test('octets of any kind make lines of printable text, without a throw and in bounded time', async (t) => {
  const start = message({ question: [name, 'A'], answers: [] });
  let seen = 0;
  fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom<[string, Uint8Array]>(
          ['A', Uint8Array.of(10, 0, 0, 1)],
          ['AAAA', new Uint8Array(16)],
          ['CNAME', Uint8Array.of(2, 7, 0xff, 0)],
          ['TXT', Uint8Array.of(3, 0, 0x22, 0xff, 0)],
          ['HTTPS', Uint8Array.of(0, 1, 0)],
          ['TYPE999', Uint8Array.of(1, 2)],
        ),
        { maxLength: 5 },
      ),
      fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 5 }),
      (records, changes) => {
        const octets = message({
          question: [name, 'A'],
          answers: records.map(([type, rdata]) => rawRecord(name, type, 60, rdata)),
        });
        for (const [at, octet] of changes) if (at > 11 && at < octets.length) octets[at] = octet;
        for (const line of answerLines(octets)) {
          seen++;
          if (!/^[\x20-\x7e]+$/.test(line)) throw new Error(line);
        }
        contentOf(octets);
      },
    ),
    { seed, numRuns },
  );
  t.ok(seen > numRuns, `${seen} lines`);
  // a chain of pointers, each to the one before
  const chain = Buffer.alloc(60_000);
  for (let at = 0; at < chain.length; at += 2)
    chain.writeUInt16BE(0xc000 | Math.min(start.length + 21 + at, 0x3fff), at);
  const beganMs = processorMs();
  answerLines(
    message({
      question: [name, 'A'],
      answers: [rawRecord(name, 'CNAME', 60, [0xc0, 12]), rawRecord(name, 'TXT', 60, chain)],
    }),
  );
  t.ok(processorMs() - beganMs < 2000);
});
