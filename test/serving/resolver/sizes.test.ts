import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { message, rawRecord } from '../../helpers/zone-text.ts';
import { type QueryText, queryOf, wireName } from './messages.ts';
import { addresses, Rig } from './rig.ts';

const NAME = 'Big.example.com';
const QUESTION_OCTETS = 12 + wireName(NAME).length + 4;

/** A rig whose upstream answers with a message of exactly so many octets, without OPT. */
function rigWith(octets: number): Rig {
  const rig = new Rig();
  rig.says = () => {
    const head = message({ question: [NAME.toLowerCase(), 'TYPE65280'] }).length + wireName(NAME).length + 10;
    const data = Buffer.alloc(octets - head, 0x2e);
    const answers = [rawRecord(NAME.toLowerCase(), 'TYPE65280', 300, data)];
    return message({ question: [NAME.toLowerCase(), 'TYPE65280'], answers });
  };
  return rig;
}

t.test(
  'over UDP: the client’s size up to 1232, at least 512, and 512 without OPT; above it TC',
  async (t) => {
    for (const [offered, limit] of [
      [undefined, 512],
      [0, 512],
      [100, 512],
      [512, 512],
      [513, 513],
      [1000, 1000],
      [1231, 1231],
      [1232, 1232],
      [1233, 1232],
      [4096, 1232],
      [65_535, 1232],
    ] as const) {
      const edns = offered === undefined ? {} : { edns: { size: offered } };
      const opt = offered === undefined ? 0 : 11;
      const query: QueryText = { name: NAME, type: 'TYPE65280', ...edns };
      for (const [octets, fits] of [
        [limit - opt - 1, true],
        [limit - opt, true],
        [limit - opt + 1, false],
        [limit - opt + 2000, false],
      ] as const) {
        const rig = rigWith(octets);
        for (const when of ['forwarded', 'cached']) {
          const reply = await rig.answer(query);
          const what = `${octets} octets, ${offered ?? 'no'} offered, ${when}`;
          t.match(reply, { tc: !fits, rcode: RCODE.NOERROR, answers: { length: fits ? 1 : 0 } }, what);
          t.equal(
            reply.octets.length,
            fits ? octets + opt : QUESTION_OCTETS + opt,
            `${what}: question and OPT kept`,
          );
        }
        t.equal(rig.asked.length, 1, 'too large for one client, kept for the next');
      }
    }
  },
);

t.test('over TCP: up to 65,535 octets; TC if OPT leaves no room', async (t) => {
  for (const [octets, edns, fits] of [
    [2000, true, true],
    [65_535 - 11, true, true],
    [65_535 - 10, true, false],
    [65_535, false, true],
  ] as const) {
    const rig = rigWith(octets);
    const query = { name: NAME, type: 'TYPE65280', ...(edns ? { edns: {} } : {}) };
    const reply = await rig.answer(query, { transport: 'tcp' });
    t.match(reply, { tc: !fits, answers: { length: fits ? 1 : 0 } }, `${octets} octets, EDNS ${edns}`);
    if (fits) t.equal(reply.octets.length, octets + (edns ? 11 : 0));
  }
});

t.test('the same name is given whole over TCP after TC over UDP', async (t) => {
  const rig = rigWith(3000);
  t.match(await rig.answer({ name: NAME, type: 'TYPE65280' }), { tc: true, aa: false, answers: [] });
  t.match(await rig.answer({ name: NAME, type: 'TYPE65280' }, { transport: 'tcp' }), {
    tc: false,
    answers: { length: 1 },
  });
});

t.test('the longest name gets its error with OPT and extended error within 512 octets', async (t) => {
  const label = 'x'.repeat(63);
  const name = [label, label, label, 'y'.repeat(61)].join('.');
  t.equal(wireName(name).length, 255);
  const rig = new Rig();
  const reply = await rig.answer({ name, edns: { size: 512 } });
  t.match(reply, { rcode: RCODE.SERVFAIL, tc: false, ede: 22 });
  t.same(reply.question, queryOf({ name }).subarray(12));
});

t.test('a stale answer that is too large keeps TC, OPT and the reason', async (t) => {
  const rig = new Rig();
  const many = Array.from({ length: 40 }, (_, at) => `192.0.2.${at}`);
  rig.says = (question) => addresses(question, many, 60);
  await rig.answer({ name: NAME });
  await rig.time.advance(120_000);
  rig.down.add('default');
  const query = { name: NAME, edns: { size: 512 } };
  t.match(await rig.answer(query), { tc: true, ede: 3, answers: [], opt: { version: 0 } });
  t.match(await rig.answer(query, { transport: 'tcp' }), { tc: false, ede: 3, answers: { length: 40 } });
});
