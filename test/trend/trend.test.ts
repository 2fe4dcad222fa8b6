import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import t from 'tap';
import { atOnce } from '../../src/runtime/slices.ts';
import { SPANS, SUMMED_OCTETS, TREND_OCTETS, Trend } from '../../src/trend/trend.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
const STEP = SPANS.hours.stepMs;
const encode = (trend: Trend) => atOnce(trend.encoding());
const decode = (trend: Trend, octets: Uint8Array, wallMs: number) => atOnce(trend.decoding(octets, wallMs));
const whole = (trend: Trend, atMs: number) =>
  trend.read('hours', 'queriesPerSecond', atMs, SPANS.hours.slots);

t.test(
  'a slot holds the mean of its readings; a slot in which the server did not run is empty',
  async (t) => {
    const trend = new Trend();
    trend.note(START, { queriesPerSecond: 10 });
    trend.note(START + 1, { queriesPerSecond: 20 });
    trend.note(START + 3 * STEP, { queriesPerSecond: 5, link: 1 });
    t.strictSame(whole(trend, START + 3 * STEP).slice(-4), [15, undefined, undefined, 5]);
    t.strictSame(
      trend.read('hours', 'hitRatio', START, 10).every((value) => value === undefined),
      true,
    );
    t.strictSame(
      whole(trend, START + 5 * STEP).slice(-3),
      [5, undefined, undefined],
      'time goes on without readings',
    );
  },
);

t.test('the ring is bounded: what is older than its span is gone', async (t) => {
  const trend = new Trend();
  for (let slot = 0; slot < SPANS.hours.slots + 10; slot++)
    trend.note(START + slot * STEP, { queriesPerSecond: slot });
  const end = START + (SPANS.hours.slots + 9) * STEP;
  t.equal(whole(trend, end).at(0), 10);
  t.equal(whole(trend, end).at(-1), SPANS.hours.slots + 9);
  t.ok(whole(trend, end + 10 * SPANS.hours.slots * STEP).every((value) => value === undefined));
});

t.test('a wall clock that is set back empties the rings, one that moves a little does not', async (t) => {
  const trend = new Trend();
  trend.note(START + STEP, { queriesPerSecond: 1 });
  trend.note(START, { queriesPerSecond: 3 });
  t.equal(whole(trend, START + STEP).at(-1), 2);
  trend.note(START - 86_400_000, { queriesPerSecond: 7 });
  t.strictSame(
    whole(trend, START - 86_400_000).filter((value) => value !== undefined),
    [7],
  );
});

t.test('what was written is read again after a restart', async (t) => {
  const trend = new Trend();
  for (let slot = 0; slot < 500; slot++)
    trend.note(START + slot * STEP, { queriesPerSecond: slot, link: 0.5 });
  const next = new Trend();
  const now = START + 520 * STEP;
  const octets = Buffer.from(encode(trend));
  t.equal(octets.readUInt32LE(8), crc32(octets.subarray(12)), 'the checksum of earlier versions');
  t.equal(decode(next, encode(trend), now), true);
  for (const span of ['hours', 'days'] as const)
    for (const figure of ['queriesPerSecond', 'link', 'hitRatio'] as const)
      t.strictSame(next.read(span, figure, now, 100), trend.read(span, figure, now, 100));
  next.note(now, { queriesPerSecond: 1 });
  t.equal(whole(next, now).at(-1), 1);
});

t.test('other octets change nothing: torn, flipped, of the future, of another program', async (t) => {
  const trend = new Trend();
  trend.note(START, { queriesPerSecond: 1 });
  const good = encode(trend);
  t.equal(good.length, TREND_OCTETS);
  t.equal(decode(new Trend(), good, START - 86_400_000), false, 'of the future');
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bad = Uint8Array.from(good);
      bad[at] = (bad[at] ?? 0) ^ flip;
      return !decode(new Trend(), bad, START);
    }),
    { numRuns: 200 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => !decode(new Trend(), octets, START)));
  t.equal(decode(new Trend(), good.subarray(0, -1), START), false);
});

t.test(
  'written and read in steps, each over some octets: a stop does it before the code is compiled',
  async (t) => {
    const least = Math.floor(TREND_OCTETS / SUMMED_OCTETS);
    const stepsOf = <T>(steps: Iterator<undefined, T>): { value: T; count: number } => {
      for (let count = 0; ; count++) {
        const { done, value } = steps.next();
        if (done) return { value, count };
      }
    };
    const trend = new Trend();
    trend.note(START, { queriesPerSecond: 1 });
    const written = stepsOf(trend.encoding());
    t.ok(written.count >= least, `${written.count} steps`);
    const next = new Trend();
    const read = stepsOf(next.decoding(written.value, START));
    t.ok(read.value && read.count >= least, `${read.count} steps`);
    t.equal(whole(next, START).at(-1), 1);
  },
);
