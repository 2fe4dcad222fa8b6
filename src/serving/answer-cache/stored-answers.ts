/**
 * All answers of the cache: each is a number (its slot), a record in the slabs, and its times in a page of typed arrays. No
 * answer is an object, so that V8's heap does not grow with what the cache keeps and evicts. It refuses to know which answer
 * goes first, and for how long an answer is good.
 *
 *     key -> heads -> slot -> chain to the next slot with the same head
 *                      `-> times, counters, the slot of the earlier answer, the first chunk of its record
 *
 * The slabs are a few large buffers of chunks; a record is a chain of chunks. So no free place is too small, no room is lost
 * between two records, and any record can use the chunks of a removed record.
 *
 * Nothing here is ever copied to a larger place: more answers take more pages. The index has one chain for each slot that was
 * ever used; with each new slot one chain is split into two (linear hashing: Litwin, "Linear hashing: a new tool for file and
 * table addressing", 1980). So no answer waits until an index of a million answers is made again.
 */
import type { LRUCache } from 'lru-cache';
import type { Query } from '../../protocol/wire/query.ts';
import { AliasNote, type ResponseIndex } from '../../protocol/wire/response-records.ts';
import type { Steps } from '../../runtime/slices.ts';
import {
  type AnswerKind,
  AnswerRecord,
  type CachedAnswer,
  CHUNK_WORDS,
  hasSameQuestion,
  PAYLOAD_WORDS,
  sizeOf,
} from './cached-answer.ts';

export const NO_SLOT = -1;

const MOST_HITS = 0x7fff_ffff;
const GOLDEN = 0x9e3779b1; // 2^32 by the golden ratio: an odd factor that spreads keys
/** Free slots that one step looks at. */
const FREE_SLOTS_PER_STEP = 256;
/** A note is an object. When there are more, all go: an answer without its note costs one more search. */
const MOST_NOTES = 2 ** 14;

// What is known of answers besides their records, in pages of 4,096 slots. The floats and ints of a slot stand beside each other: they
// come into the processor's cache together.

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

/**
 * Places in `ints`, from `(slot & IN_PAGE) * INTS` on. They begin after the floats: both are views of one buffer, and seven
 * floats take fourteen places here.
 */
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

// The answers.

/** An answer in the store. Its counters are those of the store, and stay there. */
export class StoredAnswer implements CachedAnswer {
  readonly #store: StoredAnswers;
  page: SlotPage;
  slot = NO_SLOT;
  serial = 0;
  key = 0;
  kind: AnswerKind = 'positive';
  octets: Uint8Array;
  index: ResponseIndex;
  dnssecOk = false;
  checkingDisabled = false;
  readonly isRetained = false;
  storedAtMs = 0;
  lifetimeMs = 0;

  constructor(store: StoredAnswers, page: SlotPage, octets: Uint8Array, index: ResponseIndex) {
    this.#store = store;
    this.page = page;
    this.octets = octets;
    this.index = index;
  }

  get earlier(): CachedAnswer | undefined {
    return this.#store.earlierOf(this);
  }

  get hits(): number {
    return this.page.ints[(this.slot & IN_PAGE) * INTS + INT.hits] ?? 0;
  }

