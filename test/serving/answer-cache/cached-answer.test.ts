/** What a kept answer is found by, which responses are kept and for how long, and what it is good for at a moment. */
import t from 'tap';
import {
  ageSeconds,
  answerWhileStale,
  type CachedAnswer,
  cacheability,
  type FreshnessSettings,
  freshness,
  hasSameQuestion,
  isAnswerTo,
  mayRecheck,
  newAnswer,
  staleExtendedError,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import { failureParts } from '../../../src/serving/answer-cache/segments.ts';
import { type MessageText, message, opt, rawRecord, soaData } from '../../helpers/zone-text.ts';
import { type Aspects, asked, indexed } from './asked.ts';

/** In capitals on the wire, as an upstream may echo it. */
function shouted(name: string, type: string): Buffer {
  const octets = message({ question: [name, type] });
  octets.set(Buffer.from(octets.subarray(12, -5).toString('latin1').toUpperCase(), 'latin1'), 12);
  return octets;
}

const questions: readonly [it: string, octets: Buffer, asked: [name: string, type: string], same: boolean][] =
  [
    ['the same question', message({ question: ['a.example', 'A'] }), ['a.example', 'A'], true],
    ['the name in another case (RFC 4343)', shouted('a.example', 'A'), ['a.example', 'A'], true],
    ['another name of the same length', message({ question: ['b.example', 'A'] }), ['a.example', 'A'], false],
    ['labels cut elsewhere', message({ question: ['a.b', 'A'] }), ['a\\.b', 'A'], false],
    ['a shorter name', message({ question: ['example', 'A'] }), ['a.example', 'A'], false],
    ['another type', message({ question: ['a.example', 'NS'] }), ['a.example', 'A'], false],
    [
      'type 65 and 97, which differ like A and a',
      message({ question: ['a.example', 'TYPE97'] }),
      ['a.example', 'HTTPS'],
      false,
    ],
    ['another class', message({ question: ['a.example', 'A', 3] }), ['a.example', 'A'], false],
    [
      'octets beyond ASCII are compared as they are',
      message({ question: ['\\224', 'A'] }),
      ['\\192', 'A'],
      false,
    ],
    ['the root', message({ question: ['.', 'NS'] }), ['.', 'NS'], true],
  ];

for (const [it, octets, [name, type], same] of questions) {
  t.test(`question: ${it}`, async (t) => {
    t.equal(hasSameQuestion(octets, octets.length, asked(name, type)), same);
  });
}

const aspects: readonly [stored: Aspects, asked: Aspects, same: boolean][] = [
  [{}, { dnssecOk: false }, true],
  [{}, { dnssecOk: true }, false],
  [{ dnssecOk: true }, {}, false],
  [{ dnssecOk: true }, { dnssecOk: true }, true],
  [{}, { checkingDisabled: true }, false],
  [{ checkingDisabled: true }, {}, false],
  [{ checkingDisabled: true }, { checkingDisabled: true }, true],
];

for (const [stored, now, same] of aspects) {
  t.test(`stored with ${JSON.stringify(stored)}, asked with ${JSON.stringify(now)}`, async (t) => {
    const query = asked('a.example', 'A', stored);
    const parts = { kind: 'failure', ...failureParts(query), lifetimeMs: 1, earlier: undefined } as const;
    t.equal(isAnswerTo(newAnswer(0, query, parts, 0), asked('a.example', 'A', now)), same);
  });
}

const ttlSettings = { maxTtlSeconds: 86_400, negativeTtlSeconds: 60 };

const a = (ttl: number) => rawRecord('a.example', 'A', ttl, [10, 0, 0, 1]);
const cname = (ttl: number) => rawRecord('a.example', 'CNAME', ttl, [1, 0x62, 0]);
const soa = (ttl: number, minimum: number) => rawRecord('example', 'SOA', ttl, soaData(minimum));
const ns = (ttl: number) => rawRecord('example', 'NS', ttl, [1, 0x6e, 0]);
const question = ['a.example', 'A'] as const;

interface Case {
  readonly it: string;
  readonly message: Omit<MessageText, 'question'> & { readonly question?: MessageText['question'] };
  readonly kept: string;
}

/** `kept` is `kind lifetime cap`, or `none: reason`. */
const cases: readonly Case[] = [
  { it: 'an answer lives for its TTL', message: { answers: [a(300)] }, kept: 'positive 300 86400' },
  {
    it: 'the smallest TTL of answer and authority counts (RFC 2181 section 5.2 and 8)',
    message: { answers: [a(300), a(120)], authorities: [ns(90)] },
    kept: 'positive 90 86400',
  },
  {
    it: 'a TTL in the additional section does not count',
    message: { answers: [a(300)], additionals: [rawRecord('n', 'A', 5, [1, 2, 3, 4])] },
    kept: 'positive 300 86400',
  },
  { it: 'a TTL is capped at maxTtl', message: { answers: [a(604_800)] }, kept: 'positive 86400 86400' },
  {
    it: 'TTL 0 is for this transaction only (RFC 1035 section 3.2.1): stale from the start',
    message: { answers: [a(0)] },
    kept: 'positive 0 86400',
  },
  {
    it: 'a TTL with its top bit set is a long one (RFC 8767 section 4)',
    message: { answers: [a(0x8000_0000)] },
    kept: 'positive 86400 86400',
  },
  {
    it: 'in a denial, too',
    message: { flags: 0x8183, authorities: [soa(0xffff_ffff, 0x8000_0000)] },
    kept: 'nxdomain 60 60',
  },
  {
    it: 'an alias with its target counts as an answer',
    message: { answers: [cname(200), rawRecord('b', 'A', 100, [1, 2, 3, 4])] },
    kept: 'positive 100 86400',
  },
  {
    it: 'an alias asked for itself is the answer',
    message: { question: ['a.example', 'CNAME'], answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'ANY is answered by any record',
    message: { question: ['a.example', 'ANY'], answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'an alias without target and without SOA is kept: the target is asked for whenever it is given',
    message: { answers: [cname(200)] },
    kept: 'positive 200 86400',
  },
  {
    it: 'an alias whose target has no such type is NODATA (RFC 2308 section 2.2)',
    message: { answers: [cname(40)], authorities: [soa(300, 300)] },
    kept: 'nodata 40 40',
  },
  { it: 'a referral is not kept', message: { authorities: [ns(300)] }, kept: 'none: no soa' },
  {
    it: 'NODATA lives for the SOA MINIMUM where that is smaller than its TTL (RFC 2308 section 5)',
    message: { authorities: [soa(50, 20)] },
    kept: 'nodata 20 20',
  },
  {
    it: 'NODATA lives for the TTL of the SOA where that is smaller than MINIMUM (RFC 2308 section 5)',
    message: { authorities: [soa(20, 50)] },
    kept: 'nodata 20 20',
  },
  {
    it: 'negative answers are capped at negativeTtl',
    message: { authorities: [soa(900, 900)] },
    kept: 'nodata 60 60',
  },
  {
    it: 'NODATA without SOA is not kept (RFC 2308 section 5)',
    message: {},
    kept: 'none: no soa',
  },
  {
    it: 'NXDOMAIN with SOA is kept',
    message: { flags: 0x8183, authorities: [soa(30, 900)] },
    kept: 'nxdomain 30 30',
  },
  {
    it: 'NXDOMAIN at the end of an alias is kept, not longer than the alias (RFC 2308 section 2.1)',
    message: { flags: 0x8183, answers: [cname(7)], authorities: [soa(30, 900)] },
    kept: 'nxdomain 7 7',
  },
  {
    it: 'NXDOMAIN without SOA is not kept (RFC 2308 section 5)',
    message: { flags: 0x8183 },
    kept: 'none: no soa',
  },
  {
    it: 'an SOA in the answer section is no ground for a negative answer',
    message: { question: ['example', 'A'], answers: [soa(300, 300)] },
    kept: 'none: no soa',
  },
  {
    it: 'MINIMUM 0 is stale from the start',
    message: { flags: 0x8183, authorities: [soa(30, 0)] },
    kept: 'nxdomain 0 0',
  },
  { it: 'SERVFAIL is kept for 5 s (RFC 9520)', message: { flags: 0x8182 }, kept: 'failure' },
  {
    it: 'SERVFAIL is a failure whatever it carries',
    message: { flags: 0x8182, answers: [a(300)] },
    kept: 'failure',
  },
  {
    it: 'TC is not kept, whatever it carries (RFC 2181 section 9)',
    message: { flags: 0x8380, answers: [a(300)] },
    kept: 'none: truncated',
  },
  {
    it: 'SERVFAIL with TC is not kept',
    message: { flags: 0x8382 },
    kept: 'none: truncated',
  },
  { it: 'FORMERR is not kept', message: { flags: 0x8181 }, kept: 'none: rcode' },
  { it: 'NOTIMP is not kept', message: { flags: 0x8184 }, kept: 'none: rcode' },
  { it: 'REFUSED is not kept', message: { flags: 0x8185, answers: [a(300)] }, kept: 'none: rcode' },
  { it: 'YXDOMAIN is not kept', message: { flags: 0x8186, answers: [a(300)] }, kept: 'none: rcode' },
  {
    it: 'an extended RCODE is read with its upper bits: BADVERS is not NOERROR (RFC 6891 section 6.1.3)',
    message: { flags: 0x8180, answers: [a(300)], additionals: [opt({ extendedRcode: 1 })] },
    kept: 'none: rcode',
  },
];

for (const { it, message: parts, kept } of cases) {
  t.test(it, async (t) => {
    const verdict = cacheability(indexed(message({ question, ...parts })), ttlSettings);
    t.equal(
      verdict.kind === 'failure'
        ? 'failure'
        : verdict.kind === 'none'
          ? `none: ${verdict.reason}`
          : `${verdict.kind} ${verdict.lifetimeSeconds} ${verdict.maxTtlSeconds}`,
      kept,
    );
  });
}

const DAY = 86_400_000;
const freshnessSettings: FreshnessSettings = { staleForMs: DAY, prefetch: true };

/** An answer stored at 1,000,000 ms that lives for 100 s. */
function answer(changed: Partial<CachedAnswer> = {}): CachedAnswer {
  const query = asked('a.example');
  const parts = {
    kind: 'positive',
    ...failureParts(query),
    lifetimeMs: 100_000,
    earlier: undefined,
  } as const;
  return { ...newAnswer(0, query, parts, 1_000_000), ...changed };
}

const stored = 1_000_000;
const expires = 1_100_000;

const moments: readonly [
  it: string,
  answer: Partial<CachedAnswer>,
  atMs: number,
  freshnessSettings: Partial<FreshnessSettings>,
  want: string,
][] = [
  ['fresh when stored', {}, stored, {}, 'fresh'],
  ['fresh in the last millisecond of its lifetime', {}, expires - 1, {}, 'fresh'],
  ['stale at the end of its lifetime', {}, expires, {}, 'stale'],
  ['stale in the last millisecond of staleFor', {}, expires + DAY - 1, {}, 'stale'],
  ['expired after staleFor', {}, expires + DAY, {}, 'expired'],
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
    'an NXDOMAIN is usable while the good answer that it hides is',
    { kind: 'nxdomain', lifetimeMs: 1, earlier: answer() },
    expires + DAY - 1,
    {},
    'stale',
  ],
];

for (const [it, changed, atMs, changedSettings, want] of moments) {
  t.test(it, async (t) => {
    t.equal(freshness(answer(changed), atMs, { ...freshnessSettings, ...changedSettings }), want);
  });
}

t.test('the answer given for a stale one', async (t) => {
  const good = answer();
  const denial = answer({ kind: 'nxdomain', earlier: good });
  t.equal(answerWhileStale(good, expires, freshnessSettings), good, 'itself');
  t.equal(
    answerWhileStale(denial, expires, freshnessSettings),
    good,
    'the good answer that an NXDOMAIN hides',
  );
  t.equal(
    answerWhileStale(denial, expires + DAY, freshnessSettings),
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
