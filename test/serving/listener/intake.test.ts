import t from 'tap';
import { uint16At } from '../../../src/protocol/wire/message.ts';
import type { Toned } from '../../../src/report/report.ts';
import { ClientAccess, RateLimit } from '../../../src/serving/listener/clients.ts';
import { COUNT, COUNT_MEANINGS, type CountName, type Intake } from '../../../src/serving/listener/intake.ts';
import { QUERIES_REPORT, queriesStatus } from '../../../src/serving/listener/queries-report.ts';
import { NO_REPLY, PENDING, type Reply, ResolverCounters, type Turn } from '../../../src/serving/turn.ts';
import { readHexFiles } from '../../helpers/hex-file.ts';
import {
  idOf,
  laterReplies,
  laterReply,
  makeRig,
  query,
  rcodeOf,
  receive,
  type Sent,
  StubHandler,
} from './rig.ts';

function counted(intake: Intake): Partial<Record<CountName, number>> {
  const names = Object.keys(COUNT) as CountName[]; // the keys of a literal
  return Object.fromEntries(
    names.map((name) => [name, intake.counters.get(name)]).filter(([, value]) => value !== 0),
  );
}

const withFlags = (octets: Uint8Array, high: number): Uint8Array => {
  const changed = octets.slice();
  changed[2] = high;
  return changed;
};

t.test('a message without a reply is counted by its reason', async (t) => {
  const cases: [string, Uint8Array, Sent, CountName][] = [
    ['no octets at all', new Uint8Array(0), {}, 'droppedShort'],
    ['one octet less than a header', query(1).slice(0, 11), {}, 'droppedShort'],
    ['a response', withFlags(query(1), 0x80), {}, 'droppedResponse'],
    ['a response with another opcode', withFlags(query(1), 0xa0), {}, 'droppedResponse'],
    ['a query from port 0', query(1), { port: 0 }, 'droppedPortZero'],
    [
      'a response from a client that is not allowed',
      withFlags(query(1), 0x80),
      { from: '192.0.2.1' },
      'droppedResponse',
    ],
  ];
  for (const [name, octets, sent, reason] of cases) {
    const { intake } = makeRig();
    t.equal(receive(intake, octets, sent), NO_REPLY, name);
    t.same(counted(intake), { receivedUdp: 1, [reason]: 1 }, name);
  }
});

t.test(
  'another opcode is NOTIMP, from the header alone, with ID and opcode; the other flags are about queries',
  async (t) => {
    for (let opcode = 1; opcode < 16; opcode++) {
      const { intake } = makeRig();
      const reply = receive(intake, withFlags(query(0xbeef), (opcode << 3) | 1));
      t.ok(reply instanceof Uint8Array, `opcode ${opcode}`);
      if (!(reply instanceof Uint8Array)) continue;
      t.equal(reply.length, 12);
      t.equal(idOf(reply), 0xbeef);
      t.equal(uint16At(reply, 2), 0x8000 | (opcode << 11) | 4);
      t.same(counted(intake), { receivedUdp: 1, refusedOpcode: 1, repliesUdp: 1 });
    }
  },
);

t.test('a client that is not allowed is REFUSED, with extended error 18 if it has EDNS', async (t) => {
  const { intake } = makeRig();
  const plain = receive(intake, query(7), { from: '192.0.2.1' });
  t.ok(plain instanceof Uint8Array && rcodeOf(plain) === 5 && plain.length === query(7).length);
  const edns = receive(intake, query(7, 'known.test', true), { from: '192.0.2.1' });
  t.ok(edns instanceof Uint8Array);
  if (edns instanceof Uint8Array) t.equal(Buffer.from(edns.subarray(-6)).toString('hex'), '000f00020012');
  const malformed = receive(intake, query(7).slice(0, 14), { from: '192.0.2.1' });
  t.ok(malformed instanceof Uint8Array && rcodeOf(malformed) === 5 && malformed.length === 12);
  t.same(counted(intake), { receivedUdp: 3, refusedProhibited: 3, repliesUdp: 3 });
});

