/** A server is alive or not by the addresses that this host has and can reach: a moved address must not end it. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import t, { type Test } from 'tap';
import { askForLife, startWatchdog } from '../../src/commands/own-health.ts';
import { until } from '../helpers/patience.ts';

const TIMEOUT_MS = 400;
/** Reserved for documentation (RFC 5737, RFC 3849): no host has them. */
const [MOVED, MOVED_V6] = ['192.0.2.77:53', '[2001:db8::77]:53'];

function hostWith(...addresses: string[]) {
  const infos = addresses.map((address) => ({
    address,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
  })) as NetworkInterfaceInfo[];
  return () => ({ eth0: infos });
}

/** Sockets that are bound and never read to the end: the queries arrive, no reply leaves. */
async function deafServer(t: Test): Promise<string> {
  for (;;) {
    const udp: Socket = createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const { port } = udp.address();
    const tcp = createServer(() => undefined);
    tcp.listen(port, '127.0.0.1');
    const isBound = await Promise.race([
      once(tcp, 'listening').then(() => true),
      once(tcp, 'error').then(() => false),
    ]);
    t.teardown(() => udp.close());
    if (!isBound) continue;
    t.teardown(() => tcp.close());
    return `127.0.0.1:${port}`;
  }
}

for (const [what, addresses, interfaces] of [
  ['moved to another host', [MOVED], hostWith('127.0.0.1', '10.0.0.1')],
  ['moved to another host, IPv6', [MOVED_V6], hostWith('::1')],
  ['all of them moved', [MOVED, MOVED_V6], hostWith('127.0.0.1')],
  // listed by the kernel and yet not usable: duplicate address detection, another VRF, a firewall
  ['listed, but not reachable from here', [MOVED], hostWith('192.0.2.77')],
  ['listed, but not reachable from here, IPv6', [MOVED_V6], hostWith('2001:db8::77')],
  ['link-local', ['[fe80::1%eth0]:53'], hostWith('fe80::1')],
] as const) {
  t.test(`an address that cannot be asked here is no evidence against the server: ${what}`, async (t) => {
    const alive = await askForLife(addresses, undefined, TIMEOUT_MS, interfaces);
    t.same(alive, { udp: true, tcp: true });
  });
}

for (const [what, more, interfaces] of [
  ['its only address', [], hostWith('127.0.0.1')],
  ['beside an address that moved', [MOVED], hostWith('127.0.0.1')],
  ['on a host that lists no interfaces', [], () => ({})],
  [
    'on a host that refuses to list them',
    [],
    () => {
      throw new Error('no AF_NETLINK');
    },
  ],
] as const) {
  t.test(`a server that is silent at an address of this host is not alive: ${what}`, async (t) => {
    const deaf = await deafServer(t);
    const alive = await askForLife([deaf, ...more], undefined, TIMEOUT_MS, interfaces);
    t.same(alive, { udp: false, tcp: false });
  });
}

t.test(
  'the watchdog goes on telling the service manager after the only listen address has moved',
  async (t) => {
    const seen: string[] = [];
    const errors: string[] = [];
    const watchdog = startWatchdog(
      { WATCHDOG_USEC: '400000' },
      {
        daemon: { vitals: () => ({ addresses: [MOVED], endpoint: undefined, replies: { udp: 0, tcp: 0 } }) },
        manager: { notify: (...texts: string[]) => void seen.push(...texts) },
        log: { error: (_: object, text: string) => void errors.push(text) } as never,
      },
    );
    t.teardown(() => watchdog[Symbol.dispose]());
    const alive = setInterval(() => undefined, 1000); // the watchdog's own timer keeps no process alive
    t.teardown(() => clearInterval(alive));
    await until('it reports', () => seen.length >= 2);
    t.same(errors, []);
    t.same(new Set(seen), new Set(['WATCHDOG=1']));
  },
);
