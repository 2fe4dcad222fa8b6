/** The programs that the lab drives, and the Debian packages that each comes in. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

export const PACKAGES = {
  bindfs: 'bindfs',
  buildah: 'buildah',
  chrt: 'util-linux',
  chromium: 'chromium',
  curl: 'curl',
  debootstrap: 'debootstrap',
  dig: 'bind9-dnsutils',
  dnsperf: 'dnsperf',
  dnsmasq: 'dnsmasq-base',
  'dnssec-signzone': 'bind9-utils',
  faketime: 'faketime',
  fusermount3: 'fuse3',
  gcc: 'gcc libc6-dev', // headers and start files, to compile a library
  git: 'git',
  ip: 'iproute2',
  keepalived: 'keepalived',
  kubectl: 'kubernetes-client',
  'musl-gcc': 'musl-tools',
  named: 'bind9',
  nft: 'nftables',
  openssl: 'openssl',
  prometheus: 'prometheus',
  promtool: 'prometheus',
  python3: 'python3',
  cpio: 'cpio',
  fish: 'fish',
  lintian: 'lintian',
  mandoc: 'mandoc',
  rpmbuild: 'rpm',
  rpmlint: 'rpmlint',
  strip: 'binutils',
  'systemd-analyze': 'systemd',
  'systemd-nspawn': 'systemd-container',
  tar: 'tar',
  taskset: 'util-linux',
  tcpdump: 'tcpdump',
  unbound: 'unbound',
  unshare: 'util-linux',
  xz: 'xz-utils',
  zsh: 'zsh',
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
