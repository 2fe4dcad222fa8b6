import t from 'tap';
import { putUint16, uint16At } from '../../../src/protocol/wire/message.ts';
import { composeQuery, type Query } from '../../../src/protocol/wire/query.ts';
import { nameToWire } from '../../../src/protocol/words/name.ts';
import type { Intake } from '../../../src/serving/listener/intake.ts';
import {
  type ClientTransport,
  PENDING,
  type QueryHandler,
  type Reply,
  type Turn,
} from '../../../src/serving/turn.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { laterReplies, makeRig, receive } from './rig.ts';

/** What a reply is, as far as the limits care: its flags, its response code, and how many answer records it has. */
interface Kind {
  readonly flags: number;
  readonly answers: number;
}

const AA = 0x0400;
const TC = 0x0200;
const FORWARDED: Kind = { flags: 0, answers: 6 };
const KINDS: Readonly<Record<string, Kind & { readonly isLimited: boolean }>> = {
  'records of another server': { ...FORWARDED, isLimited: true },
  'one record of another server': { flags: 0, answers: 1, isLimited: true },
  'an endpoint with six addresses': { flags: AA, answers: 6, isLimited: false },
  NODATA: { flags: 0, answers: 0, isLimited: false },
  NXDOMAIN: { flags: 3, answers: 0, isLimited: false },
  'NXDOMAIN at the end of an alias': { flags: 3, answers: 1, isLimited: false },
  SERVFAIL: { flags: 2, answers: 0, isLimited: false },
  REFUSED: { flags: 5, answers: 0, isLimited: false },
  'a truncated reply': { flags: TC, answers: 1, isLimited: false },
};
const LONG = 500;

/** Answers every question with a reply of one kind, at once or later. */
class KindHandler implements QueryHandler {
  readonly #kind: Kind;
  readonly #isLater: boolean;

  constructor(kind: Kind, isLater: boolean) {
    this.#kind = kind;
    this.#isLater = isLater;
  }

  answer({ query, space, spaceStart }: Turn): number {
    return this.#isLater ? PENDING : this.#write(query, space, spaceStart);
  }

