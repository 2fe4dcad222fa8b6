/** The whole forwarder over real sockets, against upstreams made by hand on loopback. */
import t, { type Test } from 'tap';
import { systemClock, systemTimers } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import type { Upstream } from '../../../src/serving/forwarder/exchange.ts';
import { Forwarder, type ForwarderOptions } from '../../../src/serving/forwarder/forwarder.ts';
import type { OpenUdpSocket } from '../../../src/serving/forwarder/udp.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { PATIENCE_MS, until } from '../../helpers/patience.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import {
  type Asked,
  answerTo,
  type Behaviour,
  certificate,
  clientQuery,
  EVIDENCE_WANTED,
  HandMadeUpstream,
  sayRcode,
} from './hand-made-upstream.ts';
import { noBatches, socketTransports, UDP_KINDS } from './udp-kinds.ts';

function forwarderOver(
  openUdp: OpenUdpSocket,
  upstreams: readonly Upstream[],
  more: Partial<ForwarderOptions>,
) {
  const group = { name: 'default', upstreams };
  const log = new CollectingLog();
  const forwarder = new Forwarder({
    evidenceWanted: EVIDENCE_WANTED,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log,
    groups: [group],
    transports: socketTransports(openUdp, [certificate]),
    ...more,
  });
  return {
    forwarder,
    log,
    ask: (name: string, options = {}) => forwarder.forward(clientQuery(name, options), group),
    [Symbol.dispose]: () => forwarder.close(),
  };
}

const answer: Behaviour = (asked) => asked.reply(answerTo(asked));
const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What a question comes to in so much virtual time; not awaited beyond that. One attempt times out after 400 ms. */
async function within<T>(
  time: VirtualTime,
  limitMs: number,
  asking: Promise<T>,
): Promise<T | 'still waiting'> {
  let ended: { readonly as: T } | undefined;
  void asking.then((as) => {
    ended = { as };
  });
  for (let ms = 0; ms < limitMs && ended === undefined; ms++) await time.advance(1);
  return ended === undefined ? 'still waiting' : ended.as;
}

/** Keeps the loop alive while only unreferenced timers are waited for. */
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

for (const [kind, openUdp] of UDP_KINDS) t.test(`udp ${kind}`, (t) => suite(t, openUdp));
if (noBatches !== undefined) t.test('udp batched', { skip: noBatches }, async () => undefined);

