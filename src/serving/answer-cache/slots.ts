/**
 * Slots: what is known of answers besides their records, in pages of 4,096; and the order in which the answers of one segment
 * were used. This file refuses to know what the numbers of a slot mean: stored-answers.ts and segments.ts write them.
 *
 *     slot    7 floats (see `FLOAT`), 8 ints (see `INT`), beside each other: they come into the processor's cache together
 *
 * lru-cache keeps the order for each page, and this file finds the page with the oldest answer. So the order of a million
 * answers is exact, and no map has more than 4,096 entries: a map of lru-cache that doubles at 262,144 entries takes 13 ms.
 *
 *     heap of pages, by a use before which none of their answers was used last
 *       -> the first page: is its oldest answer as old as that? -> it goes
 *                                                          not? -> the page sinks to its place; look again
 */
import { LRUCache } from 'lru-cache';

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

/** Counts the uses of all answers, in all segments. */
export interface Uses {
  count: number;
}

export class SlotOrder {
  readonly #segment: number;
  readonly #uses: Uses;
  readonly #pageOf: (slot: number) => SlotPage;
  /** Numbers of pages, each once. */
  #heap: number[] = [];
  /** For each page: no answer in it was used before this use; `undefined`: the page is not in the heap. */
  #sinceUse: (number | undefined)[] = [];
  /** The octets of its answers against the bound of the cache. */
  octets = 0;

  /** `segment`: answers of this segment are in the order. */
  constructor(segment: number, uses: Uses, pageOf: (slot: number) => SlotPage) {
    this.#segment = segment;
    this.#uses = uses;
    this.#pageOf = pageOf;
  }

  /** Adds an answer as the last one used. */
  add(slot: number): void {
    const page = this.#pageOf(slot);
    const int = (slot & IN_PAGE) * INTS;
    page.ints[int + INT.segment] = this.#segment;
    this.octets += page.ints[int + INT.size] ?? 0;
    const order = page.orders[this.#segment] ?? new LRUCache({ max: SLOTS_PER_PAGE });
    page.orders[this.#segment] = order;
    order.set(slot, slot);
    page.floats[(slot & IN_PAGE) * FLOATS + FLOAT.use] = ++this.#uses.count;
    const number = slot >>> PAGE_LOG2;
    if (this.#sinceUse[number] !== undefined) return;
    // it is the youngest of all, so that its place is the last
    this.#sinceUse[number] = this.#uses.count;
    this.#heap.push(number);
  }

  /** Takes an answer out. The caller writes its next segment. */
  remove(slot: number): void {
    const page = this.#pageOf(slot);
    const order = page.orders[this.#segment];
    // to delete its only entry lru-cache clears the room for all 4,096; to pop that entry it does not
    if (order?.size === 1) order.pop();
    else order?.delete(slot);
    this.octets -= page.ints[(slot & IN_PAGE) * INTS + INT.size] ?? 0;
  }

  /** Takes out the answer that was used first of all. It is in no segment then, but its number stays in the order. */
  pop(): number | undefined {
    for (let number = this.#heap[0]; number !== undefined; number = this.#heap[0]) {
      const page = this.#pageOf(number << PAGE_LOG2);
      const oldest = this.#oldestOf(page);
      if (oldest === undefined) {
        this.#dropFirst();
        continue;
      }
      const use = page.floats[(oldest & IN_PAGE) * FLOATS + FLOAT.use] ?? 0;
      if (use !== this.#sinceUse[number]) {
        this.#sinceUse[number] = use;
        this.#sink();
        if (this.#heap[0] !== number) continue;
      }
      this.octets -= page.ints[(oldest & IN_PAGE) * INTS + INT.size] ?? 0;
      page.ints[(oldest & IN_PAGE) * INTS + INT.segment] = 0;
      return oldest;
    }
    return undefined;
  }

  /**
   * A number that `pop` left over stays until another answer takes its slot, or until it is the oldest again. So a cache that is
   * full adds and deletes nothing: a map with deleted entries doubles, and is copied after each 4,096 answers.
   */
  #oldestOf({ ints, orders }: SlotPage): number | undefined {
    const order = orders[this.#segment];
    for (;;) {
      const oldest = order?.rkeys().next().value;
      if (typeof oldest !== 'number') return undefined;
      if (ints[(oldest & IN_PAGE) * INTS + INT.segment] === this.#segment) return oldest;
      order?.pop();
    }
  }

  /** The pages are gone. */
  clear(): void {
    this.#heap = [];
    this.#sinceUse = [];
    this.octets = 0;
  }

  #dropFirst(): void {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return;
    this.#sinceUse[first] = undefined;
    if (first === last) return;
    this.#heap[0] = last;
    this.#sink();
  }

  /** Brings the first page to its place. */
  #sink(): void {
    const heap = this.#heap;
    const [moved] = heap;
    if (moved === undefined) return;
    const since = this.#sinceOf(moved);
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const [one, other] = [heap[left], heap[right]];
      if (one === undefined) break;
      const isRight = other !== undefined && this.#sinceOf(other) < this.#sinceOf(one);
      const child = isRight ? other : one;
      if (this.#sinceOf(child) >= since) break;
      heap[at] = child;
      at = isRight ? right : left;
    }
    heap[at] = moved;
  }

  #sinceOf(page: number): number {
    return this.#sinceUse[page] ?? 0;
  }
}
