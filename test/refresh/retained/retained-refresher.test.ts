import t from 'tap';
import { message, opt, rawRecord, rrsigData } from '../../helpers/zone-text.ts';
import { readReply } from '../../serving/resolver/messages.ts';
import { addresses, benchFor, denial, lastOctets, question } from './scripted-upstream.ts';

const name = 'registry.example';
const A = question(name);
const NXDOMAIN = 0x8183;

t.test(
  'a name is asked for at four fifths of its lifetime, 5 s before its end at the latest, within 5 s and 1 h, even if no client asks',
  async (t) => {
    const cases: [ttlSeconds: number, seconds: number][] = [
      [0, 5],
      [5, 5],
      [10, 5],
      [20, 15],
      [30, 24],
      [60, 48],
      [300, 240],
      [3600, 2880],
      [86_400, 3600],
    ];
    for (const [ttlSeconds, seconds] of cases) {
      const own = benchFor([A]);
      own.answer = () => addresses(name, ttlSeconds, 1);
      own.refresher.start();
      await own.time.advance(seconds * 1000 * 4);
      const times = own.asked.map(({ atMs }) => atMs);
      t.equal(times[0], 500, 'within a second of the start');
      t.strictSame(
        times.slice(1, 4).map((ms, at) => ms - times[at]!),
        [seconds, seconds, seconds].map((s) => s * 1000),
        `TTL ${ttlSeconds}`,
      );
      await own.stop();
    }
  },
);

t.test('chance spreads the times by a tenth and never beyond the bounds', async (t) => {
  for (const [fraction, ttlSeconds, wantMs] of [
    [0, 300, 216_000],
    [0.999, 300, 263_952],
    [0, 5, 5_000],
    [0.999, 20, 15_000],
    [0.999, 86_400, 3_600_000],
  ] as const) {
    const bench = benchFor([A], { fraction: () => fraction });
    bench.answer = () => addresses(name, ttlSeconds, 1);
    bench.refresher.start();
    await bench.time.advance(2 * wantMs + 2000);
    t.equal(Math.round(bench.asked[1]!.atMs - bench.asked[0]!.atMs), wantMs, `${fraction} ${ttlSeconds}`);
  }
});

t.test('one exchange serves queries with and without DO (RFC 4035 section 3.2.1)', async (t) => {
  const bench = benchFor([A, question('signed.example')]);
  const signed = message({
    question: ['signed.example', 'A'],
    answers: [
      rawRecord('signed.example', 'RRSIG', 60, rrsigData()),
      rawRecord('signed.example', 'A', 60, [10, 0, 0, 7]),
    ],
    additionals: [opt({ doBit: true })],
  });
  bench.answer = (of) => (of === name ? addresses(name, 60, 1) : signed);
  bench.refresher.start();
  await bench.time.advance(1000);
  t.strictSame(bench.asked.map(({ text }) => text).sort(), ['registry.example A DO', 'signed.example A DO']);
  t.equal(bench.published.get(`${name} A`)?.signedMessage, undefined);
  t.equal(bench.published.get('signed.example A')?.signedMessage, signed);
  t.match(readReply(bench.published.get('signed.example A')!.message), {
    answers: [{ type: 'A', data: '10.0.0.7' }],
  });
  const { signedMessage } = bench.refresher.records().find((record) => record.name === 'signed.example')!;
  t.equal(signedMessage, signed, 'both are kept');
});

t.test(
  'an upstream that has no use for DO is asked without it; a silent one is not asked twice',
  async (t) => {
    const bench = benchFor([A]);
    for (const [what, withDo] of [
      ['SERVFAIL', message({ flags: 0x8182, question: [name, 'A'] })],
      ['an answer that is too large', addresses(name, 60, ...new Array<number>(250).fill(1))],
      [
        'half an alias',
        message({ question: [name, 'A'], answers: [rawRecord(name, 'CNAME', 60, [1, 0x78, 0])] }),
      ],
    ] as const) {
      bench.answer = (of, _type, dnssecOk) => (dnssecOk ? withDo : addresses(of, 60, 7));
      bench.published.clear();
      bench.refresher.kick('test', 'all');
      bench.refresher.start();
      await bench.time.advance(2000);
      t.strictSame(lastOctets(bench.published.get(`${name} A`)?.message), [7], what);
    }
    bench.answer = () => 'no reply';
    bench.asked.length = 0;
    bench.refresher.kick('test', 'all');
    await bench.time.advance(2000);
    t.strictSame(
      bench.asked.map(({ text }) => text),
      ['registry.example A DO'],
    );
  },
);

