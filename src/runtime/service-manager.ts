/**
 * The service manager: reports to systemd, through its socket, or through systemd-notify(1) where C cannot be called; the sockets
 * that it hands over at a start; and the file that outlives the process in its folder.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../log/log.ts';
import { RUNTIME_MESSAGES } from './background.ts';
import type { Libc, SocketDescription } from './datagrams.ts';

export interface ServiceManager {
  /** Sends assignments such as `READY=1` or `STATUS=...`; does nothing where no service manager started us. */
  notify(...assignments: readonly string[]): void;
}

/** The socket of the manager that started us, sd_notify(3). An empty variable, as some managers hand on, names none. */
export function notifySocketOf(
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  return environment['NOTIFY_SOCKET'] || undefined;
}

/** Speaks to the manager that `environment` names, if any. Never rejects. */
export async function connectServiceManager(
  environment: Readonly<Record<string, string | undefined>>,
  log: Log,
): Promise<ServiceManager> {
  const path = notifySocketOf(environment);
  if (path === undefined) return { notify: () => undefined };
  const send = await openNotifySocket(path);
  let isFailing = false;
  return {
    notify(...assignments) {
      if (send?.(assignments.join('\n')) === true) {
        isFailing = false;
        return;
      }
      // loaded late, because most hosts never need it
      const { execFile } = process.getBuiltinModule('node:child_process');
      execFile('systemd-notify', assignments, { timeout: 5000 }, (error) => {
        // the watchdog tells every few seconds: a socket that is gone for good is said once
        if (error !== null && !isFailing) RUNTIME_MESSAGES.notNotified(log, { err: error, assignments });
        isFailing = error !== null;
      });
    },
  };
}

// sd_notify(3): one datagram to the Unix socket of the service manager, through libc, because Node has no Unix datagrams
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
const MAX_PATH_OCTETS = 107;

/** Resolves to a function that sends and returns whether the kernel took it; `undefined` without `node:ffi`. Never rejects. */
async function openNotifySocket(path: string): Promise<((text: string) => boolean) | undefined> {
  if (process.platform !== 'linux' || Buffer.byteLength(path) > MAX_PATH_OCTETS) return undefined;
  try {
    const ffi = await import('node:ffi');
    const { functions } = ffi.dlopen(null, {
      socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
      sendto: {
        arguments: ['int32', 'pointer', 'uint64', 'int32', 'pointer', 'uint32'],
        return: 'int64',
      },
    });
    const fd = functions.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    if (fd < 0) return undefined;
    const name = nameOf(path);
    return (text) => {
      const octets = new Uint8Array(Buffer.from(text));
      const sent = functions.sendto(
        fd,
        octets,
        BigInt(octets.length),
        MSG_DONTWAIT_NOSIGNAL,
        name,
        name.length,
      );
      return sent === BigInt(octets.length);
    };
  } catch {
    return undefined;
  }
}

/** `struct sockaddr_un`; `@` stands for the zero octet of an abstract name. */
function nameOf(path: string): Uint8Array<ArrayBuffer> {
  const octets = Buffer.from(path);
  const isAbstract = octets[0] === 0x40;
  const name = new Uint8Array(2 + octets.length + (isAbstract ? 0 : 1));
  name[0] = AF_UNIX;
  name.set(octets, 2);
  if (isAbstract) name[2] = 0;
  return name;
}

// Sockets that the service manager holds and hands over at a start (sd_listen_fds(3)). Datagrams and connections that wait
// in them outlive this process. Who may use which socket is decided in serving/listener.

/** `FileDescriptorName=` of systemd/outpost-dns.socket. */
const DNS_SOCKET_NAME = 'dns';
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

// A file that outlives the process, in the memory of the kernel: the folder of the service manager under /run (RuntimeDirectory=),
// which a restart keeps and a reboot empties. No write to it waits for a disk.

export interface OutlivingFile {
  /** What the process before this one has left. It is no longer in the file. */
  readonly left: Uint8Array;
  /** Writes the first `length` octets at `position`. Throws the system's error. */
  write(octets: Uint8Array, length: number, position: number): void;
}

export type OpenedOutliving =
  | { readonly kind: 'open'; readonly file: OutlivingFile }
  /** The service manager gives no folder. */
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly detail: string };

const MODE = 0o600;

/** `environment` names the folder: RUNTIME_DIRECTORY (systemd.exec(5)). At most `mostOctets` of the file are read. Never throws. */
export function openOutlivingFile(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
  mostOctets: number,
): OpenedOutliving {
  const directory = environment['RUNTIME_DIRECTORY']?.split(':')[0];
  if (directory === undefined || directory === '') return { kind: 'none' };
  const path = join(directory, name);
  try {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    // O_NONBLOCK: a pipe in the place of the file must not block the start
    const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, MODE);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new Error(`"${path}" is not a file`);
      const octets = new Uint8Array(Math.min(stat.size, mostOctets));
      const left = octets.subarray(0, readSync(fd, octets, 0, octets.length, 0));
      ftruncateSync(fd, 0);
      const write = (from: Uint8Array, length: number, position: number): void => {
        writeSync(fd, from, 0, length, position);
      };
      return { kind: 'open', file: { left, write } };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (error) {
    return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }
}
