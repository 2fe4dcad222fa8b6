import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import t from 'tap';
import { bindAddress } from '../../../src/serving/listener/bound-address.ts';
import { Listeners } from '../../../src/serving/listener/listeners.ts';
import { createPlainUdpListener } from '../../../src/serving/listener/udp.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { freePort, occupy, room } from './listeners-room.ts';
import { answers, eventually, hostWith, idOf, makeRig, query, TcpClient } from './rig.ts';

t.test('a wildcard answers from the address that was asked, over UDP and TCP on one port', async (t) => {
  const { listeners, port, bound } = room(t, hostWith({ lo: ['127.0.0.1', '127.0.0.2', '::1'] }));
  await listeners.start([{ address: '0.0.0.0', port: 0 }]);
  t.same(bound(), ['127.0.0.1', '127.0.0.2']);
  t.equal(new Set(listeners.addresses.map((address) => address.port)).size, 1);
  t.same(listeners.addresses[0]?.udp, 'plain');
  for (const address of bound()) await answers(t, address, port());
});

t.test('IPv4 and IPv6 share a port number', async (t) => {
  const { listeners, bound } = room(t, hostWith({ lo: ['127.0.0.1', '::1'] }));
  const port = await freePort();
  await listeners.start([
    { address: '0.0.0.0', port },
    { address: '::', port },
    { address: '127.0.0.1', port },
  ]);
  t.same(bound(), ['127.0.0.1', '::1'], 'an address that is named twice is bound once');
  for (const address of bound()) await answers(t, address, port);
});

t.test('port 0: UDP and TCP get one number, also if the first number is taken for UDP', async (t) => {
  const rig = makeRig();
  let attempts = 0;
  const taken = createSocket('udp4').on('error', () => undefined); // another program was first: taken all the same
  t.teardown(() => taken.close());
  const endpoint = await bindAddress(
    { address: '127.0.0.1', port: 0 },
    {
      ...rig,
      createUdp: (address, context) => {
        const listener = createPlainUdpListener(address, context);
        const start = listener.start.bind(listener);
        listener.start = async () => {
          attempts += 1;
          if (attempts === 1) {
            await new Promise<void>((resolve) => {
              taken.once('error', () => resolve());
              taken.bind(address.port, '127.0.0.1', resolve);
            });
          }
          await start();
        };
        return listener;
      },
    },
  );
  t.ok(attempts >= 2, `${attempts} attempts`);
  await answers(t, '127.0.0.1', endpoint.address.port);
  await endpoint.close(0);
});

t.test(
  'a named address that is in use is an error at start, over either transport, and leaves nothing open',
  async (t) => {
    const port = await freePort();
    for (const transport of ['udp', 'tcp']) {
      const { listeners, bound } = room(t);
      const other = createServer();
      const holder = transport === 'udp' ? await occupy(t, '127.0.0.2', port) : undefined;
      if (transport === 'tcp') await new Promise<void>((resolve) => other.listen(port, '127.0.0.2', resolve));
      const both = [
        { address: '127.0.0.1', port },
        { address: '127.0.0.2', port },
      ];
      await t.rejects(listeners.start(both), {
        name: 'ListenerError',
        code: 'in-use',
        subject: `127.0.0.2:${port}`,
        message: new RegExp(`cannot listen on "127\\.0\\.0\\.2:${port}" \\(${transport}\\): in use`),
      });
      t.same(bound(), []);
      await holder?.leave();
      await new Promise<void>((resolve) => (transport === 'tcp' ? other.close(() => resolve()) : resolve()));
      await listeners.start(both);
      t.same(bound(), ['127.0.0.1', '127.0.0.2'], 'it can be tried again');
      await listeners.close();
    }
  },
);

t.test('an address of no interface is an error with its reason, if it is the only address', async (t) => {
  const { listeners } = room(t);
  await t.rejects(listeners.start([{ address: '192.0.2.123', port: 0 }]), { code: 'no-such-address' });
});

t.test(
  'an address that this host does not have yet stops no other address, and is tried again',
  async (t) => {
    const time = new VirtualTime();
    const { listeners, bound, log, port } = room(t, undefined, { timers: time, clock: time });
    await listeners.start([
      { address: '127.0.0.1', port: 0 },
      { address: '192.0.2.123', port: 5353 },
    ]);
    t.same(bound(), ['127.0.0.1']);
    t.equal(time.pendingTimers, 1, 'another try is due');
    await answers(t, '127.0.0.1', port());
    t.match(log.lines, [
      {},
      { level: 'warn', text: 'listen address skipped', fields: { address: '192.0.2.123:5353' } },
    ]);
  },
);

t.test(
  'if another program has the port on one address of a wildcard, that address is skipped with a warning until it is free',
  async (t) => {
    const time = new VirtualTime();
    const { listeners, bound, warnings } = room(t, hostWith({ lo: ['127.0.0.1', '127.0.0.2'] }), {
      timers: time,
      clock: time,
    });
    const port = await freePort();
    const dnsmasq = await occupy(t, '127.0.0.1', port);
    await listeners.start([{ address: '0.0.0.0', port }]);
    t.same(bound(), ['127.0.0.2']);
    t.same(warnings(), [`127.0.0.1:${port}`]);
    await time.advance(90_000);
    t.same(warnings(), [`127.0.0.1:${port}`], 'said once');
    await dnsmasq.leave();
    await time.advance(30_000);
    t.same(bound(), ['127.0.0.2', '127.0.0.1']);
  },
);