t.test('an empty answer is believed after 10 min of repetition, and a cut begins them again', async (t) => {
  const bench = benchFor([A]);
  bench.answer = () => addresses(name, 60, 1);
  bench.refresher.start();
  await bench.time.advance(2_000);
  bench.answer = () => denial(name, 'A', 60);
  await bench.time.advance(500_000);
  const given = () => bench.published.get(`${name} A`)?.message;
  t.strictSame(lastOctets(given()), [1]);
  t.match(bench.refresher.snapshot(), {
    questions: [{ state: 'denied', doubtedAgoMs: Number }],
    all: { denied: 1, denialsIgnored: bench.refresher.snapshot().questions[0]!.stats.denialsIgnored },
  });
  t.ok(bench.refresher.snapshot().all.denialsIgnored > 5);
  bench.answer = () => 'no reply';
  await bench.time.advance(3_600_000);
  t.match(bench.refresher.snapshot(), { questions: [{ state: 'stale' }] });
  bench.answer = () => denial(name, 'A', 60);
  bench.refresher.kick('back');
  await bench.time.advance(500_000);
  t.strictSame(lastOctets(given()), [1], 'an empty zone after a reconnect');
  await bench.time.advance(300_000);
  t.equal(given()?.length, denial(name, 'A', 60).length, 'believed at last');
  t.match(bench.refresher.snapshot().questions[0], { state: 'fresh', doubtedAgoMs: undefined });
});

t.test(
  'ignoreDenials: a good answer outlives every denial of a live upstream, and a reload decides again',
  async (t) => {
    const bench = benchFor([{ ...A, ignoreDenials: true }]);
    bench.answer = () => addresses(name, 60, 1);
    bench.refresher.start();
    await bench.time.advance(2_000);
    bench.answer = () => denial(name, 'A', 60, NXDOMAIN);
    await bench.time.advance(86_400_000);
    const given = () => bench.published.get(`${name} A`)?.message;
    t.strictSame(lastOctets(given()), [1]);
    t.match(bench.refresher.records(), [{ name, qtype: 1 }]);
    t.match(bench.refresher.snapshot().questions[0], { state: 'denied' });
    await bench.refresher.reconfigure([A]);
    await bench.time.advance(120_000);
    t.equal(given()?.length, denial(name, 'A', 60).length);
  },
);

t.test(
  "an upstream's stale answer confirms nothing, and is taken only where no answer is known",
  async (t) => {
    const stale = (extendedError: number, ...last: number[]) =>
      message({
        question: [name, 'A'],
        answers: last.map((octet) => rawRecord(name, 'A', 30, [10, 0, 0, octet])),
        additionals: [opt({ options: [0, 15, 0, 2, 0, extendedError] })],
      });
    const bench = benchFor([A]);
    bench.answer = () => stale(3, 9);
    bench.refresher.start();
    await bench.time.advance(1000);
    t.strictSame(lastOctets(bench.published.get(`${name} A`)?.message), [9], 'better than no answer');
    bench.answer = () => addresses(name, 300, 1, 2);
    await bench.time.advance(60_000);
    t.match(bench.refresher.snapshot().questions, [{ state: 'fresh', consecutiveFailures: 0 }]);
    for (const [error, last] of [
      [3, [7]],
      [19, []],
    ] as const) {
      bench.answer = () => stale(error, ...last);
      await bench.time.advance(900_000);
      t.strictSame(lastOctets(bench.published.get(`${name} A`)?.message), [1, 2], `extended error ${error}`);
      t.match(bench.refresher.snapshot().questions, [
        { state: 'stale', lastFailure: { detail: 'the upstream gave a stale answer' } },
      ]);
    }
  },
);

t.test('a failure takes nothing away, and is tried again after 5 s, doubling up to 2 min', async (t) => {
  const bench = benchFor([A]);
  bench.answer = () => addresses(name, 300, 1, 2);
  bench.refresher.start();
  await bench.time.advance(1000);
  bench.answer = () => 'no reply';
  await bench.time.advance(900_000);
  const times = bench.asked.slice(1).map(({ atMs }) => atMs / 1000);
  t.strictSame(
    times.slice(1).map((s, at) => s - times[at]!),
    [5, 10, 20, 40, 80, 120, 120, 120, 120],
  );
  t.strictSame(lastOctets(bench.published.get(`${name} A`)?.message), [1, 2]);
  t.match(bench.refresher.snapshot().questions, [
    {
      name,
      type: 'A',
      state: 'stale',
      consecutiveFailures: 10,
      lastFailure: { detail: 'no reply' },
      stats: { asked: 11, failed: 10 },
    },
  ]);
  bench.answer = () => addresses(name, 300, 3);
  await bench.time.advance(120_000);
  t.match(bench.refresher.snapshot().questions, [{ state: 'fresh', consecutiveFailures: 0 }]);
  t.strictSame(lastOctets(bench.published.get(`${name} A`)?.message), [3]);
  const warnings = bench.log.lines.filter(({ level }) => level !== 'debug').map(({ text }) => text);
  t.strictSame(warnings, [
    'a retained name cannot be refreshed: its last answer is given',
    'all retained names can be refreshed again',
  ]);
});

