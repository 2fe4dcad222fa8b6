/** Where the files of the delivery lie on a host that has a package manager: the part that .deb and .rpm share. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PackageJob } from './job.ts';

const packaging = join(import.meta.dirname, '..', '..', 'packaging');

/** The formats differ in the folder of completion for zsh. */
export interface HostTreeOptions {
  readonly zshFolder: string;
}

/** Fills `root`, the folder that becomes / of the host. */
export async function layHostTree(
  job: PackageJob,
  root: string,
  { zshFolder }: HostTreeOptions,
): Promise<void> {
  const put = async (from: string, to: string): Promise<void> => {
    const target = join(root, to);
    await mkdir(dirname(target), { recursive: true });
    await cp(from, target, { recursive: true, preserveTimestamps: true });
  };
  const fromDelivery = (from: string, to: string) => put(join(job.delivery, from), to);
  for (const below of ['bin', 'dist', 'node_modules', 'package.json', 'bom.cdx.json'])
    await fromDelivery(below, `usr/lib/outpost-dns/${below}`);
  for (const below of ['docs', 'config', 'SECURITY.md', 'THIRD-PARTY-LICENSES'])
    await fromDelivery(below, `usr/share/doc/outpost-dns/${below}`);
  // units, messages and documents name the files of a copy by hand
  for (const below of ['docs', 'config'])
    await symlink(`../../share/doc/outpost-dns/${below}`, join(root, 'usr/lib/outpost-dns', below));
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  await symlink('../lib/outpost-dns/bin/outpost-dns', join(root, 'usr/bin/outpost-dns'));
  for (const file of (await readdir(join(job.delivery, 'systemd'))).sort()) {
    if (/\.(?:service|socket)$/.test(file))
      await fromDelivery(`systemd/${file}`, `usr/lib/systemd/system/${file}`);
    else if (file.endsWith('.sysusers.conf'))
      await fromDelivery(`systemd/${file}`, `usr/lib/sysusers.d/${file.replace('.sysusers', '')}`);
  }
  await fromDelivery('man', 'usr/share/man');
  await fromDelivery('completions/outpost-dns.bash', 'usr/share/bash-completion/completions/outpost-dns');
  await fromDelivery('completions/_outpost-dns', `${zshFolder}/_outpost-dns`);
  await fromDelivery('completions/outpost-dns.fish', 'usr/share/fish/vendor_completions.d/outpost-dns.fish');
  for (const file of ['environment.example', 'outpost-dns.yaml.example'])
    await put(join(packaging, 'etc', file), `etc/outpost-dns/${file}`);
}

/** Compresses every man page, without name and time in the head of the file. */
export async function compressManPages(root: string): Promise<void> {
  const folder = join(root, 'usr/share/man');
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) execFileSync('gzip', ['-9n', join(entry.parentPath, entry.name)]);
}

/** Sets the modes that the package has on every host, whatever the umask of the build was, and one time for all files. */
export async function settle(root: string, epochSeconds: number): Promise<void> {
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', root]);
  await dateFiles(root, epochSeconds);
}

/** Gives the folder, and every file and folder in it, one time. */
export async function dateFiles(folder: string, epochSeconds: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (!entry.isSymbolicLink()) await utimes(join(entry.parentPath, entry.name), epochSeconds, epochSeconds);
  await utimes(folder, epochSeconds, epochSeconds);
}

export async function emptied(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  return folder;
}
