/** TCP and TLS exchanges over real sockets on loopback: to IPv6, Node connects or C does. */
import { once } from 'node:events';
import { createServer, isIPv6 } from 'node:net';
import t from 'tap';
import { systemClock, systemTimers } from '../../../src/runtime/clock.ts';
import { loadDatagramCalls } from '../../../src/runtime/libc.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import type { ExchangeEnd, TransportContext, Upstream } from '../../../src/serving/forwarder/exchange.ts';
import { type ConnectInC, openTcp } from '../../../src/serving/forwarder/tcp.ts';
import { tls } from '../../../src/serving/forwarder/tls.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import {
  type Asked,
  answerTo,
  type Behaviour,
  certificate,
  type HandMadeOptions,
  HandMadeUpstream,
} from './hand-made-upstream.ts';
import { exchangeFor, Mismatches, run } from './one-exchange.ts';

function options(mismatches = new Mismatches()) {
  return {
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    onMismatch: () => mismatches.count++,
  };
}

const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const calls = await loadDatagramCalls();
const inC = calls.kind === 'available' ? calls.libc.connectStream : undefined;

/** What Node's pattern of all IPv6 addresses, whose first use takes the loop 10 ms, is asked during the work. */
async function askedOfPattern(work: () => Promise<unknown>): Promise<readonly string[]> {
  const asked: string[] = [];
  const { exec } = RegExp.prototype;
  RegExp.prototype.exec = function (text) {
    if (this.source.includes('[0-9a-fA-F]{1,4}')) asked.push(text);
    return exec.call(this, text);
  };
  try {
    await work();
  } finally {
    RegExp.prototype.exec = exec;
  }
  return asked;
}

t.test('where C connects, no pattern of IPv6 is compiled, and none for the name of a server', async (t) => {
  for (const [address, secure] of [
    ['::1', undefined],
    ['::1', 'dns.test'],
    ['::1', '127.0.0.9'],
    ['127.0.0.1', 'dns.test'],
  ] as const) {
    await using server = await HandMadeUpstream.start((asked) => asked.reply(answerTo(asked)), {
      address,
      ...(secure === undefined ? {} : { tls: secure }),
    });
    const exchanges = secure
      ? tls(systemTimers, [certificate], inC).open(server.upstream, options())
      : openTcp(server.upstream, options(), inC);
    let end: ExchangeEnd | undefined;
    const asked = await askedOfPattern(async () => (end = await run(exchanges, 'a')));
    t.match(end, { kind: 'reply' });
    t.strictSame(asked, inC || !isIPv6(address) ? [] : [address], `${address} ${secure}`);
    exchanges.close();
  }
  t.strictSame(await askedOfPattern(async () => isIPv6('::1')), ['::1'], 'the test would see it');
});

suite('IPv4', '127.0.0.1', inC);
suite('IPv6, by Node', '::1', undefined);
if (inC !== undefined) suite('IPv6, in C', '::1', inC);

