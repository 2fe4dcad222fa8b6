/** A step that replies with several messages, as a zone transfer does: made up here, between the usual steps. */
import t from 'tap';
import { writeEmptyReply } from '../../../src/protocol/wire/reply.ts';
import { RCODE, TYPE } from '../../../src/protocol/words/codes.ts';
import { PASS, PENDING, type Step } from '../../../src/serving/turn.ts';
import { makeRig, receive } from '../listener/rig.ts';
import { queryOf } from './messages.ts';
import { ENDPOINT, endpointRecord, Rig } from './rig.ts';

/** Three messages for AXFR of `zone.test`; `fails`: a defect instead of the third. */
function transfer(fails = false): Step {
  return {
    name: 'transfer',
    origin: 3,
    why: 'a zone of ours goes to another server whole',
    after: { class: 'only class IN has zones' },
    answer: ({ query }) => (query.qtype === TYPE.AXFR && query.nameText() === 'zone.test' ? PENDING : PASS),
    fetch(turn, reply) {
      for (const part of [1, 2, 3]) {
        if (fails && part === 3) {
          reply.fail(new Error('a defect in the third message'));
          return;
        }
        const length = writeEmptyReply(turn.query, RCODE.NOERROR, undefined, turn.space, turn.spaceStart);
        turn.space[turn.spaceStart + 7] = part; // ANCOUNT, to tell them apart
        // each message is longer than the one before
        reply.send(turn.space.subarray(turn.spaceStart, turn.spaceStart + length + part * 1000), part < 3);
      }
    },
  };
}

function site(step: Step) {
  const rig = new Rig({
    records: [endpointRecord({ addresses: ['10.0.1.10'] })],
    arrange: (steps) => steps.toSpliced(2, 0, step),
  });
  const { intake } = makeRig({ handler: rig.resolver, clock: rig.time });
  const ask = (transport: 'udp' | 'tcp') => {
    t.equal(receive(intake, queryOf({ name: 'zone.test', type: 'AXFR' }), { transport }), PENDING);
    const messages: { part: number; octets: number; rcode: number; tc: boolean; hasMore: boolean }[] = [];
    intake.answerLater((message, hasMore = false) => {
      const [, , high = 0, low = 0, , , , part = 0] = message;
      messages.push({ part, octets: message.length, rcode: low & 15, tc: (high & 2) !== 0, hasMore });
    });
    return messages;
  };
  return { rig, intake, ask };
}

t.test('over TCP every message goes out, in order, and the reply ends with the last', async (t) => {
  const { rig, intake, ask } = site(transfer());
  t.same(ask('tcp'), [
    { part: 1, octets: 1027, rcode: 0, tc: false, hasMore: true },
    { part: 2, octets: 2027, rcode: 0, tc: false, hasMore: true },
    { part: 3, octets: 3027, rcode: 0, tc: false, hasMore: false },
  ]);
  t.equal(intake.pending, 0);
  t.equal(intake.counters.get('repliesTcp'), 3);
  t.match(rig.resolver.counters.read(), { origins: { local_zone: 1 }, rcodes: { NOERROR: 1 } }, 'one answer');
  t.match(rig.now({ name: ENDPOINT }), { answers: { length: 1 } }, 'other queries go by the other steps');
  t.match(rig.now({ name: 'other.test', type: 'AXFR' }), { rcode: RCODE.REFUSED });
});

t.test('over UDP the first message goes out alone, with TC: the client asks again over TCP', async (t) => {
  const { intake, ask } = site(transfer());
  t.same(ask('udp'), [{ part: 1, octets: 1027, rcode: 0, tc: true, hasMore: false }]);
  t.equal(intake.pending, 0);
  t.equal(intake.counters.get('repliesUdp'), 1);
});

t.test('a defect after two messages ends the reply with SERVFAIL', async (t) => {
  const { intake, ask } = site(transfer(true));
  t.match(ask('tcp'), [{ part: 1 }, { part: 2 }, { part: 0, rcode: RCODE.SERVFAIL, hasMore: false }]);
  t.same([intake.pending, intake.counters.get('handlerFaults')], [0, 1]);
});
