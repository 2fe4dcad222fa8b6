/** Declares the log lines of limits, and of the log itself. */
import { messages } from './message.ts';

const LIMIT = { limit: 'its configuration key', times: 'times that it applied since the last line' };

export const LOG_MESSAGES = messages({
  clientsHeld: {
    level: 'warn',
    text: 'clients are held back by a limit',
    fields: { ...LIMIT, network: 'the network of one such client' },
    fix: 'find the client that asks so much; raise the limit only where its load is legitimate',
  },
  questionsHeld: {
    level: 'warn',
    text: 'questions are held back by a limit',
    fields: { ...LIMIT, name: 'one such name' },
    fix: 'find the client that asks for such names; check whether upstreams are slow',
  },
  linesDropped: {
    level: 'warn',
    text: 'log lines were dropped: the reader was too slow, or writing failed',
    fields: { dropped: 'their number' },
    fix: 'check the reader of the log, or the disk that it writes to',
  },
});
