/** Answers in the order in which they were last used, found in small steps while the cache goes on changing. */
import type { CachedAnswer } from './cached-answer.ts';

/** Four for each doubling of the time; the last one takes all that was not used for a month. */
const STEPS = 88;
const STEPS_A_DOUBLING = 4;
/** Answers looked at between two pauses. */
const STRIDE = 256;
/** A group of so many is put in exact order; a larger one would take too long at a time. */
const SORTED = 512;

/**
 * Groups of answers, those used last first: within a fifth of the time that they have not been used, exactly where that
 * costs little. Yields where the caller may pause; answers that come meanwhile may be left out, those that go may be in.
 */
export function* byRecency(
  answers: Iterable<CachedAnswer>,
  nowMs: number,
): Generator<undefined, readonly (readonly CachedAnswer[])[]> {
  const groups: CachedAnswer[][] = Array.from({ length: STEPS }, () => []);
  let left = STRIDE;
  for (const answer of answers) {
    groups[stepOf(nowMs - answer.usedAtMs)]?.push(answer);
    if (--left > 0) continue;
    left = STRIDE;
    yield undefined;
  }
  for (const group of groups) {
    if (group.length > SORTED) continue;
    group.sort((one, other) => other.usedAtMs - one.usedAtMs);
    yield undefined;
  }
  return groups;
}

function stepOf(idleMs: number): number {
  const step = Math.floor(STEPS_A_DOUBLING * Math.log2(1 + Math.max(0, idleMs) / 1000));
  return Math.min(step, STEPS - 1);
}
