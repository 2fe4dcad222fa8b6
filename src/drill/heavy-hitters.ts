/**
 * Counts by key in bounded memory: the Space-Saving scheme (Metwally, Agrawal, El Abbadi 2005). With room for m keys, a
 * key that makes up more than one m-th of everything counted is among those kept, whatever else is asked: a flood of
 * random names cannot push out what is asked for again and again.
 *
 * A newcomer takes the place of a key with the lowest rank and inherits that rank, so that it can hold its own. The
 * rank orders and nothing else: what is told of a key is what was really counted of it since it came in, and what
 * went with those that left is told as one number. So the sum is always right.
 */

interface Entry {
  readonly key: string;
  count: number;
  /** Count and what was inherited: at least as much as was ever counted of the key. */
  rank: number;
}

export interface HeavyHittersReading {
  /** Highest count first, then by key. */
  readonly kept: readonly { readonly key: string; readonly count: number }[];
  /** Counted of keys that are not kept, or not any more. */
  readonly others: number;
}

export class HeavyHitters {
  readonly #room: number;
  readonly #entries = new Map<string, Entry>();
  /** The entries of each rank: the lowest is found without a search. */
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
    // the entry itself is one rank higher now, so that no rank between can be the lowest
    if (entry.rank === this.#lowest && !this.#ranks.has(entry.rank)) this.#lowest++;
    entry.rank++;
    this.#joinRank(entry);
  }

  #add(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    this.#joinRank(entry);
  }

  /** The one that has been at the lowest rank for longest. */
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
