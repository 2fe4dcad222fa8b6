import t from 'tap';
import { writePatchedReply } from '../../../src/protocol/wire/reply.ts';
import { TYPE } from '../../../src/protocol/words/codes.ts';
import { AnswerCache } from '../../../src/serving/answer-cache/answer-cache.ts';
import {
  ageSeconds,
  answerWhileStale,
  ENTRY_OVERHEAD_OCTETS,
  freshness,
  mayRecheck,
  staleExtendedError,
} from '../../../src/serving/answer-cache/cached-answer.ts';
import type { RetainedAnswer } from '../../../src/serving/answer-cache/retained-answers.ts';
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

const name = 'registry.example';
const MONTH = 30 * 86_400_000;
const of = (octets: Uint8Array, rest: Partial<RetainedAnswer> = {}): RetainedAnswer => ({
  message: octets,
  ageMs: 0,
  ...rest,
});
const make = () => new AnswerCache(settings);

t.test('a retained answer is fresh for its TTL, then stale, and never anything else', async (t) => {
  const cache = make();
  t.equal(cache.retain(name, TYPE.A, of(positive(name, 300)), 1000), 300_000, 'how long it is fresh');
  const answer = cache.find(asked(name), 1000)!;
  t.equal(freshness(answer, 1000, settings), 'fresh');
  t.equal(ageSeconds(answer, 201_000), 200);
  for (let i = 0; i < 5; i++) cache.find(asked(name), 1000);
  t.equal(freshness(answer, 300_999, settings), 'fresh', 'no prefetch: somebody else asks');
  t.equal(freshness(answer, 301_000, settings), 'stale');
  const later = 301_000 + 12 * MONTH;
  const old = cache.find(asked(name), later);
  t.equal(old, answer, 'a year later');
  t.equal(freshness(answer, later, { ...settings, staleForMs: 0 }), 'stale', 'whatever holds for others');
  t.notOk(mayRecheck(answer, later), 'and nobody has to wait for an upstream first');
  t.equal(answerWhileStale(answer, later, settings), answer);
  t.equal(staleExtendedError(answer), 3);
});

t.test('nothing takes it away: no flood, no flush, no new size, no failure, no other answer', async (t) => {
  const cache = new AnswerCache({ ...settings, sizeOctets: 5 * ENTRY_OVERHEAD_OCTETS });
  cache.retain(name, TYPE.A, of(positive(name, 300)), 0);
  const answer = cache.find(asked(name), 0);
  for (let n = 0; n < 100; n++)
    cache.store(
      asked(`n${n}.example`),
      positive(`n${n}.example`, 60),
      indexed(positive(`n${n}.example`, 60)),
      0,
    );
  t.ok(cache.stats().evictions > 50);
  cache.flush();
  cache.reconfigure({ ...settings, sizeOctets: 0, staleForMs: 0 });
  cache.noteFailure(asked(name), 400_000);
  cache.store(asked(name), servfail(name), indexed(servfail(name)), 400_000);
  cache.store(
    asked(name),
    positive(name, 60, [10, 9, 9, 9]),
    indexed(positive(name, 60, [10, 9, 9, 9])),
    400_000,
  );
  t.equal(cache.find(asked(name), 400_000), answer);
  t.strictSame(
    [...cache.entries(400_000)].filter(Boolean).map((entry) => entry?.kind),
    [],
    'and it is in no snapshot',
  );
  t.equal(cache.stats().octets, 0, 'nor under the bound');
});

t.test('it answers its own question alone, in any case, with or without DO and CD', async (t) => {
  const cache = make();
  cache.retain(name, TYPE.A, of(positive(name, 300)), 0);
  const answer = cache.find(asked(name), 0);
  t.ok(answer);
  for (const aspects of [
    { upperCase: true },
    { dnssecOk: true },
    { checkingDisabled: true },
    { dnssecOk: true, checkingDisabled: true },
  ]) {
    t.equal(cache.find(asked(name, 'A', aspects), 0), answer, JSON.stringify(aspects));
  }
  t.strictSame(cache.giveRetained(asked(name), 5000), {
    answer,
    ttl: { ageSeconds: 5 },
    extendedError: undefined,
  });
  t.strictSame(cache.giveRetained(asked(name), MONTH), { answer, ttl: { ttlSeconds: 30 }, extendedError: 3 });
  const octets = positive('other.example', 60);
  cache.store(asked('other.example'), octets, indexed(octets), 0);
  t.ok(cache.find(asked('other.example'), 0));
  t.equal(cache.giveRetained(asked('other.example'), 0), undefined, 'what is merely cached is not retained');
  for (const other of [
    asked(name, 'AAAA'),
    asked('example'),
    asked(`a.${name}`),
    asked(name, 'A', { qclass: 3 }),
  ]) {
    t.equal(cache.find(other, 0), undefined);
  }
});

