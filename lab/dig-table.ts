/** The answers as dig sees them, row by row; `lab-out/dig.txt` keeps every output. */
import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { LabCheck } from './check.ts';
import { type DigReply, dig } from './dig.ts';
import { ADDRESSES, DNS_PORT, ENDPOINT, SandboxSite } from './sandbox-site.ts';

type Row = readonly [name: string, args: string, expect: (reply: DigReply) => void];

const STATUS_NAME = `_status.${ENDPOINT}`;
const MIXED_CASE = ENDPOINT.replace('eks.amazonaws.com', 'EkS.aMaZoNaWs.CoM');
const OUR_UDP_SIZE = 1232;
const OTHERS_COOKIE = '0102030405060708010000006000000000000000deadbeef';

const CONNECTED: readonly Row[] = [
  ['A of the endpoint: all addresses, with authority', `${ENDPOINT} A`, isEndpoint],
  ['AAAA: no data, SOA, at once', `${ENDPOINT} AAAA`, isNoData],
  ['HTTPS: no data, SOA', `${ENDPOINT} HTTPS`, isNoData],
  ['an unknown type: no data, SOA', `${ENDPOINT} TYPE65280`, isNoData],
  ['ANY over UDP: one HINFO (RFC 8482)', `${ENDPOINT} ANY +notcp`, isMinimalAny],
  ['ANY as dig asks by itself, over TCP', `${ENDPOINT} ANY`, isMinimalAny],
  ['SOA of the endpoint: that of its zone', `${ENDPOINT} SOA`, isApex('SOA')],
  ['NS of the endpoint', `${ENDPOINT} NS`, isApex('NS')],
  ["DS of the endpoint: the parent's no data", `${ENDPOINT} DS`, isNoDs],
  ['a name under it: NXDOMAIN with SOA', `nothing.${ENDPOINT} A`, isNxdomain],
  ['PTR of a served address: the endpoint', `-x ${ADDRESSES[0]}`, isReverse],
  ['PTR of an address not served: NXDOMAIN, not forwarded', '-x 10.0.1.250', isStatus('NXDOMAIN')],
  ['TXT of _status: link, age and sources', `${STATUS_NAME} TXT`, isConnectedStatus],
  ['a mixed-case name: echoed as asked', `${MIXED_CASE} A`, isEchoed],
  ['+tcp', `${ENDPOINT} A +tcp`, isOverTcp],
  ['+noedns: no OPT, and it fits 512 octets', `${ENDPOINT} A +noedns`, hasNoEdns],
  ['+dnssec: DO comes back', `${ENDPOINT} A +dnssec`, hasDnssecOk],
  ['+cookie: a server cookie comes back (RFC 7873, 9018)', `${ENDPOINT} A +cookie`, hasGoodCookie],
  ['+cookie for a forwarded name', 'www.example.com A +cookie', hasGoodCookie],
  [
    '+cookie with a foreign server cookie: a new cookie',
    `${ENDPOINT} A +cookie=${OTHERS_COOKIE}`,
    hasGoodCookie,
  ],
  ['+nocookie: none', `${ENDPOINT} A +nocookie`, hasNoCookie],
  ['a cookie of three octets: FORMERR', `${ENDPOINT} A +nocookie +ednsopt=10:010203`, isStatus('FORMERR')],
  ['+edns=1: BADVERS', `${ENDPOINT} A +edns=1 +noednsnegotiation`, isStatus('BADVERS')],
  ['+norecurse: our own data as ever', `${ENDPOINT} A +norecurse`, isEndpoint],
  ['+norecurse for a name never asked: REFUSED', 'mail.example.com A +norecurse', isStatus('REFUSED')],
  ['class CH where nothing is configured: REFUSED', 'version.bind CH TXT', isStatus('REFUSED')],
  ['opcode NOTIFY: NOTIMP', `${ENDPOINT} SOA +opcode=NOTIFY`, isStatus('NOTIMP')],
  ['a forwarded name', 'www.example.com A', isForwarded],
  ['a forwarded name with a TTL of a second', 'short.example.com A', isStatus('NOERROR')],
  ['a forwarded unknown type: passed on', 'future.example.com TYPE65280', isUnknownType],
  [
    '+bufsize=512 on a large answer: TC, no answer, OPT kept',
    'big.example.com TXT +bufsize=512 +ignore',
    isCut,
  ],
  ['+bufsize=512 on a large answer: whole over TCP', 'big.example.com TXT +bufsize=512', isWhole],
  ['. NS, the health probe of CoreDNS', '. NS', isRootNs],
  ['localhost: loopback', 'localhost A', isLocalhost],
];

