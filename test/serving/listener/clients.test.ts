import fc from 'fast-check';
import t from 'tap';
import {
  ClientAccess,
  ClientAddressBook,
  isLoopback,
  parseClientAddress,
} from '../../../src/serving/listener/clients.ts';

const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

const defaults = [
  '127.0.0.0/8',
  '::1/128',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  'fe80::/10',
  'fc00::/7',
];

const table: [prefixes: string[], address: string, isAllowed: boolean][] = [
  [defaults, '127.0.0.1', true],
  [defaults, '127.255.255.255', true],
  [defaults, '10.255.255.255', true],
  [defaults, '11.0.0.0', false],
  [defaults, '9.255.255.255', false],
  [defaults, '172.15.255.255', false],
  [defaults, '172.16.0.0', true],
  [defaults, '172.31.255.255', true],
  [defaults, '172.32.0.0', false],
  [defaults, '100.63.255.255', false],
  [defaults, '100.127.255.255', true],
  [defaults, '100.128.0.0', false],
  [defaults, '192.168.1.1', true],
  [defaults, '192.169.0.0', false],
  [defaults, '8.8.8.8', false],
  [defaults, '::1', true],
  [defaults, '::2', false],
  [defaults, 'fe80::1', true],
  [defaults, 'fe80::1%eth0', true],
  [defaults, 'febf:ffff::1%eth0', true],
  [defaults, 'fec0::1', false],
  [defaults, 'fd00:1:2::3', true],
  [defaults, 'fe00::1', false],
  [defaults, '2001:db8::1', false],
  [defaults, '::ffff:10.1.2.3', true],
  [defaults, '::ffff:8.8.8.8', false],
  [['0.0.0.0/0'], '255.1.2.3', true],
  [['0.0.0.0/0'], '::ffff:1.2.3.4', true],
  [['0.0.0.0/0'], '2001:db8::1', false],
  [['::/0'], '2001:db8::1', true],
  [['::/0'], '1.2.3.4', false],
  [['::ffff:10.0.0.0/104'], '10.9.8.7', true],
  [['::ffff:10.0.0.0/104'], '11.0.0.1', false],
  [['10.1.2.3'], '10.1.2.3', true],
  [['10.1.2.3'], '10.1.2.4', false],
  [['10.1.2.3/8'], '10.200.0.1', true],
  [['2001:db8:0:f00::/56'], '2001:db8:0:fff::1', true],
  [['2001:db8:0:f00::/56'], '2001:db8:0:1000::1', false],
  [['2001:db8::/33'], '2001:db8:7fff::1', true],
  [['2001:db8::/33'], '2001:db8:8000::1', false],
  [[], '127.0.0.1', false],
  [defaults, 'not an address', false],
  [defaults, '', false],
];

t.test('a client is allowed exactly when a prefix covers it', async (t) => {
  for (const [prefixes, address, isAllowed] of table) {
    const name = `${address} by ${prefixes === defaults ? 'the defaults' : prefixes.join(' ') || 'nothing'}`;
    t.equal(new ClientAccess(prefixes).isAllowed(address), isAllowed, name);
  }
});

t.test('a prefix that cannot be read is an error that quotes it', async (t) => {
  for (const bad of ['10.0.0.0/33', 'fd00::/129', 'example.com', '10.0.0.0/', '10.0.0/8x', '']) {
    t.throws(() => new ClientAccess([bad]), {
      code: 'bad-prefix',
      subject: bad,
      message: `cannot read prefix "${bad}"`,
    });
  }
});

t.test('octets are compared in place, in either family and mapped', async (t) => {
  const access = new ClientAccess(['10.0.0.0/8', 'fd00::/8']);
  const slot = new Uint8Array(40).fill(0xff);
  slot.set([10, 1, 2, 3], 4);
  t.equal(access.isAllowedOctets(slot, 4, 4), true);
  slot.set([...new Uint8Array(10), 0xff, 0xff, 10, 1, 2, 3], 8);
  t.equal(access.isAllowedOctets(slot, 8, 6), true);
  slot.set([0xfd, ...new Uint8Array(15)], 8);
  t.equal(access.isAllowedOctets(slot, 8, 6), true);
  slot[8] = 0x20;
  t.equal(access.isAllowedOctets(slot, 8, 6), false);
});

t.test('fuzz: every address is in each prefix of its own and in none with an inner bit turned', async () => {
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  fc.assert(
    fc.property(octets, fc.nat(), fc.nat(), (address, bitsFrom, bitFrom) => {
      const family = address.length === 4 ? 4 : 6;
      if (family === 6) address[0] = 0x20; // keep clear of the mapped range
      const bits = 1 + (bitsFrom % (address.length * 8));
      const bit = bitFrom % bits;
      const text = textOf(address);
      const turned = address.slice();
      turned[bit >> 3] = turned[bit >> 3]! ^ (0x80 >> (bit & 7));
      const access = new ClientAccess([`${text}/${bits}`]);
      return access.isAllowedOctets(address, 0, family) && !access.isAllowedOctets(turned, 0, family);
    }),
    { seed, numRuns },
  );
});

function textOf(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  return Array.from({ length: 8 }, (_, i) => ((octets[2 * i]! << 8) | octets[2 * i + 1]!).toString(16)).join(
    ':',
  );
}

t.test('loopback is 127.0.0.0/8, ::1 and the mapped form of the first', async (t) => {
  const cases: [string, boolean][] = [
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['126.0.0.1', false],
    ['::1', true],
    ['::2', false],
    ['1::1', false],
    ['::', false],
  ];
  for (const [text, expected] of cases) {
    const { octets, family } = parseClientAddress(text)!;
    t.equal(isLoopback(octets, 0, family), expected, text);
  }
  const mapped = Uint8Array.of(...new Uint8Array(10), 0xff, 0xff, 127, 0, 0, 1);
  t.equal(isLoopback(mapped, 0, 6), true, '::ffff:127.0.0.1');
});

t.test('the address book stays bounded, and keeps the addresses of clients that ask again', async (t) => {
  const book = new ClientAddressBook();
  const regular = book.of('10.0.0.1');
  for (let i = 0; i < 100_000; i++) {
    book.of(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    if (i % 1000 === 0) t.equal(book.of('10.0.0.1'), regular);
  }
  t.ok(book.size <= 8192, `${book.size} addresses are kept`);
  t.equal(book.of('nonsense'), undefined);
});
