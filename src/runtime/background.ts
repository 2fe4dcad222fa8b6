/**
 * Work beside the answers: the one way to start work whose end no caller waits for, and threads. An error costs that work, a log
 * line and a count, never the process. An architecture test finds work that is started in another way; clock.ts runs its
 * callbacks through here.
 */
import { constants as fileFlags, fstatSync, readFileSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { type Log, messages } from '../log/log.ts';

export const RUNTIME_MESSAGES = messages({
  notNotified: {
    level: 'error',
    text: 'cannot notify systemd: is systemd-notify installed',
    fields: { err: 'the error', assignments: 'what was to be sent' },
    fix: 'install systemd-notify, or run the packaged runtime',
  },
  workFailed: {
    level: 'error',
    text: 'work in the background failed: please report it',
    fields: { err: 'the error', work: 'the kind of work', failures: 'such failures so far' },
    fix: 'report the line: answers go on',
  },
});

/** Values of a metric's label. `other`: errors from event handlers, and from work without a name. */
export type BackgroundWork =
  | 'admin'
  | 'answers'
  | 'drill'
  | 'ledger'
  | 'link'
  | 'listeners'
  | 'address-checks'
  | 'prefetch'
  | 'refresh'
  | 'reload'
  | 'retained'
  | 'state'
  | 'timer'
  | 'upstream'
  | 'watchdog'
  | 'other';

const LOG_EVERY_MS = 10_000;

const failures = new Map<BackgroundWork, number>();
const loggedMs = new Map<BackgroundWork, number>();
let log: Log | undefined;

/** Sets the log for failures. */
export function logBackgroundFailures(next: Log): void {
  log = next;
}

/** Failures of this process by work; work that never failed is absent. */
export function backgroundFailures(): Readonly<Record<string, number>> {
  return Object.fromEntries(failures);
}

/** Runs `work` and resolves once it has ended, well or not. Never throws, never rejects. */
export async function inBackground(name: BackgroundWork, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    noteFailure(name, error);
  }
}

/** Counts an error that was caught elsewhere, and logs it: each work at most once in ten seconds. */
export function noteFailure(work: BackgroundWork, error: unknown): void {
  const count = (failures.get(work) ?? 0) + 1;
  failures.set(work, count);
  const nowMs = performance.now();
  if (nowMs - (loggedMs.get(work) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return;
  loggedMs.set(work, nowMs);
  if (log !== undefined) RUNTIME_MESSAGES.workFailed(log, { err: error, work, failures: count });
}

// Threads beside the thread that answers queries. They get a processor after that thread, and they may fail to end.

const ending = new Map<Worker, Promise<void>>();

/** What V8 reserves for a thread, and what the thread takes: 860 MB. */
const ADDRESS_SPACE_KB = 1024 * 1024;

/**
 * Says why no thread may be started: where a limit on the address space leaves too little, V8 would end the process. A limit on the
 * memory itself (MemoryMax=) does no harm.
 */
export function refusesThread(): string | undefined {
  try {
    const limit = /^Max address space +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === undefined) return undefined;
    const taken = /^VmSize:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    const leftKb = Number(limit) / 1024 - Number(taken);
    return leftKb < ADDRESS_SPACE_KB
      ? 'the limit on address space is too low for a thread (ulimit -v, LimitAS=)'
      : undefined;
  } catch {
    return undefined; // no /proc
  }
}

/**
 * Tells a thread to end, and resolves once it has. A thread that hangs in a call to the operating system does not end. It
 * waits for a pipe without a writer, or for a dead file system. An exit of the process would wait for it for ever.
 */
export function endThread(worker: Worker): Promise<void> {
  const known = ending.get(worker);
  if (known !== undefined) return known;
  const ended = inBackground('other', async () => {
    await worker.terminate();
    ending.delete(worker);
  });
  ending.set(worker, ended);
  return ended;
}

/** Threads that were told to end and have not. */
export function threadsNotEnded(): number {
  return ending.size;
}

/** Resolves once all of them have ended. It keeps no process alive. */
export async function threadsEnded(): Promise<void> {
  await Promise.all(ending.values());
}

const STDOUT = 1;
const F_GETFL = 3;
const F_SETFL = 4;

/**
 * A file that a shell opened with `>`: once `copytruncate` of logrotate has emptied it, the next line would follow a hole as
 * long as the log was. Standard error is set with it where the shell gave it the same file.
 */
export async function appendToOutput(): Promise<void> {
  if (process.platform !== 'linux' || !fstatSync(STDOUT).isFile()) return;
  try {
    const { dlopen } = await import('node:ffi');
    const { functions } = dlopen(null, {
      fcntl: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    });
    const flags = functions.fcntl(STDOUT, F_GETFL, 0);
    if (flags >= 0) functions.fcntl(STDOUT, F_SETFL, flags | fileFlags.O_APPEND);
  } catch {
    // node:ffi is absent or denied
  }
}

/** To be called first of all in such a thread. */
export function yieldToQueries(): void {
  if (process.platform !== 'linux') return; // elsewhere it is the priority of the whole process
  const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = constants.priority;
  try {
    // setpriority(2): on Linux every thread has a nice value of its own, and 0 names the calling thread. Threads and
    // processes that it starts inherit the value; libuv's pool, which the server made earlier, does not
    setPriority(Math.min(getPriority() + PRIORITY_BELOW_NORMAL, PRIORITY_LOW));
  } catch {
    // not allowed: it serves all the same
  }
}

/** Runs few operations at a time: each holds a thread of libuv's pool until the system has an answer, and lookups need threads too. */
export class FewAtOnce {
  readonly #most: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    // gets the place of an operation that has ended
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return await operation();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
