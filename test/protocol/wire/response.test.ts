import t from 'tap';
import { readAddresses } from '../../../src/protocol/wire/aliases.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { readHexFiles } from '../../helpers/hex-file.ts';
import { message, opt, rawRecord, soaData } from '../../helpers/zone-text.ts';

t.test('each response gets the verdict in the first line of its file', async (t) => {
  const files = readHexFiles('responses');
  t.ok(files.length > 10, 'the files were found');
  for (const { name, verdict, octets } of files) t.equal(indexResponse(octets).kind, verdict, name);
});

function indexed(octets: Uint8Array) {
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(index.reason);
  return index;
}

t.test('OPT and records after it are left out, and its upper RCODE bits count', async (t) => {
  const before = rawRecord('a', 'A', 10, [10, 0, 0, 1]);
  const octets = message({
    question: ['a', 'A'],
    answers: [before],
    additionals: [
      rawRecord('ns', 'A', 5, [1, 2, 3, 4]),
      opt({ extendedRcode: 1 }),
      rawRecord('x', 'A', 1, [9, 9, 9, 9]),
    ],
  });
  const index = indexed(octets);
  t.equal(index.rcode, 16);
  t.equal(index.additionalCount, 1);
  t.equal(index.ttlOffsets.length, 2);
  t.equal(index.minimumTtlSeconds, 10, 'additional records do not shorten the lifetime');
  t.ok(index.hasEdns);
  t.equal(index.end, octets.indexOf(opt({ extendedRcode: 1 })));
});

t.test(
  'negative lifetimes are the smaller of the TTL and MINIMUM of the SOA (RFC 2308 section 5)',
  async (t) => {
    for (const [ttl, minimum, expected] of [
      [300, 30, 30],
      [20, 900, 20],
      [0xffff_ffff, 30, 30],
    ] as const) {
      const octets = message({
        flags: 0x8183,
        question: ['a', 'A'],
        authorities: [rawRecord('a', 'SOA', ttl, soaData(minimum))],
      });
      t.equal(indexed(octets).negativeTtlSeconds, expected);
    }
  },
);

t.test('an answer of another type does not answer the question', async (t) => {
  const alias = rawRecord('a', 'CNAME', 10, nameToWire('b'));
  t.notOk(indexed(message({ question: ['a', 'A'], answers: [alias] })).answersQtype);
  t.ok(indexed(message({ question: ['a', 'CNAME'], answers: [alias] })).answersQtype);
  t.ok(indexed(message({ question: ['a', 'ANY'], answers: [alias] })).answersQtype);
});

t.test('addresses are reached through aliases of the same message only', async (t) => {
  const chain = [
    rawRecord('c.x', 'A', 30, [10, 0, 0, 3]),
    rawRecord('a.x', 'CNAME', 20, nameToWire('b.x')),
    rawRecord('b.x', 'CNAME', 10, nameToWire('c.x')),
    rawRecord('other.x', 'A', 1, [10, 9, 9, 9]),
  ];
  const octets = message({ question: ['A.x', 'A'], answers: chain });
  t.strictSame(readAddresses(octets, indexed(octets)), { addresses: ['10.0.0.3'], ttlSeconds: 10 });
});

t.test('names are the same when their labels are, in whatever case ASCII has for them', async (t) => {
  for (const [owner, other] of [
    ['\\192.x', '\\224.x'], // À and à in Latin-1: RFC 4343 section 2 knows case in ASCII alone
    ['a\\.x', 'a.x'],
  ] as const) {
    const answers = [rawRecord(other, 'A', 30, [10, 0, 0, 3])];
    const octets = message({ question: [owner, 'A'], answers });
    t.strictSame(readAddresses(octets, indexed(octets)).addresses, [], owner);
  }
});

t.test('an alias loop ends without addresses', async (t) => {
  const octets = message({
    question: ['a', 'A'],
    answers: [rawRecord('a', 'CNAME', 20, nameToWire('b')), rawRecord('b', 'CNAME', 20, nameToWire('a'))],
  });
  t.strictSame(readAddresses(octets, indexed(octets)), { addresses: [], ttlSeconds: 0 });
});

t.test('a chain of backward pointers in an owner is bounded', async (t) => {
  const octets = message({ question: ['a', 'A'], answers: [rawRecord('a', 'CNAME', 1, [0xc0, 0x0c])] });
  t.strictSame(readAddresses(octets, indexed(octets)).addresses, []);
});
