/**
 * Catches signals from the first moment: the program loads for some hundred milliseconds, and a signal without a handler ends
 * the process. A reload that is asked for before the server has handlers is remembered. This file loads nothing that takes time.
 */
import { flushCompileCache } from 'node:module';

/** SIGQUIT is Ctrl-\ of a terminal, and the stop signal of other servers' scripts: without a handler it would end the server unsaved. */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

export type EndSignal = (typeof ENDING)[number];

export interface SignalHandlers {
  end(signal: EndSignal): void;
  reload(): void;
  ignored(signal: IgnoredSignal): void;
}

/**
 * Signals that mean nothing to this server. Timers of a script around this process send some. SIGXCPU comes from a limit on
 * processor time (`ulimit -t`, LimitCPU=), SIGPWR from a power supply's monitor or from LXC. Others mean something to other DNS
 * servers: dnsmasq writes figures at SIGUSR1, and starts a new log file at SIGUSR2. Without a handler each signal would end the
 * server, except SIGUSR1, at which Node opens its debugger.
 */
const NOT_OURS = [
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGPROF',
  'SIGXCPU',
  'SIGPWR',
  'SIGIO',
  'SIGSTKFLT',
] as const;

export type IgnoredSignal = (typeof NOT_OURS)[number];

/**
 * The process was started with a profiler of V8, such as by `--cpu-prof`. It takes its samples by SIGPROF, and writes its file
 * while Node exits (`directExit`). A profiler that starts later takes SIGPROF over by itself.
 */
const isProfiled = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((options) =>
  /(^|\s)--(cpu[-_]|heap[-_])?prof\b/.test(options),
);

export interface Signals {
  /** Gives `handlers` all further signals, and the reload that was asked for before. */
  take(handlers: SignalHandlers): void;
}

/** Before `take` nothing is open: until then a request to end ends the process at once. */
export function catchSignals(): Signals {
  let handlers: SignalHandlers | undefined;
  let isReloadDue = false;
  for (const signal of ENDING) {
    // not once(): the second signal of a Ctrl-C (the terminal's, then the sandbox's) must not cut the stop short
    process.on(signal, () => (handlers === undefined ? leave() : handlers.end(signal)));
  }
  process.on('SIGHUP', () => {
    if (handlers === undefined) isReloadDue = true;
    else handlers.reload();
  });
  for (const signal of NOT_OURS) {
    if (signal !== 'SIGPROF' || !isProfiled) process.on(signal, () => handlers?.ignored(signal));
  }
  return {
    take(next) {
      handlers = next;
      if (isReloadDue) next.reload();
      isReloadDue = false;
    },
  };
}

const SIGTTOU = 22;
/** Of glibc; musl keeps the first of them for its threads, and refuses to change it. */
const [FIRST_REAL_TIME, LAST_REAL_TIME] = [34, 64];
const SIG_IGN = 1n;

/**
 * Ignores the signals that Node cannot catch, or may not. SIGTTOU stops a server that a shell runs in the background, at the first
 * line on a terminal that has been set so (`stty tostop`); with a handler the kernel would send it again and again. Real-time
 * signals mean nothing here, and would end the server; programs that it starts ignore them, too. On Linux alone, where their
 * numbers are known.
 */
export async function ignoreUncaught(): Promise<void> {
  if (process.platform !== 'linux') return;
  try {
    const { dlopen } = await import('node:ffi');
    const { functions } = dlopen(null, { signal: { arguments: ['int32', 'int64'], return: 'int64' } });
    functions.signal(SIGTTOU, SIG_IGN);
    for (let signal = FIRST_REAL_TIME; signal <= LAST_REAL_TIME; signal++) functions.signal(signal, SIG_IGN);
  } catch {
    // node:ffi is absent or denied
  }
}

async function leave(): Promise<void> {
  const exit = await directExit();
  if (exit !== undefined) exit(0);
  process.exit(0);
}

/**
 * Resolves to `_exit(2)`, or to `undefined` where C cannot be called, and where only an exit of Node writes a profile. An exit
 * of Node waits for every thread of the process, and a thread can wait for ever. It may hang in a call to the operating system,
 * or be Node's own thread that reads the file of NODE_EXTRA_CA_CERTS. The caller has saved and closed everything.
 */
export async function directExit(): Promise<((code: number) => void) | undefined> {
  if (isProfiled) return undefined;
  try {
    const { dlopen } = await import('node:ffi');
    const { functions } = dlopen(null, { _exit: { arguments: ['int32'], return: 'void' } });
    return (code) => {
      flushCompileCache(); // an exit of Node would write it
      functions._exit(code);
    };
  } catch {
    return undefined; // node:ffi is absent or denied
  }
}
