/** What DNS does not wait for: opened when it can be had, and asked for again until it is. */
import type { Timers } from '../runtime/timers.ts';

export interface Closable {
  close(): Promise<void>;
}

const RETRY_MS = 30_000;

/** `attempt` resolves to `undefined` where it could not be opened, having said why. Disposing closes it, or ends the asking. */
export function openLater(attempt: () => Promise<Closable | undefined>, timers: Timers): AsyncDisposable {
  let opened: Closable | undefined;
  let retry: Disposable | undefined;
  let isClosed = false;
  const open = async (): Promise<void> => {
    opened = await attempt();
    if (opened === undefined && !isClosed) retry = timers.after(RETRY_MS, again);
  };
  let opening = open();
  function again(): void {
    opening = open();
  }
  return {
    async [Symbol.asyncDispose]() {
      isClosed = true;
      retry?.[Symbol.dispose]();
      await opening;
      await opened?.close();
    },
  };
}
