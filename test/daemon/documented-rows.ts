import type { QueryText } from '../serving/resolver/messages.ts';
import { ENDPOINT } from './virtual-site.ts';

export const SITE = '10.9.9.53';

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
export type Ask = readonly [
  question: string | QueryText,
  connected: string | RegExp | undefined,
  cut: string | RegExp | undefined,
];

const ADDRESSES = 'NOERROR aa 10.0.1.10, 10.0.2.10, 10.0.3.10';
const NO_DATA = `NOERROR aa | ${ENDPOINT} SOA`;
const FAILED = 'SERVFAIL ede=22';

export const ROWS: readonly Row[] = [
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
