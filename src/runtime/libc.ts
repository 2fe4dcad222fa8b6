/**
 * Implements datagrams.ts in C: UDP sockets, and batches of datagrams through recvmmsg(2) and sendmmsg(2), watched by libuv.
 * libc-sockets.ts has the calls of a start, and the functions that are called.
 *
 * Layouts. Linux on x64 and arm64, little endian, LP64, glibc and musl alike: `struct mmsghdr` is 64 octets, `msghdr`
 * (name pointer 0, name length 8, iovec pointer 16, iovec count 24, control pointer 32, control length 40, flags 48)
 * and after it the message's length at 56; `struct iovec` is base 0, length 8; a name is a `sockaddr_in` (family 0 in
 * host order, port 2, address 4; 16 octets) or a `sockaddr_in6` (family 0, port 2, flow 4, address 8, scope 24; 28).
 * A control message is a `struct cmsghdr` (length 0, level 8, type 12) and from 16 on an `in_pktinfo` (interface, local
 * address, destination in the header; 12) or an `in6_pktinfo` (destination, interface; 20): ip(7), RFC 3542 section 6.
 * `struct epoll_event` is packed on x64 alone: events 0, data 4, 12 octets; elsewhere data 8, 16 octets. A `uv_poll_t`
 * is opaque: libuv says its size.
 *
 * Lifetimes. C gets addresses into typed arrays, which the collector neither moves nor frees while they are reachable. The
 * address of an array that is used repeatedly is taken once, and the array is a field of its user, or in its closure. An
 * array that is used once is passed itself, not its address: only the array is kept alive during the call. After a call has
 * returned C holds no pointer of ours; only libuv does. Its handles are kept for good, because libuv lets go of a handle only
 * some time after it was closed. Every descriptor that is opened here is closed here, and only after its watch has ended; Node
 * closes a socket for connections that it has taken over (serving/listener/tcp.ts, serving/forwarder/tcp.ts).
 *
 * errno. Every call returns -1 and leaves its reason in errno, which is read at once, before other code runs. Results that
 * leave this file are minus errno. A call that a signal interrupted is repeated, except where the loop reports the same
 * descriptor again (recvmmsg, epoll_wait). Callbacks must not throw into C, which would end the process. The registered
 * callback only notes that a descriptor is readable, and the next phase of the loop reads it.
 */
import { constants, endianness } from 'node:os';
import { beginTurn, inTurn } from './clock.ts';
import {
  AF_INET,
  AF_INET6,
  BATCH,
  type BatchOptions,
  type Connected,
  type DatagramBatch,
  type DatagramCalls,
  type Libc,
  NAME_LENGTHS,
  NAME_OCTETS,
  type ReadySet,
  socketName,
} from './datagrams.ts';
import {
  bindSocket,
  createSockets,
  errorName,
  type Ffi,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  type Layout,
  MSG_DONTWAIT,
  MSG_PEEK,
  type OpenLibrary,
  openLibrary,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  systemError,
} from './libc-sockets.ts';

/** Sizes and offsets of C's structures; those of `epoll_event` differ by processor. */
export const LAYOUT = {
  mmsghdr: {
    size: 64,
    name: 0,
    nameLength: 8,
    iovec: 16,
    iovecs: 24,
    control: 32,
    controlLength: 40,
    length: 56,
  },
  iovec: { size: 16, base: 0, length: 8 },
  cmsghdr: { size: 16, length: 0, level: 8, type: 12 },
  pktinfo4: { size: 12, interface: 0, local: 4, destination: 8 },
  pktinfo6: { size: 20, destination: 0, interface: 16 },
  epollEvent: { x64: { size: 12, data: 4 }, arm64: { size: 16, data: 8 } },
} as const;
const { mmsghdr: HEADER, iovec: IOVEC, cmsghdr: CONTROL } = LAYOUT;

const IPV6_PKTINFO = 50;
/** Room for the control messages of a slot: the packet information, and messages that a handed socket may bring besides. */
const CONTROL_OCTETS = 128;
const CONTROL_WORDS = CONTROL_OCTETS / 4;
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const READY_AT_ONCE = 128;
const UV_POLL = 8; // of uv_handle_type
const UV_READABLE = 1;
/** The longest message that `send` takes: longer than any query of ours with its padding. */
const OUTBOX_OCTETS = 1024;
const { EAGAIN, EINPROGRESS, EINTR, EMSGSIZE } = constants.errno;

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

