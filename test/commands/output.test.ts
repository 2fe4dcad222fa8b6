/** Commands whose output nobody takes: a closed pipe, a full device. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { freePorts } from '../scenarios/free-ports.ts';
import { PROGRAM } from '../scenarios/server-process.ts';
import { folder } from '../scenarios/site.ts';

function sh(script: string): {
  readonly status: number | null;
  readonly stderr: string;
  readonly stdout: string;
} {
  return spawnSync('bash', ['-c', script], { encoding: 'utf8', env: { ...process.env, PROGRAM } });
}

t.test('a reader that has seen enough changes neither the exit code nor standard error', async (t) => {
  // true(1) ends at once, so that the pipe is closed before the command writes
  const { status, stderr } = sh('set -o pipefail; "$PROGRAM" --help | true');
  t.match({ status, stderr }, { status: 0, stderr: '' });
  const state = folder(t);
  const noLedger = sh(`set -o pipefail; "$PROGRAM" history --state ${state} 2>&1 | true`);
  t.equal(noLedger.status, 1, "the command's own code");
});

t.test('a full device is a failed action, and is said', async (t) => {
  const { status, stderr } = sh('"$PROGRAM" --help >/dev/full');
  t.equal(status, 1);
  t.match(stderr, /^outpost-dns: cannot write to standard output: ENOSPC: no space left on device/);
  t.notMatch(stderr, /at .*\.ts/);
  t.match(sh('"$PROGRAM" --help >/dev/full 2>&1'), { status: 1 });
});

t.test('sandbox: neither the region nor its server ends with the reader of their output', async (t) => {
  const directory = folder(t);
  const { dnsPort, httpPort } = await freePorts();
  const { stderr } = sh(
    `TMPDIR=${directory} timeout -s INT 5 "$PROGRAM" sandbox --port ${dnsPort} --http-port ${httpPort} | true; echo code=\${PIPESTATUS[0]} >&2`,
  );
  t.match(stderr, /^code=124\n$/, 'it ran until it was ended');
  t.same(readdirSync(directory), [], 'nothing is left of it');
});
