import t from 'tap';
import { RCODE } from '../../../src/protocol/words/codes.ts';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { ServingTable } from '../../../src/serving/endpoints/endpoint-table.ts';
import { DisconnectedRules } from '../../../src/serving/local-zones/disconnected-rules.ts';
import { LocalZones } from '../../../src/serving/local-zones/local-zones.ts';
import { Resolver } from '../../../src/serving/resolver/resolver.ts';
import { Identity } from '../../../src/serving/resolver/resolver-deps.ts';
import { Turn } from '../../../src/serving/turn.ts';
import { type Doing, group, VirtualUpstreams } from '../forwarder/virtual-upstreams.ts';
import { type QueryText, queryOf, type ReadReply, readReply } from './messages.ts';
import { CACHE_SETTINGS, later } from './rig.ts';

/** The resolver over the real forwarder: only the sockets are made up. */
class Chain {
  readonly upstreams: VirtualUpstreams;
  readonly resolver: Resolver;

  constructor(behave: () => Doing) {
    const route = group('.', '192.0.2.53');
    this.upstreams = new VirtualUpstreams([route], behave);
    const { forwarder, time } = this.upstreams;
    this.resolver = new Resolver(
      {
        endpoints: new ServingTable(),
        cache: new AnswerCache(CACHE_SETTINGS),
        clock: time,
        timers: time,
        upstreams: forwarder,
        link: { isFarSideCut: false },
        statusStrings: () => [],
        outage: { isCollecting: false, noteFailed() {}, noteStale() {}, noteEndpoint() {} },
      },
      {
        disconnected: new DisconnectedRules({ zones: [], regions: [], vpcs: [] }),
        localZones: new LocalZones({ rules: [] }),
        identity: new Identity({}),
        defaultRoute: route,
        routesBeyondLink: new Set(),
        trustAuthenticatedData: false,
        deadlineMs: 5000,
      },
    );
  }

  async ask(query: QueryText | Uint8Array): Promise<ReadReply & { readonly afterMs: number }> {
    const { time } = this.upstreams;
    const startMs = time.monotonicMs();
    const octets = query instanceof Uint8Array ? query : queryOf(query);
    const turn = new Turn();
    turn.space = new Uint8Array(1232);
    turn.nowMs = startMs;
    turn.read(octets, 0, octets.length);
    const length = this.resolver.answer(turn);
    const reply =
      length > 0 ? readReply(turn.space.subarray(0, length)) : await later(this.resolver, turn.keep());
    if (reply === undefined) throw new Error('no reply');
    return { ...reply, afterMs: time.monotonicMs() - startMs };
  }
}

const WWW = { name: 'www.example.com', edns: {} };

t.test(
  'coalescing: one exchange for identical questions in flight, a reply of its own for each',
  async (t) => {
    const chain = new Chain(() => ({ afterMs: 100, says: 'answer' }));
    const same = ['www.example.com', 'WWW.example.com', 'www.EXAMPLE.com'];
    const asking = Promise.all([
      ...same.map((name, id) => chain.ask({ name, id })),
      chain.ask({ name: 'www.example.com', type: 'AAAA', id: 3 }),
      chain.ask({ name: 'www.example.com', cd: true, id: 4 }),
      chain.ask({ name: 'www.example.com', edns: { dnssecOk: true }, id: 5 }),
    ]);
    await chain.upstreams.time.advance(50);
    t.equal(chain.upstreams.asked.length, 4, 'one each for A, AAAA, CD and DO');
    await chain.upstreams.time.advance(60);
    for (const [id, reply] of (await asking).entries()) t.match(reply, { id, rcode: RCODE.NOERROR });
    t.equal((await chain.ask(WWW)).afterMs, 0, 'and the next one has it at hand');
  },
);

t.test('a silent upstream: SERVFAIL with 22 by the deadline; then known dead, and at once', async (t) => {
  const chain = new Chain(() => 'silence');
  const first = chain.ask(WWW);
  await chain.upstreams.time.advance(8000);
  t.match(await first, { rcode: RCODE.SERVFAIL, ede: 22 });
  t.ok((await first).afterMs <= 5000, `${(await first).afterMs} ms`);
  const next = await chain.ask({ ...WWW, name: 'other.example.com' });
  t.match(next, { rcode: RCODE.SERVFAIL, ede: 22, afterMs: 0 });
});

