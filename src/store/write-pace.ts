/** How often a file that is always written whole may be written, so that it does not wear out the disk, whatever its size. */

/**
 * A disk takes some thousand times its size in its life: this is 94 GB a year. A file of 5 MB is written every half hour
 * then, and one of less than 150 KB as often as its owner likes.
 */
const DAILY_OCTETS = 256 * 1024 * 1024;
const DAY_MS = 86_400_000;
/** However large the file is. */
const MOST_MS = 3_600_000;
/** What is urgent may be written after this part of the usual time: a link that flaps must not wear out the disk either. */
const URGENT_FRACTION = 0.25;

export class WritePace {
  readonly #leastMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastOctets = 0;

  /** `leastMs`: the time between two writes of a small file. */
  constructor(leastMs: number) {
    this.#leastMs = leastMs;
  }

  /** The whole file was written, or so much of it before an attempt failed. */
  note(octets: number, nowMs: number): void {
    this.#lastMs = nowMs;
    this.#lastOctets = octets;
  }

  /** The moment from which it may be written again; `urgent` where more than usual would be lost. */
  nextMs(urgent = false): number {
    const affordableMs = (this.#lastOctets / DAILY_OCTETS) * DAY_MS * (urgent ? URGENT_FRACTION : 1);
    return this.#lastMs + Math.min(Math.max(this.#leastMs, affordableMs), MOST_MS);
  }
}
