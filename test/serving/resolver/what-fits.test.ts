import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { type CompressedRecord, compressedMessage } from '../../helpers/compressed-message.ts';
import { readStrictly } from '../../helpers/strict-parser.ts';
import { opt, rrsigData } from '../../helpers/zone-text.ts';
import type { QueryText } from './messages.ts';
import { Rig } from './rig.ts';

const NAME = 'www.example.com';
const long = (at: number) => `ns${at}-${'x'.repeat(45)}.example.com`;
const a: CompressedRecord = { owner: NAME, type: 'A', ttl: 300, rdata: [[10, 0, 0, 1]] };
const nameServers = (count: number): CompressedRecord[] =>
  Array.from({ length: count }, (_, at) => ({
    owner: 'example.com',
    type: 'NS',
    ttl: 300,
    rdata: [long(at)],
  }));
const glue = (count: number): CompressedRecord[] =>
  Array.from({ length: count }, (_, at) => ({
    owner: long(at),
    type: 'A',
    ttl: 300,
    rdata: [[10, 0, 1, at]],
  }));
const soa: CompressedRecord = {
  owner: 'example.com',
  type: 'SOA',
  ttl: 300,
  rdata: [long(0), long(1), new Array<number>(20).fill(1)],
};
const nsec: CompressedRecord = { owner: 'a.example.com', type: 'NSEC', ttl: 300, rdata: [[0, 0, 1, 0x40]] };
const signed = (owner: string, covered: string, octets = 80): CompressedRecord => ({
  owner,
  type: 'RRSIG',
  ttl: 300,
  rdata: [rrsigData(covered, octets, 'example.com')],
});

interface Case {
  readonly it: string;
  readonly type?: string;
  readonly flags?: number;
  readonly answers?: readonly CompressedRecord[];
  readonly authorities?: readonly CompressedRecord[];
  readonly additionals?: readonly CompressedRecord[];
  readonly options?: readonly number[];
  readonly query: Partial<QueryText>;
  /** Records of each section in the reply; `tc` where the answer does not fit alone. */
  readonly gets: readonly [number, number, number] | 'tc';
  readonly ede?: number;
}

const edns = (size: number, dnssecOk = false) => ({ edns: { size, dnssecOk } });

const CASES: readonly Case[] = [
  {
    it: 'an address with eight name servers and glue, without EDNS: the address alone',
    answers: [a],
    authorities: nameServers(8),
    additionals: glue(8),
    query: {},
    gets: [1, 0, 0],
  },
  {
    it: 'where the name servers fit, their addresses alone are left out',
    answers: [a],
    authorities: nameServers(5),
    additionals: glue(12),
    query: {},
    gets: [1, 5, 0],
  },
  {
    it: 'where all fits, all is sent',
    answers: [a],
    authorities: nameServers(3),
    additionals: glue(3),
    query: {},
    gets: [1, 3, 3],
  },
  {
    it: 'mail servers and their addresses: the hosts without their addresses',
    type: 'MX',
    answers: Array.from({ length: 6 }, (_, at) => ({ owner: NAME, type: 'MX', rdata: [[0, at], long(at)] })),
    additionals: glue(30),
    query: {},
    gets: [6, 0, 0],
  },
  {
    it: 'a record set that does not fit alone is TC and nothing, never a part of it',
    answers: Array.from({ length: 40 }, (_, at) => ({ ...a, rdata: [[10, 0, 0, at]] })),
    authorities: nameServers(1),
    query: {},
    gets: 'tc',
  },
  {
    it: 'a denial keeps its SOA, and nothing beside',
    authorities: [...nameServers(12), soa],
    additionals: glue(12),
    query: {},
    gets: [0, 1, 0],
  },
  {
    it: 'a denial of the name, too',
    flags: 0x8183,
    authorities: [soa, ...nameServers(12)],
    query: {},
    gets: [0, 1, 0],
  },
  {
    it: 'a referral is its authority section: TC where that does not fit',
    authorities: nameServers(14),
    query: {},
    gets: 'tc',
  },
  {
    it: 'with DO the proofs stay, and name servers with their signatures go',
    answers: [a, signed(NAME, 'A')],
    authorities: [...nameServers(8), signed('example.com', 'NS'), nsec, signed('a.example.com', 'NSEC')],
    additionals: glue(8),
    query: edns(700, true),
    gets: [2, 2, 0],
  },
  {
    it: 'with DO, where nothing has to be proven, the authority section goes as a whole',
    answers: [a, signed(NAME, 'A')],
    authorities: [...nameServers(8), signed('example.com', 'NS')],
    query: edns(512, true),
    gets: [2, 0, 0],
  },
  {
    it: 'with DO, a proof that does not fit is TC: without it the answer would be bogus',
    answers: [a, signed(NAME, 'A')],
    authorities: [nsec, signed('a.example.com', 'NSEC', 300)],
    query: edns(512, true),
    gets: 'tc',
  },
  {
    it: 'with DO a denial keeps SOA, proofs and their signatures',
    authorities: [
      soa,
      signed('example.com', 'SOA'),
      nsec,
      signed('a.example.com', 'NSEC'),
      ...nameServers(8),
    ],
    query: edns(512, true),
    gets: [0, 4, 0],
  },
  {
    it: 'an extended error goes before any record (RFC 8914 section 3)',
    answers: Array.from({ length: 29 }, (_, at) => ({ ...a, rdata: [[10, 0, 0, at]] })),
    options: [0, 15, 0, 2, 0, 4],
    query: edns(512),
    gets: [29, 0, 0],
  },
  {
    it: 'and stays where it fits',
    answers: [a],
    options: [0, 15, 0, 2, 0, 4],
    query: edns(512),
    gets: [1, 0, 0],
    ede: 4,
  },
];

