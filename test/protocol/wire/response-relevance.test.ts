import t from 'tap';
import { acceptResponse } from '../../../src/protocol/wire/response.ts';
import { typeName } from '../../../src/protocol/words/codes.ts';
import { type CompressedRecord, compressedMessage } from '../../helpers/compressed-message.ts';
import { readStrictly } from '../../helpers/strict-parser.ts';
import { opt, rrsigData } from '../../helpers/zone-text.ts';

const a = (owner: string): CompressedRecord => ({ owner, type: 'A', rdata: [[10, 0, 0, 1]] });
const cname = (owner: string, target: string): CompressedRecord => ({
  owner,
  type: 'CNAME',
  rdata: [target],
});
const dname = (owner: string, target: string): CompressedRecord => ({
  owner,
  type: 'DNAME',
  rdata: [target],
});
const ns = (owner: string, target: string): CompressedRecord => ({ owner, type: 'NS', rdata: [target] });
const mx = (owner: string, target: string): CompressedRecord => ({
  owner,
  type: 'MX',
  rdata: [[0, 1], target],
});
const srv = (owner: string, target: string): CompressedRecord => ({
  owner,
  type: 'SRV',
  rdata: [[0, 0, 0, 0, 0, 53], target],
});
const soa = (owner: string): CompressedRecord => ({
  owner,
  type: 'SOA',
  rdata: [owner, 'h.x.test', new Array<number>(20).fill(1)],
});
const rrsig = (owner: string, covered: string, signer: string): CompressedRecord => ({
  owner,
  type: 'RRSIG',
  rdata: [rrsigData(covered, 4, signer)],
});
const nsec = (owner: string): CompressedRecord => ({ owner, type: 'NSEC', rdata: [[0, 0, 1, 0x40]] });

interface Case {
  readonly it: string;
  readonly qtype?: string;
  readonly answers?: readonly CompressedRecord[];
  readonly authorities?: readonly CompressedRecord[];
  readonly additionals?: readonly CompressedRecord[];
  /** Owners and types of the records that are left out. */
  readonly leftOut: readonly string[];
}

const NAME = 'www.site.example';
const CASES: readonly Case[] = [
  { it: 'the name itself', answers: [a(NAME)], leftOut: [] },
  {
    it: 'a chain in its order',
    answers: [cname(NAME, 'b.test'), cname('b.test', 'c.test'), a('c.test')],
    leftOut: [],
  },
  {
    it: 'a chain in another order',
    answers: [a('c.test'), cname('b.test', 'c.test'), cname(NAME, 'b.test')],
    leftOut: [],
  },
  { it: 'another owner beside the name', answers: [a(NAME), a('victim.test')], leftOut: ['victim.test A'] },
  { it: 'another owner before the name', answers: [a('victim.test'), a(NAME)], leftOut: ['victim.test A'] },
  {
    it: 'a name beside the chain',
    answers: [cname(NAME, 'b.test'), a('b.test'), a('x.b.test')],
    leftOut: ['x.b.test A'],
  },
  { it: 'a name under the name', answers: [a(NAME), a(`x.${NAME}`)], leftOut: [`x.${NAME} A`] },
  { it: 'the zone of the name', answers: [a(NAME), a('site.example')], leftOut: ['site.example A'] },
  { it: 'another chain', answers: [a(NAME), cname('v.test', NAME)], leftOut: ['v.test CNAME'] },
  { it: 'an alias loop', answers: [cname(NAME, 'b.test'), cname('b.test', NAME)], leftOut: [] },
  {
    it: 'a DNAME and its alias',
    answers: [dname('site.example', 'new.test'), cname(NAME, 'www.new.test'), a('www.new.test')],
    leftOut: [],
  },
  {
    it: 'a DNAME whose alias is not there',
    answers: [dname('site.example', 'new.test'), a('www.new.test')],
    leftOut: [],
  },
  {
    it: 'a DNAME above another name',
    answers: [dname('other.example', 'new.test'), a(NAME)],
    leftOut: ['other.example DNAME'],
  },
  {
    it: 'signatures of the chain',
    answers: [
      cname(NAME, 'b.test'),
      rrsig(NAME, 'CNAME', 'example'),
      a('b.test'),
      rrsig('b.test', 'A', 'test'),
    ],
    leftOut: [],
  },
  {
    it: 'a signature of another name',
    answers: [a(NAME), rrsig('victim.test', 'A', 'test')],
    leftOut: ['victim.test RRSIG'],
  },
  {
    it: 'name servers of a zone above, and their addresses',
    answers: [a(NAME)],
    authorities: [ns('site.example', 'ns1.site.example'), ns('site.example', 'ns.other.test')],
    additionals: [a('ns1.site.example'), a('ns.other.test')],
    leftOut: [],
  },
  {
    it: 'name servers of another zone, and their addresses',
    answers: [a(NAME)],
    authorities: [ns('victim.test', 'ns.evil.test')],
    additionals: [a('ns.evil.test')],
    leftOut: ['victim.test NS', 'ns.evil.test A'],
  },
  {
    it: 'an address of a host that nobody names',
    answers: [a(NAME)],
    additionals: [a('victim.test')],
    leftOut: ['victim.test A'],
  },
  {
    it: 'name servers of a host that is named',
    qtype: 'MX',
    answers: [mx(NAME, 'mail.test')],
    additionals: [a('mail.test'), ns('mail.test', 'ns.evil.test')],
    leftOut: ['mail.test NS'],
  },
  {
    it: 'hosts of a service, named by a service of the additional section',
    qtype: 'PTR',
    answers: [{ owner: NAME, type: 'PTR', rdata: ['one.test'] }],
    additionals: [srv('one.test', 'host.test'), a('host.test')],
    leftOut: [],
  },
  { it: 'a denial', authorities: [soa('site.example')], leftOut: [] },
  { it: 'a denial by the root', authorities: [soa('.')], leftOut: [] },
  { it: 'a denial by another zone', authorities: [soa('victim.test')], leftOut: ['victim.test SOA'] },
  {
    it: 'a signed denial: names of the zone that are neither the name nor above it',
    authorities: [
      nsec('aaa.site.example'),
      rrsig('aaa.site.example', 'NSEC', 'site.example'),
      soa('site.example'),
      rrsig('site.example', 'SOA', 'site.example'),
    ],
    leftOut: [],
  },
  {
    it: 'the same for a denial at the end of an alias',
    answers: [cname(NAME, 'b.zone.test')],
    authorities: [soa('zone.test'), nsec('a.zone.test'), rrsig('a.zone.test', 'NSEC', 'zone.test')],
    leftOut: [],
  },
  {
    it: 'denials of two zones',
    answers: [cname(NAME, 'b.zone.test')],
    authorities: [
      nsec('a.site.example'),
      rrsig('a.site.example', 'NSEC', 'site.example'),
      soa('zone.test'),
      nsec('a.zone.test'),
      rrsig('a.zone.test', 'NSEC', 'zone.test'),
    ],
    leftOut: [],
  },
  {
    it: 'a denial of another zone beside',
    authorities: [soa('site.example'), nsec('a.victim.test'), rrsig('a.victim.test', 'NSEC', 'victim.test')],
    leftOut: ['a.victim.test NSEC', 'a.victim.test RRSIG'],
  },
];