async function suite(t: Test, openUdp: OpenUdpSocket): Promise<void> {
  const forwarderTo = (upstreams: readonly Upstream[], more: Partial<ForwarderOptions> = {}) =>
    forwarderOver(openUdp, upstreams, more);

  t.test('RDATA of unknown types and everything else arrives octet for octet', async (t) => {
    const odd = [
      rawRecord(
        'x.example',
        65_280,
        7,
        Uint8Array.from({ length: 200 }, (_, at) => at),
      ),
      rawRecord('x.example', 65_281, 60, [0xc0, 0x0c, 0xff]),
      rawRecord('x.example', 65_282, 60, []),
    ];
    let sent: Uint8Array = new Uint8Array(0);
    await using server = await HandMadeUpstream.start((asked) => {
      sent = answerTo(asked, { answers: odd });
      asked.reply(sent);
    });
    using world = forwarderTo([server.upstream]);
    const outcome = await world.ask('X.eXample', { qtype: 65_280 });
    if (outcome.kind !== 'response') throw new Error(outcome.detail);
    t.strictSame(Buffer.from(outcome.octets), Buffer.from(sent));
    t.equal(outcome.upstream, server.upstream.text);
    t.ok(outcome.rttMs > 0 && outcome.rttMs < PATIENCE_MS);
  });

  t.test('a truncated reply is fetched whole over TCP', async (t) => {
    const long = Array.from({ length: 100 }, (_, at) => rawRecord('long.example', 'A', 60, [10, 0, 1, at]));
    await using server = await HandMadeUpstream.start((asked) =>
      asked.reply(
        asked.transport === 'udp'
          ? answerTo(asked, { flags: 0x8380, answers: [] })
          : answerTo(asked, { answers: long }),
      ),
    );
    using world = forwarderTo([server.upstream]);
    t.match(await world.ask('long.example'), { kind: 'response', index: { answerCount: 100 } });
  });

  t.test('where UDP never arrives TCP answers', async (t) => {
    await using server = await HandMadeUpstream.start(
      (asked) => {
        if (asked.transport === 'tcp') asked.reply(answerTo(asked));
      },
      { probes: 'ignored' },
    );
    const time = new VirtualTime();
    using world = forwarderTo([server.upstream], { clock: time, timers: time });
    const asking = world.ask('a.example');
    for (let attempt = 1; attempt <= 2; attempt++) {
      await until('it is asked', () => server.asked.length === attempt, 1);
      await time.advance(1_000);
    }
    t.match(await asking, { kind: 'response' });
    t.match(
      server.asked.map(({ transport }) => transport),
      ['udp', 'udp', 'tcp'],
    );
  });

  t.test('a storm of forged replies is escaped over TCP', async (t) => {
    await using server = await HandMadeUpstream.start((asked) => {
      if (asked.transport === 'tcp') asked.reply(answerTo(asked));
      else
        for (let guess = 1; guess <= 300; guess++)
          asked.reply(answerTo(asked, { id: asked.query.id ^ guess, answers: [] }));
    });
    using world = forwarderTo([server.upstream]);
    t.match(await world.ask('a.example'), { kind: 'response', index: { answerCount: 1 } });
    const [upstream] = world.forwarder.snapshot().upstreams;
    t.match(upstream, { failures: { spoofed: 1 }, isUp: true });
    t.ok((upstream?.mismatched ?? 0) >= 64);
  });

  t.test('100 identical questions are one exchange', async (t) => {
    await using server = await HandMadeUpstream.start((asked) => void setTimeout(() => answer(asked), 30));
    const time = new VirtualTime();
    using world = forwarderTo([server.upstream], { clock: time, timers: time });
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => world.ask('a.example')));
    t.ok(outcomes.every((outcome) => outcome.kind === 'response'));
    t.equal(server.asked.length, 1);
  });

  t.test('a closed upstream is passed over at once, and all closed fail fast', async (t) => {
    const dead = await HandMadeUpstream.start(() => {});
    await dead[Symbol.asyncDispose]();
    await using server = await HandMadeUpstream.start(answer);
    const time = new VirtualTime();
    using world = forwarderTo([dead.upstream, server.upstream], { clock: time, timers: time });
    t.match(await within(time, 399, world.ask('a.example')), {
      kind: 'response',
      upstream: server.upstream.text,
    });

    using lost = forwarderTo([dead.upstream], { clock: time, timers: time });
    t.match(await within(time, 5_000, lost.ask('a.example')), { kind: 'failed', extendedError: 23 });
    for (let at = 0; at < 100; at++)
      t.match(await within(time, 1, lost.ask(`n${at}`)), { reason: 'all-down', extendedError: 23 });
  });

  t.test('an upstream that comes back is found by probes', async (t) => {
    const dead = await HandMadeUpstream.start(() => {});
    await dead[Symbol.asyncDispose]();
    const { promise: isUp, resolve: up } = Promise.withResolvers<Upstream>();
    using world = forwarderTo([dead.upstream], { onUpstreamUp: up });
    t.match(await world.ask('a.example'), { kind: 'failed' });
    await using _server = await HandMadeUpstream.start(answer, { port: dead.upstream.port });
    t.equal((await isUp).text, dead.upstream.text);
    t.match(await world.ask('a.example'), { kind: 'response' });
  });

  t.test('an upstream without EDNS is asked without it', async (t) => {
    await using server = await HandMadeUpstream.start(
      (asked) => asked.reply(asked.query.hasEdns ? sayRcode(asked, 1) : answerTo(asked)),
      { probes: 'asked' },
    );
    using world = forwarderTo([server.upstream]);
    t.match(await world.ask('a'), { kind: 'response', index: { answerCount: 1 } });
    while (world.forwarder.snapshot().upstreams[0]?.usesEdns) await soon(5); // until `. NS` is refused as well
    t.match(await world.ask('b'), { kind: 'response', index: { answerCount: 1 } });
    t.strictSame(
      server.asked.map(({ query }) => `${query.nameText()} ${query.hasEdns}`),
      ['a true', 'a false', '. true', '. false', 'b false'],
    );
  });

  t.test('with 0x20 the case goes out mixed, and an upstream that loses it is asked without', async (t) => {
    const name = 'quite.a.long.name.example';
    let lowers = false;
    await using server = await HandMadeUpstream.start((asked) => {
      const question = Buffer.from(asked.octets.subarray(12, asked.query.questionEnd));
      if (lowers)
        question.write(question.toString('latin1', 0, question.length - 4).toLowerCase(), 0, 'latin1');
      asked.reply(answerTo(asked, { question }));
    });
    // a machine that stands still must not make it ask twice
    const settings = { attemptMinMs: PATIENCE_MS, attemptMaxMs: PATIENCE_MS, deadlineMs: PATIENCE_MS };
    using world = forwarderTo([server.upstream], { settings });
    t.match(await world.ask(name), { kind: 'response' });
    t.not(
      server.asked[0]?.octets.toString('latin1', 12, 38),
      `\u0005quite\u0001a\u0004long\u0004name\u0007example`,
    );
    lowers = true;
    const isMixed = (at: number) => /[A-Z]/.test(server.asked[at]?.octets.toString('latin1', 13, 40) ?? '');
    for (let at = 0; at < 3; at++) t.match(await world.ask(`b${at}.${name}`), { kind: 'response' });
    t.strictSame(
      [1, 2, 3, 4, 5, 6].map(isMixed),
      [true, false, true, false, true, false],
      'asked again without',
    );
    t.match(await world.ask(`c.${name}`), { kind: 'response' });
    t.equal(isMixed(7), false, 'three in a row: not asked with it for a while');
    t.match(world.forwarder.snapshot().upstreams[0], {
      mismatched: 3,
      exchanges: { udp: 8, tcp: 0 },
      failures: { spoofed: 0 },
      isUp: true,
    });
    t.equal(world.log.lines.filter(({ text }) => text.includes('loses the case')).length, 1);
    const ports = server.asked.filter((_, at) => !isMixed(at)).map(({ port }) => port);
    t.equal(new Set(ports).size, ports.length, 'a port of its own for each question without it');
  });

  t.test('over TLS, with the pinned name and no other', async (t) => {
    await using server = await HandMadeUpstream.start(answer, { tls: 'dns.test' });
    using world = forwarderTo([server.upstream]);
    t.match(await world.ask('a.example'), { kind: 'response' });
    t.equal((server.asked[0]?.octets.length ?? 0) % 128, 0, 'padded');

    const wrong = { ...server.upstream, serverName: 'other.test' };
    using refused = forwarderTo([wrong]);
    t.match(await refused.ask('secret.example'), { kind: 'failed', reason: 'network', extendedError: 23 });
    t.match(refused.log.lines[0], {
      text: 'upstream is down',
      fields: { reason: 'tls', detail: /altnames/ },
    });
    t.equal(server.asked.length, 1, 'nothing was sent to it');
  });

  t.test('IDs and ports differ from exchange to exchange', async (t) => {
    await using server = await HandMadeUpstream.start(answer);
    using world = forwarderTo([server.upstream]);
    for (let at = 0; at < 400; at++) await world.ask(`n${at}`);
    const ids = new Set(server.asked.map(({ query }) => query.id));
    const ports = new Set(server.asked.map(({ port }) => port));
    t.ok(ids.size > 380, `${ids.size} IDs`);
    t.ok(ports.size >= 48, `${ports.size} ports`);
    t.ok(
      [...ports].some((port) => port < 32_768) && [...ports].some((port) => port > 40_000),
      'of the whole range',
    );
  });

  t.test('a reload while questions are on their way drops none', async (t) => {
    let isOver = false;
    const late = (asked: Asked): void => void setTimeout(() => isOver || answer(asked), 50);
    await using old = await HandMadeUpstream.start(late);
    await using next = await HandMadeUpstream.start(answer);
    using world = forwarderTo([old.upstream]);
    const pending = Array.from({ length: 50 }, (_, at) => world.ask(`n${at}`));
    await soon(10);
    world.forwarder.reconfigure([{ name: 'default', upstreams: [next.upstream] }]);
    t.ok((await Promise.all(pending)).every(({ kind }) => kind === 'response'));
    t.match(await world.ask('later'), { kind: 'response', upstream: next.upstream.text });
    isOver = true; // the new one may have answered first
  });

  t.test('thousands of exchanges with loss and forgeries all end, and leave nothing in flight', async (t) => {
    const fate = new Map<string, number>();
    await using server = await HandMadeUpstream.start((asked) => {
      const tries = (fate.get(asked.query.nameText()) ?? 0) + 1;
      fate.set(asked.query.nameText(), tries);
      if (asked.query.id % 16 === 0) asked.reply(answerTo(asked, { id: asked.query.id ^ 4, answers: [] }));
      if (tries === 1 && asked.query.nameText().endsWith('7')) return; // lost
      answer(asked);
    });
    using world = forwarderTo([server.upstream], { settings: { attemptMinMs: 150, attemptMaxMs: 300 } });
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all(
        Array.from({ length: 300 }, (_, at) => world.ask(`r${round}n${at}`)),
      );
      const failed = outcomes.filter(
        (outcome) => outcome.kind !== 'response' || outcome.index.answerCount !== 1,
      );
      t.strictSame(failed, []);
    }
    t.equal(world.forwarder.snapshot().inFlight, 0);
  });
}
