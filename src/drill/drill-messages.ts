/** Declares the log lines of a drill. */
import { messages } from '../log/message.ts';

export const DRILL_MESSAGES = messages({
  started: {
    level: 'warn',
    text: 'drill started: AWS and what is across the link count as unreachable',
    fields: { forMs: 'its length at most' },
    fix: 'nothing; `outpost-dns drill stop` ends it early',
  },
  ended: {
    level: 'info',
    text: 'drill ended',
    fields: {
      by: 'time, command or shutdown',
      ranMs: 'its length',
      failed: 'queries that failed',
      stale: 'queries with a stale answer',
      endpointAnswers: 'queries for endpoints, all answered',
    },
    fix: 'read `outpost-dns drill report`: it names what an outage would hurt',
  },
});
