/**
 * Batches under a collector that never rests: C holds addresses into arrays that the collector must neither move nor
 * free. A mistake there shows after thousands of datagrams, as a crash. GC_STRESS_SECONDS says for how long.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { loadDatagramCalls } from '../../src/runtime/libc.ts';

const seconds = Number(process.env['GC_STRESS_SECONDS'] ?? 3);
const calls = await loadDatagramCalls();
const skip = calls.kind === 'available' ? false : calls.reason;

t.test(`${seconds} s of queries, misses and collections end without a crash`, { skip }, async (t) => {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--expose-gc',
      '--max-semi-space-size=1',
      join(import.meta.dirname, 'gc-stress-child.ts'),
      String(seconds),
    ],
    { encoding: 'utf8', timeout: (seconds + 240) * 1000 },
  );
  t.same([status, signal], [0, null], stderr.slice(-2000));
  t.comment(stdout.trim());
  const figures: unknown = JSON.parse(stdout);
  t.match(figures, { wrong: 0 }); // the child itself goes on until it has tried enough
});
