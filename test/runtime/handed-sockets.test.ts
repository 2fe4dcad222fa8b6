/** Sockets handed over by the service manager: what the variables say is checked against the descriptors. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import t from 'tap';
import type { Libc, SocketDescription } from '../../src/runtime/datagrams.ts';
import { takeHandedSockets } from '../../src/runtime/service-manager.ts';

const UDP: SocketDescription = {
  transport: 'udp',
  family: 4,
  address: new Uint8Array(4),
  scope: 0,
  port: 53,
  isDual: false,
};

/** Describes descriptors 3 and 4 as UDP and TCP; a copy of a descriptor has a hundred more. */
function scripted(): { libc: Libc; closed: number[] } {
  const closed: number[] = [];
  const libc = {
    describe: (fd: number) => (fd === 3 ? UDP : fd === 4 ? { ...UDP, transport: 'tcp' } : undefined),
    duplicate: (fd: number) => fd + 100,
    close: (fd: number) => closed.push(fd),
  } as unknown as Libc;
  return { libc, closed };
}

const mine = { LISTEN_PID: '77' };

for (const [what, environment, sockets, faults] of [
  ['nothing was handed over', {}, [], []],
  ['for another process', { LISTEN_PID: '78', LISTEN_FDS: '2' }, [], []],
  ['without a process', { LISTEN_FDS: '2' }, [], []],
  ['UDP and TCP', { ...mine, LISTEN_FDS: '2', LISTEN_FDNAMES: 'dns:dns' }, ['udp', 'tcp'], []],
  ['before there were names', { ...mine, LISTEN_FDS: '2' }, ['udp', 'tcp'], []],
  ['names are missing', { ...mine, LISTEN_FDS: '2', LISTEN_FDNAMES: 'dns' }, ['udp', 'tcp'], []],
  [
    'another name',
    { ...mine, LISTEN_FDS: '2', LISTEN_FDNAMES: 'dns:outpost-dns.socket' },
    ['udp'],
    [/socket 4 is named "outpost-dns\.socket": only FileDescriptorName=dns is used/],
  ],
  [
    'a descriptor that is no socket',
    { ...mine, LISTEN_FDS: '3', LISTEN_FDNAMES: 'dns:dns:dns' },
    ['udp', 'tcp'],
    [/descriptor 5 \("dns"\) is no UDP or TCP socket/],
  ],
  ['no number', { ...mine, LISTEN_FDS: 'two' }, [], [/LISTEN_FDS is "two"/]],
  ['an absurd number', { ...mine, LISTEN_FDS: '99999999' }, [], [/LISTEN_FDS is "99999999"/]],
  ['a negative number', { ...mine, LISTEN_FDS: '-1' }, [], [/LISTEN_FDS is "-1"/]],
] as const) {
  t.test(what, async (t) => {
    const { libc, closed } = scripted();
    const environs: Record<string, string | undefined> = { ...environment, PATH: '/bin' };
    const handed = takeHandedSockets(environs, 77, libc);
    t.same(
      handed.sockets.map(({ transport }) => transport),
      sockets,
    );
    t.match(handed.faults, faults);
    t.equal(handed.faults.length, faults.length);
    t.same(environs, { PATH: '/bin' }, 'the variables are not for the children');
    t.same(
      handed.sockets.map(({ fd }) => fd),
      closed.map((fd) => fd + 100),
      'copies that no child inherits, in place of the originals',
    );
  });
}

t.test(
  'where C cannot be called the kernel’s tables say what a socket is',
  { skip: process.platform !== 'linux' },
  async (t) => {
    // descriptors 3 and 4 of this process are its own: it asks about a descriptor by its number alone, so the table is read through them
    const handed = takeHandedSockets({ LISTEN_PID: '77', LISTEN_FDS: '200' }, 77, undefined);
    const udp = createSocket('udp6');
    udp.bind(0, '::1');
    await once(udp, 'listening');
    t.teardown(() => udp.close());
    const tcp = createServer().listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    t.teardown(() => tcp.close());
    const now = takeHandedSockets({ LISTEN_PID: '77', LISTEN_FDS: '200' }, 77, undefined);
    const address = tcp.address();
    const tcpPort = address !== null && typeof address === 'object' ? address.port : 0;
    const fresh = now.sockets.filter(({ fd }) => !handed.sockets.some((one) => one.fd === fd));
    t.match(
      fresh.toSorted((a, b) => b.transport.localeCompare(a.transport)),
      [
        {
          transport: 'udp',
          address: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
          port: udp.address().port,
        },
        { transport: 'tcp', address: Uint8Array.of(127, 0, 0, 1), port: tcpPort },
      ],
    );
    const file = openSync('/dev/null', 'r');
    t.teardown(() => closeSync(file));
    t.ok(
      takeHandedSockets({ LISTEN_PID: '77', LISTEN_FDS: String(file - 2) }, 77, undefined).faults.some(
        (fault) => fault.startsWith(`descriptor ${file} `),
      ),
      'a file is none',
    );
  },
);
