/** Pino, in a file that is loaded after the first answer. */
import { type DestinationStream, pino } from 'pino';
import type { Log } from './log.ts';

/** `nowMs` says when the line at hand came. Takes lines of every level: `WaitingLog` has asked for the level. */
export function pinoLogger(stream: DestinationStream, nowMs: () => number): Log {
  return pino(
    {
      level: 'debug',
      timestamp: () => `,"time":"${new Date(nowMs()).toISOString()}"`,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
