/**
 * The opened C library, and sockets as C has them: bound here, or handed over by the service manager; and the kernel's word that
 * an address has changed.
 */
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import {
  AF_INET,
  AF_INET6,
  type Libc,
  NAME_LENGTHS,
  NAME_OCTETS,
  type OpenSocket,
  type SocketDescription,
  type SocketOptions,
} from './datagrams.ts';

// The opened library: its functions, the numbers that they take, and the form in which libc.ts and libc-sockets.ts share them.

export type Ffi = typeof import('node:ffi');

/** The kinds of array that stand for C's structures here. */
export type Layout =
  | Uint8Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

export interface OpenLibrary {
  /** The callback of libuv lives as long as this object. */
  readonly lib: InstanceType<Ffi['DynamicLibrary']>;
  readonly calls: ReturnType<typeof openLibrary>['functions'];
  readonly errno: () => number;
  readonly pointer: (view: Layout) => bigint;
}

/** Numbers of Linux that both files pass to its calls: socket(2), ip(7), ipv6(7), recv(2). */
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const IPPROTO_IP = 0;
export const IP_PKTINFO = 8;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;
export const MSG_PEEK = 2;
export const MSG_DONTWAIT = 0x40;

export function openLibrary(ffi: Ffi) {
  // null is the program itself, which contains libuv and has loaded its libc
  return ffi.dlopen(null, SIGNATURES);
}

export function errorName(reason: number): string {
  return getSystemErrorName(-reason);
}

export function systemError(call: string, reason: number): Error {
  const code = errorName(reason);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: reason, syscall: call });
}

/** In the form that `node:ffi` takes. */
const SIGNATURES = {
  socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
  listen: { arguments: ['int32', 'int32'], return: 'int32' },
  bind: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
  connect: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
  getsockname: { arguments: ['int32', 'pointer', 'pointer'], return: 'int32' },
  getsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'pointer'], return: 'int32' },
  setsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'uint32'], return: 'int32' },
  fcntl: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
  recv: { arguments: ['int32', 'pointer', 'uint64', 'int32'], return: 'int64' },
  send: { arguments: ['int32', 'pointer', 'uint64', 'int32'], return: 'int64' },
  recvmmsg: { arguments: ['int32', 'pointer', 'uint32', 'int32', 'pointer'], return: 'int32' },
  sendmmsg: { arguments: ['int32', 'pointer', 'uint32', 'int32'], return: 'int32' },
  close: { arguments: ['int32'], return: 'int32' },
  epoll_create1: { arguments: ['int32'], return: 'int32' },
  epoll_ctl: { arguments: ['int32', 'int32', 'int32', 'pointer'], return: 'int32' },
  epoll_wait: { arguments: ['int32', 'pointer', 'int32', 'int32'], return: 'int32' },
  __errno_location: { arguments: [], return: 'pointer' },
  uv_handle_size: { arguments: ['int32'], return: 'uint64' },
  uv_poll_init: { arguments: ['pointer', 'pointer', 'int32'], return: 'int32' },
  uv_poll_start: { arguments: ['pointer', 'int32', 'pointer'], return: 'int32' },
  uv_poll_stop: { arguments: ['pointer'], return: 'int32' },
  uv_ref: { arguments: ['pointer'], return: 'void' },
  uv_unref: { arguments: ['pointer'], return: 'void' },
  uv_close: { arguments: ['pointer', 'pointer'], return: 'void' },
} as const;

const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_TYPE = 3;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const IPV6_RECVPKTINFO = 49;
const F_DUPFD_CLOEXEC = 1030;
// netlink(7), rtnetlink(7)
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV6_IFADDR = 0x100;
const NEWS_OCTETS = 16_384;
const { ENOBUFS } = constants.errno;

type Sockets = 'adopt' | 'describe' | 'duplicate' | 'watchHostAddresses';

export function createSockets(library: OpenLibrary, watch: Libc['watch']): Pick<Libc, Sockets> {
  return {
    adopt: (fd, options) => adoptSocket(library, fd, options),
    describe: (fd) => describeSocket(library, fd),
    duplicate: (fd) => duplicate(library, fd),
    watchHostAddresses: (onChange) => watchHostAddresses(library, watch, onChange),
  };
}