t.test('what belongs to neither the name nor its alias chain is left out', async (t) => {
  for (const { it, qtype = 'A', leftOut, ...sections } of CASES) {
    const octets = compressedMessage({ question: [NAME, qtype], ...sections, tail: [opt()] });
    const accepted = acceptResponse(octets);
    if (accepted.kind === 'fault') {
      t.fail(`${it}: ${accepted.reason}`);
      continue;
    }
    const all = [
      ...(sections.answers ?? []),
      ...(sections.authorities ?? []),
      ...(sections.additionals ?? []),
    ];
    const left = readStrictly(Buffer.from(accepted.octets)).records.map(
      ({ owner, type }) => `${owner} ${typeName(type)}`,
    );
    const gone = all.map(({ owner, type }) => `${owner} ${type}`);
    for (const one of left) if (gone.includes(one)) gone.splice(gone.indexOf(one), 1);
    t.strictSame(gone, leftOut, it);
    t.equal(accepted.index.hasEdns, true, `${it}: what OPT said stays`);
    if (leftOut.length === 0 && !all.some(({ type }) => type === 'SRV' || type === 'DNAME')) {
      t.equal(accepted.octets, octets, `${it}: not copied`);
    }
  }
});

t.test('an answer of which nothing belongs to the name is broken, not empty', async (t) => {
  const octets = compressedMessage({ question: [NAME, 'A'], answers: [a('victim.test')] });
  t.match(acceptResponse(octets), { kind: 'fault', reason: 'no record of the name' });
});

t.test('TSIG, TKEY and SIG(0) are of one hop and left out', async (t) => {
  for (const type of [24, 249, 250]) {
    const record = Buffer.from([0, 0, type, 0, 255, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    const octets = compressedMessage({ question: [NAME, 'A'], answers: [a(NAME)], tail: [opt(), record] });
    const before = compressedMessage({ question: [NAME, 'A'], answers: [a(NAME)], tail: [record, opt()] });
    for (const one of [octets, before]) {
      const accepted = acceptResponse(one);
      t.match(accepted, { kind: 'accepted', index: { answerCount: 1, additionalCount: 0 } }, `TYPE${type}`);
    }
  }
});

t.test('a hostile message of many records takes bounded time', async (t) => {
  const many = Array.from({ length: 3000 }, (_, at) => cname(`${at}.e`, `${at + 1}.e`)).reverse();
  const octets = compressedMessage({ question: ['0.e', 'A'], answers: many });
  const startedMs = process.cpuUsage().user;
  acceptResponse(octets);
  const tookMs = (process.cpuUsage().user - startedMs) / 1000;
  t.comment(`${octets.length} octets in ${tookMs} ms`);
  t.ok(tookMs < 2000);
});

t.test('a response whose names cost too much to compare is refused, a large honest one is not', async (t) => {
  const long = `${'a.'.repeat(115)}stranger.example`;
  const hostile = compressedMessage({
    question: [NAME, 'A'],
    answers: [a(NAME), ...Array.from({ length: 1_000 }, () => cname(long, long))],
  });
  t.match(acceptResponse(hostile), { kind: 'fault', reason: 'too many records' });
  const hosts = Array.from({ length: 300 }, (_, at) => `pod-${at}.service.site.example`);
  const headless = compressedMessage({
    question: [NAME, 'SRV'],
    answers: hosts.map((host) => srv(NAME, host)),
    additionals: hosts.map(a),
  });
  const large = { answerCount: 300, additionalCount: 300 };
  t.match(acceptResponse(headless), { kind: 'accepted', index: large });
});

t.test('hosts that differ at the end of long names are not compared without bound', async (t) => {
  const host = (at: number) => `${'a.'.repeat(110)}h${at}.example`;
  const octets = compressedMessage({
    question: [NAME, 'NS'],
    answers: Array.from({ length: 60 }, (_, at) => ns(NAME, host(at))),
    additionals: Array.from({ length: 900 }, () => a(host(60).replace('h60', 'H59'))),
  });
  t.match(acceptResponse(octets), { kind: 'fault', reason: 'too many records' });
});