  set hits(count: number) {
    const { floats, ints } = this.page;
    if (floats[this.#float + FLOAT.serial] !== this.serial) return;
    ints[(this.slot & IN_PAGE) * INTS + INT.hits] = Math.min(count, MOST_HITS);
  }

  get usedAtMs(): number {
    return this.page.floats[this.#float + FLOAT.usedAtMs] ?? 0;
  }

  set usedAtMs(atMs: number) {
    const { floats } = this.page;
    if (floats[this.#float + FLOAT.serial] === this.serial) floats[this.#float + FLOAT.usedAtMs] = atMs;
  }

  get nextRecheckMs(): number {
    return this.page.floats[this.#float + FLOAT.nextRecheckMs] ?? 0;
  }

  set nextRecheckMs(atMs: number) {
    const { floats } = this.page;
    if (floats[this.#float + FLOAT.serial] === this.serial) floats[this.#float + FLOAT.nextRecheckMs] = atMs;
  }

  get nextPrefetchMs(): number {
    return this.page.floats[this.#float + FLOAT.nextPrefetchMs] ?? 0;
  }

  set nextPrefetchMs(atMs: number) {
    const { floats } = this.page;
    if (floats[this.#float + FLOAT.serial] === this.serial) floats[this.#float + FLOAT.nextPrefetchMs] = atMs;
  }

  get #float(): number {
    return (this.slot & IN_PAGE) * FLOATS;
  }

  /** The same answer, for longer than the next call of the store. */
  hold(): StoredAnswer {
    return this.#store.hold(this.slot) ?? this;
  }
}

export class StoredAnswers {
  #slabs = new Slabs();
  /** While answers move to new slabs: the old slabs, which still have the answers from the slot `#packedTo` on. */
  #before: Slabs | undefined;
  #packedTo = 0;
  #pages = [new SlotPage()];
  readonly #record = new AnswerRecord();
  /** The answer that was opened last: one object for all. */
  readonly #opened = new StoredAnswer(this, this.pageOf(0), this.#record.octets, this.#record.index);
  /** Notes of answers with aliases that were opened. */
  readonly #notes = new Map<number, AliasNote>();
  /** The number of chains in the index. */
  #chains = 1;
  /** Bits of the hash by which a chain is found: all ones, at least `#chains - 1`. */
  #chainMask = 0;
  /** The first free slot, plus one. */
  #free = 0;
  /** Slots from here on were never used. */
  #fresh = 0;
  #lastSerial = 0;
  #iterations = 0;

  /** Slots from 0 to before this one may be in use. */
  get end(): number {
    return this.#fresh;
  }

  /** The page of a slot below `end`. */
  pageOf(slot: number): SlotPage {
    const page = this.#pages[slot >>> PAGE_LOG2];
    if (page === undefined) throw noPage(slot, this.#pages.length);
    return page;
  }

  sizeOf(slot: number): number {
    return this.#int(slot, INT.size);
  }

  /** When the answer was used last; 0 for a slot that is not there any more. */
  usedAtMs(slot: number): number {
    if (slot >= this.#fresh) return 0;
    return this.pageOf(slot).floats[(slot & IN_PAGE) * FLOATS + FLOAT.usedAtMs] ?? 0;
  }

  /** The number of a new iteration, for `give`. */
  newIteration(): number {
    return ++this.#iterations;
  }

  /** The iteration that gave the answer in this slot last, or the answer before it to the same question. */
  givenBy(slot: number): number {
    return this.#int(slot, INT.givenBy);
  }

  give(slot: number, iteration: number): void {
    this.#setInt(slot, INT.givenBy, iteration);
  }

  has({ slot, serial }: Pick<CachedAnswer, 'slot' | 'serial'>): boolean {
    if (slot < 0 || slot >= this.#fresh) return false;
    return this.pageOf(slot).floats[(slot & IN_PAGE) * FLOATS + FLOAT.serial] === serial;
  }

  /** Finds the answer under this key to the query's question, and opens it. The object is valid until the next call. */
  find(key: number, query: Query): StoredAnswer | undefined {
    for (let slot = this.#firstOf(key); slot >= 0; slot = this.#nextOf(slot, key)) {
      const answer = this.open(slot);
      if (hasSameQuestion(answer.octets, answer.index.questionEnd, query)) return answer;
    }
    return undefined;
  }

  /** As `find`, with a comparison of the caller. */
  findBy(key: number, isWanted: (answer: CachedAnswer) => boolean): StoredAnswer | undefined {
    for (let slot = this.#firstOf(key); slot >= 0; slot = this.#nextOf(slot, key)) {
      const answer = this.open(slot);
      if (isWanted(answer)) return answer;
    }
    return undefined;
  }

  /** The answer in this slot, which must be in use. The object is valid until the next call. */
  open(slot: number): StoredAnswer {
    const page = this.pageOf(slot);
    this.#slabsOf(slot).read(page.ints[(slot & IN_PAGE) * INTS + INT.chunk] ?? 0, this.#record.words);
    this.#record.readFacts();
    return this.#describe(this.#opened, page, slot, this.#record);
  }

  /** As `open`, with an object and octets of its own; `undefined` for a free slot. */
  hold(slot: number): StoredAnswer | undefined {
    if (slot >= this.#fresh || this.sizeOf(slot) === 0) return undefined;
    this.open(slot);
    const parts = this.#record.copy();
    const page = this.pageOf(slot);
    return this.#describe(new StoredAnswer(this, page, parts.octets, parts.index), page, slot, parts);
  }

  earlierOf(answer: StoredAnswer): CachedAnswer | undefined {
    const { slot } = answer;
    const earlier = this.has(answer) ? this.earlierSlot(slot) : NO_SLOT;
    if (earlier === NO_SLOT) return undefined;
    const held = this.hold(earlier);
    if (answer === this.#opened) this.open(slot); // it stays open
    return held;
  }

  earlierSlot(slot: number): number {
    return this.#int(slot, INT.earlier) - 1;
  }

  /** Puts an answer into the store, and opens it. `earlierSlot`: a slot outside the index, which from now on belongs to this answer. */
  add(answer: CachedAnswer, earlierSlot: number): StoredAnswer {
    const slot = this.#write(answer);
    if (earlierSlot !== NO_SLOT) this.giveEarlier(slot, earlierSlot);
    this.#chainIn(slot, answer.key);
    this.#record.readFacts();
    return this.#describe(this.#opened, this.pageOf(slot), slot, this.#record);
  }

  /** Puts an answer into the store that is not found: it is the earlier answer of the answer that is added next. */
  addEarlier(answer: CachedAnswer): number {
    return this.#write(answer);
  }

  /** Makes the answer in a slot outside the index the earlier answer of `slot`, which has none. */
  giveEarlier(slot: number, earlierSlot: number): void {
    this.#setInt(slot, INT.earlier, earlierSlot + 1);
    this.#setInt(slot, INT.size, this.sizeOf(slot) + this.sizeOf(earlierSlot));
  }

  /** Takes the answer out of the index; its slot stays, for `add` to take it as the earlier answer. */
  detach(slot: number): void {
    const chain = this.#chainOf(this.#int(slot, INT.key));
    let before = this.#headOf(chain);
    if (before === slot) {
      this.#setHead(chain, this.#int(slot, INT.next));
      return;
    }
    while (before >= 0 && this.#int(before, INT.next) !== slot + 1) before = this.#int(before, INT.next) - 1;
    if (before >= 0) this.#setInt(before, INT.next, this.#int(slot, INT.next));
  }

  /** Lets go of the earlier answer, and returns its slot. */
  takeEarlier(slot: number): number {
    const earlier = this.earlierSlot(slot);
    if (earlier === NO_SLOT) return NO_SLOT;
    this.#setInt(slot, INT.earlier, 0);
    this.#setInt(slot, INT.size, this.sizeOf(slot) - this.sizeOf(earlier));
    return earlier;
  }

  remove(slot: number): void {
    this.detach(slot);
    this.drop(slot);
  }

  /** As `remove`, for a slot outside the index. */
  drop(slot: number): void {
    const earlier = this.takeEarlier(slot);
    if (earlier !== NO_SLOT) this.drop(earlier);
    this.#slabsOf(slot).remove(this.#int(slot, INT.chunk));
    if (this.#notes.size > 0) this.#notes.delete(slot);
    this.#setInt(slot, INT.size, 0);
    this.#setInt(slot, INT.next, this.#free);
    this.pageOf(slot).floats[(slot & IN_PAGE) * FLOATS + FLOAT.serial] = 0;
    this.#free = slot + 1;
  }

  /** Empties the store; its memory goes back. */
  clear(): void {
    this.#slabs = new Slabs();
    this.#before = undefined;
    this.#pages = [new SlotPage()];
    this.#notes.clear();
    this.#chains = 1;
    this.#chainMask = 0;
    this.#free = 0;
    this.#fresh = 0;
  }

  /** Moves all answers into as few slabs as they need, an answer in each step. Call it after a smaller bound. */
  *packing(): Steps<void> {
    yield* this.#moving(); // the packing of an earlier bound may be unfinished
    this.#before = this.#slabs;
    this.#packedTo = 0;
    this.#slabs = new Slabs();
    yield* this.#moving();
  }

  *#moving(): Steps<void> {
    const before = this.#before;
    if (before === undefined) return;
    for (let left = FREE_SLOTS_PER_STEP; this.#before === before && this.#packedTo < this.#fresh; ) {
      const slot = this.#packedTo;
      if (this.sizeOf(slot) > 0) {
        this.open(slot);
        const chunk = this.#slabs.put(this.#record.words, this.#record.octetsUsed);
        this.#setInt(slot, INT.chunk, chunk);
        left = 0;
      }
      this.#packedTo++;
      if (left-- > 0) continue;
      left = FREE_SLOTS_PER_STEP;
      yield;
    }
    if (this.#before === before) this.#before = undefined;
  }

  /** The slabs of the record in a slot; a slot that has not moved yet gets a new answer in the old slabs, and moves with it. */
  #slabsOf(slot: number): Slabs {
    return this.#before !== undefined && slot >= this.#packedTo ? this.#before : this.#slabs;
  }

  #write(answer: CachedAnswer): number {
    const slot = this.#takeSlot();
    const { ints, floats } = this.pageOf(slot);
    const int = (slot & IN_PAGE) * INTS;
    ints[int + INT.key] = answer.key;
    ints[int + INT.chunk] = this.#slabsOf(slot).put(this.#record.words, this.#record.write(answer));
    ints[int + INT.size] = sizeOf({ index: answer.index, earlier: undefined });
    ints[int + INT.earlier] = 0;
    ints[int + INT.givenBy] = 0;
    ints[int + INT.hits] = Math.min(answer.hits, MOST_HITS);
    const float = (slot & IN_PAGE) * FLOATS;
    floats[float + FLOAT.serial] = ++this.#lastSerial;
    floats[float + FLOAT.storedAtMs] = answer.storedAtMs;
    floats[float + FLOAT.lifetimeMs] = answer.lifetimeMs;
    floats[float + FLOAT.usedAtMs] = answer.usedAtMs;
    floats[float + FLOAT.nextRecheckMs] = answer.nextRecheckMs;
    floats[float + FLOAT.nextPrefetchMs] = answer.nextPrefetchMs;
    return slot;
  }

  #describe(
    answer: StoredAnswer,
    page: SlotPage,
    slot: number,
    parts: Pick<CachedAnswer, 'kind' | 'dnssecOk' | 'checkingDisabled'>,
  ) {
    const { floats } = page;
    const float = (slot & IN_PAGE) * FLOATS;
    answer.page = page;
    answer.slot = slot;
    answer.serial = floats[float + FLOAT.serial] ?? 0;
    answer.storedAtMs = floats[float + FLOAT.storedAtMs] ?? 0;
    answer.lifetimeMs = floats[float + FLOAT.lifetimeMs] ?? 0;
    answer.key = page.ints[(slot & IN_PAGE) * INTS + INT.key] ?? 0;
    answer.kind = parts.kind;
    answer.dnssecOk = parts.dnssecOk;
    answer.checkingDisabled = parts.checkingDisabled;
    if (answer === this.#opened)
      this.#record.index.aliases = this.#record.hasAliases ? this.#note(slot) : undefined;
    return answer;
  }

  #note(slot: number): AliasNote {
    const known = this.#notes.get(slot);
    if (known !== undefined) return known;
    if (this.#notes.size === MOST_NOTES) this.#notes.clear();
    const note = new AliasNote(this.#record.isOpen);
    this.#notes.set(slot, note);
    return note;
  }

  /** The first slot with this key; below 0: there is none. */
  #firstOf(key: number): number {
    const slot = this.#headOf(this.#chainOf(key));
    return slot < 0 || this.#int(slot, INT.key) === key ? slot : this.#nextOf(slot, key);
  }

  /** The next slot with this key after `slot` in its chain; below 0: there is none. */
  #nextOf(slot: number, key: number): number {
    let next = this.#int(slot, INT.next) - 1;
    while (next >= 0 && this.#int(next, INT.key) !== key) next = this.#int(next, INT.next) - 1;
    return next;
  }

  /** The first slot of a chain; below 0: there is none. */
  #headOf(chain: number): number {
    return (this.pageOf(chain).heads[chain & IN_PAGE] ?? 0) - 1;
  }

  /** `next`: the first slot of the chain from now on, plus one. */
  #setHead(chain: number, next: number): void {
    this.pageOf(chain).heads[chain & IN_PAGE] = next;
  }

  #chainOf(key: number): number {
    const mixed = Math.imul(key, GOLDEN);
    // its low bits depend on all bits of the key
    const chain = (mixed ^ (mixed >>> 16)) & this.#chainMask;
    // a chain that does not exist yet is still part of the chain that will be split into both
    return chain < this.#chains ? chain : chain & (this.#chainMask >>> 1);
  }

  #chainIn(slot: number, key: number): void {
    const chain = this.#chainOf(key);
    this.#setInt(slot, INT.next, this.#headOf(chain) + 1);
    this.#setHead(chain, slot + 1);
  }

  #int(slot: number, place: number): number {
    return this.pageOf(slot).ints[(slot & IN_PAGE) * INTS + place] ?? 0;
  }

  #setInt(slot: number, place: number, value: number): void {
    this.pageOf(slot).ints[(slot & IN_PAGE) * INTS + place] = value;
  }

  #takeSlot(): number {
    if (this.#free !== 0) {
      const slot = this.#free - 1;
      this.#free = this.#int(slot, INT.next);
      return slot;
    }
    const slot = this.#fresh++;
    if (slot >>> PAGE_LOG2 === this.#pages.length) this.#pages.push(new SlotPage());
    if (slot > 0) this.#splitChain(slot);
    return slot;
  }

  /** Adds this chain to the index: it takes its part of the chain that has had its answers until now. */
  #splitChain(added: number): void {
    if (added > this.#chainMask) this.#chainMask = 2 * this.#chainMask + 1;
    this.#chains = added + 1;
    const split = added & (this.#chainMask >>> 1);
    let slot = this.#headOf(split);
    this.#setHead(split, 0);
    while (slot >= 0) {
      const next = this.#int(slot, INT.next) - 1;
      this.#chainIn(slot, this.#int(slot, INT.key));
      slot = next;
    }
  }
}

function noPage(slot: number, pages: number): Error {
  return new Error(`no slot ${slot} in ${pages} pages`);
}

// The slabs. A chunk is the number of the next chunk, plus one (u32; 0 at the end), and 60 octets of the record. They are read and
// written as words of 32 bits: octet by octet takes three times as long.

/** Chunks of a buffer: 256 KiB, which the system gives page by page as they are written. */
const SLAB_CHUNKS_LOG2 = 12;
const SLAB_CHUNKS = 2 ** SLAB_CHUNKS_LOG2;

export class Slabs {
  readonly #slabs: Uint32Array[] = [];
  /** The first of the free chunks, plus one; they are chained like those of a record. */
  #free = 0;
  /** Chunks from here on were never used. */
  #fresh = 0;

  /** The number of chunks in all buffers. */
  get capacity(): number {
    return this.#slabs.length * SLAB_CHUNKS;
  }

  /** Copies the first `octets` of `record` into chunks. Returns the number by which the record is read and removed. */
  put(record: Uint32Array, octets: number): number {
    const words = Math.ceil(octets / 4);
    const first = this.#take();
    let chunk = first;
    for (let from = 0; ; ) {
      const slab = this.#slabOf(chunk);
      const at = placeOf(chunk);
      const end = Math.min(from + PAYLOAD_WORDS, words);
      for (let to = at + 1; from < end; from++, to++) slab[to] = record[from] ?? 0;
      if (from === words) {
        slab[at] = 0;
        return first;
      }
      chunk = this.#take();
      slab[at] = chunk + 1;
    }
  }

  /** Copies the record to the start of `into`, and up to 14 words of no meaning after it. */
  read(first: number, into: Uint32Array): void {
    let to = 0;
    for (let next = first + 1; next !== 0; ) {
      const slab = this.#slabOf(next - 1);
      const at = placeOf(next - 1);
      for (let from = at + 1; from < at + CHUNK_WORDS; from++, to++) into[to] = slab[from] ?? 0;
      next = slab[at] ?? 0;
    }
  }

  remove(first: number): void {
    for (let last = first; ; ) {
      const slab = this.#slabOf(last);
      const next = slab[placeOf(last)] ?? 0;
      if (next !== 0) {
        last = next - 1;
        continue;
      }
      slab[placeOf(last)] = this.#free;
      this.#free = first + 1;
      return;
    }
  }

  #take(): number {
    if (this.#free !== 0) {
      const chunk = this.#free - 1;
      this.#free = this.#slabOf(chunk)[placeOf(chunk)] ?? 0;
      return chunk;
    }
    if (this.#fresh === this.capacity) this.#slabs.push(new Uint32Array(SLAB_CHUNKS * CHUNK_WORDS));
    return this.#fresh++;
  }

  #slabOf(chunk: number): Uint32Array {
    const slab = this.#slabs[chunk >>> SLAB_CHUNKS_LOG2];
    if (slab === undefined) throw new Error(`no chunk ${chunk} in ${this.#slabs.length} slabs`);
    return slab;
  }
}

/** The first word of a chunk in its buffer. */
function placeOf(chunk: number): number {
  return (chunk & (SLAB_CHUNKS - 1)) * CHUNK_WORDS;
}
