import t from 'tap';
import { TYPE } from '../../../src/protocol/words/types.ts';
import { addresses, denial, Rig } from './rig.ts';

const name = 'oidc.eks.us-west-2.amazonaws.com';
const question = `${name} A`;
const YEAR = 365 * 86_400_000;

function keep(rig: Rig, ...list: readonly string[]): void {
  rig.cache.retain(
    name,
    TYPE.A,
    { message: addresses(question, list, 300), ageMs: 0 },
    rig.time.monotonicMs(),
  );
}

t.test(
  'a retained name is answered at once: fresh, stale, connected, cut off; nobody is asked',
  async (t) => {
    for (const [afterMs, isDown, ttl, extendedError] of [
      [0, false, 300, undefined],
      [100_000, false, 200, undefined],
      [301_000, false, 30, 3],
      [YEAR, true, 30, 3],
    ] as const) {
      const rig = new Rig();
      keep(rig, '192.0.2.1', '192.0.2.2');
      await rig.time.advance(afterMs);
      if (isDown) rig.down.add('default');
      const reply = rig.now({ name, edns: {} });
      if (typeof reply === 'string') throw new Error(reply);
      t.same(
        reply.answers.map((answer) => [answer.data, answer.ttl]),
        [
          ['192.0.2.1', ttl],
          ['192.0.2.2', ttl],
        ],
        `${afterMs} ms`,
      );
      t.equal(reply.ede, extendedError, `${afterMs} ms`);
      t.same(rig.asked, [], 'a client never waits for an upstream, nor sends to one');
      t.equal(rig.resolver.counters.read().origins['retained'], 1);
    }
  },
);

t.test("it stands before the rules for AWS's names and the operator's own word on its zone", async (t) => {
  const rig = new Rig({
    disconnected: { zones: [{ name: 'amazonaws.com', whileDisconnected: 'nxdomain' }] },
  });
  rig.down.add('default');
  t.match(rig.now({ name: 'sts.amazonaws.com' }), { rcode: 3 }, 'the rule holds');
  keep(rig, '192.0.2.1');
  t.match(rig.now({ name }), { rcode: 0, answers: [{ data: '192.0.2.1' }] });
  t.match(rig.now({ name, type: 'AAAA' }), { rcode: 3 }, 'for what is retained, and for nothing else');
});

t.test(
  'what was cached before under the name is not given any more, and is again once released',
  async (t) => {
    const rig = new Rig();
    rig.says = () => denial(question, 3);
    t.match(await rig.answer({ name }), { rcode: 3 });
    keep(rig, '192.0.2.9');
    t.match(rig.now({ name }), { rcode: 0, answers: [{ data: '192.0.2.9' }] });
    rig.cache.release(name, TYPE.A);
    t.match(rig.now({ name }), { rcode: 3 });
  },
);

t.test(
  'asked at the start before what was kept is loaded: it is given once the upstream has failed',
  async (t) => {
    const rig = new Rig();
    rig.says = () => ({ extendedError: 22 });
    const asking = rig.ask({ name, edns: {} });
    rig.cache.retain(
      name,
      TYPE.A,
      { message: addresses(question, ['192.0.2.1'], 300), ageMs: Number.POSITIVE_INFINITY },
      rig.time.monotonicMs(),
    );
    await rig.time.advance(1000);
    t.match(await asking, { rcode: 0, answers: [{ data: '192.0.2.1', ttl: 30 }], ede: 3 });
  },
);
