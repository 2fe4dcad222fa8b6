import t, { type Test } from 'tap';
import { ClientAccess, RateLimit } from '../../../src/serving/listener/clients.ts';
import { idleLimitMs, type TcpSlots } from '../../../src/serving/listener/tcp.ts';
import type { Turn } from '../../../src/serving/turn.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { eventually, frame, idOf, ids, listenTcp, query, rcodeOf, StubHandler, TcpClient } from './rig.ts';

/** Clients that are connected, in the order in which the server accepted them. */
async function connected(
  t: Test,
  slots: TcpSlots,
  port: number,
  count: number,
  from = '127.0.0.1',
): Promise<TcpClient[]> {
  const clients: TcpClient[] = [];
  for (let i = 0; i < count; i++) {
    const before = slots.size;
    clients.push(new TcpClient(t, port, '127.0.0.1', from));
    await eventually(() => slots.size === before + 1, 'it is connected');
  }
  return clients;
}

t.test(
  'a connection above the limit takes the place of the connection that was idle for longest',
  async (t) => {
    const { port, counters, slots, log } = await listenTcp(t, { limits: { connections: 3 } });
    const [first, second, third] = await connected(t, slots, port, 3);
    first?.send(query(1));
    await first?.atLeast(1);
    const next = new TcpClient(t, port);
    next.send(query(7));
    t.same(ids(await next.atLeast(1)), [7]);
    await second?.closed();
    t.same([first?.isClosed, third?.isClosed], [false, false]);
    t.same([counters.get('tcpMadeRoom'), counters.get('tcpOverLimit'), slots.size], [1, 0, 3]);
    t.match(log.lines, [{ fields: { limit: 'limits.tcpConnections', network: '127.0.0.0/24', times: 1 } }]);
  },
);

t.test(
  'a connection above the limit of its client takes the place of that client’s longest idle connection',
  async (t) => {
    const { port, counters, slots, log } = await listenTcp(t, { limits: { connectionsPerClient: 3 } });
    const [other] = await connected(t, slots, port, 1, '127.0.0.2');
    const held = await connected(t, slots, port, 3);
    const next = new TcpClient(t, port);
    next.send(query(1));
    t.same(ids(await next.atLeast(1)), [1]);
    await held[0]?.closed();
    t.same(
      [other, ...held.slice(1)].map((client) => client?.isClosed),
      [false, false, false],
    );
    t.same([counters.get('tcpMadeRoom'), counters.get('tcpOverClientLimit')], [1, 0]);
    t.match(log.lines, [{ fields: { limit: 'limits.tcpConnectionsPerClient' } }]);
  },
);

t.test('half-sent frames from eight addresses keep no honest client out', async (t) => {
  const { port, slots } = await listenTcp(t, { limits: { connections: 150, connectionsPerClient: 20 } });
  const hostile: TcpClient[] = [];
  for (let address = 2; address < 10; address++) {
    for (let i = 0; i < 20; i++) {
      const client = new TcpClient(t, port, '127.0.0.1', `127.0.0.${address}`);
      client.socket.write(frame(query(i)).subarray(0, 9));
      hostile.push(client);
    }
  }
  await eventually(() => slots.size === 150, 'every slot is taken');
  for (let i = 0; i < 60; i++) {
    const honest = new TcpClient(t, port, '127.0.0.1', `127.0.1.${1 + (i % 30)}`);
    honest.send(query(i));
    t.same(ids(await honest.atLeast(1)), [i], 'answered');
    // the hostile ones come back
    const again = new TcpClient(t, port, '127.0.0.1', `127.0.0.${2 + (i % 8)}`);
    again.socket.write(frame(query(i)).subarray(0, 9));
  }
});

t.test('names that no upstream answers, asked on every slot, keep no other client out', async (t) => {
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  const { port, slots, intake, counters } = await listenTcp(t, {
    handler,
    limits: { connections: 30, connectionsPerClient: 20 },
  });
  for (let i = 0; i < 30; i++)
    new TcpClient(t, port, '127.0.0.1', `127.0.0.${2 + (i % 2)}`).send(query(i, 'later.test'));
  await eventually(() => slots.size === 30 && intake.pending === 30, 'every slot waits for an answer');
  for (let i = 0; i < 10; i++) {
    const honest = new TcpClient(t, port, '127.0.0.1', `127.0.1.${1 + i}`);
    honest.send(query(i));
    t.same(ids(await honest.atLeast(1)), [i], 'answered');
    const again = new TcpClient(t, port, '127.0.0.1', '127.0.0.2');
    again.send(query(i, 'later.test'));
  }
  t.equal(counters.get('tcpOverLimit'), 0);
});

