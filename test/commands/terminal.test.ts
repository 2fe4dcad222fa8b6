import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { columns, printable } from '../../src/commands/subcommand.ts';
import { ageText } from '../../src/report/report.ts';
import { freePorts } from '../scenarios/free-ports.ts';
import { PROGRAM } from '../scenarios/server-process.ts';
import { folder } from '../scenarios/site.ts';

t.test('ages: one number, one unit', async (t) => {
  for (const [seconds, text] of [
    [-5, '0 s'],
    [0, '0 s'],
    [2.6, '3 s'],
    [119, '119 s'],
    [120, '2 min'],
    [240, '4 min'],
    [7199, '120 min'],
    [7200, '2 h'],
    [172_799, '48 h'],
    [172_800, '2 d'],
    [86_400 * 400, '400 d'],
  ] as const)
    t.equal(ageText(seconds), text, `${seconds}`);
});

t.test('printable: no control character is left', async (t) => {
  for (const [text, shown] of [
    ['plain text, with "quotes"', 'plain text, with "quotes"'],
    ['grüße 你好', 'grüße 你好'],
    ['\x1b[2Jgone\x07', '[2Jgone'],
    ['two\nlines\r\nand a\ttab', 'two lines and a tab'],
    ['c1 \x9b31m csi', 'c1  31m csi'],
    ['right \u202eto left', 'right  to left'],
    ['line\u2028separator', 'line separator'],
    ['', ''],
  ] as const)
    t.equal(printable(text), shown, encodeURIComponent(text));
});

t.test('columns: aligned by visible width, no white space at the end', async (t) => {
  t.strictSame(
    columns(
      [
        ['a', 'bb', 'last cell is as long as it likes'],
        ['aaaa', '\x1b[31mb\x1b[39m', 'x'],
        ['only one'],
        ['a', '', ''],
      ],
      1,
    ),
    [' a     bb  last cell is as long as it likes', ' aaaa  \x1b[31mb\x1b[39m   x', ' only one', ' a'],
  );
});

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

t.test('a full device is a failed action with a message', async (t) => {
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
