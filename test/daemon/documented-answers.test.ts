/**
 * One table from the documents to the answer: each feature of the answer side, asked through the daemon's own rooms while
 * connected and in a cut. A key of the configuration that decides about answers and has no row here fails the test. A row
 * whose document no longer says the quoted sentence fails it, too.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { rcodeName } from '../../src/protocol/words/codes.ts';
import { nameToWire } from '../../src/protocol/words/name.ts';
import { message, rawRecord } from '../helpers/zone-text.ts';
import type { QueryText, ReadReply } from '../serving/resolver/messages.ts';
import { ENDPOINT, VirtualSite } from './virtual-site.ts';

const root = join(import.meta.dirname, '../..');
const SITE = '10.9.9.53';
const MINUTE_MS = 60_000;

interface Row {
  /** Document, and a text in it that says what is tested. */
  readonly says: readonly [file: string, text: string];
  /** Keys of the configuration that this row is about. */
  readonly keys?: readonly string[];
  /** Added to the configuration. */
  readonly config?: string;
  /** Keys of the only cluster. */
  readonly cluster?: string;
  readonly asks: readonly Ask[];
}

/** A question as `name TYPE` with its answers, connected and in a cut of five minutes; `undefined` where it is not asked then. */
type Ask = readonly [
  question: string | QueryText,
  connected: string | RegExp | undefined,
  cut: string | RegExp | undefined,
];

const ADDRESSES = 'NOERROR aa 10.0.1.10, 10.0.2.10, 10.0.3.10';
const NO_DATA = `NOERROR aa | ${ENDPOINT} SOA`;
const FAILED = 'SERVFAIL ede=22';

