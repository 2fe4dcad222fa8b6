import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import t from 'tap';
import { systemFiles } from '../../src/store/file-system.ts';
import { setNumber } from './record-sets.ts';
import { readEndpoints } from './store-setup.ts';

/**
 * kill -9 at random moments while endpoints change constantly. KILLS sets how often, KILL_SEED repeats the moments (as
 * far as a scheduler repeats anything).
 */

const KILLS = Number(process.env['KILLS'] ?? 500);
const SEED = Number(process.env['KILL_SEED'] ?? Date.now() % 0x7fff_ffff);
const LANES = 2;
/** A slow machine stops here with fewer kills, unless KILLS says how many are wanted. */
const ENOUGH_MS = process.env['KILLS'] === undefined ? 150_000 : Number.POSITIVE_INFINITY;
const FEWEST = Math.min(KILLS, 50);

t.setTimeout(600_000 + KILLS * 600);

interface Lane {
  readonly directory: string;
  readonly random: () => number;
  kills: number;
  /** The newest set announced as durable, and the newest whose save had begun. */
  durable: number;
  begun: number;
  /** Kills in the middle of a save; that left a temporary file; after which the set being written had made it. */
  midSave: number;
  leftovers: number;
  newer: number;
  readonly faults: string[];
}

t.test(
  `after each of ${KILLS} kills at random moments the state loads: the last durable set or the one being written`,
  async (t) => {
    const base = t.testdir();
    const child = join(base, 'child.mjs');
    // In one file it starts in half the time, so that the processor goes into the saves and not into 500 starts.
    await build({
      entryPoints: [join(import.meta.dirname, 'kill-child.ts')],
      outfile: child,
      bundle: true,
      platform: 'node',
      format: 'esm',
    });
    const lanes = Array.from({ length: LANES }, (_, lane) => newLane(join(base, `${lane}`), SEED + lane));
    const startedMs = performance.now();
    const isOver = () => performance.now() - startedMs > ENOUGH_MS;
    await Promise.all(lanes.map((lane, at) => run(lane, child, share(KILLS, at), share(FEWEST, at), isOver)));
    const sum = (of: (lane: Lane) => number) => lanes.reduce((total, lane) => total + of(lane), 0);
    t.comment(
      `kills ${sum((lane) => lane.kills)}, mid-save ${sum((lane) => lane.midSave)}, leftover files ${sum((lane) => lane.leftovers)}, ` +
        `newer than announced ${sum((lane) => lane.newer)}, saves ${sum((lane) => lane.durable)}, seed ${SEED}, ` +
        `${Math.round(performance.now() - startedMs)} ms`,
    );
    t.strictSame(
      lanes.flatMap((lane) => lane.faults),
      [],
    );
    const kills = sum((lane) => lane.kills);
    t.ok(kills === KILLS || (isOver() && kills >= FEWEST), `${kills} kills`);
    if (kills >= 100) t.ok(sum((lane) => lane.midSave) > kills / 10, 'the kills met saves in progress');
  },
);

function share(kills: number, lane: number): number {
  return Math.floor(kills / LANES) + (lane < kills % LANES ? 1 : 0);
}

function newLane(directory: string, seed: number): Lane {
  mkdirSync(directory);
  const counts = { kills: 0, durable: 0, begun: 0, midSave: 0, leftovers: 0, newer: 0 };
  return { directory, random: mulberry32(seed), ...counts, faults: [] };
}

async function run(
  lane: Lane,
  program: string,
  kills: number,
  fewest: number,
  isOver: () => boolean,
): Promise<void> {
  while (lane.kills < kills && lane.faults.length === 0 && !(isOver() && lane.kills >= fewest)) {
    await killOnce(lane, program);
    await inspect(lane);
  }
}

async function killOnce(lane: Lane, program: string): Promise<void> {
  const child = spawn(process.execPath, [program, lane.directory], { stdio: ['ignore', 'pipe', 'pipe'] });
  const isReady = listen(lane, child);
  const closed = once(child, 'close');
  // Most kills meet the saves, some the start: module loading, reading, cleaning up.
  if (lane.random() < 0.85) await Promise.race([isReady, closed]);
  await new Promise((resolve) => setTimeout(resolve, lane.random() * (lane.random() < 0.15 ? 150 : 40)));
  child.kill('SIGKILL');
  const [code, signal] = await closed;
  lane.kills++;
  if (signal !== 'SIGKILL') lane.faults.push(`the child ended by itself with ${code}`);
}

/** Records the output of the child; resolves once it has loaded. */
function listen(lane: Lane, child: ChildProcess): Promise<void> {
  const ready = Promise.withResolvers<void>();
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [word, number] = [line.split(' ')[0], Number(line.split(' ')[1])];
      if (word === 'durable') lane.durable = Math.max(lane.durable, number);
      else if (word === 'begun') lane.begun = number;
      else if (number !== lane.durable) lane.faults.push(`loaded ${number}, on disk was ${lane.durable}`);
      ready.resolve();
    }
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => lane.faults.push(text));
  return ready.promise;
}

async function inspect(lane: Lane): Promise<void> {
  const { served, faults } = await readEndpoints(systemFiles, lane.directory);
  const found = served === undefined ? 0 : setNumber(served.content);
  const after = `kill ${lane.kills}, durable ${lane.durable}, begun ${lane.begun}`;
  for (const { path, reason } of faults) lane.faults.push(`${after}: ${path}: ${reason}`);
  if (found === undefined) lane.faults.push(`${after}: a set that is not whole`);
  else if (found < lane.durable || found > lane.begun) lane.faults.push(`${after}: found set ${found}`);
  if (served?.from === 'previous') lane.faults.push(`${after}: the current file is missing`);
  const names = readdirSync(lane.directory);
  const leftovers = names.filter((name) => name.endsWith('.tmp')).length;
  if (leftovers > 2 || names.length - leftovers > 2)
    lane.faults.push(`${after}: files pile up: ${names.join(' ')}`);
  lane.midSave += Number(lane.begun > lane.durable);
  lane.leftovers += Number(leftovers > 0);
  lane.newer += Number((found ?? 0) > lane.durable);
  lane.durable = found ?? lane.durable;
  lane.begun = lane.durable;
}

/** A small generator with a seed: the moments of a run can be asked for again. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
