/**
 * The log as pino writes it: JSON lines for machines, readable lines for a person at a terminal.
 * Pino's own destination is not used, because it repeats a failed write for ever, with a blocking sleep at the end.
 */
import { constants, fstatSync, openSync, write } from 'node:fs';
import { type DestinationStream, pino } from 'pino';
import { LineQueue, type LogState, type Outlet } from './line-queue.ts';
import { LOG_MESSAGES, type Log } from './log.ts';

interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** `auto`: readable on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
}

export interface ProcessLog {
  readonly log: Log;
  /** Changes level on reload. */
  setLevel(level: LogOptions['level']): void;
  /** Lines that were dropped, and why. */
  state(): LogState;
  /** Waits until all queued lines are written, for 700 ms at most. The caller calls this before the process ends. */
  flush(): Promise<void>;
  /** A write hangs in the system: an ordinary exit would wait for it for ever. */
  readonly isStuck: boolean;
}

/** About a second in all, together with `EXIT_GRACE_MS` (250 ms) of the command `serve`. */
const FLUSH_PATIENCE_MS = 700;
const STDOUT = 1;

/** A log on standard output. No caller waits for a line: a full disk or a stopped reader costs lines, which are counted. */
export async function createProcessLog(options: LogOptions): Promise<ProcessLog> {
  const isReadable =
    options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  const lines = new LineQueue(openOutlet(), (dropped) => LOG_MESSAGES.linesDropped(logger, { dropped }));
  const stream: DestinationStream = isReadable ? await readable(lines) : lines;
  const logger = pino(
    {
      level: options.level,
      timestamp: pino.stdTimeFunctions.isoTime,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return {
    log: logger,
    setLevel: (level) => {
      logger.level = level;
    },
    state: () => lines.state(),
    flush: async () => void (await lines.flush(FLUSH_PATIENCE_MS)),
    get isStuck() {
      return lines.isWriting && !isStream();
    },
  };
}

/** Loaded only where a person reads: most servers write for a machine. */
async function readable(lines: LineQueue): Promise<DestinationStream> {
  const { ReadableLines } = await import('./readable-lines.ts');
  return new ReadableLines(lines);
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