const ROWS: readonly Row[] = [
  {
    says: ['README.md', "an endpoint's name | as ever, at once, from the last known addresses"],
    keys: ['clusters.endpoint', 'clusters.name', 'clusters.region'],
    asks: [
      [`${ENDPOINT} A`, ADDRESSES, ADDRESSES],
      [`${ENDPOINT} AAAA`, NO_DATA, NO_DATA],
      [`${ENDPOINT} HTTPS`, NO_DATA, NO_DATA],
      [`${ENDPOINT} ANY`, 'NOERROR aa RFC8482|', 'NOERROR aa RFC8482|'],
      [`${ENDPOINT} NS`, `NOERROR aa ${ENDPOINT}`, `NOERROR aa ${ENDPOINT}`],
      [`${ENDPOINT} SOA`, /^NOERROR aa 5e9d0f3c.*nobody\.invalid/, /^NOERROR aa 5e9d0f3c.*nobody\.invalid/],
      [`${ENDPOINT} DS`, undefined, NO_DATA],
      [`x.${ENDPOINT} A`, `NXDOMAIN aa | ${ENDPOINT} SOA`, `NXDOMAIN aa | ${ENDPOINT} SOA`],
      [`10.1.0.10.in-addr.arpa PTR`, `NOERROR aa ${ENDPOINT}`, `NOERROR aa ${ENDPOINT}`],
      [{ name: ENDPOINT, rd: false }, ADDRESSES, ADDRESSES],
    ],
  },
  {
    says: ['docs/outage.md', '_status.abc.gr7.us-west-2.eks.amazonaws.com TXT'],
    asks: [[`_status.${ENDPOINT} TXT`, /^NOERROR aa .*link=connected/, /^NOERROR aa .*link=disconnected/]],
  },
  {
    says: [
      'docs/configuration.md',
      'addresses to serve in place of those from the sources; shown everywhere as pinned',
    ],
    keys: ['clusters.pin'],
    cluster: 'pin: [10.0.7.7]',
    asks: [[`${ENDPOINT} A`, 'NOERROR aa 10.0.7.7', 'NOERROR aa 10.0.7.7']],
  },
  {
    says: [
      'docs/configuration.md',
      'networks that an address of the endpoint may be in; other addresses are refused',
    ],
    keys: ['clusters.allowedAddresses'],
    cluster: 'allowedAddresses: [10.0.1.0/24, 10.0.2.0/24]',
    asks: [[`${ENDPOINT} A`, 'NOERROR aa 10.0.1.10, 10.0.2.10', 'NOERROR aa 10.0.1.10, 10.0.2.10']],
  },
  {
    says: [
      'docs/configuration.md',
      'networks of the VPC; while disconnected, reverse names in them are computed as the resolver of the VPC does',
    ],
    keys: ['clusters.vpcNetworks'],
    cluster: 'vpcNetworks: [10.20.0.0/16, 198.51.100.0/24]',
    asks: [
      ['10.3.20.10.in-addr.arpa PTR', undefined, 'NOERROR ip-10-20-3-10.us-west-2.compute.internal'],
      ['7.100.51.198.in-addr.arpa PTR', undefined, 'NOERROR ip-198-51-100-7.us-west-2.compute.internal'],
      ['10.3.20.10.in-addr.arpa A', undefined, 'NOERROR | 20.10.in-addr.arpa SOA'],
      ['20.10.in-addr.arpa PTR', undefined, 'NOERROR | 20.10.in-addr.arpa SOA'],
      ['10.3.21.10.in-addr.arpa PTR', undefined, /^NXDOMAIN (aa )?\| 10\.in-addr\.arpa SOA$/],
      ['10.1.0.10.in-addr.arpa PTR', `NOERROR aa ${ENDPOINT}`, `NOERROR aa ${ENDPOINT}`],
    ],
  },
  {
    says: ['docs/configuration.md', 'while disconnected, reverse names in them are computed'],
    cluster: 'vpcNetworks: [10.20.0.0/16]',
    config: 'forward: { siteNames: always }',
    asks: [
      ['10.3.20.10.in-addr.arpa PTR', 'NXDOMAIN | . SOA', 'NXDOMAIN | . SOA'],
      ['11.3.20.10.in-addr.arpa PTR', undefined, 'NOERROR ip-10-20-3-11.us-west-2.compute.internal'],
      ['11.3.21.10.in-addr.arpa PTR', undefined, /^NXDOMAIN (aa )?\| 10\.in-addr\.arpa SOA$/],
    ],
  },
  {
    says: ['docs/configuration.md', 'servers that all other questions are forwarded to'],
    keys: ['upstreams'],
    asks: [
      ['www.example.com A', 'NOERROR 192.0.2.80', 'NOERROR 192.0.2.80'],
      ['new.example.com A', undefined, FAILED],
      [{ name: 'other.example.com', rd: false }, 'REFUSED', 'REFUSED'],
      ['. NS', /^NOERROR/, /./],
    ],
  },
  {
    says: ['docs/configuration.md', 'the servers of the zone, which are asked'],
    keys: ['zones.name', 'zones.forwardTo'],
    config: `zones: [{ name: corp.example, forwardTo: [${SITE}] }]`,
    asks: [
      ['db.corp.example A', 'NOERROR 10.4.0.1', 'NOERROR 10.4.0.1'],
      ['new.corp.example A', undefined, 'NOERROR 10.4.0.1'],
      ['corp.example DS', 'NXDOMAIN | . SOA', 'NXDOMAIN | . SOA'],
    ],
  },
  {
    says: ['docs/configuration.md', 'answer every question with this response code'],
    keys: ['zones.answer'],
    config:
      'zones: [{ name: ads.example, answer: nxdomain }, { name: bad.example, answer: servfail }, { name: no.example, answer: refused }]',
    asks: [
      ['x.ads.example A', 'NXDOMAIN aa | ads.example SOA', 'NXDOMAIN aa | ads.example SOA'],
      ['bad.example A', 'SERVFAIL ede=15', 'SERVFAIL ede=15'],
      ['no.example A', 'REFUSED ede=15', 'REFUSED ede=15'],
    ],
  },
  {
    says: [
      'docs/configuration.md',
      'answer from these records (A, AAAA, CNAME, TXT, PTR, MX, NS; TTL 60 unless given)',
    ],
    keys: ['zones.records'],
    config: `zones:
  - name: own.example
    records: ['www A 10.0.0.5', '@ TXT "kept"', '@ MX 10 www', 'six AAAA fd00::5', 'api CNAME ${ENDPOINT}.', 'far CNAME www.example.com.']
  - { name: 0.10.in-addr.arpa, records: ['5.0 PTR www.own.example.'] }`,
    asks: [
      ['www.own.example A', 'NOERROR aa 10.0.0.5', 'NOERROR aa 10.0.0.5'],
      ['own.example TXT', 'NOERROR aa kept', 'NOERROR aa kept'],
      ['own.example MX', /^NOERROR aa 000a/, /^NOERROR aa 000a/],
      ['own.example NS', 'NOERROR aa own.example', 'NOERROR aa own.example'],
      ['six.own.example AAAA', /^NOERROR aa fd00/, /^NOERROR aa fd00/],
      ['none.own.example A', 'NXDOMAIN aa | own.example SOA', 'NXDOMAIN aa | own.example SOA'],
      ['5.0.0.10.in-addr.arpa PTR', 'NOERROR aa www.own.example', 'NOERROR aa www.own.example'],
      [
        'api.own.example A',
        `NOERROR aa 10.0.1.10, 10.0.2.10, 10.0.3.10, ${ENDPOINT}`,
        `NOERROR aa 10.0.1.10, 10.0.2.10, 10.0.3.10, ${ENDPOINT}`,
      ],
      [
        'far.own.example A',
        'NOERROR aa 192.0.2.80, www.example.com',
        'NOERROR aa 192.0.2.80, www.example.com',
      ],
    ],
  },
  {
    says: ['docs/outage.md', 'Any alias ends in the answer that this server has for its target'],
    asks: [
      [
        'alias.example.com A',
        `NOERROR 10.0.1.10, 10.0.2.10, 10.0.3.10, ${ENDPOINT}`,
        `NOERROR 10.0.1.10, 10.0.2.10, 10.0.3.10, ${ENDPOINT}`,
      ],
      [
        'alias.example.com AAAA',
        `NOERROR ${ENDPOINT} | ${ENDPOINT} SOA`,
        `NOERROR ${ENDPOINT} | ${ENDPOINT} SOA`,
      ],
    ],
  },
  {
    says: ['docs/configuration.md', 'the answer while none of the servers of this zone answers'],
    keys: ['zones.whileDisconnected'],
    config: `zones:
  - { name: keep.example.com, whileDisconnected: stale }
  - { name: fail.example.com, whileDisconnected: servfail }
  - { name: deny.example.com, whileDisconnected: nxdomain }
  - { name: own.example.com, whileDisconnected: ['db A 10.0.0.8', 'api CNAME ${ENDPOINT}.'] }`,
    asks: [
      ['x.keep.example.com A', 'NOERROR 192.0.2.80', 'NOERROR 192.0.2.80'],
      ['x.fail.example.com A', 'NOERROR 192.0.2.80', FAILED],
      ['x.deny.example.com A', 'NOERROR 192.0.2.80', 'NXDOMAIN | deny.example.com SOA'],
      ['db.own.example.com A', 'NOERROR 192.0.2.80', 'NOERROR 10.0.0.8'],
      ['api.own.example.com A', 'NOERROR 192.0.2.80', `NOERROR 10.0.1.10, 10.0.2.10, 10.0.3.10, ${ENDPOINT}`],
      ['x.own.example.com A', 'NOERROR 192.0.2.80', 'NXDOMAIN | own.example.com SOA'],
    ],
  },
  {
    says: ['docs/configuration.md', 'names that are asked for on a schedule while an upstream answers'],
    keys: ['retain', 'retain.name', 'retain.ignoreDenials'],
    config: 'retain: [mail.example.com, "_ntp._udp.example.com SRV"]',
    asks: [
      ['mail.example.com A', 'NOERROR 192.0.2.80', 'NOERROR 192.0.2.80'],
      ['mail.example.com AAAA', /^NOERROR/, /^NOERROR/],
      ['mail.example.com TXT', undefined, 'NOERROR ede=3'],
      ['_ntp._udp.example.com SRV', undefined, /^NOERROR 00/],
    ],
  },
  {
    says: ['docs/outage.md', 'A question that a search list made of a known name and a suffix'],
    config: 'retain: [mail.example.com]\nzones: [{ name: own.test.example, records: ["www A 10.0.0.5"] }]',
    asks: [
      ['mail.example.com.ns.svc.example.com A', 'NOERROR 192.0.2.80', 'NOERROR 192.0.2.80'],
      ['mail.example.com.site.example A', undefined, 'NXDOMAIN ede=22'],
      [`${ENDPOINT}.site.example A`, undefined, 'NXDOMAIN ede=22'],
      ['www.own.test.example.site.example A', undefined, 'NXDOMAIN ede=22'],
      ['nobody.knows.site.example A', undefined, FAILED],
    ],
  },
  {
    says: [
      'README.md',
      "EC2's own names (`ip-10-0-3-10.us-west-2.compute.internal`) | worked out from the name; the rest denied at once",
    ],
    asks: [
      ['ip-10-0-3-10.us-west-2.compute.internal A', 'NXDOMAIN | . SOA', 'NXDOMAIN ede=19 | . SOA'],
      ['ip-10-0-3-11.us-west-2.compute.internal A', undefined, 'NOERROR 10.0.3.11'],
      ['mail.us-west-2.compute.internal A', undefined, 'NXDOMAIN | us-west-2.compute.internal SOA'],
    ],
  },
  {
    says: ['README.md', 'a service of AWS | SERVFAIL at once, unless a zone rule says otherwise'],
    config: 'zones: [{ name: s3.us-west-2.amazonaws.com, whileDisconnected: stale }]',
    asks: [
      ['sts.us-west-2.amazonaws.com A', 'NOERROR 192.0.2.81', FAILED],
      ['x.s3.us-west-2.amazonaws.com A', 'NOERROR 192.0.2.81', 'NOERROR 192.0.2.81 ede=3'],
    ],
  },
  {
    says: [
      'docs/configuration.md',
      'time after its expiry in which an answer is served while its upstreams do not answer; 0s turns it off',
    ],
    keys: ['cache.staleFor'],
    config: 'cache: { staleFor: 0s }',
    asks: [['short.example.com A', 'NOERROR 192.0.2.82', FAILED]],
  },
  {
    says: ['docs/configuration.md', 'longest time an answer counts as fresh'],
    keys: ['cache.maxTtl', 'cache.staleTtl', 'cache.negativeTtl'],
    config: 'cache: { maxTtl: 60s, staleTtl: 7s, negativeTtl: 9s }',
    asks: [
      ['www.example.com A', 'NOERROR 192.0.2.80 ttl=60', 'NOERROR 192.0.2.80 ttl=7 ede=3'],
      ['none.example.net A', 'NXDOMAIN | . SOA ttl=9', 'NXDOMAIN ede=19 | . SOA ttl=7'],
    ],
  },
  {
    says: ['docs/configuration.md', 'pass on the AD bit of upstreams, which must be near and trusted'],
    keys: ['forward.trustAuthenticatedData'],
    config: 'forward: { trustAuthenticatedData: true }',
    asks: [[{ name: 'signed.example.com', ad: true }, 'NOERROR ad 192.0.2.83', 'NOERROR ad 192.0.2.83']],
  },
  {
    says: ['docs/configuration.md', 'answer to version.bind in class CH; without it REFUSED'],
    keys: ['identity.version', 'identity.id'],
    config: 'identity: { version: one, id: two }',
    asks: [
      [{ name: 'version.bind', type: 'TXT', qclass: 3 }, 'NOERROR aa one', 'NOERROR aa one'],
      [{ name: 'id.server', type: 'TXT', qclass: 3 }, 'NOERROR aa two', 'NOERROR aa two'],
      [{ name: 'other.bind', type: 'TXT', qclass: 3 }, 'REFUSED', 'REFUSED'],
    ],
  },
  {
    says: [
      'docs/special-names.md',
      'While upstreams on the site do not answer, the server gives the answers that it keeps, and denies all other names.',
    ],
    keys: ['forward.siteNames'],
    config: 'forward: { siteNames: always }',
    asks: [
      ['9.9.9.10.in-addr.arpa PTR', 'NXDOMAIN | . SOA', 'NXDOMAIN | . SOA'],
      ['8.9.9.10.in-addr.arpa PTR', undefined, 'NXDOMAIN | 10.in-addr.arpa SOA'],
      ['printer.local A', 'NXDOMAIN | . SOA', undefined],
      ['other.local A', undefined, 'NXDOMAIN | local SOA'],
      ['x.invalid A', 'NXDOMAIN aa | invalid SOA', 'NXDOMAIN aa | invalid SOA'],
    ],
  },
  {
    says: ['README.md', 'forwards all other names through a cache'],
    asks: [
      ['localhost A', 'NOERROR aa 127.0.0.1', 'NOERROR aa 127.0.0.1'],
      ['1.0.0.127.in-addr.arpa PTR', 'NOERROR aa localhost', 'NOERROR aa localhost'],
      ['x.invalid A', 'NXDOMAIN aa | invalid SOA', 'NXDOMAIN aa | invalid SOA'],
      ['x.onion A', 'NXDOMAIN aa | onion SOA', 'NXDOMAIN aa | onion SOA'],
      ['9.9.9.10.in-addr.arpa PTR', undefined, /^NXDOMAIN (aa )?(ede=\d+ )?\| 10\.in-addr\.arpa SOA$/],
      ['printer.local A', undefined, /^NXDOMAIN (aa )?(ede=\d+ )?\| local SOA$/],
    ],
  },
];

