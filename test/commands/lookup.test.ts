import fc from 'fast-check';
import t from 'tap';
import { readExtendedErrors, readReply } from '../../src/commands/dns-exchange.ts';
import { replyText } from '../../src/commands/lookup.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { parseQuery, Query, VERDICT } from '../../src/protocol/wire/query.ts';
import { indexResponse } from '../../src/protocol/wire/response.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';
import { message, opt, rawRecord, soaData } from '../helpers/zone-text.ts';
import { extendedError, fakeServer, repliedTo } from './fake-server.ts';
import { run } from './running.ts';

const NAME = 'abc.example';
const A1 = rawRecord(NAME, 'A', 30, [10, 0, 1, 10]);
const A2 = rawRecord(NAME, 'A', 30, [10, 0, 1, 11]);
const QR = 0x8000;
const [AA, TC, RD, RA] = [0x0400, 0x0200, 0x0100, 0x0080];

const reply = (flags: number, answers: readonly Buffer[] = [], option = opt(), type = 'A') =>
  message({ flags: QR | RD | RA | flags, question: [NAME, type], answers, additionals: [option] });

t.test(
  'the query: recursion desired, EDNS with 1232 octets, the name in the case that was typed',
  async (t) => {
    const seen = new Query();
    let verdict: number | undefined;
    const server = await fakeServer(t, (query) => {
      const copy = Uint8Array.from(query);
      verdict = parseQuery(seen, copy, 0, copy.length);
      return [repliedTo(query, reply(AA, [A1]))];
    });
    const { code } = await run(['lookup', 'ABC.Example.', '-s', server]);
    t.equal(code, 0, 'a reply whose question is in other case matches');
    t.equal(verdict, VERDICT.OK);
    t.match(seen, {
      recursionDesired: true,
      hasEdns: true,
      udpLimit: 1232,
      qtype: 1,
      qclass: 1,
      dnssecOk: false,
    });
    t.match(Buffer.from(seen.octets).toString('latin1'), 'ABC\x07Example');
  },
);

t.test('a reply to another type is no reply to the question: only a name has case', async (t) => {
  // HTTPS is 65, "A" in ASCII, and 97 is "a"
  const another = reply(AA, [A1], opt(), 'TYPE97');
  const https = reply(AA, [A2], opt(), 'HTTPS');
  const server = await fakeServer(t, (query) => [another, https].map((one) => repliedTo(query, one)));
  const { stdout } = await run(['lookup', NAME, 'HTTPS', '-s', server]);
  t.match(stdout, '10.0.1.11');
  t.notMatch(stdout, '10.0.1.10');
});

t.test('an answer of the server itself: exit 0, records, flags, source, time', async (t) => {
  const server = await fakeServer(t, (query) => [repliedTo(query, reply(AA, [A1, A2]))]);
  const { code, stdout, stderr } = await run(['lookup', NAME, '--server', server]);
  t.equal(code, 0);
  t.equal(stderr, '');
  const lines = stdout.split('\n');
  t.strictSame(lines.slice(0, 6), [
    'abc.example A',
    '  abc.example  30  A  10.0.1.10',
    '  abc.example  30  A  10.0.1.11',
    '  code:    NOERROR',
    '  flags:   aa rd ra',
    '  from:    kept by the server itself (authoritative)',
  ]);
  t.match(lines[6], new RegExp(`^ {2}server: {2}${server} over UDP, [0-9.]+ ms$`));
});

interface Outcome {
  readonly name: string;
  readonly reply: Buffer;
  readonly code: 0 | 1;
  readonly shown: readonly RegExp[];
}

