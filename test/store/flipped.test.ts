/** Any octet of a state file changes: nothing is lost, nothing throws, and the file is set aside with its reason. FLIPS=all: every octet. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { EndpointsStore } from '../../src/store/endpoints-store.ts';
import { RetainedStore } from '../../src/store/retained-store.ts';
import { record } from './record-sets.ts';
import { retained } from './retained-records.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000);
const SAMPLE = 150;

/** Places in a file, and what is laid over each. */
function* flips(length: number): Generator<readonly [at: number, mask: number]> {
  const isAll = process.env['FLIPS'] === 'all';
  let state = SEED;
  for (let count = 0; count < (isAll ? length : SAMPLE); count++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield [isAll ? count : state % length, 1 << ((state >>> 24) % 8)];
  }
}

for (const [name, make, save] of [
  [
    'endpoints',
    (directory: string) => new EndpointsStore({ directory }, parts()),
    [record('a', ['10.0.0.1'])],
  ],
  ['retained', (directory: string) => new RetainedStore({ directory }, parts()), [retained('a.example', 1)]],
] as const) {
  t.test(`${name}.json`, async (t) => {
    t.comment(`FUZZ_SEED=${SEED}`);
    const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-flip-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    // the assertion: each store takes the records of its own kind
    await make(directory).save(save as never);
    const path = join(directory, `${name}.json`);
    const whole = readFileSync(path);
    const previous = readFileSync(join(directory, `${name}.previous.json`));
    for (const [at, mask] of flips(whole.length)) {
      const broken = Buffer.from(whole);
      broken[at] = (broken[at] ?? 0) ^ mask;
      writeFileSync(path, broken);
      writeFileSync(join(directory, `${name}.previous.json`), previous);
      const loaded = await make(directory).load();
      const [fault] = loaded.faults;
      const isKept =
        loaded.kind === 'loaded' && ('records' in loaded ? loaded.records : loaded.content).length === 1;
      const isSaid =
        loaded.kind === 'loaded' &&
        (loaded.from === 'current' || fault?.kind === 'newer' || existsSync(fault?.setAsideTo ?? ''));
      if (!isKept || !isSaid) t.fail(`octet ${at} with ${mask}: ${JSON.stringify(loaded.faults)}`);
    }
    t.pass('nothing was lost');
  });
}

function parts() {
  return { clock: systemClock, random: systemRandom };
}
