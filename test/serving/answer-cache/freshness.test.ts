import t from 'tap';
import {
  ageSeconds,
  answerWhileStale,
  type CachedAnswer,
  cachedAnswer,
  type FreshnessSettings,
  failureParts,
  freshness,
  mayRecheck,
  staleExtendedError,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import { asked } from './asked.ts';

const DAY = 86_400_000;
const settings: FreshnessSettings = { staleForMs: DAY, prefetch: true };

/** An answer stored at 1,000,000 ms that lives for 100 s. */
function answer(changed: Partial<CachedAnswer> = {}): CachedAnswer {
  const query = asked('a.example');
  const parts = {
    kind: 'positive',
    ...failureParts(query),
    lifetimeMs: 100_000,
    earlier: undefined,
  } as const;
  return { ...cachedAnswer(query, 0, parts, 1_000_000), ...changed };
}

const stored = 1_000_000;
const expires = 1_100_000;

const cases: readonly [
  it: string,
  answer: Partial<CachedAnswer>,
  atMs: number,
  settings: Partial<FreshnessSettings>,
  want: string,
][] = [
  ['fresh when stored', {}, stored, {}, 'fresh'],
  ['fresh in the last millisecond of its lifetime', {}, expires - 1, {}, 'fresh'],
  ['stale at the end of its lifetime', {}, expires, {}, 'stale'],
  ['stale in the last millisecond of staleFor', {}, expires + DAY - 1, {}, 'stale'],
  ['expired behind staleFor', {}, expires + DAY, {}, 'expired'],
  ['expired at once where staleFor is 0', {}, expires, { staleForMs: 0 }, 'expired'],
  [
    'stale after a century where staleFor is unlimited',
    {},
    expires + 36_500 * DAY,
    { staleForMs: Number.POSITIVE_INFINITY },
    'stale',
  ],
  ['due for prefetch in the last 10 % with 2 hits', { hits: 2 }, expires - 10_000, {}, 'prefetch'],
  ['not due before the last 10 %', { hits: 2 }, expires - 10_001, {}, 'fresh'],
  ['not due with 1 hit', { hits: 1 }, expires - 1, {}, 'fresh'],
  ['not due where prefetch is off', { hits: 9 }, expires - 1, { prefetch: false }, 'fresh'],
  ['not due while another prefetch runs', { hits: 9, nextPrefetchMs: expires }, expires - 1, {}, 'fresh'],
  ['not due after a failed refresh', { hits: 9, nextRecheckMs: expires }, expires - 1, {}, 'fresh'],
  ['a denial is prefetched too', { kind: 'nxdomain', hits: 2 }, expires - 1, {}, 'prefetch'],
  ['a failure is not prefetched', { kind: 'failure', hits: 9 }, expires - 1, {}, 'fresh'],
  ['a failure is never stale (RFC 9520)', { kind: 'failure' }, expires, {}, 'expired'],
  ['NODATA goes stale', { kind: 'nodata' }, expires, {}, 'stale'],
  ['NXDOMAIN goes stale', { kind: 'nxdomain' }, expires, {}, 'stale'],
  [
    'an NXDOMAIN is usable for as long as the good answer behind it is',
    { kind: 'nxdomain', lifetimeMs: 1, earlier: answer() },
    expires + DAY - 1,
    {},
    'stale',
  ],
];

for (const [it, changed, atMs, changedSettings, want] of cases) {
  t.test(it, async (t) => {
    t.equal(freshness(answer(changed), atMs, { ...settings, ...changedSettings }), want);
  });
}

t.test('what is given for a stale answer', async (t) => {
  const good = answer();
  const denial = answer({ kind: 'nxdomain', earlier: good });
  t.equal(answerWhileStale(good, expires, settings), good, 'itself');
  t.equal(answerWhileStale(denial, expires, settings), good, 'the good answer behind an NXDOMAIN');
  t.equal(
    answerWhileStale(denial, expires + DAY, settings),
    denial,
    'the NXDOMAIN once the good answer has had its time',
  );
  t.equal(staleExtendedError(good), 3, 'stale answer (RFC 8914 section 4.4)');
  t.equal(staleExtendedError(answer({ kind: 'nodata' })), 3);
  t.equal(staleExtendedError(denial), 19, 'stale NXDOMAIN answer (RFC 8914 section 4.20)');
});

t.test('a stale answer may be rechecked from nextRecheckMs on (RFC 8767 section 5)', async (t) => {
  const failed = answer({ nextRecheckMs: expires + 30_000 });
  t.notOk(mayRecheck(failed, expires + 29_999));
  t.ok(mayRecheck(failed, expires + 30_000));
  t.ok(mayRecheck(answer(), expires), 'where nothing failed at once');
});

t.test('age counts whole seconds, is below the lifetime while fresh, and never negative', async (t) => {
  const ages = [-5000, -1, 0, 999, 1000, 1001, 99_999].map((ms) => ageSeconds(answer(), stored + ms));
  t.same(ages, [0, 0, 0, 0, 1, 1, 99]);
});
