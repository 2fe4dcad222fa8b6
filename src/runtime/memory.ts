/**
 * Returns memory to the system that this process holds and does not need now, and tells V8 how large its heap may grow. The rooms
 * decide when: after a start, around a poll by the AWS clients, and from time to time. `main.ts` loads this file before all others.
 */
import type { Timers } from './clock.ts';
import type { Pause } from './slices.ts';

export interface OwnMemory {
  /**
   * Pages of Node's own program: a start or a poll touches most of them for the last time. They are clean: the system maps a page
   * from the file again when the process needs it. Takes a fifth of a millisecond.
   */
  dropProgram(): void;
  /**
   * Freed memory that glibc keeps in holes, such as that of ended threads. A thread of libuv's pool does it, soon: where there are many
   * holes it takes 5 to 40 ms. Does nothing while that thread is still at it.
   */
  trim(): void;
}

/** Resolves to `undefined` on another system, with a different libc, without /proc, or where node:ffi is absent or denied. Never rejects. */
export async function openOwnMemory(): Promise<OwnMemory | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const ffi = await import('node:ffi');
    const { readFile } = await import('node:fs/promises');
    const { functions, lib } = ffi.dlopen(null, {
      madvise: { arguments: ['uint64', 'uint64', 'int32'], return: 'int32' },
      malloc: { arguments: ['uint64'], return: 'pointer' },
      uv_req_size: { arguments: ['int32'], return: 'uint64' },
      uv_queue_work: { arguments: ['pointer', 'pointer', 'pointer', 'pointer'], return: 'int32' },
    });
    const program = cleanMappings(await readFile('/proc/self/smaps', 'utf8'), process.execPath);
    const loop = ffi.getCurrentEventLoop();
    const trimAll = lib.getSymbol('malloc_trim');
    const setData = lib.getSymbol('uv_req_set_data');
    // Never freed: the pool may be at it when the process ends. No function of ours is called: the loop turns a little more while the
    // process ends. Each gets the request first. malloc_trim(3) takes it for the octets to leave above the heap, and leaves them to
    // free(3), which trims these itself; uv_req_set_data puts the status of the work, 0, into the first field of the request.
    let request = 0n;
    let isInPool = false;
    return {
      dropProgram() {
        for (const { start, end } of program) functions.madvise(start, end - start, MADV_DONTNEED);
      },
      trim() {
        request ||= functions.malloc(functions.uv_req_size(UV_WORK));
        if (request === 0n) return;
        if (isInPool && ffi.getUint64(request) === IN_POOL) return;
        ffi.setUint64(request, 0, IN_POOL);
        isInPool = functions.uv_queue_work(loop, request, trimAll, setData) === 0;
      },
    };
  } catch {
    return undefined;
  }
}

/** Of libuv's `uv_req_type`. */
const UV_WORK = 7;
/** What the request has until the work is done. */
const IN_POOL = 2n ** 64n - 1n;

/** A server that nobody restarts. */
const PROGRAM_EVERY_MS = 300_000;
/** V8 compiles what has become hot, and leaves some 20 MiB in holes of glibc: they must not be there when the answer cache is full. */
const HOLES_EVERY_MS = 3_000;

const THREAD_LOADS_MS = 300;
const STEP_MS = 10;

/** Gives memory back when it is told to, and from time to time. Until it is open, and where it cannot be opened, it does nothing. */
export class GivingBack implements Disposable {
  readonly #open: () => Promise<OwnMemory | undefined>;
  readonly #timers: Timers;
  #memory: OwnMemory | undefined;
  readonly #next = new Map<number, Disposable>();
  #isDisposed = false;

  constructor(open: () => Promise<OwnMemory | undefined>, timers: Timers) {
    this.#open = open;
    this.#timers = timers;
  }

  /** To be called when the start has loaded what it needs. Never rejects. */
  async start(): Promise<void> {
    this.#memory = await this.#open();
    if (this.#memory === undefined || this.#isDisposed) return;
    this.dropProgram();
    this.#again(HOLES_EVERY_MS, () => this.#memory?.trim());
    this.#again(PROGRAM_EVERY_MS, () => this.dropProgram());
  }

  dropProgram(): void {
    this.#memory?.dropProgram();
  }

  /**
   * A thread starts, and touches most of the program while it loads. It cannot give pages back within a step of that, so the
   * caller's thread does: some 20 ms of processor time in all, under a millisecond at a time.
   */
  whileThreadLoads(): void {
    this.dropProgram();
    for (let atMs = STEP_MS; atMs <= THREAD_LOADS_MS; atMs += STEP_MS)
      this.#timers.after(atMs, () => this.dropProgram());
  }

  all(): void {
    this.#memory?.trim();
    this.#memory?.dropProgram();
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#memory = undefined;
    for (const next of this.#next.values()) next[Symbol.dispose]();
  }

  #again(everyMs: number, give: () => void): void {
    const next = this.#timers.after(everyMs, () => {
      give();
      this.#again(everyMs, give);
    });
    this.#next.set(everyMs, next);
  }
}

/** madvise(2). */
const MADV_DONTNEED = 4;

export interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
}

/**
 * The mappings of the program at `path` that can be dropped without loss: nobody may write to them, and the process has no page
 * of its own in them, as it has after a relocation. `smaps` is the content of /proc/PID/smaps.
 *
 * Only the image that the system loaded counts, from the start of the file on without a gap: it stays as long as the process.
 * V8 maps the same file once more for each thread. Such a mapping goes with its thread, and its addresses then belong to
 * something else, whose content would be lost.
 */
