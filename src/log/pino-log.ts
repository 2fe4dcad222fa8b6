/**
 * The log as pino writes it: JSON lines for machines, readable lines for a person at a terminal.
 * Pino's own destination is not used, because it repeats a failed write for ever, with a blocking sleep at the end.
 * Pino is loaded after the first answer: until then lines wait here, in their order and with their times.
 */
import { constants, fstatSync, openSync, write } from 'node:fs';
import { systemText } from '../runtime/system-errors.ts';
import { LOG_MESSAGES, type Log, type LogLevel, WaitingLog } from './log.ts';

interface LogOptions {
  readonly level: LogLevel;
  /** `auto`: readable on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
}

export interface ProcessLog {
  readonly log: Log;
  /**
   * Loads pino, and writes the lines that have waited. Without this call that happens a second after the log was made, and before
   * a flush. Where it fails it is tried again every second.
   */
  load(): Promise<void>;
  /** Changes level on reload. */
  setLevel(level: LogLevel): void;
  /** Lines that were dropped, and why. */
  state(): LogState;
  /** Waits until all lines are written, for 1.7 s at most, a second of it for pino. The caller calls this before the process ends. */
  flush(): Promise<void>;
  /** A write hangs in the system: an ordinary exit would wait for it for ever. */
  readonly isStuck: boolean;
}

/** About a second in all, together with `EXIT_GRACE_MS` (250 ms) of the command `serve`. */
const FLUSH_PATIENCE_MS = 700;
const STDOUT = 1;

/** Modules of Node that pino loads. */
export const PINO_NEEDS: readonly (() => unknown)[] = [
  () => process.getBuiltinModule('node:assert'),
  () => process.getBuiltinModule('node:worker_threads'),
];

/** A start that hangs, in a disk for instance, says so. */
const LOAD_AFTER_MS = 1_000;
/** A disk that hangs does not hold the end of the process. */
const LOAD_PATIENCE_MS = 1_000;

/**
 * A log on standard output. No caller waits for a line: a full disk or a stopped reader costs lines, which are counted. `loading` runs
 * what loads modules; `needs` are those of Node, which may come before.
 */
export function createProcessLog(
  options: LogOptions,
  loading: <Loaded>(load: () => Promise<Loaded>, needs: typeof PINO_NEEDS) => Promise<Loaded> = (load) =>
    load(),
): ProcessLog {
  const isReadable =
    options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  const log = new WaitingLog(options.level);
  const lines = new LineQueue(openOutlet(), (dropped) => LOG_MESSAGES.linesDropped(log, { dropped }));
  let loaded: Promise<void> | undefined;
  let late: NodeJS.Timeout | undefined;
  const load = () => {
    clearTimeout(late);
    const modules = async () => {
      const { pinoLogger } = await import('./pino-logger.ts');
      return { pinoLogger, ...(isReadable ? await import('./readable-lines.ts') : undefined) };
    };
    loaded ??= loading(modules, PINO_NEEDS)
      .then(({ pinoLogger, readableLine }) => {
        const write = (line: string) => lines.write(readableLine?.(line) ?? line);
        log.open((nowMs) => pinoLogger({ write }, nowMs));
        for (let count = log.overflown; count > 0; count--) lines.refuse();
      })
      .catch((error: unknown) => {
        loaded = undefined; // an upgrade is just replacing the file
        loadLater();
        throw error;
      });
    return loaded;
  };
  const tryLoading = () => load().catch(() => undefined);
  const loadLater = () => {
    late = setTimeout(tryLoading, LOAD_AFTER_MS);
    late.unref();
  };
  loadLater();
  return {
    log,
    load,
    setLevel: (level) => log.setLevel(level),
    state: () => lines.state(),
    async flush() {
      await noLongerThan(LOAD_PATIENCE_MS, tryLoading());
      await lines.flush(FLUSH_PATIENCE_MS);
    },
    get isStuck() {
      return lines.isWriting && !isStream();
    },
  };
}

