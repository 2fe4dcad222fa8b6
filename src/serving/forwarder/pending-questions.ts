/**
 * The questions on their way. A client that asks what is on its way already waits for the same outcome, and no client can take
 * all places: names that no server answers hold theirs for the whole deadline.
 *
 *     by network   when all places are taken, the oldest question of the network that holds the most gives way
 *     by suffix    one registered domain has half of the places at most; beyond, its own oldest question gives way
 *
 * A question that several networks wait for counts for the network with the fewest. Questions of our own have no network
 * and never give way.
 */
import { NO_NETWORK, type OnOutcome, type PendingQuestion } from './pending-question.ts';
import { isSameQuestion, type Question } from './question.ts';

/** Of all places: two floods under different suffixes leave room for other questions to push theirs out. */
const SUFFIX_SHARE = 0.5;

/** Why a question failed: no place was left, or it gave way to a question of another network, or of its own suffix. */
export type Overload = 'limit' | 'network' | 'suffix';

/** The question that fails because too many are on their way; `undefined`: the new one. */
export interface Crowded {
  readonly reason: Overload;
  readonly oldest: PendingQuestion | undefined;
}

type Holders = Map<number, Set<PendingQuestion>>;

export class PendingQuestions {
  readonly #byHash = new Map<number, PendingQuestion>();
  readonly #networks: Holders = new Map();
  readonly #suffixes: Holders = new Map();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one that answers this question for this group too. */
  find(hash: number, question: Question, group: string): PendingQuestion | undefined {
    // nobody outside can make names that share a hash (name-hash.ts), so few are compared
    for (let pending = this.#byHash.get(hash); pending !== undefined; pending = pending.next) {
      if (pending.group === group && isSameQuestion(pending.question, question)) return pending;
    }
    return undefined;
  }

  add(pending: PendingQuestion): void {
    pending.next = this.#byHash.get(pending.hash);
    this.#byHash.set(pending.hash, pending);
    this.#size++;
    if (!pending.givesWay) return;
    put(this.#networks, pending.network, pending);
    put(this.#suffixes, pending.question.domain, pending);
  }

  /** A client of this network waits for it too. */
  join(pending: PendingQuestion, client: OnOutcome, network: number): void {
    pending.join(client);
    if (!pending.givesWay || network === pending.network || pending.network === NO_NETWORK) return;
    const heldBy = (holder: number): number => this.#networks.get(holder)?.size ?? 0;
    if (heldBy(network) >= heldBy(pending.network)) return;
    take(this.#networks, pending.network, pending);
    pending.network = network;
    put(this.#networks, network, pending);
  }

  delete(pending: PendingQuestion): void {
    const first = this.#byHash.get(pending.hash);
    if (first !== pending) {
      for (let before = first; before !== undefined; before = before.next)
        if (before.next === pending) before.next = pending.next;
    } else if (pending.next === undefined) this.#byHash.delete(pending.hash);
    else this.#byHash.set(pending.hash, pending.next);
    this.#size--;
    if (!pending.givesWay) return;
    take(this.#networks, pending.network, pending);
    take(this.#suffixes, pending.question.domain, pending);
  }

  /** Which question fails if one of this network about this domain is added; `undefined` where there is room. */
  crowded(network: number, domain: number, limit: number): Crowded | undefined {
    const ofSuffix = this.#suffixes.get(domain);
    if (ofSuffix !== undefined && ofSuffix.size >= limit * SUFFIX_SHARE)
      return { reason: 'suffix', oldest: oldestOf(ofSuffix) };
    if (this.#size < limit) return undefined;
    // a question without a network has no share that could be weighed against others'
    const oldest = network === NO_NETWORK ? undefined : this.#oldestOfLargest();
    return oldest === undefined ? { reason: 'limit', oldest } : { reason: 'network', oldest };
  }

  all(): PendingQuestion[] {
    const all: PendingQuestion[] = [];
    for (const first of this.#byHash.values())
      for (let pending: PendingQuestion | undefined = first; pending !== undefined; pending = pending.next)
        all.push(pending);
    return all;
  }

  #oldestOfLargest(): PendingQuestion | undefined {
    let largest: Set<PendingQuestion> | undefined;
    for (const [network, held] of this.#networks) {
      if (network !== NO_NETWORK && held.size > (largest?.size ?? 0)) largest = held;
    }
    return largest && oldestOf(largest);
  }
}

function put(holders: Holders, key: number, pending: PendingQuestion): void {
  const held = holders.get(key);
  if (held === undefined) holders.set(key, new Set([pending]));
  else held.add(pending);
}

function take(holders: Holders, key: number, pending: PendingQuestion): void {
  const held = holders.get(key);
  held?.delete(pending);
  if (held?.size === 0) holders.delete(key);
}

function oldestOf(held: ReadonlySet<PendingQuestion>): PendingQuestion | undefined {
  for (const pending of held) return pending;
  return undefined;
}
