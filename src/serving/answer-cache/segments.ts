/**
 * Answers by key, bounded in octets, and which of them goes first when there is no room: lru-cache keeps the order of each
 * segment, and this file says which segment an answer is in. It refuses to know time and freshness.
 *
 *     unused  stored, and not asked for since: a flood of random names ends here, and pushes out only its own kind
 *     used    asked for at least once since it was first stored; four fifths of the room, its oldest become unused again
 *     late    stored during a cut, for as long as it lasts: what was known before cannot be fetched again, so answers of
 *             servers that still reply take its place only up to an eighth of the room, however often they are asked for
 *
 * This is a segmented LRU (Karedla, Love and Wherry, "Caching strategies to improve disk system performance", 1994) with a
 * third segment. A plain LRU keeps what came last, so that names that nobody wants twice empty it. The simulation in
 * test/serving/answer-cache/eviction.test.ts prints how both do on a trace like that of a site and in floods.
 */
import { LRUCache } from 'lru-cache';
import type { Query } from '../../protocol/wire/query.ts';
import type { Steps } from '../../runtime/slices.ts';
import { hasSameQuestion } from './cache-key.ts';
import { type CachedAnswer, sizeOf } from './cached-answer.ts';

const USED_SHARE = 0.8;
const LATE_SHARE = 1 / 8;
/** Late answers that become ordinary ones with each new answer once the cut is over: a few, so that no query waits. */
const SETTLED_AT_A_TIME = 8;
/** By which a bound shrinks in one step: room for some twenty answers. */
const OCTETS_PER_STEP = 8 * 1024;

/** lru-cache writes to the options of a look-up, so they cannot be frozen; shared, they cost no object per query. */
const lookup: LRUCache.GetOptions<number, CachedAnswer, unknown> = {};

type Segment = LRUCache<number, CachedAnswer>;

/** lru-cache measures each segment; how much fits is a matter of all three. */
function newSegment(): Segment {
  return new LRUCache<number, CachedAnswer>({ maxSize: Number.MAX_SAFE_INTEGER, sizeCalculation: sizeOf });
}

function secondOf(key: number): number {
  return key ^ 0x5bd1e995;
}

export class Segments {
  readonly #used = newSegment();
  readonly #unused = newSegment();
  readonly #late = newSegment();
  readonly #isCut: () => boolean;
  #boundOctets: number;
  #evictions = 0;
  /** The same answers in a set, because only that can be looked through in pieces while it changes. */
  readonly #all = new Set<CachedAnswer>();
  /** Whether an answer was ever put at its second place. */
  #hasSecond = false;

  constructor(boundOctets: number, isCut: () => boolean) {
    this.#boundOctets = boundOctets;
    this.#isCut = isCut;
  }

  get entries(): number {
    return this.#all.size;
  }

  get octets(): number {
    return this.#used.calculatedSize + this.#unused.calculatedSize + this.#late.calculatedSize;
  }

  get evictions(): number {
    return this.#evictions;
  }

  get all(): ReadonlySet<CachedAnswer> {
    return this.#all;
  }

  /** The answer under this key, as one that was wanted now. */
  get(key: number): CachedAnswer | undefined {
    return this.#used.get(key, lookup) ?? this.#unused.get(key, lookup) ?? this.#late.get(key, lookup);
  }

  peek(key: number): CachedAnswer | undefined {
    return this.#used.peek(key) ?? this.#unused.peek(key) ?? this.#late.peek(key);
  }

  /** As `get`, at the other place that an answer may have: looked at only where there ever was one. */
  getSecond(key: number): CachedAnswer | undefined {
    return this.#hasSecond ? this.get(secondOf(key)) : undefined;
  }

  /** The answer at either place that carries this query's question, whatever its DO and CD. */
  peekFor(query: Query, key: number): CachedAnswer | undefined {
    const first = this.peek(key);
    if (first !== undefined && hasSameQuestion(first.octets, first.index.questionEnd, query)) return first;
    const second = this.#hasSecond ? this.peek(secondOf(key)) : undefined;
    const isFor = second !== undefined && hasSameQuestion(second.octets, second.index.questionEnd, query);
    return isFor ? second : undefined;
  }

