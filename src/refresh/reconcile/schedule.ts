/** Decides when to poll again: after an interval, or, after failures, after a backoff short enough for a returning link. Pure. */
import type { FailureReason } from '../../records/observation.ts';

export interface ScheduleSettings {
  readonly intervalMs: number;
  readonly jitterPercent: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/** How the polls of one source went. */
export interface Progress {
  /** The number of failures since the last success or kick. */
  readonly consecutiveFailures: number;
  readonly lastFailure?: FailureReason | undefined;
  /** Polls that outlived their deadline and have not settled since. */
  readonly unsettled: number;
}

/** More doublings than any bound allows, and far fewer than those at which powers of two lose precision. */
const MAX_DOUBLINGS = 30;
const UNSETTLED_TOLERATED = 2;
const UNSETTLED_MAX_MS = 300_000;
/** A person must fix the cause, so time does not help, and AWS records every attempt. */
const LASTING: ReadonlySet<FailureReason | undefined> = new Set(['denied', 'not-found']);

/**
 * @param fraction random, from 0 up to 1: hosts that lost the link together must not poll together
 * @returns ms to wait, never below 0
 */
export function nextDelayMs(progress: Progress, settings: ScheduleSettings, fraction: number): number {
  const spread = 1 + (settings.jitterPercent / 100) * (2 * fraction - 1);
  return Math.max(0, Math.round(baseDelayMs(progress, settings) * spread));
}

function baseDelayMs(progress: Progress, settings: ScheduleSettings): number {
  const { consecutiveFailures: failures, lastFailure, unsettled } = progress;
  const { intervalMs, retryMinMs, retryMaxMs } = settings;
  if (failures === 0) return intervalMs;
  const ceilingMs = LASTING.has(lastFailure) ? Math.max(retryMaxMs, intervalMs) : retryMaxMs;
  const backoffMs = Math.min(ceilingMs, retryMinMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  if (unsettled <= UNSETTLED_TOLERATED) return backoffMs;
  // a poll that never settles keeps a process or a socket (a hanging credential_process), so there must be few
  const slowedMs = backoffMs * 2 ** Math.min(unsettled - UNSETTLED_TOLERATED, MAX_DOUBLINGS);
  return Math.max(backoffMs, Math.min(slowedMs, UNSETTLED_MAX_MS));
}
