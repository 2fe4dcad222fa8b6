/**
 * What stays in a cache that is too small, over a trace like that of a site and under floods. The figures are printed; the
 * assertions are far from them.
 */
import { LRUCache } from 'lru-cache';
import t from 'tap';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import { sizeOf } from '../../../src/serving/answer-cache/cached-answer.ts';
import { chance } from '../../helpers/chance.ts';
import { asked, indexed, positive, settings } from './asked.ts';

/** Ranks as names of a site are asked for: the n-th is asked for n^-1 as often as the first. */
function zipf(ranks: number, random: () => number): () => number {
  const total = new Float64Array(ranks);
  let sum = 0;
  for (let rank = 0; rank < ranks; rank++) {
    sum += 1 / (rank + 1);
    total[rank] = sum;
  }
  return () => {
    const wanted = random() * sum;
    let low = 0;
    for (let high = ranks - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (total[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

interface Policy {
  /** Whether it was there; afterwards it is. */
  ask(name: string): boolean;
  has(name: string): boolean;
  fail(name: string): void;
}

const ENTRIES = 2_000;
const one = positive('n000000.example', 300);

/** The product's own cache, of which answers do not expire while the trace runs. */
function segmented(cut: { isAnyCut: boolean } = { isAnyCut: false }): Policy {
  const probe = new AnswerCache(settings);
  const answer = probe.store(asked('n000000.example'), one, indexed(one), 0);
  const sizeOctets = ENTRIES * sizeOf(answer!);
  const cache = new AnswerCache({ ...settings, sizeOctets }, cut);
  let now = 0;
  return {
    ask(name) {
      const query = asked(name);
      if (cache.find(query, ++now) !== undefined) return true;
      const octets = positive(name, 86_400);
      cache.store(query, octets, indexed(octets), now);
      return false;
    },
    has: (name) => cache.peekAny(asked(name), now, true) !== undefined,
    fail: (name) => void cache.noteFailure(asked(name), now),
  };
}

/** What there was before: everything in one list, failures too. */
function plain(): Policy {
  const list = new LRUCache<string, true>({ max: ENTRIES });
  const ask = (name: string): boolean => {
    const isHit = list.get(name) === true;
    if (!isHit) list.set(name, true);
    return isHit;
  };
  return { ask, has: (name) => list.peek(name) === true, fail: (name) => void list.set(name, true) };
}

const nameOf = (rank: number) => `n${String(rank).padStart(6, '0')}.example`;
let strangers = 0;
const stranger = () => `x${(strangers++).toString(36).padStart(6, '0')}.example`;

/** Asks for names of a site, and for so many names that nobody asks for twice in each hundred. */
function trace(policy: Policy, queries: number, strangersInHundred: number, seed: number): number {
  const random = chance(seed);
  const rank = zipf(20_000, random);
  let wanted = 0;
  let hits = 0;
  for (let at = 0; at < queries; at++) {
    if (random() * 100 < strangersInHundred) {
      policy.ask(stranger());
      continue;
    }
    wanted++;
    if (policy.ask(nameOf(rank()))) hits++;
  }
  return (100 * hits) / wanted;
}

const percent = (value: number) => `${value.toFixed(1)} %`;

t.test('a site of 20,000 names, room for 2,000: how many queries are hits', async (t) => {
  for (const strangersInHundred of [0, 20, 50]) {
    const before = trace(plain(), 60_000, strangersInHundred, 1);
    const after = trace(segmented(), 60_000, strangersInHundred, 1);
    t.comment(
      `${strangersInHundred} % of all names asked for once: plain LRU ${percent(before)}, segmented ${percent(after)}`,
    );
    t.ok(after > before - 0.5, 'no worse');
    if (strangersInHundred === 50) t.ok(after > before + 2, 'better in a flood');
  }
});

/** The hundred names that the site asks for most, and a hundred of those that it asks for now and then. */
const usual = Array.from({ length: 100 }, (_, rank) => nameOf(rank));
const rare = Array.from({ length: 100 }, (_, rank) => nameOf(300 + 3 * rank));

function kept(policy: Policy, names: readonly string[]): number {
  return names.filter((name) => policy.has(name)).length;
}

t.test('75,000 names in a flood: how many good answers are left', async (t) => {
  for (const [what, flood] of [
    ['failures', (policy: Policy) => policy.fail(stranger())],
    ['answers', (policy: Policy) => void policy.ask(stranger())],
    [
      'answers, each asked for twice',
      (policy: Policy) => {
        const name = stranger();
        policy.ask(name);
        policy.ask(name);
      },
    ],
  ] as const) {
    const cut = { isAnyCut: false };
    const policies = { plain: plain(), segmented: segmented(cut) };
    const left: Record<string, string> = {};
    for (const [name, policy] of Object.entries(policies)) {
      cut.isAnyCut = false;
      trace(policy, 60_000, 10, 2);
      cut.isAnyCut = true;
      const rareBefore = kept(policy, rare);
      for (let at = 0; at < 75_000; at++) {
        flood(policy);
        // clients go on asking for what they need, once in a thousand queries of the flood
        if (at % 1000 === 0) policy.ask(usual[(at / 1000) % usual.length]!);
      }
      left[name] = `${kept(policy, usual)} of 100 usual, ${kept(policy, rare)} of ${rareBefore} rare`;
      if (name === 'segmented') {
        t.equal(kept(policy, usual), 100, `${what}: usual names`);
        t.ok(kept(policy, rare) >= rareBefore * 0.9, `${what}: rare names`);
      }
    }
    t.comment(`${what}: plain LRU keeps ${left['plain']}; segmented ${left['segmented']}`);
  }
});

t.test('stale answers that nobody has asked for twice outlive a flood of answers in a cut', async (t) => {
  const cut = { isAnyCut: false };
  const policy = segmented(cut);
  const once = Array.from({ length: 1_500 }, (_, at) => nameOf(at));
  for (const name of once) policy.ask(name);
  cut.isAnyCut = true;
  for (let at = 0; at < 75_000; at++) policy.ask(stranger());
  t.comment(`${kept(policy, once)} of 1,500 are left`);
  t.equal(kept(policy, once), 1_500);
  cut.isAnyCut = false;
  for (let at = 0; at < 3_000; at++) policy.ask(stranger());
  t.ok(kept(policy, once) < 1_500, 'after the cut they are ordinary answers again');
});

t.test('the bound holds whatever comes, and an answer that is larger than it is not kept', async (t) => {
  const random = chance(3);
  const cut = { isAnyCut: false };
  const cache = new AnswerCache({ ...settings, sizeOctets: 50_000 }, cut);
  for (let at = 0; at < 20_000; at++) {
    cut.isAnyCut = random() < 0.5;
    const query = asked(`n${Math.floor(random() * 300)}.example`);
    const name = query.nameText();
    const octets = positive(name, 60);
    if (random() < 0.5) cache.find(query, at);
    else if (random() < 0.9) cache.store(query, octets, indexed(octets), at);
    else cache.noteFailure(query, at);
    if (random() < 0.001)
      cache.reconfigure({ ...cache.settings, sizeOctets: 20_000 + Math.floor(random() * 60_000) });
    const { octets: used, entries } = cache.stats();
    if (used > cache.settings.sizeOctets) t.fail(`${used} octets`);
    const listed = [...cache.entries(at)].filter((entry) => entry !== undefined).length;
    if (at % 500 === 0) t.equal(listed, entries, 'each answer is listed once');
  }
  cache.reconfigure({ ...cache.settings, sizeOctets: 100 });
  const big = positive('big.example', 60);
  cache.store(asked('big.example'), big, indexed(big), 20_000);
  t.equal(cache.stats().entries, 0);
});

t.test('what is loaded while a cut goes on was known before it', async (t) => {
  const before = new AnswerCache(settings);
  const names = Array.from({ length: 20 }, (_, at) => nameOf(at));
  for (const name of names) before.store(asked(name), positive(name, 60), indexed(positive(name, 60)), 0);
  const size = before.stats().octets / names.length;
  const after = new AnswerCache({ ...settings, sizeOctets: 25 * size }, { isAnyCut: true });
  for (const entry of before.entries(1)) if (entry !== undefined) after.load(entry, 1);
  for (let at = 0; at < 500; at++) {
    const name = stranger();
    after.store(asked(name), positive(name, 60), indexed(positive(name, 60)), 2);
  }
  const left = names.filter((name) => after.peekAny(asked(name), 3, true) !== undefined);
  t.equal(left.length, names.length);
});
