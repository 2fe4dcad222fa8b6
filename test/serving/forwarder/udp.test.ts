/** UDP exchanges over real sockets on loopback, and their choice of ports over made-up ones. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import type { ExchangeEnd, Upstream } from '../../../src/serving/forwarder/exchange.ts';
import {
  type OpenUdpSocket,
  type UdpOptions,
  UdpTransport,
  type UpstreamSocketEvents,
} from '../../../src/serving/forwarder/udp.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { type Asked, answerTo, HandMadeUpstream } from './hand-made-upstream.ts';
import { exchangeFor, Mismatches, run } from './one-exchange.ts';
import { noBatches, UDP_KINDS } from './udp-kinds.ts';

function options(
  upstream: Upstream,
  mismatches = new Mismatches(),
): UdpOptions & { readonly upstream: Upstream } {
  return {
    upstream,
    clock: systemClock,
    random: systemRandom,
    onMismatch: () => mismatches.count++,
  };
}

function opened({ upstream, ...rest }: ReturnType<typeof options>): UdpTransport {
  return new UdpTransport(upstream, rest);
}

const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const linkLocal = Object.entries(networkInterfaces()).flatMap(([name, infos = []]) =>
  infos.flatMap(({ address }) => (address.startsWith('fe80:') ? [`${address}%${name}`] : [])),
)[0];

for (const [kind, open] of UDP_KINDS) t.test(`udp ${kind}`, (t) => suite(t, open));
if (noBatches !== undefined) t.test('udp batched', { skip: noBatches }, async () => undefined);

async function suite(t: Test, open: OpenUdpSocket): Promise<void> {
  const skip = linkLocal === undefined && 'this host has no link-local IPv6 address';
  t.test('an upstream at a link-local address is reached through its interface', { skip }, async (t) => {
    await using server = await HandMadeUpstream.start((asked) => asked.reply(answerTo(asked)), {
      address: linkLocal ?? '',
    });
    const exchanges = opened({ ...options(server.upstream), openUdp: open });
    t.match(await run(exchanges, 'a'), { kind: 'reply', index: { answerCount: 1 } });
    exchanges.close();
  });

  t.test('a message that is not the reply is counted and ignored, and the reply still taken', async (t) => {
    const forgeries: readonly [string, (asked: Asked) => Uint8Array][] = [
      ['wrong ID', (asked) => answerTo(asked, { id: asked.query.id ^ 0x0100 })],
      [
        'other name',
        (asked) => answerTo(asked, { question: Buffer.from('\u0001b\u0000\u0000\u0001\u0000\u0001') }),
      ],
      [
        'other type',
        (asked) => answerTo(asked, { question: Buffer.from('\u0001a\u0000\u0000\u001c\u0000\u0001') }),
      ],
      ['a query', (asked) => asked.octets],
      ['nothing', () => new Uint8Array(0)],
      ['one octet', () => Uint8Array.of(1)],
    ];
    for (const [what, forge] of forgeries) {
      await using server = await HandMadeUpstream.start((asked) => {
        asked.reply(forge(asked));
        asked.reply(answerTo(asked));
      });
      const mismatches = new Mismatches();
      const exchanges = opened({ ...options(server.upstream, mismatches), openUdp: open });
      t.match(await run(exchanges, 'a'), { kind: 'reply', index: { answerCount: 1 } }, what);
      t.equal(mismatches.count, 1, what);
      exchanges.close();
    }
  });

  t.test('the right reply from another port or address is not taken', async (t) => {
    const stranger = createSocket('udp4').bind(0, '127.0.0.1');
    const other = createSocket('udp4').bind(0, '127.0.0.2');
    await Promise.all([once(stranger, 'listening'), once(other, 'listening')]);
    let release: () => void = () => {};
    await using server = await HandMadeUpstream.start((asked) => {
      stranger.send(answerTo(asked, { answers: [] }), asked.port, '127.0.0.1');
      other.send(answerTo(asked, { answers: [] }), asked.port, '127.0.0.1');
      release = () => asked.reply(answerTo(asked));
    });
    const exchanges = opened({ ...options(server.upstream), openUdp: open });
    let ended = false;
    const end = run(exchanges, 'a').finally(() => {
      ended = true;
    });
    await soon(50);
    t.notOk(ended, 'still waiting');
    release();
    t.match(await end, { kind: 'reply', index: { answerCount: 1 } });
    exchanges.close();
    stranger.close();
    other.close();
  });

  t.test('a spoof storm of every ID never resolves an exchange, and gives its port up', async (t) => {
    await using server = await HandMadeUpstream.start((asked) => {
      for (let guess = 1; guess <= 500; guess++) asked.reply(answerTo(asked, { id: asked.query.id ^ guess }));
      asked.reply(answerTo(asked));
    });
    const mismatches = new Mismatches();
    const exchanges = opened({ ...options(server.upstream, mismatches), openUdp: open });
    t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'spoofed' });
    t.ok(mismatches.count >= 64 && mismatches.count < 500, `${mismatches.count} seen`);
    exchanges.close();
  });

  t.test('a few forged replies before the true one are borne', async (t) => {
    await using server = await HandMadeUpstream.start((asked) => {
      for (let guess = 1; guess <= 60; guess++) asked.reply(answerTo(asked, { id: asked.query.id ^ guess }));
      asked.reply(answerTo(asked));
    });
    const exchanges = opened({ ...options(server.upstream), openUdp: open });
    t.match(await run(exchanges, 'a'), { kind: 'reply' });
    exchanges.close();
  });

  t.test('a closed port of the upstream is known at once', async (t) => {
    const server = await HandMadeUpstream.start(() => {});
    await server[Symbol.asyncDispose]();
    const exchanges = opened({ ...options(server.upstream), openUdp: open });
    // an exchange has no timeout of its own: the kernel reports the error
    t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'network', detail: /ECONNREFUSED/ });
    exchanges.close();
  });

  t.test('an upstream without a route is known at once', async (t) => {
    const broadcast = { text: 'x', address: '255.255.255.255', port: 53 };
    // a broadcast address takes no connected socket: it fails as an unreachable network does, before anything is sent
    const exchanges = opened({ ...options(broadcast), openUdp: open });
    t.match(await run(exchanges, 'a'), {
      kind: 'failed',
      reason: 'network',
      detail: /cannot connect to "x"/,
    });
    t.equal(exchanges.openSockets, 0);
  });

  t.test('1,000 exchanges side by side, replies out of order, over IPv4 and IPv6', async (t) => {
    for (const address of ['127.0.0.1', '::1']) {
      const held: Asked[] = [];
      await using server = await HandMadeUpstream.start(
        (asked) => {
          held.push(asked);
          if (held.length === 200) for (const one of held.splice(0).reverse()) one.reply(answerTo(one));
        },
        { address },
      );
      const exchanges = opened({ ...options(server.upstream), openUdp: open });
      for (let round = 0; round < 5; round++) {
        const ends = await Promise.all(
          Array.from({ length: 200 }, (_, at) => run(exchanges, `n${round}x${at}`)),
        );
        t.ok(ends.every(({ kind }) => kind === 'reply'));
      }
      t.ok(exchanges.openSockets <= 16, `${exchanges.openSockets} sockets stay`);
      const ports = new Map<number, number>();
      for (const { port } of server.asked) ports.set(port, (ports.get(port) ?? 0) + 1);
      // 125 sockets at least; a port may by chance be drawn for two of them
      t.ok(ports.size >= 120, `${ports.size} ports for 1,000 exchanges`);
      exchanges.close();
      t.equal(exchanges.openSockets, 0);
    }
  });
}

/** Sockets that record ports and messages. */
function madeUpSockets(taken: (port: number) => boolean = () => false) {
  const bound: number[] = [];
  const sent: { readonly port: number; readonly id: number; readonly events: UpstreamSocketEvents }[] = [];
  let open = 0;
  const opener: OpenUdpSocket = (_upstream, port, events) => {
    if (taken(port)) return { kind: 'port-taken' };
    bound.push(port);
    open++;
    return {
      kind: 'open',
      socket: {
        send: (octets) => sent.push({ port, id: Buffer.from(octets).readUInt16BE(0), events }),
        close: () => open--,
      },
    };
  };
  return { bound, sent, opener, openNow: () => open };
}

