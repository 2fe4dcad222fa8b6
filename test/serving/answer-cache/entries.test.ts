import fc from 'fast-check';
import t from 'tap';
import { AnswerCache, type AnswerCacheSettings } from '../../../src/serving/answer-cache/answer-cache.ts';
import {
  ageSeconds,
  answerWhileStale,
  ENTRY_OVERHEAD_OCTETS,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import type { AnswerEntry } from '../../../src/serving/answer-cache/entries.ts';
import { message, opt, rawRecord } from '../../helpers/zone-text.ts';
import { asked, indexed, NXDOMAIN, nodata, nxdomain, positive, servfail, settings } from './asked.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 200);
const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
t.comment(`seed ${seed}`);

const make = (changed: Partial<AnswerCacheSettings> = {}) => new AnswerCache({ ...settings, ...changed });
const put = (cache: AnswerCache, octets: Uint8Array, name: string, nowMs: number, aspects = {}) =>
  cache.store(asked(name, 'A', aspects), octets, indexed(octets), nowMs);
/** The entries with octets of their own: those of the cache are valid for one step. */
const given = (cache: AnswerCache, nowMs: number): AnswerEntry[] =>
  Array.from(cache.entries(nowMs), (entry) => entry && { ...entry, octets: entry.octets.slice() }).filter(
    (entry) => entry !== undefined,
  );
const nameOf = (entry: AnswerEntry) => {
  const labels: string[] = [];
  for (let at = 12; entry.octets[at] !== 0; at += 1 + entry.octets[at]!) {
    labels.push(Buffer.from(entry.octets.subarray(at + 1, at + 1 + entry.octets[at]!)).toString());
  }
  return labels.join('.');
};

t.test('entries carry everything that an answer is, and come back as the same answer', async (t) => {
  const cache = make();
  put(cache, positive('a.example', 300), 'a.example', 1000, { dnssecOk: true, checkingDisabled: true });
  put(cache, nodata('b.example', 30), 'b.example', 2000);
  put(cache, positive('c.example', 100), 'c.example', 0);
  put(cache, nxdomain('c.example', 60), 'c.example', 3000);
  cache.find(asked('b.example'), 4000);
  cache.find(asked('b.example'), 5000);
  const entries = given(cache, 10_000);
  t.strictSame(
    entries.map(({ octets, earlier, ...rest }) => [rest, earlier && { ...earlier, octets: undefined }]),
    [
      [
        {
          kind: 'nodata',
          ageMs: 8000,
          lifetimeMs: 30_000,
          dnssecOk: false,
          checkingDisabled: false,
          hits: 2,
          idleMs: 5000,
        },
        undefined,
      ],
      [
        {
          kind: 'nxdomain',
          ageMs: 7000,
          lifetimeMs: 60_000,
          dnssecOk: false,
          checkingDisabled: false,
          hits: 0,
          idleMs: 7000,
        },
        { kind: 'positive', ageMs: 10_000, lifetimeMs: 100_000, octets: undefined },
      ],
      [
        {
          kind: 'positive',
          ageMs: 9000,
          lifetimeMs: 300_000,
          dnssecOk: true,
          checkingDisabled: true,
          hits: 0,
          idleMs: 9000,
        },
        undefined,
      ],
    ],
  );
  const other = make();
  for (const entry of entries) t.equal(other.load(entry, 50), 'kept');
  const a = other.find(asked('a.example', 'A', { dnssecOk: true, checkingDisabled: true }), 50)!;
  t.same(Buffer.from(a.octets.subarray(0, a.index.end)), Buffer.from(entries[2]!.octets));
  t.not(a.octets.buffer, entries[2]!.octets.buffer, 'a copy');
  t.equal(ageSeconds(a, 50), 9);
  t.equal(a.hits, 1, 'its own and this one');
  t.equal(other.find(asked('a.example'), 50), undefined, 'for its own DO and CD alone');
  const c = other.find(asked('c.example'), 53_050)!;
  t.equal(answerWhileStale(c, 53_050, settings).kind, 'positive', 'an answer hidden by a denial comes along');
  t.equal(other.revision, 0, 'a loaded answer is no reason to write');
});

t.test('entries leave out failures and expired answers', async (t) => {
  const cache = make({ staleForMs: 1000 });
  put(cache, servfail('a.example'), 'a.example', 0);
  cache.noteFailure(asked('b.example'), 0);
  put(cache, positive('c.example', 1), 'c.example', 0);
  put(cache, positive('d.example', 2), 'd.example', 0);
  t.strictSame(given(cache, 2000).map(nameOf), ['d.example']);
});

t.test('entries come used last first: exactly among some hundreds, in steps among thousands', async (t) => {
  for (const count of [300, 20_000]) {
    const cache = make({ sizeOctets: 100 * 1024 * 1024 });
    const used = new Map<string, number>();
    for (let n = 0; n < count; n++) put(cache, positive(`n${n}.example`, 80_000), `n${n}.example`, 0);
    for (let n = 0; n < count; n++) {
      const name = `n${(n * 7919) % count}.example`;
      cache.find(asked(name), 1000 + n);
      used.set(name, 1000 + n);
    }
    const nowMs = 2000 + count;
    const idle = given(cache, nowMs).map((entry) => nowMs - used.get(nameOf(entry))!);
    t.equal(idle.length, count);
    const wrong = idle.filter((ms, at) => at > 0 && ms < idle[at - 1]!).length;
    if (count === 300) t.equal(wrong, 0, 'in order');
    const worst = Math.max(
      ...idle.map((ms, at) => (1000 + Math.max(...idle.slice(Math.max(0, at - 50), at + 1))) / (1000 + ms)),
    );
    t.ok(worst < 1.25, `within a fifth: ${worst.toFixed(3)}`);
  }
});

t.test(
  'whatever happens to the cache while its entries are given: an answer that stays is given once, none twice',
  async (t) => {
    let givenUnderway = 0;
    const act = fc.record({
      what: fc.constantFrom('store', 'find', 'deny', 'resize'),
      n: fc.nat(400),
      every: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(act, { minLength: 1, maxLength: 8 }), (acts) => {
        const cache = make({ sizeOctets: 300 * (ENTRY_OVERHEAD_OCTETS + 100) });
        for (let n = 0; n < 300; n++) put(cache, positive(`n${n}.example`, 80_000), `n${n}.example`, n);
        const before = new Set(given(cache, 1000).map(nameOf));
        const touched = new Set<string>();
        const seen: string[] = [];
        let step = 0;
        for (const entry of cache.entries(1000)) {
          if (entry !== undefined) seen.push(nameOf(entry));
          step++;
          for (const { what, n, every } of acts) {
            if (step % every !== 0) continue;
            const name = `n${n}.example`;
            if (what === 'find') cache.find(asked(name), 1000 + step);
            else touched.add(name);
            if (what === 'store') put(cache, positive(name, 80_000), name, 1000 + step);
            if (what === 'deny') put(cache, nxdomain(name, 50), name, 1000 + step);
            if (what === 'resize') cache.reconfigure({ ...cache.settings, sizeOctets: 500_000 + n });
          }
        }
        if (new Set(seen).size !== seen.length) throw new Error('given twice');
        const after = new Set(given(cache, 1000).map(nameOf));
        for (const name of before) {
          if (after.has(name) && !touched.has(name) && !seen.includes(name))
            throw new Error(`${name} left out`);
        }
        if (step > 3000) throw new Error('it does not end');
        givenUnderway += seen.length;
      }),
      { seed, numRuns: Math.ceil(numRuns / 5) },
    );
    t.ok(givenUnderway > 1000, `${givenUnderway} given`);
  },
);

const entry = (
  octets: Uint8Array,
  kind: AnswerEntry['kind'],
  changed: Partial<AnswerEntry> = {},
): AnswerEntry => ({
  kind,
  octets: octets.subarray(0, indexed(octets).end),
  ageMs: 0,
  lifetimeMs: 60_000,
  dnssecOk: false,
  checkingDisabled: false,
  hits: 0,
  idleMs: 0,
  ...changed,
});

t.test('a loaded answer never replaces an answer that was fetched meanwhile', async (t) => {
  const name = 'www.example.com';
  const old = entry(positive(name, 60, [10, 0, 0, 1]), 'positive', { ageMs: 5000 });
  {
    const cache = make();
    const fetched = put(cache, positive(name, 60, [10, 0, 0, 2]), name, 100);
    t.equal(cache.load(old, 200), 'superseded');
    t.equal(cache.find(asked(name), 200), fetched);
  }
  {
    const cache = make();
    cache.noteFailure(asked(name), 100);
    t.equal(cache.load(old, 200), 'kept', 'a failure is worse than any answer');
    const kept = cache.find(asked(name), 200)!;
    t.equal(kept.kind, 'positive');
    t.equal(kept.nextRecheckMs, 30_100, 'and an upstream need not be asked again so soon');
  }
  {
    const cache = make();
    put(cache, nxdomain(name, 60), name, 100);
    t.equal(cache.load(old, 200), 'kept', 'hidden by a denial');
    t.equal(cache.find(asked(name), 200)?.kind, 'nxdomain', 'which is the truth for its time');
    const stale = cache.find(asked(name), 60_100)!;
    t.equal(answerWhileStale(stale, 60_100, settings).kind, 'positive');
    t.equal(cache.load(old, 200), 'superseded', 'once');
    t.equal(cache.stats().entries, 1);
  }
  {
    const cache = make();
    const first = cache.load(old, 200);
    t.strictSame(
      [first, cache.load({ ...old, ageMs: 0 }, 200)],
      ['kept', 'superseded'],
      'of two loaded the first',
    );
  }
});

t.test(
  'loading evicts nothing, keeps to the bound, and the answer loaded as used last goes last',
  async (t) => {
    const source = make({ sizeOctets: 100 * 1024 * 1024 });
    for (let n = 0; n < 1000; n++) put(source, positive(`n${n}.example`, 80_000), `n${n}.example`, n);
    const entries = given(source, 1000);
    t.equal(nameOf(entries[0]!), 'n999.example');
    const sizeOctets = 100 * (ENTRY_OVERHEAD_OCTETS + 128);
    const cache = make({ sizeOctets });
    put(cache, positive('live.example', 300), 'live.example', 0);
    const verdicts = entries.map((one) => cache.load(one, 2000));
    const kept = verdicts.filter((verdict) => verdict === 'kept').length;
    t.ok(kept >= 95, `${kept} kept`);
    t.strictSame([...new Set(verdicts.slice(kept))], ['full'], 'from then on nothing');
    t.ok(cache.stats().octets <= sizeOctets);
    t.equal(cache.stats().evictions, 0);
    for (const _ of cache.restoreOrder(2000));
    cache.find(asked('live.example'), 2001);
    for (let n = 0; n < 50; n++) put(cache, positive(`new${n}.example`, 300), `new${n}.example`, 3000);
    t.ok(cache.find(asked('n999.example'), 3000), 'used last: still there');
    t.ok(cache.find(asked('live.example'), 3000), 'used meanwhile: still there');
    t.notOk(cache.find(asked(`n${1000 - kept}.example`), 3000), 'used least recently of those loaded: gone');
  },
);

t.test('a snapshot brings back no record that does not belong to its question', async (t) => {
  const foreign = message({
    question: ['a.example', 'A'],
    answers: [
      rawRecord('a.example', 'A', 60, [10, 0, 0, 1]),
      rawRecord('victim.test', 'A', 60, [6, 6, 6, 6]),
    ],
    authorities: [rawRecord('victim.test', 'NS', 60, [0])],
  });
  const cache = make();
  t.equal(cache.load(entry(foreign, 'positive'), 1000), 'kept');
  t.match(cache.find(asked('a.example'), 1000), { index: { answerCount: 1, authorityCount: 0 } });
  const broken = message({
    question: ['b.example', 'A'],
    answers: [rawRecord('b.example', 'A', 60, [10, 0, 0])],
  });
  t.equal(
    cache.load({ ...entry(positive('b.example', 60), 'positive'), octets: broken }, 1000),
    'refused',
    'nor one of a broken shape',
  );
});

t.test('only entries that `entries` can have given are loaded', async (t) => {
  const good = positive('a.example', 60);
  const odd = message({
    question: ['a.example', 'A'],
    answers: [rawRecord('a.example', 'A', 60, [1, 2, 3, 4])],
    additionals: [opt()],
  });
  const earlier = { kind: 'positive', octets: positive('b.example', 60), ageMs: 0, lifetimeMs: 1 } as const;
  const denial = nxdomain('a.example', 60);
  const cases: [it: string, entry: AnswerEntry, want: string][] = [
    ['a good one', entry(good, 'positive'), 'kept'],
    ['no message', { ...entry(good, 'positive'), octets: new Uint8Array(40) }, 'refused'],
    ['no octet', { ...entry(good, 'positive'), octets: new Uint8Array(0) }, 'refused'],
    [
      'a message that goes on after its records',
      { ...entry(good, 'positive'), octets: Buffer.concat([good, good]) },
      'refused',
    ],
    ['a message with OPT', { ...entry(odd, 'positive'), octets: odd }, 'refused'],
    ['another kind than the message has', entry(good, 'nxdomain'), 'refused'],
    ['a failure under another name', entry(servfail('a.example'), 'nodata'), 'refused'],
    ['TC', entry(message({ flags: 0x8380, question: ['a.example', 'A'] }), 'nodata'), 'refused'],
    ['an age below 0', entry(good, 'positive', { ageMs: -1 }), 'refused'],
    ['an age that is none', entry(good, 'positive', { ageMs: Number.NaN }), 'refused'],
    ['a lifetime without end', entry(good, 'positive', { lifetimeMs: Number.POSITIVE_INFINITY }), 'refused'],
    ['an earlier answer to another question', entry(denial, 'nxdomain', { earlier }), 'refused'],
    [
      'an earlier answer hidden by a good one',
      entry(good, 'positive', { earlier: { ...earlier, octets: good } }),
      'refused',
    ],
    [
      'an earlier denial',
      entry(denial, 'nxdomain', { earlier: { ...earlier, kind: 'nxdomain', octets: denial } }),
      'refused',
    ],
    ['older than anybody wants', entry(good, 'positive', { ageMs: 60_000 + settings.staleForMs }), 'expired'],
  ];
  for (const [it, one, want] of cases) t.equal(make().load(one, 1000), want, it);
});

t.test(
  'an entry may be of any octets: it is loaded or refused, never a throw, and a loaded answer can be found',
  async (t) => {
    const base = [positive('a.example', 60), nodata('a.example', 60), nxdomain('a.example', 60)];
    let kept = 0;
    fc.assert(
      fc.property(
        fc.nat(2),
        fc.constantFrom('positive', 'nodata', 'nxdomain'),
        fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }),
        fc.uint8Array({ maxLength: 30 }),
        (which, kind, changes, tail) => {
          const octets = Buffer.concat([base[which]!, tail.length > 25 ? tail : new Uint8Array(0)]);
          for (const [at, octet] of changes) if (at > 2) octets[at] = octet;
          const cache = make();
          const verdict = cache.load({ ...entry(base[0]!, kind), octets }, 1000);
          if (verdict !== 'kept' && verdict !== 'refused') throw new Error(verdict);
          if (verdict === 'refused') return;
          kept++;
          const [back] = given(cache, 1000);
          if (back === undefined || !octets.equals(back.octets)) throw new Error('another answer');
        },
      ),
      { seed, numRuns },
    );
    t.ok(kept > 0, `${kept} kept`);
  },
);

t.test('revision counts what is worth writing, and nothing else', async (t) => {
  const cache = make();
  const steps: [it: string, run: () => unknown, isWorthIt: boolean][] = [
    ['a good answer', () => put(cache, positive('a.example', 60), 'a.example', 0), true],
    ['a look', () => cache.find(asked('a.example'), 1), false],
    ['a failure', () => cache.noteFailure(asked('b.example'), 1), false],
    ['SERVFAIL', () => put(cache, servfail('b.example'), 'b.example', 1), false],
    ['a denial', () => put(cache, nxdomain('a.example', 60), 'a.example', 1), true],
    [
      'what cannot be kept',
      () => put(cache, message({ flags: NXDOMAIN, question: ['a.example', 'A'] }), 'a.example', 1),
      false,
    ],
    ['a prefetch', () => cache.claimPrefetch(cache.find(asked('a.example'), 1)!, 1), false],
    ['flush', () => cache.flush(), true],
  ];
  for (const [it, run, isWorthIt] of steps) {
    const before = cache.revision;
    run();
    t.equal(cache.revision !== before, isWorthIt, it);
  }
  t.strictSame(given(cache, 1), [], 'nothing left');
});