function createLibc(ffi: Ffi): Libc {
  const { lib, functions: calls } = openLibrary(ffi);
  const errnoAt = calls.__errno_location();
  const library: OpenLibrary = {
    lib,
    calls,
    errno: () => ffi.getInt32(errnoAt),
    pointer: (view) => BigInt(ffi.getRawPointer(view)),
  };
  const watch = createWatching(library, () => ffi.getCurrentEventLoop());
  const outbox = new Uint8Array(OUTBOX_OCTETS);
  const outboxPointer = library.pointer(outbox);
  // every eighth query to an upstream opens a socket: only the port differs
  const anyAddress = { 4: socketName(4, new Uint8Array(0), 0), 6: socketName(6, new Uint8Array(0), 0) };
  return {
    ...createSockets(library, watch),
    open(family, address, port, options) {
      const fd = openSocket(library, family);
      if (fd < 0) throw systemError('socket', -fd);
      return bindSocket(library, fd, socketName(family, address, port), options);
    },
    listen(family, address, port, backlog) {
      const fd = openSocket(library, family, SOCK_STREAM);
      if (fd < 0) throw systemError('socket', -fd);
      return bindSocket(library, fd, socketName(family, address, port), { backlog });
    },
    connect(family, port, peer) {
      const any = anyAddress[family];
      any[2] = port >> 8;
      any[3] = port;
      return openConnected(library, family, SOCK_DGRAM, [
        ['bind', any],
        ['connect', peer],
      ]);
    },
    connectStream: (family, peer) => openConnected(library, family, SOCK_STREAM, [['connect', peer]]),
    watch,
    send(fd, octets) {
      if (octets.length > OUTBOX_OCTETS) return -EMSGSIZE;
      for (let at = 0; at < octets.length; at++) outbox[at] = octets[at] ?? 0;
      for (;;) {
        const sent = calls.send(fd, outboxPointer, BigInt(octets.length), MSG_DONTWAIT);
        const reason = sent < 0n ? library.errno() : 0;
        if (reason !== EINTR) return reason === 0 ? octets.length : -reason;
      }
    },
    close: (fd) => void calls.close(fd),
    batch: (family, slotOctets, options) => createBatch(library, family, slotOctets, options ?? {}),
    readySet: () => createReadySet(library),
  };
}

/** `steps`: each call with its `sockaddr`. */
function openConnected(
  library: OpenLibrary,
  family: 4 | 6,
  type: number,
  steps: readonly (readonly ['bind' | 'connect', Uint8Array<ArrayBuffer>])[],
): Connected {
  const { calls, errno } = library;
  const fd = openSocket(library, family, type);
  if (fd < 0) return { kind: 'failed', call: 'socket', code: errorName(-fd) };
  for (const [call, name] of steps) {
    // no helper that takes the call as a closure: every eighth query to an upstream opens a socket
    let reason: number = EINTR;
    while (reason === EINTR) reason = calls[call](fd, name, NAME_LENGTHS[family]) < 0 ? errno() : 0;
    if (reason === 0 || reason === EINPROGRESS) continue;
    calls.close(fd);
    return { kind: 'failed', call, code: errorName(reason) };
  }
  return { kind: 'connected', fd };
}

/** The descriptor, or minus errno. */
function openSocket({ calls, errno }: OpenLibrary, family: 4 | 6, type = SOCK_DGRAM): number {
  const domain = family === 4 ? AF_INET : AF_INET6;
  let fd = -1;
  let reason: number = EINTR;
  while (reason === EINTR) {
    fd = calls.socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    reason = fd < 0 ? errno() : 0;
  }
  // otherwise a wildcard of IPv6 takes the port of IPv4 too
  if (family === 6 && fd >= 0) calls.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, new Int32Array([1]), 4);
  return fd < 0 ? -reason : fd;
}

