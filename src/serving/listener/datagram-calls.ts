/**
 * The whole contact with C: one UDP socket and batches of datagrams through recvmmsg(2) and sendmmsg(2).
 *
 * Layouts. Linux on x64 and arm64, little endian, LP64, glibc and musl alike: `struct mmsghdr` is 64 octets, `msghdr`
 * (name pointer 0, name length 8, iovec pointer 16, iovec count 24, control pointer 32, control length 40, flags 48)
 * and behind it the message's length at 56; `struct iovec` is base 0, length 8; a name is a `sockaddr_in` (family 0 in
 * host order, port 2, address 4; 16 octets) or a `sockaddr_in6` (family 0, port 2, flow 4, address 8, scope 24; 28).
 *
 * Lifetimes. C is given addresses into typed arrays, which the collector neither moves nor frees as long as they are
 * reachable: a batch holds its own for as long as it lives, and no call outlasts its return. Node closes the descriptor
 * (`dgram` is given it).
 *
 * errno. Every call returns -1 and leaves its reason in errno, which is read at once, before anything else runs.
 */
import { constants, endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';

export const BATCH = 64;
/** Octets kept of one datagram: a query with room for options; what is longer arrives cut, as `MSG_TRUNC` would say. */
export const SLOT_OCTETS = 4096;
export const NAME_OCTETS = 28;
const NAME4_OCTETS = 16;
const HEADER_OCTETS = 64;
const IOVEC_OCTETS = 16;
const LENGTH_AT = 56;
const NAME_LENGTH_AT = 8;

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const MSG_DONTWAIT = 0x40;
const { EAGAIN, EINTR } = constants.errno;

/** What the listener needs of libc; absent where it cannot be had, and then `reason` says why. */
export type DatagramCalls =
  | { readonly kind: 'available'; readonly libc: Libc }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface Libc {
  /** Opens and binds; returns the descriptor and the real port. Throws an error with the system's `code`. */
  open(
    family: 4 | 6,
    address: Uint8Array,
    port: number,
    bufferOctets: number,
  ): { readonly fd: number; readonly port: number };
  /** For a descriptor that nobody has taken over. */
  close(fd: number): void;
  /** A batch of slots to receive into and to send from, on a descriptor. */
  batch(fd: number, family: 4 | 6, slotOctets: number): DatagramBatch;
}

export interface DatagramBatch {
  /** Octets of slot i start at `i * slotOctets`. */
  readonly slots: Uint8Array;
  /** The `sockaddr` of slot i starts at `i * NAME_OCTETS`. */
  readonly names: Uint8Array;
  /** Fills slots and names from the front; returns how many, 0 when nothing waits, or minus errno. */
  receive(): number;
  /** Octets received into slot i, at most its size. */
  lengthOf(slot: number): number;
  /** Sets how many octets of slot i are to be sent. */
  setLength(slot: number, octets: number): void;
  /** Sends slots from `from` to before `to` to their names; returns how many, or minus errno of the first. */
  send(from: number, to: number): number;
}

/** Loads libc through `node:ffi`, which is experimental and may be absent or denied. Never rejects. */
export async function loadDatagramCalls(): Promise<DatagramCalls> {
  if (process.platform !== 'linux') return { kind: 'unavailable', reason: `not on ${process.platform}` };
  if (!['x64', 'arm64'].includes(process.arch) || endianness() !== 'LE') {
    return { kind: 'unavailable', reason: `no layouts for ${process.arch}` };
  }
  try {
    const ffi = await import('node:ffi');
    return { kind: 'available', libc: createLibc(ffi) };
  } catch (error) {
    return { kind: 'unavailable', reason: error instanceof Error ? error.message : String(error) };
  }
}

type Ffi = typeof import('node:ffi');
/** The kinds of array that stand for C's structures here. */
type Layout =
  | Uint8Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

function createLibc(ffi: Ffi): Libc {
  const { functions } = openLibrary(ffi);
  const errnoAt = functions.__errno_location();
  const errno = (): number => ffi.getInt32(errnoAt);
  const pointer = (view: Layout): bigint => BigInt(ffi.getRawPointer(view));
  const failure = (call: string): Error => systemError(call, errno());
  return {
    open(family, address, port, bufferOctets) {
      const fd = functions.socket(
        family === 4 ? AF_INET : AF_INET6,
        SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
        0,
      );
      if (fd < 0) throw failure('socket');
      const value = new Int32Array([bufferOctets]);
      // best effort: the kernel grants what net.core.rmem_max allows
      functions.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, pointer(value), 4);
      functions.setsockopt(fd, SOL_SOCKET, SO_SNDBUF, pointer(value), 4);
      value[0] = 1;
      if (family === 6) functions.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, pointer(value), 4);
      const name = socketName(family, address, port);
      const length = new Uint32Array([family === 4 ? NAME4_OCTETS : NAME_OCTETS]);
      const isBound =
        functions.bind(fd, pointer(name), length[0] ?? 0) === 0 &&
        functions.getsockname(fd, pointer(name), pointer(length)) === 0;
      if (!isBound) {
        const error = failure('bind');
        functions.close(fd);
        throw error;
      }
      return { fd, port: ((name[2] ?? 0) << 8) | (name[3] ?? 0) };
    },
    close(fd) {
      functions.close(fd);
    },
    batch(fd, family, slotOctets) {
      // all four arrays are fields or closed over: as long as the batch is reachable, so are they
      const { slots, names, headers32, iovecs32, headersPointer } = layOut(family, slotOctets, pointer);
      let used = 0;
      return {
        slots,
        names,
        receive() {
          // the kernel has put the lengths of the names that it wrote in place of the room for them
          for (let slot = 0; slot < used; slot++) {
            headers32[(slot * HEADER_OCTETS + NAME_LENGTH_AT) >> 2] = NAME_OCTETS;
          }
          const received = functions.recvmmsg(fd, headersPointer, BATCH, MSG_DONTWAIT, 0n);
          used = Math.max(received, 0);
          if (received >= 0) return received;
          const reason = errno();
          return reason === EAGAIN || reason === EINTR ? 0 : -reason;
        },
        lengthOf: (slot) => Math.min(headers32[(slot * HEADER_OCTETS + LENGTH_AT) >> 2] ?? 0, slotOctets),
        setLength(slot, octets) {
          iovecs32[(slot * IOVEC_OCTETS + 8) >> 2] = octets;
        },
        send(from, to) {
          const first = headersPointer + BigInt(from * HEADER_OCTETS);
          const sent = functions.sendmmsg(fd, first, to - from, MSG_DONTWAIT);
          return sent >= 0 ? sent : -errno();
        },
      };
    },
  };
}

