/** Long work in pieces: a generator yields after each small step, and its caller decides when other work has a turn. */
import type { Pause } from './pause.ts';

/** Work whose steps take some microseconds each, and which ends with its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/**
 * Steps between two turns of the loop: half a millisecond where a step takes ten microseconds, a tenth of what a query may
 * have to wait.
 */
export const STEPS_PER_TURN = 50;

/** Runs the work to its end; after every `STEPS_PER_TURN` steps all else has its turn. The end comes without a pause. */
export async function inSlices<T>(steps: Steps<T>, pause: Pause): Promise<T> {
  for (;;) {
    for (let step = 0; step < STEPS_PER_TURN; step++) {
      const { done, value } = steps.next();
      if (done) return value;
    }
    await pause();
  }
}

/** Runs the work to its end in one go: at a start, when nobody waits yet. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
