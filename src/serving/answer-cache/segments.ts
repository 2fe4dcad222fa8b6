/**
 * Keeps answers within a bound of octets, and decides which answer goes first when there is no room. lru-cache keeps the order
 * of each segment, as numbers of slots. It refuses to know time and freshness.
 *
 *     unused  stored, and not asked for since: a flood of random names ends here, and pushes out only its own kind
 *     used    asked for at least once since it was first stored; four fifths of the room, its oldest become unused again
 *     late    stored during a cut, while the cut lasts: earlier answers cannot be fetched again, so answers of servers that still
 *             reply take their place only up to an eighth of the room, however often they are asked for
 *
 * This is a segmented LRU (Karedla, Love and Wherry, "Caching strategies to improve disk system performance", 1994) with a
 * third segment. A plain LRU keeps what came last, so that names that nobody wants twice empty it. The simulation in
 * test/serving/answer-cache/eviction.test.ts prints how both do on a trace like that of a site and in floods.
 *
 * Questions that no upstream could answer have a table of their own: a flood of names that fail takes no room from answers.
 */
import { LRUCache } from 'lru-cache';
import type { Query } from '../../protocol/wire/query.ts';
import { writeHeaderAndQuestion } from '../../protocol/wire/reply.ts';
import { indexResponse } from '../../protocol/wire/response.ts';
import { RCODE } from '../../protocol/words/codes.ts';
import type { Steps } from '../../runtime/slices.ts';
import {
  type AnswerParts,
  type CachedAnswer,
  isAnswerTo,
  keptOctets,
  newAnswer,
  sizeOf,
} from './cached-answer.ts';
import {
  FLOAT,
  FLOATS,
  IN_PAGE,
  INT,
  INTS,
  NO_SLOT,
  PAGE_LOG2,
  SLOTS_PER_PAGE,
  type SlotPage,
  type StoredAnswer,
  StoredAnswers,
} from './stored-answers.ts';

const USED_SHARE = 0.8;
const LATE_SHARE = 1 / 8;
/** Late answers that become ordinary ones with each new answer once the cut is over: a few, so that no query waits. */
const SETTLED_AT_A_TIME = 8;
/** A bound shrinks by this much in one step: room for some twenty answers. */
const OCTETS_PER_STEP = 8 * 1024;

/** Slots that one step of an iteration looks at. */
const SLOTS_PER_STEP = 256;

/** The slot is free, or holds the earlier answer of another slot. */
const NOWHERE = 0;
const UNUSED = 1;
const USED = 2;
const LATE = 3;

/** lru-cache writes to the options of `get`, so they cannot be frozen; shared, they cost no object per query. */
const options: LRUCache.GetOptions<number, number, unknown> = {};

/** Which answer becomes the earlier answer of a new one: none, the answer before it, or the earlier answer of that. */
export type Earlier = 'none' | 'before' | 'of before';

export interface LinkCut {
  /** Whether any path of the link is cut, in fact or in a drill. */
  readonly isAnyCut: boolean;
}

export class Segments {
  /** To read from. */
  readonly store = new StoredAnswers();
  readonly #uses = { count: 0 };
  readonly #unused = this.#newOrder(UNUSED);
  readonly #used = this.#newOrder(USED);
  readonly #late = this.#newOrder(LATE);
  readonly #link: LinkCut;
  #boundOctets: number;
  entries = 0;
  evictions = 0;

  constructor(boundOctets: number, link: LinkCut) {
    this.#boundOctets = boundOctets;
    this.#link = link;
  }

  get octets(): number {
    return this.#used.octets + this.#unused.octets + this.#late.octets;
  }

  /**
   * The slots of all answers that are there from the first to the last step. Yields `undefined` where there is nothing to give
   * but the caller may pause.
   */
  *slots(): Generator<number | undefined, void> {
    const { end } = this.store;
    for (let slot = 0, left = SLOTS_PER_STEP; slot < end; slot++) {
      if (this.isThere(slot)) yield slot;
      else if (--left > 0) continue;
      else yield undefined;
      left = SLOTS_PER_STEP;
    }
  }

  isThere(slot: number): boolean {
    return slot >= 0 && slot < this.store.end && this.#segmentOf(slot) !== NOWHERE;
  }

  /** Marks the answer as the last one used. */
  touch(slot: number): void {
    if (this.isThere(slot)) this.#touch(slot, this.store.pageOf(slot));
  }

  /** As `touch`, for an answer that has just been found. */
  touchFound({ slot, page }: StoredAnswer): void {
    this.#touch(slot, page);
  }

