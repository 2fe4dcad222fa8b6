/** Replies that nobody can read, over real sockets: the upstream is charged with them, and the next one is asked at once. */
import t from 'tap';
import { systemClock, systemTimers, type Timers } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { Forwarder } from '../../../src/serving/forwarder/forwarder.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import {
  type Asked,
  answerTo,
  clientQuery,
  EVIDENCE_WANTED,
  HandMadeUpstream,
} from './hand-made-upstream.ts';
import { socketTransports, UDP_KINDS } from './udp-kinds.ts';

const NAME = 'a.example';
const broken = (type: string | number, rdata: number[]) => (asked: Asked) =>
  answerTo(asked, { answers: [rawRecord(NAME, type, 60, rdata)] });
const changed = (change: (octets: Buffer) => Buffer | undefined) => (asked: Asked) => {
  const octets = answerTo(asked);
  return change(octets) ?? octets;
};

const REPLIES: readonly (readonly [what: string, reply: (asked: Asked) => Buffer])[] = [
  ['A of 3 octets', broken('A', [10, 0, 0])],
  ['A of 5 octets', broken('A', [10, 0, 0, 1, 1])],
  ['A of no octets', broken('A', [])],
  ['AAAA of 15 octets', broken('AAAA', new Array<number>(15).fill(1))],
  ['MX of one octet', broken('MX', [0])],
  ['SOA of one octet', broken('SOA', [0])],
  ['a CNAME that points forward', broken('CNAME', [0xcf, 0xff])],
  [
    'class CH in an IN answer',
    (asked) => {
      const record = rawRecord(NAME, 'A', 60, [10, 0, 0, 1]);
      record.writeUInt16BE(3, NAME.length + 4);
      return answerTo(asked, { answers: [record] });
    },
  ],
  [
    'a bad additional record',
    (asked) => answerTo(asked, { additionals: [rawRecord(NAME, 'A', 60, [10, 0])] }),
  ],
  [
    'OPT with half an option',
    (asked) =>
      answerTo(asked, { additionals: [Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 3, 0, 10, 0])] }),
  ],
  [
    'nothing that belongs to the name',
    (asked) => answerTo(asked, { answers: [rawRecord('victim.test', 'A', 60, [6, 6, 6, 6])] }),
  ],
  [
    'two questions',
    (asked) => {
      const question = asked.octets.subarray(12, asked.query.questionEnd);
      const octets = answerTo(asked, { question: Buffer.concat([question, question]) });
      octets.writeUInt16BE(2, 4);
      return octets;
    },
  ],
  ['no question', changed((octets) => void octets.writeUInt16BE(0, 4))],
  ['a bare header that says SERVFAIL', (asked) => bare(asked, 2)],
  ['a bare header that says REFUSED', (asked) => bare(asked, 5)],
];

function bare(asked: Asked, rcode: number): Buffer {
  const octets = Buffer.alloc(12);
  octets.writeUInt16BE(asked.query.id, 0);
  octets.writeUInt16BE(0x8180 | rcode, 2);
  return octets;
}

/** Time passes more slowly for the forwarder, so that a machine which stands still is not taken for a silent upstream. */
const patientTimers: Timers = { after: (ms, run) => systemTimers.after(ms * 50, run) };

for (const [kind, openUdp] of UDP_KINDS) {
  t.test(`a broken reply counts against its upstream, and the next one answers (udp ${kind})`, async (t) => {
    for (const [what, reply] of REPLIES) {
      await using bad = await HandMadeUpstream.start((asked) => asked.reply(reply(asked)));
      await using good = await HandMadeUpstream.start((asked) => asked.reply(answerTo(asked)));
      const groups = [
        { name: 'both', upstreams: [bad.upstream, good.upstream] },
        { name: 'bad', upstreams: [bad.upstream] },
      ] as const;
      const forwarder = new Forwarder({
        evidenceWanted: EVIDENCE_WANTED,
        clock: systemClock,
        timers: patientTimers,
        random: systemRandom,
        log: new CollectingLog(),
        groups,
        transports: socketTransports(openUdp),
      });
      const outcome = await forwarder.forward(clientQuery(NAME), groups[0]);
      t.match(outcome, { kind: 'response', upstream: good.upstream.text, index: { answerCount: 1 } }, what);
      const [charged] = forwarder.snapshot().upstreams;
      t.match(charged, { failures: { malformed: 1, timeout: 0 }, isUp: true }, `${what}: counted`);
      t.match(
        await forwarder.forward(clientQuery(NAME), groups[1]),
        { kind: 'failed', reason: 'malformed' },
        `${what}: alone, it fails, and is not waited for to the end`,
      );
      forwarder.close();
    }
  });
}

for (const [how, flags, cut] of [
  ['in the middle of a record, and says so', 0x8380, 6],
  ['in the middle of a record, and does not say so', 0x8180, 6],
  ['in the name of a record, and does not say so', 0x8180, 20],
  ['between two records, and does not say so', 0x8180, 25],
] as const)
  t.test(`a reply that was cut off ${how} is asked for over TCP`, async (t) => {
    await using server = await HandMadeUpstream.start((asked) => {
      const whole = answerTo(asked);
      asked.reply(asked.transport === 'udp' ? answerTo(asked, { flags }).subarray(0, -cut) : whole);
    });
    const group = { name: 'default', upstreams: [server.upstream] };
    const forwarder = new Forwarder({
      evidenceWanted: EVIDENCE_WANTED,
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: new CollectingLog(),
      groups: [group],
      transports: socketTransports(),
    });
    t.match(await forwarder.forward(clientQuery(NAME), group), {
      kind: 'response',
      index: { answerCount: 1 },
    });
    t.strictSame(
      server.asked.map(({ transport }) => transport),
      ['udp', 'tcp'],
    );
    forwarder.close();
  });

t.test('records that belong to neither the name nor its alias chain are not passed on', async (t) => {
  await using server = await HandMadeUpstream.start((asked) =>
    asked.reply(
      answerTo(asked, {
        answers: [rawRecord(NAME, 'A', 60, [10, 0, 0, 1]), rawRecord('victim.test', 'A', 60, [6, 6, 6, 6])],
        additionals: [rawRecord('ns.victim.test', 'A', 60, [6, 6, 6, 6])],
      }),
    ),
  );
  const group = { name: 'default', upstreams: [server.upstream] };
  const forwarder = new Forwarder({
    evidenceWanted: EVIDENCE_WANTED,
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    log: new CollectingLog(),
    groups: [group],
    transports: socketTransports(),
  });
  const outcome = await forwarder.forward(clientQuery(NAME), group);
  t.match(outcome, { kind: 'response', index: { answerCount: 1, additionalCount: 0 } });
  if (outcome.kind === 'response') t.notOk(Buffer.from(outcome.octets).includes('victim'));
  forwarder.close();
});
