import { Socket } from 'node:net';
import t from 'tap';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import { TcpListener } from '../../../src/serving/listener/tcp.ts';
import { until } from '../../helpers/patience.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import {
  eventually,
  frame,
  idOf,
  ids,
  LIMITS,
  listenTcp,
  makeRig,
  query,
  rcodeOf,
  StubHandler,
  TcpClient,
} from './rig.ts';

t.test('a query is answered on each loopback', async (t) => {
  for (const address of ['127.0.0.1', '127.0.0.2', '::1']) {
    const { port } = await listenTcp(t, {}, address);
    const client = new TcpClient(t, port, address);
    client.send(query(0x1234));
    t.same(ids(await client.atLeast(1)), [0x1234], address);
  }
});

t.test('1,000 pipelined queries: all replies, in far fewer writes', async (t) => {
  const { port, counters } = await listenTcp(t);
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
  const { port } = await listenTcp(t);
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
  const { port } = await listenTcp(t, { handler });
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
  'malformed is FORMERR as over UDP; a response and a message shorter than a header get no reply',
  async (t) => {
    const { port } = await listenTcp(t);
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
  const { port, counters, slots } = await listenTcp(t);
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
  const { port } = await listenTcp(t, { handler });
  const client = new TcpClient(t, port);
  client.send(...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((id) => query(id, 'big.test')));
  const replies = await client.atLeast(10);
  t.same(ids(replies), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  t.ok(replies.every(({ length }) => length === 65_535));
});

t.test('at the limit of queries in flight no more is read, and all are answered in the end', async (t) => {
  const handler = new StubHandler();
  const gates: (() => void)[] = [];
  handler.gate = () => new Promise((resolve) => gates.push(resolve));
  const { port, intake } = await listenTcp(t, { handler, limits: { pipelined: 10 } });
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
});

t.test(
  'a client that has closed its sending side still gets its replies, then the connection ends',
  async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    handler.gate = () => new Promise((resolve) => (open = resolve));
    const { port, intake, slots } = await listenTcp(t, { handler });
    const client = new TcpClient(t, port);
    client.socket.end(Buffer.concat([frame(query(1)), frame(query(2, 'later.test'))]));
    await eventually(() => intake.pending === 1, 'one waits');
    open();
    t.same(ids(await client.atLeast(2)), [1, 2]);
    await client.closed();
    await eventually(() => slots.size === 0, 'the slot is free');
  },
);

t.test('a client that resets while its replies are on their way disturbs no other client', async (t) => {
  const handler = new StubHandler();
  const gates: (() => void)[] = [];
  handler.gate = () => new Promise((resolve) => gates.push(resolve));
  const { port, slots, intake } = await listenTcp(t, { handler });
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

t.test(
  'a client that asks and never reads is closed before it holds more than a bounded amount',
  async (t) => {
    const time = new VirtualTime();
    const handler = new StubHandler();
    handler.padding = 60_000;
    const { port, counters, slots, intake } = await listenTcp(t, { handler, clock: time, timers: time });
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
  const { port, slots } = await listenTcp(t, { handler });
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
  const { port, counters, slots } = await listenTcp(t, { handler });
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
    const { port, intake } = await listenTcp(t, { handler });
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

t.test(
  'closing: no new connections, idle connections end, queries in flight are answered first',
  async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    handler.gate = () => new Promise((resolve) => (open = resolve));
    const { port, listener, intake, counters } = await listenTcp(t, { handler });
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
  },
);

t.test('closing: connections that are not answered in their grace are ended', async (t) => {
  const time = new VirtualTime();
  const handler = new StubHandler();
  handler.gate = () => new Promise(() => undefined);
  for (const ends of ['grace', 'second close']) {
    const { port, listener, intake } = await listenTcp(t, { handler, timers: time });
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

t.test('many clients at once: every reply reaches the client that asked', async (t) => {
  const { port } = await listenTcp(t, { limits: { ...LIMITS, connections: 100 } });
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

const calls = await loadDatagramCalls();
const [libc, skip] = calls.kind === 'available' ? [calls.libc, false] : [undefined, calls.reason];

t.test(
  'a socket that was opened in C: clients that connect at once, and those after them',
  { skip },
  async (t) => {
    for (const address of ['127.0.0.1', '::1']) {
      const { port, counters } = await listenTcp(t, { libc }, address);
      const clients = Array.from({ length: 40 }, () => new TcpClient(t, port, address));
      for (const [id, client] of clients.entries()) client.send(query(id));
      for (const [id, client] of clients.entries()) t.same(ids(await client.atLeast(1)), [id]);
      const later = new TcpClient(t, port, address);
      later.send(query(99));
      t.same(ids(await later.atLeast(1)), [99], address);
      t.equal(counters.get('tcpAcceptErrors'), 0);
    }
  },
);

t.test(
  'a socket that was opened in C: refused as by Node, and its port is free after it',
  { skip },
  async (t) => {
    const bound = await listenTcp(t, { libc });
    const at = { address: '127.0.0.1', port: bound.port };
    const bind = (address: typeof at, how: Parameters<typeof makeRig>[0]) =>
      new TcpListener(address, makeRig(how)).start();
    for (const [address, code] of [
      [at, 'EADDRINUSE'],
      [{ address: '192.0.2.1', port: 0 }, 'EADDRNOTAVAIL'],
    ] as const)
      for (const how of [{ libc }, {}]) await t.rejects(bind(address, how), { code }, code);
    await bound.listener.close(0); // no client has come
    for (const how of [{ libc }, { libc }, {}]) {
      const next = new TcpListener(at, makeRig(how));
      await next.start();
      const client = new TcpClient(t, at.port);
      client.send(query(7));
      t.same(ids(await client.atLeast(1)), [7]);
      await next.close(0); // the server ends first: its side of the connection waits on this port
      await client.closed();
    }
  },
);

t.test(
  'a socket that was opened in C and is lost before Node takes it over is opened again',
  { skip },
  async (t) => {
    if (libc === undefined) return;
    const watch = (fd: number, take: () => void) =>
      libc.watch(fd, () => {
        libc.close(fd);
        take();
      });
    for (const address of ['127.0.0.1', '::1']) {
      const { port, log } = await listenTcp(t, { libc: { ...libc, watch } }, address);
      await new TcpClient(t, port, address).closed();
      const client = await until('a client is connected', async () => {
        const next = new TcpClient(t, port, address);
        await new Promise<void>((resolve) => {
          for (const event of ['connect', 'close']) next.socket.once(event, () => resolve());
        });
        return !next.isClosed && next;
      });
      client.send(query(7));
      t.same(ids(await client.atLeast(1)), [7], address);
      t.match(log.lines, [{ level: 'warn', fields: { err: { code: 'EINVAL' }, address } }]);
    }
  },
);

t.test('a lost socket whose port is taken meanwhile is tried for until it is closed', { skip }, async (t) => {
  if (libc === undefined) return;
  let lose = (): void => undefined;
  const watch = (fd: number, take: () => void) => {
    lose = () => {
      libc.close(fd);
      take();
    };
    return libc.watch(fd, () => undefined);
  };
  const due = new Set<() => unknown>();
  const after = (_: number, run: () => unknown) => {
    due.add(run);
    return { [Symbol.dispose]: () => due.delete(run) };
  };
  const { port, log, listener } = await listenTcp(t, { libc: { ...libc, watch }, timers: { after } });
  lose();
  const other = new TcpListener({ address: '127.0.0.1', port }, makeRig());
  await other.start();
  for (let attempt = 0; attempt < 3; attempt++) {
    const run = await until('another attempt is due', () => [...due][0]);
    due.delete(run);
    run();
  }
  const last = await until('another attempt is due', () => [...due][0]);
  const codes = log.lines.map(({ fields }) => (fields['err'] as NodeJS.ErrnoException).code);
  t.same(codes, ['EINVAL', 'EADDRINUSE'], 'each reason once');
  await other.close(0);
  await listener.close(0);
  last();
  const client = new TcpClient(t, port);
  await client.closed();
});