  later({ query }: Turn, reply: Reply): void {
    const space = new Uint8Array(1232);
    reply.send(space.subarray(0, this.#write(query, space, 0)));
  }

  #write(query: Query, reply: Uint8Array, at: number): number {
    reply.fill(0, at, at + LONG);
    putUint16(reply, at, query.id);
    putUint16(reply, at + 2, 0x8180 | this.#kind.flags);
    putUint16(reply, at + 4, 1);
    putUint16(reply, at + 6, this.#kind.answers);
    if (query.cookieAt >= 0) reply.set([0, 10, 0, 24], at + LONG - 28);
    return LONG;
  }
}

function question(cookie: readonly number[] = []): Uint8Array {
  const plain = composeQuery({
    id: 0x4711,
    name: nameToWire('name.test'),
    qtype: 1,
    qclass: 1,
    recursionDesired: true,
    checkingDisabled: false,
    edns: { dnssecOk: false },
  });
  if (cookie.length === 0) return plain;
  const octets = Uint8Array.from([...plain, 0, 10, 0, cookie.length, ...cookie]);
  putUint16(octets, plain.length - 2, 4 + cookie.length);
  return octets;
}

const CLIENT_COOKIE = [1, 2, 3, 4, 5, 6, 7, 8];

/** The reply to the message from `from`, whether it came at once or later; `undefined` for none. */
async function ask(
  intake: Intake,
  message: Uint8Array,
  from = '192.0.2.1',
  transport: ClientTransport = 'udp',
  nowMs = 0,
): Promise<Uint8Array | undefined> {
  const reply = receive(intake, message, { from, transport, nowMs });
  if (reply === PENDING) return (await laterReplies(intake))[0];
  return reply instanceof Uint8Array ? reply : undefined;
}

const rcode = (reply: Uint8Array): number => {
  // the extended part stands in the OPT, which begins at 27
  const upper = reply.length > 32 && uint16At(reply, 10) > 0 ? (reply[32] ?? 0) : 0;
  return ((reply[3] ?? 0) & 15) | (reply.length < LONG ? upper << 4 : 0);
};
const isWhole = (reply: Uint8Array | undefined): boolean => reply?.length === LONG;
const serverCookie = (reply: Uint8Array): readonly number[] => [...reply.subarray(-16)];

const clock = new VirtualTime();

for (const way of ['at once', 'later'] as const) {
  t.test(`what the rate limit holds back, answered ${way}: by origin, never by size`, async (t) => {
    for (const [name, { isLimited, ...kind }] of Object.entries(KINDS)) {
      for (const transport of ['udp', 'tcp'] as const) {
        const handler = new KindHandler(kind, way === 'later');
        const { intake } = makeRig({
          handler,
          clock,
          allow: ['192.0.2.0/24'],
          responsesPerSecond: 10,
          slip: 0,
        });
        let whole = 0;
        for (let i = 0; i < 50; i++)
          if (isWhole(await ask(intake, question(), '192.0.2.1', transport))) whole += 1;
        t.equal(whole, isLimited && transport === 'udp' ? 10 : 50, `${name} over ${transport}`);
        t.equal(intake.pending, 0);
      }
    }
  });

  t.test(`with a cookie a client is never limited, answered ${way}`, async (t) => {
    const handler = new KindHandler(FORWARDED, way === 'later');
    const { intake } = makeRig({ handler, clock, allow: ['192.0.2.0/24'], responsesPerSecond: 5, slip: 0 });
    for (let i = 0; i < 20; i++) await ask(intake, question(), '192.0.2.99');
    const first = await ask(intake, question(CLIENT_COOKIE));
    t.ok(
      first !== undefined && rcode(first) === 23,
      'above the rate a client that asks for a cookie gets BADCOOKIE',
    );
    if (first === undefined) return;
    t.ok(
      first.length <= question(CLIENT_COOKIE).length + 16,
      'which is no larger than a query with a cookie',
    );
    const cookie = [...CLIENT_COOKIE, ...serverCookie(first)];
    for (let i = 0; i < 50; i++) {
      const reply = await ask(intake, question(cookie));
      t.ok(
        isWhole(reply) && `${reply?.subarray(-16)}` === `${serverCookie(first)}`,
        'whole, with the same cookie',
      );
    }
    const stolen = await ask(intake, question(cookie), '192.0.2.2');
    t.ok(stolen !== undefined && rcode(stolen) === 23, 'the cookie of another address is none');
    const forged = cookie.with(-1, (cookie.at(-1) ?? 0) ^ 1);
    const refused = await ask(intake, question(forged));
    t.ok(refused !== undefined && rcode(refused) === 23, 'nor is one with a bit changed');
    t.equal(await ask(intake, question()), undefined, 'without one it is limited as before');
    t.ok(
      isWhole(await ask(intake, question(CLIENT_COOKIE), '192.0.2.1', 'tcp')),
      'over TCP no cookie is required',
    );
  });
}

t.test('an answer that comes late is counted when it comes, and not when it was asked for', async (t) => {
  const time = new VirtualTime();
  const handler = new KindHandler(FORWARDED, false);
  const waiting: (() => void)[] = [];
  handler.answer = () => PENDING;
  const write = handler.later.bind(handler);
  handler.later = (turn, reply) => void waiting.push(() => write(turn, reply));
  const { intake } = makeRig({
    handler,
    clock: time,
    allow: ['192.0.2.0/24'],
    responsesPerSecond: 10,
    slip: 0,
  });
  const asks = async () => {
    const reply = ask(intake, question(), '192.0.2.1', 'udp', time.monotonicMs());
    await Promise.resolve();
    return { reply };
  };
  const slow = await asks();
  await time.advance(3000);
  for (let i = 0; i < 5; i++) {
    const quick = await asks();
    waiting.pop()?.();
    t.ok(isWhole(await quick.reply), `${i + 1} of 10 in this second`);
  }
  waiting.pop()?.();
  t.ok(isWhole(await slow.reply), 'the sixth of ten, although it was asked for 3 s ago');
});

t.test(
  'below the rate a bad or missing server cookie changes nothing but the cookie in the reply',
  async (t) => {
    const { intake } = makeRig({ handler: new KindHandler(FORWARDED, false) });
    for (const cookie of [CLIENT_COOKIE, [...CLIENT_COOKIE, ...new Array<number>(16).fill(7)]]) {
      const reply = await ask(intake, question(cookie), '127.0.0.1');
      t.ok(reply !== undefined && isWhole(reply) && serverCookie(reply)[0] === 1);
    }
    const without = await ask(intake, question(), '127.0.0.1');
    t.ok(without !== undefined && serverCookie(without).every((octet) => octet === 0));
  },
);

t.test(
  'RFC 7873 section 5.4: a query without a question gets a cookie, or BADCOOKIE if its cookie is bad',
  async (t) => {
    const { intake } = makeRig();
    const without = (cookie: readonly number[]): Uint8Array => {
      const octets = question(cookie);
      const optAt = question().length - 11;
      const bare = Uint8Array.from([...octets.subarray(0, 12), ...octets.subarray(optAt)]);
      putUint16(bare, 4, 0);
      return bare;
    };
    const extended = (reply: Uint8Array): number => ((reply[17] ?? 0) << 4) | ((reply[3] ?? 0) & 15);
    const first = (await ask(intake, without(CLIENT_COOKIE), '127.0.0.1'))!;
    t.equal(first.length, 12 + 11 + 28);
    t.equal(extended(first), 0);
    t.same([uint16At(first, 4), uint16At(first, 10)], [0, 1], 'no question, one OPT');
    const cookie = [...CLIENT_COOKIE, ...serverCookie(first)];
    t.equal(extended((await ask(intake, without(cookie), '127.0.0.1'))!), 0);
    t.equal(extended((await ask(intake, without(cookie.with(12, 9)), '127.0.0.1'))!), 23);
    const malformed = (await ask(intake, without([1, 2, 3]), '127.0.0.1'))!;
    t.equal(extended(malformed), 1, 'a malformed cookie is FORMERR here too');
  },
);

t.test('with the defaults two hundred nodes of one prefix lose nothing', async (t) => {
  const { intake } = makeRig({ handler: new KindHandler(FORWARDED, false), allow: ['10.0.3.0/24'] });
  let lost = 0;
  for (let i = 0; i < 20_000; i++)
    if (!isWhole(await ask(intake, question(), `10.0.3.${1 + (i % 200)}`, 'udp', i / 20))) lost += 1;
  t.equal(lost, 0, '20,000 answers a second');
});

t.test(
  'a limit that holds clients back is in the log, once a minute, with the network and how often',
  async (t) => {
    const handler = new KindHandler(FORWARDED, false);
    const allow = ['192.0.2.0/24', '2001:db8::/32'];
    const { intake, log } = makeRig({ handler, allow, responsesPerSecond: 1, refusalsPerSecond: 1 });
    for (let second = 0; second < 130; second += 1)
      for (let i = 0; i < 5; i++) await ask(intake, question(), '192.0.2.7', 'udp', second * 1000);
    await ask(intake, question(), '2001:db8:1:ff02::1', 'udp', 200_000);
    await ask(intake, question(), '2001:db8:1:ff02::1', 'udp', 200_000);
    await ask(intake, question(), '198.51.100.200', 'udp', 200_000);
    await ask(intake, question(), '198.51.100.200', 'udp', 200_000);
    t.same(
      log.lines.map(({ fields }) => fields),
      [
        { limit: 'limits.responsesPerSecond', network: '192.0.2.0/24', times: 1 },
        { limit: 'limits.responsesPerSecond', network: '192.0.2.0/24', times: 240 },
        { limit: 'limits.responsesPerSecond', network: '192.0.2.0/24', times: 240 },
        { limit: 'limits.responsesPerSecond', network: '2001:db8:1:ff00::/56', times: 40 },
        { limit: 'clients.allow', network: '198.51.100.0/24', times: 1 },
        { limit: 'limits.refusalsPerSecond', network: '198.51.100.0/24', times: 1 },
      ],
    );
  },
);
