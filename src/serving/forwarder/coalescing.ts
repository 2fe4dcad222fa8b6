/** Questions on their way: who asks what is being asked already waits for the same outcome. */
import type { Query } from '../../protocol/wire/query.ts';
import type { Flight } from './flight.ts';
import type { ForwardOutcome } from './forward-outcome.ts';
import { InFlightShares, NOBODY } from './in-flight-shares.ts';
import { isSameQuestion, type Question } from './question.ts';

export type Landed = (outcome: ForwardOutcome) => void;

export class OnItsWay {
  readonly hash: number;
  readonly question: Question;
  readonly group: string;
  /** The network that it counts for; see in-flight-shares.ts. */
  network = NOBODY;
  /** Hash of the registered domain of a client's question; a question of our own has none, and never gives way. */
  suffix: number | undefined;
  flight: Flight | undefined;
  /** Another question with the same hash. */
  next: OnItsWay | undefined;
  readonly #first: Landed;
  #others: Landed[] | undefined;

  constructor(hash: number, question: Question, group: string, landed: Landed) {
    this.hash = hash;
    this.question = question;
    this.group = group;
    this.#first = landed;
  }

  get isJoined(): boolean {
    return this.#others !== undefined;
  }

  join(landed: Landed): void {
    this.#others ??= [];
    this.#others.push(landed);
  }

  land(outcome: ForwardOutcome): void {
    this.#first(outcome);
    if (this.#others !== undefined) for (const landed of this.#others) landed(outcome);
  }
}

export class OnTheirWay {
  readonly shares = new InFlightShares();
  readonly #byHash = new Map<number, OnItsWay>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one that answers this question for this group too. */
  find(hash: number, question: Question, group: string): OnItsWay | undefined {
    // nobody outside can make names that share a hash (name-hash.ts), so few are compared
    for (let one = this.#byHash.get(hash); one !== undefined; one = one.next) {
      if (one.group === group && isSameQuestion(one.question, question)) return one;
    }
    return undefined;
  }

  add(one: OnItsWay): void {
    this.shares.add(one);
    one.next = this.#byHash.get(one.hash);
    this.#byHash.set(one.hash, one);
    this.#size++;
  }

  delete(one: OnItsWay): void {
    this.shares.delete(one);
    const first = this.#byHash.get(one.hash);
    if (first === one && one.next === undefined) this.#byHash.delete(one.hash);
    else if (first === one && one.next !== undefined) this.#byHash.set(one.hash, one.next);
    else
      for (let before = first; before !== undefined; before = before.next)
        if (before.next === one) before.next = one.next;
    this.#size--;
  }

  all(): OnItsWay[] {
    const all: OnItsWay[] = [];
    for (const first of this.#byHash.values())
      for (let one: OnItsWay | undefined = first; one !== undefined; one = one.next) all.push(one);
    return all;
  }
}

/** Equal for questions that one exchange can answer, and seldom for others. */
export function questionHash(query: Query): number {
  const aspects = query.qtype | (query.dnssecOk ? 0x1_0000 : 0) | (query.checkingDisabled ? 0x2_0000 : 0);
  return query.nameHash ^ Math.imul(aspects | (query.qclass << 18), 0x9e3779b1);
}
