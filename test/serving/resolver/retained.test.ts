import t from 'tap';
import { TYPE } from '../../../src/protocol/words/codes.ts';
import { message, rawRecord, soaData } from '../../helpers/zone-text.ts';
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
  t.match(rig.now({ name: `x.${name}` }), { rcode: 3 }, 'for the retained name, and for no name beside it');
});

t.test(
  'another type of a retained name is NODATA while its upstreams are down, and forwarded otherwise',
  async (t) => {
    type Case = [it: string, isDown: boolean, isKept: boolean, rule: boolean, want: object];
    const cases: Case[] = [
      ['down, nothing known of the type', true, true, false, { rcode: 0, answers: [], ede: 3 }],
      ['down, and the zone denies while disconnected', true, true, true, { rcode: 0, answers: [], ede: 3 }],
      ['down, but no record of the name is retained', true, false, false, { rcode: 2 }],
      ['an upstream can be asked', false, true, false, { rcode: 3 }],
    ];
    for (const [it, isDown, isKept, rule, want] of cases) {
      const zones = rule ? [{ name: 'amazonaws.com', whileDisconnected: 'nxdomain' } as const] : [];
      const rig = new Rig({ disconnected: { zones } });
      rig.says = (asked) => denial(asked, 3);
      if (isKept) keep(rig, '192.0.2.1');
      if (isDown) rig.down.add('default');
      for (const type of ['AAAA', 'HTTPS', 'TXT']) {
        t.match(await rig.answer({ name, type, edns: {} }), want, `${it}: ${type}`);
      }
      t.equal(rig.asked.length > 0, !isDown, it);
      if (isKept) t.strictSame(rig.hurt, [], `${it}: nobody is hurt`);
    }
  },
);

t.test(
  'a cached answer of the other type is given instead of NODATA, and a remembered failure is not',
  async (t) => {
    const other = 'other.example';
    const rig = new Rig();
    rig.cache.retain(other, TYPE.TXT, { message: denial(`${other} TXT`, 0), ageMs: 0 }, 0);
    rig.cache.retain(other, TYPE.AAAA, { message: aaaa(other), ageMs: 0 }, 0);
    rig.says = (asked) => addresses(asked, ['192.0.2.7'], 300);
    t.match(await rig.answer({ name: other }), { answers: [{ data: '192.0.2.7' }] });
    await rig.time.advance(400_000);
    rig.down.add('default');
    t.match(rig.now({ name: other, edns: {} }), {
      rcode: 0,
      answers: [{ data: '192.0.2.7', ttl: 30 }],
      ede: 3,
    });
    keep(rig, '192.0.2.1');
    rig.cache.release(name, TYPE.A);
    rig.down.clear();
    rig.says = () => ({ extendedError: 22 });
    t.match(await rig.answer({ name, type: 'AAAA' }), { rcode: 2 }, 'an upstream could be asked, and failed');
    keep(rig, '192.0.2.1');
    rig.down.add('default');
    t.match(rig.now({ name, type: 'AAAA' }), { rcode: 0, answers: [] });
    t.match(rig.now({ name: name.toUpperCase(), type: 'AAAA' }), { rcode: 0, answers: [] }, 'in any case');
  },
);

t.test('the first client that meets the dead upstream gets NODATA for the other type, too', async (t) => {
  const rig = new Rig();
  keep(rig, '192.0.2.1');
  rig.says = () => {
    rig.down.add('default'); // it is this exchange that finds out
    return { extendedError: 22 };
  };
  t.match(await rig.answer({ name, type: 'AAAA', edns: {} }), { rcode: 0, answers: [], ede: 3 });
});

function aaaa(of: string): Buffer {
  return message({
    question: [of, 'AAAA'],
    answers: [rawRecord(of, 'AAAA', 300, new Array<number>(16).fill(1))],
  });
}

t.test(
  'an answer cached before is not given while the name is retained, and is given again after its release',
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
  'asked before the kept answers are loaded: the kept answer is given when the upstream has failed',
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

t.test('an NXDOMAIN for one type of a retained name that has records of another is NODATA', async (t) => {
  const rig = new Rig();
  keep(rig, '192.0.2.1');
  const soa = rawRecord('amazonaws.com', 'SOA', 300, soaData(300));
  const denied = message({ flags: 0x8183, question: [name, 'AAAA'], authorities: [soa] });
  rig.cache.retain(name, TYPE.AAAA, { message: denied, ageMs: 0 }, rig.time.monotonicMs());
  t.match(rig.now({ name, type: 'AAAA' }), { rcode: 0, answers: [] }, 'fresh');
  rig.down.add('default');
  await rig.time.advance(YEAR);
  t.match(rig.now({ name, type: 'AAAA' }), { rcode: 0, answers: [] }, 'stale, in a cut');
  t.match(rig.now({ name }), { rcode: 0, answers: [{ data: '192.0.2.1' }] });
});