  #touch(slot: number, { ints, floats, orders }: SlotPage): void {
    const at = slot & IN_PAGE;
    orders[ints[at * INTS + INT.segment] ?? NOWHERE]?.get(slot, options);
    floats[at * FLOATS + FLOAT.use] = ++this.#uses.count;
  }

  isUsed(slot: number): boolean {
    return this.#segmentOf(slot) === USED;
  }

  /** The answer was given to a client. */
  noteUse(answer: Pick<CachedAnswer, 'slot' | 'serial'>): void {
    const { slot } = answer;
    if (!this.isThere(slot) || this.#segmentOf(slot) === USED || !this.store.has(answer)) return;
    // a client that asks twice for each name that it makes up must not push out what cannot be fetched again
    if (this.#segmentOf(slot) === LATE && this.#link.isAnyCut) return;
    this.#orderOf(slot).remove(slot);
    this.#used.add(slot);
    this.#demote();
  }

  /**
   * Keeps `answer`, in the segment of the answer in the slot `before`, whose place it takes. An answer that is larger than the
   * whole bound is not kept. Returns the answer; valid until the next call.
   */
  put(answer: CachedAnswer, before = NO_SLOT, earlier: Earlier = 'none'): StoredAnswer {
    return this.#put(answer, this.#link.isAnyCut ? LATE : UNUSED, before, earlier);
  }

  /** As `put`, for an answer of an earlier process, which evicts no other answer. Returns whether there was room. */
  putIfRoom(answer: CachedAnswer, isUsed: boolean): boolean {
    if (this.octets + sizeOf(answer) > this.#boundOctets) return false;
    this.#put(answer, isUsed ? USED : UNUSED, NO_SLOT, 'none');
    if (isUsed) this.#demote();
    return true;
  }

  /** Gives an earlier answer of an earlier process to the answer in this slot. Returns whether there was room. */
  addEarlierIfRoom(slot: number, earlier: CachedAnswer): boolean {
    if (this.octets + sizeOf(earlier) > this.#boundOctets) return false;
    const order = this.#orderOf(slot);
    order.remove(slot);
    this.store.giveEarlier(slot, this.store.addEarlier(earlier));
    order.add(slot);
    return true;
  }

  delete(slot: number): void {
    if (!this.isThere(slot)) return;
    this.#takeOut(slot);
    this.store.remove(slot);
  }

  clear(): void {
    for (const order of [this.#unused, this.#used, this.#late]) order.clear();
    this.store.clear();
    this.entries = 0;
  }

  /** Moves to a new bound in steps: a smaller bound may evict most of the answers, a few in each step. */
  *resizing(boundOctets: number): Steps<void> {
    const isSmaller = boundOctets < this.#boundOctets;
    while (this.#boundOctets > boundOctets) {
      this.#boundOctets = Math.max(boundOctets, this.#boundOctets - OCTETS_PER_STEP);
      this.#demote();
      this.#makeRoom();
      yield;
    }
    this.#boundOctets = boundOctets;
    if (isSmaller) yield* this.store.packing();
  }

  /** `segment`: for an answer whose question is new. */
  #put(answer: CachedAnswer, segment: number, before: number, earlier: Earlier): StoredAnswer {
    const isNew = before === NO_SLOT;
    const order = isNew ? this.#orderIn(segment) : this.#orderOf(before);
    const givenBy = isNew ? 0 : this.store.givenBy(before);
    let earlierSlot = NO_SLOT;
    if (!isNew) earlierSlot = this.#takeOver(before, earlier);
    else if (answer.earlier !== undefined) earlierSlot = this.store.addEarlier(answer.earlier);
    const added = this.store.add(answer, earlierSlot);
    this.store.give(added.slot, givenBy);
    order.add(added.slot);
    this.entries++;
    this.#settle();
    this.#makeRoom();
    return added;
  }

  /** Takes an answer out, and returns the slot that is left of it. */
  #takeOver(before: number, earlier: Earlier): number {
    this.#takeOut(before);
    if (earlier === 'none') {
      this.store.remove(before);
      return NO_SLOT;
    }
    const its = this.store.takeEarlier(before);
    if (earlier === 'of before') {
      this.store.remove(before);
      return its;
    }
    if (its !== NO_SLOT) this.store.drop(its);
    this.store.detach(before);
    return before;
  }

  #takeOut(slot: number): void {
    this.#orderOf(slot).remove(slot);
    this.#nowhere(slot);
  }

  #nowhere(slot: number): void {
    this.store.pageOf(slot).ints[(slot & IN_PAGE) * INTS + INT.segment] = NOWHERE;
    this.entries--;
  }

  #newOrder(segment: number): SlotOrder {
    return new SlotOrder(segment, this.#uses, (slot) => this.store.pageOf(slot));
  }

  #segmentOf(slot: number): number {
    return this.store.pageOf(slot).ints[(slot & IN_PAGE) * INTS + INT.segment] ?? NOWHERE;
  }

  #orderOf(slot: number): SlotOrder {
    return this.#orderIn(this.#segmentOf(slot));
  }

  #orderIn(segment: number): SlotOrder {
    return segment === UNUSED ? this.#unused : segment === USED ? this.#used : this.#late;
  }

  #demote(): void {
    while (this.#used.octets > this.#boundOctets * USED_SHARE) {
      if (!this.#oldestToUnused(this.#used)) return;
    }
  }

  /** Whether there was an answer in the segment. */
  #oldestToUnused(order: SlotOrder): boolean {
    const oldest = order.pop();
    if (oldest === undefined) return false;
    this.#unused.add(oldest);
    return true;
  }

  #settle(): void {
    if (this.#late.octets === 0 || this.#link.isAnyCut) return;
    for (let left = SETTLED_AT_A_TIME; left > 0; left--) {
      if (!this.#oldestToUnused(this.#late)) return;
    }
  }

  #makeRoom(): void {
    while (this.octets > this.#boundOctets) {
      const isLateFull = this.#late.octets > this.#boundOctets * LATE_SHARE;
      const victim =
        (isLateFull ? this.#late.pop() : undefined) ??
        this.#unused.pop() ??
        this.#used.pop() ??
        this.#late.pop();
      if (victim === undefined) return;
      this.#nowhere(victim);
      this.evictions++;
      this.store.remove(victim);
    }
  }
}

