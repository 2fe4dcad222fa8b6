/** What a refusal of EDNS leads to: for one question, and for all that follow. */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, type Seen, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const formErr: Doing = { afterMs: 20, says: 1 };
let lost = 0;
const usesEdns = (world: VirtualUpstreams) => world.forwarder.snapshot().upstreams[0]?.usesEdns;

t.test('an upstream that refuses EDNS for the root too is asked without it for 15 minutes', async (t) => {
  const notImp = { afterMs: 20, says: 4 };
  const badVers = { afterMs: 20, says: 16 };
  for (const refusal of [formErr, notImp, badVers, { afterMs: 20, refusesEdns: true }] as const) {
    const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns }) =>
      hasEdns ? refusal : answers,
    );
    t.equal(shown(await ask(world)), 'a rcode 0 after 40');
    await world.time.advance(100);
    t.equal(usesEdns(world), false);
    t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 20', 'remembered');
    await world.time.advance(15 * 60_000);
    t.equal(shown(await ask(world)), 'a rcode 0 after 40', 'tried again later');
  }
});

t.test('a name that is refused with EDNS is asked without it; no other name is', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns, exchange }) => {
    const isOdd = Buffer.from(exchange.message).toString('latin1').toLowerCase().includes('odd');
    return hasEdns && isOdd ? formErr : answers;
  });
  t.equal(shown(await ask(world, 'odd.example')), 'a rcode 0 after 40');
  await world.time.advance(100);
  t.equal(world.probed.length, 1, 'the root was asked');
  t.equal(usesEdns(world), true);
  t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 20');
  t.equal(world.seen.at(-1)?.hasEdns, true);
  t.equal(shown(await ask(world, 'odd.example')), 'a rcode 0 after 40', 'nor is that name remembered');
});

t.test('where EDNS has worked once it is never given up', async (t) => {
  let refuses = false;
  const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns }) =>
    refuses && hasEdns ? formErr : { ...answers, ...(hasEdns ? { withEdns: true } : {}) },
  );
  await ask(world);
  refuses = true;
  t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 40');
  await world.time.advance(1_000);
  t.equal(usesEdns(world), true);
  t.strictSame(world.probed, [], 'nothing to find out');
});

t.test('an upstream that says FORMERR with and without EDNS is asked twice, not for ever', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], () => formErr);
  t.equal(shown(await ask(world)), 'a rcode 1 after 40');
  await world.time.advance(1_000);
  t.equal(world.asked.length, 2);
  t.equal(usesEdns(world), true, 'EDNS was not to blame');
});

t.test(
  'AD is set in every question where it is trusted, whichever client asks first, and else in none',
  async (t) => {
    for (const trusts of [true, false]) {
      const settings = { trustAuthenticatedData: trusts };
      const world = new VirtualUpstreams([group('default', 'a')], () => answers, { settings });
      for (const options of [{}, { flags: 0x0120 }, { dnssecOk: true }]) {
        void world.forwarder.forward(clientQuery('a.example', options), group('default'));
        await world.time.advance(50);
        const flags = Buffer.from(world.seen.at(-1)!.exchange.message).readUInt16BE(2);
        t.equal((flags & 0x20) !== 0, trusts, `${JSON.stringify(options)} where trust is ${trusts}`);
      }
    }
  },
);

t.test(
  'an upstream that begins to drop EDNS is asked without it, and EDNS is tried beside a question',
  async (t) => {
    let drops = false;
    const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns }) =>
      drops && hasEdns ? 'silence' : { ...answers, withEdns: hasEdns },
    );
    await ask(world);
    drops = true;
    const startedAtMs = world.time.monotonicMs();
    for (let at = 0; at < 100 && usesEdns(world); at++) {
      await ask(world, `n${at}.example`);
      await world.time.advance(100);
    }
    t.ok(world.time.monotonicMs() - startedAtMs < 8_000, 'found within 8 s');
    await world.time.advance(500);
    t.equal(shown(await ask(world, 'b.example')), 'a rcode 0 after 20');
    t.match(world.forwarder.snapshot().upstreams[0], { isUp: true, dropsEdns: true });
    t.equal(world.log.lines.filter(({ text }) => text.includes('drops questions with EDNS')).length, 1);
    await world.time.advance(15 * 60_000);
    t.equal(shown(await ask(world, 'c.example')), 'a rcode 0 after 20', 'no client waits for the try');
    await world.time.advance(10_000);
    t.equal(usesEdns(world), false);
    t.match(world.forwarder.snapshot().upstreams[0], { isUp: true });
    drops = false;
    await world.time.advance(15 * 60_000);
    await ask(world, 'd.example');
    await world.time.advance(100);
    t.equal(usesEdns(world), true);
  },
);

t.test('an upstream that has dropped EDNS from the first question on is found as fast', async (t) => {
  const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns }) =>
    hasEdns ? 'silence' : answers,
  );
  await ask(world);
  for (let at = 0; at < 100 && usesEdns(world); at++) await world.time.advance(100);
  t.ok(world.time.monotonicMs() < 10_000, `${world.time.monotonicMs()} ms`);
});

t.test(
  'an upstream that drops EDNS no more, and then ignores or refuses it, is not said to drop it',
  async (t) => {
    for (const doing of [answers, formErr]) {
      let drops = true;
      const world = new VirtualUpstreams([group('default', 'a')], ({ hasEdns }) => {
        if (!hasEdns) return answers;
        return drops ? 'silence' : doing;
      });
      const dropsEdns = () => world.forwarder.snapshot().upstreams[0]?.dropsEdns;
      await ask(world);
      await world.time.advance(20_000);
      t.equal(dropsEdns(), true);
      drops = false;
      await world.time.advance(15 * 60_000);
      await ask(world, 'b.example');
      await world.time.advance(100);
      t.equal(dropsEdns(), false);
    }
  },
);

t.test('an upstream that was silent for any other reason keeps EDNS', async (t) => {
  for (const [what, behave] of [
    ['all is lost', () => 'silence'],
    ['comes and goes', ({ atMs }) => (atMs % 3_000 < 1_500 ? 'silence' : answers)],
    ['every second is lost', () => (lost++ % 2 === 0 ? 'silence' : answers)],
    ['the root alone is dropped', ({ isProbe }) => (isProbe ? 'silence' : answers)],
    [
      'EDNS is dropped over UDP alone',
      ({ hasEdns, transport }) => (hasEdns && transport === 'udp' ? 'silence' : answers),
    ],
  ] as const satisfies readonly (readonly [string, (seen: Seen) => Doing])[]) {
    const world = new VirtualUpstreams([group('default', 'a')], behave);
    for (let at = 0; at < 60; at++) {
      await ask(world, `n${at}.example`);
      await world.time.advance(500);
    }
    t.equal(usesEdns(world), true, what);
  }
});
