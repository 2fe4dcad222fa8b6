/** A server is alive or not by the addresses that this host has and can reach: a moved address must not end it. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import t, { type Test } from 'tap';
import { askForLife, startWatchdog } from '../../src/commands/own-health.ts';
import { pause, until } from '../helpers/patience.ts';

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

t.test('each kind of question starts in a turn of its own', async (t) => {
  const deaf = await deafServer(t);
  const seen: string[][] = [];
  const kinds = () => process.getActiveResourcesInfo().filter((kind) => /^(?:UDP|TCPSocket)Wrap$/.test(kind));
  const before = kinds().length;
  const turn = async () => void seen.push(kinds().slice(before));
  await askForLife([deaf], undefined, TIMEOUT_MS, hostWith('127.0.0.1'), turn);
  t.strictSame(seen, [[], ['UDPWrap'], ['UDPWrap', 'UDPWrap']]);
});

/** A watchdog over a server at an address that has moved: `told` gets each message, as its assignments. */
function watch(t: Test, environment: Readonly<Record<string, string>>, addresses = [MOVED]) {
  const told: string[][] = [];
  const errors: string[] = [];
  const usable = Promise.withResolvers<void>();
  const vitals = () => ({ addresses, endpoint: undefined, replies: { udp: 0, tcp: 0 } });
  const watchdog = startWatchdog(environment, {
    daemon: { vitals, usable: usable.promise },
    manager: { notify: (...texts: string[]) => void told.push(texts) },
    log: { error: (_: object, text: string) => void errors.push(text) } as never,
  });
  t.teardown(() => watchdog[Symbol.dispose]());
  const alive = setInterval(() => undefined, 1000); // the watchdog's own timer keeps no process alive
  t.teardown(() => clearInterval(alive));
  return { told, errors, ready: usable.resolve };
}

t.test(
  'the watchdog goes on telling the service manager after the only listen address has moved',
  async (t) => {
    const { told, errors, ready } = watch(t, { WATCHDOG_USEC: '400000' });
    ready();
    await until('it reports', () => told.length >= 2);
    t.same(errors, []);
    t.same(new Set(told.flat()), new Set(['WATCHDOG=1']));
  },
);

t.test('a watchdog that waits for longer than a timer can is told no more often for it', async (t) => {
  const { told, ready } = watch(t, { NOTIFY_SOCKET: '', WATCHDOG_USEC: '99999999999999999999' });
  ready();
  await until('it reports', () => told.length > 0);
  await pause(100);
  t.equal(told.length, 1);
});

t.test('a start without an address for clients is extended, by as long as the watchdog waits', async (t) => {
  const { told, ready } = watch(t, { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '400000' });
  await until('it reports', () => told.length >= 2);
  t.same(told.slice(0, 2), Array(2).fill(['WATCHDOG=1', 'EXTEND_TIMEOUT_USEC=400000']));
  ready();
  await Promise.resolve();
  told.length = 0;
  await until('it reports', () => told.length >= 2);
  t.same(new Set(told.flat()), new Set(['WATCHDOG=1']), 'the start is over');
});

t.test('without a watchdog a start is extended all the same, and nothing is told after it', async (t) => {
  const { told, ready } = watch(t, { NOTIFY_SOCKET: '/run/x' });
  await until('it reports', () => told.length >= 1);
  t.same(told, [['EXTEND_TIMEOUT_USEC=10000000']]);
  ready();
  await pause(2700);
  t.equal(told.length, 1);
});

t.test('a server that does not answer does not extend its start', async (t) => {
  const { told, errors } = watch(t, { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '400000' }, [
    await deafServer(t),
  ]);
  await until('it says so', () => errors.length >= 2);
  t.same(told, []);
});
