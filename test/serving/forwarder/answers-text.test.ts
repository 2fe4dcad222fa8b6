/** The question by which the refresh journey knows an outpost-dns: is there text at this name? */
import t from 'tap';
import { systemClock } from '../../../src/runtime/clock.ts';
import { systemRandom } from '../../../src/runtime/random.ts';
import { systemTimers } from '../../../src/runtime/timers.ts';
import { Forwarder } from '../../../src/serving/forwarder/forwarder.ts';
import { CollectingLog } from '../../helpers/collecting-log.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';
import { rawRecord } from '../../helpers/zone-text.ts';
import { answerTo, type Behaviour, HandMadeUpstream, sayRcode } from './hand-made-upstream.ts';

const NAME = '_status.api.example';
const text = rawRecord(NAME, 'TXT', 5, [2, 0x6f, 0x6b]);

const cases: readonly (readonly [string, Behaviour, boolean])[] = [
  ['text', (asked) => asked.reply(answerTo(asked, { answers: [text] })), true],
  ['NXDOMAIN', (asked) => asked.reply(sayRcode(asked, 3)), false],
  ['NXDOMAIN with text', (asked) => asked.reply(answerTo(asked, { answers: [text], flags: 0x8183 })), false],
  ['no data', (asked) => asked.reply(answerTo(asked, { answers: [] })), false],
  ['SERVFAIL', (asked) => asked.reply(sayRcode(asked, 2)), false],
  ['another type', (asked) => asked.reply(answerTo(asked)), false],
  ['silence until the asker gives up', () => {}, false],
];

t.test('only NOERROR with TXT data is text', async (t) => {
  for (const [what, behaviour, expected] of cases) {
    await using site = await HandMadeUpstream.start(behaviour);
    const group = { name: 'default', upstreams: [site.upstream] };
    const forwarder = new Forwarder({
      clock: systemClock,
      timers: systemTimers,
      random: systemRandom,
      log: new CollectingLog(),
      groups: [group],
    });
    t.equal(
      await forwarder.answersText(NAME, AbortSignal.timeout(expected ? PATIENCE_MS : 500), group),
      expected,
      what,
    );
    t.equal(site.asked[0]?.query.nameText(), NAME);
    t.equal(site.asked[0]?.query.qtype, 16);
    t.equal(await forwarder.answersText('a..b', AbortSignal.timeout(500), group), false, 'no name at all');
    forwarder.close();
  }
});