  /**
   * Where an answer may be put: where one is that it may replace, or at the first place that is free. By accident two of
   * 50,000 questions share a key in every third process, and neither is to go without an answer.
   */
  freeKey(key: number, mayReplace: (resident: CachedAnswer) => boolean): number | undefined {
    for (const place of [key, secondOf(key)]) {
      const resident = this.peek(place);
      if (resident !== undefined && !mayReplace(resident)) continue;
      if (place !== key) this.#hasSecond = true;
      return place;
    }
    return undefined;
  }

  isUsed(answer: CachedAnswer): boolean {
    return this.#used.peek(answer.key) === answer;
  }

  /** The answer was given to somebody. */
  noteUse(answer: CachedAnswer): void {
    const { key } = answer;
    if (this.#used.has(key) || !this.#all.has(answer)) return;
    // a client that asks twice for each name that it makes up must not push out what cannot be fetched again
    if (this.#late.has(key) && this.#isCut()) return;
    this.#unused.delete(key);
    this.#late.delete(key);
    this.#used.set(key, answer);
    this.#demote();
  }

  /** Keeps `answer` in place of what has its key. An answer that is larger than the whole bound is not kept. */
  put(answer: CachedAnswer): void {
    this.#putInto(this.#segmentOf(answer.key) ?? (this.#isCut() ? this.#late : this.#unused), answer);
  }

  #putInto(segment: Segment, answer: CachedAnswer): void {
    const { key } = answer;
    const before = segment.peek(key);
    if (before !== undefined) this.#all.delete(before);
    segment.set(key, answer);
    this.#all.add(answer);
    this.#settle();
    this.#makeRoom();
  }

  /** As `put`, for what was known before this process began, where nothing has to go for it; whether that was so. */
  putIfRoom(answer: CachedAnswer, isUsed: boolean): boolean {
    const before = this.peek(answer.key);
    const octets = this.octets - (before === undefined ? 0 : sizeOf(before)) + sizeOf(answer);
    if (octets > this.#boundOctets) return false;
    this.#putInto(this.#segmentOf(answer.key) ?? this.#unused, answer);
    if (isUsed) this.noteUse(answer);
    return true;
  }

  delete(key: number): void {
    const answer = this.peek(key);
    if (answer === undefined) return;
    this.#all.delete(answer);
    for (const segment of [this.#used, this.#unused, this.#late]) segment.delete(key);
  }

  clear(): void {
    for (const segment of [this.#used, this.#unused, this.#late]) segment.clear();
    this.#all.clear();
  }

  /** To a new bound, in steps: a smaller one is reached bit by bit, because what goes for it may be most of the answers. */
  *resizing(boundOctets: number): Steps<void> {
    while (this.#boundOctets > boundOctets) {
      this.#boundOctets = Math.max(boundOctets, this.#boundOctets - OCTETS_PER_STEP);
      this.#demote();
      this.#makeRoom();
      yield;
    }
    this.#boundOctets = boundOctets;
  }

  /** An answer that comes again stays in its segment. */
  #segmentOf(key: number): Segment | undefined {
    return [this.#used, this.#unused, this.#late].find((segment) => segment.has(key));
  }

  #demote(): void {
    while (this.#used.calculatedSize > this.#boundOctets * USED_SHARE) {
      const oldest = this.#used.pop();
      if (oldest === undefined) return;
      this.#unused.set(oldest.key, oldest);
    }
  }

  #settle(): void {
    if (this.#late.size === 0 || this.#isCut()) return;
    for (let left = SETTLED_AT_A_TIME; left > 0; left--) {
      const oldest = this.#late.pop();
      if (oldest === undefined) return;
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
      this.#all.delete(victim);
      this.#evictions++;
    }
  }
}
