/** The opened library: its functions, the numbers that they take, and the form in which libc.ts and libc-sockets.ts share them. */
import { getSystemErrorName } from 'node:util';

export type Ffi = typeof import('node:ffi');

/** The kinds of array that stand for C's structures here. */
export type Layout =
  | Uint8Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

export interface Contact {
  /** The callback of libuv lives as long as this object. */
  readonly lib: InstanceType<Ffi['DynamicLibrary']>;
  readonly calls: ReturnType<typeof openLibrary>['functions'];
  readonly errno: () => number;
  readonly pointer: (view: Layout) => bigint;
}

/** Numbers of Linux that both files pass to its calls: socket(2), ip(7), ipv6(7), recv(2). */
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
