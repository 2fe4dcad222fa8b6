/** Maps domain names to values. A query's octets find a value by exact name or by longest suffix, without a string. */

import { nameToWire } from '../words/name.ts';
import { hashName, suffixEquals } from './message-names.ts';
import type { Query } from './query.ts';

interface Entry<V> {
  readonly wire: Uint8Array;
  readonly depth: number;
  value: V;
  next: Entry<V> | undefined;
}

export class NameMap<V> {
  readonly #entries = new Map<number, Entry<V>>();
  /** Names in the map by their number of labels: a depth without names is not searched. */
  readonly #namesAtDepth = new Uint32Array(128);
  #deepest = 0;

  /** `name` is a text in normal form or with any case; a later value replaces an earlier one. */
  set(name: string, value: V): this {
    const wire = nameToWire(name);
    const hash = hashName(wire);
    const first = this.#entries.get(hash);
    for (let entry = first; entry !== undefined; entry = entry.next) {
      if (Buffer.compare(entry.wire, wire) === 0) {
        entry.value = value;
        return this;
      }
    }
    const depth = labelCount(wire);
    this.#entries.set(hash, { wire, depth, value, next: first });
    this.#namesAtDepth[depth] = (this.#namesAtDepth[depth] ?? 0) + 1;
    this.#deepest = Math.max(this.#deepest, depth);
    return this;
  }

  /** The value of the query's own name. */
  exact(query: Query): V | undefined {
    return this.#at(query, query.labelCount);
  }

  /** The value of the longest name in the map that is the query's name or an ancestor of it. */
  closest(query: Query): V | undefined {
    return this.#closest(query, query.labelCount);
  }

  /** The value of the longest name in the map that is an ancestor of the query's name. */
  closestAbove(query: Query): V | undefined {
    return this.#closest(query, query.labelCount - 1);
  }

  #closest(query: Query, labels: number): V | undefined {
    for (let depth = Math.min(labels, this.#deepest); depth >= 0; depth--) {
      const value = this.#at(query, depth);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #at(query: Query, depth: number): V | undefined {
    if (this.#namesAtDepth[depth] === 0) return undefined;
    let entry = this.#entries.get(query.suffixHashes[depth] ?? 0);
    while (entry !== undefined) {
      if (entry.depth === depth && suffixEquals(query, depth, entry.wire)) return entry.value;
      entry = entry.next;
    }
    return undefined;
  }
}

function labelCount(wire: Uint8Array): number {
  let count = 0;
  for (let at = 0; (wire[at] ?? 0) !== 0; at += (wire[at] ?? 0) + 1) count++;
  return count;
}
