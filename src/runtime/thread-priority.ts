/** A thread beside the one that answers queries comes after it, where there is one processor for both. */
import { constants, getPriority, setPriority } from 'node:os';

/** To be called first of all in such a thread. */
export function yieldToQueries(): void {
  if (process.platform !== 'linux') return; // elsewhere it is the priority of the whole process
  const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = constants.priority;
  try {
    // setpriority(2): on Linux every thread has a nice value of its own, and 0 names the calling thread; threads and
    // processes that it starts have it too, but not libuv's pool, which the server made when it read its configuration
    setPriority(Math.min(getPriority() + PRIORITY_BELOW_NORMAL, PRIORITY_LOW));
  } catch {
    // not allowed: it serves all the same
  }
}
