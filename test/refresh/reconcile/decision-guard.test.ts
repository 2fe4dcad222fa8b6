import t from 'tap';
import {
  type GuardDecision,
  type GuardedChange,
  guard,
  hasSameAddresses,
  refusalsBy,
} from '../../../src/refresh/reconcile/decision.ts';

const [A, B, C, D, E] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'];
const settings = { refusalOf: refusalsBy(['10.0.0.0/8']), confirmAfterMs: 15_000 };
const NOW_MS = 100_000;

function held(addresses: readonly string[], sinceMs: number) {
  return { addresses, reason: 'loses much', sinceMs };
}

const cases: readonly [string, Omit<GuardedChange, 'nowMs'>, Partial<GuardDecision>][] = [
  [
    'the first set is adopted',
    { candidate: [A, B], served: [] },
    { kind: 'adopt', addresses: [A, B], refused: [] },
  ],
  ['an empty set is never adopted', { candidate: [], served: [A] }, { kind: 'keep', refused: [] }],
  [
    'an empty set is not adopted either where nothing is served',
    { candidate: [], served: [] },
    { kind: 'keep' },
  ],
  ['an addition is adopted', { candidate: [A, B, C], served: [A] }, { kind: 'adopt', addresses: [A, B, C] }],
  ['the loss of one of three is adopted', { candidate: [A, B], served: [A, B, C] }, { kind: 'adopt' }],
  ['one of three replaced is adopted', { candidate: [A, B, D], served: [A, B, C] }, { kind: 'adopt' }],
  ['the loss of exactly half is adopted', { candidate: [A], served: [A, B] }, { kind: 'adopt' }],
  [
    'the loss of two of three is held',
    { candidate: [A], served: [A, B, C] },
    { kind: 'hold', held: { addresses: [A], reason: 'loses 2 of 3 addresses', sinceMs: NOW_MS } },
  ],
  ['two of three replaced is held', { candidate: [A, D, E], served: [A, B, C] }, { kind: 'hold' }],
  ['the only address replaced is held', { candidate: [B], served: [A] }, { kind: 'hold' }],
  [
    'a held change is adopted when it is repeated, in whatever order',
    { candidate: [E, D], served: [A, B, C], held: held([D, E], NOW_MS - 15_000) },
    { kind: 'adopt', addresses: [E, D] },
  ],
  [
    'a repetition at the same moment is not the next refresh',
    { candidate: [D], served: [A], held: held([D], NOW_MS - 14_999) },
    { kind: 'hold', held: held([D], NOW_MS - 14_999) },
  ],
  [
    'a large loss that awaits a witness is held however often it is repeated',
    {
      candidate: [D],
      served: [A],
      awaits: 'interfaces',
      held: { ...held([D], NOW_MS - 3_600_000), awaits: 'interfaces' },
    },
    { kind: 'hold', held: { ...held([D], NOW_MS - 3_600_000), awaits: 'interfaces' } },
  ],
  [
    'a large loss says that it awaits a witness',
    { candidate: [D], served: [A], awaits: 'interfaces', held: held([D], NOW_MS - 3_600_000) },
    { kind: 'hold', held: { addresses: [D], sinceMs: NOW_MS, awaits: 'interfaces' } as never },
  ],
  [
    'what was seen while the witness was silent is no first time',
    {
      candidate: [D],
      served: [A],
      held: { ...held([D], NOW_MS - 3_600_000), awaits: 'interfaces' },
    },
    { kind: 'hold', held: { addresses: [D], reason: 'loses 1 of 1 addresses', sinceMs: NOW_MS } },
  ],
  [
    'a small loss awaits no source',
    { candidate: [A, B], served: [A, B, C], awaits: 'interfaces' },
    { kind: 'adopt' },
  ],
  [
    'a different suspicious change is held from its own start',
    { candidate: [E], served: [A, B, C], held: held([D], NOW_MS - 60_000) },
    { kind: 'hold', held: { addresses: [E], reason: 'loses 3 of 3 addresses', sinceMs: NOW_MS } },
  ],
  [
    'what is served, seen again, needs no confirmation',
    { candidate: [A, B, C], served: [A, B, C], held: held([D], NOW_MS - 60_000) },
    { kind: 'adopt', addresses: [A, B, C] },
  ],
  [
    'inadmissible addresses are refused one by one',
    { candidate: ['52.1.1.1', A, '127.0.0.1', '192.168.0.1'], served: [A] },
    {
      kind: 'adopt',
      addresses: [A],
      refused: [
        { address: '52.1.1.1', reason: 'public' },
        { address: '127.0.0.1', reason: 'loopback' },
        { address: '192.168.0.1', reason: 'not-allowed' },
      ],
    },
  ],
  [
    'a set of which everything is refused is as good as empty',
    { candidate: ['52.1.1.1'], served: [A] },
    { kind: 'keep', refused: [{ address: '52.1.1.1', reason: 'public' }] },
  ],
  [
    'the loss is counted without what was refused',
    { candidate: [A, '52.1.1.1', '52.1.1.2'], served: [A, B, C] },
    { kind: 'hold' },
  ],
];

