/** How long answers, denials and failures are given, and when the next one is asked for. */
import t from 'tap';
import { writePatchedReply } from '../../../src/protocol/wire/reply.ts';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import {
  ageSeconds,
  answerWhileStale,
  ENTRY_OVERHEAD_OCTETS,
  mayRecheck,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import { message } from '../../helpers/zone-text.ts';
import { asked, bench, NXDOMAIN, nodata, nxdomain, positive, servfail, settings } from './asked.ts';

const name = 'www.example.com';

t.test('peekAny finds what find finds, and leaves no trace of it', async (t) => {
  const { cache, store, time } = bench();
  const peek = (query = asked(name)) => cache.peekAny(query, time.monotonicMs(), false)?.answer;
  t.equal(peek(), undefined);
  const answer = store(positive(name, 300));
  await time.advance(1_000);
  t.equal(peek()?.serial, answer?.serial);
  t.equal(peek(asked('ww2.example.com')), undefined);
  await time.advance(300_000);
  t.equal(peek()?.serial, answer?.serial, 'stale');
  t.match(answer, { hits: 0, usedAtMs: 0 });
  t.match(cache.stats(), { hits: 0, staleHits: 0, misses: 0 });
  await time.advance(settings.staleForMs);
  t.equal(peek(), undefined, 'expired');
});

t.test('the last answer with a TTL of 0 replaces the answer before it, and is stale at once', async (t) => {
  const older = {
    good: positive(name, 300, [10, 0, 0, 1]),
    nxdomain: nxdomain(name, 60),
    nodata: nodata(name, 60),
  };
  const newer = {
    good: positive(name, 0, [10, 0, 0, 2]),
    nxdomain: nxdomain(name, 0),
    nodata: nodata(name, 0),
  };
  for (const [before, first] of Object.entries(older)) {
    for (const [after, second] of Object.entries(newer)) {
      const { cache, store, find, state } = bench();
      store(first);
      const answer = store(second);
      t.equal(find(), answer, `${before}, then ${after}`);
      t.equal(state(answer), 'stale');
      const given = cache.peekAny(asked(name), 0, true);
      // an NXDOMAIN that nobody confirms lets the last good answer speak, whatever its TTL was
      const isGoodAgain = after === 'nxdomain' && before !== 'nxdomain';
      t.equal(given?.answer.serial === answer?.serial, !isGoodAgain);
      t.match(given?.ttl, { ttlSeconds: settings.staleTtlSeconds });
    }
  }
});

t.test('a denial without SOA is kept where nothing better is known, and replaces nothing', async (t) => {
  for (const flags of [0x8180, NXDOMAIN]) {
    const denied = message({ flags, question: [name, 'A'] });
    const { store, find, state } = bench();
    t.equal(state(store(denied)), 'stale');
    const good = store(positive(name, 0));
    t.equal(store(denied), undefined);
    t.equal(find(), good);
  }
});

t.test('an answer ages by the monotonic clock alone', async (t) => {
  const { time, store, find, state } = bench();
  store(positive(name, 100));
  await time.advance(42_500);
  for (const wall of ['1999-01-01T00:00:00Z', '2055-01-01T00:00:00Z']) {
    time.setWall(wall);
    const answer = find();
    t.equal(state(answer), 'fresh', wall);
    t.equal(ageSeconds(answer!, time.monotonicMs()), 42, wall);
  }
  await time.advance(57_499);
  t.equal(ageSeconds(find()!, time.monotonicMs()), 99, 'the last second');
  await time.advance(1);
  t.equal(state(find()), 'stale');
  await time.advance(86_400_000 - 1);
  t.equal(state(find()), 'stale');
  await time.advance(1);
  t.equal(find(), undefined, 'expired');
});

t.test('a denial is believed for its SOA, at most negativeTtl, and says so in its TTL', async (t) => {
  const { time, store, find, state } = bench();
  const answer = store(nxdomain(name, 900));
  t.equal(answer?.kind, 'nxdomain');
  t.equal(answer?.lifetimeMs, 60_000);
  const reply = new Uint8Array(512);
  writePatchedReply(
    asked(name),
    answer!.octets,
    answer!.index,
    {
      ttl: { ageSeconds: 0 },
      extendedError: undefined,
      trustAuthenticatedData: false,
      limit: 512,
    },
    reply,
    0,
  );
  t.equal(
    Buffer.from(reply).readUInt32BE(answer!.index.ttlOffsets[0]!),
    60,
    'TTL of the SOA (RFC 2308 section 5)',
  );
  await time.advance(59_999);
  t.equal(state(find()), 'fresh');
  await time.advance(1);
  t.equal(state(find()), 'stale');
});

t.test('a failure is kept for 5 s where nothing better is known (RFC 9520), never stale', async (t) => {
  for (const how of ['SERVFAIL received', 'no upstream answered'] as const) {
    const { time, store, fail, find, state } = bench();
    const query = asked(name, 'A', { upperCase: true, dnssecOk: true });
    const failure = how === 'SERVFAIL received' ? store(servfail(name), query) : fail(query);
    t.equal(failure?.kind, 'failure', how);
    t.equal(find(query), failure, how);
    const reply = new Uint8Array(512);
    const length = writePatchedReply(
      query,
      failure!.octets,
      failure!.index,
      {
        ttl: { ageSeconds: 0 },
        extendedError: 22,
        trustAuthenticatedData: false,
        limit: 512,
      },
      reply,
      0,
    );
    t.match(indexResponse(reply.slice(0, length)), { rcode: 2, answerCount: 0, hasEdns: true }, how);
    await time.advance(4999);
    t.equal(state(find(query)), 'fresh', how);
    await time.advance(1);
    t.equal(find(query), undefined, how);
    t.ok(store(positive(name, 300), query), 'a good answer takes its place');
    t.equal(find(query)?.kind, 'positive');
  }
});

t.test(
  'a failure never replaces a good answer, and puts off the next recheck by 30 s (RFC 8767 section 5)',
  async (t) => {
    for (const how of ['SERVFAIL received', 'no upstream answered'] as const) {
      const { time, store, fail, find, state } = bench();
      const failing = () => (how === 'SERVFAIL received' ? store(servfail(name)) : fail());
      const good = store(positive(name, 100));
      t.equal(failing(), undefined, `${how}: nothing kept while fresh`);
      t.equal(find(), good);
      await time.advance(100_000);
      t.ok(mayRecheck(good!, time.monotonicMs()), 'stale: an upstream may be asked');
      t.equal(failing(), undefined, `${how}: nothing kept while stale`);
      t.equal(find(), good);
      t.equal(state(find()), 'stale');
      t.notOk(mayRecheck(good!, time.monotonicMs()));
      await time.advance(29_999);
      t.notOk(mayRecheck(good!, time.monotonicMs()));
      await time.advance(1);
      t.ok(mayRecheck(good!, time.monotonicMs()));
      await time.advance(86_400_000);
      t.equal(failing()?.kind, 'failure', `${how}: kept once the good answer has expired`);
    }
  },
);

t.test(
  'an NXDOMAIN hides a good answer while fresh; a stale NXDOMAIN is given only if there was never one',
  async (t) => {
    for (const [kind, octets] of [
      ['positive', positive(name, 100)],
      ['nodata', nodata(name, 50)],
    ] as const) {
      const { time, store, find, state } = bench();
      const good = store(octets);
      await time.advance(10_000);
      const denial = store(nxdomain(name, 60));
      t.equal(find(), denial, `${kind}: the truth while connected (RFC 8767 section 4)`);
      t.equal(state(denial), 'fresh');
      await time.advance(60_000);
      t.equal(state(find()), 'stale');
      t.equal(
        answerWhileStale(find()!, time.monotonicMs(), settings).serial,
        good?.serial,
        `${kind}: the good answer while disconnected`,
      );
      const again = store(nxdomain(name, 60));
      t.equal(again?.earlier?.serial, good?.serial, `${kind}: kept through a second NXDOMAIN`);
      t.equal(again?.earlier?.earlier, undefined, 'and only one');
      await time.advance(86_400_000 + 90_000);
      t.equal(store(nxdomain(name, 60))?.earlier, undefined, `${kind}: not longer than its own stale time`);
    }
    const late = bench();
    late.store(positive(name, 100));
    await late.time.advance(86_500_000);
    t.equal(late.store(nxdomain(name, 60))?.earlier, undefined, 'not when its stale time was over before');
    const { time, store, find } = bench();
    store(servfail(name));
    const denial = store(nxdomain(name, 60));
    t.equal(denial?.earlier, undefined, 'a failure is no good answer');
    t.equal(store(nxdomain(name, 50))?.earlier, undefined, 'nor is an NXDOMAIN');
    await time.advance(60_000);
    t.equal(
      answerWhileStale(find()!, time.monotonicMs(), settings),
      find(),
      'a stale NXDOMAIN where there was none',
    );
    t.equal(store(positive(name, 5))?.earlier, undefined, 'a good answer needs nothing behind it');
  },
);

t.test('the last tenth with 2 hits asks for one prefetch at a time', async (t) => {
  const { time, cache, store, find, fail, state } = bench();
  store(positive(name, 1000));
  find();
  await time.advance(900_000);
  const answer = find();
  t.equal(state(answer), 'prefetch', 'the second hit, in the last tenth');
  cache.claimPrefetch(answer!, time.monotonicMs());
  t.equal(state(find()), 'fresh', 'claimed');
  await time.advance(29_999);
  t.equal(state(find()), 'fresh');
  await time.advance(1);
  t.equal(state(find()), 'prefetch', 'the claim was never redeemed');
  fail();
  t.equal(state(find()), 'fresh', 'a failed prefetch is not repeated at once');
  t.equal(cache.stats().prefetches, 1);
  store(positive(name, 1000));
  await time.advance(950_000);
  t.equal(state(find()), 'fresh', 'hits of the answer before do not count');
});

t.test('a hidden good answer counts against the bound', async (t) => {
  const { cache, store } = bench();
  store(positive(name, 300));
  const before = cache.stats().octets;
  store(nxdomain(name, 60));
  t.ok(cache.stats().octets > before + ENTRY_OVERHEAD_OCTETS);
  t.equal(cache.stats().entries, 1);
  store(positive(name, 300));
  t.equal(cache.stats().octets, before, 'until it is there again');
});

t.test('new settings lose no answer that still fits', async (t) => {
  const { time, cache, store, find, state } = bench();
  const names = Array.from({ length: 20 }, (_, n) => `n${n}.example`);
  for (const each of names) store(positive(each, 100), asked(each));
  find(asked('n0.example'));
  cache.reconfigure({ ...settings, sizeOctets: 10 * (ENTRY_OVERHEAD_OCTETS + 100), staleForMs: 0 });
  t.ok(cache.stats().octets <= 10 * (ENTRY_OVERHEAD_OCTETS + 100), 'smaller');
  t.ok(cache.stats().entries >= 8);
  t.ok(find(asked('n0.example')), 'the most recently used stayed');
  t.notOk(find(asked('n1.example')));
  const left = cache.stats().entries;
  cache.reconfigure({ ...settings, staleForMs: 0 });
  t.equal(cache.stats().entries, left, 'larger');
  await time.advance(100_000);
  t.notOk(find(asked('n0.example')), 'the new staleFor holds for answers stored before');
  cache.reconfigure({ ...settings, staleForMs: Number.POSITIVE_INFINITY });
  t.equal(state(find(asked('n0.example'))), 'stale', 'in both directions');
  store(positive('n0.example', 100), asked('n0.example'));
  cache.reconfigure({ ...settings, maxTtlSeconds: 10 });
  t.equal(
    store(positive('n2.example', 100), asked('n2.example'))?.lifetimeMs,
    10_000,
    'new answers get the new cap',
  );
});

t.test('flush forgets everything; counters go on', async (t) => {
  const { time, cache, store, find } = bench();
  find();
  store(positive(name, 100));
  find();
  await time.advance(100_000);
  find();
  cache.flush();
  find();
  t.same(cache.stats(), {
    entries: 0,
    octets: 0,
    hits: 1,
    staleHits: 1,
    misses: 2,
    evictions: 0,
    prefetches: 0,
  });
});
