/**
 * Catches signals from the first moment: the program loads for some hundred milliseconds, and a signal without a handler ends
 * the process. A reload that is asked for before the server has handlers is remembered. This file loads nothing before a signal comes.
 */

export interface SignalHandlers {
  end(signal: 'SIGTERM' | 'SIGINT'): void;
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
] as const;

export type IgnoredSignal = (typeof NOT_OURS)[number];

export interface Signals {
  /** Gives `handlers` all further signals, and the reload that was asked for before. */
  take(handlers: SignalHandlers): void;
}

/** Before `take` nothing is open: until then a request to end ends the process at once. */
export function catchSignals(): Signals {
  let handlers: SignalHandlers | undefined;
  let isReloadDue = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    // not once(): the second signal of a Ctrl-C (the terminal's, then the sandbox's) must not cut the stop short
    process.on(signal, () => (handlers === undefined ? leave() : handlers.end(signal)));
  }
  process.on('SIGHUP', () => {
    if (handlers === undefined) isReloadDue = true;
    else handlers.reload();
  });
  for (const signal of NOT_OURS) process.on(signal, () => handlers?.ignored(signal));
  return {
    take(next) {
      handlers = next;
      if (isReloadDue) next.reload();
      isReloadDue = false;
    },
  };
}

/** Not by Node's exit: it waits for a file call that a dead disk holds. */
async function leave(): Promise<void> {
  const { directExit } = await import('./background.ts');
  const exit = await directExit();
  if (exit !== undefined) exit(0);
  process.exit(0);
}
