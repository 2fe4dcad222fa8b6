/** The seam to C: sockets and batches of datagrams as descriptors and octets. libc.ts implements it, and tests replace it. */

import ipaddr from 'ipaddr.js';

export const BATCH = 64;
/** Room for a `sockaddr` of either family. */
export const NAME_OCTETS = 28;
export const NAME_WORDS = NAME_OCTETS / 4;
export const AF_INET = 2;
export const AF_INET6 = 10;

/** The calls to C, or why there are none here. */
export type DatagramCalls =
  | { readonly kind: 'available'; readonly libc: Libc }
  | { readonly kind: 'unavailable'; readonly reason: string };

export type Connected =
  | { readonly kind: 'connected'; readonly fd: number }
  | { readonly kind: 'failed'; readonly call: 'socket' | 'bind' | 'connect'; readonly code: string };

/** Loaded with `loadDatagramCalls` of libc.ts. */
export interface Libc {
  /** Opens and binds; returns the descriptor and the real port. Throws an error with the system's `code`. */
  open(family: 4 | 6, address: Uint8Array, port: number, options: SocketOptions): OpenSocket;
  /** Opens a socket for connections as Node does, binds it and listens; as `open` otherwise. */
  listen(family: 4 | 6, address: Uint8Array, port: number, backlog: number): OpenSocket;
  /** Makes a socket that another process has bound ready for a batch. Throws an error with the system's `code`. */
  adopt(fd: number, options: SocketOptions): void;
  /** Describes an open descriptor; `undefined` where it is no socket for datagrams or connections over IP. */
  describe(fd: number): SocketDescription | undefined;
  /** Returns another descriptor of the same socket, which no child inherits; both have to be closed. */
  duplicate(fd: number): number;
  /** Opens, binds to `port` of every address, and connects to the `sockaddr` in `peer`. */
  connect(family: 4 | 6, port: number, peer: Uint8Array<ArrayBuffer>): Connected;
  /** Starts to connect a stream: the descriptor is there before the connection. */
  connectStream(family: 4 | 6, peer: Uint8Array<ArrayBuffer>): Connected;
  /** Sends to the peer of a connected socket; returns the octets sent, or minus errno. */
  send(fd: number, octets: Uint8Array): number;
  close(fd: number): void;
  /** Slots to receive into and to send from. */
  batch(family: 4 | 6, slotOctets: number, options?: BatchOptions): DatagramBatch;
  /**
   * Calls `onReadable` while the descriptor is readable, each time in a turn of the loop of its own. Dispose it before the
   * descriptor is closed.
   */
  watch(fd: number, onReadable: () => void): Watch;
  readySet(): ReadySet;
  /**
   * Calls `onChange` after an address has come to this host or has left it, also when an IPv6 address becomes usable. Throws
   * where the system does not allow it.
   */
  watchHostAddresses(onChange: () => void): Disposable;
}

export interface SocketOptions {
  /** Room for datagrams that wait, in each direction. */
  readonly bufferOctets: number;
  /** Each datagram brings the address that it was sent to: for a socket that is bound to a wildcard. */
  readonly packetInfo?: boolean;
}

export interface OpenSocket {
  readonly fd: number;
  readonly port: number;
}

export interface SocketDescription {
  readonly transport: 'udp' | 'tcp';
  readonly family: 4 | 6;
  /** 4 or 16 octets. */
  readonly address: Uint8Array;
  /** The number of the interface of a link-local address, or 0. */
  readonly scope: number;
  readonly port: number;
  /** An IPv6 socket that takes IPv4 clients as well. */
  readonly isDual: boolean;
}

export interface BatchOptions {
  /** Default `BATCH`. */
  readonly size?: number;
  /** Whether each slot has room for the local address of its datagram. */
  readonly packetInfo?: boolean;
}

/** Words of the packet information of one datagram, of either family. */
export const INFO_WORDS = 5;

export interface Watch extends Disposable {
  /** Keeps the process alive, which is the case from the start. */
  ref(): void;
  /** Keeps the process alive no longer. */
  unref(): void;
}

export interface DatagramBatch {
  /** Octets of slot i start at `i * slotOctets`. */
  readonly slots: Uint8Array;
  /** The `sockaddr` of slot i starts at `i * NAME_OCTETS`. */
  readonly names: Uint8Array;
  /** The octets of `names` as words of 32 bits: to copy words takes a quarter of the time. */
  readonly nameWords: Uint32Array;
  /** Packet information, as words: where that of a slot is, `infoAt` says. */
  readonly infoWords: Uint32Array;
  readonly size: number;
  /** Fills slots and names from the front, `most` at most; returns how many, 0 when no datagram waits, or minus errno. */
  receive(fd: number, most?: number): number;
  /** As `receive` of one datagram, which stays in the socket. */
  peek(fd: number): number;
  /** Takes the datagram that `peek` has shown out of the socket, and forgets it; no datagram may have been received meanwhile. */
  drop(fd: number): void;
  /** Octets received into slot i, at most its size: a longer datagram is cut. */
  lengthOf(slot: number): number;
  /**
   * Returns where in `infoWords` the packet information of slot i is, or -1 where the datagram came without. For IPv4 it is
   * the interface, the local address and the destination, each a word; for IPv6 four words of destination and the interface.
   */
  infoAt(slot: number): number;
  /** Lets slot i leave from the destination in the packet information at `at` of `words`; -1: from the address of the route. */
  setInfo(slot: number, words: Uint32Array, at: number): void;
  /** Sets how many octets of slot i `send` sends. */
  setLength(slot: number, octets: number): void;
  /** Sends slots from `from` to before `to` to their names; returns how many, or minus errno of the first. */
  send(fd: number, from: number, to: number): number;
}

/** Many descriptors watched as one: epoll(7). */
export interface ReadySet {
  readonly fd: number;
  /** A descriptor that is closed leaves by itself. `token` is 32 bits. */
  add(fd: number, token: number): void;
  /** Returns how many descriptors are readable now, at most a batch; their tokens are `tokenAt(0)` and so on. */
  ready(): number;
  tokenAt(index: number): number;
}

/** A `sockaddr`, padded to `NAME_OCTETS`; `scope` is the number of the interface for a link-local address. */
export function socketName(
  family: 4 | 6,
  address: Uint8Array,
  port: number,
  scope = 0,
): Uint8Array<ArrayBuffer> {
  const name = new Uint8Array(NAME_OCTETS);
  name[0] = family === 4 ? AF_INET : AF_INET6;
  name[2] = port >> 8;
  name[3] = port;
  name.set(address, family === 4 ? 4 : 8);
  new DataView(name.buffer).setUint32(24, family === 4 ? 0 : scope, true);
  return name;
}

export interface Peer {
  readonly family: 4 | 6;
  readonly name: Uint8Array<ArrayBuffer>;
}

/** The `sockaddr` of an address without a zone. */
export function peerOf({ address, port }: { readonly address: string; readonly port: number }): Peer {
  const octets = Uint8Array.from(ipaddr.parse(address).toByteArray());
  const family = octets.length === 4 ? 4 : 6;
  return { family, name: socketName(family, octets, port) };
}

/** The length of a `sockaddr` of each family, without padding. */
export const NAME_LENGTHS = { 4: 16, 6: NAME_OCTETS } as const;
