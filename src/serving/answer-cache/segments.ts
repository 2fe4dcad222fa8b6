/**
 * Answers by key, bounded in octets, and which of them goes first when there is no room: lru-cache keeps the order of each
 * segment, and this file decides which segment an answer is in. It refuses to know time and freshness.
 *
 *     unused  stored, and not asked for since: a flood of random names ends here, and pushes out only its own kind
 *     used    asked for at least once since it was first stored; four fifths of the room, its oldest become unused again
 *     late    stored during a cut, while it lasts: earlier answers cannot be fetched again, so answers of servers that still
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
import {
  type CachedAnswer,
  failureParts,
  hasSameQuestion,
  isAnswerTo,
  newAnswer,
  sizeOf,
} from './cached-answer.ts';

const USED_SHARE = 0.8;
const LATE_SHARE = 1 / 8;
/** Late answers that become ordinary ones with each new answer once the cut is over: a few, so that no query waits. */
const SETTLED_AT_A_TIME = 8;
/** A bound shrinks by this much in one step: room for some twenty answers. */
const OCTETS_PER_STEP = 8 * 1024;

const UNUSED = 0;
const USED = 1;
const LATE = 2;

type Segment = LRUCache<number, CachedAnswer>;

/** lru-cache measures each segment; how much fits depends on all three. */
function newSegment(): Segment {
  return new LRUCache<number, CachedAnswer>({ maxSize: Number.MAX_SAFE_INTEGER, sizeCalculation: sizeOf });
}

/** lru-cache writes to the options of `get`, so they cannot be frozen; shared, they cost no object per query. */
const options: LRUCache.GetOptions<number, CachedAnswer, unknown> = {};

function secondOf(key: number): number {
  return key ^ 0x5bd1e995;
}

export class Segments {
  readonly #unused = newSegment();
  readonly #used = newSegment();
  readonly #late = newSegment();
  /** All answers of all segments. A lookup needs no segment, and an iteration may pause while answers come and go. */
  readonly #byKey = new Map<number, CachedAnswer>();
  readonly #isCut: () => boolean;
  #boundOctets: number;
  #evictions = 0;
  /** Whether an answer was ever put at its second place. */
  #hasSecond = false;

  constructor(boundOctets: number, isCut: () => boolean) {
    this.#boundOctets = boundOctets;
    this.#isCut = isCut;
  }

  get entries(): number {
    return this.#byKey.size;
  }

  get octets(): number {
    return this.#used.calculatedSize + this.#unused.calculatedSize + this.#late.calculatedSize;
  }

  get evictions(): number {
    return this.#evictions;
  }

  /** All answers. An answer that arrives or is replaced during the iteration moves to the end. */
  all(): Iterable<CachedAnswer> {
    return this.#byKey.values();
  }

  has(answer: CachedAnswer): boolean {
    return this.#byKey.get(answer.key) === answer;
  }

  /** Returns the answer under this key, and marks the answer as the last one used. */
  get(key: number): CachedAnswer | undefined {
    const answer = this.#byKey.get(key);
    if (answer !== undefined) this.#segmentOf(answer).get(key, options);
    return answer;
  }

  peek(key: number): CachedAnswer | undefined {
    return this.#byKey.get(key);
  }

  /** As `get`, for the second key of an answer. Looks only if an answer was ever stored under a second key. */
  getSecond(key: number): CachedAnswer | undefined {
    return this.#hasSecond ? this.get(secondOf(key)) : undefined;
  }

  /** Finds an answer to this query's question, with any DO and CD, under the first or the second key. */
  peekFor(query: Query, key: number): CachedAnswer | undefined {
    const first = this.peek(key);
    if (first !== undefined && hasSameQuestion(first.octets, first.index.questionEnd, query)) return first;
    const second = this.#hasSecond ? this.peek(secondOf(key)) : undefined;
    const isFor = second !== undefined && hasSameQuestion(second.octets, second.index.questionEnd, query);
    return isFor ? second : undefined;
  }

