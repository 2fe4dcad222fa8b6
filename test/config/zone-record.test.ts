import t from 'tap';
import { errorOf, load, SMALLEST } from './loading.ts';

const LONG = 'x'.repeat(255);

const GOOD: [text: string, record: object][] = [
  ['www A 10.0.0.5', { owner: 'www.corp.example', ttlSeconds: 60, type: 'A', address: '10.0.0.5' }],
  ['@ a 10.0.0.5', { owner: 'corp.example', ttlSeconds: 60, type: 'A', address: '10.0.0.5' }],
  [
    'WWW.Sub 300 IN A 10.0.0.5',
    { owner: 'www.sub.corp.example', ttlSeconds: 300, type: 'A', address: '10.0.0.5' },
  ],
  [
    '  www.corp.example.\tIN\tAAAA  FD00:0:0::1 ',
    { owner: 'www.corp.example', ttlSeconds: 60, type: 'AAAA', address: 'fd00::1' },
  ],
  ['www CNAME web', { owner: 'www.corp.example', ttlSeconds: 60, type: 'CNAME', target: 'web.corp.example' }],
  [
    'www CNAME Web.Other.Example.',
    { owner: 'www.corp.example', ttlSeconds: 60, type: 'CNAME', target: 'web.other.example' },
  ],
  ['www CNAME @', { owner: 'www.corp.example', ttlSeconds: 60, type: 'CNAME', target: 'corp.example' }],
  ['5 PTR host', { owner: '5.corp.example', ttlSeconds: 60, type: 'PTR', target: 'host.corp.example' }],
  ['5 60 PTR host', { owner: '5.corp.example', ttlSeconds: 60, type: 'PTR', target: 'host.corp.example' }],
  ['@ NS ns1', { owner: 'corp.example', ttlSeconds: 60, type: 'NS', target: 'ns1.corp.example' }],
  [
    '@ MX 10 mail',
    {
      owner: 'corp.example',
      ttlSeconds: 60,
      type: 'MX',
      preference: 10,
      exchange: 'mail.corp.example',
    },
  ],
  ['_a._tcp TXT v=1', { owner: '_a._tcp.corp.example', ttlSeconds: 60, type: 'TXT', strings: ['v=1'] }],
  ['a TXT "b c" "" d', { owner: 'a.corp.example', ttlSeconds: 60, type: 'TXT', strings: ['b c', '', 'd'] }],
  [
    'a TXT "say \\"x\\" \\\\ y"',
    { owner: 'a.corp.example', ttlSeconds: 60, type: 'TXT', strings: ['say "x" \\ y'] },
  ],
  [`a TXT ${LONG}`, { owner: 'a.corp.example', ttlSeconds: 60, type: 'TXT', strings: [LONG] }],
];

const BAD: [text: string, message: string][] = [
  ['', 'not a record'],
  ['www', 'not a record'],
  ['www A', 'not a record'],
  ['www 10.0.0.5', 'not a record'],
  ['www SRV 1 1 1 x', 'type "SRV" is not supported'],
  ['www A 10.0.0', '"10.0.0" is not an IP address'],
  ['www A 10.0.0.5 10.0.0.6', '"10.0.0.5 10.0.0.6" is not an IP address'],
  ['www A fd00::1', '"fd00::1" does not go with type A'],
  ['www AAAA 10.0.0.1', '"10.0.0.1" does not go with type AAAA'],
  ['www AAAA fe80::1%eth0', '"fe80::1%eth0" is not an IP address'],
  ['www 0 A 10.0.0.5', 'TTL "0" is not a number of seconds from 1 to 604800'],
  ['www 604801 A 10.0.0.5', 'TTL "604801" is not a number of seconds from 1 to 604800'],
  ['www 5m A 10.0.0.5', 'TTL "5m" is not a number of seconds from 1 to 604800'],
  ['*.www A 10.0.0.5', 'owner "*.www": a wildcard, which is not supported'],
  ['w/w A 10.0.0.5', 'owner "w/w": "/" is not allowed: names are made of letters, digits, "-" and "_"'],
  ['www.corp.example A 10.0.0.5', 'owner "www.corp.example" would be www.corp.example.corp.example'],
  ['www.other.example. A 10.0.0.5', 'owner "www.other.example." is not in the zone'],
  [`${'abcdefg.'.repeat(30)}x A 10.0.0.5`, 'longer than 255 octets'],
  ['www CNAME web.other.example', '"web.other.example" could be a full name or one below corp.example'],
  ['www CNAME a b', 'name "a b": a name with a space or a control character'],
  ['@ CNAME web', 'a CNAME for the zone itself'],
  ['sub NS ns1', 'an NS record below the zone itself'],
  ['www CNAME .', 'name ".": the root, which is no name of a zone or a host'],
  ['@ MX mail', '"mail" is not the data of an MX record'],
  ['@ MX 65536 mail', '"65536 mail" is not the data of an MX record'],
  ['a TXT "b', 'a quote that is not closed, or not set apart by spaces'],
  ['a TXT "b"c', 'a quote that is not closed, or not set apart by spaces'],
  ['a TXT b"c"', 'a quote that is not closed, or not set apart by spaces'],
  ['a TXT "\\065"', 'an escape other than \\" and \\\\'],
  [`a TXT ${LONG}x`, 'a string of 256 octets, more than 255'],
  [`a TXT ${'é'.repeat(128)}`, 'a string of 256 octets, more than 255'],
  [`a TXT ${`${'é'.repeat(127)} `.repeat(17)}`, '4335 octets, more than 4096'],
];

/** A zone with this line in either of its lists of records. */
const zoneWith = (key: string, text: string) =>
  `${SMALLEST}zones: [{name: corp.example, ${key}: [${JSON.stringify(text)}]}]\n`;
const LISTS = ['records', 'whileDisconnected'] as const;

t.test('a record is read to full names, seconds and canonical data', async (t) => {
  for (const [text, record] of GOOD) {
    for (const key of LISTS) {
      const [zone] = (await load(zoneWith(key, text))).zones;
      t.strictSame(Reflect.get(zone ?? {}, key), [record], `${key}: ${text.slice(0, 60)}`);
    }
  }
});

t.test('a bad record is refused with its reason', async (t) => {
  for (const [text, message] of BAD) {
    for (const key of LISTS) {
      const { faults } = await errorOf(load(zoneWith(key, text)));
      const path = `zones[0].${key}[0]`;
      t.match(
        faults,
        [{ path, message: text === '' ? 'an empty text' : message }],
        `${key}: ${text.slice(0, 60)}`,
      );
    }
  }
});
