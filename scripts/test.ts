/**
 * Runs test files, each as a program of its own, just as `node test/x.test.ts` does: all of them, or those under the paths given.
 * tap's own runner is not used: it preloads a recorder into each process and into all that a test starts, the server under test
 * among them. With Node's compile cache beside it that was nearly half of the processor time, and what was tested was not what is shipped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { tapFailures } from './tap-failures.ts';

const ROOT = join(import.meta.dirname, '..');
/** A bound for tests that hang; TEST_MINUTES raises it to fuzz or kill for longer. */
const LIMIT_MINUTES = Number(process.env['TEST_MINUTES'] ?? 10);
/** Two more than there are processors: some files wait for most of their time. */
const JOBS = availableParallelism() + 2;
/** They take longest and mostly wait: at the end they would run alone. */
const FIRST = [/^test\/store\/kill/, /^test\/daemon\/thirty/, /^test\/(scenarios|bench|admin)\//];

const ENVIRONMENT = {
  ...process.env,
  TAP_TIMEOUT: String(LIMIT_MINUTES * 60),
  // hundreds of processes load the same modules; Node keeps their compiled form by content and version
  NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'node-compile'),
};

interface Totals {
  total: number;
  pass: number;
  fail: number;
  skip: number;
  todo: number;
}

async function main(paths: readonly string[]): Promise<number> {
  const files = testFiles(paths.length === 0 ? ['test'] : paths);
  if (files.length === 0) {
    console.error(`no test files under "${paths.join('", "')}": name files or directories below test/`);
    return 2;
  }
  const startedMs = performance.now();
  const totals: Totals = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 };
  const failed: string[] = [];
  const waiting = files.values();
  const work = async (): Promise<void> => {
    for (const file of waiting) if (!(await holds(file, totals))) failed.push(file);
  };
  await Promise.all(Array.from({ length: JOBS }, work));
  for (const file of failed.toSorted()) console.log(`FAIL ${file}`);
  // the form of tap's own runner, which CI reads
  const counts = Object.entries(totals).filter(([name, count]) => count > 0 || name === 'total');
  console.log(`# { ${counts.map(([name, count]) => `${name}: ${count}`).join(', ')} }`);
  console.log(`# ${files.length} files in ${seconds(startedMs)} s`);
  return failed.length === 0 ? 0 : 1;
}

function testFiles(paths: readonly string[]): readonly string[] {
  const found = paths.flatMap((path) =>
    statSync(join(ROOT, path), { throwIfNoEntry: false })?.isFile()
      ? [path]
      : globSync(join(path, '**/*.test.ts'), { cwd: ROOT }),
  );
  const rank = (file: string) =>
    (FIRST.findIndex((first) => first.test(file)) + FIRST.length + 1) % (FIRST.length + 1);
  return [...new Set(found)].toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Runs one file, prints a line about it, and its failures; adds its assertions to `totals`. */
async function holds(file: string, totals: Totals): Promise<boolean> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
    cwd: ROOT,
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MINUTES * 60_000,
    killSignal: 'SIGKILL',
  });
  let [tap, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    tap += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code, signal] = await once(child, 'close');
  const counted = add(tap, totals);
  const isWell = code === 0 && counted !== undefined;
  if (!isWell && (counted?.fail ?? 0) === 0) {
    totals.total++; // the file failed without a failed assertion
    totals.fail++;
  }
  console.log(`${isWell ? 'ok    ' : 'not ok'} ${file} (${counted?.total ?? 0} in ${seconds(startedMs)} s)`);
  if (isWell) return true;
  // indented, since CI repeats at its end each line "not ok" with the indented lines under it
  for (const line of [...tapFailures(tap), ...stderr.split('\n')])
    if (line !== '') console.log(`    ${line}`);
  if (signal !== null) console.log(`    ended by ${signal}, the limit being ${LIMIT_MINUTES} minutes`);
  else if (counted === undefined)
    console.log(`    exit code ${code}, and it did not say how many tests it had`);
  return false;
}

/** tap ends with "# { total: 12, pass: 11, fail: 1 }", or with a plan alone where all tests were skipped. */
function add(tap: string, totals: Totals): Totals | undefined {
  const last = tap.match(/^# \{ total: .*\}$/gm)?.at(-1);
  if (last === undefined) return undefined;
  const of = (name: keyof Totals) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(last)?.[1] ?? 0);
  const counted = {
    total: of('total'),
    pass: of('pass'),
    fail: of('fail'),
    skip: of('skip'),
    todo: of('todo'),
  };
  totals.total += counted.total;
  totals.pass += counted.pass;
  totals.fail += counted.fail;
  totals.skip += counted.skip;
  totals.todo += counted.todo;
  return counted;
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}

process.exitCode = await main(process.argv.slice(2));
