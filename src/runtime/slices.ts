/**
 * Long work in pieces, so that a query never waits for all of it: a generator yields after each small step, and its caller
 * decides when other work has a turn of the event loop.
 */
import type { Clock } from './clock.ts';

/** Work whose steps take some microseconds each, and which ends with its result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Gives all other work a turn, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

/**
 * Three turns: the first may be in a turn that has already asked which sockets are readable. A socket that the second turn
 * finds readable is read at the end of that turn, after the promise of that turn has resolved (libc.ts).
 */
export const systemPause: Pause = async () => {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
};

/**
 * Steps between two turns of the loop: half a millisecond where a step takes ten microseconds, which is a tenth of the time
 * that a query may have to wait.
 */
export const STEPS_PER_TURN = 50;

/** Runs the work to its end, with a pause after every `STEPS_PER_TURN` steps, and none after the last. */
export async function inSlices<T>(steps: Steps<T>, pause: Pause): Promise<T> {
  for (;;) {
    for (let step = 0; step < STEPS_PER_TURN; step++) {
      const { done, value } = steps.next();
      if (done) return value;
    }
    await pause();
  }
}

/** Runs the work to its end without a pause: at a start, in commands and in tests, where nobody waits. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Short work where steps are asked for. */
export function* inOneStep<T>(run: () => T): Steps<T> {
  yield;
  return run();
}

/** Begins all of them, each in a turn of its own where there is a `pause`, and waits for all. None may reject. */
export async function inTurns<T>(
  items: readonly T[],
  begin: (item: T) => Promise<void>,
  pause?: Pause,
): Promise<void> {
  const begun: Promise<void>[] = [];
  for (const item of items) {
    if (begun.length > 0) await pause?.();
    begun.push(begin(item));
  }
  await Promise.all(begun);
}

export interface SliceFigures {
  readonly slices: number;
  readonly longestSliceMs: number;
}

/** Slices by time instead of by steps, with figures: for work whose steps differ much in length. */
export class Slices {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pause: Pause | undefined;
  readonly #sliceMs: number;
  #beganMs: number;
  #longestMs = 0;
  #count = 0;

  /** Without `pause` the work is one slice. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, pause: Pause | undefined, sliceMs: number) {
    this.#clock = clock;
    this.#pause = pause;
    this.#sliceMs = sliceMs;
    this.#beganMs = clock.monotonicMs();
  }

  /** Runs the work to its end, in as many slices as it takes. */
  async run<T>(steps: Steps<T>): Promise<T> {
    this.begin();
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      if (this.isOver) await this.next();
    }
  }

  /** Whether this slice has lasted long enough: then call `next` before going on. */
  get isOver(): boolean {
    return this.#pause !== undefined && this.#clock.monotonicMs() - this.#beganMs >= this.#sliceMs;
  }

  /** Ends the slice, gives other work its turn, and begins the next slice. */
  async next(): Promise<void> {
    this.end();
    await this.#pause?.();
    this.begin();
  }

  /** Ends the slice because the work waits for something else anyway. */
  end(): void {
    this.#count++;
    this.#longestMs = Math.max(this.#longestMs, this.#clock.monotonicMs() - this.#beganMs);
  }

  begin(): void {
    this.#beganMs = this.#clock.monotonicMs();
  }

  get figures(): SliceFigures {
    return { slices: this.#count, longestSliceMs: this.#longestMs };
  }
}
