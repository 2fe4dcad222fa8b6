import t from 'tap';
import { nameToWire, reverseNameOfIpv4 } from '../../../src/protocol/words/name.ts';
import { SPECIAL_NAMES } from '../../../src/protocol/words/special-names.ts';
import { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';
import { seen } from './asked.ts';

const zones = new LocalZones<string>({ rules: [] });
const onSite = new LocalZones<string>({ rules: [], siteNames: { route: 'site' } });
const soa = (apex: string) => `${apex} 60 SOA ${apex} nobody.invalid 60`;
const noName = (apex: string) => `NXDOMAIN |  | ${soa(apex)}`;
const noData = (apex: string) => `NOERROR |  | ${soa(apex)}`;

const ip6 = (digits: string) => `${[...digits].reverse().join('.')}.ip6.arpa`;
const loopback6 = ip6(`${'0'.repeat(31)}1`);
const unspecified6 = ip6('0'.repeat(32));

const cases: readonly [name: string, type: string, want: string][] = [
  // RFC 6761 section 6.3
  ['localhost', 'A', 'NOERROR | localhost 60 A 127.0.0.1'],
  ['localhost', 'AAAA', 'NOERROR | localhost 60 AAAA ::1'],
  ['localhost', 'MX', noData('localhost')],
  ['localhost', 'HTTPS', noData('localhost')],
  ['localhost', 'SOA', `NOERROR | ${soa('localhost')}`],
  ['localhost', 'NS', 'NOERROR | localhost 60 NS localhost'],
  ['localhost', 'ANY', 'NOERROR | localhost 60 HINFO RFC8482'],
  ['localhost', 'DS', noData('localhost')],
  ['api.localhost', 'A', 'NOERROR | api.localhost 60 A 127.0.0.1'],
  ['a.b.c.localhost', 'AAAA', 'NOERROR | a.b.c.localhost 60 AAAA ::1'],
  ['api.localhost', 'TXT', noData('localhost')],
  ['api.localhost', 'SOA', noData('localhost')],
  ['api.localhost', 'ANY', 'NOERROR | api.localhost 60 HINFO RFC8482'],
  ['1.0.0.127.in-addr.arpa', 'PTR', 'NOERROR | 1.0.0.127.in-addr.arpa 60 PTR localhost'],
  ['1.0.0.127.in-addr.arpa', 'A', noData('1.0.0.127.in-addr.arpa')],
  ['2.0.0.127.in-addr.arpa', 'PTR', noName('127.in-addr.arpa')],
  [loopback6, 'PTR', `NOERROR | ${loopback6} 60 PTR localhost`],
  [loopback6, 'AAAA', noData(loopback6)],
  // RFC 6761 sections 6.2 and 6.4, RFC 6762, RFC 7686, RFC 9476: neither the name nor anything under it
  ...['invalid', 'test', 'local', 'onion', 'alt'].flatMap((name): [string, string, string][] => [
    [name, 'A', noName(name)],
    [name, 'SOA', noName(name)],
    [name, 'DS', noName(name)],
    [name, 'ANY', noName(name)],
    [`www.${name}`, 'AAAA', noName(name)],
    [`a.very.long.name.that.goes.on.${name}`, 'TXT', noName(name)],
  ]),
  // RFC 8375 section 4, RFC 6303 section 3, RFC 9462
  ['home.arpa', 'SOA', `NOERROR | ${soa('home.arpa')}`],
  ['home.arpa', 'NS', 'NOERROR | home.arpa 60 NS home.arpa'],
  ['home.arpa', 'A', noData('home.arpa')],
  ['home.arpa', 'ANY', 'NOERROR | home.arpa 60 HINFO RFC8482'],
  ['printer.home.arpa', 'A', noName('home.arpa')],
  ['printer.home.arpa', 'DS', noName('home.arpa')],
  ['home.arpa', 'DS', 'nothing'],
  ['10.in-addr.arpa', 'DS', 'nothing'],
  ['resolver.arpa', 'A', noData('resolver.arpa')],
  ['resolver.arpa', 'SOA', `NOERROR | ${soa('resolver.arpa')}`],
  ['_dns.resolver.arpa', 'SVCB', noData('resolver.arpa')],
  ['_dns.resolver.arpa', 'SOA', noData('resolver.arpa')],
  ['a.b.c.resolver.arpa', 'A', noData('resolver.arpa')],
  // names that only look like special-use names
  ['.', 'NS', 'nothing'],
  ['arpa', 'NS', 'nothing'],
  ['in-addr.arpa', 'NS', 'nothing'],
  ['localhost.example.com', 'A', 'nothing'],
  ['notlocalhost', 'A', 'nothing'],
  ['com', 'A', 'nothing'],
  ['alternative', 'A', 'nothing'],
  ['8.8.8.8.in-addr.arpa', 'PTR', 'nothing'],
];

for (const [name, type, want] of cases) {
  t.test(`${name} ${type}: ${want}`, async (t) => {
    t.equal(seen(zones, name, type), want);
  });
}

const reverse: readonly [address: string, zone: string | undefined][] = [
  ['10.0.0.0', '10.in-addr.arpa'],
  ['10.255.255.255', '10.in-addr.arpa'],
  ['11.0.0.0', undefined],
  ['9.255.255.255', undefined],
  ['172.15.255.255', undefined],
  ['172.16.0.1', '16.172.in-addr.arpa'],
  ['172.31.255.255', '31.172.in-addr.arpa'],
  ['172.32.0.0', undefined],
  ['192.168.0.1', '168.192.in-addr.arpa'],
  ['192.167.255.255', undefined],
  ['192.0.2.1', '2.0.192.in-addr.arpa'],
  ['192.0.3.1', undefined],
  ['198.51.100.1', '100.51.198.in-addr.arpa'],
  ['203.0.113.1', '113.0.203.in-addr.arpa'],
  ['100.63.255.255', undefined],
  ['100.64.0.0', '64.100.in-addr.arpa'],
  ['100.127.255.255', '127.100.in-addr.arpa'],
  ['100.128.0.0', undefined],
  ['169.254.169.254', '254.169.in-addr.arpa'],
  ['169.253.0.0', undefined],
  ['127.0.0.2', '127.in-addr.arpa'],
  ['0.0.0.0', '0.in-addr.arpa'],
  ['255.255.255.255', '255.255.255.255.in-addr.arpa'],
  ['255.255.255.254', undefined],
];

for (const [address, zone] of reverse) {
  t.test(`PTR of ${address} is ${zone === undefined ? 'forwarded' : `denied in ${zone}`}`, async (t) => {
    // the apex of a zone that is one address exists
    const want = zone === reverseNameOfIpv4(address) ? noData(zone) : zone && noName(zone);
    t.equal(seen(zones, reverseNameOfIpv4(address), 'PTR'), want ?? 'nothing');
  });
}

const reverse6: readonly [digits: string, zone: string | undefined][] = [
  ['0'.repeat(32), unspecified6],
  ['0'.repeat(30).concat('02'), undefined],
  ['fd00'.padEnd(32, '0'), 'd.f.ip6.arpa'],
  ['fc00'.padEnd(32, '0'), 'c.f.ip6.arpa'],
  ['fb00'.padEnd(32, '0'), undefined],
  ['fe80'.padEnd(32, '0'), '8.e.f.ip6.arpa'],
  ['febf'.padEnd(32, 'f'), 'b.e.f.ip6.arpa'],
  ['fec0'.padEnd(32, '0'), undefined],
  ['fe7f'.padEnd(32, '0'), undefined],
  ['20010db8'.padEnd(32, '0'), '8.b.d.0.1.0.0.2.ip6.arpa'],
  ['20010db9'.padEnd(32, '0'), undefined],
];

for (const [digits, zone] of reverse6) {
  t.test(`PTR of ${digits} is ${zone === undefined ? 'forwarded' : 'denied'}`, async (t) => {
    const want = zone === ip6(digits) ? noData(zone) : zone && noName(zone);
    t.equal(seen(zones, ip6(digits), 'PTR'), want ?? 'nothing');
  });
}

t.test('every row has a name in wire form, an RFC, and stands once', async (t) => {
  for (const { name, because } of SPECIAL_NAMES) {
    t.ok(nameToWire(name).length > 1, name);
    t.match(because, /RFC \d{4}/, name);
  }
  t.equal(new Set(SPECIAL_NAMES.map(({ name }) => name)).size, SPECIAL_NAMES.length);
});

t.test('every negative answer has the SOA that lets a stub cache it (RFC 2308 section 3)', async (t) => {
  for (const { name } of SPECIAL_NAMES) {
    for (const asked of [name, `x.${name}`])
      t.match(seen(zones, asked, 'TYPE999'), ` 60 SOA ${name} `, asked);
  }
});

t.test(
  'names of the site itself are asked of upstreams on the site, and of no other upstreams',
  async (t) => {
    for (const name of [
      'test',
      'www.test',
      'dc1.ad.local',
      'nas.home.arpa',
      '5.1.168.192.in-addr.arpa',
      '5.0.31.172.in-addr.arpa',
      '5.0.127.100.in-addr.arpa',
      ip6('fd00000000000000000000000000000a'),
    ])
      t.match(seen(onSite, name, 'PTR'), /site/, name);
    for (const name of [
      'localhost',
      'x.invalid',
      'x.onion',
      'x.alt',
      '_dns.resolver.arpa',
      '2.0.0.127.in-addr.arpa',
    ])
      t.equal(seen(onSite, name, 'A'), seen(zones, name, 'A'), name);
    for (const name of ['5.2.254.169.in-addr.arpa', '5.2.0.192.in-addr.arpa', loopback6, unspecified6])
      t.equal(seen(onSite, name, 'PTR'), seen(zones, name, 'PTR'), name);
  },
);

t.test('a zone of the operator at or above such a name has its upstreams', async (t) => {
  const corp = new LocalZones<string>({
    rules: [
      { name: 'in-addr.arpa', forwardTo: 'corp' },
      { name: '16.172.in-addr.arpa', answer: 'servfail' },
      { name: 'local', forwardTo: 'ad' },
    ],
    siteNames: { route: undefined },
  });
  t.match(seen(corp, '1.0.0.10.in-addr.arpa', 'PTR'), /corp/);
  t.match(seen(corp, '1.0.16.172.in-addr.arpa', 'PTR'), /SERVFAIL/);
  t.match(seen(corp, 'dc1.local', 'A'), /ad/);
  t.match(seen(corp, 'x.test', 'A'), /NXDOMAIN/);
  t.match(seen(corp, '1.0.0.127.in-addr.arpa', 'PTR'), /localhost/, "never what is nobody else's");
});
