/** The launcher finds its home by whatever name it is called. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const home = join(import.meta.dirname, '..', '..');
const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));

t.test('every name of the launcher', async (t) => {
  const elsewhere = join(t.testdir(), 'a folder');
  mkdirSync(elsewhere);
  symlinkSync(join(home, 'bin', 'outpost-dns'), join(elsewhere, 'linked'));
  symlinkSync(join('..', 'a folder', 'linked'), join(elsewhere, 'twice'));
  symlinkSync(join(home, 'bin'), join(elsewhere, 'bin'));
  const calls: readonly (readonly [command: string, from: string, env?: Record<string, string>])[] = [
    [join(home, 'bin', 'outpost-dns'), '/'],
    ['bin/outpost-dns', home],
    ['./outpost-dns', join(home, 'bin')],
    ['outpost-dns', elsewhere, { PATH: `${join(home, 'bin')}:/usr/bin:/bin` }],
    ['bin/outpost-dns', home, { CDPATH: elsewhere }],
    [join(elsewhere, 'linked'), '/'],
    ['./twice', elsewhere],
    [join(elsewhere, 'bin', 'outpost-dns'), '/'],
  ];
  for (const [command, cwd, env = {}] of calls) {
    const { stdout } = await run(command, ['--version'], { cwd, env: { ...process.env, ...env } });
    t.equal(stdout.trim(), version, `${command} in ${cwd}`);
  }
  for (const cwd of [home, join(home, 'bin')]) {
    const name = cwd === home ? 'bin/outpost-dns' : 'outpost-dns';
    const { stdout } = await run('sh', [name, '--version'], { cwd });
    t.equal(stdout.trim(), version, `sh ${name}`);
  }
});