const nobody = { text: '127.0.0.1', address: '127.0.0.1', port: 53 };

t.test('ports and IDs are spread over their whole range and do not follow from each other', async (t) => {
  const { sent, bound, opener } = madeUpSockets();
  const exchanges = opened({ ...options(nobody), openUdp: opener });
  const count = 40_000;
  for (let at = 0; at < count; at++) exchanges.start(exchangeFor('a', () => {}));
  for (const [what, values, from] of [
    ['ports', bound, 1024],
    ['IDs', sent.map(({ id }) => id), 0],
  ] as const) {
    const width = (65_536 - from) / 64;
    const bins = new Array<number>(64).fill(0);
    for (const value of values) bins[Math.floor((value - from) / width)]!++;
    const expected = values.length / 64;
    const chiSquare = bins.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
    t.ok(Math.min(...values) >= from);
    // 63 degrees of freedom: beyond 140 once in ten million runs
    t.ok(chiSquare < 140, `${what}: chi-square ${chiSquare.toFixed(1)} of ${values.length}`);
    const steps = new Set(values.slice(1).map((value, at) => (value - values[at]! + 65_536) % 65_536));
    t.ok(steps.size > values.length / 4, `${what}: ${steps.size} different steps`);
  }
  const repeated = sent.slice(1).filter(({ port }, at) => port === sent[at]?.port).length;
  t.ok(repeated < count / 5, `the port of the last exchange was used again by ${repeated} of ${count}`);
});