/** The arrays of one batch, with every pointer in its place for good. Pointers keep no array alive: the batch does. */
function layOut(family: 4 | 6, slotOctets: number, pointer: (view: Layout) => bigint) {
  const slots = new Uint8Array(BATCH * slotOctets);
  const names = new Uint8Array(BATCH * NAME_OCTETS);
  const iovecs = new BigUint64Array((BATCH * IOVEC_OCTETS) / 8);
  const headers = new BigUint64Array((BATCH * HEADER_OCTETS) / 8);
  const headers32 = new Uint32Array(headers.buffer);
  const iovecs32 = new Uint32Array(iovecs.buffer);
  for (let slot = 0; slot < BATCH; slot++) {
    const iovecAt = slot * IOVEC_OCTETS;
    const headerAt = slot * HEADER_OCTETS;
    iovecs[iovecAt / 8] = pointer(slots) + BigInt(slot * slotOctets);
    iovecs32[(iovecAt + 8) / 4] = slotOctets;
    headers[headerAt / 8] = pointer(names) + BigInt(slot * NAME_OCTETS);
    headers32[(headerAt + NAME_LENGTH_AT) / 4] = family === 4 ? NAME4_OCTETS : NAME_OCTETS;
    headers[(headerAt + 16) / 8] = pointer(iovecs) + BigInt(iovecAt);
    headers32[(headerAt + 24) / 4] = 1;
  }
  const headersPointer = pointer(headers);
  return { slots, names, headers32, iovecs32, headersPointer };
}

/** A `sockaddr`, in `NAME_OCTETS` whatever the family; `scope` is the interface's number for a link-local address. */
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

function systemError(call: string, reason: number): Error {
  const code = getSystemErrorName(-reason);
  return Object.assign(new Error(`${call} ${code}`), { code, errno: reason, syscall: call });
}

function openLibrary(ffi: Ffi) {
  const signatures = {
    socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    bind: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
    getsockname: { arguments: ['int32', 'pointer', 'pointer'], return: 'int32' },
    setsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'uint32'], return: 'int32' },
    recvmmsg: { arguments: ['int32', 'pointer', 'uint32', 'int32', 'pointer'], return: 'int32' },
    sendmmsg: { arguments: ['int32', 'pointer', 'uint32', 'int32'], return: 'int32' },
    close: { arguments: ['int32'], return: 'int32' },
    __errno_location: { arguments: [], return: 'pointer' },
  } as const;
  // null is the program itself, which is linked against its libc whatever that is called here
  return ffi.dlopen(null, signatures);
}
