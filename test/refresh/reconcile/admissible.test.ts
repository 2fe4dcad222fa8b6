import t from 'tap';
import { refusalsBy } from '../../../src/refresh/reconcile/guard.ts';

const DEFAULTS = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];
const ANYTHING = ['0.0.0.0/0', '::/0'];

const cases: readonly [string, readonly string[], string | undefined][] = [
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
  for (const [address, ranges, expected] of cases) {
    t.equal(refusalsBy(ranges)(address), expected, `${address} within ${ranges}: ${expected ?? 'admitted'}`);
  }
  t.end();
});

t.test('without allowed ranges nothing is admitted', (t) => {
  t.equal(refusalsBy([])('10.0.0.5'), 'not-allowed');
  t.end();
});
