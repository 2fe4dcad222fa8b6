import fc from 'fast-check';
import t from 'tap';
import { RCODE, TYPE } from '../../../src/protocol/words/codes.ts';
import { Rehearsal } from '../../../src/serving/resolver/rehearsal.ts';
import { readReply } from './messages.ts';
import { addresses, denial, ENDPOINT, endpointRecord, Rig, type RigOptions } from './rig.ts';

const RECORD = endpointRecord({ addresses: ['10.0.0.1', '10.0.0.2'] });
const OPTIONS: RigOptions = {
  records: [RECORD],
  rules: [{ name: 'site.example', forwardTo: 'site' }],
  disconnected: { regions: ['us-west-2'] },
};

/** A server that has asked for some names; all upstreams but those of `site` are across the link. */
async function setUp() {
  const rig = new Rig(OPTIONS);
  rig.says = (question) =>
    question.startsWith('gone')
      ? denial(question, RCODE.NXDOMAIN, 60)
      : addresses(question, ['192.0.2.1'], 60);
  await rig.answer({ name: 'www.example.com' });
  await rig.answer({ name: 'old.example.com' });
  await rig.answer({ name: 'gone.example.com' });
  await rig.time.advance(50_000);
  await rig.answer({ name: 'www2.example.com' });
  await rig.time.advance(20_000);
  rig.asked.length = 0;
  rig.hurt.length = 0;
  const rehearsal = new Rehearsal({
    options: rig.options,
    rules: () => rig.resolver.rules,
    isAcrossLink: ({ name }) => name !== 'site',
  });
  const at = (name: string, as: 'now' | 'cut', qtype: number = TYPE.A) => {
    const { step, origin, message, route } = rehearsal.answer(name, qtype, as);
    const reply = message && readReply(message);
    const answers = reply?.answers.map(({ data, ttl }) => `${data} ${ttl}`).join(', ');
    return { step, origin, route, rcode: reply?.rcode, answers };
  };
  return { rig, at };
}

t.test('the step that answers, now and in a cut', async (t) => {
  const { rig, at } = await setUp();
  const endpoint = { step: 'endpoint', origin: 'endpoint', rcode: RCODE.NOERROR };
  t.match(at(ENDPOINT, 'now'), endpoint);
  t.match(at(ENDPOINT, 'cut'), endpoint);
  const fresh = { step: 'fresh', origin: 'cacheFresh', answers: '192.0.2.1 40' };
  t.match(at('www2.example.com', 'now'), fresh);
  t.match(at('www2.example.com', 'cut'), fresh);
  t.match(at('old.example.com', 'now'), { step: 'forward', route: 'default', answers: undefined });
  t.match(at('old.example.com', 'cut'), { step: 'stale', origin: 'cacheStale', answers: '192.0.2.1 30' });
  t.match(at('new.example.com', 'now'), { step: 'forward', answers: undefined });
  t.match(at('new.example.com', 'cut'), { origin: 'failed', rcode: RCODE.SERVFAIL });
  t.match(at('ec2.us-west-2.amazonaws.com', 'cut'), { step: 'aws-service', rcode: RCODE.SERVFAIL });
  t.match(at('printer.site.example', 'cut'), { step: 'forward', route: 'site', rcode: undefined });
  t.match(at('localhost', 'cut'), { step: 'local-zone', answers: /127\.0\.0\.1/ });
  t.match(at(ENDPOINT, 'cut', TYPE.AAAA), { step: 'endpoint', rcode: RCODE.NOERROR, answers: '' });
  t.throws(() => at('a..b', 'now'));
  t.strictSame([rig.asked, rig.hurt], [[], []], 'nobody is asked, and nothing is noted');
});

t.test('a failure of a moment ago hides no step that answers in a cut', async (t) => {
  const { rig, at } = await setUp();
  rig.says = () => ({ extendedError: 22, reason: 'timeout' });
  const computed = 'ip-10-0-3-10.us-west-2.compute.internal';
  for (const name of [computed, 'new.example.com']) await rig.answer({ name });
  t.match(at(computed, 'now'), { step: 'fresh', origin: 'cacheFresh', rcode: RCODE.SERVFAIL });
  t.match(at(computed, 'cut'), { step: 'computed-name', origin: 'disconnected', answers: /10\.0\.3\.10/ });
  t.match(at('new.example.com', 'cut'), { step: 'forward', origin: 'failed', rcode: RCODE.SERVFAIL });
});

t.test('a rehearsal in between changes no reply, no count and no question to upstreams', async (t) => {
  const names = [
    'www.example.com',
    'www2.example.com',
    'gone.example.com',
    'new.example.com',
    ENDPOINT,
    'printer.site.example',
  ];
  const plain = await setUp();
  const watched = await setUp();
  const steps = fc.sample(
    fc.record({ name: fc.constantFrom(...names), waitMs: fc.constantFrom(0, 1_000, 40_000) }),
    60,
  );
  for (const { name, waitMs } of steps) {
    for (const each of names) {
      watched.at(each, 'now');
      watched.at(each, 'cut');
    }
    const [one, other] = [plain, watched].map(async ({ rig }) => {
      const reply = await rig.answer({ name }, { withinMs: 3_000 });
      await rig.time.advance(waitMs);
      return [reply.rcode, reply.answers.map(({ data, ttl }) => `${data} ${ttl}`).sort()];
    });
    t.strictSame(await one, await other, name);
  }
  t.strictSame(plain.rig.asked, watched.rig.asked);
  t.strictSame(plain.rig.cache.stats(), watched.rig.cache.stats());
  t.strictSame(plain.rig.hurt, watched.rig.hurt);
  t.strictSame(plain.rig.resolver.counters, watched.rig.resolver.counters);
});
