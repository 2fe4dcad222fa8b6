/** Declares the log lines of the pages and of the control socket. */
import { messages } from '../log/log.ts';

export const ADMIN_MESSAGES = messages({
  httpFailed: {
    level: 'error',
    text: 'admin server failed',
    fields: { err: 'the error' },
    fix: 'restart the server if its pages no longer answer; DNS is not affected',
  },
  pageFailed: {
    level: 'error',
    text: 'answer to an HTTP request failed',
    fields: { err: 'the error', path: 'the path asked for' },
    fix: 'report the line',
  },
  controlFailed: {
    level: 'error',
    text: 'control server failed',
    fields: { err: 'the error' },
    fix: 'restart the server if its commands no longer answer; DNS is not affected',
  },
  command: {
    level: 'info',
    text: 'control command',
    fields: { command: 'method and path', status: 'the HTTP status of its answer' },
  },
  commandFailed: {
    level: 'error',
    text: 'control command failed',
    fields: { err: 'the error', command: 'method and path' },
    fix: 'report the line',
  },
});