t.test(
  'every outcome that is no answer is a failure: a bug of the asker, one that never ends, one that is refused',
  async (t) => {
    const refusing = benchFor([A], { publish: () => undefined });
    refusing.answer = () => addresses(name, 60, 1);
    const cases: [
      it: string,
      bench: ReturnType<typeof benchFor>,
      answer: () => never | Promise<never> | Uint8Array,
      want: string,
    ][] = [
      [
        'throws',
        benchFor([A]),
        () => {
          throw new Error('a bug');
        },
        'a bug',
      ],
      ['never settles', benchFor([A]), () => new Promise<never>(() => {}), 'no outcome within 15 s'],
      ['SERVFAIL', benchFor([A]), () => message({ flags: 0x8182, question: [name, 'A'] }), 'SERVFAIL'],
      ['refused by who answers', refusing, () => addresses(name, 60, 1), 'not an answer to the question'],
    ];
    for (const [it, bench, answer, want] of cases) {
      bench.answer = answer;
      bench.refresher.start();
      await bench.time.advance(40_000);
      const [one] = bench.refresher.snapshot().questions;
      t.match(one, { state: 'unknown', lastFailure: { detail: want } }, it);
      t.ok((one?.stats.failed ?? 0) >= 2, `${it}: tried again`);
      t.strictSame(bench.refresher.records(), [], it);
      await bench.stop();
    }
  },
);

t.test(
  'a returning link: all that failed or grew stale is asked for within a second, what is fresh is left alone',
  async (t) => {
    const names = Array.from({ length: 100 }, (_, n) => `n${n}.example`);
    let draws = 0;
    const bench = benchFor([...names.map((each) => question(each)), question('fresh.example')], {
      fraction: () => (draws++ * 0.618) % 1,
    });
    bench.answer = (of) => addresses(of, of === 'fresh.example' ? 80_000 : 60, 1);
    bench.refresher.start();
    await bench.time.advance(10_000);
    bench.answer = () => 'no reply';
    await bench.time.advance(1_000_000);
    const before = bench.asked.length;
    const cutAt = bench.time.monotonicMs();
    bench.answer = (of) => addresses(of, 60, 2);
    bench.refresher.kick('upstream reachable again');
    await bench.time.advance(1000);
    const since = bench.asked.slice(before);
    t.strictSame(
      [...new Set(since.map(({ text }) => text))].sort(),
      names.map((each) => `${each} A DO`).sort(),
    );
    t.equal(since.length, 100, 'each once');
    const spread = new Set(since.map(({ atMs }) => Math.floor((atMs - cutAt) / 100)));
    t.ok(spread.size > 5, `spread over ${spread.size} tenths of a second`);
    t.ok(bench.refresher.snapshot().questions.every(({ state }) => state === 'fresh'));
    bench.refresher.kick('configuration reloaded', 'all');
    await bench.time.advance(1000);
    t.equal(bench.asked.length, before + 100 + 101, 'all: what is fresh as well');
  },
);

t.test('no more than 16 are on their way at a time, and all have their turn', async (t) => {
  const questions = Array.from({ length: 1000 }, (_, n) => question(`n${n}.example`));
  const bench = benchFor(questions);
  let now = 0;
  let most = 0;
  bench.answer = async (of) => {
    now++;
    most = Math.max(most, now);
    await new Promise<void>((resolve) => bench.time.after(20, resolve));
    now--;
    return addresses(of, 3600, 1);
  };
  bench.refresher.start();
  await bench.time.advance(1500);
  t.equal(most, 16);
  await bench.time.advance(500);
  t.equal(bench.published.size, 1000);
  t.equal(bench.refresher.records().length, 1000);
  await bench.stop();
});

t.test('without questions nothing is done, and a kick before the start asks nothing', async (t) => {
  const empty = benchFor([]);
  empty.refresher.start();
  empty.refresher.kick('test');
  t.equal(empty.time.pendingTimers, 0);
  await empty.stop();
  const early = benchFor([A]);
  early.refresher.kick('test');
  await early.time.advance(10_000);
  t.equal(early.asked.length, 0);
});

t.test(
  'of a thousand names a hundred are listed, those that are not fresh first; all are counted',
  async (t) => {
    const bench = benchFor(Array.from({ length: 1000 }, (_, at) => question(`n${at}.example`)));
    const isHeard = (of: string) => Number(/\d+/.exec(of)) < 990;
    bench.answer = (of) => (isHeard(of) ? addresses(of, 3600, 1) : 'no reply');
    bench.refresher.start();
    await bench.time.advance(3_000);
    const { questions, all } = bench.refresher.snapshot();
    t.equal(questions.length, 100);
    t.strictSame(
      questions.slice(0, 11).map(({ state }) => state),
      [...Array.from({ length: 10 }, () => 'unknown'), 'fresh'],
    );
    t.match(all, { fresh: 990, stale: 0, denied: 0, unknown: 10, asked: 1000, failed: 10 });
    await bench.time.advance(5_000);
    t.ok((all.oldestAgoMs ?? 0) > 0 && (all.oldestAgoMs ?? 0) <= 3_000, 'of those that were confirmed');
    await bench.stop();
  },
);
