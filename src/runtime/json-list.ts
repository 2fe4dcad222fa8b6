/**
 * A list of thousands of values that are seldom read, such as the zones of a configuration, kept as the octets of their JSON. An
 * object that is alive costs the loop time whenever V8 collects garbage; octets do not. Each reading of a value makes a new one.
 * A list in a value may have thousands of items, too: it is kept item by item, and read as an iterable.
 */
import type { Steps } from './slices.ts';

interface JsonTexts {
  readonly blocks: readonly Uint8Array<ArrayBuffer>[];
  readonly places: Uint32Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
}

/** All that a list is made of: a thread hands it over without a copy, and has the list no more. */
export interface JsonParts {
  readonly values: JsonTexts;
  readonly items: JsonTexts;
  /** By value: the first of its items. */
  readonly firstItems: Uint32Array<ArrayBuffer>;
}

/** The text that is kept of a value: the value without its lists, then the name of each list with its number of items. */
type Head = readonly [value: Record<string, unknown>, ...lists: (readonly [name: string, items: number])[]];

type Freeze = <V>(value: V) => V;

export class JsonList<T extends object> implements Iterable<T> {
  readonly #values: Texts;
  readonly #items: Texts;
  #firstItems: Uint32Array<ArrayBuffer>;
  readonly #freeze: Freeze;

  /** @param freeze gets each value and each item that is read */
  constructor(parts?: JsonParts, freeze: Freeze = (value) => value) {
    this.#freeze = freeze;
    this.#values = new Texts(parts?.values);
    this.#items = new Texts(parts?.items);
    this.#firstItems = parts?.firstItems ?? new Uint32Array(16);
  }

  /** The values in a list: the same list where they are in one already. Yields after each value, where a caller can pause. */
  static *of<T extends object>(values: Iterable<T>, freeze?: Freeze): Steps<JsonList<T>> {
    if (values instanceof JsonList) return values;
    const list = new JsonList<T>(undefined, freeze);
    for (const value of values) {
      list.add(value);
      yield;
    }
    return list;
  }

  get length(): number {
    return this.#values.length;
  }

