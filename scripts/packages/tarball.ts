/** The tarball: the folder of all files as it stands, for hosts without dpkg and rpm. */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type PackageJob, tool, XZ_LEVEL } from './job.ts';

export async function buildTarball(job: PackageJob): Promise<string> {
  const { version, architecture, delivery, room, out, epochSeconds } = job;
  const name = `outpost-dns-${version}-linux-${architecture.node}`;
  const path = join(out, `${name}.tar.xz`);
  await cp(delivery, join(room, name), { recursive: true, preserveTimestamps: true });
  await tool(job, 'tar', [
    '--create',
    '--sort=name',
    '--format=gnu',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u+rw,go=rX',
    `--mtime=@${epochSeconds}`,
    `--use-compress-program=xz -T2 -${XZ_LEVEL}`,
    `--file=${path}`,
    name,
  ]);
  await rm(join(room, name), { recursive: true });
  return path;
}
