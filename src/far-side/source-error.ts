import type { FailedObservation, FailureReason, Observation } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';

/** Why a look failed, before it is known which source reports it. */
export interface SourceFailure {
  readonly reason: FailureReason;
  readonly reachedFarSide: boolean;
  readonly detail: string;
}

/** The room's one error. It ends a look from inside and leaves the room only as a failed observation. */
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

/** A failure after AWS has answered: the answer itself is what disappoints. */
export function answeredBut(reason: FailureReason, detail: string): SourceError {
  return new SourceError({ reason, reachedFarSide: true, detail });
}

/** A look that could not even be started. */
export function cannotAsk(detail: string): SourceError {
  return new SourceError({ reason: 'internal', reachedFarSide: false, detail });
}

export type Explain = (error: unknown) => SourceFailure;

/** Runs one look and turns whatever ends it into an observation: the place where a source keeps its promise never to reject. */
export async function observation(
  source: SourceName,
  explain: Explain,
  look: () => Promise<Observation>,
): Promise<Observation> {
  try {
    return await look();
  } catch (error) {
    return failed(source, explain(error));
  }
}

export function failed(source: SourceName, failure: SourceFailure): FailedObservation {
  const { reason, reachedFarSide, detail } = failure;
  return { kind: 'failed', source, reason, reachedFarSide, detail };
}