t.test(
  'records that the answer does not need are left out before the answer is (RFC 2181 section 9)',
  async (t) => {
    for (const { it, type = 'A', query, gets, ede, options, ...sections } of CASES) {
      const rig = new Rig();
      rig.says = () =>
        compressedMessage({
          question: [NAME, type],
          ...sections,
          tail: [opt(options === undefined ? {} : { options: [...options] })],
        });
      for (const when of ['forwarded', 'cached']) {
        const reply = await rig.answer({ name: NAME, type, ...query });
        const strict = readStrictly(Buffer.from(reply.octets)); // every pointer still leads to a name
        const [answers, authorities, additionals] = gets === 'tc' ? [0, 0, 0] : gets;
        t.match(
          reply,
          {
            tc: gets === 'tc',
            rcode: (sections.flags ?? 0) & 15,
            answers: { length: answers },
            authorities: { length: authorities },
            additionals: { length: additionals },
            ede,
          },
          `${it}, ${when}`,
        );
        t.ok(
          strict.records.every(({ ttl }) => ttl === 300 || ttl === 60),
          `${it}, ${when}: TTLs where they belong`,
        );
      }
      const whole = await rig.answer({ name: NAME, type, ...query }, { transport: 'tcp' });
      t.match(
        whole,
        {
          tc: false,
          answers: { length: sections.answers?.length ?? 0 },
          authorities: { length: sections.authorities?.length ?? 0 },
        },
        `${it}: over TCP all of it`,
      );
    }
  },
);

t.test(
  "an upstream's extended error is passed on, from the cache too; one of our own stands before it",
  async (t) => {
    const rig = new Rig();
    for (const [code, flags, answers] of [
      [4, 0x8180, [a]],
      [15, 0x8183, []],
      [17, 0x8180, []],
      [6, 0x8182, []],
      [9, 0x8185, []],
    ] as const) {
      const name = `ede${code}.example.com`;
      rig.says = () =>
        compressedMessage({
          question: [name, 'A'],
          flags,
          answers: answers.map((record) => ({ ...record, owner: name })),
          authorities: answers.length === 0 ? [soa] : [],
          tail: [opt({ options: [0, 3, 0, 1, 0x61, 0, 15, 0, 5, 0, code, 0x61, 0x62, 0x63] })],
        });
      const rcode = flags === 0x8185 ? RCODE.SERVFAIL : flags & 15;
      for (const when of ['forwarded', 'cached']) {
        t.match(await rig.answer({ name, edns: {} }), { rcode, ede: code }, `${code}, ${when}`);
        t.match(
          await rig.answer({ name }),
          { rcode, ede: undefined, opt: undefined },
          `${code}, ${when}, no EDNS`,
        );
      }
      t.equal(rig.asked.length, 1, `${code}: asked once`);
      rig.asked.length = 0;
    }
    await rig.time.advance(400_000);
    rig.down.add('default');
    t.match(await rig.answer({ name: 'ede4.example.com', edns: {} }), { rcode: 0, ede: 3 }, 'stale');
  },
);