/** Binds an open socket and makes it ready, for datagrams or for connections; closes it where that fails. */
export function bindSocket(
  library: OpenLibrary,
  fd: number,
  name: Uint8Array<ArrayBuffer>,
  options: SocketOptions | { readonly backlog: number },
): OpenSocket {
  const { calls, errno } = library;
  try {
    // before the first datagram can come: one without packet information gets its reply from the wrong address
    if (!('backlog' in options)) adoptSocket(library, fd, options);
    // connections of the process before may still be ending on this port
    else calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Int32Array([1]), 4);
    const family = name[0] === AF_INET ? 4 : 6;
    const length = new Uint32Array([NAME_LENGTHS[family]]);
    if (calls.bind(fd, name, length[0] ?? 0) < 0 || calls.getsockname(fd, name, length) < 0)
      throw systemError('bind', errno());
    if ('backlog' in options && calls.listen(fd, options.backlog) < 0) throw systemError('listen', errno());
    return { fd, port: portOf(name) };
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

function adoptSocket(
  library: OpenLibrary,
  fd: number,
  { bufferOctets, packetInfo = false }: SocketOptions,
): void {
  const { calls, errno } = library;
  // a handed socket may have more than this: its service manager may go beyond net.core.rmem_max
  for (const option of [SO_RCVBUF, SO_SNDBUF]) {
    const before = socketOption(library, fd, SOL_SOCKET, option) ?? 0;
    // best effort: the kernel grants what net.core.rmem_max allows, and reports twice of it
    if (before < 2 * bufferOctets)
      calls.setsockopt(fd, SOL_SOCKET, option, new Int32Array([bufferOctets]), 4);
  }
  if (!packetInfo) return;
  const isFour = describeSocket(library, fd)?.family !== 6;
  const [level, option] = isFour ? [IPPROTO_IP, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_RECVPKTINFO];
  if (calls.setsockopt(fd, level, option, new Int32Array([1]), 4) < 0)
    throw systemError('setsockopt', errno());
}

function describeSocket(library: OpenLibrary, fd: number): SocketDescription | undefined {
  const type = socketOption(library, fd, SOL_SOCKET, SO_TYPE);
  const transport = type === SOCK_DGRAM ? 'udp' : type === SOCK_STREAM ? 'tcp' : undefined;
  const name = new Uint8Array(NAME_OCTETS);
  const isNamed = library.calls.getsockname(fd, name, new Uint32Array([NAME_OCTETS])) === 0;
  const domain = name[0] ?? 0;
  if (transport === undefined || !isNamed || (domain !== AF_INET && domain !== AF_INET6)) return undefined;
  const port = portOf(name);
  if (domain === AF_INET)
    return { transport, family: 4, address: name.slice(4, 8), scope: 0, port, isDual: false };
  return {
    transport,
    family: 6,
    address: name.slice(8, 24),
    scope: new DataView(name.buffer).getUint32(24, true),
    port,
    isDual: socketOption(library, fd, IPPROTO_IPV6, IPV6_V6ONLY) === 0,
  };
}

function duplicate({ calls, errno }: OpenLibrary, fd: number): number {
  const copy = calls.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw systemError('fcntl', errno());
  return copy;
}

/**
 * Carriers count too: Node lists no address of an interface without a carrier, and one that comes or goes changes no address.
 * The news say only that something has changed: a caller that wants to know what changed lists the addresses.
 */
function watchHostAddresses(
  { calls, errno }: OpenLibrary,
  watch: Libc['watch'],
  onChange: () => void,
): Disposable {
  const fd = calls.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) throw systemError('socket', errno());
  // sockaddr_nl: family, padding, port 0 for one that the kernel chooses, groups
  const name = new Uint32Array([AF_NETLINK, 0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR]);
  const news = new Uint8Array(NEWS_OCTETS);
  const read = (): void => {
    let heard = 0;
    for (;;) {
      const octets = Number(calls.recv(fd, news, BigInt(NEWS_OCTETS), MSG_DONTWAIT));
      // more news than the socket holds (ENOBUFS) are news too
      if (octets <= 0 && !(octets < 0 && errno() === ENOBUFS && heard === 0)) break;
      heard += 1;
    }
    if (heard > 0) onChange();
  };
  let watching: Disposable & { unref(): void };
  try {
    if (calls.bind(fd, name, 12) < 0) throw systemError('bind', errno());
    watching = watch(fd, read);
    watching.unref();
  } catch (error) {
    calls.close(fd);
    throw error;
  }
  let isOver = false;
  return {
    [Symbol.dispose]() {
      if (isOver) return;
      isOver = true;
      watching[Symbol.dispose]();
      calls.close(fd);
    },
  };
}

function socketOption({ calls }: OpenLibrary, fd: number, level: number, option: number): number | undefined {
  const value = new Int32Array(1);
  return calls.getsockopt(fd, level, option, value, new Uint32Array([4])) < 0 ? undefined : value[0];
}

const portOf = (name: Uint8Array): number => ((name[2] ?? 0) << 8) | (name[3] ?? 0);