export function cleanMappings(smaps: string, path: string): readonly Mapping[] {
  const found: Mapping[] = [];
  let imageEnd: bigint | undefined;
  for (const [, from, to, rights, offset, what] of smaps.matchAll(MAPPING)) {
    if (what === undefined || !what.startsWith(`${path}\n`)) continue;
    const start = BigInt(`0x${from}`);
    if (imageEnd === undefined ? !/^0+$/.test(offset ?? '') : start !== imageEnd) continue;
    imageEnd = BigInt(`0x${to}`);
    if (!/^r-[x-]p$/.test(rights ?? '') || !/^Anonymous:\s+0 kB$/m.test(what)) continue;
    found.push({ start, end: imageEnd });
  }
  return found;
}

/** Addresses, rights and offset of the mapping of a file, and all lines up to the next mapping. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S+) (\S+) \S+ \d+ +(\/.*\n(?:[A-Z].*\n)*)/gm;

// Flags of V8 that `bin/outpost-dns` wants for a server at work, set and put back at run time. V8 takes compiled code only under
// the flags under which it was made. Node carries the code of its own modules, made without flags: with them a start takes a
// tenth more. So the main loop loads its modules, and makes code for the compile cache, without the flags. Flags are of the
// whole process: threads that start later have them, and make code for themselves.

/**
 * Set by the launcher, on the runtime that came with the program alone: an older runtime knows other flags. V8 copies this one
 * when the process starts: the heap of a thread that has ended goes back to the system.
 */
const AT_START = '--no-memory-pool-share-memory-on-teardown';

/**
 * At work. The heap is collected when it has grown by half: V8 would let it grow to four times what is alive. A full collection
 * copies little while queries wait: it takes over the pages of the nursery as they are, and compacts a megabyte at a time. A
 * function runs 1,500 times before Maglev compiles it: in the first seconds hundreds of functions wait for the thread that
 * compiles, and each holds memory. They held 15 to 30 MiB after 400 runs.
 */
const AT_WORK = [
  '--heap-growing-percent=50',
  '--page-promotion-threshold=0',
  '--compaction-max-evacuated-bytes-mb=1',
  '--invocation-count-for-maglev=1500',
];
/** V8's own: code is made and taken under these. The build keeps code under them, too. */
export const WHILE_LOADING = [
  '--heap-growing-percent=0',
  '--page-promotion-threshold=70',
  '--compaction-max-evacuated-bytes-mb=4',
  '--invocation-count-for-maglev=400',
];

const isWanted = process.execArgv.includes(AT_START);
let isAtWork = false;
let loads = 0;

/** To be called before any module that takes time is loaded. V8 has its copy of the flag. */
export function loadWithNodesCode(): void {
  if (isWanted) setFlag(AT_START.replace('--no-', '--'));
}

/** Sets the flags of a server at work, as soon as it answers. What is loaded from then on is loaded by `loadLate`. */
export function setWorkFlags(): void {
  isAtWork = isWanted;
  set();
}

/**
 * Threads that are started from now on have a nursery of 1 MiB: they do their work once, and a larger nursery would only grow.
 * V8 reads this flag when it makes a heap, so the loop that answers queries keeps its own (bin/outpost-dns). The limits of a
 * Worker do not count where the process has the flag.
 */
export function smallNurseries(): void {
  setFlag('--max-semi-space-size=1');
}

/** Loads modules of the main loop. */
export async function loadLate<T>(load: () => Promise<T>): Promise<T> {
  loads++;
  set();
  try {
    return await load();
  } finally {
    loads--;
    set();
  }
}

/** Each loads a module of Node, or makes what is made once with it. */
export type NodeModules = readonly (() => unknown)[];

export const HTTP_NEEDS: NodeModules = [() => process.getBuiltinModule('node:http')];
/** Node loads them with the first socket that it binds or listens on, such as for the first client over TCP. They are not used. */
export const SOCKET_NEEDS: NodeModules = [
  () => process.getBuiltinModule('node:child_process'),
  () => process.getBuiltinModule('node:cluster'),
];

/** Loads modules of Node, each in a turn of its own. */
export async function loadNeeds(pause: Pause, needs: NodeModules): Promise<void> {
  for (const need of needs) {
    await loadLate(async () => need());
    await pause();
  }
}

/**
 * As `loadLate`, in several turns: a file that takes long to load is often quick by itself, and the modules of Node that it needs
 * are not. Each of them has a turn of its own before; and what the caller does with the file comes in a turn after.
 */
export async function loadInTurns<T>(
  pause: Pause,
  load: () => Promise<T>,
  needs: NodeModules = [],
): Promise<T> {
  await loadNeeds(pause, needs);
  const loaded = await loadLate(load);
  await pause();
  return loaded;
}

function set(): void {
  if (isAtWork) for (const flag of loads === 0 ? AT_WORK : WHILE_LOADING) setFlag(flag);
}

/** `v8::V8::SetFlagsFromString(const char *, size_t)`, which Node exports for its addons. */
const SET_FLAGS = '_ZN2v82V818SetFlagsFromStringEPKcm';
let setFlag = (flag: string): void => {
  setFlag = flagSetter();
  setFlag(flag);
};

/** Without node:v8: it loads streams, whose code would be compiled, because the flags are not put back yet: a twelfth of a start. */
function flagSetter(): (flag: string) => void {
  try {
    const { functions } = process.getBuiltinModule('node:ffi').dlopen(null, {
      [SET_FLAGS]: { arguments: ['string', 'uint64'], return: 'void' },
    });
    return (flag) => functions[SET_FLAGS](flag, BigInt(flag.length));
  } catch {
    return process.getBuiltinModule('node:v8').setFlagsFromString; // node:ffi is absent or denied
  }
}