function createBatch(
  { calls, errno, pointer }: OpenLibrary,
  family: 4 | 6,
  slotOctets: number,
  { size = BATCH, packetInfo = false }: BatchOptions,
): DatagramBatch {
  // all arrays are fields or in a closure: they are reachable while the batch is
  const arrays = layOut(family, slotOctets, size, packetInfo, pointer);
  const { slots, names, controls, headers32, iovecs32, headersPointer } = arrays;
  const controlWords = new Uint32Array(controls.buffer);
  const [level, type] = family === 4 ? [IPPROTO_IP, IP_PKTINFO] : [IPPROTO_IPV6, IPV6_PKTINFO];
  const receivedControl = packetInfo ? CONTROL_OCTETS : 0;
  // a header without room for a name or for octets
  const nowhere = new Uint32Array(HEADER.size / 4);
  const nowherePointer = pointer(nowhere);
  let used = 0;
  function receive(fd: number, most: number, flags: number): number {
    // the kernel has overwritten the room for each name, and for each control message, with its length
    for (let slot = 0; slot < used; slot++) {
      headers32[(slot * HEADER.size + HEADER.nameLength) >> 2] = NAME_OCTETS;
      headers32[(slot * HEADER.size + HEADER.controlLength) >> 2] = receivedControl;
    }
    const received = calls.recvmmsg(fd, headersPointer, most, flags, 0n);
    used = Math.max(received, 0);
    if (received >= 0) return received;
    const reason = errno();
    return reason === EAGAIN || reason === EINTR ? 0 : -reason;
  }
  return {
    slots,
    names,
    nameWords: new Uint32Array(names.buffer),
    infoWords: controlWords,
    size,
    receive: (fd, most = size) => receive(fd, most, MSG_DONTWAIT),
    peek: (fd) => receive(fd, 1, MSG_DONTWAIT | MSG_PEEK),
    drop(fd) {
      nowhere[HEADER.length / 4] = 0; // also keeps the array reachable
      // an error that was pending in the socket comes first, once
      for (let tries = 0; tries < 3; tries++)
        if (calls.recvmmsg(fd, nowherePointer, 1, MSG_DONTWAIT, 0n) >= 0 || errno() === EAGAIN) return;
    },
    lengthOf: (slot) => Math.min(headers32[(slot * HEADER.size + HEADER.length) >> 2] ?? 0, slotOctets),
    infoAt(slot) {
      const from = slot * CONTROL_WORDS;
      const octets = headers32[(slot * HEADER.size + HEADER.controlLength) >> 2] ?? 0;
      for (let at = 0; at + CONTROL.size <= octets; ) {
        const word = from + at / 4;
        if (
          controlWords[word + CONTROL.level / 4] === level &&
          controlWords[word + CONTROL.type / 4] === type
        )
          return word + CONTROL.size / 4;
        // CMSG_NXTHDR: each message begins at a multiple of eight
        at += Math.max(CONTROL.size, ((controlWords[word] ?? 0) + 7) & ~7);
      }
      return -1;
    },
    setInfo(slot, words, at) {
      const to = slot * CONTROL_WORDS + CONTROL.size / 4;
      if (family === 4) {
        // no interface: the reply takes the route to its client, from the address that was asked
        controlWords[to + 1] = at < 0 ? 0 : (words[at + 2] ?? 0);
        return;
      }
      for (let word = 0; word < 4; word++) controlWords[to + word] = at < 0 ? 0 : (words[at + word] ?? 0);
      controlWords[to + 4] = at >= 0 && isLinkLocal(words[at] ?? 0) ? (words[at + 4] ?? 0) : 0;
    },
    setLength(slot, octets) {
      iovecs32[(slot * IOVEC.size + IOVEC.length) >> 2] = octets;
    },
    send(fd, from, to) {
      const first = headersPointer + BigInt(from * HEADER.size);
      for (;;) {
        const sent = calls.sendmmsg(fd, first, to - from, MSG_DONTWAIT);
        const reason = sent < 0 ? errno() : 0;
        if (reason !== EINTR) return reason === 0 ? sent : -reason;
      }
    },
  };
}

/** fe80::/10 by the first word of an address, in the octet order of the wire: only there a reply needs the interface. */
function isLinkLocal(firstWord: number): boolean {
  return (firstWord & 0xc0ff) === 0x80fe;
}

/**
 * The octets of a control message with the packet information of one reply, without padding at its end. sendmmsg has 36
 * octets on the stack of the kernel, and allocates memory for each longer message.
 */
export function infoControlOctets(family: 4 | 6): number {
  return CONTROL.size + (family === 4 ? LAYOUT.pktinfo4.size : LAYOUT.pktinfo6.size);
}

