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
