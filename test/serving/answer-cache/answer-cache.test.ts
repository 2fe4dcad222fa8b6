import t from 'tap';
import { indexResponse } from '../../../src/protocol/wire/response.ts';
import { writePatchedReply } from '../../../src/protocol/wire/response-patch.ts';
import { AnswerCache, type AnswerCacheSettings } from '../../../src/serving/answer-cache/answer-cache.ts';
import {
  ageSeconds,
  answerWhileStale,
  type CachedAnswer,
  cacheKey,
  ENTRY_OVERHEAD_OCTETS,
  freshness,
  mayRecheck,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import { VirtualTime } from '../../helpers/virtual-time.ts';
import { message, opt, rawRecord } from '../../helpers/zone-text.ts';
import {
  asked,
  collidingNames,
  indexed,
  NXDOMAIN,
  nodata,
  nxdomain,
  positive,
  servfail,
  settings,
} from './asked.ts';

const name = 'www.example.com';

/** A cache with a clock, and what a resolver would do with them. */
function bench(changed: Partial<AnswerCacheSettings> = {}) {
  const time = new VirtualTime();
  const cache = new AnswerCache({ ...settings, ...changed });
  return {
    time,
    cache,
    find: (query = asked(name)) => cache.find(query, time.monotonicMs()),
    store: (octets: Uint8Array, query = asked(name)) =>
      cache.store(query, octets, indexed(octets), time.monotonicMs()),
    fail: (query = asked(name)) => cache.noteFailure(query, time.monotonicMs()),
    state: (answer: CachedAnswer | undefined) =>
      answer === undefined ? 'none' : freshness(answer, time.monotonicMs(), cache.settings),
  };
}

t.test('a stored answer is found by the same question alone', async (t) => {
  const { store, find } = bench();
  t.equal(find(), undefined, 'nothing before');
  const answer = store(positive(name, 300));
  t.equal(find(), answer);
  t.equal(find(asked(name, 'A', { upperCase: true })), answer, 'in any case (RFC 4343)');
  t.equal(find(asked(name, 'A', { dnssecOk: false })), answer, 'with EDNS but without DO');
  const others: [string, ReturnType<typeof asked>][] = [
    ['another name', asked('www2.example.com')],
    ['a name under it', asked(`a.${name}`)],
    ['its parent', asked('example.com')],
    ['another type', asked(name, 'AAAA')],
    ['another class', asked(name, 'A', { qclass: 3 })],
    ['with DO (RFC 4035 section 3.2.1)', asked(name, 'A', { dnssecOk: true })],
    ['with CD (RFC 4035 section 3.2.2)', asked(name, 'A', { checkingDisabled: true })],
  ];
  for (const [what, query] of others) t.equal(find(query), undefined, what);
});

t.test('questions of one name that differ in type, class, DO or CD have different keys', async (t) => {
  const keys = new Set<number>();
  let questions = 0;
  for (let type = 0; type < 512; type++) {
    for (const qclass of [1, 3, 255]) {
      for (const dnssecOk of [false, true]) {
        for (const checkingDisabled of [false, true]) {
          const key = cacheKey(asked(name, `TYPE${type}`, { qclass, dnssecOk, checkingDisabled }));
          if (key !== (key | 0)) t.fail(`${key} is no 32-bit signed integer`);
          keys.add(key);
          questions++;
        }
      }
    }
  }
  t.equal(keys.size, questions);
});

t.test(
  'HTTPS, whose number reads as the letter A, is not mixed up with the type 32 further on',
  async (t) => {
    const { store, find } = bench();
    const https = message({
      question: [name, 'HTTPS'],
      answers: [rawRecord(name, 'HTTPS', 60, [0, 1, 0])],
    });
    const answer = store(https, asked(name, 'HTTPS'));
    t.equal(find(asked(name, 'HTTPS')), answer);
    t.equal(find(asked(name, 'TYPE97')), undefined);
  },
);

t.test("two names that share a key have an answer each, and never get each other's", async (t) => {
  const { store, find, fail, time, cache } = bench();
  const [first, second] = collidingNames();
  t.equal(cacheKey(asked(first)), cacheKey(asked(second)));
  const one = store(positive(first, 300), asked(first));
  t.equal(find(asked(second)), undefined);
  t.equal(fail(asked(second))?.kind, 'failure', 'a failure is remembered elsewhere');
  t.equal(find(asked(first)), one);
  t.ok(mayRecheck(one!, 0), 'and is no worse for it');
  const two = store(positive(second, 300, [10, 0, 0, 2]), asked(second));
  t.equal(find(asked(second)), two);
  t.equal(find(asked(first)), one);
  const denied = store(nxdomain(second, 60), asked(second));
  t.equal(find(asked(second)), denied, 'a newer answer takes the place of its own');
  t.equal(denied?.earlier, two);
  t.equal(find(asked(first)), one);
  for (const [name, octets] of [
    [first, one?.octets],
    [second, two?.octets],
  ] as const) {
    const given = cache.peekAny(asked(name, 'A', { dnssecOk: true }), time.monotonicMs() + 70_000, true);
    t.equal(given?.answer.octets, octets, 'with another DO, too');
  }
  const other = new AnswerCache(settings);
  const entries = [...cache.entries(0)].filter((entry) => entry !== undefined);
  for (const entry of entries) t.equal(other.load(entry, 0), 'kept', 'through a restart');
  t.ok(other.find(asked(first), 0));
  t.ok(other.find(asked(second), 0));
});

t.test('peekAny finds what find finds, and leaves no trace of it', async (t) => {
  const { cache, store, time } = bench();
  const peek = (query = asked(name)) => cache.peekAny(query, time.monotonicMs(), false)?.answer;
  t.equal(peek(), undefined);
  const answer = store(positive(name, 300));
  await time.advance(1_000);
  t.equal(peek(), answer);
  t.equal(peek(asked('ww2.example.com')), undefined);
  await time.advance(300_000);
  t.equal(peek(), answer, 'stale');
  t.match(answer, { hits: 0, usedAtMs: 0 });
  t.match(cache.stats(), { hits: 0, staleHits: 0, misses: 0 });
  await time.advance(settings.staleForMs);
  t.equal(peek(), undefined, 'expired');
});

t.test('what is not an answer to the question is not kept, and leaves what was there', async (t) => {
  const { store, find } = bench();
  const good = store(positive(name, 300));
  const wrong: [string, Buffer][] = [
    ['another name', positive('evil.example.com', 300)],
    ['another name of the same length', positive('wwx.example.com', 300)],
    [
      'another type',
      message({ question: [name, 'AAAA'], answers: [rawRecord(name, 'AAAA', 300, Buffer.alloc(16))] }),
    ],
    ['another class', message({ question: [name, 'A', 3], answers: [] })],
    ['SERVFAIL to another name', servfail('evil.example.com')],
    [
      'TC',
      message({ flags: 0x8380, question: [name, 'A'], answers: [rawRecord(name, 'A', 300, [1, 2, 3, 4])] }),
    ],
    ['REFUSED', message({ flags: 0x8185, question: [name, 'A'] })],
    ['NXDOMAIN without SOA', message({ flags: 0x8183, question: [name, 'A'] })],
  ];
  for (const [what, octets] of wrong) {
    t.equal(store(octets), undefined, what);
    t.equal(find(), good, `${what}: the answer before is still there`);
  }
  t.equal(find(asked('evil.example.com')), undefined, 'and nothing is kept under the wrong question');
});

t.test(
  'what was said last with a TTL of 0 takes the place of what was kept, and is stale at once',
  async (t) => {
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
        t.equal(given?.answer.octets === answer?.octets, !isGoodAgain);
        t.match(given?.ttl, { ttlSeconds: settings.staleTtlSeconds });
      }
    }
  },
);

