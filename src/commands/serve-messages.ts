/** Declares the log lines of the process around the server. */
import { messages } from '../log/log.ts';

export const SERVE_MESSAGES = messages({
  stopping: { level: 'info', text: 'stopping', fields: { signal: 'the signal' } },
  stopped: { level: 'info', text: 'stopped' },
  signalIgnored: {
    level: 'warn',
    text: 'a signal without a meaning here is ignored',
    fields: { signal: 'the signal' },
    fix: 'reload with SIGHUP, end with SIGTERM; figures are on `/metrics`, and the service manager keeps the log',
  },
  threadsHang: {
    level: 'warn',
    text: 'threads hang in the operating system: the process ends without them',
    fields: { threads: 'threads that have not ended' },
    fix: 'look for a hanging file system (NFS) or device. Nothing is lost: everything was saved before',
  },
  stopHangs: {
    level: 'error',
    text: 'the stop hangs: the process ends without the rest of it',
    fields: { seconds: 'how long it has lasted' },
    fix: 'look for a hanging file system under `state.directory`. What was saved before the stop is whole',
  },
  runtimeWarns: {
    level: 'warn',
    text: 'the runtime warns',
    fields: { warning: 'its words', name: 'the kind of warning' },
    fix: 'report the line if it comes again',
  },
  unanswered: {
    level: 'error',
    text: 'own query was not answered: without answers the service manager ends the server',
    fields: { udp: 'whether UDP answered', tcp: 'whether TCP answered', endpoint: 'the name asked for' },
    fix: 'find out what takes the processor from the server: `nodejs_eventloop_lag_max_seconds`, `top`',
  },
});
