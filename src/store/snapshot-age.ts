/**
 * How old the answers of a snapshot are in the process that loads it. Pure.
 *
 * Between two processes only the wall clock can say how much time has passed, and it may be wrong by years: a host whose
 * battery is empty wakes up in 1970, and a bad time server has sent hosts to 2036. So the clock is believed only where
 * what it says is credible: that not less than nothing and not more than a month has passed. Otherwise nothing is made
 * fresh that may be old, and nothing is dropped that may be young: every answer is loaded as stale, one that was fresh
 * just so, one that was stale already by as much as it was. It is given then as any stale answer, for the whole stale
 * time from now on or for the rest of its own, and checked with an upstream wherever one answers.
 *
 * The same holds where somebody else is asked now than was asked then: what the others said is better than nothing, and
 * no more than that.
 */
import type { SnapshotAnswer, SnapshotEntry } from './snapshot-format.ts';

/** A host that was off for longer is rarer than a clock that is wrong by more. */
const CREDIBLE_MS = 30 * 86_400_000;

export interface Passed {
  readonly isCredible: boolean;
  /** 0 where it is not credible. */
  readonly passedMs: number;
}

/** Nobody knows how old the answers are, or whether they still hold. */
export const UNKNOWN: Passed = { isCredible: false, passedMs: 0 };

export function passedSince(writtenAtMs: number, nowWallMs: number): Passed {
  const passedMs = nowWallMs - writtenAtMs;
  return passedMs >= 0 && passedMs <= CREDIBLE_MS ? { isCredible: true, passedMs } : UNKNOWN;
}

export function agedEntry(entry: SnapshotEntry, passed: Passed): SnapshotEntry {
  const { earlier } = entry;
  return {
    ...entry,
    ageMs: agedBy(entry, passed),
    idleMs: entry.idleMs + passed.passedMs,
    ...(earlier === undefined ? {} : { earlier: { ...earlier, ageMs: agedBy(earlier, passed) } }),
  };
}

function agedBy({ ageMs, lifetimeMs }: SnapshotAnswer, { isCredible, passedMs }: Passed): number {
  return isCredible ? ageMs + passedMs : Math.max(ageMs, lifetimeMs);
}
