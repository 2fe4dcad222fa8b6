/** Declares the log lines of the server as a whole. */
import { messages } from '../log/log.ts';

export const DAEMON_MESSAGES = messages({
  stateRead: {
    level: 'info',
    text: 'state read',
    fields: { generation: 'the generation of endpoints.json', endpoints: 'endpoints with addresses' },
  },
  stateLate: {
    level: 'error',
    text: 'the disk of the state directory does not answer: serving without what was kept',
    fields: { directory: 'the state directory' },
    fix: 'look for a dead network disk or device under `state.directory`; what was kept is served as soon as the disk answers',
  },
  stateUnusable: {
    level: 'error',
    text: 'state file not usable',
    fields: {
      path: 'the file',
      kind: 'the fault',
      detail: 'the fault in words',
      setAsideTo: 'its new path',
      setAsideFailed: 'why it stays where it is',
    },
    fix: 'check the disk, and who owns the file. The previous generation is served; the file is kept beside it: once it can be read, give it its name back while the server is stopped',
  },
  stateTaken: {
    level: 'error',
    text: 'another process keeps its state here: nothing is written, serving all the same',
    fields: { detail: 'the directory and the process' },
    fix: 'end the other server, or give each a `state.directory` of its own',
  },
  stateNotKept: {
    level: 'error',
    text: 'state cannot be kept: serving all the same',
    fields: { detail: 'the failed step' },
    fix: 'make `state.directory` writable for the user of the server, then restart',
  },
  stateNotLocked: {
    level: 'warn',
    text: 'the state directory cannot be locked: writing all the same',
    fields: { detail: 'why not' },
    fix: 'make sure that no other server uses the directory',
  },
  noPages: {
    level: 'error',
    text: 'no metrics, health or status: serving all the same',
    fields: { code: "the system's code", reason: 'the address and the cause' },
    fix: 'end the program that has the port, or set `admin.listen`; the server tries again every 30 s',
  },
  noCommands: {
    level: 'error',
    text: 'no commands can be given: serving all the same',
    fields: { detail: 'the cause', fix: 'the fix' },
    fix: 'as `fix` says; the server tries again every 30 s',
  },
  throughProxy: {
    level: 'info',
    text: 'aws is asked through a proxy',
    fields: { https: 'the proxy', http: 'the proxy', noProxy: 'hosts that are asked directly' },
  },
  ownUpstream: {
    level: 'error',
    text: 'upstream is this server itself: name another one',
    fields: { upstreams: 'these upstreams' },
    fix: 'correct `upstreams` and reload',
  },
  reloaded: { level: 'info', text: 'configuration reloaded' },
  reloadGivenUp: { level: 'info', text: 'reload given up: the server stops' },
  reloadRefused: {
    level: 'error',
    text: 'reload refused: the configuration from before runs on',
    fields: {
      faults: 'path, message and fix of each fault',
      count: 'the number of faults',
      err: 'another error',
    },
    fix: 'correct the file, run `outpost-dns check`, reload: a restart would refuse the file',
  },
  needsRestart: {
    level: 'warn',
    text: 'changed keys need a restart',
    fields: { keys: 'these keys' },
    fix: 'restart the server at a time of your choice',
  },
  suspended: {
    level: 'warn',
    text: 'the host was suspended: asking again for everything',
    fields: { suspendedMs: 'for how long' },
    fix: 'a DNS server should run on a host that is never suspended',
  },
});
