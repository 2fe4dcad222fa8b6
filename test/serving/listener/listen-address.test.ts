import type { NetworkInterfaceInfo } from 'node:os';
import t from 'tap';
import { isWildcard, socketText } from '../../../src/protocol/words/address-text.ts';
import {
  bindError,
  expandWildcard,
  type HostInterfaces,
} from '../../../src/serving/listener/listen-address.ts';
import { hostWith } from './rig.ts';

t.test('a wildcard is a wildcard in any notation', async (t) => {
  const table: [string, boolean][] = [
    ['0.0.0.0', true],
    ['::', true],
    ['0:0:0:0:0:0:0:0', true],
    ['::0', true],
    ['::0.0.0.0', true],
    ['0.0.0.1', false],
    ['127.0.0.1', false],
    ['::1', false],
    ['fe80::', false],
    ['', false],
    ['0', false],
  ];
  for (const [address, expected] of table) t.equal(isWildcard(address), expected, address);
});

t.test(
  'a wildcard becomes every address of its family, link-local addresses with their interface',
  async (t) => {
    const host = hostWith({
      lo: ['127.0.0.1', '::1'],
      eth0: ['10.0.0.5', '10.0.0.6', 'fd00::5', 'fe80::1'],
      eth1: ['10.0.0.5', 'fe80::1', 'febf::2'],
    });
    t.same(expandWildcard('0.0.0.0', host), ['127.0.0.1', '10.0.0.5', '10.0.0.6']);
    t.same(expandWildcard('::', host), ['::1', 'fd00::5', 'fe80::1%eth0', 'fe80::1%eth1', 'febf::2%eth1']);
    t.same(expandWildcard('::', hostWith({ lo: ['127.0.0.1'] })), []);
    t.same(expandWildcard('0.0.0.0', {}), []);
  },
);

t.test('an interface without addresses is skipped', async (t) => {
  const none: readonly NetworkInterfaceInfo[] | undefined = undefined;
  const host: HostInterfaces = { dummy0: none, ...hostWith({ lo: ['127.0.0.1'] }) };
  t.same(expandWildcard('0.0.0.0', host), ['127.0.0.1']);
});

t.test('an address and port as text', async (t) => {
  t.equal(socketText({ address: '127.0.0.1', port: 53 }), '127.0.0.1:53');
  t.equal(socketText({ address: '::1', port: 53 }), '[::1]:53');
  t.equal(socketText({ address: 'fe80::1%eth0', port: 53 }), '[fe80::1%eth0]:53');
});

t.test('the error of bind becomes a sentence with the fix', async (t) => {
  const table: [code: string, address: string, expected: string, pattern: RegExp][] = [
    [
      'EADDRINUSE',
      '10.0.0.5:53',
      'in-use',
      /^cannot listen on "10\.0\.0\.5:53" \(udp\): in use by another DNS server \(dnsmasq, /,
    ],
    [
      'EADDRINUSE',
      '127.0.0.53:53',
      'in-use',
      /systemd-resolved, most likely \(DNSStubListener=no frees it\)/,
    ],
    ['EADDRINUSE', '127.0.0.1:5300', 'in-use', /in use by another program: "ss -lntup sport = :5300"/],
    ['EADDRINUSE', '[::1]:5353', 'in-use', /in use by another program: "ss -lntup sport = :5353"/],
    ['EACCES', '10.0.0.5:53', 'not-permitted', /needs CAP_NET_BIND_SERVICE$/],
    ['EPERM', '10.0.0.5:53', 'not-permitted', /not permitted/],
    ['EADDRNOTAVAIL', '10.0.0.5:53', 'no-such-address', /no interface of this host has that address/],
    ['EINVAL', '[fe80::1]:53', 'no-such-address', /needs its interface, as in "fe80::1%eth0"/],
    ['EINVAL', '10.0.0.5:53', 'bind-failed', /bind EINVAL$/],
    ['EMFILE', '10.0.0.5:53', 'bind-failed', /bind EMFILE$/],
  ];
  for (const [code, address, expected, pattern] of table) {
    const cause = Object.assign(new Error(`bind ${code}`), { code });
    const error = bindError(cause, address, 'udp');
    t.equal(error.code, expected, `${code} on ${address}`);
    t.match(error.message, pattern, `${code} on ${address}`);
    t.equal(error.subject, address);
    t.equal(error.cause, cause);
  }
  t.equal(bindError('odd', '10.0.0.5:53', 'tcp').message, 'cannot listen on "10.0.0.5:53" (tcp): odd');
});