const CUT: readonly Row[] = [
  ['A of the endpoint: as ever', `${ENDPOINT} A`, isEndpoint],
  ['AAAA: as ever', `${ENDPOINT} AAAA`, isNoData],
  ['SOA: as ever', `${ENDPOINT} SOA`, isApex('SOA')],
  ['DS: no data', `${ENDPOINT} DS`, isNoDs],
  ['TXT of _status', `${STATUS_NAME} TXT`, isStatus('NOERROR')],
  ['a name asked before: its last answer', 'www.example.com A', isForwarded],
  ['a name whose TTL is over: stale, and said so (RFC 8767, 8914)', 'short.example.com A', isStale],
  [
    'a name never asked before: SERVFAIL with the reason, in time',
    'v4only.example.com A +tries=1 +timeout=7',
    isFailure,
  ],
  ['. NS, the health probe of CoreDNS: answered', '. NS', isRootNs],
];

export const digTable: LabCheck = {
  name: 'dig',
  about: 'the table of answers, asked with dig, connected and cut off',
  tools: ['dig', 'ip', 'curl', 'git'],
  async run(lab) {
    await using site = await SandboxSite.start(lab.workshop, 'dig');
    await site.untilLearned();
    const report = await lab.workshop.reportFile('dig.txt');
    await writeFile(report, '');
    const rows = async (state: string, table: readonly Row[]) => {
      for (const [name, args, expect] of table) {
        await lab.step(`${state}: ${name}`, async () => {
          const reply = await dig(site.within, '@127.0.0.1', '-p', `${DNS_PORT}`, ...args.split(' '));
          await appendFile(
            report,
            `### ${state}: ${name}\n$ dig @127.0.0.1 -p ${DNS_PORT} ${args}\n${reply.text}\n`,
          );
          try {
            expect(reply);
          } catch (error) {
            throw new Error(`${error instanceof Error ? error.message : error}\n${reply.text}`);
          }
        });
      }
    };
    await site.command('/records', {
      name: 'short.example.com',
      type: 'A',
      values: ['192.0.2.99'],
      ttlSeconds: 1,
    });
    await rows('connected', CONNECTED);
    await lab.step('connected: the first address rotates', async () => {
      const firsts = new Set<string | undefined>();
      for (let asked = 0; asked < 12; asked++) {
        const { answer } = await dig(site.within, '@127.0.0.1', '-p', `${DNS_PORT}`, ENDPOINT);
        firsts.add(answer[0]?.data);
      }
      assert.equal(firsts.size, ADDRESSES.length);
    });
    await site.command('/link', { state: 'down' });
    await setTimeout(2_000); // the TTL of the short name, one second, is over on a fast machine too
    await rows('cut off', CUT);
    lab.note(`every output: ${report}`);
  },
};

function isEndpoint(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  hasFlags(reply, 'qr', 'aa', 'ra');
  assert.deepEqual(reply.answer.map(({ data }) => data).sort(), ADDRESSES);
  assert.ok(reply.answer.every(({ type }) => type === 'A'));
  assert.ok(
    reply.answer.every(({ ttlSeconds }) => ttlSeconds >= 5 && ttlSeconds <= 60),
    'TTL from 5 to 60',
  );
  assert.deepEqual([reply.edns?.version, reply.edns?.sizeOctets], [0, OUR_UDP_SIZE]);
  isQuick(reply);
}

/** dig says "good" where its own half of the cookie came back; the other half has version 1. */
function hasGoodCookie(reply: DigReply): void {
  assert.match(reply.text, /^; COOKIE: [0-9a-f]{16}01000000[0-9a-f]{24} \(good\)$/m);
  assert.doesNotMatch(reply.text, /^; COOKIE: .*deadbeef/m, 'not the one that was sent');
}

function hasNoCookie(reply: DigReply): void {
  assert.doesNotMatch(reply.text, /COOKIE/);
}

function isNoData(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  hasFlags(reply, 'qr', 'aa', 'ra');
  assert.deepEqual(reply.answer, []);
  assert.deepEqual(
    reply.authority.map(({ type }) => type),
    ['SOA'],
  );
  isQuick(reply);
}

function isApex(type: string): (reply: DigReply) => void {
  return (reply) => {
    assert.equal(reply.status, 'NOERROR');
    hasFlags(reply, 'qr', 'aa', 'ra');
    assert.deepEqual(
      reply.answer.map((record) => record.type),
      [type],
    );
    isQuick(reply);
  };
}