t.test('above the rate a client that is not allowed gets no reply, over UDP or TCP', async (t) => {
  for (const transport of ['udp', 'tcp'] as const) {
    const { intake } = makeRig({ refusalsPerSecond: 5 });
    const replies = Array.from({ length: 20 }, () =>
      receive(intake, query(7), { from: '192.0.2.1', transport }),
    );
    t.equal(replies.filter((reply) => reply instanceof Uint8Array).length, 5);
    t.equal(intake.counters.get('droppedProhibited'), 15);
  }
});

t.test(
  'above the rate an allowed client gets TC for every second long answer over UDP, and all over TCP',
  async (t) => {
    const handler = new StubHandler();
    handler.padding = 200;
    const { intake } = makeRig({ handler, allow: ['192.0.2.0/24'], responsesPerSecond: 10, slip: 2 });
    const sent = { from: '192.0.2.1' };
    const replies = Array.from({ length: 30 }, (_, id) => receive(intake, query(id, 'big.test', true), sent));
    const whole = replies.filter((reply): reply is Uint8Array => reply instanceof Uint8Array);
    t.equal(whole.length, 20);
    const cut = whole.filter((reply) => (reply[2]! & 2) !== 0);
    t.equal(cut.length, 10, 'ten of them have TC');
    t.ok(
      cut.every((reply) => reply.length <= query(0, 'big.test', true).length),
      'none of these replies is larger than its query',
    );
    t.same(counted(intake), {
      receivedUdp: 30,
      repliesUdp: 20,
      truncatedRateLimited: 10,
      droppedRateLimited: 10,
    });
    for (let id = 0; id < 100; id++)
      t.ok(receive(intake, query(id, 'big.test'), { ...sent, transport: 'tcp' }) instanceof Uint8Array);
    t.ok(
      receive(intake, query(1, 'big.test'), { ...sent, nowMs: 1000 }) instanceof Uint8Array,
      'a second later there are tokens again',
    );
  },
);

t.test(
  'a noisy neighbour in the same network takes no short answer and no error from other clients',
  async (t) => {
    const { intake } = makeRig({ allow: ['192.0.2.0/24'], responsesPerSecond: 10, slip: 2 });
    for (let id = 0; id < 1000; id++) receive(intake, query(id), { from: '192.0.2.5' });
    for (let id = 0; id < 100; id++) {
      const reply = receive(intake, query(id), { from: '192.0.2.9' });
      t.ok(reply instanceof Uint8Array && (reply[2]! & 2) === 0, 'answered whole');
    }
    const broken = receive(intake, query(5).slice(0, 14), { from: '192.0.2.9' });
    t.ok(broken instanceof Uint8Array && rcodeOf(broken) === 1);
  },
);

t.test(
  'the hex files: messages marked drop get no reply, all others get a reply with their ID',
  async (t) => {
    const { intake } = makeRig();
    const codes = new Map([
      ['formerr', 1],
      ['notimp', 4],
      ['ok', 0],
      ['badvers', 0], // its upper bits stand in the OPT
    ]);
    for (const { name, verdict, octets } of readHexFiles('queries')) {
      const reply = receive(intake, octets);
      if (verdict === 'drop') {
        t.equal(reply, NO_REPLY, name);
        continue;
      }
      t.ok(reply instanceof Uint8Array && idOf(reply) === idOf(octets), `${name}: ID`);
      t.equal(reply instanceof Uint8Array ? rcodeOf(reply) : -1, codes.get(verdict), `${name}: ${verdict}`);
    }
  },
);

