/** Whether a drill runs at a moment, and what may be done about it. Pure: times come in as numbers, on the monotonic clock. */

export type DrillState =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'running';
      readonly startedMs: number;
      readonly endsMs: number;
      readonly forMs: number;
    };

export type RunningDrill = Extract<DrillState, { kind: 'running' }>;

export const idle: DrillState = { kind: 'idle' };

const MIN_DRILL_MS = 1_000;
/** Addresses are not refreshed meanwhile: one that was forgotten must not go on for ever. */
export const MAX_DRILL_MS = 24 * 3_600_000;

export type DrillStart =
  | { readonly kind: 'started'; readonly state: RunningDrill }
  | { readonly kind: 'already-running'; readonly state: RunningDrill }
  | { readonly kind: 'bad-length'; readonly minMs: number; readonly maxMs: number };

export function startDrill(state: DrillState, forMs: number, nowMs: number): DrillStart {
  if (isRunningAt(state, nowMs)) return { kind: 'already-running', state };
  if (!(forMs >= MIN_DRILL_MS && forMs <= MAX_DRILL_MS)) {
    return { kind: 'bad-length', minMs: MIN_DRILL_MS, maxMs: MAX_DRILL_MS };
  }
  return { kind: 'started', state: { kind: 'running', startedMs: nowMs, endsMs: nowMs + forMs, forMs } };
}

/** A drill ends by itself: from `endsMs` on it does not run, whether or not anybody has noticed. */
export function isRunningAt(state: DrillState, nowMs: number): state is RunningDrill {
  return state.kind === 'running' && nowMs < state.endsMs;
}