/** Sections whose keys decide what is answered. */
const ANSWERING = ['clusters', 'upstreams', 'zones', 'retain', 'forward', 'cache', 'identity'];
/** Keys of these sections that decide when and how, and not what. */
const NOT_ABOUT_ANSWERS = new Set([
  'clusters.vpcId', // where addresses are looked for
  'clusters.sources',
  'clusters.profile',
  'clusters.route53.zoneId',
  'clusters.route53.findZone',
  'clusters.kubernetes.kubeconfig',
  'clusters.kubernetes.certificate',
  'clusters.kubernetes.key',
  'clusters.kubernetes.ca',
  'clusters.probe.enabled', // the order of addresses: test/serving/resolver/endpoint-names.test.ts
  'clusters.probe.port',
  'clusters.probe.interval',
  'clusters.probe.timeout',
  'clusters.probe.prove', // which addresses are served: test/refresh/reconcile/prove.test.ts
  'clusters.probe.ca',
  'clusters.probe.proxy',
  'forward.deadline', // when: test/serving/forwarder
  'forward.attemptMin',
  'forward.attemptMax',
  'forward.inFlight',
  'forward.caseRandomization',
  'cache.size',
  'cache.prefetch',
]);

function documentedKeys(): readonly string[] {
  const keys: string[] = [];
  let section = '';
  for (const line of readFileSync(join(root, 'docs/configuration.md'), 'utf8').split('\n')) {
    section = /^## (\w+)$/.exec(line)?.[1] ?? section;
    const key = /^\| `([\w.]+)` \|/.exec(line)?.[1];
    if (key !== undefined && ANSWERING.includes(section))
      keys.push(key === section ? key : `${section}.${key}`);
  }
  return keys;
}