/** RFC 9520 section 3.2 asks for at least 1 s and at most 5 min. */
export const FAILURE_MS = 5_000;

/** Some 4 MiB. A name that fails and is not in it costs the upstreams a question, and nothing else. */
const MAX_FAILURES = 4_096;

/** Questions that no upstream could answer, remembered for a short time (RFC 9520). */
export class Failures {
  readonly #byKey = new LRUCache<number, CachedAnswer>({ max: MAX_FAILURES });

  /** Returns the remembered failure of this question as a SERVFAIL answer, until its lifetime ends. */
  find(query: Query, nowMs: number): CachedAnswer | undefined {
    if (this.#byKey.size === 0) return undefined;
    const failure = this.#byKey.get(query.key);
    if (failure === undefined || !isAnswerTo(failure, query)) return undefined;
    return nowMs < failure.storedAtMs + failure.lifetimeMs ? failure : undefined;
  }

  note(query: Query, lifetimeMs: number, nowMs: number, extendedError: number | undefined): CachedAnswer {
    const { octets, index } = failureParts(query, extendedError);
    const parts = { kind: 'failure', octets, index, lifetimeMs, earlier: undefined } as const;
    const failure = newAnswer(query.key, query, parts, nowMs);
    this.#byKey.set(failure.key, failure);
    return failure;
  }

  /** The question has an answer now. */
  forget(key: number): void {
    if (this.#byKey.size > 0) this.#byKey.delete(key);
  }

  /** The time at which the failure under this key was noted; `undefined` without a remembered failure. */
  notedAtMs(key: number): number | undefined {
    return this.#byKey.peek(key)?.storedAtMs;
  }

  clear(): void {
    this.#byKey.clear();
  }
}

/** A SERVFAIL to a question, as octets and their index, with the reason that the upstream gave for it. */
export function failureParts(query: Query, extendedError?: number): Pick<AnswerParts, 'octets' | 'index'> {
  const octets = new Uint8Array(query.questionEnd - query.start);
  writeHeaderAndQuestion(query, RCODE.SERVFAIL, octets, 0);
  const index = indexResponse(octets);
  if (index.kind === 'fault') throw new Error(`cannot index a failure of our own: ${index.reason}`);
  return { octets: keptOctets(octets, index, 0), index: { ...index, extendedError } };
}

// The order in which the answers of one segment were used. lru-cache keeps the order for each page, and `SlotOrder` finds the page
// with the oldest answer. So the order of a million answers is exact, and no map has more than 4,096 entries: a map of lru-cache
// that doubles at 262,144 entries takes 13 ms.
//
//     heap of pages, by a use before which none of their answers was used last
//       -> the first page: is its oldest answer as old as that? -> it goes
//                                                          not? -> the page sinks to its place; look again

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
