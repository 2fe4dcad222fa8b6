/**
 * Turns of queries that waited are used again. Thousands of clients ask in a random order; upstreams are late, silent, truncated
 * or wrong, and send aliases. Each client gets one reply: with its ID and its question, and with the address of its own name.
 */
import t from 'tap';
import { PENDING, type Turn } from '../../../src/serving/turn.ts';
import { chance } from '../../helpers/chance.ts';
import { message } from '../../helpers/zone-text.ts';
import { makeRig, receive } from '../listener/rig.ts';
import { record } from './alias-site.ts';
import { queryOf, readReply, wireName } from './messages.ts';
import { ENDPOINT, endpointRecord, Rig, type Says } from './rig.ts';

const STEPS = 1_500;
const NAMES = 200;
const ZONES = ['far.net', 'corp.org'] as const;

const addressOf = (name: string): string =>
  name.startsWith('e') ? '10.9.9.9' : `10.0.0.${/\d+/.exec(name)?.[0]}`;

/** `h7`: an address; `a7`: an alias of `h7`; `b7`: of `a7`; `e7`: of the endpoint; anything else is denied. */
function said(question: string, pick: (below: number) => number): Says {
  const fate = pick(100);
  if (fate < 4) return undefined;
  if (fate < 8) return { extendedError: 22 };
  const [name = '', type = ''] = question.split(' ');
  const flags = [0x8182, 0x8185, 0x8380][fate - 8] ?? 0x8180;
  const number = /\d+/.exec(name)?.[0] ?? '';
  const zone = ZONES[Number(number) % 2];
  const ttl = 1 + pick(3);
  const answers: Readonly<Record<string, string>> = {
    h: `${name} ${ttl} A 10.0.0.${number}`,
    a: `${name} ${ttl} CNAME h${number}.${zone}`,
    b: `${name} ${ttl} CNAME a${number}.${zone}`,
    e: `${name} ${ttl} CNAME ${ENDPOINT}`,
  };
  const answer = answers[name.slice(0, 1)];
  if (answer === undefined || flags !== 0x8180)
    return message({ id: 1, flags: answer === undefined ? 0x8183 : flags, question: [name, type] });
  return message({ id: 1, flags, question: [name, type], answers: [record(answer)] });
}

t.test('each of thousands of clients gets its own reply, once', async (t) => {
  const random = chance(1);
  const pick = (below: number): number => Math.floor(random() * below);
  const rig = new Rig({
    records: [endpointRecord({ addresses: ['10.9.9.9'] })],
    rules: [{ name: 'corp.org', forwardTo: 'corp' }],
  });
  rig.says = (question) => {
    rig.delayMs = pick(20) === 0 ? 4_000 : 1 + pick(400);
    return said(question, pick);
  };
  const { intake } = makeRig({
    handler: rig.resolver,
    clock: rig.time,
    allow: ['0.0.0.0/0', '::/0'],
    responsesPerSecond: 2,
  });
  const turns = new Set<Turn>();
  const { later } = rig.resolver;
  rig.resolver.later = (turn, reply) => {
    turns.add(turn);
    later.call(rig.resolver, turn, reply);
  };
  const wrong: string[] = [];
  let [waited, replied] = [0, 0];

  const ask = (): void => {
    const name = `${'habez'[pick(5)]}${pick(NAMES)}.${ZONES[pick(2)]}`;
    const shown = pick(2) === 0 ? name : name.toUpperCase();
    const id = pick(0x1_0000);
    const cookie = pick(2) === 0 ? [] : [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, pick(256)];
    const edns = { dnssecOk: pick(2) === 0, options: cookie };
    const octets = queryOf({ name: shown, id, cd: pick(5) === 0, ...(pick(2) === 0 ? {} : { edns }) });
    const check = (reply: Uint8Array): void => {
      const read = readReply(reply);
      if (read.id !== id) wrong.push(`${shown}: the ID of another client`);
      if (!read.question.subarray(0, -4).equals(wireName(shown))) wrong.push(`${shown}: another question`);
      for (const { type, data } of read.answers)
        if (type === 'A' && data !== addressOf(name)) wrong.push(`${shown}: ${data}`);
    };
    const from = pick(2) === 0 ? `192.0.2.${pick(250)}` : `2001:db8:${pick(9)}::${1 + pick(9)}`;
    const transport = pick(4) === 0 ? 'tcp' : 'udp';
    const got = receive(intake, octets, { from, transport, nowMs: rig.time.monotonicMs() });
    if (got instanceof Uint8Array) check(got);
    if (got !== PENDING) return;
    waited++;
    intake.answerLater((reply) => {
      replied++;
      if (reply.length > 0) check(reply.slice());
    });
  };

  for (let step = 0; step < STEPS; step++) {
    for (let queries = pick(8); queries > 0; queries--) ask();
    await rig.time.advance(pick(40));
  }
  await rig.time.advance(20_000);
  t.same(wrong, []);
  t.ok(waited > 2_000, `${waited} have waited`);
  t.same([replied, intake.pending, intake.counters.get('handlerFaults')], [waited, 0, 0]);
  t.ok(turns.size < waited / 2, `${turns.size} turns for ${waited} queries`);
  t.ok(intake.counters.get('refusedBadCookie') > 0, 'some are above their rate');
});
