/**
 * All answers of the cache: each is a number (its slot), a record in the slabs, and its times in typed arrays. No answer is an
 * object, so that V8's heap does not grow with what the cache keeps and evicts. It refuses to know which answer goes first, and
 * for how long an answer is good.
 *
 *     key -> heads -> slot -> chain to the next slot with the same head
 *                      `-> times, counters, the slot of the earlier answer, the first chunk of its record
 */
import { AliasNote } from '../../protocol/wire/alias-chain.ts';
import type { Query } from '../../protocol/wire/query.ts';
import type { ResponseIndex } from '../../protocol/wire/response-records.ts';
import { atOnce, type Steps } from '../../runtime/slices.ts';
import { AnswerRecord, sizeOf } from './answer-record.ts';
import { type AnswerKind, type CachedAnswer, hasSameQuestion } from './cached-answer.ts';
import { Slabs } from './slabs.ts';

export const NO_SLOT = -1;

const FEWEST_SLOTS = 64;
/** As many as a bound of 16 GiB needs. The system gives memory only to slots that were used. */
const MOST_SLOTS = 2 ** 26;
/** The smallest answer is larger than this. */
const OCTETS_PER_SLOT = 256;
/** A note is an object. When there are more, all go: an answer without its note costs one more search. */
const MOST_NOTES = 2 ** 14;

/** An answer in the store. Its counters are those of the store, and stay there. */
export class StoredAnswer implements CachedAnswer {
  readonly #store: StoredAnswers;
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

  constructor(store: StoredAnswers, octets: Uint8Array, index: ResponseIndex) {
    this.#store = store;
    this.octets = octets;
    this.index = index;
  }

  get earlier(): CachedAnswer | undefined {
    return this.#store.earlierOf(this);
  }

  get hits(): number {
    return this.#store.hits[this.slot] ?? 0;
  }

