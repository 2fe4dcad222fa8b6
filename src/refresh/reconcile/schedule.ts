/** When to look again: an interval while it goes well, a backoff that a returning link does not wait long for. */
import type { FailureReason } from '../../records/observation.ts';

export interface ScheduleSettings {
  readonly intervalMs: number;
  readonly jitterPercent: number;
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/** How the looks of one source went so far. */
export interface Progress {
  /** 0 when the last one succeeded, or when a kick has wiped the slate. */
  readonly consecutiveFailures: number;
  readonly lastFailure?: FailureReason | undefined;
  /** Looks that outlived their deadline and have not settled to this moment. */
  readonly unsettled: number;
}

const MAX_DOUBLINGS = 30; // beyond any bound, and far from where powers of two stop being numbers to wait for
const UNSETTLED_TOLERATED = 2;
const UNSETTLED_MAX_MS = 300_000;

/**
 * @param fraction from 0 up to 1, by chance: hosts that lost the link together must not come back together
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
  // a refusal is mended by a person, not by time: it needs no faster looks than success does, and each one is on record at AWS
  const ceilingMs = isLasting(lastFailure) ? Math.max(retryMaxMs, intervalMs) : retryMaxMs;
  const backoffMs = Math.min(ceilingMs, retryMinMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  if (unsettled <= UNSETTLED_TOLERATED) return backoffMs;
  // each look that never settles keeps a process or a socket of its own (a hanging credential_process): make few
  const slowed = backoffMs * 2 ** Math.min(unsettled - UNSETTLED_TOLERATED, MAX_DOUBLINGS);
  return Math.max(backoffMs, Math.min(slowed, UNSETTLED_MAX_MS));
}

function isLasting(reason: FailureReason | undefined): boolean {
  return reason === 'denied' || reason === 'not-found';
}
