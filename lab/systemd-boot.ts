/** The pages for operators on a Debian that boots: the unit with its real user, capabilities and filters, under a real systemd. */
import { appendFile, copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boot, runAtBoot } from './booted-machine.ts';
import type { Lab, LabCheck } from './check.ts';
import { must } from './commands.ts';
import { fencedBlocks } from './markdown.ts';
import { PACKAGE_TOOLS, root } from './workshop.ts';

const BOOT_DEADLINE_MS = 520_000;

export const systemdBoot: LabCheck = {
  name: 'boot',
  about:
    'docs/install.md, docs/outage.md, docs/drill.md, docs/prepare.md and docs/upgrade.md on a Debian that boots systemd; the .deb from installation to purge; no query lost in restarts, kills, reloads and an upgrade',
  tools: ['debootstrap', 'systemd-nspawn', 'git', 'ip', ...PACKAGE_TOOLS],
  async run(lab) {
    const machine = await prepareMachine(lab);
    const results = await boot(machine, BOOT_DEADLINE_MS);
    for (const line of results.split('\n').filter((text) => text !== '')) {
      const [, verdict, text] = /^(ok|not ok|note|done) ?(.*)$/.exec(line) ?? [];
      if (verdict === 'note') lab.note(text ?? '');
      else if (verdict === 'ok') await lab.step(text ?? '', async () => undefined);
      else if (verdict === 'not ok') {
        const [name = '', ...why] = (text ?? '').split(': ');
        await lab.step(name, () => Promise.reject(new Error(why.join(': '))));
      }
    }
    await lab.step('all checks ran', async () => {
      if (!/^done$/m.test(results)) throw new Error('they ended early, see the log');
    });
    const log = await lab.workshop.reportFile('boot.log');
    await copyFile(join(machine, 'lab', 'log'), log).catch(() => undefined);
    lab.note(`every output: ${log}`);
  },
};

/** A copy of the bare Debian, with the build beside it as docs/install.md has it, and the checks to be run at boot. */
async function prepareMachine(lab: Lab): Promise<string> {
  const machine = join(lab.workshop.folder, 'machine');
  await must(['cp', '-a', await lab.workshop.debian(), machine]);
  await mkdir(join(machine, 'lab', 'blocks'), { recursive: true });
  await mkdir(join(machine, 'root', 'dist'), { recursive: true });
  await must(['cp', '-a', await lab.workshop.bundle(), join(machine, 'root', 'dist', 'outpost-dns')]);
  // the booted machine has no network: the packages of docs/install.md are fetched now
  await copyFile('/etc/resolv.conf', join(machine, 'etc', 'resolv.conf'));
  for (const words of [['update'], ['install', '-y', '--no-install-recommends', 'libatomic1']])
    await must(['chroot', machine, 'apt-get', ...words]);
  for (const page of ['install', 'outage', 'drill', 'prepare', 'upgrade'])
    await writeBlocks(page, join(machine, 'lab', 'blocks'));
  await putPackages(lab, join(machine, 'root'));
  for (const part of ['package-checks.sh', 'restart-checks.sh'])
    await copyFile(join(import.meta.dirname, part), join(machine, 'lab', part));
  await must(['cp', '-a', join(import.meta.dirname, 'restart'), join(machine, 'lab', 'restart')]);
  await writeFile(join(machine, 'lab', 'restart', 'package.json'), '{ "type": "module" }\n');
  await copyFile(join(import.meta.dirname, 'boot-checks.sh'), join(machine, 'lab', 'checks.sh'));
  await runAtBoot(machine);
  return machine;
}

/**
 * The .deb goes beside `dist/`, and into `before/` the same files as a version before: the version that was released last has no
 * package. Its example of an environment differs, as that of another version may.
 */
async function putPackages(lab: Lab, folder: string): Promise<void> {
  const packages = await lab.workshop.packages();
  const name = (await readdir(packages)).find(
    (file) => file.endsWith('_amd64.deb') || file.endsWith('_arm64.deb'),
  );
  if (name === undefined) throw new Error(`no .deb in ${packages}`);
  await copyFile(join(packages, name), join(folder, name));
  const tree = join(lab.workshop.folder, 'deb-before');
  await must(['dpkg-deb', '--raw-extract', join(packages, name), tree]);
  const control = join(tree, 'DEBIAN', 'control');
  await writeFile(control, (await readFile(control, 'utf8')).replace(/^Version: .*$/m, 'Version: 0.1.99-1'));
  await appendFile(join(tree, 'etc', 'outpost-dns', 'environment.example'), '# of the version before\n');
  await mkdir(join(folder, 'before'));
  const before = join(folder, 'before', name.replace(/_.*_/, '_0.1.99-1_'));
  await must(['dpkg-deb', '--root-owner-group', '-Znone', '--build', tree, before]);
  await rm(tree, { recursive: true });
}

/** `install-Copy.sh`: all commands under that heading, except those that build. */
async function writeBlocks(page: string, folder: string): Promise<void> {
  const blocks = fencedBlocks(await readFile(join(root, 'docs', `${page}.md`), 'utf8'));
  const texts = new Map<string, string>();
  for (const { language, heading, text } of blocks) {
    if (language !== 'sh' || heading === 'Build') continue;
    texts.set(heading, (texts.get(heading) ?? '') + text);
  }
  for (const [heading, text] of texts)
    await writeFile(join(folder, `${page}-${heading.replaceAll(' ', '-')}.sh`), text);
}