t.test(
  'where signatures make a difference, who asks with DO gets them (RFC 4035 section 3.2.1)',
  async (t) => {
    const cache = make();
    const signed = message({
      question: [name, 'A'],
      answers: [rawRecord(name, 'A', 100, [10, 0, 0, 1]), rawRecord(name, 'RRSIG', 100, new Uint8Array(40))],
      additionals: [opt({ doBit: true })],
    });
    t.equal(
      cache.retain(name, TYPE.A, of(positive(name, 300), { signedMessage: signed }), 0),
      100_000,
      'the shorter time',
    );
    t.equal(cache.find(asked(name), 0)?.index.answerCount, 1);
    t.equal(cache.find(asked(name, 'A', { dnssecOk: false }), 0)?.index.answerCount, 1);
    const withDo = cache.find(asked(name, 'A', { dnssecOk: true }), 0)!;
    t.equal(withDo.index.answerCount, 2);
    const reply = new Uint8Array(512);
    const query = asked(name, 'A', { dnssecOk: true });
    const options = { ttl: { ttlSeconds: 30 }, extendedError: 3, trustAuthenticatedData: false, limit: 512 };
    const length = writePatchedReply(query, withDo.octets, withDo.index, options, reply, 0);
    t.match(
      indexed(reply.slice(0, length)),
      { answerCount: 2, hasEdns: true, additionalCount: 0 },
      'one OPT, ours',
    );
  },
);

t.test('a denial hides the answer before it while it is fresh, and no longer', async (t) => {
  for (const [kind, denial, seconds] of [
    ['nxdomain', nxdomain(name, 900), 60],
    ['nodata', nodata(name, 40), 40],
  ] as const) {
    const cache = make();
    const earlier = of(positive(name, 300), { ageMs: MONTH });
    t.equal(cache.retain(name, TYPE.A, of(denial, { earlier }), 0), seconds * 1000);
    const fresh = cache.find(asked(name), 0)!;
    t.strictSame([fresh.kind, freshness(fresh, 0, settings)], [kind, 'fresh']);
    const stale = cache.find(asked(name), 12 * MONTH)!;
    t.equal(freshness(stale, 12 * MONTH, settings), 'stale');
    t.equal(answerWhileStale(stale, 12 * MONTH, settings).kind, 'positive');
  }
});

t.test('an answer of unknown age is stale from the start', async (t) => {
  const cache = make();
  cache.retain(name, TYPE.A, of(positive(name, 86_400), { ageMs: Number.POSITIVE_INFINITY }), 5);
  t.equal(freshness(cache.find(asked(name), 5)!, 5, settings), 'stale');
});

t.test(
  'what is retained though it could not be cached: fresh until it could have been asked for again',
  async (t) => {
    const cases: [it: string, octets: Uint8Array, kind: string][] = [
      ['TTL 0', positive(name, 0), 'positive'],
      ['TTL 9', positive(name, 9), 'positive'],
      ['a denial of a TTL of 0', nodata(name, 0), 'nodata'],
      ['nothing at all, without SOA', message({ question: [name, 'A'] }), 'nodata'],
    ];
    for (const [it, octets, kind] of cases) {
      const cache = make();
      t.equal(cache.retain(name, TYPE.A, of(octets), 0), 10_000, it);
      const found = cache.find(asked(name), 0)!;
      t.strictSame([found.kind, freshness(found, 9999, settings)], [kind, 'fresh'], it);
      t.equal(freshness(found, 10_000, settings), 'stale', it);
    }
  },
);

t.test('what is no answer to the question is refused, and the one before stays', async (t) => {
  const referral = message({ question: [name, 'A'], authorities: [rawRecord('example', 'NS', 60, [0])] });
  const cases: [it: string, octets: Uint8Array][] = [
    ['another name', positive('registry2.example', 60)],
    [
      'another type',
      message({ question: [name, 'AAAA'], answers: [rawRecord(name, 'AAAA', 60, new Uint8Array(16))] }),
    ],
    ['SERVFAIL', servfail(name)],
    ['REFUSED', message({ flags: 0x8185, question: [name, 'A'] })],
    ['TC', message({ flags: 0x8380, question: [name, 'A'] })],
    ['a referral', referral],
    ['NXDOMAIN without SOA', message({ flags: NXDOMAIN, question: [name, 'A'] })],
    ['no message', new Uint8Array(30)],
    ['a query', message({ flags: 0x0100, question: [name, 'A'] })],
  ];
  for (const [it, octets] of cases) {
    const cache = make();
    cache.retain(name, TYPE.A, of(positive(name, 300)), 0);
    const before = cache.find(asked(name), 0);
    t.equal(cache.retain(name, TYPE.A, of(octets), 1), undefined, it);
    t.equal(cache.find(asked(name), 1), before, `${it}: the one before`);
    t.equal(
      cache.retain(name, TYPE.A, of(positive(name, 300), { signedMessage: octets }), 1),
      undefined,
      `${it}, signed`,
    );
  }
});

t.test('many questions, two of one hash among them, are kept apart, replaced and released', async (t) => {
  const cache = make();
  const [first, second] = collidingNames();
  const names = [first, second, name];
  const address = (n: number, generation: number) => [10, generation, 0, n];
  for (const generation of [1, 2]) {
    for (const [n, each] of names.entries())
      cache.retain(each, TYPE.A, of(positive(each, 60, address(n, generation))), 0);
    for (const [n, each] of names.entries()) {
      const octets = cache.find(asked(each), 0)!.octets;
      t.strictSame([...octets.subarray(-4)], address(n, generation), `${each}, generation ${generation}`);
    }
  }
  cache.release(first, TYPE.A);
  t.equal(cache.find(asked(first), 0), undefined);
  t.ok(cache.find(asked(second), 0), 'the other one stays');
  cache.release(first, TYPE.A);
  cache.release(name, TYPE.AAAA);
  t.ok(cache.find(asked(name), 0), 'another type is another question');
  cache.store(asked(first), positive(first, 60), indexed(positive(first, 60)), 0);
  t.equal(cache.find(asked(first), 0)?.isRetained, false, 'one like any other again');
});
