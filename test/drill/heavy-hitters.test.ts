import fc from 'fast-check';
import t from 'tap';
import { HeavyHitters } from '../../src/drill/drill-counts.ts';
import { processorMs } from '../helpers/patience.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 300);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 0x7fff_ffff);
t.comment(`FUZZ_SEED=${seed} FUZZ_RUNS=${numRuns}`);

function counted(room: number, keys: readonly string[]): HeavyHitters {
  const hitters = new HeavyHitters(room);
  for (const key of keys) hitters.count(key);
  return hitters;
}

t.test('while there is room, every count is exact, the highest first, equal ones by key', async (t) => {
  t.strictSame(counted(3, ['b', 'c', 'a', 'c', 'b', 'c']).read(), {
    kept: [
      { key: 'c', count: 3 },
      { key: 'b', count: 2 },
      { key: 'a', count: 1 },
    ],
    others: 0,
  });
  t.strictSame(counted(3, ['b', 'a']).read().kept, [
    { key: 'a', count: 1 },
    { key: 'b', count: 1 },
  ]);
  t.strictSame(counted(3, []).read(), { kept: [], others: 0 });
});

t.test('a newcomer takes the place of a key with the lowest rank, which goes to the others', async (t) => {
  t.strictSame(counted(2, ['a', 'a', 'b', 'c']).read(), {
    kept: [
      { key: 'a', count: 2 },
      { key: 'c', count: 1 },
    ],
    others: 1,
  });
});

t.test('the lowest rank is found again after the last key has left it', async (t) => {
  t.strictSame(counted(1, ['a', 'a', 'b', 'b', 'b', 'c']).read(), {
    kept: [{ key: 'c', count: 1 }],
    others: 5,
  });
  t.strictSame(counted(2, ['a', 'b', 'a', 'b', 'c']).read().others, 2);
});

t.test('a flood of random names does not push out what is asked for again and again', async (t) => {
  const keys = Array.from({ length: 100_000 }, (_, at) => (at % 50 === 0 ? 'wanted' : `random-${at}`));
  const { kept, others } = counted(100, keys).read();
  t.match(kept[0], { key: 'wanted' });
  t.ok((kept[0]?.count ?? 0) > 1_900, `counted ${kept[0]?.count} of 2,000`);
  t.equal(kept.length, 100);
  t.equal(
    kept.reduce((sum, { count }) => sum + count, others),
    100_000,
  );
});

t.test('what is asked for now is kept beside what was asked for often before', async (t) => {
  const before = Array.from({ length: 9_000 }, (_, at) => `before-${at % 9}`);
  const now = Array.from({ length: 10_000 }, (_, at) => (at % 2 === 0 ? 'now' : `random-${at}`));
  const { kept } = counted(10, [...before, ...now]).read();
  t.ok((kept.find(({ key }) => key === 'now')?.count ?? 0) > 1_000, JSON.stringify(kept));
});

t.test('against plain counting: the sum is right, no count too high, every heavy key is kept', async (t) => {
  const keys = fc.array(
    fc.oneof(fc.nat(5), fc.nat(30), fc.nat(1000)).map((key) => `k${key}`),
    { maxLength: 400 },
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), keys, (room, asked) => {
        const truth = new Map<string, number>();
        for (const key of asked) truth.set(key, (truth.get(key) ?? 0) + 1);
        const { kept, others } = counted(room, asked).read();
        const sum = kept.reduce((total, { count }) => total + count, others);
        const heavy = [...truth].filter(([, count]) => count > asked.length / room).map(([key]) => key);
        const found = new Set(kept.map(({ key }) => key));
        return (
          sum === asked.length &&
          kept.length === Math.min(room, truth.size) &&
          found.size === kept.length &&
          kept.every(({ key, count }) => count >= 1 && count <= (truth.get(key) ?? 0)) &&
          heavy.every((key) => found.has(key)) &&
          (truth.size > room || kept.every(({ key, count }) => truth.get(key) === count))
        );
      }),
      { seed, numRuns },
    ),
  );
});

t.test('the worst case, a new key every time, costs the same for each', async (t) => {
  const hitters = new HeavyHitters(1_000);
  const startedMs = processorMs();
  for (let at = 0; at < 200_000; at++) hitters.count(`random-${at}`);
  const microseconds = ((processorMs() - startedMs) * 1000) / 200_000;
  t.comment(`${microseconds.toFixed(2)} us a key`);
  t.ok(microseconds < 100, 'no search through all that are kept');
});
