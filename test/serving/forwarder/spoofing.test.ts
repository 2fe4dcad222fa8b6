/**
 * Forged replies (RFC 5452): how hard port, ID and case are to guess, measured over many exchanges. A forger who sees
 * nothing never wins. A forger who sees the query always wins: this shows that the first half can fail.
 *
 * `EXCHANGES` (100,000) and `SPOOF_SECONDS` (2) make it longer.
 */
import t from 'tap';
import { systemClock, systemTimers } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Forwarder } from '../../../src/serving/forwarder/forwarder.ts';
import type { OpenUdpSocket, UpstreamSocketEvents } from '../../../src/serving/forwarder/udp.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import { clientQuery, EVIDENCE_WANTED } from './hand-made-upstream.ts';
import { socketTransports } from './udp-kinds.ts';

const exchanges = Math.max(100_000, Number(process.env['EXCHANGES'] ?? 0)); // fewer say too little
const spoofSeconds = Number(process.env['SPOOF_SECONDS'] ?? 2);

function forwarderTo(port: number, openUdp?: OpenUdpSocket) {
  const upstream = { text: `127.0.0.1:${port}`, address: '127.0.0.1', port };
  const group = { name: 'default', upstreams: [upstream] };
  const forwarder = new Forwarder({
    evidenceWanted: EVIDENCE_WANTED,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: new CollectingLog(),
    groups: [group],
    transports: socketTransports(openUdp),
  });
  return { forwarder, ask: (name: string) => forwarder.forward(clientQuery(name), group) };
}