t.test('several extended errors of an upstream are passed on: three codes, each once', async (t) => {
  const name = 'several.example.com';
  const error = (code: number, text = ''): number[] => [
    ...[0, 15, 0, 2 + text.length, code >> 8, code & 255],
    ...Buffer.from(text),
  ];
  const cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
  for (const [it, codes, edes] of [
    ['two', [22, 23], [22, 23]],
    ['the same again, with another text', [22, 22, 23, 22], [22, 23]],
    ['more than three', [9, 10, 49_152, 65_535], [9, 10, 49_152]],
    ['the largest', [65_535, 65_534, 65_533], [65_535, 65_534, 65_533]],
    ['OTHER first, and OTHER beside another', [0, 22, 0], [0, 22]],
  ] as const) {
    for (const flags of [0x8182, 0x8180, 0x8183]) {
      const rig = new Rig();
      rig.says = () =>
        compressedMessage({
          question: [name, 'A'],
          flags,
          answers: flags === 0x8180 ? [{ ...a, owner: name }] : [],
          authorities: flags === 0x8183 ? [soa] : [],
          tail: [opt({ options: codes.flatMap((code, at) => error(code, 'x'.repeat(at))) })],
        });
      for (const when of ['forwarded', 'cached'])
        t.match(
          await rig.answer({ name, edns: {} }),
          { rcode: flags & 15, edes },
          `${it}, ${when}, ${flags}`,
        );
      t.match(await rig.answer({ name, edns: { options: cookie } }), { rcode: flags & 15, edes });
      t.equal(rig.asked.length, 1);
    }
  }
  // 33 octets of header and question, 16 for each address, 11 of OPT, 28 of a cookie, 6 for each error
  for (const [addresses, options, edes] of [
    [28, [], [1, 2, 4]],
    [29, [], []],
    [27, cookie, [1]],
  ] as const) {
    const rig = new Rig();
    rig.says = () =>
      compressedMessage({
        question: [NAME, 'A'],
        answers: Array.from({ length: addresses }, (_, at) => ({ ...a, rdata: [[10, 0, 0, at]] })),
        tail: [opt({ options: [1, 2, 4].flatMap((code) => error(code)) })],
      });
    for (const when of ['forwarded', 'cached'])
      t.match(
        await rig.answer({ name: NAME, edns: { size: 512, options } }),
        { tc: false, answers: { length: addresses }, edes },
        `${addresses} addresses, ${when}`,
      );
  }
});

t.test('no TTL is longer than the cap, whatever the answer', async (t) => {
  for (const [it, flags, type] of [
    ['kept', 0x8180, 'A'],
    ['a type that nobody knows', 0x8180, 'TYPE65280'],
    ['not kept: another type', 0x8180, 'AAAA'],
    ['not kept: YXDOMAIN', 0x8186, 'A'],
  ] as const) {
    for (const ttl of [86_401, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      const rig = new Rig();
      const record = { owner: NAME, type: type === 'AAAA' ? 'A' : type, ttl, rdata: [[10, 0, 0, 1]] };
      rig.says = () =>
        compressedMessage({
          question: [NAME, type],
          flags,
          answers: [record],
          authorities: [{ ...nameServers(1)[0]!, ttl }],
          additionals: [{ ...glue(1)[0]!, ttl }],
        });
      const reply = await rig.answer({ name: NAME, type });
      const ttls = readStrictly(Buffer.from(reply.octets)).records.map((one) => one.ttl);
      t.strictSame(ttls, [86_400, 86_400, 86_400], `${it}, ${ttl}`);
    }
  }
});
