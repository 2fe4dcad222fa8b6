import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { bindAddress } from '../../../src/serving/listener/bound-address.ts';
import type { HostInterfaces } from '../../../src/serving/listener/listen-address.ts';
import { Listeners } from '../../../src/serving/listener/listeners.ts';
import { createPlainUdpListener } from '../../../src/serving/listener/udp-plain.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import {
  answers,
  eventually,
  hostWith,
  idOf,
  makeRig,
  query,
  type RigOptions,
  StubHandler,
  TcpClient,
  UdpClient,
} from './rig.ts';

function room(t: Test, host: HostInterfaces = hostWith({ lo: ['127.0.0.1'] }), options: RigOptions = {}) {
  const rig = makeRig(options);
  const state = { host };
  const listeners = new Listeners({
    ...rig,
    createUdp: createPlainUdpListener,
    interfaces: () => state.host,
  });
  t.teardown(() => listeners.close());
  const bound = (): string[] => listeners.addresses.map(({ address }) => address);
  const warnings = (): string[] =>
    rig.log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => String(fields['address']));
  return { ...rig, listeners, state, bound, warnings, port: () => listeners.addresses[0]?.port ?? 0 };
}

/** A port that is free on loopback, outside the range from which the kernel gives ports to others meanwhile. */
async function freePort(): Promise<number> {
  const context = { ...makeRig(), createUdp: createPlainUdpListener };
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const endpoint = await bindAddress({ address: '127.0.0.1', port }, context).catch(() => undefined);
    if (endpoint === undefined) continue;
    await endpoint.close(0);
    return port;
  }
}

/** Another program on this UDP port. */
async function occupy(t: Test, address: string, port: number): Promise<{ leave(): Promise<void> }> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  let left: Promise<void> | undefined;
  const leave = (): Promise<void> => (left ??= new Promise((resolve) => socket.close(() => resolve())));
  t.teardown(leave);
  return { leave };
}

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

t.test(
  'a reload drops no query on an address that stays; queries in flight on a removed address are answered',
  async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    handler.gate = () => gate;
    const { listeners, bound, intake } = room(t, undefined, { handler });
    const port = await freePort();
    const stays = { address: '127.0.0.1', port };
    await listeners.start([stays, { address: '127.0.0.2', port }]);
    const client = new UdpClient(t);
    client.send(query(60_000, 'later-goes.test'), port, '127.0.0.2');
    const goingTcp = new TcpClient(t, port, '127.0.0.2');
    goingTcp.send(query(60_001, 'later-goes.test'));
    await eventually(() => intake.pending === 2, 'two wait');

    let isDone = false;
    let sent = 0;
    const reload = listeners.reconfigure([stays, { address: '127.0.0.3', port }]).then(() => {
      isDone = true;
    });
    while (!isDone || sent < 200) {
      client.send(query(sent), port);
      sent += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await reload;
    const replies = await client.atLeast(sent);
    t.equal(new Set(replies.map(({ reply }) => idOf(reply))).size, sent, `${sent} queries, ${sent} replies`);
    t.same(bound(), ['127.0.0.1', '127.0.0.3']);
    await answers(t, '127.0.0.3', port);
    open();
    const last = (await client.atLeast(sent + 1)).at(-1);
    t.same([idOf(last!.reply), last!.from.address], [60_000, '127.0.0.2']);
    t.same((await goingTcp.atLeast(1)).map(idOf), [60_001]);
    await goingTcp.closed();
  },
);

t.test('a reload that fails changes nothing', async (t) => {
  const { listeners, bound, port } = room(t);
  await listeners.start([{ address: '127.0.0.1', port: 0 }]);
  const before = port();
  const holder = await occupy(t, '127.0.0.3', before);
  const wrong = [
    { address: '127.0.0.2', port: before },
    { address: '127.0.0.3', port: before },
  ];
  await t.rejects(listeners.reconfigure(wrong), { code: 'in-use' });
  await holder.leave();
  t.same(bound(), ['127.0.0.1']);
  await answers(t, '127.0.0.1', before);
  await listeners.reconfigure([{ address: '127.0.0.1', port: 0 }]);
  t.equal(port(), before, 'an address with port 0 keeps the port that it was given');
  await listeners.reconfigure([{ address: '127.0.0.2', port: before }]);
  t.same(bound(), ['127.0.0.2'], 'and the address that failed to change can be bound');
});

t.test('an address that is removed and added again while a query waits there can be bound', async (t) => {
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  const { listeners, bound, intake } = room(t, undefined, { handler });
  const port = await freePort();
  const first = [{ address: '127.0.0.1', port }];
  await listeners.start(first);
  new UdpClient(t).send(query(1, 'later.test'), port);
  await eventually(() => intake.pending === 1, 'it waits');
  await listeners.reconfigure([{ address: '127.0.0.2', port }]);
  await listeners.reconfigure(first);
  t.same(bound(), ['127.0.0.1']);
  await answers(t, '127.0.0.1', port);
});

t.test('from a wildcard to one of its addresses and back: that address is never closed', async (t) => {
  const { listeners, bound } = room(t, hostWith({ lo: ['127.0.0.1', '127.0.0.2'] }));
  const port = await freePort();
  await listeners.start([{ address: '0.0.0.0', port }]);
  const tcp = new TcpClient(t, port);
  await tcp.connected();
  await listeners.reconfigure([{ address: '127.0.0.1', port }]);
  t.same(bound(), ['127.0.0.1']);
  await listeners.reconfigure([{ address: '0.0.0.0', port }]);
  t.same(bound(), ['127.0.0.1', '127.0.0.2']);
  tcp.send(query(1));
  t.same((await tcp.atLeast(1)).map(idOf), [1]);
});

t.test('after close nothing is bound, no timer is left, and a late reload does nothing', async (t) => {
  const time = new VirtualTime();
  const { listeners, bound, port } = room(t, undefined, { timers: time, clock: time });
  await listeners.start([{ address: '0.0.0.0', port: 0 }]);
  const was = port();
  await listeners.close();
  t.same(bound(), []);
  t.equal(time.pendingTimers, 0);
  await listeners.reconfigure([{ address: '127.0.0.1', port: was }]);
  t.same(bound(), []);
  const holder = await occupy(t, '127.0.0.1', was);
  await holder.leave();
});
