/**
 * The map by which tables find the name of a query, exactly or by its longest suffix, without a string. It is made for thousands
 * of names: they stand one after the other in one buffer, and the table is one of numbers. To the collector of garbage, which
 * looks at every object that is alive, they are a few objects.
 */
import { nameToWire } from '../words/name.ts';
import { type AskedName, hashName, isSuffix } from './message.ts';

/** Words of a place in the table of a `NameMap`: the hash of a name, and its number plus one, or 0 where the place is free. */
const PLACE_WORDS = 2;

/** Maps domain names to values. */
export class NameMap<V> {
  /** By the number of a name. */
  readonly #values: V[] = [];
  #names = new Uint8Array(256);
  /** Where a name ends in `#names`, by its number; the next name begins there. */
  #ends = new Uint32Array(8);
  /** Twice as many places as names, or more; the number of places is a power of two. */
  #table = new Int32Array(16 * PLACE_WORDS);
  /** Names in the map by their number of labels: a depth without names is not searched. */
  readonly #namesAtDepth = new Uint32Array(128);
  #deepest = 0;

  /** `name` is a text in normal form or with any case; a later value replaces an earlier one. */
  set(name: string, value: V): this {
    const wire = nameToWire(name);
    const hash = hashName(wire);
    const known = this.#find(wire, hash);
    if (known !== undefined) {
      this.#values[known] = value;
      return this;
    }
    const number = this.#values.push(value) - 1;
    this.#write(wire, number);
    if ((number + 1) * 2 * PLACE_WORDS > this.#table.length) this.#widen();
    enter(this.#table, hash, number);
    const depth = labelCount(wire);
    this.#namesAtDepth[depth] = (this.#namesAtDepth[depth] ?? 0) + 1;
    this.#deepest = Math.max(this.#deepest, depth);
    return this;
  }

  /** The value of this name, which is a text as that of `set`. */
  get(name: string): V | undefined {
    const wire = nameToWire(name);
    const number = this.#find(wire, hashName(wire));
    return number === undefined ? undefined : this.#values[number];
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** The value of the query's own name. */
  exact(query: AskedName): V | undefined {
    return this.#at(query, query.labelCount);
  }

  /** The value of the longest name in the map that is the query's name or an ancestor of it. */
  closest(query: AskedName): V | undefined {
    return this.#closest(query, query.labelCount);
  }

  /** The value of the longest name in the map that is an ancestor of the query's name. */
  closestAbove(query: AskedName): V | undefined {
    return this.#closest(query, query.labelCount - 1);
  }

  #closest(query: AskedName, labels: number): V | undefined {
    for (let depth = Math.min(labels, this.#deepest); depth >= 0; depth--) {
      const value = this.#at(query, depth);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #at(query: AskedName, depth: number): V | undefined {
    if (this.#namesAtDepth[depth] === 0) return undefined;
    const table = this.#table;
    const hash = query.suffixHashes[depth] ?? 0;
    for (let place = placeOf(hash, table); ; place = (place + PLACE_WORDS) & (table.length - 1)) {
      const number = (table[place + 1] ?? 0) - 1;
      if (number < 0) return undefined;
      if (table[place] !== hash) continue;
      const start = this.#startOf(number);
      const end = this.#ends[number] ?? 0;
      if (isSuffix(query, depth, this.#names, start, end)) return this.#values[number];
    }
  }

  /** The number of the name. */
  #find(wire: Uint8Array, hash: number): number | undefined {
    const table = this.#table;
    for (let place = placeOf(hash, table); ; place = (place + PLACE_WORDS) & (table.length - 1)) {
      const number = (table[place + 1] ?? 0) - 1;
      if (number < 0) return undefined;
      if (table[place] !== hash) continue;
      const [start, end] = [this.#startOf(number), this.#ends[number] ?? 0];
      if (Buffer.compare(this.#names.subarray(start, end), wire) === 0) return number;
    }
  }

  #startOf(number: number): number {
    return number === 0 ? 0 : (this.#ends[number - 1] ?? 0);
  }

  #write(wire: Uint8Array, number: number): void {
    const start = this.#startOf(number);
    const end = start + wire.length;
    if (end > this.#names.length)
      this.#names = new Uint8Array(this.#names.buffer.transfer(this.#names.length * 2));
    if (number === this.#ends.length) this.#ends = new Uint32Array(this.#ends.buffer.transfer(number * 8));
    this.#names.set(wire, start);
    this.#ends[number] = end;
  }

  #widen(): void {
    const before = this.#table;
    this.#table = new Int32Array(before.length * 2);
    for (let place = 0; place < before.length; place += PLACE_WORDS) {
      const number = (before[place + 1] ?? 0) - 1;
      if (number >= 0) enter(this.#table, before[place] ?? 0, number);
    }
  }
}

/** The first place for the hash in a table whose length is a power of two. */
function placeOf(hash: number, table: Int32Array): number {
  return Math.imul(hash, PLACE_WORDS) & (table.length - 1);
}

function enter(table: Int32Array, hash: number, number: number): void {
  let place = placeOf(hash, table);
  while (table[place + 1] !== 0) place = (place + PLACE_WORDS) & (table.length - 1);
  table[place] = hash;
  table[place + 1] = number + 1;
}

function labelCount(wire: Uint8Array): number {
  let count = 0;
  for (let at = 0; (wire[at] ?? 0) !== 0; at += (wire[at] ?? 0) + 1) count++;
  return count;
}