t.test('the handler’s verdict is passed on', async (t) => {
  const { intake } = makeRig();
  t.equal(receive(intake, query(1, 'later.test')), PENDING);
  t.equal(receive(intake, query(1, 'silent.test')), NO_REPLY);
  t.same(counted(intake), { receivedUdp: 2 });
  const message = query(0x4242, 'later.test');
  const reply = await laterReply(intake, message, { transport: 'tcp' });
  t.equal(reply === undefined ? -1 : idOf(reply), 0x4242);
  t.equal(intake.counters.get('repliesTcp'), 1);
});

t.test('a handler that throws costs its query a SERVFAIL and one log line in 10 s', async (t) => {
  const { intake, log } = makeRig();
  for (let i = 0; i < 50; i++) {
    const reply = receive(intake, query(i, 'throws.test'), { nowMs: i });
    t.ok(reply instanceof Uint8Array && rcodeOf(reply) === 2 && idOf(reply) === i);
  }
  t.equal(log.lines.length, 1);
  t.equal(intake.counters.get('handlerFaults'), 50);
  receive(intake, query(1, 'throws.test'), { nowMs: 10_001 });
  t.equal(log.lines.length, 2);
});

t.test('a waiting answer that throws is counted and costs its query a SERVFAIL, never silence', async (t) => {
  const { intake } = makeRig();
  const message = query(1, 'later-throws.test');
  intake.turn.from('udp', Uint8Array.of(127, 0, 0, 1), 0, 4, 5353, 0);
  intake.turn.into(new Uint8Array(1232), 0);
  t.equal(intake.receive(message, 0, message.length), PENDING);
  const later = laterReplies(intake);
  message.fill(0); // its slot is used again meanwhile
  const [reply] = await later;
  t.ok(reply !== undefined && rcodeOf(reply) === 2 && idOf(reply) === 1);
  t.equal(intake.counters.get('handlerFaults'), 1);
  t.equal(intake.pending, 0);
});

t.test('a handler that throws instead of waiting, or answers twice, is one reply all the same', async (t) => {
  const handler = new StubHandler();
  const { intake } = makeRig({ handler });
  handler.later = () => {
    throw new Error('a fault of the handler');
  };
  const message = query(7, 'later.test');
  const refused = await laterReply(intake, message);
  t.ok(refused !== undefined && rcodeOf(refused) === 2 && idOf(refused) === 7);
  let replies = 0;
  handler.later = ({ query }, reply) => {
    reply.send(query.octets);
    reply.fail(new Error('after its reply'));
  };
  receive(intake, message);
  intake.answerLater(() => replies++);
  t.same([replies, intake.pending, intake.counters.get('handlerFaults')], [1, 0, 2]);
});

t.test('a turn is used again only after its reply, and not while its fetch is on its way', async (t) => {
  const handler = new StubHandler();
  const { intake } = makeRig({ handler });
  const waiting: { turn: Turn; reply: Reply }[] = [];
  handler.later = (turn, reply) => void waiting.push({ turn, reply });
  const ask = (name: string): void => {
    t.equal(receive(intake, query(1, name)), PENDING);
    intake.answerLater(() => undefined);
  };
  // a resolver says so when the outcome of the upstreams has come
  const end = (at: number, isFetched: boolean): void => {
    const { turn, reply } = waiting[at]!;
    turn.isFetched = isFetched;
    reply.send(turn.query.octets);
  };
  const names = () => waiting.map(({ turn }) => turn.query.nameText());

  ask('later-a.test');
  ask('later-b.test');
  end(0, false);
  ask('later-c.test');
  t.same(names(), ['later-a.test', 'later-b.test', 'later-c.test'], 'the fetch still has its question');
  end(1, true);
  waiting[1]!.reply.send(new Uint8Array(0));
  waiting[1]!.reply.fail(new Error('after its reply'));
  ask('later.and-a-much-longer-name.of-many-more.labels.than.before.test');
  t.equal(waiting[3]!.turn, waiting[1]!.turn, 'used again');
  ask('later-e.test');
  t.same(
    names(),
    [
      'later-a.test',
      'later.and-a-much-longer-name.of-many-more.labels.than.before.test',
      'later-c.test',
      'later.and-a-much-longer-name.of-many-more.labels.than.before.test',
      'later-e.test',
    ],
    'once',
  );
  t.equal(waiting[3]!.turn.isFetched, false);
});

