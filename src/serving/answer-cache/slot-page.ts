/**
 * A page of slots of the answer cache: what is known of 4,096 answers besides their records. This file refuses to know what the
 * numbers mean: stored-answers.ts and segments.ts write them.
 *
 *     slot    7 floats (see `FLOAT`), 8 ints (see `INT`)
 *
 * The numbers of a slot stand beside each other: they come into the processor's cache together.
 */
import type { LRUCache } from 'lru-cache';

/** A slot is in the page `slot >>> PAGE_LOG2`, and there at `slot & IN_PAGE`. */
export const PAGE_LOG2 = 12;
export const SLOTS_PER_PAGE = 2 ** PAGE_LOG2;
export const IN_PAGE = SLOTS_PER_PAGE - 1;

/** Places in `floats`, from `(slot & IN_PAGE) * FLOATS` on. */
export const FLOAT = {
  serial: 0,
  storedAtMs: 1,
  lifetimeMs: 2,
  usedAtMs: 3,
  nextRecheckMs: 4,
  nextPrefetchMs: 5,
  /** Grows with each use of any answer: the answer with the smaller number was used first. */
  use: 6,
} as const;
export const FLOATS = 11;

/** Places in `ints`, from `(slot & IN_PAGE) * INTS` on. */
export const INT = {
  key: 14,
  /** The next slot of the chain, plus one; for a free slot the next free slot, plus one. */
  next: 15,
  /** The first chunk of the record. */
  chunk: 16,
  /** Octets against the bound, those of the earlier answer included; 0: the slot is free. */
  size: 17,
  /** The slot of the earlier answer, plus one. */
  earlier: 18,
  hits: 19,
  segment: 20,
  /** The number of the iteration that gave the answer, or the answer before it to the same question, last. */
  givenBy: 21,
} as const;
export const INTS = 2 * FLOATS;

export class SlotPage {
  /** One buffer, large enough that the system gives it piece by piece as it is written. */
  readonly floats = new Float64Array(FLOATS * SLOTS_PER_PAGE);
  readonly ints = new Int32Array(this.floats.buffer);
  /** For the chain of this number: its first slot, plus one. */
  readonly heads = new Int32Array(SLOTS_PER_PAGE);
  /** For each segment: the order in which its slots in this page were used. */
  readonly orders: (LRUCache<number, number> | undefined)[] = [undefined, undefined, undefined, undefined];
}
