import fc from 'fast-check';
import t from 'tap';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { chunksFor, newAnswer } from '../../../src/serving/answer-cache/cached-answer.ts';
import { Slabs, StoredAnswers } from '../../../src/serving/answer-cache/stored-answers.ts';
import { asked, indexed, nxdomain, positive, settings } from './asked.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 100);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

/** A record of this many octets, of which each word differs from its neighbours and from those of other records. */
function record(number: number, octets: number): Uint32Array {
  return Uint32Array.from(
    { length: Math.ceil(octets / 4) },
    (_, at) => Math.imul(number + 1, 0x9e3779b1) + at,
  );
}

t.test('records come back as they were put, whatever is removed between them; no chunk is lost', async () => {
  const step = fc.record({
    octets: fc.integer({ min: 1, max: 70_000 }),
    removes: fc.nat(3),
    which: fc.nat(),
  });
  const into = new Uint32Array(20_000);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const slabs = new Slabs();
      const kept: { first: number; words: Uint32Array; octets: number }[] = [];
      let mostChunks = 0;
      for (const [number, { octets, removes, which }] of steps.entries()) {
        const words = record(number, octets);
        kept.push({ first: slabs.put(words, octets), words, octets });
        mostChunks = Math.max(
          mostChunks,
          kept.reduce((sum, one) => sum + chunksFor(one.octets), 0),
        );
        for (let left = removes; left > 1 && kept.length > 0; left--) {
          slabs.remove(kept.splice(which % kept.length, 1)[0]!.first);
        }
        for (const { first, words } of kept) {
          slabs.read(first, into);
          for (const [at, word] of words.entries()) if (into[at] !== word) throw new Error('another record');
        }
      }
      if (slabs.capacity - mostChunks >= 4096) throw new Error(`${slabs.capacity} chunks for ${mostChunks}`);
    }),
    { seed, numRuns },
  );
});

t.test('the longest message comes back whole, and does not stay in a cache that is smaller', async (t) => {
  const records = 4_092; // of the 4,096 that are accepted; 65,504 octets
  const query = asked('.');
  const octets = new Uint8Array(17 + 16 * records);
  octets.set(positive('.', 300).subarray(0, 17));
  octets.set([records >> 8, records & 255], 6);
  for (let n = 0; n < records; n++) {
    octets.set([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, n >> 8, n & 255], 17 + 16 * n);
  }
  for (const [sizeOctets, isKept] of [
    [96 * 1024, true],
    [64 * 1024, false],
  ] as const) {
    const cache = new AnswerCache({ ...settings, sizeOctets });
    const given = cache.store(query, octets, indexed(octets), 0);
    t.same(given?.octets.slice(0, given.index.end), octets, 'to reply from');
    const found = cache.find(query, 1);
    t.equal(found !== undefined, isKept);
    if (found !== undefined) t.same(found.octets.slice(0, found.index.end), octets);
    t.ok(cache.stats().octets <= sizeOctets);
  }
});

t.test('a smaller bound moves what stays into fewer slabs, while answers come and go', async (t) => {
  const cache = new AnswerCache({ ...settings, sizeOctets: 4 * 1024 * 1024 });
  const put = (n: number) => {
    const octets = positive(`n${n}.example`, 80_000, [10, 0, n >> 8, n & 255]);
    cache.store(asked(`n${n}.example`), octets, indexed(octets), n);
  };
  const check = (n: number): boolean => {
    const found = cache.find(asked(`n${n}.example`), 20_000);
    if (found === undefined) return false;
    const whole = positive(`n${n}.example`, 80_000, [10, 0, n >> 8, n & 255]);
    t.same(Buffer.from(found.octets.subarray(12, found.index.end)), whole.subarray(12), `n${n}`);
    return true;
  };
  for (let n = 0; n < 8_000; n++) put(n);
  let next = 8_000;
  for (const _ of cache.reconfiguring({ ...cache.settings, sizeOctets: 1024 * 1024 })) {
    if (next < 8_500) put(next++);
  }
  const { octets, entries } = cache.stats();
  t.ok(octets <= 1024 * 1024);
  let found = 0;
  for (let n = 0; n < next; n++) if (check(n)) found++;
  t.equal(found, entries);
  cache.flush();
  t.match(cache.stats(), { entries: 0, octets: 0 });
  put(1);
  t.ok(check(1));
});

t.test('a removed answer gives back its own slot and that of its earlier answer', async (t) => {
  const store = new StoredAnswers();
  const query = asked('www.example');
  const answer = (octets: Uint8Array, kind: 'positive' | 'nxdomain') =>
    newAnswer(
      query.key,
      query,
      { kind, octets, index: indexed(octets), lifetimeMs: 1, earlier: undefined },
      0,
    );
  const good = answer(positive('www.example', 300), 'positive');
  const denied = answer(nxdomain('www.example', 60), 'nxdomain');
  for (let n = 0; n < 1_000; n++) {
    const added = store.add(denied, store.addEarlier(good));
    t.equal(added.earlier?.kind, 'positive');
    store.remove(added.slot);
  }
  t.equal(store.end, 2, 'slots that were ever used');
});
