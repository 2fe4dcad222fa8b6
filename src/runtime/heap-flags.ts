/**
 * Flags of V8 that `bin/outpost-dns` wants for a server at work, set and put back at run time. V8 takes compiled code only under
 * the flags under which it was made. Node carries the code of its own modules, made without flags: with them a start takes a
 * tenth more. So the main loop loads its modules, and makes code for the compile cache, without the flags. Flags are of the
 * whole process: threads that start later have them, and make code for themselves.
 */
import { setFlagsFromString } from 'node:v8';

/**
 * Set by the launcher, on the runtime that came with the program alone: an older runtime knows other flags. V8 copies this one
 * when the process starts: the heap of a thread that has ended goes back to the system.
 */
const AT_START = '--no-memory-pool-share-memory-on-teardown';

/**
 * At work, and the defaults of V8. The heap is collected when it has grown by half: V8 would let it grow to four times what is
 * alive. A full collection copies little while queries wait: it takes over the pages of the nursery as they are, and compacts
 * a megabyte at a time.
 */
const AT_WORK = [
  '--heap-growing-percent=50',
  '--page-promotion-threshold=0',
  '--compaction-max-evacuated-bytes-mb=1',
];
const DEFAULTS = [
  '--heap-growing-percent=0',
  '--page-promotion-threshold=70',
  '--compaction-max-evacuated-bytes-mb=4',
];

const isWanted = process.execArgv.includes(AT_START);
let isAtWork = false;
let loads = 0;

/** To be called before any module that takes time is loaded. V8 has its copy of the flag. */
export function loadWithNodesCode(): void {
  if (isWanted) setFlagsFromString(AT_START.replace('--no-', '--'));
}

/** Sets the flags of a server at work, once no module is being loaded. */
export function setHeapFlags(): void {
  isAtWork = isWanted;
  set();
}

/**
 * Threads that are started from now on have a nursery of 1 MiB: they do their work once, and a larger nursery would only grow.
 * V8 reads this flag when it makes a heap, so the loop that answers queries keeps its own (bin/outpost-dns). The limits of a
 * Worker do not count where the process has the flag.
 */
export function smallNurseries(): void {
  setFlagsFromString('--max-semi-space-size=1');
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

function set(): void {
  if (isAtWork) for (const flag of loads === 0 ? AT_WORK : DEFAULTS) setFlagsFromString(flag);
}