/** The arrays of one batch, with every pointer in its place for good. Pointers keep no array alive: the batch does. */
function layOut(
  family: 4 | 6,
  slotOctets: number,
  size: number,
  packetInfo: boolean,
  pointer: (view: Layout) => bigint,
) {
  const slots = new Uint8Array(size * slotOctets);
  const names = new Uint8Array(size * NAME_OCTETS);
  const controls = new Uint8Array(packetInfo ? size * CONTROL_OCTETS : 0);
  const iovecs = new BigUint64Array((size * IOVEC.size) / 8);
  const headers = new BigUint64Array((size * HEADER.size) / 8);
  const headers32 = new Uint32Array(headers.buffer);
  const iovecs32 = new Uint32Array(iovecs.buffer);
  const [slotsAt, namesAt, iovecsAt] = [pointer(slots), pointer(names), pointer(iovecs)];
  const controlsAt = packetInfo ? pointer(controls) : 0n;
  const controls32 = new Uint32Array(controls.buffer);
  for (let slot = 0; slot < size; slot++) {
    const iovecAt = slot * IOVEC.size;
    const headerAt = slot * HEADER.size;
    iovecs[(iovecAt + IOVEC.base) / 8] = slotsAt + BigInt(slot * slotOctets);
    iovecs32[(iovecAt + IOVEC.length) / 4] = slotOctets;
    headers[(headerAt + HEADER.name) / 8] = namesAt + BigInt(slot * NAME_OCTETS);
    headers32[(headerAt + HEADER.nameLength) / 4] = NAME_LENGTHS[family];
    headers[(headerAt + HEADER.iovec) / 8] = iovecsAt + BigInt(iovecAt);
    headers32[(headerAt + HEADER.iovecs) / 4] = 1;
    if (!packetInfo) continue;
    // as a batch of replies needs it; a batch that receives is given the whole room, and the kernel overwrites it
    const word = slot * CONTROL_WORDS;
    controls32[word + CONTROL.length / 4] = infoControlOctets(family);
    controls32[word + CONTROL.level / 4] = family === 4 ? IPPROTO_IP : IPPROTO_IPV6;
    controls32[word + CONTROL.type / 4] = family === 4 ? IP_PKTINFO : IPV6_PKTINFO;
    headers[(headerAt + HEADER.control) / 8] = controlsAt + BigInt(slot * CONTROL_OCTETS);
    headers32[(headerAt + HEADER.controlLength) / 4] = infoControlOctets(family);
  }
  const headersPointer = pointer(headers);
  return { slots, names, controls, headers32, iovecs32, headersPointer };
}

/** The state of one watched descriptor; libuv has a pointer into `handle`. */
interface Watched {
  readonly handle: Uint8Array<ArrayBuffer>;
  run: () => void;
  isDue: boolean;
  /** libuv stops watching a descriptor that reports an error: after the error was read the watch is started again. */
  hasStopped: boolean;
  isClosed: boolean;
}

const NOTHING = (): void => undefined;

function createWatching({ lib, calls, pointer }: OpenLibrary, loop: () => bigint): Libc['watch'] {
  const watched = new Map<bigint, Watched>(); // for good, closed handles too: see the head of this file
  const onReadable = lib.registerCallback(
    { arguments: ['pointer', 'int32', 'int32'], return: 'void' },
    (handle, status) => {
      beginTurn();
      const one = typeof handle === 'bigint' ? watched.get(handle) : undefined;
      if (one === undefined) return;
      if (status < 0) one.hasStopped = true;
      if (one.isDue) return;
      one.isDue = true;
      setImmediate(one.run);
    },
  );
  // the loop turns a little more while the process ends, when no callback can run any more
  process.once('exit', () => {
    for (const [handle, { isClosed }] of watched) if (!isClosed) calls.uv_poll_stop(handle);
  });
  return (fd, take) => {
    const handle = new Uint8Array(Number(calls.uv_handle_size(UV_POLL)));
    const at = pointer(handle);
    const one: Watched = { handle, run, isDue: false, hasStopped: false, isClosed: false };
    function run(): void {
      one.isDue = false;
      if (one.isClosed) return;
      inTurn(take);
      if (!one.hasStopped || one.isClosed) return;
      one.hasStopped = false;
      calls.uv_poll_start(at, UV_READABLE, onReadable);
    }
    const failed = calls.uv_poll_init(loop(), at, fd);
    if (failed < 0) throw systemError('uv_poll_init', -failed);
    watched.set(at, one);
    calls.uv_poll_start(at, UV_READABLE, onReadable);
    return {
      ref: () => calls.uv_ref(at),
      unref: () => calls.uv_unref(at),
      [Symbol.dispose]() {
        if (one.isClosed) return;
        one.isClosed = true;
        one.run = NOTHING; // the handle is kept for good, and its caller must not be
        calls.uv_close(at, 0n);
      },
    };
  };
}

function createReadySet({ calls, errno, pointer }: OpenLibrary): ReadySet {
  const fd = calls.epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw systemError('epoll_create1', errno());
  const { data: dataAt, size: eventOctets } = LAYOUT.epollEvent[process.arch === 'x64' ? 'x64' : 'arm64'];
  const wanted = new Uint32Array(eventOctets / 4);
  const events = new Uint32Array((READY_AT_ONCE * eventOctets) / 4);
  const wantedPointer = pointer(wanted);
  const eventsPointer = pointer(events);
  return {
    fd,
    add(member, token) {
      wanted[0] = EPOLLIN;
      wanted[dataAt / 4] = token;
      if (calls.epoll_ctl(fd, EPOLL_CTL_ADD, member, wantedPointer) < 0)
        throw systemError('epoll_ctl', errno());
    },
    ready: () => Math.max(0, calls.epoll_wait(fd, eventsPointer, READY_AT_ONCE, 0)),
    tokenAt: (index) => events[(index * eventOctets + dataAt) / 4] ?? 0,
  };
}
