/**
 * What a kept answer is good for at a moment, and how old it looks to a client. Pure; `nowMs` is the monotonic
 * clock's, so nothing here changes when somebody sets the wall clock.
 */
import type { TtlPatch } from '../../protocol/wire/response-patch.ts';
import { EXTENDED_ERROR } from '../../protocol/words/extended-errors.ts';
import type { CachedAnswer } from './cached-answer.ts';

export interface FreshnessSettings {
  /** How long behind its lifetime an answer may still be given; `Infinity` for ever. */
  readonly staleForMs: number;
  readonly prefetch: boolean;
}

/**
 * - `fresh`     give it
 * - `prefetch`  give it, and ask an upstream for the next one (`AnswerCache.claimPrefetch` first)
 * - `stale`     give `answerWhileStale`, where the upstream does not answer in time
 * - `expired`   of no use any more
 */
export type Freshness = 'fresh' | 'prefetch' | 'stale' | 'expired';

/** RFC 8767 section 5, failure recheck timer: 30 s recommended. It also keeps one answer to one prefetch at a time. */
export const RECHECK_MS = 30_000;

const PREFETCH_FRACTION = 0.1;
const PREFETCH_HITS = 2;

export function freshness(answer: CachedAnswer, nowMs: number, settings: FreshnessSettings): Freshness {
  const leftMs = answer.storedAtMs + answer.lifetimeMs - nowMs;
  if (leftMs > 0) return settings.prefetch && isPrefetchDue(answer, leftMs, nowMs) ? 'prefetch' : 'fresh';
  // RFC 9520 section 3.2: a failure is remembered for its time and never beyond
  if (answer.kind === 'failure') return 'expired';
  if (isWithinStale(answer, nowMs, settings)) return 'stale';
  return answer.earlier !== undefined && isWithinStale(answer.earlier, nowMs, settings) ? 'stale' : 'expired';
}

function isPrefetchDue(answer: CachedAnswer, leftMs: number, nowMs: number): boolean {
  return (
    leftMs <= answer.lifetimeMs * PREFETCH_FRACTION &&
    answer.hits >= PREFETCH_HITS &&
    answer.kind !== 'failure' &&
    !answer.isRetained &&
    nowMs >= answer.nextPrefetchMs &&
    nowMs >= answer.nextRecheckMs
  );
}

function isWithinStale(answer: CachedAnswer, nowMs: number, settings: FreshnessSettings): boolean {
  return answer.isRetained || nowMs < answer.storedAtMs + answer.lifetimeMs + settings.staleForMs;
}

/**
 * The answer to give for one that is `stale`. RFC 8767 section 4 has an NXDOMAIN of the authority replace what was
 * known before, and so it does for as long as it is fresh. We see upstreams, not authorities, and a link about to fail
 * makes upstreams deny names that exist: once an NXDOMAIN can no longer be confirmed, the last good answer speaks
 * again, until its own time is over.
 */
export function answerWhileStale(
  answer: CachedAnswer,
  nowMs: number,
  settings: FreshnessSettings,
): CachedAnswer {
  const { earlier } = answer;
  return earlier !== undefined && isWithinStale(earlier, nowMs, settings) ? earlier : answer;
}

/**
 * Whether an upstream may be asked again about a stale answer, or failed too short a time ago (RFC 8767 section 5).
 * Never for a retained one: it is asked for on a schedule, whoever wants it, so nobody has to wait for what that brings.
 */
export function mayRecheck(answer: CachedAnswer, nowMs: number): boolean {
  return !answer.isRetained && nowMs >= answer.nextRecheckMs;
}

/** Whole seconds by which the TTLs of a fresh answer have aged; never negative, and less than its lifetime. */
export function ageSeconds(answer: CachedAnswer, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - answer.storedAtMs) / 1000));
}

/** What a reply is written from. */
export interface GivenAnswer {
  readonly answer: CachedAnswer;
  readonly ttl: TtlPatch;
  readonly extendedError: number | undefined;
}

/** How an answer that has not expired is given at this moment. */
export function givenAnswer(
  answer: CachedAnswer,
  nowMs: number,
  settings: FreshnessSettings & { readonly staleTtlSeconds: number },
): GivenAnswer {
  if (freshness(answer, nowMs, settings) !== 'stale') return freshGiven(answer, nowMs);
  return staleGiven(answerWhileStale(answer, nowMs, settings), settings);
}

export function freshGiven(answer: CachedAnswer, nowMs: number): GivenAnswer {
  return { answer, ttl: { ageSeconds: ageSeconds(answer, nowMs) }, extendedError: undefined };
}

export function staleGiven(
  answer: CachedAnswer,
  { staleTtlSeconds }: { readonly staleTtlSeconds: number },
): GivenAnswer {
  return { answer, ttl: { ttlSeconds: staleTtlSeconds }, extendedError: staleExtendedError(answer) };
}

/** The extended error that goes with a stale answer (RFC 8914 sections 4.4 and 4.20). */
export function staleExtendedError(answer: CachedAnswer): number {
  return answer.kind === 'nxdomain' ? EXTENDED_ERROR.STALE_NXDOMAIN : EXTENDED_ERROR.STALE_ANSWER;
}