const OUTCOMES: readonly Outcome[] = [
  { name: 'forwarded', reply: reply(0, [A1]), code: 0, shown: [/from: {4}forwarded or cached/] },
  {
    name: 'stale answer',
    reply: reply(0, [A1], extendedError(3)),
    code: 0,
    shown: [/from: {4}stale: kept from before/, /error: {3}stale answer \(3\)\n/],
  },
  {
    name: 'stale NXDOMAIN',
    reply: reply(3, [], extendedError(19)),
    code: 0,
    shown: [/code: {4}NXDOMAIN/, /from: {4}stale/],
  },
  { name: 'NXDOMAIN is an answer', reply: reply(3), code: 0, shown: [/NXDOMAIN/, /forwarded or cached/] },
  { name: 'no records', reply: reply(0), code: 0, shown: [/^ {2}no records$/m] },
  {
    name: 'SERVFAIL with its reason and the server’s own words',
    reply: reply(2, [], extendedError(22, 'all 2 upstreams are down')),
    code: 1,
    shown: [
      /SERVFAIL/,
      /from: {4}nowhere: no answer/,
      /no reachable authority \(22\): all 2 upstreams are down/,
    ],
  },
  {
    name: 'REFUSED',
    reply: reply(5, [], extendedError(18)),
    code: 1,
    shown: [/REFUSED/, /prohibited \(18\)/],
  },
  { name: 'NOTIMP', reply: reply(4), code: 1, shown: [/NOTIMP/] },
  {
    name: 'BADVERS, whose upper bits are in OPT',
    reply: reply(0, [], opt({ extendedRcode: 1 })),
    code: 1,
    shown: [/BADVERS/],
  },
  {
    name: 'an extended error that is not known by name, with a NUL at its end',
    reply: reply(2, [], extendedError(29, 'x\0')),
    code: 1,
    shown: [/error: {3}extended error 29: x\n/],
  },
  {
    name: 'texts that would steer the terminal',
    reply: reply(2, [], extendedError(22, '\x1b[2Jboo')),
    code: 1,
    shown: [/\(22\): \[2Jboo\n/],
  },
];

for (const { name, reply: octets, code: wanted, shown } of OUTCOMES) {
  t.test(`outcome: ${name}`, async (t) => {
    const server = await fakeServer(t, (query) => [repliedTo(query, octets)]);
    const { code, stdout } = await run(['lookup', NAME, '-s', server]);
    t.equal(code, wanted, stdout);
    for (const pattern of shown) t.match(stdout, pattern);
    t.notMatch(stdout, '\x1b');
  });
}

t.test('truncated over UDP: asked again over TCP', async (t) => {
  const server = await fakeServer(t, (query, transport) => [
    repliedTo(query, transport === 'udp' ? reply(AA | TC) : reply(AA, [A1])),
  ]);
  const { code, stdout } = await run(['lookup', NAME, '-s', server]);
  t.equal(code, 0);
  t.match(stdout, /10\.0\.1\.10[\s\S]* over TCP, /);
});

t.test('only a reply to the question counts: wrong ID, wrong name, wrong type, no response', async (t) => {
  const server = await fakeServer(t, (query) => {
    const right = repliedTo(query, reply(AA, [A1]));
    const bad = [rawRecord(NAME, 'A', 30, [6, 6, 6, 6])];
    const wrongId = reply(AA, bad);
    wrongId.writeUInt16BE((right.readUInt16BE(0) + 1) & 0xffff, 0);
    const other = message({ flags: 0x8180, question: ['abd.example', 'A'], answers: bad });
    const otherType = message({ flags: 0x8180, question: [NAME, 'TXT'], answers: bad });
    const noResponse = message({ flags: 0x0100, question: [NAME, 'A'] });
    const headerOnly = right.subarray(0, 12);
    return [
      wrongId,
      ...[other, otherType, noResponse, headerOnly].map((one) => repliedTo(query, one)),
      right,
    ];
  });
  const { code, stdout } = await run(['lookup', NAME, '-s', server]);
  t.equal(code, 0);
  t.match(stdout, '10.0.1.10');
  t.notMatch(stdout, '6.6.6.6');
});

t.test('a lost datagram is asked for once more, with another ID', async (t) => {
  const ids: number[] = [];
  const server = await fakeServer(t, (query) => {
    ids.push(query.readUInt16BE(0));
    return ids.length === 1 ? [] : [repliedTo(query, reply(AA, [A1]))];
  });
  const { code, elapsedMs } = await run(['lookup', NAME, '-s', server]);
  t.equal(code, 0);
  t.equal(ids.length, 2);
  t.not(ids[0], ids[1]);
  t.ok(elapsedMs > 4_900, `after 5 s: ${Math.round(elapsedMs)} ms`);
});

t.test('no server: exit 1 at once, with the fix', async (t) => {
  const { code, stdout, stderr } = await run(['lookup', NAME, '-s', '127.0.0.1:1']);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(
    stderr,
    /^outpost-dns: cannot ask "127\.0\.0\.1:1": nothing listens there\n {4}is the server running\?/,
  );
});

t.test('a broken reply: exit 1, and the reason', async (t) => {
  const server = await fakeServer(t, (query) => {
    const octets = repliedTo(query, message({ question: [NAME, 'A'], answers: [A1] }));
    octets.writeUInt16BE(9, 6); // nine answers, one there
    return [octets];
  });
  const { code, stderr } = await run(['lookup', NAME, '-s', server]);
  t.equal(code, 1);
  t.match(stderr, /cannot read the reply of "127\.0\.0\.1:\d+": cut off/);
});

t.test('--json', async (t) => {
  const server = await fakeServer(t, (query) => [
    repliedTo(query, reply(0, [A1], extendedError(3, 'upstream is down'))),
  ]);
  const { code, stdout } = await run(['lookup', NAME, 'a', '--json', '-s', server]);
  t.equal(code, 0);
  const { elapsedMs, ...rest } = JSON.parse(stdout);
  t.type(elapsedMs, 'number');
  t.strictSame(rest, {
    server,
    transport: 'udp',
    name: NAME,
    type: 'A',
    rcode: 'NOERROR',
    flags: ['rd', 'ra'],
    from: 'stale: kept from before, because no upstream answers now',
    extendedErrors: [{ code: 3, meaning: 'stale answer', text: 'upstream is down' }],
    records: [{ section: 'answer', name: NAME, ttlSeconds: 30, type: 'A', data: '10.0.1.10' }],
  });
});

t.test('wrong usage: exit 2 with the fix, and no query', async (t) => {
  const cases = [
    [
      ['lookup', NAME, 'AAAAA'],
      /argument value 'AAAAA' is invalid for argument 'type'\. Not a record type:\n {4}write a mnemonic/,
    ],
    [['lookup', NAME, 'TYPE70000'], /'TYPE70000' is invalid for argument 'type'/],
    [['lookup', NAME, 'TYPE0'], /'TYPE0' is invalid for argument 'type'/],
    [['lookup', 'a..b'], /not a domain name: "a\.\.b"\n {4}empty label/],
    [['lookup', 'a'.repeat(64)], /label too long/],
    [['lookup', 'bücher.example'], /\n {4}write xn--bcher-kva\.example\n$/],
    [['lookup', 'a b'], /not a domain name/],
    [['lookup', ''], /write a name, or \. for the root/],
    [['lookup', String.raw`a\.b.example`], /use dig/],
    [['lookup', NAME, '-s', 'localhost'], /'localhost' is invalid\..*\n {4}write 127\.0\.0\.1\n/],
    [['lookup', NAME, '-s', '127.0.0.1:0'], /is invalid\. port "0".*\n {4}write host:port/],
  ] as const;
  const ended = await Promise.all(cases.map(([words]) => run(words)));
  for (const [at, { code, stdout, stderr }] of ended.entries()) {
    t.equal(code, 2, stderr);
    t.equal(stdout, '');
    t.match(stderr, cases[at]![1]);
  }
});

t.test('records of the other sections name their section', async (t) => {
  const server = await fakeServer(t, (query) => [
    repliedTo(
      query,
      message({
        flags: QR | AA,
        question: [NAME, 'AAAA'],
        authorities: [rawRecord(NAME, 'SOA', 60, soaData(60))],
        additionals: [opt(), rawRecord('ns.example', 'A', 60, [10, 0, 0, 1])],
      }),
    ),
  ]);
  const { stdout } = await run(['lookup', NAME, 'AAAA', '-s', server]);
  t.match(stdout, 'abc.example  60  SOA  . . 0 0 0 0 60  (authority)');
  t.match(stdout, 'ns.example   60  A    10.0.0.1  (additional)');
});

t.test('a record whose data does not fit its type: exit 1, and the reason', async (t) => {
  const server = await fakeServer(t, (query) => [
    repliedTo(query, reply(0, [A1, rawRecord(NAME, 'A', 30, [1, 2, 3])])),
  ]);
  const { code, stdout, stderr } = await run(['lookup', NAME, '-s', server]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.match(stderr, /rdata broken/);
});

t.test('names in replies cannot steer the terminal', async (t) => {
  const shown = replyText(
    {
      ...{
        server: 's',
        transport: 'udp',
        elapsedMs: 1,
        name: 'a',
        type: 'A',
        rcode: 'NOERROR',
        flags: [],
        from: 'x',
      },
      extendedErrors: [],
      records: [{ section: 'answer', name: 'a\x1b[2J', ttlSeconds: 1, type: 'TXT', data: '"\x9b31m\n\x07"' }],
    },
    paintNothing,
  ).join('|');
  t.notMatch(shown, /\p{Cc}/u);
});

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
