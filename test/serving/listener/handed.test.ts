/** Wildcards on one socket, and sockets of the service manager, under both UDP listeners over real sockets. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import type { Libc } from '../../../src/runtime/datagrams.ts';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import type { HandedSocket } from '../../../src/runtime/service-manager.ts';
import { udpListeners } from '../../../src/serving/listener/bound-address.ts';
import type { HostInterfaces } from '../../../src/serving/listener/listen-address.ts';
import { Listeners } from '../../../src/serving/listener/listeners.ts';
import { HandedListenSockets } from '../../../src/serving/listener/socket-plan.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { holdSockets } from './held-sockets.ts';
import { answers, eventually, hostWith, idOf, makeRig, query, TcpClient, UdpClient } from './rig.ts';

const calls = await loadDatagramCalls();
const HOST = hostWith({ lo: ['127.0.0.1', '::1'], eth0: ['127.0.0.2'] });

if (calls.kind === 'available') suite(calls.libc);
else t.test('sockets through C', { skip: calls.reason }, async () => undefined);

interface RoomOptions {
  readonly kind?: 'batched' | 'plain';
  readonly handed?: readonly HandedSocket[];
  readonly host?: HostInterfaces;
  readonly time?: VirtualTime;
}

function suite(libc: Libc): void {
  function room(t: Test, { kind = 'batched', handed, host = HOST, time }: RoomOptions = {}) {
    const rig = makeRig(time === undefined ? {} : { timers: time, clock: time });
    const state = { host, changed: (): void => undefined, watches: 0 };
    const listeners = new Listeners({
      ...rig,
      createUdp: udpListeners(kind === 'batched' ? libc : undefined),
      hasPacketInfo: kind === 'batched',
      interfaces: () => state.host,
      handed: new HandedListenSockets(handed ?? [], libc.duplicate),
      watchHostAddresses: (onChange) => {
        state.watches += 1;
        state.changed = onChange;
        return {
          [Symbol.dispose]: () => {
            state.watches -= 1;
          },
        };
      },
    });
    t.teardown(() => listeners.close());
    const texts = (): string[] =>
      rig.log.lines.filter(({ level }) => level === 'warn').map(({ text }) => text);
    const bound = (): string[] => listeners.addresses.map(({ address }) => address);
    return { ...rig, listeners, state, texts, bound };
  }

  /** Another program on this address and port. */
  async function occupy(t: Test, address: string, port: number): Promise<() => Promise<void>> {
    const tcp = createServer().listen(port, address);
    await once(tcp, 'listening');
    const udp = createSocket('udp4');
    udp.bind(port, address);
    await once(udp, 'listening');
    let left: Promise<void> | undefined;
    const leave = (): Promise<void> => (left ??= close());
    async function close(): Promise<void> {
      await Promise.all([
        new Promise((done) => udp.close(() => done(0))),
        new Promise((done) => tcp.close(done)),
      ]);
    }
    t.teardown(leave);
    return leave;
  }

  /** A datagram to 127.0.0.1 gets no answer, and a later one to 127.0.0.2 does. */
  async function answersAtSecondOnly(t: Test, port: number): Promise<void> {
    const udp = new UdpClient(t);
    udp.send(query(2), port, '127.0.0.1');
    await udp.ask(query(3), port, '127.0.0.2');
    t.same(
      udp.received.map(({ reply }) => idOf(reply)),
      [3],
      'the other address is not served',
    );
  }

  const hold = (t: Test, address: string) => holdSockets(t, libc, address);

  t.test(
    'a wildcard is one socket: every address is answered from itself, also one that no interface lists',
    async (t) => {
      const { listeners, bound } = room(t);
      await listeners.start([{ address: '0.0.0.0', port: 0 }]);
      t.same(bound(), ['0.0.0.0']);
      for (const address of ['127.0.0.1', '127.0.0.9', '127.99.1.2'])
        await answers(t, address, listeners.addresses[0]!.port);
    },
  );

  t.test('a query that waits is answered from the address that was asked', async (t) => {
    const { listeners } = room(t);
    await listeners.start([{ address: '0.0.0.0', port: 0 }]);
    const { from } = await new UdpClient(t).ask(
      query(1, 'later.test'),
      listeners.addresses[0]!.port,
      '127.0.0.9',
    );
    t.equal(from.address, '127.0.0.9');
  });

  t.test('IPv6: one socket for the wildcard, beside that of IPv4', async (t) => {
    const { listeners, bound } = room(t);
    const { port, sockets } = await hold(t, '127.0.0.1');
    for (const { fd } of sockets) libc.close(fd);
    await listeners.start([
      { address: '0.0.0.0', port },
      { address: '::', port },
    ]);
    t.same(bound(), ['0.0.0.0', '::']);
    await answers(t, '127.0.0.9', port);
    await answers(t, '::1', port);
  });

  t.test('more than 512 addresses need no names', async (t) => {
    const many = Array.from({ length: 600 }, (_, i) => `127.1.${i >> 8}.${i & 255}`);
    const { listeners, bound, log } = room(t, { kind: 'batched', host: hostWith({ 'kube-ipvs0': many }) });
    const { port } = await hold(t, '127.0.0.1'); // another program: each address has its own socket
    await listeners.start([{ address: '0.0.0.0', port }]);
    t.equal(bound().length, 600);
    t.equal(log.lines.filter(({ level }) => level === 'warn').length, 0);
    await answers(t, '127.1.2.87', port);
  });

  t.test(
    'beside a program on one address of the port each other address is listened on by itself',
    async (t) => {
      const time = new VirtualTime();
      const { listeners, bound, log, texts, state } = room(t, { time });
      const { port, sockets } = await hold(t, '127.0.0.2');
      for (const { fd } of sockets) libc.close(fd);
      const leave = await occupy(t, '127.0.0.2', port);
      await listeners.start([{ address: '0.0.0.0', port }]);
      t.same(bound(), ['127.0.0.1']);
      t.match(log.lines[0], { level: 'info', text: 'listening on each address of the host by itself' });
      t.match(log.lines[0]?.fields['reason'], /in use by another program/);
      t.same(texts(), ['listen address skipped']);
      await answers(t, '127.0.0.1', port);
      t.equal(state.watches, 1, 'the host is followed');
      state.host = hostWith({ lo: ['127.0.0.1', '127.0.0.2', '127.0.0.3'] });
      state.changed();
      await time.advance(10);
      await eventually(() => bound().includes('127.0.0.3'), 'the kernel told of an address');
      await answers(t, '127.0.0.3', port);
      await leave();
      await time.advance(30_000);
      await eventually(() => bound().includes('127.0.0.2'), 'the port is free');
      await listeners.close();
      t.equal(state.watches, 0);
      t.equal(time.pendingTimers, 0);
    },
  );

  t.test('a reload to an address under the wildcard narrows its socket, and back', async (t) => {
    const { listeners, bound } = room(t);
    await listeners.start([{ address: '0.0.0.0', port: 0 }]);
    const { port } = listeners.addresses[0]!;
    const tcp = new TcpClient(t, port);
    await tcp.connected();
    await listeners.reconfigure([{ address: '127.0.0.2', port }]);
    t.same(bound(), ['127.0.0.2']);
    await answers(t, '127.0.0.2', port);
    tcp.send(query(1));
    t.same((await tcp.atLeast(1)).map(idOf), [1], 'an open connection stays');
    const refused = new TcpClient(t, port);
    await refused.closed();
    await answersAtSecondOnly(t, port);
    await listeners.reconfigure([{ address: '0.0.0.0', port }]);
    t.same(bound(), ['0.0.0.0']);
    await answers(t, '127.0.0.1', port);
  });

  for (const kind of ['batched', 'plain'] as const) {
    t.test(
      `${kind}: what waits in a handed socket is answered by the next process, over UDP and TCP`,
      async (t) => {
        for (const address of ['0.0.0.0', '127.0.0.2', '::']) {
          const { port, sockets } = await hold(t, address);
          const here = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
          const before = room(t, { kind, handed: sockets });
          await before.listeners.start([{ address, port }]);
          t.match(before.log.lines[0], { text: 'listening', fields: { handed: true } });
          await answers(t, here, port);
          await before.listeners.close();
          const udp = new UdpClient(t, here.includes(':') ? 6 : 4);
          for (let id = 0; id < 50; id++) udp.send(query(id), port, here);
          const tcp = new TcpClient(t, port, here);
          await tcp.connected();
          tcp.send(query(60));
          const after = room(t, { kind, handed: sockets });
          await after.listeners.start([{ address, port }]);
          t.equal(new Set((await udp.atLeast(50)).map(({ reply }) => idOf(reply))).size, 50);
          t.same((await tcp.atLeast(1)).map(idOf), [60]);
          t.same(after.texts(), [], 'configured and handed are the same');
          await after.listeners.close();
        }
      },
    );

    t.test(`${kind}: a handed wildcard serves only the named address, and that is said`, async (t) => {
      const { port, sockets } = await hold(t, '0.0.0.0');
      const { listeners, bound, log } = room(t, { kind, handed: sockets });
      await listeners.start([{ address: '127.0.0.2', port }]);
      t.same(bound(), ['127.0.0.2']);
      await answers(t, '127.0.0.2', port);
      await answersAtSecondOnly(t, port);
      await new TcpClient(t, port).closed();
      t.match(
        log.lines.find(({ level }) => level === 'warn'),
        {
          text: 'the service manager holds a wildcard, the configuration names single addresses: only these are served',
          fields: { addresses: [`127.0.0.2:${port}`] },
        },
      );
    });

    t.test(`${kind}: a handed wildcard answers a second address from itself`, async (t) => {
      const { port, sockets } = await hold(t, '0.0.0.0');
      const { listeners } = room(t, { kind, handed: sockets });
      await listeners.start([{ address: '0.0.0.0', port }]);
      for (const address of ['127.0.0.1', '127.0.0.2']) await answers(t, address, port);
    });
  }

  t.test('a handed IPv6 wildcard that takes IPv4 clients too serves the named IPv4 address', async (t) => {
    const { port, sockets } = await holdSockets(t, libc, '::', { isDual: true });
    const { listeners, bound } = room(t, { handed: sockets });
    await listeners.start([
      { address: '127.0.0.2', port },
      { address: '::1', port },
    ]);
    t.same(bound(), ['127.0.0.2', '::1']);
    for (const address of bound()) await answers(t, address, port);
    await answersAtSecondOnly(t, port);
  });

  t.test('sockets that listen.dns does not name, and addresses without a socket, are said', async (t) => {
    const { port, sockets } = await hold(t, '127.0.0.1');
    const { listeners, bound, log } = room(t, { handed: sockets });
    await listeners.start([{ address: '127.0.0.2', port }]);
    t.same(bound(), ['127.0.0.2']);
    t.match(
      log.lines.filter(({ level }) => level === 'warn'),
      [
        {
          text: 'the configuration does not name these sockets of the service manager: nobody answers there',
          fields: { addresses: [`127.0.0.1:${port}`] },
        },
        {
          text: 'the service manager holds no socket for these addresses: a restart may lose their queries',
          fields: { addresses: [`127.0.0.2:${port}`] },
        },
      ],
    );
    await listeners.reconfigure([{ address: '127.0.0.1', port }]);
    await answers(t, '127.0.0.1', port);
    await listeners.reconfigure([{ address: '127.0.0.2', port }]);
    await listeners.reconfigure([{ address: '127.0.0.1', port }]);
    await answers(t, '127.0.0.1', port);
    t.ok(true, 'a handed socket can be given up and used again');
  });

  t.test(
    'a handed address under a configured wildcard: that address has its socket, the others have their own',
    async (t) => {
      const { port, sockets } = await hold(t, '127.0.0.2');
      const { listeners, bound } = room(t, { handed: sockets });
      await listeners.start([{ address: '0.0.0.0', port }]);
      t.same(bound(), ['127.0.0.1', '127.0.0.2']);
      for (const address of bound()) await answers(t, address, port);
    },
  );

  t.test('changes that never end put nothing off', async (t) => {
    const time = new VirtualTime();
    const { listeners, state, bound } = room(t, { kind: 'plain', time });
    await listeners.start([{ address: '0.0.0.0', port: 0 }]);
    state.host = hostWith({ lo: ['127.0.0.1'], eth0: ['127.0.0.2', '127.0.0.3'] });
    for (let at = 0; at < 10; at++) {
      state.changed();
      await time.advance(5);
    }
    await eventually(() => bound().includes('127.0.0.3'), 'the new address is bound');
  });

  t.test('usable: not by loopback alone, unless that is all that was asked for', async (t) => {
    const loopbackOnly = hostWith({ lo: ['127.0.0.1', '::1'], eth0: ['fe80::1'] });
    const time = new VirtualTime();
    const { listeners, state } = room(t, { host: loopbackOnly, time });
    let isUsable = false;
    void listeners.usable.then(() => (isUsable = true));
    await listeners.start([{ address: '0.0.0.0', port: 0 }]);
    await answers(t, '127.0.0.1', listeners.addresses[0]!.port);
    await time.advance(60_000);
    t.equal(isUsable, false, 'it answers, and waits');
    state.host = hostWith({ lo: ['127.0.0.1'], eth0: ['fd00::7'] });
    state.changed();
    await time.advance(10);
    t.equal(isUsable, false, 'an address of the other family is not served');
    state.host = hostWith({ lo: ['127.0.0.1'], eth0: ['10.0.0.5'] });
    state.changed();
    await time.advance(10);
    await eventually(() => isUsable, 'an address came');
    t.equal(state.watches, 0, 'nothing is left to follow');
    const asked = room(t, { host: loopbackOnly });
    await asked.listeners.start([{ address: '127.0.0.1', port: 0 }]);
    await asked.listeners.usable;
  });
}