t.test('a denial without SOA is kept where nothing better is known, and takes nothing away', async (t) => {
  for (const flags of [0x8180, NXDOMAIN]) {
    const denied = message({ flags, question: [name, 'A'] });
    const { store, find, state } = bench();
    t.equal(state(store(denied)), 'stale');
    const good = store(positive(name, 0));
    t.equal(store(denied), undefined);
    t.equal(find(), good);
  }
});

t.test('kept octets are a message of their own', async (t) => {
  const { store } = bench({ maxTtlSeconds: 1000 });
  const slab = new Uint8Array(65_535);
  const octets = message({
    id: 7,
    question: ['WWW.example.com', 'A'],
    answers: [
      rawRecord('www.example.com', 'A', 2000, [10, 0, 0, 1]),
      rawRecord('www.example.com', 'A', 999, [10, 0, 0, 2]),
    ],
    additionals: [
      rawRecord('x', 'A', 0xffff_ffff, [1, 1, 1, 1]),
      opt({ options: [0, 15, 0, 2, 0, 3] }),
      rawRecord('behind.opt', 'A', 5, [2, 2, 2, 2]),
    ],
  });
  // message() lower-cases names: put the case of the question back
  octets.set(Buffer.from('WWW'), 13);
  slab.set(octets, 0);
  const received = slab.subarray(0, octets.length);
  const answer = store(received);
  if (answer === undefined) throw new Error('not kept');
  slab.fill(0xff);
  t.equal(answer.octets.buffer.byteLength, answer.octets.length, 'retains no larger buffer');
  t.same(
    Buffer.from(answer.octets),
    message({
      id: 7,
      question: ['www.example.com', 'A'],
      answers: [
        rawRecord('www.example.com', 'A', 1000, [10, 0, 0, 1]),
        rawRecord('www.example.com', 'A', 999, [10, 0, 0, 2]),
      ],
      additionals: [rawRecord('x', 'A', 1000, [1, 1, 1, 1])],
    }),
    'OPT and what follows it cut off, TTLs capped, question in lower case',
  );
  t.match(
    indexResponse(answer.octets),
    { ...answer.index, hasEdns: false, extendedError: undefined, ttlOffsets: Object },
    'and reads back from its octets alone',
  );
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
        answerWhileStale(find()!, time.monotonicMs(), settings),
        good,
        `${kind}: the good answer while disconnected`,
      );
      const again = store(nxdomain(name, 60));
      t.equal(again?.earlier, good, `${kind}: kept through a second NXDOMAIN`);
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

t.test('the bound holds in octets, least recently used first', async (t) => {
  const { cache, store, find } = bench({ sizeOctets: 10 * (ENTRY_OVERHEAD_OCTETS + 200) });
  const names = Array.from({ length: 30 }, (_, n) => `n${n}.example`);
  for (const each of names) {
    store(positive(each, 300), asked(each));
    find(asked('n0.example'));
  }
  const { entries, octets, evictions } = cache.stats();
  t.ok(octets <= 10 * (ENTRY_OVERHEAD_OCTETS + 200));
  t.equal(entries + evictions, 30);
  t.ok(entries >= 10 && entries <= 12, `${entries} entries`);
  t.ok(find(asked('n0.example')), 'used all the time');
  t.notOk(find(asked('n1.example')), 'used least recently');
  t.ok(find(asked('n29.example')));
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

t.test('a size of 0 keeps nothing and still answers the one who asked', async (t) => {
  const { store, find } = bench({ sizeOctets: 0 });
  t.ok(store(positive(name, 300)));
  t.equal(find(), undefined);
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
