/**
 * The packages that `npm run package` makes, seen by the tools of their formats; the .rpm installed into a Debian of its own. The .deb is
 * installed where systemd runs: systemd-boot.ts.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab, LabCheck } from './check.ts';
import { Background, eventually, must, run } from './commands.ts';
import { dig } from './dig.ts';
import { Namespace } from './namespace.ts';
import { PACKAGE_TOOLS, root } from './workshop.ts';

const MOST_OCTETS = 60e6;
const ENDPOINT = 'abc.gr7.us-west-2.eks.amazonaws.com';
const PINNED = '10.0.1.10';

export const packages: LabCheck = {
  name: 'packages',
  about:
    'npm run package twice; lintian, rpmlint, man pages, completion; the .rpm installed, run and removed',
  tools: [
    'cpio',
    'debootstrap',
    'dig',
    'fish',
    'git',
    'ip',
    'lintian',
    'mandoc',
    'rpmlint',
    'zsh',
    ...PACKAGE_TOOLS,
  ],
  async run(lab) {
    const folder = await lab.workshop.packages();
    const files = (await readdir(folder)).filter((name) => name !== 'SHA256SUMS');
    const named = (end: string): string => {
      const name = files.find((file) => file.endsWith(end));
      if (name === undefined) throw new Error(`no ${end} among ${files.join(', ')}`);
      return join(folder, name);
    };
    const [deb, rpm, tarball] = [named('.deb'), named('.rpm'), named('.tar.xz')];
    for (const file of [deb, rpm, tarball]) {
      const { size } = await stat(file);
      await lab.step(`${end(file)}: at most ${MOST_OCTETS / 1e6} MB`, async () =>
        assert.ok(size <= MOST_OCTETS),
      );
      lab.note(`${end(file)}: ${(size / 1e6).toFixed(1)} MB`);
    }
    await lab.step('the checksums hold', async () => {
      await must(['sha256sum', '--check', '--strict', 'SHA256SUMS'], { cwd: folder });
    });
    const again = sumsOfSecondBuild(lab); // beside the checks below: it takes the longest
    await isLinted(lab, deb, rpm);
    await isReadable(lab, deb);
    await installsRpm(lab, rpm);
    await lab.step('a second build, in another folder and time zone, makes the same files', async () => {
      assert.equal(await again, await readFile(join(folder, 'SHA256SUMS'), 'utf8'));
    });
  },
};

const end = (file: string): string => /\.(?:deb|rpm|tar\.xz)$/.exec(file)?.[0] ?? file;

async function sumsOfSecondBuild(lab: Lab): Promise<string> {
  const room = await lab.workshop.room('packages-again');
  const again = join(room, 'out');
  await mkdir(join(room, 'tmp'));
  const made = lab.workshop.package(again, { TMPDIR: join(room, 'tmp'), TZ: 'Asia/Kathmandu' });
  return made.then(() => readFile(join(again, 'SHA256SUMS'), 'utf8')).catch((error: unknown) => `${error}`);
}

async function isLinted(lab: Lab, deb: string, rpm: string): Promise<void> {
  await lab.step('lintian finds nothing that has no override with a reason', async () => {
    const { code, stdout, stderr } = await run([
      'lintian',
      ...[
        '--allow-root',
        '--display-info',
        '--display-level',
        '+pedantic',
        '--fail-on',
        'error,warning,info,pedantic',
      ],
      deb,
    ]);
    assert.deepEqual([code, stdout], [0, ''], stderr);
  });
  await lab.step('rpmlint finds nothing that has no filter with a reason', async () => {
    const { code, stdout } = await run([
      'rpmlint',
      '--config',
      join(root, 'packaging/rpm/rpmlint.toml'),
      rpm,
    ]);
    assert.match(stdout, /\b0 errors, 0 warnings\b/);
    assert.equal(code, 0, stdout);
  });
}

/** Man pages and completion, by the programs that read them. */
async function isReadable(lab: Lab, deb: string): Promise<void> {
  const files = await lab.workshop.room('deb-files');
  await must(['dpkg-deb', '--extract', deb, files]);
  const share = join(files, 'usr/share');
  await lab.step('mandoc reads every man page', async () => {
    for (const entry of await readdir(join(share, 'man'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const { code, stdout } = await run(['sh', '-c', 'gzip -dc "$1" | mandoc -T lint -W error', 'sh', path]);
      assert.deepEqual([code, stdout], [0, ''], entry.name);
    }
  });
  await lab.step('fish completes commands, options and choices', async () => {
    const complete = async (line: string) =>
      must([
        'fish',
        '--no-config',
        '-c',
        `source $argv[1]; complete -C $argv[2]`,
        join(share, 'fish/vendor_completions.d/outpost-dns.fish'),
        line,
      ]);
    assert.match(await complete('outpost-dns '), /^status\t/m);
    assert.match(await complete('outpost-dns drill st'), /^start\t.*^stop\t/ms);
    assert.match(await complete('outpost-dns export --format '), /^hosts$/m);
    assert.match(await complete('outpost-dns status --h'), /^--healthy\t/m);
  });
  await lab.step('zsh loads its completion', async () => {
    const script =
      'fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; print $_comps[outpost-dns]; autoload +X _outpost-dns';
    assert.equal(
      await must(['zsh', '-f', '-c', script, 'zsh', join(share, 'zsh/vendor-completions')]),
      '_outpost-dns\n',
    );
  });
}

/** Into a Debian of its own, where rpm runs the scriptlets; rpm's requirements name packages of another distribution. */
async function installsRpm(lab: Lab, rpm: string): Promise<void> {
  const host = join(lab.workshop.folder, 'rpm-host');
  await must(['cp', '-a', await lab.workshop.debian(), host]);
  const rpmTool = (...words: string[]) => must(['rpm', '--root', host, '--nodeps', ...words]);
  await lab.step('the scriptlets of the .rpm are what packaging/rpm has', async () => {
    const scripts = await must(['rpm', '-qp', '--scripts', rpm]);
    for (const [moment, command] of [
      ['preinstall', 'rm -rf /usr/lib/outpost-dns'],
      ['postinstall', 'systemd-sysusers outpost-dns.conf'],
      ['preuninstall', 'systemctl stop "$unit"'],
      ['posttrans', 'systemctl restart outpost-dns.service'],
    ] as const)
      assert.ok(scripts.split(`${moment} scriptlet (using /bin/sh):\n`)[1]?.includes(command), moment);
    assert.doesNotMatch(scripts, /(?:stop|restart) outpost-dns\.socket/);
  });
  await lab.step('rpm2cpio unpacks it', async () => {
    const listed = await must(['sh', '-c', 'rpm2cpio "$1" | cpio --list --quiet', 'sh', rpm]);
    assert.match(listed, /^\.\/usr\/lib\/outpost-dns\/node_modules\/node\/bin\/node$/m);
  });
  const installed = await lab.step('rpm --install, with its scriptlets', async () => {
    await rpmTool('--install', rpm);
    assert.match(await readFile(join(host, 'etc/passwd'), 'utf8'), /^outpost-dns:/m);
    await rpmTool('--verify', 'outpost-dns');
  });
  if (!installed) return;
  await runsThere(lab, host);
  const changed = join(host, 'etc/outpost-dns/environment.example');
  await lab.step('rpm --upgrade keeps a changed file and what the server wrote', async () => {
    await writeFile(changed, 'A=1\n');
    await rpmTool('--upgrade', '--replacepkgs', rpm);
    assert.equal(await readFile(changed, 'utf8'), 'A=1\n');
    assert.ok(existsSync(join(host, 'var/lib/outpost-dns/endpoints.json')));
  });
  await lab.step('rpm --erase leaves configuration and state, and nothing else', async () => {
    await rpmTool('--erase', 'outpost-dns');
    assert.deepEqual((await readdir(join(host, 'etc/outpost-dns'))).sort(), [
      'environment.example.rpmsave',
      'outpost-dns.yaml',
    ]);
    assert.ok(existsSync(join(host, 'var/lib/outpost-dns/endpoints.json')));
    assert.ok(!existsSync(join(host, 'usr/lib/outpost-dns')));
    assert.ok(!existsSync(join(host, 'usr/bin/outpost-dns')));
  });
}

/** The program of the .rpm, started inside that Debian. */
async function runsThere(lab: Lab, host: string): Promise<void> {
  await writeFile(
    join(host, 'etc/outpost-dns/outpost-dns.yaml'),
    `clusters: [{ name: c, endpoint: ${ENDPOINT}, sources: [dns], pin: [${PINNED}], probe: { enabled: false } }]
upstreams: [127.0.0.9]
`,
  );
  // the one library that a minimal Debian lacks, from this machine
  for (const library of ['libatomic.so.1'])
    await must(['sh', '-c', 'cp -L /usr/lib/*-linux-gnu/"$1" "$2"/usr/lib/', 'sh', library, host]);
  await mkdir(join(host, 'var/lib/outpost-dns'), { recursive: true });
  await using namespace = await Namespace.make(['10.0.9.53']);
  await using server = new Background(namespace.within(['chroot', host, '/usr/bin/outpost-dns', 'serve']));
  await lab.step('the program of the .rpm answers', async () => {
    await eventually('an answer', 60_000, async () => {
      const reply = await dig(
        (command) => namespace.within(command),
        '@127.0.0.1',
        ENDPOINT,
        '+tries=1',
        '+time=1',
      );
      return reply.answer.some(({ data }) => data === PINNED) ? true : undefined;
    });
  });
  await lab.step('the program of the .rpm ends well', async () => {
    assert.equal((await server.end()).code, 0, server.output);
  });
}
