import { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { ClientAccess } from '../../../src/serving/listener/clients.ts';
import { RateLimit } from '../../../src/serving/listener/rate-limit.ts';
import { idleLimitMs, TcpListener, type TcpSlots } from '../../../src/serving/listener/tcp.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import {
  eventually,
  frame,
  idOf,
  LIMITS,
  makeRig,
  query,
  type RigOptions,
  rcodeOf,
  StubHandler,
  TcpClient,
} from './rig.ts';

async function listen(t: Test, options: RigOptions = {}, address = '127.0.0.1') {
  const rig = makeRig(options);
  const listener = new TcpListener({ address, port: 0 }, rig);
  await listener.start();
  t.teardown(() => listener.close(0));
  return { ...rig, listener, port: listener.address.port, counters: rig.intake.counters };
}

const ids = (replies: readonly Buffer[]): number[] => replies.map(idOf);

t.test('a query is answered on each loopback', async (t) => {
  for (const address of ['127.0.0.1', '127.0.0.2', '::1']) {
    const { port } = await listen(t, {}, address);
    const client = new TcpClient(t, port, address);
    client.send(query(0x1234));
    t.same(ids(await client.atLeast(1)), [0x1234], address);
  }
});

t.test('1,000 pipelined queries: all replies, in far fewer writes', async (t) => {
  const { port, counters } = await listen(t);
  const client = new TcpClient(t, port);
  client.send(...Array.from({ length: 1000 }, (_, id) => query(id)));
  const replies = await client.atLeast(1000);
  t.same(
    ids(replies),
    Array.from({ length: 1000 }, (_, id) => id),
  );
  t.ok(client.chunks <= 20, `${client.chunks} chunks`);
  t.equal(counters.get('repliesTcp'), 1000);
});