function suite(kind: string, address: string, connectInC: ConnectInC): void {
  t.test(kind, async (t) => {
    const start = (behaviour: Behaviour, more?: HandMadeOptions) =>
      HandMadeUpstream.start(behaviour, { address, ...more });
    const open = (upstream: Upstream, context: TransportContext) => openTcp(upstream, context, connectInC);

    t.test('pipelined exchanges share one connection and are answered out of order', async (t) => {
      const held: Asked[] = [];
      await using server = await start((asked) => {
        held.push(asked);
        if (held.length === 50) for (const one of held.splice(0).reverse()) one.reply(answerTo(one));
      });
      const exchanges = open(server.upstream, options());
      for (let round = 0; round < 2; round++) {
        const ends = await Promise.all(Array.from({ length: 50 }, (_, at) => run(exchanges, `n${at}`)));
        for (const end of ends) t.match(end, { kind: 'reply', isRoundTrip: round > 0 });
      }
      t.equal(server.connections, 1);
      t.equal(new Set(server.asked.slice(0, 50).map(({ query }) => query.id)).size, 50);
      exchanges.close();
    });

    t.test('a reply of 65,535 octets arrives whole and owns its octets', async (t) => {
      const filler = Array.from({ length: 255 }, () =>
        rawRecord('a', 65_280, 1, new Uint8Array(238).fill(7)),
      );
      await using server = await start((asked) => {
        const rest = 65_535 - answerTo(asked, { answers: filler }).length - 13;
        asked.reply(
          answerTo(asked, { answers: [...filler, rawRecord('a', 65_280, 1, new Uint8Array(rest))] }),
        );
      });
      const exchanges = open(server.upstream, options());
      const end = await run(exchanges, 'a');
      t.equal(end.kind, 'reply');
      if (end.kind === 'reply') t.equal(end.octets.buffer.byteLength, 65_535);
      exchanges.close();
    });

    t.test('a reply to another question on the same connection is counted and ignored', async (t) => {
      await using server = await start((asked) => {
        asked.reply(answerTo(asked, { id: asked.query.id ^ 1 }));
        asked.reply(answerTo(asked, { question: Buffer.from('\u0001b\u0000\u0000\u0001\u0000\u0001') }));
        asked.reply(answerTo(asked));
      });
      const mismatches = new Mismatches();
      const exchanges = open(server.upstream, options(mismatches));
      t.match(await run(exchanges, 'a'), { kind: 'reply' });
      t.equal(mismatches.count, 2);
      exchanges.close();
    });

    t.test(
      'an upstream that sends replies to no question without end is given up after some of them',
      async (t) => {
        const stray = new Uint8Array(2 + 65_535).fill(1);
        stray.set([0xff, 0xff]);
        let written = 0;
        const server = createServer((socket) => {
          socket.on('error', () => {});
          // more than any buffer of the kernel holds
          socket.on('data', () => {
            for (let at = 0; at < 400; at++) socket.write(stray, (error) => (written += error ? 0 : 1));
          });
        });
        await once(server.listen(0, address), 'listening');
        t.teardown(() => server.close());
        const bound = server.address();
        const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
        const mismatches = new Mismatches();
        const exchanges = open({ text: 'a', address, port }, options(mismatches));
        t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'malformed', detail: /to no question/ });
        t.equal(mismatches.count, 17, 'a MiB of them');
        t.equal(exchanges.openConnections, 0);
        t.ok(written < 400, `${written} of 400 were taken`);
      },
    );

    t.test(
      'a connection that the upstream has closed meanwhile is made again without a failure',
      async (t) => {
        let hangsUp = true;
        await using server = await start((asked) => {
          if (asked.query.nameText() === 'second' && hangsUp) asked.hangUp();
          else asked.reply(answerTo(asked));
          if (asked.query.nameText() === 'second') hangsUp = false;
        });
        const exchanges = open(server.upstream, options());
        await run(exchanges, 'first');
        t.match(await run(exchanges, 'second'), { kind: 'reply' });
        t.equal(server.connections, 2);
        exchanges.close();
      },
    );

    t.test('an upstream that always hangs up fails the exchange, and is not tried for ever', async (t) => {
      await using server = await start((asked) => asked.hangUp());
      const exchanges = open(server.upstream, options());
      t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'network' });
      t.equal(server.connections, 1);
    });

    t.test('an upstream that answers one question on each connection answers all of many', async (t) => {
      const answered = new Map<number, number>();
      await using server = await start((asked) => {
        const before = answered.get(asked.port) ?? 0;
        answered.set(asked.port, before + 1);
        if (before > 0) return;
        asked.reply(answerTo(asked));
        asked.hangUp();
      });
      const exchanges = open(server.upstream, options());
      const many = () => Promise.all(Array.from({ length: 20 }, (_, at) => run(exchanges, `n${at}`)));
      for (const end of await many()) t.match(end, { kind: 'reply' });
      const learned = server.connections;
      for (const end of await many()) t.match(end, { kind: 'reply' });
      t.ok(
        server.connections - learned <= 24,
        `${server.connections - learned} connections for the next twenty`,
      );
      exchanges.close();
    });

    t.test('a refused connection fails at once', async (t) => {
      const server = await start(() => {});
      await server[Symbol.asyncDispose]();
      const exchanges = open(server.upstream, options());
      t.match(await run(exchanges, 'a'), {
        kind: 'failed',
        reason: 'network',
        detail: /^connect ECONNREFUSED/,
      });
      t.equal(exchanges.openConnections, 0);
    });

    t.test('over TLS a refused connection says so, too', async (t) => {
      const server = await start(() => {}, { tls: 'dns.test' });
      await server[Symbol.asyncDispose]();
      const exchanges = tls(systemTimers, [certificate], connectInC).open(server.upstream, options());
      t.match(await run(exchanges, 'a'), {
        kind: 'failed',
        reason: 'network',
        detail: /^connect ECONNREFUSED/,
      });
      exchanges.close();
    });

    t.test('an idle connection is closed after 8 s', async (t) => {
      await using server = await start((asked) => asked.reply(answerTo(asked)));
      const time = new VirtualTime();
      const exchanges = open(server.upstream, { ...options(), timers: time });
      await run(exchanges, 'a');
      await time.advance(7_000);
      await run(exchanges, 'b');
      await time.advance(7_000);
      t.equal(exchanges.openConnections, 1);
      await time.advance(1_001);
      t.equal(exchanges.openConnections, 0);
      t.match(await run(exchanges, 'c'), { kind: 'reply' }, 'and made again when needed');
      t.equal(server.connections, 2);
      exchanges.close();
      t.equal(time.pendingTimers, 0);
    });

    t.test('a silent connection in doubt takes no new exchange but still its late reply', async (t) => {
      const held: Asked[] = [];
      await using server = await start((asked) => {
        if (asked.query.nameText() === 'slow') held.push(asked);
        else asked.reply(answerTo(asked));
      });
      const exchanges = open(server.upstream, options());
      const { promise, resolve } = Promise.withResolvers<ExchangeEnd>();
      await run(exchanges, 'warm');
      const slow = exchangeFor('slow', resolve);
      exchanges.start(slow);
      await soon(20);
      exchanges.giveUp(slow, 'late');
      t.match(await run(exchanges, 'fresh'), { kind: 'reply' });
      t.equal(server.connections, 2);
      for (const asked of held) asked.reply(answerTo(asked));
      t.match(await promise, { kind: 'reply' });
      t.equal(exchanges.openConnections, 1, 'the doubtful one has gone');
      exchanges.close();
    });

    t.test('broken framing and broken records fail the exchange as malformed', async (t) => {
      for (const [what, octets] of [
        ['an empty frame', (_asked: Asked) => new Uint8Array(0)],
        ['records beyond the end', (asked: Asked) => answerTo(asked).subarray(0, -2)],
      ] as const) {
        await using server = await start((asked) => asked.reply(octets(asked)));
        const exchanges = open(server.upstream, options());
        t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'malformed' }, what);
        exchanges.close();
      }
    });

    t.test('over TLS with the pinned name: one connection, resumed when made again', async (t) => {
      await using server = await start((asked) => asked.reply(answerTo(asked)), {
        tls: 'dns.test',
      });
      const time = new VirtualTime();
      const exchanges = tls(systemTimers, [certificate], connectInC).open(
        { ...server.upstream, serverName: 'dns.test' },
        { ...options(), timers: time },
      );
      const ends = await Promise.all(Array.from({ length: 20 }, (_, at) => run(exchanges, `n${at}`)));
      t.ok(ends.every(({ kind }) => kind === 'reply'));
      t.equal(server.connections, 1);
      await time.advance(9_000);
      t.match(await run(exchanges, 'again'), { kind: 'reply' });
      t.equal(server.connections, 2);
      exchanges.close();
    });

    t.test(
      'a certificate for another name, or signed by an issuer that is not trusted, is refused and nothing is sent',
      async (t) => {
        for (const [what, serverName, ca, code] of [
          ['other name', 'other.test', [certificate], /altnames/],
          ['other address', '127.0.0.10', [certificate], /altnames/],
          ['unknown issuer', 'dns.test', undefined, /self-signed/],
        ] as const) {
          await using server = await start((asked) => asked.reply(answerTo(asked)), {
            tls: serverName,
          });
          const exchanges = tls(systemTimers, ca, connectInC).open(
            { ...server.upstream, serverName },
            options(),
          );
          for (let again = 0; again < 3; again++) {
            t.match(
              await run(exchanges, 'secret.example'),
              { kind: 'failed', reason: 'tls', detail: code },
              what,
            );
          }
          await soon(20);
          t.equal(server.asked.length, 0, `${what}: no query was seen`);
          exchanges.close();
        }
      },
    );

    t.test(
      'a session from a connection that was refused is not resumed: it would pass unverified',
      async (t) => {
        await using server = await start((asked) => asked.reply(answerTo(asked)), {
          tls: 'other.test',
          maxVersion: 'TLSv1.2', // whose sessions come before the certificate is judged
        });
        const exchanges = tls(systemTimers, [certificate], connectInC).open(
          { ...server.upstream, serverName: 'other.test' },
          options(),
        );
        for (let again = 0; again < 3; again++) {
          t.match(await run(exchanges, 'secret.example'), { kind: 'failed', reason: 'tls' });
        }
        t.equal(server.asked.length, 0);
        exchanges.close();
      },
    );

    t.test('a pinned address is compared with the addresses of the certificate', async (t) => {
      await using server = await start((asked) => asked.reply(answerTo(asked)), {
        tls: '127.0.0.9',
      });
      const exchanges = tls(systemTimers, [certificate], connectInC).open(
        { ...server.upstream, serverName: '127.0.0.9' },
        options(),
      );
      t.match(await run(exchanges, 'a'), { kind: 'reply' });
      exchanges.close();
    });

    t.test('an upstream that speaks no TLS fails as such', async (t) => {
      const server = createServer((socket) =>
        socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request')),
      );
      server.listen(0, address);
      await once(server, 'listening');
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
      const upstream = { text: 'x', address, port, tls: { serverName: 'dns.test' } };
      const exchanges = tls(systemTimers, [certificate], connectInC).open(
        { ...upstream, serverName: 'dns.test' },
        options(),
      );
      t.match(await run(exchanges, 'a'), { kind: 'failed', reason: 'tls' });
      server.close();
    });

    t.test('closing ends the exchanges in flight once, and makes no new connection', async (t) => {
      await using server = await start((asked) => {
        if (asked.query.nameText() === 'warm') asked.reply(answerTo(asked));
      });
      const exchanges = open(server.upstream, options());
      await run(exchanges, 'warm');
      const end = run(exchanges, 'a');
      exchanges.close();
      t.match(await end, { kind: 'failed', reason: 'network' });
      t.equal(exchanges.openConnections, 0);
      t.equal(server.connections, 1);
    });
  });
}
