/**
 * Signals from the first moment on: the program is loaded in some hundred milliseconds, and a signal without a handler
 * ends the process. Signals that come before a handler is there are remembered. It loads nothing.
 */

export interface SignalHandlers {
  end(signal: 'SIGTERM' | 'SIGINT'): void;
  reload(): void;
}

export interface Signals {
  /** From now on `handlers` get the signals, and the reload that was asked for before. */
  take(handlers: SignalHandlers): void;
}

/** Catches the signals of a server. Before `take` nothing is open: until then a request to end is an end at once. */
export function catchSignals(): Signals {
  let handlers: SignalHandlers | undefined;
  let isReloadDue = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    // not once(): the second signal of a Ctrl-C (the terminal's, then the sandbox's) must not cut the stop short
    process.on(signal, () => (handlers === undefined ? process.exit(0) : handlers.end(signal)));
  }
  process.on('SIGHUP', () => {
    if (handlers === undefined) isReloadDue = true;
    else handlers.reload();
  });
  return {
    take(next) {
      handlers = next;
      if (isReloadDue) next.reload();
      isReloadDue = false;
    },
  };
}
