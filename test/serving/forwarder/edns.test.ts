/** What a refusal of EDNS leads to: for one question, and for all that follow. */
import t from 'tap';
import { clientQuery } from './hand-made-upstream.ts';
import { ask, type Doing, group, shown, VirtualUpstreams } from './virtual-upstreams.ts';

const answers: Doing = { afterMs: 20, says: 'answer' };
const formErr: Doing = { afterMs: 20, says: 1 };
const usesEdns = (world: VirtualUpstreams) => world.forwarder.snapshot().upstreams[0]?.usesEdns;

t.test('an upstream that refuses EDNS for the root too is asked without it for 15 minutes', async (t) => {
  for (const refusal of [formErr, { afterMs: 20, says: 4 }, { afterMs: 20, refusesEdns: true }] as const) {
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