  /**
   * Returns the key for a new answer: a free key, or the key of an answer that the new answer may replace. With 50,000
   * questions, two questions share a key in every third process, and the cache must answer both.
   */
  freeKey(key: number, mayReplace: (resident: CachedAnswer) => boolean): number | undefined {
    const first = this.peek(key);
    if (first === undefined || mayReplace(first)) return key;
    const other = secondOf(key);
    const second = this.peek(other);
    if (second !== undefined && !mayReplace(second)) return undefined;
    this.#hasSecond = true;
    return other;
  }

  isUsed(answer: CachedAnswer): boolean {
    return answer.segment === USED && this.has(answer);
  }

  /** The answer was given to a client. */
  noteUse(answer: CachedAnswer): void {
    if (answer.segment === USED || !this.has(answer)) return;
    // a client that asks twice for each name that it makes up must not push out what cannot be fetched again
    if (answer.segment === LATE && this.#isCut()) return;
    this.#move(answer, USED);
    this.#demote();
  }

  /**
   * Keeps `answer` in place of the answer under its key, and in its segment. An answer that is larger than the whole bound is
   * not kept.
   */
  put(answer: CachedAnswer): void {
    this.#put(answer, this.#isCut() ? LATE : UNUSED);
  }

  /** As `put`, for an answer of an earlier process, which evicts no other answer. Returns whether there was room. */
  putIfRoom(answer: CachedAnswer, isUsed: boolean): boolean {
    const before = this.peek(answer.key);
    const octets = this.octets - (before === undefined ? 0 : sizeOf(before)) + sizeOf(answer);
    if (octets > this.#boundOctets) return false;
    this.#put(answer, UNUSED);
    if (isUsed) this.noteUse(answer);
    return true;
  }

  delete(key: number): void {
    const answer = this.peek(key);
    if (answer === undefined) return;
    this.#byKey.delete(key);
    this.#segmentOf(answer).delete(key);
  }

  clear(): void {
    for (const segment of [this.#unused, this.#used, this.#late]) segment.clear();
    this.#byKey.clear();
  }

  /** Moves to a new bound in steps: a smaller bound may evict most of the answers, a few in each step. */
  *resizing(boundOctets: number): Steps<void> {
    while (this.#boundOctets > boundOctets) {
      this.#boundOctets = Math.max(boundOctets, this.#boundOctets - OCTETS_PER_STEP);
      this.#demote();
      this.#makeRoom();
      yield;
    }
    this.#boundOctets = boundOctets;
  }

  /** `segment`: for an answer whose key is new. */
  #put(answer: CachedAnswer, segment: number): void {
    const { key } = answer;
    const before = this.peek(key);
    answer.segment = before?.segment ?? segment;
    if (before !== undefined) this.#byKey.delete(key);
    this.#byKey.set(key, answer);
    this.#segmentOf(answer).set(key, answer);
    this.#settle();
    this.#makeRoom();
  }

  #segmentOf({ segment }: CachedAnswer): Segment {
    return segment === UNUSED ? this.#unused : segment === USED ? this.#used : this.#late;
  }

  #move(answer: CachedAnswer, segment: number): void {
    this.#segmentOf(answer).delete(answer.key);
    answer.segment = segment;
    this.#segmentOf(answer).set(answer.key, answer);
  }

  #demote(): void {
    while (this.#used.calculatedSize > this.#boundOctets * USED_SHARE) {
      const oldest = this.#used.pop();
      if (oldest === undefined) return;
      oldest.segment = UNUSED;
      this.#unused.set(oldest.key, oldest);
    }
  }

  #settle(): void {
    if (this.#late.size === 0 || this.#isCut()) return;
    for (let left = SETTLED_AT_A_TIME; left > 0; left--) {
      const oldest = this.#late.pop();
      if (oldest === undefined) return;
      oldest.segment = UNUSED;
      this.#unused.set(oldest.key, oldest);
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
      this.#byKey.delete(victim.key);
      this.#evictions++;
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