t.test(
  'a client that is not allowed is REFUSED once and closed, and gets no slot when half are taken',
  async (t) => {
    const { port, counters, slots, intake } = await listenTcp(t, { limits: { connections: 4 }, allow: [] });
    const client = new TcpClient(t, port);
    client.send(query(1), query(2, 'known.test', true));
    await client.closed();
    t.same(client.replies.map(rcodeOf), [5, 5]);
    t.equal(slots.size, 0);
    const rateLimit = new RateLimit({ responsesPerSecond: 0, slip: 0, seed: 0 });
    intake.reconfigure({ access: new ClientAccess(['127.0.0.0/8']), rateLimit, refusalLimit: rateLimit });
    const held = [new TcpClient(t, port), new TcpClient(t, port)];
    await eventually(() => slots.size === 2, 'two are connected');
    intake.reconfigure({ access: new ClientAccess([]), rateLimit, refusalLimit: rateLimit });
    const late = new TcpClient(t, port);
    await late.closed();
    t.equal(counters.get('tcpProhibited'), 1);
    t.equal(held.length, 2);
  },
);

t.test('idle time: full up to half of the slots, then shrinking to a twentieth', async (t) => {
  const table: [used: number, limitMs: number][] = [
    [0, 10_000],
    [75, 10_000],
    [90, 8000],
    [120, 4000],
    [145, (10_000 * 10) / 150],
    [149, 500],
    [150, 500],
    [200, 500],
  ];
  for (const [used, expected] of table)
    t.equal(Math.round(idleLimitMs(used, 150, 10_000)), Math.round(expected), `${used}`);
});

t.test('virtual time: an idle connection ends after 10 s; each query starts the time again', async (t) => {
  const time = new VirtualTime();
  const { port, counters, slots } = await listenTcp(t, { clock: time, timers: time });
  const client = new TcpClient(t, port);
  await eventually(() => slots.size === 1, 'it is connected');
  await time.advance(9000);
  client.send(query(1));
  await client.atLeast(1);
  await time.advance(9000);
  t.equal(slots.size, 1, '18 s after it came');
  await time.advance(2000);
  await client.closed();
  t.equal(counters.get('tcpClosedIdle'), 1);
  await time.advance(1000);
  t.equal(time.pendingTimers, 0, 'without connections there is no timer');
});

t.test('virtual time: a frame that began in time may end after the idle time', async (t) => {
  const time = new VirtualTime();
  const { port } = await listenTcp(t, { clock: time, timers: time });
  const client = new TcpClient(t, port);
  client.send(query(1));
  await client.atLeast(1);
  await time.advance(9000);
  const octets = frame(query(2));
  client.socket.write(octets.subarray(0, 9));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await time.advance(2000);
  client.socket.write(octets.subarray(9));
  t.same((await client.atLeast(2)).map(idOf), [1, 2]);
});

t.test('virtual time: with most slots taken idle connections end sooner', async (t) => {
  const time = new VirtualTime();
  const { port, counters, slots } = await listenTcp(t, {
    clock: time,
    timers: time,
    limits: { connections: 10 },
  });
  for (let i = 0; i < 9; i++) new TcpClient(t, port);
  await eventually(() => slots.size === 9, 'nine are connected');
  await time.advance(1500);
  t.equal(slots.size, 9);
  await time.advance(1500); // with 9 of 10 taken: 2 s
  t.equal(slots.size, 0);
  t.equal(counters.get('tcpClosedIdle'), 9);
});

t.test('virtual time: a connection that waits for us is not idle', async (t) => {
  const time = new VirtualTime();
  const handler = new StubHandler();
  let open: () => void = () => undefined;
  handler.gate = () => new Promise((resolve) => (open = resolve));
  const { port, slots, intake } = await listenTcp(t, { clock: time, timers: time, handler });
  const client = new TcpClient(t, port);
  client.send(query(1, 'later.test'));
  await eventually(() => intake.pending === 1, 'it waits');
  await time.advance(60_000);
  t.equal(slots.size, 1);
  open();
  t.same(ids(await client.atLeast(1)), [1]);
});

t.test(
  'virtual time: a frame that is incomplete after 3 s ends the connection, even if octets still arrive',
  async (t) => {
    const time = new VirtualTime();
    const { port, counters, slots, intake } = await listenTcp(t, { clock: time, timers: time });
    const slow = new TcpClient(t, port);
    const whole = new TcpClient(t, port);
    await eventually(() => slots.size === 2, 'both are connected');
    slow.send(query(1));
    await slow.atLeast(1);
    const octets = frame(query(2));
    for (let i = 0; i < 8; i++) {
      slow.socket.write(octets.subarray(i, i + 1));
      whole.send(query(i));
      await whole.atLeast(i + 1);
      await eventually(() => intake.counters.get('receivedTcp') === i + 2, 'it came');
      await new Promise((resolve) => setTimeout(resolve, 5));
      await time.advance(500);
      if (i === 4) t.equal(slots.size, 2, 'after 2.5 s it is still there');
    }
    await slow.closed();
    t.equal(counters.get('tcpClosedSlowFrame'), 1);
    t.equal(slots.size, 1, 'one with whole frames stays');
  },
);