  /** Returns the index. */
  add(value: T): number {
    const index = this.length;
    if (index === this.#firstItems.length) this.#firstItems = widened(this.#firstItems);
    this.#firstItems[index] = this.#items.length;
    const single: Record<string, unknown> = {};
    const lists: [string, number][] = [];
    for (const [name, member] of Object.entries(value)) {
      if (!Array.isArray(member)) {
        single[name] = member;
        continue;
      }
      for (const item of member) this.#items.add(item);
      lists.push([name, member.length]);
    }
    this.#values.add([single, ...lists] satisfies Head);
    return index;
  }

  at(index: number): T {
    const [value, ...lists] = this.#values.read(index) as Head; // the assertion: `add` wrote it
    let from = this.#firstItems[index] ?? 0;
    for (const [name, count] of lists) {
      value[name] = new Items(this.#items, from, count, this.#freeze);
      from += count;
    }
    return this.#freeze(value) as T; // the assertion: it was one
  }

  /** Whether the value at `index` has the same text as that of another list at `otherIndex`. Yields after some items. */
  *same(index: number, other: JsonList<T>, otherIndex: number): Steps<boolean> {
    if (!isEqual(this.#values.octets(index), other.#values.octets(otherIndex))) return false;
    // equal values have as many items
    const otherFrom = other.#firstItems[otherIndex] ?? 0;
    const from = this.#firstItems[index] ?? 0;
    const end = (index + 1 < this.length ? this.#firstItems[index + 1] : this.#items.length) ?? from;
    for (let at = from; at < end; at++) {
      if ((at - from) % ITEMS_PER_STEP === ITEMS_PER_STEP - 1) yield;
      if (!isEqual(this.#items.octets(at), other.#items.octets(otherFrom + at - from))) return false;
    }
    return true;
  }

  get parts(): JsonParts {
    const { length } = this;
    return {
      values: this.#values.parts,
      items: this.#items.parts,
      firstItems: this.#firstItems.slice(0, length),
    };
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}

/** The items of a list in a value. */
class Items implements Iterable<unknown> {
  readonly #texts: Texts;
  readonly #from: number;
  readonly #count: number;
  readonly #freeze: Freeze;

  constructor(texts: Texts, from: number, count: number, freeze: Freeze) {
    this.#freeze = freeze;
    this.#texts = texts;
    this.#from = from;
    this.#count = count;
  }

  *[Symbol.iterator](): Generator<unknown> {
    for (let at = 0; at < this.#count; at++) yield this.#freeze(this.#texts.read(this.#from + at));
  }
}

/** Texts in blocks that are never copied: a buffer that grows would take milliseconds for it. */
class Texts {
  readonly #blocks: Uint8Array<ArrayBuffer>[];
  /** Where a text begins: the number of its block, and the offset in it. */
  #places: Uint32Array<ArrayBuffer>;
  #lengths: Uint32Array<ArrayBuffer>;
  #length: number;
  /** Octets that the last block has in use. */
  #used = 0;

  constructor(parts?: JsonTexts) {
    this.#blocks = parts === undefined ? [] : [...parts.blocks];
    this.#places = parts?.places ?? new Uint32Array(16);
    this.#lengths = parts?.lengths ?? new Uint32Array(16);
    this.#length = parts?.lengths.length ?? 0;
    this.#used = this.#blocks.at(-1)?.length ?? 0;
  }

  get length(): number {
    return this.#length;
  }

  get parts(): JsonTexts {
    const { length } = this;
    const last = this.#blocks.length - 1;
    return {
      blocks: this.#blocks.map((block, index) => (index === last ? block.slice(0, this.#used) : block)),
      places: this.#places.slice(0, length),
      lengths: this.#lengths.slice(0, length),
    };
  }

  add(value: unknown): void {
    const text = Buffer.from(JSON.stringify(value));
    const index = this.#length++;
    if (index === this.#places.length) {
      this.#places = widened(this.#places);
      this.#lengths = widened(this.#lengths);
    }
    let block = this.#blocks.at(-1);
    if (block === undefined || this.#used + text.length > block.length) {
      const usual = Math.min(BLOCK_OCTETS, (block?.length ?? FIRST_BLOCK_OCTETS / 2) * 2);
      block = new Uint8Array(Math.max(usual, text.length));
      this.#blocks.push(block);
      this.#used = 0;
    }
    block.set(text, this.#used);
    this.#places[index] = (this.#blocks.length - 1) * BLOCK_OCTETS + this.#used;
    this.#lengths[index] = text.length;
    this.#used += text.length;
  }

  read(index: number): unknown {
    return JSON.parse(this.octets(index).toString());
  }

  octets(index: number): Buffer {
    const place = this.#places[index] ?? 0;
    const block = this.#blocks[Math.floor(place / BLOCK_OCTETS)] ?? NOTHING;
    const start = block.byteOffset + (place % BLOCK_OCTETS);
    return Buffer.from(block.buffer, start, this.#lengths[index] ?? 0);
  }
}

/** Some microseconds. */
const ITEMS_PER_STEP = 16;
const BLOCK_OCTETS = 262_144;
const FIRST_BLOCK_OCTETS = 1024;
const NOTHING = new Uint8Array(0);

function widened(numbers: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  return new Uint32Array(numbers.buffer.transfer(Math.max(16, numbers.length * 2) * 4));
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

/** The buffers in which a list lies. */
export function buffersOf({ values, items, firstItems }: JsonParts): ArrayBuffer[] {
  const arrays = [values, items].flatMap(({ blocks, places, lengths }) => [...blocks, places, lengths]);
  return [...arrays, firstItems].map(({ buffer }) => buffer);
}
