/** Declares the log lines of the outside as arguments. */
import { messages } from '../log/log.ts';

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
