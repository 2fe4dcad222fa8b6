/** What `npm run package` refuses, and what the packages bring to /etc. lab/packages.ts makes, lints and installs them. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { load } from '../config/loading.ts';

const root = join(import.meta.dirname, '../..');
const packaging = join(root, 'packaging');

function refused(args: readonly string[], environment: Record<string, string> = {}): string {
  const run = spawnSync(process.execPath, [join(root, 'scripts/package.ts'), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  t.equal(run.status, 2, run.stderr);
  t.equal(run.stdout, '');
  return run.stderr;
}

t.test('wrong usage ends before anything is built', async (t) => {
  t.match(refused(['--format', 'msi']), 'package: no format "msi": choose from deb, rpm, tar\n');
  t.match(refused(['--arch', 'riscv64']), 'package: no architecture "riscv64": choose from x64, arm64\n');
  t.match(refused(['--frmat', 'deb']), /'--frmat'/);
  t.match(
    refused([], { SOURCE_DATE_EPOCH: 'yesterday' }),
    'package: SOURCE_DATE_EPOCH is "yesterday": set it to seconds since 1970, such as 1767225600\n',
  );
});

t.test('the example of a configuration loads as it stands', async (t) => {
  const { clusters, upstreams } = await load(
    readFileSync(join(packaging, 'etc/outpost-dns.yaml.example'), 'utf8'),
  );
  t.equal(clusters.length, 1);
  t.equal(upstreams.length, 1);
});

t.test('the example of an environment holds comments alone', async (t) => {
  for (const line of readFileSync(join(packaging, 'etc/environment.example'), 'utf8').split('\n'))
    t.match(line, /^(?:#.*)?$/);
});

t.test('every script of the packages is a shell script that a shell can read', async (t) => {
  const scripts = readdirSync(join(packaging, 'deb')).filter((name) => /^(?:pre|post)/.test(name));
  t.strictSame(scripts.sort(), ['postinst', 'postrm', 'preinst', 'prerm']);
  for (const script of scripts) {
    const path = join(packaging, 'deb', script);
    t.match(readFileSync(path, 'utf8'), /^#!\/bin\/sh\nset -e\n/, script);
    t.equal(spawnSync('sh', ['-n', path]).status, 0, script);
  }
});