t.test('every documented key that decides about answers has a row, and every row a document', async (t) => {
  const keys = documentedKeys();
  t.ok(keys.length > 30);
  const tested = new Set(ROWS.flatMap(({ keys = [] }) => keys));
  t.strictSame(
    keys.filter((key) => !tested.has(key) && !NOT_ABOUT_ANSWERS.has(key)),
    [],
    'keys without a row',
  );
  for (const {
    says: [file, text],
  } of ROWS)
    t.ok(readFileSync(join(root, file), 'utf8').replaceAll(/\s+/g, ' ').includes(text), `${file}: ${text}`);
});

function a(name: string, ttl: number, address: string): Buffer {
  return rawRecord(name, 'A', ttl, address.split('.').map(Number));
}

/** What the upstream across the link knows besides, and what the one on the site does. */
function says(question: string, upstream: string): Buffer | undefined {
  const [name = '', type = ''] = question.split(' ');
  const answer = (...answers: Buffer[]) => message({ question: [name, type], answers });
  if (upstream === SITE) return answer(a(name, 300, '10.4.0.1'));
  if (name.endsWith('.amazonaws.com') && name !== ENDPOINT && type === 'A')
    return answer(a(name, 60, '192.0.2.81'));
  if (name === 'alias.example.com') return answer(rawRecord(name, 'CNAME', 300, nameToWire(ENDPOINT)));
  if (name === 'short.example.com' && type === 'A') return answer(a(name, 30, '192.0.2.82'));
  if (name === 'signed.example.com' && type === 'A') {
    return message({ flags: 0x81a0, question: [name, type], answers: [a(name, 3000, '192.0.2.83')] });
  }
  if (type === 'SRV') {
    return answer(rawRecord(name, 'SRV', 300, [0, 1, 0, 2, 0, 123, ...nameToWire('mail.example.com')]));
  }
  return undefined;
}