/** The reply to a query in its octets, with this address. */
function replyTo(query: Uint8Array, last: number): Buffer {
  let nameEnd = 12;
  while ((query[nameEnd] ?? 0) !== 0) nameEnd += (query[nameEnd] ?? 0) + 1;
  const record = rawRecord('.', 'A', 60, [10, 0, 0, last]).subarray(1);
  const reply = Buffer.concat([query.subarray(0, nameEnd + 5), Buffer.of(0xc0, 0x0c), record]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(1, 6);
  reply.writeUInt16BE(0, 10);
  return reply;
}

/** Bits of collision entropy: how seldom two samples are equal says how seldom a guess is right. */
function entropyBits(samples: readonly (number | string)[]): number {
  const seen = new Map<number | string, number>();
  for (const sample of samples) seen.set(sample, (seen.get(sample) ?? 0) + 1);
  let equalPairs = 0;
  for (const count of seen.values()) equalPairs += (count * (count - 1)) / 2;
  const pairs = (samples.length * (samples.length - 1)) / 2;
  return Math.log2(pairs / Math.max(1, equalPairs));
}

interface SentQuery {
  readonly port: number;
  readonly id: number;
  readonly name: string;
}

/** Asks for so many names, each answered at once, and returns the queries that were sent. */
async function sentFor(
  nameOf: (at: number) => string,
): Promise<{ readonly sent: readonly SentQuery[]; readonly bound: readonly number[] }> {
  const sent: SentQuery[] = [];
  const bound: number[] = [];
  const opener: OpenUdpSocket = (_upstream, port, events) => {
    bound.push(port);
    const send = (octets: Uint8Array): void => {
      const id = ((octets[0] ?? 0) << 8) | (octets[1] ?? 0);
      sent.push({ port, id, name: Buffer.from(octets).toString('latin1', 13, 13 + 26) });
      const reply = replyTo(octets, 1);
      queueMicrotask(() => events.onMessage(reply));
    };
    return { kind: 'open', socket: { send, close: () => undefined } };
  };
  const { forwarder, ask } = forwarderTo(53, opener);
  for (let at = 0; at < exchanges; at++) await ask(nameOf(at));
  forwarder.close();
  return { sent, bound };
}

t.test('port, ID and case have the entropy that they should', async (t) => {
  // 26 letters first, so that the same positions are compared
  const { sent: named, bound } = await sentFor((at) => `abcdefghijklmnopqrstuvwxyz.n${at}`);
  t.ok(named.length >= exchanges);
  const idBits = entropyBits(named.map(({ id }) => id));
  const caseBits = entropyBits(named.map(({ name }) => name.slice(0, 16)));
  const portBits = entropyBits(bound);
  const perLetter = Array.from({ length: 26 }, (_, at) => {
    const upper = named.filter(({ name }) => /[A-Z]/.test(name[at] ?? '')).length / named.length;
    return -(upper * Math.log2(upper) + (1 - upper) * Math.log2(1 - upper));
  });
  const letters = perLetter.reduce((sum, bits) => sum + bits, 0);
  t.comment(
    `${named.length} exchanges with random case: ports ${portBits.toFixed(2)} bits (${bound.length} drawn), ` +
      `IDs ${idBits.toFixed(2)}, case of 16 letters ${caseBits.toFixed(2)}, of 26 letters ${letters.toFixed(2)}`,
  );
  // 16 bits each; the ports from 1024 on are 15.98. An estimate over 100,000 samples is right to a twentieth of a bit
  t.ok(idBits > 15.8, `IDs: ${idBits}`);
  t.ok(caseBits > 15.8, `case: ${caseBits}`);
  t.ok(letters > 25.9, `letters: ${letters}`);
  t.ok(portBits > 14.5, `ports: ${portBits}`);
});

t.test('where the case says little, each exchange has a port that no other has', async (t) => {
  const { sent: numbered } = await sentFor((at) => `${at}.77.203.0`);
  const portBits = entropyBits(numbered.map(({ port }) => port));
  const idBits = entropyBits(numbered.map(({ id }) => id));
  const again = numbered.slice(1).filter(({ port }, at) => port === numbered[at]?.port).length;
  t.comment(
    `${numbered.length} exchanges without letters: ports ${portBits.toFixed(2)} bits, IDs ${idBits.toFixed(2)}`,
  );
  t.ok(portBits > 15.8, `ports: ${portBits}`);
  t.ok(idBits > 15.8, `IDs: ${idBits}`);
  t.ok(again < 20, `the port of the exchange before was drawn again ${again} times`);
});

/** A network of one upstream and all the ports of this host; a forger sends from the upstream's address to any of them. */
class Besieged {
  readonly #sockets = new Map<number, UpstreamSocketEvents>();
  readonly #onQuery: (query: Uint8Array, answer: (last: number) => void) => void;

  constructor(onQuery: (query: Uint8Array, answer: (last: number) => void) => void) {
    this.#onQuery = onQuery;
  }

  readonly open: OpenUdpSocket = (_upstream, port, events) => {
    if (this.#sockets.has(port)) return { kind: 'port-taken' };
    this.#sockets.set(port, events);
    const send = (octets: Uint8Array): void => {
      const query = Uint8Array.from(octets);
      this.#onQuery(query, (last) => queueMicrotask(() => this.deliver(port, () => replyTo(query, last))));
    };
    return { kind: 'open', socket: { send, close: () => void this.#sockets.delete(port) } };
  };

  /** Whether a socket has the port. */
  deliver(port: number, message: () => Uint8Array): boolean {
    const events = this.#sockets.get(port);
    events?.onMessage(message());
    return events !== undefined;
  }
}

const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

const lastOctet = (outcome: Awaited<ReturnType<ReturnType<typeof forwarderTo>['ask']>>) =>
  outcome.kind === 'response' && outcome.index.answerCount > 0
    ? outcome.octets[outcome.index.end - 1]
    : undefined;

/** A reply to a question with ID and case guessed. */
function forgery(name: string): Uint8Array {
  const query = Uint8Array.from(clientQuery(name).octets);
  query[0] = systemRandom.uint16() >> 8;
  query[1] = systemRandom.uint16() & 0xff;
  for (let at = 12; at < query.length - 5; at++) {
    const octet = query[at] ?? 0;
    if (octet >= 0x61 && octet <= 0x7a && systemRandom.fraction() < 0.5) query[at] = octet & ~0x20;
  }
  return replyTo(query, 66);
}

t.test('a forger who sees nothing never wins, at full rate', async (t) => {
  // the answer takes its time, so that there is a window for forgeries
  const network = new Besieged((_query, answer) => void setTimeout(() => answer(1), 40));
  const { forwarder, ask } = forwarderTo(53, network.open);
  const endsAtMs = performance.now() + spoofSeconds * 1000;
  const names = Array.from({ length: 32 }, () => '');
  let forged = 0;
  let arrived = 0;
  const forge = (): void => {
    for (let burst = 0; burst < 20_000; burst++) {
      const port = 1024 + Math.floor(systemRandom.fraction() * 64_512);
      // even the question is no secret: the forger has asked it
      if (network.deliver(port, () => forgery(names[burst % names.length] ?? ''))) arrived++;
      forged++;
    }
    if (performance.now() < endsAtMs) setImmediate(forge);
  };
  let asked = 0;
  let won = 0;
  let right = 0;
  setImmediate(forge);
  while (performance.now() < endsAtMs) {
    for (let at = 0; at < names.length; at++) names[at] = `n${asked++}.victim.example`;
    for (const outcome of await Promise.all(names.map(ask))) {
      if (lastOctet(outcome) === 66) won++;
      if (lastOctet(outcome) === 1) right++;
    }
  }
  t.comment(
    `${forged} forged replies in ${spoofSeconds} s, ${arrived} to a port in use; ${asked} questions: ` +
      `${right} right answers, ${won} forged ones`,
  );
  t.equal(won, 0);
  t.ok(arrived > 10, `${arrived} arrived`);
  t.ok(right > 0, `${right} right`);
  forwarder.close();
});

t.test('a forger who sees the query wins, so that the test before could fail', async (t) => {
  const network = new Besieged((_query, answer) => {
    answer(66);
    setTimeout(() => answer(1), 40);
  });
  const { forwarder, ask } = forwarderTo(53, network.open);
  t.equal(lastOctet(await ask('n0.victim.example')), 66);
  forwarder.close();
});
