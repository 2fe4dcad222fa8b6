/** The .deb, made by dpkg-deb. Its scripts and overrides lie in packaging/deb/. */
import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { compressManPages, emptied, layHostTree, settle } from './host-tree.ts';
import { DESCRIPTION, MAINTAINER, type PackageJob, SUMMARY, tool, XZ_LEVEL } from './job.ts';

const packaging = join(import.meta.dirname, '..', '..', 'packaging', 'deb');
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm'];
/** Oldest that the runtime's symbols allow: `readelf -V`. */
const DEPENDS = [
  'libc6 (>= 2.28)',
  'libstdc++6 (>= 8)',
  'libgcc-s1 (>= 4.2)',
  'libatomic1 (>= 4.8)',
  'systemd',
];

export async function buildDeb(job: PackageJob): Promise<string> {
  const { version, architecture, room, out, epochSeconds } = job;
  const tree = await emptied(join(room, 'deb'));
  await layHostTree(job, tree, { zshFolder: 'usr/share/zsh/vendor-completions' });
  await compressManPages(tree);
  const doc = join(tree, 'usr/share/doc/outpost-dns');
  await copyFile(join(packaging, 'copyright'), join(doc, 'copyright'));
  await writeFile(join(doc, 'changelog.Debian'), debianChangelog(version, epochSeconds));
  await copyFile(join(job.delivery, 'CHANGELOG.md'), join(doc, 'changelog'));
  execFileSync('gzip', ['-9n', join(doc, 'changelog.Debian'), join(doc, 'changelog')]);
  const overrides = join(tree, 'usr/share/lintian/overrides');
  await mkdir(overrides, { recursive: true });
  await copyFile(join(packaging, 'lintian-overrides'), join(overrides, 'outpost-dns'));
  await settle(tree, epochSeconds);

  const control = join(tree, 'DEBIAN');
  const { files, kibibytes, sums } = await contentsOf(tree);
  await mkdir(control);
  await writeFile(join(control, 'control'), controlFile(version, architecture.debian, kibibytes));
  await writeFile(join(control, 'md5sums'), sums);
  const configuration = files.filter((file) => file.startsWith('etc/')).map((file) => `/${file}\n`);
  await writeFile(join(control, 'conffiles'), configuration.join(''));
  for (const script of SCRIPTS) {
    await copyFile(join(packaging, script), join(control, script));
    await chmod(join(control, script), 0o755);
  }
  const path = join(out, `outpost-dns_${version}-1_${architecture.debian}.deb`);
  await tool(job, 'dpkg-deb', [
    ...['--root-owner-group', '--uniform-compression', '-Zxz', `-z${XZ_LEVEL}`],
    ...['--build', tree, path],
  ]);
  return path;
}

function controlFile(version: string, architecture: string, kibibytes: number): string {
  return `Package: outpost-dns
Version: ${version}-1
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes}
Depends: ${DEPENDS.join(', ')}
Section: net
Priority: optional
Description: ${SUMMARY}
${DESCRIPTION.map((line) => ` ${line}\n`).join('')}`;
}

function debianChangelog(version: string, epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000).toUTCString().replace('GMT', '+0000');
  return `outpost-dns (${version}-1) stable; urgency=medium

  * Version ${version}: see changelog.gz.

 -- ${MAINTAINER}  ${date}
`;
}

/** The regular files, their size as dpkg-gencontrol counts it, and their sums. */
async function contentsOf(
  tree: string,
): Promise<{ files: readonly string[]; kibibytes: number; sums: string }> {
  const find = (...words: string[]): string[] =>
    execFileSync('find', ['.', '-mindepth', '1', ...words], { cwd: tree, encoding: 'utf8' })
      .trim()
      .split('\n');
  const files = find('-type', 'f', '-printf', '%P\n').sort();
  let kibibytes = find('!', '-type', 'f').length;
  for (const file of files) kibibytes += Math.ceil((await stat(join(tree, file))).size / 1024);
  const listed = files.filter((file) => !file.startsWith('etc/'));
  const sums = execFileSync('md5sum', listed, { cwd: tree, encoding: 'utf8' });
  return { files, kibibytes, sums };
}
