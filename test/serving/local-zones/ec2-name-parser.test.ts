import fc from 'fast-check';
import t from 'tap';
import {
  addressOfLabel,
  holdsAddress,
  holdsBlock,
  ipv4Network,
  NONE,
  octetOfLabel,
} from '../../../src/serving/local-zones/ec2-names.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

/** A label between octets that would lead a parser astray that reads beyond it. */
function labelled(text: string): Uint8Array {
  const octets = Buffer.from(text, 'latin1');
  return Uint8Array.of(0x2d, 0x31, octets.length, ...octets, 0x39, 0x2d, 0x31);
}

/** As the specification says it, without a care for speed. */
function expected(text: string): number {
  const match = /^ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})$/i.exec(text);
  const numbers = match?.slice(1) ?? [];
  const isSound =
    numbers.length === 4 && numbers.every((one) => String(Number(one)) === one && Number(one) < 256);
  return isSound ? numbers.reduce((sum, one) => sum * 256 + Number(one), 0) : NONE;
}

const table: readonly [label: string, address: number][] = [
  ['ip-10-0-3-10', 0x0a00_030a],
  ['IP-10-0-3-10', 0x0a00_030a],
  ['iP-0-0-0-0', 0],
  ['ip-255-255-255-255', 0xffff_ffff],
  ['ip-10-0-3-256', NONE],
  ['ip-10-0-3-999', NONE],
  ['ip-10-0-3-1000', NONE],
  ['ip-10-0-3-01', NONE],
  ['ip-10-0-3-00', NONE],
  ['ip-00-0-3-1', NONE],
  ['ip-10-0-3', NONE],
  ['ip-10-0-3-', NONE],
  ['ip-10-0-3-1-', NONE],
  ['ip-10-0-3-1-2', NONE],
  ['ip-10-0--1', NONE],
  ['ip--10-0-3-1', NONE],
  ['ip-10-0-3-1x', NONE],
  ['ip-1o-0-3-1', NONE],
  ['ip10-0-3-10', NONE],
  ['ip_10-0-3-10', NONE],
  ['ip-10.0.3.10', NONE],
  ['ip-+1-0-3-10', NONE],
  ['xip-10-0-3-10', NONE],
  ['eip-10-0-3-1', NONE],
  ['-p-10-0-3-10', NONE],
  ['', NONE],
];

t.test('the address in a label: four octets without leading zeros, in any case, and nothing else', (t) => {
  for (const [label, address] of table) {
    t.equal(addressOfLabel(labelled(label), 2), address, `"${label}"`);
    t.equal(expected(label), address, `"${label}": the test's own reading`);
  }
  t.end();
});

const octet = fc.nat(999);
const near = fc
  .record({ octets: fc.tuple(octet, octet, octet, octet), cut: fc.nat(20), put: fc.string({ maxLength: 2 }) })
  .map(({ octets, cut, put }) => {
    const label = `ip-${octets.join('-')}`;
    return (label.slice(0, cut) + put + label.slice(cut)).slice(0, 63);
  });
const right = fc
  .tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((octets) => `ip-${octets.join('-')}`);
const any = fc.uint8Array({ maxLength: 63 }).map((octets) => Buffer.from(octets).toString('latin1'));

t.test('the parser of labels agrees with a regular expression on whatever is asked', (t) => {
  fc.assert(
    fc.property(fc.oneof(right, near, any), (label) => {
      const text = Buffer.from(label, 'latin1').toString('latin1');
      return addressOfLabel(labelled(text), 2) === expected(text);
    }),
    { numRuns, seed },
  );
  t.end();
});

t.test('a label that the octets end in is no reason to read on', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), fc.nat(30), (octets, at) => {
      const address = addressOfLabel(octets, at);
      const value = octetOfLabel(octets, at);
      return address >= NONE && address <= 0xffff_ffff && value >= NONE && value <= 255;
    }),
    { numRuns, seed },
  );
  t.end();
});

t.test('the octet in a label of a reverse name', (t) => {
  const rows: readonly [string, number][] = [
    ['0', 0],
    ['7', 7],
    ['255', 255],
    ['256', NONE],
    ['00', NONE],
    ['01', NONE],
    ['1000', NONE],
    ['1a', NONE],
    ['', NONE],
    ['-1', NONE],
  ];
  for (const [label, value] of rows) t.equal(octetOfLabel(labelled(label), 2), value, `"${label}"`);
  t.end();
});

t.test('networks: membership of addresses and of blocks', (t) => {
  const number = (text: string) => text.split('.').reduce((sum, one) => sum * 256 + Number(one), 0);
  const rows: readonly [cidr: string, address: string, isIn: boolean][] = [
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['192.168.0.0/16', '192.168.3.4', true],
    ['200.0.0.0/5', '207.0.0.1', true],
    ['200.0.0.0/5', '208.0.0.0', false],
    ['255.255.255.255/32', '255.255.255.255', true],
    ['255.255.255.255/32', '255.255.255.254', false],
    ['0.0.0.0/0', '255.0.0.1', true],
    ['10.0.3.9/16', '10.0.0.1', true],
  ];
  for (const [cidr, address, isIn] of rows) {
    t.equal(holdsAddress(ipv4Network(cidr), number(address)), isIn, `${address} in ${cidr}`);
  }
  t.ok(holdsBlock(ipv4Network('10.0.0.0/15'), number('10.1.0.0'), 16));
  t.notOk(
    holdsBlock(ipv4Network('10.0.0.0/17'), number('10.0.0.0'), 16),
    'a block is not in a part of itself',
  );
  t.throws(() => ipv4Network('fd00::/8'));
  t.end();
});
