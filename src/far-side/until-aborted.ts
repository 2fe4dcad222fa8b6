/**
 * Waits for `work`, but no longer than `signal` allows: rejects with what `late` makes as soon as the signal is
 * aborted, whether or not the work heeds it (a hanging credentials provider does not). Work that is left behind may
 * settle later, unheard.
 */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    function onAbort(): void {
      reject(late());
    }
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
