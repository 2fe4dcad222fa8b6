/**
 * The one gate: types, lint, format, generated files in step, tests. Prints one line a check and stops at none. The two
 * tests that take longest do so by repetition: here they repeat less, in `npm test` and in CI as often as they should.
 * `--without-tests` leaves the tests out.
 */
import { spawnSync } from 'node:child_process';

interface Check {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  readonly isTest?: true;
}

const CHECKS: readonly Check[] = [
  { name: 'types', command: ['tsc'] },
  { name: 'lint and format', command: ['biome', 'check', '--error-on-warnings'] },
  { name: 'generated files in step', command: ['node', 'scripts/generate.ts', '--check'] },
  { name: 'tests', command: ['node', 'scripts/test.ts'], isTest: true },
];

/** Budgets of the tests that repeat; a value from the environment wins. */
const ENVIRONMENT = { KILLS: '50', OUTAGE_DAYS: '8', ...process.env };

function main(args: readonly string[]): number {
  const unknown = args.find((arg) => arg !== '--without-tests');
  if (unknown !== undefined) {
    console.error(`unknown argument "${unknown}": the only one is --without-tests`);
    return 2;
  }
  const chosen = CHECKS.filter(({ isTest }) => isTest === undefined || args.length === 0);
  const failed = chosen.filter((check) => !holds(check));
  return failed.length === 0 ? 0 : 1;
}

function holds({ name, command: [program, ...args] }: Check): boolean {
  const startedMs = performance.now();
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    env: ENVIRONMENT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok    ' : 'not ok'} ${name} (${seconds} s)`);
  if (status === 0) return true;
  console.log(`${stdout ?? ''}${stderr ?? ''}`.trimEnd().replaceAll(/^/gm, '    '));
  if (error !== undefined) console.error(`cannot run "${program}": ${error.message}`);
  return false;
}

process.exitCode = main(process.argv.slice(2));