/** Whether the standard output is a pipe or a socket: only for these the kernel reports when they take octets again. */
function isStream(): boolean {
  const found = fstatSync(STDOUT);
  return found.isFIFO() || found.isSocket();
}

function openOutlet(): Outlet {
  return isStream() ? streamOutlet() : fileOutlet(withoutWaiting());
}

/** Node's own stream never blocks on a pipe or a socket, and goes on after an error: a pipe may get another reader. */
function streamOutlet(): Outlet {
  process.stdout.on('error', () => undefined); // each write gets the error in its callback
  return {
    write: (octets, done) =>
      process.stdout.write(octets, (error) => (error ? done(error, 0) : done(undefined, octets.length))),
  };
}

/** A thread of the pool writes to files and devices. */
function fileOutlet(fd: number): Outlet {
  return {
    write: (octets, done) => write(fd, octets, (error, written) => done(error ?? undefined, written ?? 0)),
  };
}

/**
 * A terminal that has been stopped (Ctrl-S) blocks its writer, and the end of a process waits for the thread that is blocked.
 * Opened a second time the terminal has flags of its own, and answers EAGAIN instead. The flags of standard output itself are
 * shared with the shell.
 */
function withoutWaiting(): number {
  if (!fstatSync(STDOUT).isCharacterDevice()) return STDOUT;
  try {
    return openSync(
      `/proc/self/fd/${STDOUT}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return STDOUT; // no /proc, or a terminal of another user
  }
}

// A queue of log lines before a destination that may be slow, full, broken or gone. No caller waits for it: the queue has a
// bound in octets, and each line that cannot be written is dropped and counted.

/** A destination of octets. `done` is called once, later; `written` counts the octets taken, those before an error too. */
export interface Outlet {
  write(octets: Uint8Array, done: (error: ErrnoException | undefined, written: number) => void): void;
}

export type ErrnoException = Error & { readonly code?: string };

/** Why lines were dropped: the destination refused them, or it took nothing until the queue was full. */
export interface DroppedLines {
  readonly failed: number;
  readonly full: number;
}

export interface LogState {
  readonly dropped: DroppedLines;
  /** The failure after which nothing has been written yet. */
  readonly failure?: string;
}

interface Batch {
  readonly octets: Uint8Array;
  readonly lines: number;
}

/** The lines that an ordinary server writes in a morning, and no burden for the host. */
const MAX_QUEUED_OCTETS = 1024 * 1024;
/** The most that one write takes, unless a single line is longer: a write that fails drops few lines. */
const MAX_BATCH_OCTETS = 16 * 1024;
/** The wait after a failure: the log notices soon that a disk has room again, and a full disk costs a call a second. */
const RETRY_FAILED_MS = 1000;
/** The wait after EAGAIN, which only a terminal returns after a person has stopped its output. */
const RETRY_BUSY_MS = 100;
const LINE_FEED = 0x0a;

export class LineQueue {
  readonly #outlet: Outlet;
  readonly #onRecovered: (dropped: number) => void;
  readonly #lines: Uint8Array[] = [];
  #queuedOctets = 0;
  /** Handed to the outlet, or to be handed to it again: whole lines, or the rest of them. */
  #batch: Batch | undefined;
  #isWriting = false;
  /** The destination has the first part of a line whose rest is lost: the next write begins with a line feed. */
  #isTorn = false;
  #dropped = { failed: 0, full: 0 };
  /** Dropped lines that `onRecovered` does not know of yet. */
  #unreported = 0;
  #failure: string | undefined;
  #retry: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];

  /** `onRecovered` is called with the number of lines dropped since the last call, once the destination takes lines again. */
  constructor(outlet: Outlet, onRecovered: (dropped: number) => void) {
    this.#outlet = outlet;
    this.#onRecovered = onRecovered;
  }

  /** Takes one whole line. Never throws, never waits. */
  write(text: string): void {
    const octets = Buffer.from(text);
    if (this.#queuedOctets + octets.length > MAX_QUEUED_OCTETS) {
      this.#drop('full', 1);
      return;
    }
    this.#lines.push(octets);
    this.#queuedOctets += octets.length;
    if (!this.#isWriting && this.#retry === undefined) this.#writeNext();
  }

  /** Counts a line that came to nobody. */
  refuse(): void {
    this.#drop('full', 1);
  }

  state(): LogState {
    return {
      dropped: { ...this.#dropped },
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
  }

  /** Resolves to whether all lines are written, after `patienceMs` at the latest. */
  async flush(patienceMs: number): Promise<boolean> {
    if (this.#isIdle) return true;
    if (this.#retry !== undefined) this.#writeNow();
    await noLongerThan(patienceMs, new Promise<void>((resolve) => this.#idle.push(resolve)));
    return this.#isIdle;
  }

  /** A write has been handed to the system and has not come back. */
  get isWriting(): boolean {
    return this.#isWriting;
  }

  get #isIdle(): boolean {
    return this.#batch === undefined && this.#lines.length === 0;
  }

  #writeNext(): void {
    this.#batch ??= this.#takeBatch();
    const batch = this.#batch;
    if (batch === undefined) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#isWriting = true;
    this.#outlet.write(batch.octets, (error, written) => this.#wrote(batch, error, written));
  }

  #takeBatch(): Batch | undefined {
    let [octets, count] = [0, 0];
    for (const line of this.#lines) {
      if (count > 0 && octets + line.length > MAX_BATCH_OCTETS) break;
      octets += line.length;
      count += 1;
    }
    if (count === 0) return undefined;
    const taken = this.#lines.splice(0, count);
    this.#queuedOctets -= octets;
    if (this.#isTorn) taken.unshift(Uint8Array.of(LINE_FEED));
    return { octets: Buffer.concat(taken), lines: count };
  }

  #wrote(batch: Batch, error: ErrnoException | undefined, written: number): void {
    this.#isWriting = false;
    const rest = batch.octets.subarray(written);
    if (written > 0) this.#isTorn = batch.octets[written - 1] !== LINE_FEED;
    const lines = written === 0 ? batch.lines : linesIn(rest);
    this.#batch = rest.length === 0 ? undefined : { octets: rest, lines };
    if (error === undefined) {
      if (this.#batch === undefined) this.#recovered();
      this.#writeNext();
      return;
    }
    if (error.code === 'EAGAIN' || error.code === 'EINTR') {
      this.#writeLater(RETRY_BUSY_MS);
      return;
    }
    this.#failure = systemText(error);
    this.#batch = undefined;
    this.#drop('failed', lines);
    // the lines after it are tried at the end too, but no flush waits for a destination that fails
    for (const resolve of this.#idle.splice(0)) resolve();
    this.#writeLater(RETRY_FAILED_MS);
  }

  #recovered(): void {
    this.#failure = undefined;
    const unreported = this.#unreported;
    if (unreported === 0) return;
    this.#unreported = 0;
    this.#onRecovered(unreported);
  }

  #writeLater(delayMs: number): void {
    this.#retry = setTimeout(() => this.#writeNow(), delayMs);
    this.#retry.unref();
  }

  #writeNow(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#writeNext();
  }

  #drop(reason: keyof DroppedLines, lines: number): void {
    this.#dropped[reason] += lines;
    this.#unreported += lines;
  }
}

/** Keeps the process alive, unlike the timers of runtime/clock.ts: it is used at the end of the process. */
async function noLongerThan(patienceMs: number, work: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  await Promise.race([work, late]);
  clearTimeout(timer);
}

function linesIn(octets: Uint8Array): number {
  let lines = 0;
  for (const octet of octets) if (octet === LINE_FEED) lines += 1;
  return lines;
}