function isNoDs(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.deepEqual(reply.answer, []);
}

function isNxdomain(reply: DigReply): void {
  assert.equal(reply.status, 'NXDOMAIN');
  hasFlags(reply, 'qr', 'aa', 'ra');
  assert.deepEqual(
    reply.authority.map(({ type }) => type),
    ['SOA'],
  );
}

function isMinimalAny(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.deepEqual(
    reply.answer.map(({ type, data }) => `${type} ${data}`),
    ['HINFO "RFC8482" ""'],
  );
}

function isReverse(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  hasFlags(reply, 'qr', 'aa', 'ra');
  assert.deepEqual(
    reply.answer.map(({ type, data }) => `${type} ${data}`),
    [`PTR ${ENDPOINT.toLowerCase()}.`],
  );
}

function isConnectedStatus(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  const strings = reply.answer.map(({ data }) => data).join(' ');
  for (const pattern of [/link=connected/, /age=\d+s/, /addresses=3/, /dns=\d+s ago/, /interfaces=\d+s ago/])
    assert.match(strings, pattern);
}

function isEchoed(reply: DigReply): void {
  isEndpoint(reply);
  assert.equal(reply.question, `${MIXED_CASE}.`);
}

function isOverTcp(reply: DigReply): void {
  isEndpoint(reply);
  assert.equal(reply.transport, 'TCP');
}

function hasNoEdns(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.equal(reply.edns, undefined);
  assert.equal(reply.answer.length, ADDRESSES.length);
  assert.ok(reply.sizeOctets <= 512, `${reply.sizeOctets} octets`);
  assert.equal(reply.transport, 'UDP');
}

function hasDnssecOk(reply: DigReply): void {
  isEndpoint(reply);
  assert.deepEqual(reply.edns?.flags, ['do']);
}

function isForwarded(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  hasFlags(reply, 'qr', 'ra');
  assert.ok(!reply.flags.includes('aa'), 'not ours: no authority');
  assert.ok(!reply.flags.includes('ad'), 'not validated by us: no AD');
  assert.deepEqual(reply.answer.map(({ data }) => data).sort(), ['192.0.2.10', '192.0.2.11']);
}

function isStale(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.deepEqual(
    reply.answer.map(({ ttlSeconds, data }) => `${ttlSeconds} ${data}`),
    ['30 192.0.2.99'],
  );
  assert.deepEqual(reply.edns?.extendedErrors, [3]);
}

function isUnknownType(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.match(reply.answer[0]?.data ?? '', /^\\# 4 0A0B0C0D$/i);
}

function isCut(reply: DigReply): void {
  hasFlags(reply, 'qr', 'tc', 'ra');
  assert.equal(reply.transport, 'UDP');
  assert.deepEqual(reply.answer, []);
  assert.equal(reply.question.toLowerCase(), 'big.example.com.');
  assert.equal(reply.edns?.version, 0);
  assert.ok(reply.sizeOctets <= 512, `${reply.sizeOctets} octets`);
}

function isWhole(reply: DigReply): void {
  assert.ok(reply.wasRetried, 'dig had to ask again over TCP');
  assert.equal(reply.transport, 'TCP');
  assert.ok(!reply.flags.includes('tc'));
  assert.ok(reply.sizeOctets > 4000, `${reply.sizeOctets} octets`);
}

function isRootNs(reply: DigReply): void {
  assert.equal(reply.status, 'NOERROR');
  assert.ok(reply.answer.some(({ type }) => type === 'NS'));
  isQuick(reply);
}

function isLocalhost(reply: DigReply): void {
  assert.deepEqual(
    reply.answer.map(({ data }) => data),
    ['127.0.0.1'],
  );
}

function isFailure(reply: DigReply): void {
  assert.equal(reply.status, 'SERVFAIL');
  assert.ok(reply.queryMs < 5500, `${reply.queryMs} ms`);
  const reasons = reply.edns?.extendedErrors ?? [];
  assert.ok(reasons.includes(22) || reasons.includes(23), 'EDE 22 or 23 (RFC 8914)');
}

function isStatus(status: string): (reply: DigReply) => void {
  return (reply) => assert.equal(reply.status, status);
}

function hasFlags({ flags }: DigReply, ...expected: string[]): void {
  assert.deepEqual(
    expected.filter((flag) => !flags.includes(flag)),
    [],
    'flags missing',
  );
}

function isQuick({ queryMs }: DigReply): void {
  assert.ok(queryMs <= 100, `at once, not after ${queryMs} ms`);
}
