/** Pino, in a file that is loaded after the first answer. */
import { type DestinationStream, pino } from 'pino';
import type { Log } from './log.ts';

/** `nowMs` says when the line at hand came. */
export function pinoLogger(
  level: string,
  stream: DestinationStream,
  nowMs: () => number,
): Log & { level: string } {
  return pino(
    {
      level,
      timestamp: () => `,"time":"${new Date(nowMs()).toISOString()}"`,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}