t.test('if another program has the port on every address of a wildcard, that is an error', async (t) => {
  const { listeners, bound } = room(t);
  const port = await freePort();
  await occupy(t, '127.0.0.1', port);
  await t.rejects(listeners.start([{ address: '0.0.0.0', port }]), {
    code: 'in-use',
    subject: `127.0.0.1:${port}`,
  });
  t.same(bound(), []);
});

t.test(
  'a host without IPv6: [::] is a warning, and an error only when no other address is configured',
  async (t) => {
    const { listeners, bound, warnings } = room(t);
    await listeners.start([
      { address: '0.0.0.0', port: 0 },
      { address: '::', port: 53 },
    ]);
    t.same(bound(), ['127.0.0.1']);
    t.same(warnings(), ['[::]:53']);
    const alone = room(t);
    await t.rejects(alone.listeners.start([{ address: '::', port: 53 }]), {
      code: 'nothing-bound',
      message: 'cannot listen anywhere: no address of this host for "[::]:53"',
    });
  },
);

t.test(
  'if the host does not list its interfaces the wildcards themselves are bound, with one warning',
  async (t) => {
    const time = new VirtualTime();
    const rig = makeRig({ timers: time, clock: time });
    let isBroken = true;
    const listeners = new Listeners({
      ...rig,
      createUdp: createPlainUdpListener,
      interfaces: () => {
        if (isBroken) throw new Error('EAFNOSUPPORT');
        return hostWith({ lo: ['127.0.0.1', '::1'] });
      },
    });
    t.teardown(() => listeners.close());
    const port = await freePort();
    await listeners.start([
      { address: '0.0.0.0', port },
      { address: '::', port },
    ]);
    const bound = (): string[] => listeners.addresses.map(({ address }) => address);
    t.same(bound(), ['0.0.0.0', '::']);
    await answers(t, '127.0.0.1', port);
    await answers(t, '::1', port);
    await time.advance(120_000);
    isBroken = false;
    await time.advance(120_000);
    await listeners.reconfigure([
      { address: '0.0.0.0', port },
      { address: '::', port },
    ]);
    t.same(bound(), ['0.0.0.0', '::'], 'and stay bound');
    t.equal(rig.log.lines.filter(({ level }) => level === 'warn').length, 1);
  },
);

t.test(
  'without events new addresses are bound within a second, and the others are not touched',
  async (t) => {
    const time = new VirtualTime();
    const { listeners, state, bound, port } = room(t, undefined, { timers: time, clock: time });
    await listeners.start([{ address: '0.0.0.0', port: 0 }]);
    const tcp = new TcpClient(t, port());
    await tcp.connected();
    state.host = hostWith({ lo: ['127.0.0.1'], eth0: ['127.0.0.2'] });
    await time.advance(900);
    tcp.send(query(1));
    await tcp.atLeast(1);
    t.same(bound(), ['127.0.0.1'], 'not yet');
    await time.advance(100);
    await eventually(() => bound().length === 2, 'it was taken up');
    t.same(bound(), ['127.0.0.1', '127.0.0.2']);
    tcp.send(query(2));
    t.same((await tcp.atLeast(2)).map(idOf), [1, 2], 'an open connection stays');
    await answers(t, '127.0.0.2', port());
  },
);

t.test('a lost address is kept for 10 minutes, in case its interface only lost its carrier', async (t) => {
  const time = new VirtualTime();
  const host = hostWith({ lo: ['127.0.0.1'], eth0: ['127.0.0.2'] });
  const { listeners, state, bound, port } = room(t, host, { timers: time, clock: time });
  await listeners.start([{ address: '0.0.0.0', port: 0 }]);
  state.host = hostWith({ lo: ['127.0.0.1'] });
  await time.advance(300_000);
  await answers(t, '127.0.0.2', port());
  state.host = host;
  await time.advance(60_000);
  state.host = hostWith({ lo: ['127.0.0.1'] });
  await time.advance(600_000);
  t.same(bound(), ['127.0.0.1', '127.0.0.2'], 'the time began again when it was back');
  await time.advance(30_000);
  t.same(bound(), ['127.0.0.1']);
  await answers(t, '127.0.0.1', port());
});

t.test('listing fails later: everything stays', async (t) => {
  const time = new VirtualTime();
  const rig = makeRig({ timers: time, clock: time });
  let isBroken = false;
  const listeners = new Listeners({
    ...rig,
    createUdp: createPlainUdpListener,
    interfaces: () => {
      if (isBroken) throw new Error('out of memory');
      return hostWith({ lo: ['127.0.0.1', '127.0.0.2'] });
    },
  });
  t.teardown(() => listeners.close());
  await listeners.start([{ address: '0.0.0.0', port: 0 }]);
  isBroken = true;
  await time.advance(3_600_000);
  t.equal(listeners.addresses.length, 2);
  t.equal(rig.log.lines.filter(({ level }) => level === 'warn').length, 1, 'said once');
  t.equal(rig.log.lines.filter(({ level }) => level === 'error').length, 0);
});
