/** The one gate: types, lint, format, generated files in step, tests. Prints one line a check and stops at none. */
import { spawnSync } from 'node:child_process';

const checks: ReadonlyArray<readonly [name: string, command: string, ...args: string[]]> = [
  ['types', 'tsc'],
  ['lint and format', 'biome', 'check', '--error-on-warnings'],
  ['generated files in step', 'node', 'scripts/generate.ts', '--check'],
  ['test runner built', 'tap', 'build'],
  ['tests', 'tap', 'run', '--reporter=terse'],
];

let failed = 0;
for (const [name, command, ...args] of checks) {
  const startedMs = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok    ' : 'not ok'} ${name} (${seconds} s)`);
  if (status !== 0) {
    failed++;
    process.stdout.write(stdout ?? '');
    process.stderr.write(stderr ?? '');
  }
}
process.exitCode = failed === 0 ? 0 : 1;