t.test('a query that arrives octet by octet is answered', async (t) => {
  const { port } = await listen(t);
  const client = new TcpClient(t, port);
  for (const octet of frame(query(5))) {
    client.socket.write(Buffer.of(octet));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.same(ids(await client.atLeast(1)), [5]);
});

t.test('replies come in the order in which they are known, those of one turn in one write', async (t) => {
  const handler = new StubHandler();
  const gates = new Map<string, () => void>();
  handler.gate = (name) => new Promise((resolve) => gates.set(name, resolve));
  const { port } = await listen(t, { handler });
  const client = new TcpClient(t, port);
  client.send(query(1, 'later-1.test'), query(2, 'later-2.test'), query(3), query(4, 'later-4.test'));
  t.same(ids(await client.atLeast(1)), [3], 'the known one overtakes');
  await eventually(() => gates.size === 3, 'three wait');
  gates.get('later-4.test')?.();
  t.same(ids(await client.atLeast(2)), [3, 4]);
  const writes = t.capture(Socket.prototype, 'write', Socket.prototype.write);
  gates.get('later-2.test')?.();
  for (let i = 0; i < 50; i++) await undefined; // later, but within this turn of the loop
  gates.get('later-1.test')?.();
  t.same(ids(await client.atLeast(4)), [3, 4, 2, 1]);
  const isOurs = (socket: unknown): boolean => socket instanceof Socket && socket.localPort === port;
  const ours = writes().filter(({ receiver }) => isOurs(receiver)); // stdout may be a socket too
  t.equal(ours.length, 1, 'two replies of one turn in one write');
});

t.test(
  'malformed is FORMERR as over UDP; a response and a message shorter than a header get nothing',
  async (t) => {
    const { port } = await listen(t);
    const client = new TcpClient(t, port);
    const response = query(2);
    response[2] = 0x80;
    client.send(query(1).slice(0, 15), response, Uint8Array.of(1, 2, 3), query(4));
    const replies = await client.atLeast(2);
    t.same(ids(replies), [1, 4]);
    t.same(replies.map(rcodeOf), [1, 0]);
  },
);

t.test('a frame of no octets ends the connection', async (t) => {
  const { port, counters, slots } = await listen(t);
  const client = new TcpClient(t, port);
  client.send(query(1));
  await client.atLeast(1);
  client.socket.write(Buffer.of(0, 0));
  await client.closed();
  t.equal(counters.get('tcpClosedBadFrame'), 1);
  t.equal(slots.size, 0);
});

t.test('largest replies: 65,535 octets, several in a row', async (t) => {
  const handler = new StubHandler();
  handler.padding = 65_535 - query(0, 'big.test').length;
  const { port } = await listen(t, { handler });
  const client = new TcpClient(t, port);
  client.send(...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((id) => query(id, 'big.test')));
  const replies = await client.atLeast(10);
  t.same(ids(replies), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  t.ok(replies.every(({ length }) => length === 65_535));
});

t.test(
  'at the limit of queries in flight nothing more is read, and all are answered in the end',
  async (t) => {
    const handler = new StubHandler();
    const gates: (() => void)[] = [];
    handler.gate = () => new Promise((resolve) => gates.push(resolve));
    const { port, intake } = await listen(t, { handler, limits: { pipelined: 10 } });
    const client = new TcpClient(t, port);
    client.send(...Array.from({ length: 35 }, (_, id) => query(id, `later-${id}.test`)));
    await eventually(() => gates.length === 10, 'ten are in flight');
    await new Promise((resolve) => setTimeout(resolve, 30));
    t.equal(intake.pending, 10, 'and no more');
    while (client.replies.length < 35) {
      for (const open of gates.splice(0)) open();
      await new Promise((resolve) => setTimeout(resolve, 5));
      t.ok(intake.pending <= 10);
    }
    t.equal(new Set(ids(client.replies)).size, 35);
  },
);

t.test(
  'a client that has sent all it will send (half close) still gets its replies, then the connection ends',
  async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    handler.gate = () => new Promise((resolve) => (open = resolve));
    const { port, intake, slots } = await listen(t, { handler });
    const client = new TcpClient(t, port);
    client.socket.end(Buffer.concat([frame(query(1)), frame(query(2, 'later.test'))]));
    await eventually(() => intake.pending === 1, 'one waits');
    open();
    t.same(ids(await client.atLeast(2)), [1, 2]);
    await client.closed();
    await eventually(() => slots.size === 0, 'the slot is free');
  },
);

t.test('a client that resets while its replies are under way disturbs nobody', async (t) => {
  const handler = new StubHandler();
  const gates: (() => void)[] = [];
  handler.gate = () => new Promise((resolve) => gates.push(resolve));
  const { port, slots, intake } = await listen(t, { handler });
  const other = new TcpClient(t, port);
  await other.connected();
  for (let round = 0; round < 20; round++) {
    const client = new TcpClient(t, port);
    await client.connected();
    client.send(
      ...Array.from({ length: 20 }, (_, id) => query(id, id % 2 === 0 ? 'later.test' : 'known.test')),
    );
    await eventually(() => gates.length >= 10, 'ten wait');
    client.socket.resetAndDestroy();
    if (round % 2 === 0) await eventually(() => slots.size === 1, 'the reset was seen');
    for (const open of gates.splice(0)) open(); // in odd rounds the replies meet the reset on the way
  }
  await eventually(() => slots.size === 1 && intake.pending === 0, 'all slots but one are free');
  other.send(query(9));
  t.same(ids(await other.atLeast(1)), [9]);
});

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

t.test('the connection above the limit takes the place of the one that was idle for longest', async (t) => {
  const { port, counters, slots, log } = await listen(t, { limits: { connections: 3 } });
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
});

t.test(
  'the connection above the limit of its client takes the place of its own longest idle one',
  async (t) => {
    const { port, counters, slots, log } = await listen(t, { limits: { connectionsPerClient: 3 } });
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
  const { port, slots } = await listen(t, { limits: { connections: 150, connectionsPerClient: 20 } });
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

t.test('names that nobody answers, asked on every slot, keep no other client out', async (t) => {
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  const { port, slots, intake, counters } = await listen(t, {
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
  'a client that may not ask is REFUSED once and left, and gets no slot once half are taken',
  async (t) => {
    const { port, counters, slots, intake } = await listen(t, { limits: { connections: 4 }, allow: [] });
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

t.test('idle time: whole up to half of the slots, then shrinking to a twentieth', async (t) => {
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

t.test('virtual time: an idle connection ends after 10 s, each query starts them again', async (t) => {
  const time = new VirtualTime();
  const { port, counters, slots } = await listen(t, { clock: time, timers: time });
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

t.test(
  'virtual time: a frame that has begun in time may end when the connection would be idle',
  async (t) => {
    const time = new VirtualTime();
    const { port } = await listen(t, { clock: time, timers: time });
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
  },
);

t.test('virtual time: with most slots taken idle connections go sooner', async (t) => {
  const time = new VirtualTime();
  const { port, counters, slots } = await listen(t, {
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
  const { port, slots, intake } = await listen(t, { clock: time, timers: time, handler });
  const client = new TcpClient(t, port);
  client.send(query(1, 'later.test'));
  await eventually(() => intake.pending === 1, 'it waits');
  await time.advance(60_000);
  t.equal(slots.size, 1);
  open();
  t.same(ids(await client.atLeast(1)), [1]);
});

t.test(
  'virtual time: a frame that is not whole after 3 s ends the connection, however it trickles',
  async (t) => {
    const time = new VirtualTime();
    const { port, counters, slots, intake } = await listen(t, { clock: time, timers: time });
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
  const { port, slots, intake } = await listen(t, {
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

t.test(
  'a client that asks and never reads is ended before it holds more than a bounded amount',
  async (t) => {
    const time = new VirtualTime();
    const handler = new StubHandler();
    handler.padding = 60_000;
    const { port, counters, slots, intake } = await listen(t, { handler, clock: time, timers: time });
    const client = new TcpClient(t, port);
    client.socket.pause();
    const asks = Buffer.concat(Array.from({ length: 2000 }, (_, id) => frame(query(id, 'big.test'))));
    client.socket.write(asks);
    let before = -1;
    await eventually(() => {
      const isStill = intake.counters.get('receivedTcp') > 0 && intake.counters.get('receivedTcp') === before;
      before = intake.counters.get('receivedTcp');
      return isStill;
    }, 'the server has stopped reading');
    t.ok(before < 500, `${before} of 2000 queries were taken: the kernel buffers and one turn`);
    await time.advance(10_600);
    t.equal(slots.size, 0);
    t.equal(counters.get('tcpClosedSlowReader'), 1);
  },
);

t.test('a client that asks for much and reads late gets all of it', async (t) => {
  const handler = new StubHandler();
  handler.padding = 60_000;
  const { port, slots } = await listen(t, { handler });
  const client = new TcpClient(t, port);
  client.socket.pause();
  client.send(...Array.from({ length: 400 }, (_, id) => query(id, 'big.test')));
  await eventually(() => slots.size === 1, 'it is connected');
  await new Promise((resolve) => setTimeout(resolve, 50));
  client.socket.resume();
  const replies = await client.atLeast(400);
  t.ok(replies.every((reply, id) => idOf(reply) === id && reply.length > 60_000));
});

t.test('answers that come late to a reader that never reads are bounded too', async (t) => {
  const handler = new StubHandler();
  handler.later = (_turn, reply) => reply.send(new Uint8Array(65_000));
  const { port, counters, slots } = await listen(t, { handler });
  const client = new TcpClient(t, port);
  client.socket.pause();
  for (let i = 0; i < 20; i++)
    client.send(...Array.from({ length: 100 }, (_, id) => query(id, 'later.test')));
  await eventually(() => counters.get('tcpClosedSlowReader') === 1, 'it is ended');
  t.equal(slots.size, 0);
});

t.test(
  'a reply of several messages is framed and in order, beside the replies to other queries',
  async (t) => {
    const handler = new StubHandler();
    const parts = [1, 2, 3];
    handler.later = ({ query: { octets } }, reply) => {
      void (async () => {
        for (const part of parts) {
          await new Promise((resolve) => setImmediate(resolve));
          const message = octets.slice();
          message[7] = part;
          reply.send(message, part < 3);
          message.fill(0xff); // nobody may read it any more
        }
      })();
    };
    const { port, intake } = await listen(t, { handler });
    const client = new TcpClient(t, port);
    client.send(query(1, 'later.test'), query(2), query(3, 'later.test'), query(4));
    const replies = await client.atLeast(8);
    for (const id of [1, 3])
      t.same(
        replies.filter((reply) => idOf(reply) === id).map((reply) => reply[7]),
        parts,
      );
    t.same(ids(replies).toSorted(), [1, 1, 1, 2, 3, 3, 3, 4]);
    t.equal(intake.pending, 0);
  },
);

t.test('closing: no new connections, idle ones end, those in flight are answered first', async (t) => {
  const handler = new StubHandler();
  let open: () => void = () => undefined;
  handler.gate = () => new Promise((resolve) => (open = resolve));
  const { port, listener, intake, counters } = await listen(t, { handler });
  const idle = new TcpClient(t, port);
  const busy = new TcpClient(t, port);
  await idle.connected();
  busy.send(query(1, 'later.test'));
  await eventually(() => intake.pending === 1, 'one waits');
  const closed = listener.close(5000);
  await idle.closed();
  await new TcpClient(t, port).closed();
  t.equal(busy.isClosed, false);
  open();
  t.same(ids(await busy.atLeast(1)), [1]);
  await closed;
  t.equal(counters.get('tcpClosedByServer'), 2);
});

t.test('closing: what is not answered in its grace is ended', async (t) => {
  const time = new VirtualTime();
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  for (const ends of ['grace', 'second close']) {
    const { port, listener, intake } = await listen(t, { handler, timers: time });
    const client = new TcpClient(t, port);
    client.send(query(1, 'later.test'));
    await eventually(() => intake.pending === 1, 'it waits');
    const closed = listener.close(5000);
    if (ends === 'grace') await time.advance(5000);
    else await listener.close(0);
    await closed;
    await client.closed();
    t.pass(ends);
  }
});

t.test('many clients at once: every reply reaches the one who asked', async (t) => {
  const { port } = await listen(t, { limits: { ...LIMITS, connections: 100 } });
  const clients = Array.from({ length: 60 }, () => new TcpClient(t, port));
  for (const [i, client] of clients.entries()) {
    const own = Array.from({ length: 50 }, (_, n) => n).map((n) => {
      return query(i * 50 + n, n % 5 === 0 ? `later-${i}-${n}.test` : `known-${i}-${n}.test`);
    });
    client.send(...own);
  }
  for (const [i, client] of clients.entries()) {
    const replies = await client.atLeast(50);
    const foreign = replies.filter(
      (reply) => Math.floor(idOf(reply) / 50) !== i || !reply.includes(`-${i}-${idOf(reply) % 50}`),
    );
    t.equal(foreign.length, 0, `client ${i}`);
  }
});
