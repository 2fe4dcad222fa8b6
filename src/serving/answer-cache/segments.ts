/**
 * Keeps answers within a bound of octets, and decides which answer goes first when there is no room. lru-cache keeps the order
 * of each segment, as numbers of slots. This file decides the segment of an answer. It refuses to know time and freshness.
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
import type { Steps } from '../../runtime/slices.ts';
import { sizeOf } from './answer-record.ts';
import { type CachedAnswer, failureParts, isAnswerTo, newAnswer } from './cached-answer.ts';
import { NO_SLOT, type StoredAnswer, StoredAnswers } from './stored-answers.ts';

const USED_SHARE = 0.8;
const LATE_SHARE = 1 / 8;
/** Late answers that become ordinary ones with each new answer once the cut is over: a few, so that no query waits. */
const SETTLED_AT_A_TIME = 8;
/** A bound shrinks by this much in one step: room for some twenty answers. */
const OCTETS_PER_STEP = 8 * 1024;

/** The slot is free, or holds the earlier answer of another slot. */
const NOWHERE = 0;
const UNUSED = 1;
const USED = 2;
const LATE = 3;

/** From slot to slot: lru-cache keeps the order, and measures each segment; how much fits depends on all three. */
type Segment = LRUCache<number, number>;

/** lru-cache writes to the options of `get`, so they cannot be frozen; shared, they cost no object per query. */
const options: LRUCache.GetOptions<number, number, unknown> = {};

export class Segments {
  readonly #store: StoredAnswers;
  readonly #unused = this.#newSegment();
  readonly #used = this.#newSegment();
  readonly #late = this.#newSegment();
  /** The segment of each slot. */
  #segments = new Uint8Array(0);
  readonly #isCut: () => boolean;
  #boundOctets: number;
  #entries = 0;
  #evictions = 0;

  constructor(boundOctets: number, isCut: () => boolean) {
    this.#store = new StoredAnswers(boundOctets);
    this.#boundOctets = boundOctets;
    this.#isCut = isCut;
  }

  get entries(): number {
    return this.#entries;
  }

  get octets(): number {
    return this.#used.calculatedSize + this.#unused.calculatedSize + this.#late.calculatedSize;
  }

  get evictions(): number {
    return this.#evictions;
  }