t.test('the guard adopts, holds or keeps', (t) => {
  for (const [name, change, expected] of cases)
    t.match(guard({ ...change, nowMs: NOW_MS }, settings), expected, name);
  t.end();
});

t.test('sets of addresses are compared without their order', (t) => {
  t.ok(hasSameAddresses([A, B], [B, A]));
  t.ok(hasSameAddresses([], []));
  t.notOk(hasSameAddresses([A], [A, B]));
  t.notOk(hasSameAddresses([A, B], [A, C]));
  t.notOk(hasSameAddresses([A, B], [A]));
  t.end();
});

const DEFAULTS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];
const ANYTHING = ['0.0.0.0/0', '::/0'];

const admissible: readonly [string, readonly string[], string | undefined][] = [
  ['10.0.0.5', DEFAULTS, undefined],
  ['172.31.255.254', DEFAULTS, undefined],
  ['100.64.0.1', DEFAULTS, undefined],
  ['172.32.0.1', DEFAULTS, 'public'],
  ['10.0.0.5', ['192.168.0.0/16'], 'not-allowed'],
  ['198.18.0.1', DEFAULTS, 'not-allowed'],
  ['198.18.0.1', ['198.18.0.0/15'], undefined],
  ['52.94.1.1', DEFAULTS, 'public'],
  ['52.94.1.1', [...DEFAULTS, '34.223.0.0/16'], 'public'],
  ['52.94.1.1', ANYTHING, undefined],
  ['34.223.5.9', ['34.223.0.0/16'], undefined],
  ['192.175.48.1', DEFAULTS, 'public'],
  ['127.0.0.1', ANYTHING, 'loopback'],
  ['127.0.0.1', ['127.0.0.0/8'], 'loopback'],
  ['224.0.0.251', ANYTHING, 'multicast'],
  ['0.0.0.0', ANYTHING, 'unspecified'],
  ['0.1.2.3', ANYTHING, 'unspecified'],
  ['255.255.255.255', ANYTHING, 'broadcast'],
  ['169.254.169.254', ANYTHING, 'link-local'],
  ['fd00::1', ['fd00::/8'], 'not-ipv4'],
  ['::ffff:10.0.0.5', ANYTHING, 'not-ipv4'],
  ['010.0.0.5', ANYTHING, 'not-ipv4'],
  ['10.0.0.5.', ANYTHING, 'not-ipv4'],
  ['', ANYTHING, 'not-ipv4'],
];

t.test('an address is admitted only within the allowed ranges, which may be public', (t) => {
  for (const [address, ranges, expected] of admissible) {
    t.equal(refusalsBy(ranges)(address), expected, `${address} within ${ranges}: ${expected ?? 'admitted'}`);
  }
  t.end();
});

t.test('without allowed ranges nothing is admitted', (t) => {
  t.equal(refusalsBy([])('10.0.0.5'), 'not-allowed');
  t.end();
});