  set hits(count: number) {
    if (this.#store.has(this)) this.#store.hits[this.slot] = Math.min(count, 0xffff_ffff);
  }

  get usedAtMs(): number {
    return this.#store.usedAtMs[this.slot] ?? 0;
  }

  set usedAtMs(atMs: number) {
    if (this.#store.has(this)) this.#store.usedAtMs[this.slot] = atMs;
  }

  get nextRecheckMs(): number {
    return this.#store.nextRecheckMs[this.slot] ?? 0;
  }

  set nextRecheckMs(atMs: number) {
    if (this.#store.has(this)) this.#store.nextRecheckMs[this.slot] = atMs;
  }

  get nextPrefetchMs(): number {
    return this.#store.nextPrefetchMs[this.slot] ?? 0;
  }

  set nextPrefetchMs(atMs: number) {
    if (this.#store.has(this)) this.#store.nextPrefetchMs[this.slot] = atMs;
  }

  /** The same answer, for longer than the next call of the store. */
  hold(): StoredAnswer {
    return this.#store.hold(this.slot) ?? this;
  }
}

interface SlabsBefore {
  readonly slabs: Slabs;
  readonly isThere: Uint8Array;
}

export class StoredAnswers {
  #slabs = new Slabs();
  /** While answers move to new slabs: the old slabs, and the slots that are still there. */
  #before: SlabsBefore | undefined;
  readonly #record = new AnswerRecord();
  /** The answer that was opened last: one object for all. */
  readonly #opened = new StoredAnswer(this, this.#record.octets, this.#record.index);
  /** Notes of answers with aliases that were opened. */
  readonly #notes = new Map<number, AliasNote>();
  #capacity = 0;
  #shift = 0;
  /** The first slot of each chain, plus one. */
  #heads = new Int32Array(0);
  /** The next slot of the chain, plus one; for a free slot the next free one, plus one. */
  #chain = new Int32Array(0);
  #keys = new Int32Array(0);
  /** The first chunk of the record. */
  #chunks = new Int32Array(0);
  /** Octets against the bound, those of the earlier answer included; 0: the slot is free. */
  #sizes = new Int32Array(0);
  /** The slot of the earlier answer, plus one. */
  #earlier = new Int32Array(0);
  #serials = new Float64Array(0);
  #storedAtMs = new Float64Array(0);
  #lifetimeMs = new Float64Array(0);
  usedAtMs = new Float64Array(0);
  nextRecheckMs = new Float64Array(0);
  nextPrefetchMs = new Float64Array(0);
  hits = new Uint32Array(0);
  /** The first free slot, plus one. */
  #free = 0;
  /** Slots from here on were never used. */
  #fresh = 0;
  #lastSerial = 0;

  constructor(boundOctets: number) {
    this.makeSlotsFor(boundOctets);
  }

  /**
   * Makes a slot for every answer that the bound can hold. To double the slots of a million answers while queries arrive would
   * take 100 ms.
   */
  makeSlotsFor(boundOctets: number): void {
    const slots = Math.min(Math.max(FEWEST_SLOTS, boundOctets / OCTETS_PER_SLOT), MOST_SLOTS);
    if (slots > this.#capacity) this.#grow(slots);
  }

  /** Slots from 0 to before this one may be in use. */
  get end(): number {
    return this.#fresh;
  }

  /** Every later answer has a greater serial number. */
  get lastSerial(): number {
    return this.#lastSerial;
  }

  serialOf(slot: number): number {
    return this.#serials[slot] ?? 0;
  }

  sizeOf(slot: number): number {
    return this.#sizes[slot] ?? 0;
  }

  has({ slot, serial }: Pick<CachedAnswer, 'slot' | 'serial'>): boolean {
    return slot !== NO_SLOT && this.#serials[slot] === serial;
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
    this.#slabsOf(slot).read(this.#chunks[slot] ?? 0, this.#record.words);
    this.#record.readFacts();
    return this.#describe(this.#opened, slot, this.#record);
  }

  /** As `open`, with an object and octets of its own; `undefined` for a free slot. */
  hold(slot: number): StoredAnswer | undefined {
    if (this.sizeOf(slot) === 0) return undefined;
    this.open(slot);
    const parts = this.#record.copy();
    return this.#describe(new StoredAnswer(this, parts.octets, parts.index), slot, parts);
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
    return (this.#earlier[slot] ?? 0) - 1;
  }

  /** Puts an answer into the store, and opens it. `earlierSlot`: a slot outside the index, which from now on belongs to this answer. */
  add(answer: CachedAnswer, earlierSlot: number): StoredAnswer {
    const slot = this.#write(answer);
    if (earlierSlot !== NO_SLOT) this.giveEarlier(slot, earlierSlot);
    const place = this.#placeOf(answer.key);
    this.#chain[slot] = this.#heads[place] ?? 0;
    this.#heads[place] = slot + 1;
    this.#record.readFacts();
    return this.#describe(this.#opened, slot, this.#record);
  }

  /** Puts an answer into the store that is not found: it is the earlier answer of the answer that is added next. */
  addEarlier(answer: CachedAnswer): number {
    return this.#write(answer);
  }

  /** Makes the answer in a slot outside the index the earlier answer of `slot`, which has none. */
  giveEarlier(slot: number, earlierSlot: number): void {
    this.#earlier[slot] = earlierSlot + 1;
    this.#sizes[slot] = this.sizeOf(slot) + this.sizeOf(earlierSlot);
  }

  /** Takes the answer out of the index; its slot stays, for `add` to take it as the earlier answer. */
  detach(slot: number): void {
    const place = this.#placeOf(this.#keys[slot] ?? 0);
    const next = this.#chain[slot] ?? 0;
    if (this.#heads[place] === slot + 1) {
      this.#heads[place] = next;
      return;
    }
    let before = (this.#heads[place] ?? 0) - 1;
    while (before >= 0 && this.#chain[before] !== slot + 1) before = (this.#chain[before] ?? 0) - 1;
    if (before >= 0) this.#chain[before] = next;
  }

  /** Lets go of the earlier answer, and returns its slot. */
  takeEarlier(slot: number): number {
    const earlier = this.earlierSlot(slot);
    this.#earlier[slot] = 0;
    if (earlier !== NO_SLOT) this.#sizes[slot] = this.sizeOf(slot) - this.sizeOf(earlier);
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
    this.#slabsOf(slot).remove(this.#chunks[slot] ?? 0);
    if (this.#before !== undefined) this.#before.isThere[slot] = 0;
    if (this.#notes.size > 0) this.#notes.delete(slot);
    this.#sizes[slot] = 0;
    this.#serials[slot] = 0;
    this.#chain[slot] = this.#free;
    this.#free = slot + 1;
  }

  /** Empties the store; its memory goes back. */
  clear(): void {
    this.#slabs = new Slabs();
    this.#before = undefined;
    this.#notes.clear();
    this.#heads.fill(0);
    this.#sizes.fill(0, 0, this.#fresh);
    this.#serials.fill(0, 0, this.#fresh);
    this.#free = 0;
    this.#fresh = 0;
  }

  /** Moves all answers into as few slabs as they need, a few answers in each step. Call it after a smaller bound. */
  *packing(): Steps<void> {
    if (this.#before !== undefined) atOnce(this.#moving(this.#before)); // the packing of an earlier bound was left unfinished
    const isThere = new Uint8Array(this.#fresh);
    for (let slot = 0; slot < isThere.length; slot++) isThere[slot] = this.sizeOf(slot) === 0 ? 0 : 1;
    this.#before = { slabs: this.#slabs, isThere };
    this.#slabs = new Slabs();
    yield* this.#moving(this.#before);
  }

  *#moving(before: SlabsBefore): Steps<void> {
    for (let slot = 0; slot < before.isThere.length && this.#before === before; slot++) {
      if (before.isThere[slot] === 0) continue;
      this.open(slot);
      this.#chunks[slot] = this.#slabs.put(this.#record.words, this.#record.octetsUsed);
      before.isThere[slot] = 0;
      yield;
    }
    if (this.#before === before) this.#before = undefined;
  }

  #slabsOf(slot: number): Slabs {
    return this.#before !== undefined && this.#before.isThere[slot] === 1 ? this.#before.slabs : this.#slabs;
  }

  #write(answer: CachedAnswer): number {
    const slot = this.#takeSlot();
    this.#chunks[slot] = this.#slabs.put(this.#record.words, this.#record.write(answer));
    this.#keys[slot] = answer.key;
    this.#sizes[slot] = sizeOf({ index: answer.index, earlier: undefined });
    this.#earlier[slot] = 0;
    this.#serials[slot] = ++this.#lastSerial;
    this.#storedAtMs[slot] = answer.storedAtMs;
    this.#lifetimeMs[slot] = answer.lifetimeMs;
    this.usedAtMs[slot] = answer.usedAtMs;
    this.nextRecheckMs[slot] = answer.nextRecheckMs;
    this.nextPrefetchMs[slot] = answer.nextPrefetchMs;
    this.hits[slot] = Math.min(answer.hits, 0xffff_ffff);
    return slot;
  }

  #describe(
    answer: StoredAnswer,
    slot: number,
    parts: Pick<CachedAnswer, 'kind' | 'dnssecOk' | 'checkingDisabled'>,
  ) {
    answer.slot = slot;
    answer.serial = this.#serials[slot] ?? 0;
    answer.key = this.#keys[slot] ?? 0;
    answer.kind = parts.kind;
    answer.dnssecOk = parts.dnssecOk;
    answer.checkingDisabled = parts.checkingDisabled;
    answer.storedAtMs = this.#storedAtMs[slot] ?? 0;
    answer.lifetimeMs = this.#lifetimeMs[slot] ?? 0;
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
    const slot = (this.#heads[this.#placeOf(key)] ?? 0) - 1;
    return slot < 0 || this.#keys[slot] === key ? slot : this.#nextOf(slot, key);
  }

  /** The next slot with this key after `slot` in its chain; below 0: there is none. */
  #nextOf(slot: number, key: number): number {
    let next = (this.#chain[slot] ?? 0) - 1;
    while (next >= 0 && this.#keys[next] !== key) next = (this.#chain[next] ?? 0) - 1;
    return next;
  }

  #placeOf(key: number): number {
    return Math.imul(key, 0x9e3779b1) >>> this.#shift;
  }

  #takeSlot(): number {
    if (this.#free !== 0) {
      const slot = this.#free - 1;
      this.#free = this.#chain[slot] ?? 0;
      return slot;
    }
    if (this.#fresh === this.#capacity) this.#grow(2 * this.#capacity);
    return this.#fresh++;
  }

  #grow(slots: number): void {
    const bits = Math.ceil(Math.log2(slots));
    this.#capacity = 2 ** bits;
    this.#shift = 32 - bits;
    const ints = (before: Int32Array) => {
      const after = new Int32Array(this.#capacity);
      after.set(before);
      return after;
    };
    const floats = (before: Float64Array) => {
      const after = new Float64Array(this.#capacity);
      after.set(before);
      return after;
    };
    this.#chain = ints(this.#chain);
    this.#keys = ints(this.#keys);
    this.#chunks = ints(this.#chunks);
    this.#sizes = ints(this.#sizes);
    this.#earlier = ints(this.#earlier);
    this.#serials = floats(this.#serials);
    this.#storedAtMs = floats(this.#storedAtMs);
    this.#lifetimeMs = floats(this.#lifetimeMs);
    this.usedAtMs = floats(this.usedAtMs);
    this.nextRecheckMs = floats(this.nextRecheckMs);
    this.nextPrefetchMs = floats(this.nextPrefetchMs);
    const { hits } = this;
    this.hits = new Uint32Array(this.#capacity);
    this.hits.set(hits);
    this.#rehash();
  }

  #rehash(): void {
    const before = this.#heads;
    this.#heads = new Int32Array(this.#capacity);
    for (const head of before) {
      for (let slot = head - 1; slot >= 0; ) {
        const next = (this.#chain[slot] ?? 0) - 1;
        const place = this.#placeOf(this.#keys[slot] ?? 0);
        this.#chain[slot] = this.#heads[place] ?? 0;
        this.#heads[place] = slot + 1;
        slot = next;
      }
    }
  }
}
