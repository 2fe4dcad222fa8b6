/**
 * Finds the programs that hold a port on this host, as ss(8) does: sockets from /proc/net, and their owners from /proc/PID/fd. On a
 * system without /proc it finds none. Only root sees the owners of other users' sockets.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import ipaddr from 'ipaddr.js';

export interface Holder {
  /** Canonical text; `0.0.0.0` and `::` are wildcards. */
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
  /** Absent where this user may not see it. */
  readonly program?: {
    readonly pid: number;
    readonly name: string;
    readonly words: readonly string[];
    readonly unit?: string;
  };
}

const TABLES = [
  ['udp', 'udp'],
  ['udp6', 'udp'],
  ['tcp', 'tcp'],
  ['tcp6', 'tcp'],
] as const;
/** The state LISTEN of TCP; a UDP socket without a peer has the state CLOSE. */
const LISTENING: Readonly<Record<Holder['transport'], string>> = { tcp: '0A', udp: '07' };

/** `proc` is /proc, or its copy in a test. */
export async function portHolders(port: number, proc = '/proc'): Promise<readonly Holder[]> {
  const sockets = (
    await Promise.all(
      TABLES.map(async ([table, transport]) =>
        socketsIn(await readFile(join(proc, 'net', table), 'utf8').catch(() => ''), transport, port),
      ),
    )
  ).flat();
  if (sockets.length === 0) return [];
  const programs = await programsOf(new Set(sockets.map(({ inode }) => inode)), proc);
  return sockets.flatMap(({ inode, ...socket }) => {
    const found = programs.get(inode) ?? [];
    return found.length === 0 ? [socket] : found.map((program) => ({ ...socket, program }));
  });
}

function socketsIn(table: string, transport: Holder['transport'], port: number) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (!local.endsWith(suffix) || state !== LISTENING[transport]) return [];
      return [{ address: addressOf(local.slice(0, -suffix.length)), transport, inode }];
    });
}

/** Words of 32 bits in the order of the host, which is little-endian on every platform of Node. */
function addressOf(hex: string): string {
  const octets = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).map((octet) => Number.parseInt(octet, 16)).reverse(),
  );
  const parsed = ipaddr.fromByteArray(octets);
  return parsed.kind() === 'ipv6' && parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()
    ? parsed.toIPv4Address().toString()
    : parsed.toString();
}

type Program = NonNullable<Holder['program']>;

async function programsOf(
  inodes: ReadonlySet<string>,
  proc: string,
): Promise<ReadonlyMap<string, readonly Program[]>> {
  const found = new Map<string, Program[]>();
  const pids = (await readdir(proc).catch((): string[] => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const held = await heldBy(join(proc, pid), inodes);
    if (held.size === 0) continue;
    const program = await describe(Number(pid), join(proc, pid));
    for (const inode of held) found.set(inode, [...(found.get(inode) ?? []), program]);
  }
  return found;
}

async function heldBy(directory: string, inodes: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const names = await readdir(join(directory, 'fd')).catch((): string[] => []);
  const links = await Promise.all(names.map((name) => readlink(join(directory, 'fd', name)).catch(() => '')));
  const held = links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
  return new Set(held.filter((inode) => inodes.has(inode)));
}

async function describe(pid: number, directory: string): Promise<Program> {
  const read = (name: string) => readFile(join(directory, name), 'utf8').catch(() => '');
  const [name, words, group] = await Promise.all([read('comm'), read('cmdline'), read('cgroup')]);
  const unit = /\/([^/\n]+\.service)(?:\/|$)/m.exec(group)?.[1];
  return {
    pid,
    name: name.trim(),
    words: words.split('\0').filter((word) => word !== ''),
    ...(unit === undefined ? {} : { unit }),
  };
}