  /** The slots of all answers. The iteration may pause: answers that arrive meanwhile may be missing (see `arrivedSince`). */
  *slots(): Generator<number, void> {
    for (let slot = 0; slot < this.#store.end; slot++) if (this.isThere(slot)) yield slot;
  }

  /** The serial number of the answer that arrived last. */
  get lastSerial(): number {
    return this.#store.lastSerial;
  }

  /** The slots of the answers with a greater serial number. */
  *arrivedSince(serial: number): Generator<number, void> {
    for (let slot = 0; slot < this.#store.end; slot++) {
      if (this.#store.serialOf(slot) > serial && this.isThere(slot)) yield slot;
    }
  }

  isThere(slot: number): boolean {
    return (this.#segments[slot] ?? NOWHERE) !== NOWHERE;
  }

  /** The answer in a slot that is in use; valid until the next call. */
  open(slot: number): StoredAnswer {
    return this.#store.open(slot);
  }

  usedAtMs(slot: number): number {
    return this.#store.usedAtMs[slot] ?? 0;
  }

  /** Marks the answer as the last one used. */
  touch(slot: number): void {
    if (this.isThere(slot)) this.#segmentOf(slot).get(slot, options);
  }

  /** Finds the answer to this question under this key; valid until the next call. */
  find(key: number, query: Query): StoredAnswer | undefined {
    return this.#store.find(key, query);
  }

  /** As `find`, with a comparison of the caller. */
  findBy(key: number, isWanted: (answer: CachedAnswer) => boolean): StoredAnswer | undefined {
    return this.#store.findBy(key, isWanted);
  }

  isUsed(slot: number): boolean {
    return this.#segments[slot] === USED;
  }

  /** The answer was given to a client. */
  noteUse(answer: Pick<CachedAnswer, 'slot' | 'serial'>): void {
    const { slot } = answer;
    if (this.#segments[slot] === USED || !this.#store.has(answer)) return;
    // a client that asks twice for each name that it makes up must not push out what cannot be fetched again
    if (this.#segments[slot] === LATE && this.#isCut()) return;
    this.#move(slot, USED);
    this.#demote();
  }

  /**
   * Keeps `answer`, in the segment of the answer in the slot `before`, whose place it takes. An answer that is larger than the
   * whole bound is not kept. `earlier`: which answer becomes its earlier answer: none, the answer before, or the earlier answer
   * of that. Returns the answer; valid until the next call.
   */
  put(
    answer: CachedAnswer,
    before = NO_SLOT,
    earlier: 'none' | 'before' | 'of before' = 'none',
  ): StoredAnswer {
    return this.#put(answer, this.#isCut() ? LATE : UNUSED, before, earlier);
  }

  /** As `put`, for an answer of an earlier process, which evicts no other answer. Returns whether there was room. */
  putIfRoom(answer: CachedAnswer, isUsed: boolean): boolean {
    if (this.octets + sizeOf(answer) > this.#boundOctets) return false;
    const put = this.#put(answer, UNUSED, NO_SLOT, 'none');
    if (isUsed) this.noteUse(put);
    return true;
  }

  /** Gives an earlier answer of an earlier process to the answer in this slot. Returns whether there was room. */
  addEarlierIfRoom(slot: number, earlier: CachedAnswer): boolean {
    if (this.octets + sizeOf(earlier) > this.#boundOctets) return false;
    const segment = this.#segmentOf(slot);
    segment.delete(slot);
    this.#store.giveEarlier(slot, this.#store.addEarlier(earlier));
    segment.set(slot, slot);
    return true;
  }

  delete(slot: number): void {
    if (!this.isThere(slot)) return;
    this.#takeOut(slot);
    this.#store.remove(slot);
  }

  clear(): void {
    for (const segment of [this.#unused, this.#used, this.#late]) segment.clear();
    this.#store.clear();
    this.#segments.fill(NOWHERE);
    this.#entries = 0;
  }

  /** Moves to a new bound in steps: a smaller bound may evict most of the answers, a few in each step. */
  *resizing(boundOctets: number): Steps<void> {
    const isSmaller = boundOctets < this.#boundOctets;
    this.#store.makeSlotsFor(boundOctets);
    yield;
    while (this.#boundOctets > boundOctets) {
      this.#boundOctets = Math.max(boundOctets, this.#boundOctets - OCTETS_PER_STEP);
      this.#demote();
      this.#makeRoom();
      yield;
    }
    this.#boundOctets = boundOctets;
    if (isSmaller) yield* this.#store.packing();
  }

  /** `segment`: for an answer whose question is new. */
  #put(
    answer: CachedAnswer,
    segment: number,
    before: number,
    earlier: 'none' | 'before' | 'of before',
  ): StoredAnswer {
    const isNew = before === NO_SLOT;
    const itsSegment = isNew ? segment : (this.#segments[before] ?? segment);
    const earlierSlot = isNew ? this.#addEarlier(answer) : this.#takeOver(before, earlier);
    const added = this.#store.add(answer, earlierSlot);
    this.#putIn(added.slot, itsSegment);
    this.#settle();
    this.#makeRoom();
    return added;
  }

  #addEarlier({ earlier }: CachedAnswer): number {
    return earlier === undefined ? NO_SLOT : this.#store.addEarlier(earlier);
  }

  /** Takes an answer out, and returns the slot that is left of it. */
  #takeOver(before: number, earlier: 'none' | 'before' | 'of before'): number {
    this.#takeOut(before);
    if (earlier === 'none') {
      this.#store.remove(before);
      return NO_SLOT;
    }
    const its = this.#store.takeEarlier(before);
    if (earlier === 'of before') {
      this.#store.remove(before);
      return its;
    }
    if (its !== NO_SLOT) this.#store.drop(its);
    this.#store.detach(before);
    return before;
  }

  #putIn(slot: number, segment: number): void {
    if (slot >= this.#segments.length) {
      const longer = new Uint8Array(Math.max(1024, 2 * slot));
      longer.set(this.#segments);
      this.#segments = longer;
    }
    this.#segments[slot] = segment;
    this.#entries++;
    this.#segmentOf(slot).set(slot, slot);
  }

  #takeOut(slot: number): void {
    this.#segmentOf(slot).delete(slot);
    this.#segments[slot] = NOWHERE;
    this.#entries--;
  }

  #newSegment(): Segment {
    return new LRUCache<number, number>({
      maxSize: Number.MAX_SAFE_INTEGER,
      sizeCalculation: (slot) => this.#store.sizeOf(slot),
    });
  }

  #segmentOf(slot: number): Segment {
    const segment = this.#segments[slot];
    return segment === UNUSED ? this.#unused : segment === USED ? this.#used : this.#late;
  }

  #move(slot: number, segment: number): void {
    this.#segmentOf(slot).delete(slot);
    this.#segments[slot] = segment;
    this.#segmentOf(slot).set(slot, slot);
  }

  #demote(): void {
    while (this.#used.calculatedSize > this.#boundOctets * USED_SHARE) {
      if (!this.#oldestToUnused(this.#used)) return;
    }
  }

  /** Whether there was an answer in the segment. */
  #oldestToUnused(segment: Segment): boolean {
    const oldest = segment.pop();
    if (oldest === undefined) return false;
    this.#segments[oldest] = UNUSED;
    this.#unused.set(oldest, oldest);
    return true;
  }

  #settle(): void {
    if (this.#late.size === 0 || this.#isCut()) return;
    for (let left = SETTLED_AT_A_TIME; left > 0; left--) {
      if (!this.#oldestToUnused(this.#late)) return;
    }
  }

  #makeRoom(): void {
    while (this.octets > this.#boundOctets) {
      const isLateFull = this.#late.calculatedSize > this.#boundOctets * LATE_SHARE;
      const victim =
        (isLateFull ? this.#late.pop() : undefined) ??
        this.#unused.pop() ??
        this.#used.pop() ??
        this.#late.pop();
      if (victim === undefined) return;
      this.#segments[victim] = NOWHERE;
      this.#entries--;
      this.#evictions++;
      this.#store.remove(victim);
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
    const parts = {
      kind: 'failure',
      ...failureParts(query, extendedError),
      lifetimeMs,
      earlier: undefined,
    } as const;
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
