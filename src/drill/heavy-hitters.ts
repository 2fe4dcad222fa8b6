/**
 * Counts by key in bounded memory: the Space-Saving scheme (Metwally, Agrawal, El Abbadi 2005). With room for m keys, every
 * key that makes up more than one m-th of all counts is kept. A flood of random names cannot push out a name that clients
 * ask for often.
 *
 * A new key takes the place of a key with the lowest rank and inherits that rank. The rank only decides which key leaves
 * next. The reported count of a key counts from the time when the key came in; all keys that left share one count. So the
 * sum is always right.
 */

interface Entry {
  readonly key: string;
  count: number;
  /** The count plus the inherited rank: never less than all that was ever counted of the key. */
  rank: number;
}

export interface HeavyHittersReading {
  /** Highest count first, then by key. */
  readonly kept: readonly { readonly key: string; readonly count: number }[];
  /** Counts of keys that were not kept. */
  readonly others: number;
}

export class HeavyHitters {
  readonly #room: number;
  readonly #entries = new Map<string, Entry>();
  /** The entries of each rank, to find the lowest without a search. */
  readonly #ranks = new Map<number, Set<Entry>>();
  #lowest = 1;
  #others = 0;

  constructor(room: number) {
    this.#room = room;
  }

  count(key: string): void {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.count++;
      this.#raise(known);
    } else if (this.#entries.size < this.#room) {
      this.#add({ key, count: 1, rank: 1 });
      this.#lowest = 1;
    } else {
      const leaving = this.#takeLowest();
      this.#add({ key, count: 1, rank: leaving.rank + 1 });
      this.#others += leaving.count;
      if (!this.#ranks.has(this.#lowest)) this.#lowest++;
    }
  }

  read(): HeavyHittersReading {
    const kept = [...this.#entries.values()]
      .map(({ key, count }) => ({ key, count }))
      .sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
    return { kept, others: this.#others };
  }

  #raise(entry: Entry): void {
    this.#leaveRank(entry);
    // the entry moves up by one rank, so its new rank is now the lowest
    if (entry.rank === this.#lowest && !this.#ranks.has(entry.rank)) this.#lowest++;
    entry.rank++;
    this.#joinRank(entry);
  }

  #add(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    this.#joinRank(entry);
  }

  /** The entry that has had the lowest rank for the longest time. */
  #takeLowest(): Entry {
    for (const entry of this.#ranks.get(this.#lowest) ?? []) {
      this.#entries.delete(entry.key);
      this.#leaveRank(entry);
      return entry;
    }
    throw new Error('a table that is full has a lowest rank');
  }

  #joinRank(entry: Entry): void {
    const others = this.#ranks.get(entry.rank);
    if (others === undefined) this.#ranks.set(entry.rank, new Set([entry]));
    else others.add(entry);
  }

  #leaveRank(entry: Entry): void {
    const others = this.#ranks.get(entry.rank);
    others?.delete(entry);
    if (others?.size === 0) this.#ranks.delete(entry.rank);
  }
}
