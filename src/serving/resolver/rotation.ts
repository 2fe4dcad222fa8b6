/** In which order an answer with several addresses is given: each comes first equally often, to every client. */

/**
 * Steps of this size visit all addresses of an endpoint equally often, and so does every second or third of them. A
 * plain count would not: a client that asks for two names in turn would get the same order of each for ever.
 */
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

export class Rotation {
  /** From 0 up to 1. */
  #phase = 0;

  /** The next turn, from 0 to less than `records`. */
  next(records: number): number {
    this.#phase = (this.#phase + GOLDEN_RATIO) % 1;
    return Math.floor(this.#phase * records);
  }
}
