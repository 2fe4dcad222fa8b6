import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { problem } from '../../src/commands/check/finding.ts';
import { inspectDirectory } from '../../src/commands/check/state.ts';
import { findAll, report } from '../../src/commands/check.ts';
import { paintNothing } from '../../src/commands/subcommand.ts';
import { load } from '../config/loading.ts';
import { run } from './running.ts';
import { fresh, NOW_MS, writeConfig, writeState } from './state-files.ts';

const at = (hostsFile: string) => ({ hostsFile, resolvConf: '/none', nowMs: NOW_MS });

const ready = async (directory: string) =>
  writeState(directory, [fresh({}, Date.now())], { nowMs: Date.now() });

t.test('a sound host: exit 0, one line', async (t) => {
  const state = await ready(join(t.testdir(), 'state'));
  const { code, stdout, stderr } = await run([
    'check',
    '--offline',
    '-c',
    await writeConfig(t.testdirName, state),
  ]);
  t.equal(code, 0);
  t.equal(stdout, 'ready for an outage: 1 endpoint, no finding\n');
  t.equal(stderr, '');
});

t.test('warnings alone: exit 0', async (t) => {
  const state = await ready(join(t.testdir(), 'state'));
  const config = await writeConfig(t.testdirName, state);
  const { code, stdout } = await run(['check', '--offline', '-c', config], {
    OUTPOST_DNS_UPSTREAMS: '127.0.0.1:5391',
  });
  t.equal(code, 0, stdout);
  t.match(
    stdout,
    /^\[! \] warning: there is a single upstream, "127\.0\.0\.1:5391".*\n {5}While this upstream .*\n {5}fix: add a second upstream.* \(single-upstream\)\n/,
  );
  t.match(stdout, /\nready for an outage: 1 endpoint, 0 problems, 1 warning\n$/);
});

t.test('a problem: exit 1, problems first, each with its fix on a line of its own', async (t) => {
  const config = await writeConfig(t.testdir(), join(t.testdirName, 'none'));
  const { code, stdout } = await run(['check', '--offline', '-c', config], {
    OUTPOST_DNS_UPSTREAMS: '127.0.0.1:5391',
  });
  t.equal(code, 1);
  const lines = stdout.split('\n');
  t.match(lines[0], /^\[!!\] problem: the state directory ".*none" does not exist/);
  t.match(lines[1], /^ {5}After a restart in an outage the server knows no endpoint/);
  t.match(lines[2], /^ {5}fix: start the server while AWS can be reached.*\(state-directory-missing\)$/);
  t.match(lines[3], /^\[! \] warning: /);
  t.match(lines[6], /^not ready for an outage: 1 problem, 1 warning$/);
});

t.test('faults of the configuration: exit 2, as the configuration room formats them', async (t) => {
  const file = join(t.testdir({ 'bad.yaml': 'clusters: []\nupstream: [10.0.0.2]\n' }), 'bad.yaml');
  const { code, stdout, stderr } = await run(['check', '--config', file]);
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /^cannot use the configuration: \d faults\n/);
  t.match(stderr, 'bad.yaml:2:1: upstream:');
  const json = await run(['check', '--config', file, '--json']);
  t.equal(json.code, 2);
  t.match(JSON.parse(json.stdout), { faults: [{ line: 1 }, { line: 2, path: 'upstream' }], findings: [] });
});

t.test('--json: the findings, with the same exit code', async (t) => {
  const config = await writeConfig(t.testdir(), join(t.testdirName, 'none'));
  const { code, stdout } = await run(['check', '--offline', '--json', '-c', config]);
  t.equal(code, 1);
  const { faults, findings } = JSON.parse(stdout);
  t.strictSame(faults, []);
  t.equal(findings.length, 1);
  t.strictSame(Object.keys(findings[0]), ['code', 'severity', 'text', 'why', 'fix', 'what', 'mend']);
  t.equal(findings[0].severity, 'problem');
});

