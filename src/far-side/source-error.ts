/** Describes why a poll failed: as the error that ends the poll, and as the observation that leaves this room. */
import type { FailedObservation, FailureReason } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';

/** Why a poll failed, before it is known which source reports it. */
export interface SourceFailure {
  readonly reason: FailureReason;
  readonly reachedFarSide: boolean;
  readonly detail: string;
}

/** The one error of this room. It ends a poll, and leaves the room only as a failed observation. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly code: FailureReason;
  readonly reachedFarSide: boolean;

  constructor(failure: SourceFailure) {
    super(failure.detail);
    this.code = failure.reason;
    this.reachedFarSide = failure.reachedFarSide;
  }
}

/** A failure after AWS has answered: the answer itself is of no use. */
export function answeredBut(reason: FailureReason, detail: string): SourceError {
  return new SourceError({ reason, reachedFarSide: true, detail });
}

/** A poll that could not even be started. */
export function cannotAsk(detail: string): SourceError {
  return new SourceError({ reason: 'internal', reachedFarSide: false, detail });
}

export function failed(source: SourceName, failure: SourceFailure): FailedObservation {
  const { reason, reachedFarSide, detail } = failure;
  return { kind: 'failed', source, reason, reachedFarSide, detail };
}

/**
 * Waits for `work`, but no longer than `signal` allows. Rejects with the error of `late` as soon as the signal is aborted. The
 * work may ignore the signal, as a hanging credentials provider does. A later result of the work is ignored.
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
