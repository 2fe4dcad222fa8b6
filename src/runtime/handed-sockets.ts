/**
 * Sockets that the service manager holds and hands over at a start (sd_listen_fds(3)). Datagrams and connections that wait
 * in them outlive this process. This file finds out what was handed over; who may use which socket is decided in
 * serving/listener.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import type { Libc, SocketDescription } from './datagrams.ts';

/** `FileDescriptorName=` of systemd/outpost-dns.socket. */
export const DNS_SOCKET_NAME = 'dns';
const FIRST_FD = 3; // SD_LISTEN_FDS_START

export interface HandedSocket extends Omit<SocketDescription, 'family'> {
  readonly fd: number;
}

export interface HandedSockets {
  readonly sockets: readonly HandedSocket[];
  /** One sentence for each descriptor that cannot be used. */
  readonly faults: readonly string[];
}

/**
 * Takes the sockets that `environment` says were handed to the process `pid`. Removes the variables, because they are not for
 * the children of this process. Never throws.
 */
export function takeHandedSockets(
  environment: Record<string, string | undefined>,
  pid: number,
  libc: Libc | undefined,
): HandedSockets {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'])
    delete environment[name];
  if (LISTEN_FDS === undefined || LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return NONE;
  const count = Number(LISTEN_FDS);
  if (!/^\d{1,4}$/.test(LISTEN_FDS))
    return { sockets: [], faults: [`LISTEN_FDS is "${LISTEN_FDS}": not a number of sockets`] };
  const names = LISTEN_FDNAMES === undefined ? [] : LISTEN_FDNAMES.split(':');
  const describe = libc === undefined ? describeByTables() : (fd: number) => describeByCalls(libc, fd);
  const sockets: HandedSocket[] = [];
  const faults: string[] = [];
  for (let index = 0; index < count; index++) {
    const fd = FIRST_FD + index;
    const name = names[index] ?? 'unknown';
    // before names there was LISTEN_FDS alone: every socket was for DNS then
    if (LISTEN_FDNAMES !== undefined && name !== DNS_SOCKET_NAME && name !== 'unknown') {
      faults.push(`socket ${fd} is named "${name}": only FileDescriptorName=${DNS_SOCKET_NAME} is used`);
      continue;
    }
    const socket = describe(fd);
    if (socket === undefined) faults.push(`descriptor ${fd} ("${name}") is no UDP or TCP socket`);
    else sockets.push(socket);
  }
  return { sockets, faults };
}

const NONE: HandedSockets = { sockets: [], faults: [] };

/** The descriptor that is used is a copy that no child inherits, and so the original is closed. */
function describeByCalls(libc: Libc, fd: number): HandedSocket | undefined {
  const description = libc.describe(fd);
  if (description === undefined) return undefined;
  const copy = libc.duplicate(fd);
  libc.close(fd);
  return { ...description, fd: copy };
}

/** Where C cannot be called: the kernel's tables say to which address the socket with this inode is bound (proc(5)). */
function describeByTables(): (fd: number) => HandedSocket | undefined {
  const rows = new Map<string, Omit<HandedSocket, 'fd'>>();
  for (const table of ['udp', 'udp6', 'tcp', 'tcp6']) {
    for (const [inode, row] of readTable(table)) if (!rows.has(inode)) rows.set(inode, row);
  }
  return (fd) => {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(fd))?.[1];
    const row = rows.get(inode ?? '');
    return row && { ...row, fd };
  };
}

function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return '';
  }
}

function readTable(table: string): [inode: string, Omit<HandedSocket, 'fd'>][] {
  let text = '';
  try {
    text = readFileSync(`/proc/self/net/${table}`, 'utf8');
  } catch {
    return []; // a kernel without IPv6
  }
  const transport = table.startsWith('udp') ? 'udp' : 'tcp';
  return text.split('\n').flatMap((line): [string, Omit<HandedSocket, 'fd'>][] => {
    const words = line.trim().split(/\s+/);
    const [, address = '', port = ''] =
      /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(words[1] ?? '') ?? [];
    if (address === '') return [];
    const octets = Buffer.from(address, 'hex');
    octets.swap32(); // words in the order of the processor: little endian on every machine that is supported
    const row = {
      transport,
      address: new Uint8Array(octets),
      scope: 0,
      port: Number.parseInt(port, 16),
      isDual: false,
    } as const;
    return [[words[9] ?? '', row]];
  });
}
