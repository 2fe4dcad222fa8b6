import t from 'tap';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { freePort, occupy, room } from './listeners-room.ts';
import { answers, eventually, hostWith, idOf, query, StubHandler, TcpClient, UdpClient } from './rig.ts';

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
