import type { Clock } from '../runtime/clock.ts';
import type { Pause } from '../runtime/pause.ts';

/** Long work cut into slices of the event loop's time, so that a query never waits for more than one of them. */
export class Slices {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #pause: Pause;
  readonly #sliceMs: number;
  #beganMs: number;
  #longestMs = 0;
  #count = 0;

  constructor(clock: Pick<Clock, 'monotonicMs'>, pause: Pause, sliceMs: number) {
    this.#clock = clock;
    this.#pause = pause;
    this.#sliceMs = sliceMs;
    this.#beganMs = clock.monotonicMs();
  }

  /** Whether this slice has lasted long enough: then call `next` before going on. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#beganMs >= this.#sliceMs;
  }

  /** Ends the slice, lets others have their turn and begins another one. */
  async next(): Promise<void> {
    this.end();
    await this.#pause();
    this.begin();
  }

  /** Ends the slice because something else is waited for anyway. */
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

export interface SliceFigures {
  readonly slices: number;
  readonly longestSliceMs: number;
}

/** Long work as steps: it yields where whoever runs it may let others have their turn. */
export type Steps<T> = Generator<undefined, T>;

/** Work that is short enough comes as its result. */
export type MaybeSteps<T extends { readonly kind: string } | string> = T | Steps<T>;

/** Runs the work to its end, in as many slices as it takes. */
export async function inSlices<T extends { readonly kind: string } | string>(
  work: MaybeSteps<T>,
  slices: Slices | undefined,
): Promise<T> {
  if (!isSteps(work)) return work;
  slices?.begin();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (slices?.isOver === true) await slices.next();
  }
}

/** Runs the work to its end without a pause: for commands and tests, where nobody waits. */
export function atOnce<T extends { readonly kind: string } | string>(work: MaybeSteps<T>): T {
  if (!isSteps(work)) return work;
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

function isSteps<T extends { readonly kind: string } | string>(work: MaybeSteps<T>): work is Steps<T> {
  return typeof work === 'object' && 'next' in work;
}
