/** The log lines of the far side, of both threads. It refuses to know when they are written. */
import { messages } from '../log/log.ts';

export const FAR_SIDE_MESSAGES = messages({
  threadEnded: {
    level: 'error',
    text: 'the thread that speaks https ended because of a defect: please report it',
    fields: { err: 'the error' },
    fix: 'report the line. The next poll starts a new thread',
  },
  threadReplaced: {
    level: 'error',
    text: 'the thread that speaks https does not answer and is replaced: please report it',
    fields: { missedDeadlines: 'deadlines that passed without a word of the thread' },
    fix: 'report the line. A new thread does the work already',
  },
  threadsHang: {
    level: 'error',
    text: 'threads that speak https hang in the operating system: nothing is asked over https until one has ended',
    fields: { threads: 'threads that have not ended' },
    fix: 'look for a hanging file system (NFS) or device; restart the server once it is repaired',
  },
  sdkWarns: {
    level: 'warn',
    text: 'aws sdk warns about credentials',
    fields: { said: 'its words, without secrets' },
    fix: 'correct the profile or the variable that the words name',
  },
  certificatesNotRead: {
    level: 'warn',
    text: 'no certificate was read from the file in NODE_EXTRA_CA_CERTS',
    fields: { file: 'its path' },
    fix: 'make the file a PEM file that the user of the server can read, then restart',
  },
});
