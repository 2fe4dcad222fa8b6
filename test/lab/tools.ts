/** The programs that the lab drives, and the Debian package that each comes in. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

export const PACKAGES = {
  buildah: 'buildah',
  chromium: 'chromium',
  curl: 'curl',
  debootstrap: 'debootstrap',
  dig: 'bind9-dnsutils',
  dnsmasq: 'dnsmasq-base',
  faketime: 'faketime',
  git: 'git',
  ip: 'iproute2',
  named: 'bind9',
  promtool: 'prometheus',
  'systemd-analyze': 'systemd',
  'systemd-nspawn': 'systemd-container',
  tar: 'tar',
  unbound: 'unbound',
  unshare: 'util-linux',
} as const;

export type Tool = keyof typeof PACKAGES;

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export function isInstalled(tool: Tool): boolean {
  return FOLDERS.some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Sorted, each once. */
export function packagesMissing(tools: readonly Tool[]): string[] {
  return [...new Set(tools.filter((tool) => !isInstalled(tool)).map((tool) => PACKAGES[tool]))].sort();
}