t.test('checking changes nothing on disk, whatever it finds there', async (t) => {
  const directory = t.testdir();
  const state = await writeState(join(directory, 'state'), [fresh()], { from: 'previous' });
  await writeFile(join(state, 'endpoints.json'), '{ "half": ');
  await writeFile(join(state, '.endpoints.json.0123456789abcdef.tmp'), 'left by a kill');
  const config = await writeConfig(directory, state);
  const before = await picture(directory);
  const { code, stdout } = await run(['check', '--offline', '-c', config]);
  t.match(stdout, 'previous generation');
  t.equal(code, 1, 'the record is months old');
  t.strictSame(await picture(directory), before);
});

/** Names, contents, modes and times of everything below; access times may change. */
async function picture(directory: string): Promise<unknown> {
  const names = await readdir(directory, { recursive: true });
  return Promise.all(
    ['.', ...names.sort()].map(async (name) => {
      const path = join(directory, name);
      const { mode, mtimeMs, ctimeMs, ino, isFile } = await stat(path).then((found) => ({
        ...found,
        isFile: found.isFile(),
      }));
      return { name, mode, mtimeMs, ctimeMs, ino, content: isFile ? await readFile(path, 'utf8') : '' };
    }),
  );
}

t.test('the hosts file is compared with configured names and with kept addresses', async (t) => {
  const directory = t.testdir({ hosts: '10.9.9.9 my-cluster.example.net\n10.0.1.1 named.example\n' });
  const state = await writeState(join(directory, 'state'), [fresh()]);
  const text = `clusters: [{name: my-cluster, region: us-west-2}, {name: b, endpoint: named.example, pin: [10.0.1.1]}]
upstreams: [10.0.0.2, 10.0.0.3]
state: {directory: ${state}}
`;
  const findings = await findAll(await load(text), { offline: true }, at(join(directory, 'hosts')));
  t.match(findings, [
    { severity: 'problem', text: /line 1 .* gives "my-cluster\.example\.net" the address 10\.9\.9\.9/ },
    { severity: 'warning', text: /line 2 .* gives "named\.example" the address 10\.0\.1\.1/ },
    { severity: 'warning', text: /pinned/ },
  ]);
  t.equal(findings.length, 3);
  t.match(await findAll(await load(text), { offline: true }, at(directory)), [
    { code: 'hosts-file-unreadable', severity: 'warning', text: /cannot be read \(EISDIR\)/ },
    { text: /pinned/ },
  ]);
});

t.test('texts from files cannot steer the terminal', async (t) => {
  const evil = problem('cluster-unknown', 'a\x1b[2Jb\nc', 'd\re').map((one) => ({ ...one, why: 'f\x07' }));
  const lines = report(
    await load('clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2]\n'),
    evil,
    paintNothing,
  );
  t.strictSame(lines.slice(0, 3), ['[!!] problem: a [2Jb c', '     f', '     fix: d e (cluster-unknown)']);
});

t.test('the state of a directory', async (t) => {
  const directory = t.testdir({ file: '' });
  t.strictSame(await inspectDirectory(join(directory, 'none')), { kind: 'missing' });
  t.strictSame(await inspectDirectory(join(directory, 'file')), { kind: 'not-a-directory' });
  t.strictSame(await inspectDirectory(join(directory, 'file', 'below')), {
    kind: 'unreadable',
    code: 'ENOTDIR',
  });
  t.strictSame(await inspectDirectory(directory), { kind: 'present', isWritable: true, isOwner: true });
});

t.test(
  'the state of a closed directory',
  { skip: process.getuid?.() === 0 && 'root may do all' },
  async (t) => {
    const directory = join(t.testdir(), 'closed');
    await mkdir(directory, { mode: 0o500 });
    t.strictSame(await inspectDirectory(directory), { kind: 'present', isWritable: false, isOwner: true });
    await chmod(directory, 0);
    t.strictSame(await inspectDirectory(directory), { kind: 'unreadable', code: 'EACCES' });
    await chmod(directory, 0o700);
  },
);