const TTL = / ttl=\d+/;

function seen(reply: ReadReply, withTtl: boolean): string {
  const { aa, ad, ede, answers, authorities, rcode } = reply;
  const ttl = (answers[0] ?? authorities[0])?.ttl;
  return [
    rcodeName(rcode),
    aa && 'aa',
    ad && 'ad',
    answers
      .map(({ data }) => data)
      .toSorted()
      .join(', '),
    answers.length > 0 && withTtl && `ttl=${ttl}`,
    ede !== undefined && `ede=${ede}`,
    authorities.length > 0 && `| ${authorities.map(({ owner, type }) => `${owner} ${type}`).join(', ')}`,
    answers.length === 0 && withTtl && `ttl=${ttl}`,
  ]
    .filter((part) => part !== false && part !== '')
    .join(' ');
}

async function check(t: Test, site: VirtualSite, asks: readonly Ask[], state: 'connected' | 'cut') {
  for (const [question, connected, cut] of asks) {
    const want = state === 'connected' ? connected : cut;
    if (want === undefined) continue;
    const [name = '', type = 'A'] =
      typeof question === 'string' ? question.split(' ') : [question.name, question.type];
    const asked = { name, type, edns: {}, ...(typeof question === 'string' ? {} : question) };
    const withTtl = typeof want === 'string' && TTL.test(want);
    const reply = seen(await site.ask(asked), withTtl);
    if (typeof want === 'string')
      t.equal(state === 'cut' ? withoutStale(reply, want) : reply, want, `${name} ${type} ${state}`);
    else t.match(reply, want, `${name} ${type} ${state}`);
  }
}

/** Whether an answer is marked as stale is for its row to say, or not. */
function withoutStale(reply: string, want: string): string {
  return /ede=/.test(want) ? reply : reply.replace(/ ede=(3|19)\b/, '');
}

for (const row of ROWS) {
  t.test(`${row.says[0]}: ${row.says[1]}`, async (t) => {
    const { config = '', cluster = '' } = row;
    const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-documented-'));
    // files are written by turns of the real disk, some of them after the end
    t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 10 }));
    const site = await VirtualSite.open(directory, config, undefined, cluster);
    site.says = says;
    site.onSite.add(SITE);
    await site.time.advance(MINUTE_MS);
    t.equal(site.report.link.summary.condition, 'connected');
    await check(t, site, row.asks, 'connected');
    site.isUp = false;
    site.time.settling = 'promises';
    for (let time = 0; time < 6; time++) await site.ask({ name: `warm${time}.up.example` });
    await site.time.advance(6 * MINUTE_MS);
    site.time.settling = 'all';
    t.equal(site.report.link.summary.condition, 'disconnected');
    await check(t, site, row.asks, 'cut');
    await site.close();
  });
}
