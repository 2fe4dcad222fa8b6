/** The promises of every UDP listener: add its maker to `kinds`, and all of these tests run over it. */
import { createSocket } from 'node:dgram';
import t, { type Test } from 'tap';
import { composeQuery } from '../../../src/protocol/wire/query.ts';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import {
  type ChosenCalls,
  chooseDatagramCalls,
  udpListeners,
} from '../../../src/serving/listener/bound-address.ts';
import {
  type CreateUdpListener,
  createPlainUdpListener,
  PlainUdpListener,
  type UdpListener,
} from '../../../src/serving/listener/udp.ts';
import type { Turn } from '../../../src/serving/turn.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { eventually, idOf, makeRig, query, type RigOptions, rcodeOf, StubHandler, UdpClient } from './rig.ts';

const batched = await loadDatagramCalls();
const kinds: [string, CreateUdpListener][] = [['plain', createPlainUdpListener]];
if (batched.kind === 'available') kinds.push(['batched', udpListeners(batched.libc)]);
else t.test('udp batched', { skip: batched.reason }, async () => undefined);

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
const randomDatagrams = Number(process.env['FUZZ_RUNS'] ?? 10_000);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${randomDatagrams}`);

for (const [kind, create] of kinds) t.test(`udp ${kind}`, (t) => suite(t, create));

async function suite(t: Test, create: CreateUdpListener): Promise<void> {
  async function listen(t: Test, options: RigOptions = {}, address = '127.0.0.1') {
    const rig = makeRig(options);
    const listener: UdpListener = create({ address, port: 0 }, rig);
    await listener.start();
    t.teardown(() => listener.close(0));
    return { ...rig, listener, port: listener.address.port };
  }

  t.test('a query is answered on each loopback, from the address that was asked', async (t) => {
    for (const address of ['127.0.0.1', '127.0.0.2', '::1']) {
      const { port } = await listen(t, {}, address);
      const client = new UdpClient(t, address === '::1' ? 6 : 4);
      const { reply, from } = await client.ask(query(0x1234), port, address);
      t.same([idOf(reply), rcodeOf(reply), from.address, from.port], [0x1234, 0, address, port], address);
    }
  });

  t.test('malformed is FORMERR, and the next query is answered', async (t) => {
    const { port } = await listen(t);
    const client = new UdpClient(t);
    const { reply } = await client.ask(query(9).slice(0, 15), port);
    t.same([idOf(reply), rcodeOf(reply), reply.length], [9, 1, 12]);
    t.equal(rcodeOf((await client.ask(query(10), port)).reply), 0);
  });

  t.test(
    'an empty datagram, a short one, a response and a large one: no reply, and the next query has one',
    async (t) => {
      const { port, intake } = await listen(t);
      const client = new UdpClient(t);
      const response = query(1);
      response[2] = 0x80;
      const large = new Uint8Array(60_000);
      large[2] = 0x80;
      for (const octets of [new Uint8Array(0), new Uint8Array(5), response, large]) client.send(octets, port);
      const { reply } = await client.ask(query(2), port);
      t.equal(idOf(reply), 2);
      t.equal(client.received.length, 1);
      t.equal(intake.counters.get('droppedShort'), 2);
      t.equal(intake.counters.get('droppedResponse'), 2);
    },
  );

  t.test('a large well-formed query is answered', async (t) => {
    const { port } = await listen(t);
    const padded = Buffer.concat([query(77), Buffer.alloc(9000)]);
    t.equal(idOf((await new UdpClient(t).ask(padded, port)).reply), 77);
  });

  t.test(
    `${randomDatagrams} random datagrams: none crashes it, each reply has the ID of its query`,
    async (t) => {
      const { port, intake } = await listen(t);
      const client = new UdpClient(t);
      const next = lcg(seed);
      const expected = new Set<number>();
      const batch = 50;
      let asked = 0;
      for (let sent = 0; sent < randomDatagrams; sent += batch) {
        for (let i = 0; i < batch; i++) {
          const octets = randomDatagram(next, (sent + i) & 0xffff);
          if (octets.length >= 12) expected.add(idOf(octets));
          client.send(octets, port);
        }
        // a well-formed query after each batch: when it is answered, all before it were seen
        asked += 1;
        const sentinel = composeQuery({ ...sentinelParts, id: 0xffff });
        expected.add(0xffff);
        client.send(sentinel, port);
        await eventually(
          () => client.received.filter(({ reply }) => idOf(reply) === 0xffff).length >= asked,
          'sentinel',
        );
      }
      t.ok(client.received.length > asked, `${client.received.length - asked} got replies`);
      t.ok(client.received.every(({ reply }) => reply.length >= 12 && (reply[2]! & 0x80) !== 0));
      t.same(
        client.received.filter(({ reply }) => !expected.has(idOf(reply))).length,
        0,
        'no other ID comes back',
      );
      t.ok(intake.counters.get('receivedUdp') >= randomDatagrams);
      t.equal(intake.counters.get('handlerFaults'), 0);
    },
  );

  t.test('2,000 queries wait at once: each gets its own reply when it is known, in any order', async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    handler.gate = () => gate;
    const { port, intake } = await listen(t, { handler });
    const client = new UdpClient(t);
    for (let id = 0; id < 2000; id++) {
      client.send(query(id, `later-${id}.test`), port);
      if (id % 100 === 99) await eventually(() => intake.pending === id + 1, 'all wait');
    }
    t.equal(rcodeOf((await client.ask(query(60_000), port)).reply), 0, 'a known name is answered meanwhile');
    open();
    const received = await client.atLeast(2001);
    t.equal(new Set(received.map(({ reply }) => idOf(reply))).size, 2001);
    for (const { reply } of received.slice(1)) {
      if (!reply.includes(Buffer.from(`later-${idOf(reply)}`)))
        t.fail(`reply ${idOf(reply)} has another question`);
    }
    t.equal(intake.pending, 0);
  });

  t.test(
    'a waiting query without an answer gets no reply; a query whose handler fails gets SERVFAIL',
    async (t) => {
      const { port, intake } = await listen(t);
      const client = new UdpClient(t);
      client.send(query(1, 'later-none.test'), port);
      const { reply } = await client.ask(query(2, 'later-throws.test'), port);
      t.same([idOf(reply), rcodeOf(reply)], [2, 2]);
      t.equal(idOf((await client.ask(query(3, 'later.test'), port)).reply), 3);
      t.equal(intake.counters.get('handlerFaults'), 1);
    },
  );

  t.test(
    'a client that has gone, and a reply too large for a datagram, disturb no other client',
    async (t) => {
      const handler = new StubHandler();
      const { port, intake } = await listen(t, { handler });
      const gone = createSocket('udp4');
      let open: () => void = () => undefined;
      handler.gate = () => new Promise((resolve) => (open = resolve));
      await new Promise((resolve) => gone.send(query(1, 'later.test'), port, '127.0.0.1', resolve));
      await eventually(() => intake.pending === 1, 'it waits');
      await new Promise<void>((resolve) => gone.close(resolve));
      open();
      await eventually(() => intake.pending === 0, 'it was answered');
      handler.later = (_turn, reply) => reply.send(new Uint8Array(65_535));
      const client = new UdpClient(t);
      client.send(query(2, 'later.test'), port);
      await eventually(() => intake.counters.get('sendTooLarge') === 1, 'the failed send is counted');
      t.equal(idOf((await client.ask(query(3), port)).reply), 3);
    },
  );

  t.test('of several messages the first goes out, with TC', async (t) => {
    const handler = new StubHandler();
    handler.later = ({ query: { octets } }, reply) => {
      for (const part of [1, 2, 3]) {
        const message = octets.slice();
        message[7] = part;
        reply.send(message, part < 3);
      }
    };
    const { port, intake } = await listen(t, { handler });
    const client = new UdpClient(t);
    const { reply } = await client.ask(query(7, 'later.test'), port);
    t.same([idOf(reply), reply[7], (reply[2] ?? 0) & 2], [7, 1, 2]);
    await client.ask(query(8), port);
    t.same([client.received.length, intake.pending], [2, 0]);
  });

  t.test('replies do not overwrite each other while many are under way', async (t) => {
    const { port } = await listen(t);
    const client = new UdpClient(t);
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 200; i++) client.send(query(round * 200 + i, `n${round * 200 + i}.test`), port);
      await client.atLeast((round + 1) * 200);
    }
    for (const { reply } of client.received) {
      const name = `n${idOf(reply)}`;
      if (!reply.includes(Buffer.concat([Buffer.of(name.length), Buffer.from(name)])))
        t.fail(`${name} is mixed up`);
    }
    t.equal(new Set(client.received.map(({ reply }) => idOf(reply))).size, 4000);
  });

  t.test('closing: waiting queries are answered first, new queries are not taken', async (t) => {
    const handler = new StubHandler();
    let open: () => void = () => undefined;
    handler.gate = () => new Promise((resolve) => (open = resolve));
    const { port, intake, listener } = await listen(t, { handler });
    const client = new UdpClient(t);
    client.send(query(1, 'later.test'), port);
    await eventually(() => intake.pending === 1, 'it waits');
    const closed = listener.close(5000);
    client.send(query(2, 'later.test'), port);
    // plain: dgram goes on to receive until it is closed; batched: the datagram stays in the socket
    const isTaken = listener.kind === 'plain';
    if (isTaken) await eventually(() => intake.counters.get('droppedClosing') === 1, 'the second is dropped');
    else await new Promise((resolve) => setTimeout(resolve, 20));
    open();
    await closed;
    await client.atLeast(1);
    t.same(
      client.received.map(({ reply }) => idOf(reply)),
      [1],
    );
    t.equal(intake.counters.get('receivedUdp'), isTaken ? 2 : 1);
  });

  t.test(
    'closing: queries that are not answered in their grace are given up; a second close with 0 ends the wait',
    async (t) => {
      const handler = new StubHandler();
      let open: () => void = () => undefined;
      handler.gate = () => new Promise((resolve) => (open = resolve));
      for (const ends of ['grace', 'second close']) {
        const time = new VirtualTime();
        const { port, intake, listener } = await listen(t, { handler, timers: time });
        new UdpClient(t).send(query(1, 'later.test'), port);
        await eventually(() => intake.pending === 1, 'it waits');
        let isClosed = false;
        const closed = listener.close(5000).then(() => {
          isClosed = true;
        });
        await time.advance(4999);
        t.equal(isClosed, false, `${ends}: it waits`);
        if (ends === 'grace') await time.advance(1);
        else await listener.close(0);
        await closed;
        t.equal(time.pendingTimers, 0, `${ends}: no timer is left`);
        open();
        await eventually(() => intake.pending === 0, 'the answer came late');
        t.equal(intake.counters.get('sendOther'), 0, `${ends}: and was not sent`);
      }
    },
  );

  t.test(
    'an address that is taken, or not ours, rejects with the system error and leaves nothing open',
    async (t) => {
      const rig = makeRig();
      const { port } = await listen(t);
      const second = create({ address: '127.0.0.1', port }, rig);
      await t.rejects(second.start(), { code: 'EADDRINUSE' });
      await second.close(0);
      await t.rejects(create({ address: '192.0.2.123', port: 0 }, rig).start(), { code: 'EADDRNOTAVAIL' });
    },
  );
}

const sentinelParts = {
  name: Uint8Array.of(1, 115, 0),
  qtype: 1,
  qclass: 1,
  recursionDesired: true,
  checkingDisabled: false,
};

/** Random octets, or a good query with some octets changed: the former seldom get past the header. */
function randomDatagram(next: () => number, id: number): Uint8Array {
  if (next() % 3 === 0) return Uint8Array.from({ length: next() % 100 }, () => next() & 255);
  const octets = Buffer.concat([query(id, 'fuzz.example.test', next() % 2 === 0), Buffer.alloc(next() % 8)]);
  for (let changes = next() % 4; changes > 0; changes--)
    octets[2 + (next() % (octets.length - 2))] = next() & 255;
  return octets;
}

/** A generator that repeats itself for one seed. */
function lcg(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
}

const kindOf = ({ datagrams }: ChosenCalls, address: string) =>
  udpListeners(datagrams)({ address, port: 0 }, makeRig()).kind;

t.test('plain is plain, also where batches are possible', async (t) => {
  const log = new CollectingLog();
  t.equal(kindOf(await chooseDatagramCalls('plain', log), '127.0.0.1'), 'plain');
  t.equal(log.lines.length, 0);
});

t.test(
  'auto and batched use batches where they are possible, and the log says where they are not',
  async (t) => {
    const isAvailable = (await loadDatagramCalls()).kind === 'available';
    for (const mode of ['auto', 'batched'] as const) {
      const log = new CollectingLog();
      const libc = await chooseDatagramCalls(mode, log);
      t.equal(kindOf(libc, '127.0.0.1'), isAvailable ? 'batched' : 'plain', mode);
      t.equal(
        kindOf(libc, 'fe80::1%lo'),
        'plain',
        'a link-local address needs its interface, which dgram finds',
      );
      const level = mode === 'auto' ? 'info' : 'warn';
      t.match(log.lines, isAvailable ? [] : [{ level, text: 'udp is not received in batches' }]);
    }
  },
);

t.test(
  'no reply is written over a reply that may still wait to be sent: dgram sends later when the socket is full',
  async (t) => {
    const regions = new Map<ArrayBufferLike, [from: number, to: number][]>();
    class WatchedHandler extends StubHandler {
      override answer(turn: Turn): number {
        const { space, spaceStart } = turn;
        const length = super.answer(turn);
        const from = space.byteOffset + spaceStart;
        regions.set(space.buffer, [...(regions.get(space.buffer) ?? []), [from, from + length]]);
        t.ok(space.length - spaceStart >= 1232, 'the handler has the room that it was promised');
        return length;
      }
    }
    const listener = new PlainUdpListener(
      { address: '127.0.0.1', port: 0 },
      makeRig({ handler: new WatchedHandler() }),
    );
    await listener.start();
    t.teardown(() => listener.close(0));
    const client = new UdpClient(t);
    for (let id = 0; id < 3000; id++) {
      client.send(query(id), listener.address.port);
      if (id % 100 === 99) await client.atLeast(id + 1);
    }
    t.equal(new Set(client.received.map(({ reply }) => idOf(reply))).size, 3000);
    t.ok(regions.size > 1, 'more than one slab was used');
    for (const spans of regions.values()) {
      spans.sort(([a], [b]) => a - b);
      t.ok(spans.every(([from], i) => i === 0 || from >= spans[i - 1]![1]));
    }
  },
);

t.test('it says which kind it is', async (t) => {
  const listener = new PlainUdpListener({ address: '127.0.0.1', port: 0 }, makeRig());
  t.equal(listener.kind, 'plain');
  await listener.start();
  await listener.close(0);
});