t.test('with the limit of waiting queries reached, the next query is SERVFAIL at once', async (t) => {
  const { intake } = makeRig({ pendingLimit: 3 });
  const message = query(1, 'later.test');
  const waiting = [1, 2, 3].map(() => {
    t.equal(receive(intake, message), PENDING);
    return laterReplies(intake);
  });
  const reply = receive(intake, message);
  t.ok(reply instanceof Uint8Array && rcodeOf(reply) === 2);
  t.equal(intake.counters.get('overloaded'), 1);
  await Promise.all(waiting);
  t.equal(receive(intake, message), PENDING, 'once they are answered there is room again');
});

t.test('new rules apply to the next query', async (t) => {
  const { intake } = makeRig();
  const isRefused = (): boolean => {
    const reply = receive(intake, query(1), { from: '192.0.2.1' });
    return reply instanceof Uint8Array && rcodeOf(reply) === 5;
  };
  t.equal(isRefused(), true);
  intake.reconfigure({
    access: new ClientAccess(['192.0.2.0/24']),
    rateLimit: new RateLimit({ responsesPerSecond: 0, slip: 0, seed: 0 }),
    refusalLimit: new RateLimit({ responsesPerSecond: 0, slip: 0, seed: 0 }),
  });
  t.equal(isRefused(), false);
});

t.test('every count has its own place and its own meaning', async (t) => {
  const places = Object.values(COUNT).sort((a, b) => a - b);
  t.same(
    places,
    places.map((_, i) => i),
  );
  const meanings = Object.values(COUNT_MEANINGS).map(({ metric, label }) => `${metric} ${label}`);
  t.equal(new Set(meanings).size, places.length);
});

t.test(
  'replies that the system does not send are said in the log and in the status, for as long as it lasts',
  async (t) => {
    let nowMs = 1000;
    const { intake, log } = makeRig({ clock: { monotonicMs: () => nowMs, wallMs: () => 0 } });
    const notes = () => {
      const { queries } = queriesStatus(intake, new ResolverCounters(), nowMs);
      return [...QUERIES_REPORT.panels({ queries })].flatMap(({ notes = [] }) =>
        notes.map((note) => (note as Toned).text),
      );
    };
    const lines = () => log.lines.filter(({ text }) => text.startsWith('replies are not sent'));
    t.same(notes(), []);
    for (let times = 0; times < 3; times++) intake.notSent('EPERM');
    nowMs += 4000;
    t.match(notes(), [
      /^3 replies were not sent, the last 4 s ago: EPERM, a packet filter of this host, or a full/,
    ]);
    t.match(
      lines().map(({ fields }) => fields),
      [{ reason: 'EPERM', times: 1 }],
      'one line',
    );
    nowMs += 59_000;
    t.same(notes(), [], 'it is over');
    intake.notSent('EIO');
    t.same(notes(), ['a reply was not sent, the last 0 s ago: EIO']);
    t.equal(lines().length, 2, 'said again');
  },
);

t.test('a failed send is counted by the system’s error', async (t) => {
  const { counters } = makeRig().intake;
  const expected: [string, CountName][] = [
    ['EMSGSIZE', 'sendTooLarge'],
    ['ENETUNREACH', 'sendUnreachable'],
    ['EHOSTUNREACH', 'sendUnreachable'],
    ['ECONNREFUSED', 'sendRefused'],
    ['ENOBUFS', 'sendNoBuffers'],
    ['ESOMETHING', 'sendOther'],
  ];
  for (const [code, name] of expected) {
    const before = counters.get(name);
    counters.addSendError(code, 0);
    t.equal(counters.get(name), before + 1, code);
  }
});
