/** EC2's own names through the room's door: which labels carry an address, and which networks hold it. */
import fc from 'fast-check';
import t from 'tap';
import { composeQuery, parseQuery, Query } from '../../../src/protocol/wire/query.ts';
import { TYPE } from '../../../src/protocol/words/codes.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import { DisconnectedRules } from '../../../src/serving/local-zones/disconnected-rules.ts';
import { writeDisconnectedReply } from '../../../src/serving/local-zones/finding.ts';
import { Turn } from '../../../src/serving/turn.ts';
import { replyText } from './asked.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 2_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`fast-check seed ${seed}, ${numRuns} runs`);

const region = 'us-west-2';
/** Every address is in a network of the VPC. */
const everywhere = new DisconnectedRules({
  zones: [],
  regions: [region],
  vpcs: [{ region, cidr: '0.0.0.0/0' }],
});

const NONE = -1;

/** As written: letters keep their case, and octets that are no letters stand for themselves. */
function queryFor(label: string, suffix: string, qtype: number): Query {
  const octets = Buffer.from(label, 'latin1');
  const name = Uint8Array.of(
    ...(octets.length === 0 ? [] : [octets.length, ...octets]),
    ...nameToWire(suffix),
  );
  const message = composeQuery({
    id: 1,
    name,
    qtype,
    qclass: 1,
    recursionDesired: true,
    checkingDisabled: false,
  });
  const query = new Query();
  parseQuery(query, message, 0, message.length);
  return query;
}

function computed(rules: DisconnectedRules, query: Query): Buffer | undefined {
  const found = rules.find(query);
  if (found.kind !== 'computed') return undefined;
  const space = Buffer.alloc(600);
  const turn = Object.assign(new Turn(query), { limit: 512, space, spaceStart: 0 });
  return space.subarray(0, writeDisconnectedReply(turn, found, 0));
}

/** The address that is answered for a label under EC2's suffix, or NONE. */
function addressOf(label: string): number {
  const reply = computed(everywhere, queryFor(label, `${region}.compute.internal`, TYPE.A));
  return reply === undefined ? NONE : reply.readUInt32BE(reply.length - 4);
}

/** As the specification says it, without regard to speed. */
function expected(text: string): number {
  const match = /^ip-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})$/i.exec(text);
  const numbers = match?.slice(1) ?? [];
  const isValid =
    numbers.length === 4 && numbers.every((one) => String(Number(one)) === one && Number(one) < 256);
  return isValid ? numbers.reduce((sum, one) => sum * 256 + Number(one), 0) : NONE;
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
    t.equal(addressOf(label), address, `"${label}"`);
    t.equal(expected(label), address, `"${label}": the expectation of the test`);
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

t.test('the parser of labels agrees with a regular expression on any label', (t) => {
  fc.assert(
    fc.property(fc.oneof(right, near, any), (label) => addressOf(label) === expected(label)),
    { numRuns, seed },
  );
  t.end();
});

/** The name that is answered for a reverse name, or the kind of finding. */
function pointerOf(rules: DisconnectedRules, label: string, suffix: string): string {
  const query = queryFor(label, suffix, TYPE.PTR);
  const reply = computed(rules, query);
  return reply === undefined
    ? rules.find(query).kind
    : (replyText(reply, 0).split(' PTR ')[1] ?? 'no pointer');
}

t.test('the octet in a label of a reverse name', (t) => {
  const rows: readonly [label: string, octet: number][] = [
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
  for (const [label, octet] of rows) {
    const name = octet === NONE ? 'answer' : `ip-10-2-3-${octet}.${region}.compute.internal`;
    t.equal(pointerOf(everywhere, label, '3.2.10.in-addr.arpa'), name, `"${label}"`);
  }
  t.end();
});

t.test('networks: which addresses and blocks are in them', (t) => {
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
  const rulesOf = (cidr: string) =>
    new DisconnectedRules({ zones: [], regions: [], vpcs: [{ region, cidr }] });
  for (const [cidr, address, isIn] of rows) {
    const [last = '', ...others] = address.split('.').reverse();
    const found = pointerOf(rulesOf(cidr), last, `${others.join('.')}.in-addr.arpa`);
    t.equal(found.startsWith('ip-'), isIn, `${address} in ${cidr}`);
  }
  t.equal(pointerOf(rulesOf('10.0.0.0/15'), '1', '10.in-addr.arpa'), 'answer', 'a block in a network exists');
  t.equal(
    pointerOf(rulesOf('10.0.0.0/17'), '0', '10.in-addr.arpa'),
    'stale',
    'a block is not in a part of itself',
  );
  t.throws(() => rulesOf('fd00::/8'));
  t.end();
});
