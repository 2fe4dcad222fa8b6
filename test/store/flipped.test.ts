/**
 * Any octet of a state file changes. Nothing throws, no critical state is lost, and a file that is not whole is set aside
 * with its reason. No answer, which may be lost, comes back changed; the ledger loses only the line itself. FLIPS=all: every
 * octet.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { HEADER_OCTETS } from '../../src/protocol/wire/message.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { systemPause } from '../../src/runtime/slices.ts';
import { AnswerCache } from '../../src/serving/answer-cache/answer-cache.ts';
import { AnswersSnapshot } from '../../src/store/answers-snapshot.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { composeLine } from '../../src/store/ledger-format.ts';
import { readLedger } from '../../src/store/ledger-reader.ts';
import { RETAINED } from '../../src/store/retained-format.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { asked, indexed, positive, settings } from '../serving/answer-cache/asked.ts';
import { numbered } from './ledger-events.ts';
import { record } from './record-sets.ts';
import { retained } from './retained-records.ts';
import { storeOf } from './store-setup.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000);
const SAMPLE = 150;

/** Places in a file, and the bits that are changed there. */
function* flips(length: number): Generator<readonly [at: number, mask: number]> {
  const isAll = process.env['FLIPS'] === 'all';
  let state = SEED;
  for (let count = 0; count < (isAll ? length : SAMPLE); count++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield [isAll ? count : state % length, 1 << ((state >>> 24) % 8)];
  }
}

for (const [name, make, save] of [
  ['endpoints', (directory: string) => storeOf(ENDPOINTS, directory), [record('a', ['10.0.0.1'])]],
  ['retained', (directory: string) => storeOf(RETAINED, directory), [retained('a.example', 1)]],
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
      const isKept = loaded.kind === 'loaded' && loaded.content.length === 1;
      const isSaid =
        loaded.kind === 'loaded' &&
        (loaded.from === 'current' || fault?.kind === 'newer' || existsSync(fault?.setAsideTo ?? ''));
      if (!isKept || !isSaid) t.fail(`octet ${at} with ${mask}: ${JSON.stringify(loaded.faults)}`);
    }
    t.pass('nothing was lost');
  });
}

const NAMES = Array.from({ length: 20 }, (_, at) => `host-${at}.example.com`);

t.test('answers.snapshot', async (t) => {
  t.comment(`FUZZ_SEED=${SEED}`);
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-flip-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const before = processIn(directory);
  await before.snapshot.start();
  for (const name of NAMES) {
    const octets = positive(name, 80_000);
    before.cache.store(asked(name), octets, indexed(octets), systemClock.monotonicMs());
  }
  t.match(await before.snapshot.write(), { kind: 'written', answers: NAMES.length });
  await before.snapshot.stop();
  const path = join(directory, 'answers.snapshot');
  const whole = readFileSync(path);
  let kept = 0;
  for (const [at, mask] of flips(whole.length)) {
    const broken = Buffer.from(whole);
    broken[at] = (broken[at] ?? 0) ^ mask;
    writeFileSync(path, broken);
    const after = processIn(directory);
    const { fault } = await after.snapshot.start();
    if (fault === undefined) t.fail(`octet ${at} with ${mask}: not noticed`);
    if (fault !== undefined && !('setAsideTo' in fault) && fault.kind !== 'newer')
      t.fail(`octet ${at} with ${mask}: not set aside: ${JSON.stringify(fault)}`);
    for (const name of NAMES) {
      const found = after.cache.find(asked(name), systemClock.monotonicMs());
      if (found === undefined) continue;
      kept++;
      const isSame = Buffer.from(found.octets)
        .subarray(HEADER_OCTETS, found.index.end)
        .equals(positive(name, 80_000).subarray(HEADER_OCTETS, found.index.end));
      if (!isSame) t.fail(`octet ${at} with ${mask}: "${name}" came back changed`);
    }
    await after.snapshot.stop();
  }
  t.comment(`answers that came back beside a broken octet: ${kept}`);
});

t.test('ledger.jsonl', async (t) => {
  t.comment(`FUZZ_SEED=${SEED}`);
  const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-flip-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const lines = NAMES.map((_, at) =>
    composeLine({ sequence: at + 1, atMs: Date.UTC(2026, 0, 1) + at, lost: 0, event: numbered(at + 1) }),
  );
  const whole = Buffer.concat(lines);
  const path = join(directory, 'ledger.jsonl');
  for (const [at, mask] of flips(whole.length)) {
    const broken = Buffer.from(whole);
    broken[at] = (broken[at] ?? 0) ^ mask;
    writeFileSync(path, broken);
    const { entries, malformed } = await readLedger(directory);
    // an octet that ends a line joins two
    const isWell = entries.length + malformed >= lines.length - 1 && entries.length >= lines.length - 2;
    if (!isWell) t.fail(`octet ${at} with ${mask}: ${entries.length} lines, ${malformed} malformed`);
  }
  t.pass('only the line itself was lost');
});

function processIn(directory: string) {
  const cache = new AnswerCache(settings);
  const log = new CollectingLog();
  const own = { ...parts(), cache, log, timers: systemTimers, pause: systemPause };
  return {
    cache,
    snapshot: new AnswersSnapshot({ directory, sizeOctets: settings.sizeOctets, scope: '' }, own),
  };
}

function parts() {
  return { clock: systemClock, random: systemRandom };
}