t.test('virtual time: while we do not read, the time for a frame stands still', async (t) => {
  const time = new VirtualTime();
  const handler = new StubHandler();
  let open: () => void = () => undefined;
  handler.gate = () => new Promise((resolve) => (open = resolve));
  const { port, slots, intake } = await listenTcp(t, {
    clock: time,
    timers: time,
    handler,
    limits: { pipelined: 1 },
  });
  const client = new TcpClient(t, port);
  const second = frame(query(2));
  client.socket.write(Buffer.concat([frame(query(1, 'later.test')), second.subarray(0, 7)]));
  await eventually(() => intake.pending === 1, 'the first waits');
  await time.advance(30_000);
  t.equal(slots.size, 1);
  open();
  await client.atLeast(1);
  await time.advance(2500);
  client.socket.write(second.subarray(7));
  t.same(ids(await client.atLeast(2)), [1, 2]);
});

/** Each query takes a millisecond of the loop. */
class BusyHandler extends StubHandler {
  onQuery: () => void = () => undefined;

  override answer(turn: Turn): number {
    this.onQuery();
    for (const untilMs = performance.now() + 1; performance.now() <= untilMs; );
    return super.answer(turn);
  }
}

t.test(
  'queries on many connections that come together share a turn by time, and all are answered',
  async (t) => {
    let [perTurn, most, taken] = [0, 0, 0];
    const countTurns = () => {
      perTurn = 0;
      if (taken < 60) setImmediate(countTurns);
    };
    const handler = new BusyHandler();
    handler.onQuery = () => {
      taken++;
      most = Math.max(most, ++perTurn);
    };
    const { port, slots } = await listenTcp(t, { handler });
    const clients = await connected(t, slots, port, 30);
    countTurns();
    for (const client of clients) client.send(query(1), query(2));
    for (const client of clients) t.same(ids(await client.atLeast(2)), [1, 2]);
    // two that have just come, and two that have waited: the second of each is begun in the last moment of a share
    t.ok(most <= 4, `${most} queries of a millisecond in one turn`);
  },
);

t.test('a connection whose queries wait for their turn makes no room for a new connection', async (t) => {
  const handler = new BusyHandler();
  const { port, slots, counters } = await listenTcp(t, { handler, limits: { connections: 5 } });
  const clients = await connected(t, slots, port, 5);
  let next: TcpClient | undefined;
  handler.onQuery = () => {
    next ??= new TcpClient(t, port);
  };
  const asked = Array.from({ length: 30 }, (_, id) => id);
  for (const client of clients) client.send(...asked.map((id) => query(id)));
  for (const client of clients) t.same(ids(await client.atLeast(30)), asked);
  await next?.closed();
  t.same([counters.get('tcpMadeRoom'), counters.get('tcpOverLimit')], [0, 1]);
});

t.test('nor does a connection whose frame has become whole while it waits for its turn', async (t) => {
  const time = new VirtualTime();
  const { port, slots, counters, intake } = await listenTcp(t, {
    clock: time,
    timers: time,
    limits: { connections: 2, frameMs: 3_000, idleMs: 1_000_000 },
  });
  const [split, idle] = await connected(t, slots, port, 2);
  const octets = frame(query(2));
  split?.socket.write(Buffer.concat([frame(query(1)), octets.subarray(0, 7)]));
  t.same(ids((await split?.atLeast(1)) ?? []), [1]);
  const { sharedTurn } = slots;
  const isOver = sharedTurn.isOver.bind(sharedTurn);
  let isAsked = false;
  sharedTurn.isOver = () => {
    isAsked = true;
    return true;
  };
  split?.socket.write(octets.subarray(7));
  await eventually(() => isAsked, 'the rest has come, and waits');
  await time.advance(3_500);
  const next = new TcpClient(t, port);
  await idle?.closed();
  sharedTurn.isOver = isOver;
  t.same(ids((await split?.atLeast(2)) ?? []), [1, 2]);
  next.send(query(3));
  t.same(ids(await next.atLeast(1)), [3]);
  t.same([counters.get('tcpMadeRoom'), counters.get('tcpClosedSlowFrame')], [1, 0]);
  t.equal(intake.counters.get('receivedTcp'), 3);
});