t.test(
  'no two exchanges in flight share socket and ID, and a socket carries no more than its uses',
  async (t) => {
    const { sent, opener } = madeUpSockets();
    let drawn = 0;
    const poor = { ...systemRandom, uint16: () => Math.floor(drawn++ / 2) & 3 }; // every ID is drawn twice
    const exchanges = opened({ ...options(nobody), openUdp: opener, random: poor, usesPerSocket: 4 });
    for (let at = 0; at < 400; at++) exchanges.start(exchangeFor('a', () => {}));
    const sockets = Map.groupBy(sent, ({ events }) => events);
    t.ok(sockets.size >= 100);
    for (const exchangesOfOne of sockets.values()) {
      t.ok(exchangesOfOne.length <= 4, 'no more than its uses');
      t.equal(new Set(exchangesOfOne.map(({ id }) => id)).size, exchangesOfOne.length);
    }
  },
);

t.test(
  'replies that come together and take long are taken few at a time',
  { skip: noBatches ?? false },
  async (t) => {
    const open = new Map(UDP_KINDS).get('batched')!;
    const server = createSocket('udp4').bind(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    const asked: number[] = [];
    server.on('message', (_octets, from) => asked.push(from.port));
    let turn = 0;
    const turns: number[] = [];
    const onMessage = () => {
      turns.push(turn);
      for (const untilMs = performance.now() + 1; performance.now() < untilMs; );
    };
    const events = { onMessage, onStranger: () => undefined, onError: () => undefined };
    const upstream = { text: 'nobody', address: '127.0.0.1', port };
    const sockets = Array.from({ length: 40 }, (_, at) => {
      const opened = open(upstream, 0, events);
      if (opened.kind !== 'open') throw new Error(opened.kind);
      opened.socket.send(Uint8Array.of(at));
      return opened.socket;
    });
    while (asked.length < 40) await soon(1);
    for (const to of asked) server.send('x', to, '127.0.0.1');
    for (; turns.length < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
    for (const socket of sockets) socket.close();
    server.close();
    const most = Math.max(...[...new Set(turns)].map((at) => turns.filter((is) => is === at).length));
    t.ok(most <= 4, `${most} in one turn`);
  },
);

t.test('taken ports are drawn again; with all taken the exchange fails', async (t) => {
  const { sent, opener } = madeUpSockets((port) => port % 4 !== 0);
  const exchanges = opened({ ...options(nobody), openUdp: opener });
  let failed = 0;
  for (let at = 0; at < 100; at++) exchanges.start(exchangeFor('a', () => failed++));
  await soon(0);
  t.equal(sent.length + failed, 100);
  t.ok(sent.length > 80);
  const none = opened({ ...options(nobody), openUdp: () => ({ kind: 'port-taken' }) });
  t.match(await run(none, 'a'), { kind: 'failed', reason: 'network', detail: /16 random ports are taken/ });
});

t.test('a socket that waited 30 s for its turn is replaced unused', async (t) => {
  const { sent, bound, opener, openNow } = madeUpSockets();
  const time = new VirtualTime();
  const exchanges = opened({ ...options(nobody), openUdp: opener, clock: time });
  for (let at = 0; at < 8; at++) exchanges.start(exchangeFor('a', () => {}));
  const before = new Set(bound);
  await time.advance(31_000);
  for (let at = 0; at < 8; at++) exchanges.start(exchangeFor('a', () => {}));
  t.notOk(sent.slice(8).some(({ port }) => before.has(port) && !bound.slice(before.size).includes(port)));
  exchanges.close();
  t.equal(openNow(), 0, 'and none is left open');
});

t.test('an exchange that is given up takes its socket out of use', async (t) => {
  const { sent, opener, openNow } = madeUpSockets();
  const exchanges = opened({ ...options(nobody), openUdp: opener });
  const lost = exchangeFor('a', () => t.fail('was dropped'));
  exchanges.start(lost);
  const socket = sent[0]?.events;
  exchanges.giveUp(lost, 'lost');
  for (let at = 0; at < 100; at++) exchanges.start(exchangeFor('a', () => {}));
  t.notOk(sent.slice(1).some(({ events }) => events === socket));
  sent[0]?.events.onMessage(new Uint8Array(20));
  exchanges.close();
  t.equal(openNow(), 0);
});

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 1000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() & 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

t.test('no sequence of octets from the network crashes it or resolves an exchange', async (t) => {
  const { sent, opener, openNow } = madeUpSockets();
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 100 }), (datagrams) => {
      const exchanges = opened({ ...options(nobody), openUdp: opener });
      const ends: ExchangeEnd[] = [];
      exchanges.start(exchangeFor('name.example', (end) => ends.push(end)));
      const { events, id } = sent.at(-1)!;
      for (const octets of datagrams) {
        if (octets.length > 1) octets.set([id >> 8, id & 0xff]); // the hard part is guessed for it
        events.onMessage(octets);
      }
      const taken = ends.some(({ kind }) => kind !== 'failed');
      exchanges.close();
      return !taken && ends.length <= 1 && openNow() === 0;
    }),
    { numRuns, seed },
  );
  t.equal(openNow(), 0);
});
