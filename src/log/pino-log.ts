/** The log as pino writes it: JSON lines for machines, readable lines for a person at a terminal. */
import { pino } from 'pino';
import type { PrettyStream } from 'pino-pretty';
import type { Log } from './log.ts';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** `auto`: readable on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
}

export interface ProcessLog {
  readonly log: Log;
  /** Changes level on reload. */
  setLevel(level: LogOptions['level']): void;
  /** Writes what is buffered; call it before the process ends. */
  flush(): void;
}

/** A log on standard output. JSON lines are written off the query path; a stalled reader does not stall answers. */
export async function createProcessLog(options: LogOptions): Promise<ProcessLog> {
  const readable =
    options.format === 'pretty' || (options.format === 'auto' && process.stdout.isTTY === true);
  const lines = pino.destination({ fd: 1, sync: false });
  const stream = readable ? await readableStream() : lines;
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
    flush: () => lines.flushSync(),
  };
}

async function readableStream(): Promise<PrettyStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    colorize: process.stdout.hasColors?.() ?? false,
    sync: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss',
  });
}