t.test('an outage: stale at once while it lasts, fresh within seconds of its end', async (t) => {
  const chain = new Chain(() => ({ afterMs: 30, says: 'answer' }));
  const { time } = chain.upstreams;
  const seconds = async (count: number) => time.advance(count * 1000);
  const first = chain.ask(WWW);
  await seconds(1);
  t.match(await first, { rcode: RCODE.NOERROR, ede: undefined });
  chain.upstreams.behave = () => 'silence';
  await seconds(120);
  const waiting = chain.ask(WWW);
  await seconds(8);
  t.match(await waiting, { ede: 3, answers: [{ ttl: 30 }] });
  t.ok((await waiting).afterMs <= 1800);
  for (let minute = 0; minute < 60; minute++) {
    t.match(await chain.ask(WWW), { ede: 3, afterMs: 0 });
    await seconds(60);
  }
  chain.upstreams.behave = () => ({ afterMs: 30, says: 'answer' });
  await seconds(40);
  const back = chain.ask(WWW);
  await seconds(1);
  t.match(await back, { ede: undefined, answers: [{ ttl: 60 }] });
});

t.test(
  'a loop: our own probe that comes back is SERVFAIL at once, and so is every later question',
  async (t) => {
    const chain = new Chain(() => 'silence');
    await chain.upstreams.time.advance(5_010);
    const [probe] = chain.upstreams.seen.filter(({ isLoopProbe }) => isLoopProbe);
    const returned = await chain.ask(Buffer.from(probe?.exchange.message ?? []));
    t.match(returned, { rcode: RCODE.SERVFAIL, afterMs: 0 });
    t.match(await chain.ask(WWW), { rcode: RCODE.SERVFAIL, ede: 23, afterMs: 0 });
    t.match(chain.upstreams.log.lines, [{ level: 'warn', text: /sends our own queries back/ }]);
  },
);

for (const says of ['referral', 'strayReferral'] as const)
  t.test(`a ${says} denies no name: the answer that is kept is given, or SERVFAIL`, async (t) => {
    const chain = new Chain(() => ({ afterMs: 30, says: 'answer' }));
    const { time } = chain.upstreams;
    const first = chain.ask(WWW);
    await time.advance(61_000);
    t.match(await first, { rcode: RCODE.NOERROR });
    chain.upstreams.behave = () => ({ afterMs: 30, says });
    const kept = chain.ask(WWW);
    const other = chain.ask({ ...WWW, name: 'other.example.com' });
    // the end of an alias is asked for by itself
    chain.upstreams.behave = ({ name }) => ({
      afterMs: 30,
      says: name.startsWith('alias.') ? 'alias' : says,
    });
    const aliased = chain.ask({ ...WWW, name: 'alias.example.com' });
    await time.advance(200);
    t.match(await kept, { ede: 3, answers: [{ ttl: 30 }] });
    t.match(await other, { rcode: RCODE.SERVFAIL, answers: [] });
    t.match(await aliased, { rcode: RCODE.SERVFAIL });
    t.ok(chain.upstreams.seen.some(({ name }) => name === 'end.example.net'));
  });

t.test('REFUSED by every upstream is SERVFAIL to the client, for 5 s', async (t) => {
  const chain = new Chain(() => ({ afterMs: 10, says: RCODE.REFUSED }));
  const asking = chain.ask(WWW);
  await chain.upstreams.time.advance(100);
  t.match(await asking, { rcode: RCODE.SERVFAIL, answers: [] });
  chain.upstreams.behave = () => ({ afterMs: 10, says: 'answer' });
  t.match(await chain.ask(WWW), { rcode: RCODE.SERVFAIL, afterMs: 0 });
  await chain.upstreams.time.advance(5_000);
  const again = chain.ask(WWW);
  await chain.upstreams.time.advance(100);
  t.match(await again, { rcode: RCODE.NOERROR, answers: { length: 1 } });
});
