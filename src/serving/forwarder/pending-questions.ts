/**
 * The pending questions of all clients. A client that asks a pending question waits for the same outcome. No client can take all
 * places: questions that no server answers hold their places for the whole deadline.
 *
 *     by network   when all places are taken, the oldest question of the network that holds the most gives way
 *     by suffix    one registered domain has half of the places at most; beyond, its own oldest question gives way
 *
 * A question that several networks wait for counts for the network with the fewest. Questions of our own have no network
 * and never give way.
 */
import type { Reply } from '../turn.ts';
import { NO_NETWORK, type PendingQuestion } from './pending-question.ts';
import { type ForwardOutcome, isSameQuestion, type Overload, type Question } from './question.ts';

/** The share of all places that one suffix may take. Two floods under different suffixes cannot keep other questions out. */
const SUFFIX_SHARE = 0.5;

/** Too many questions are pending: `oldest` fails, or the new question fails if `oldest` is `undefined`. */
interface Crowded {
  readonly reason: Overload;
  readonly oldest: PendingQuestion | undefined;
}

type Holders = Map<number, Set<PendingQuestion>>;

export class PendingQuestions {
  readonly #byKey = new Map<number, PendingQuestion>();
  readonly #networks: Holders = new Map();
  readonly #suffixes: Holders = new Map();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The pending question that answers this question for this group too. */
  find(key: number, question: Question, group: string): PendingQuestion | undefined {
    // nobody outside can make names that share a key, so few are compared
    for (let pending = this.#byKey.get(key); pending !== undefined; pending = pending.next) {
      if (pending.group === group && isSameQuestion(pending.question, question)) return pending;
    }
    return undefined;
  }

  add(pending: PendingQuestion): void {
    pending.next = this.#byKey.get(pending.key);
    this.#byKey.set(pending.key, pending);
    this.#size++;
    if (!pending.givesWay) return;
    put(this.#networks, pending.network, pending);
    put(this.#suffixes, pending.question.domain, pending);
  }

  /** A client of this network waits for it too. */
  join(pending: PendingQuestion, client: Reply<ForwardOutcome>, network: number): void {
    pending.join(client);
    if (!pending.givesWay || network === pending.network || pending.network === NO_NETWORK) return;
    const heldBy = (holder: number): number => this.#networks.get(holder)?.size ?? 0;
    if (heldBy(network) >= heldBy(pending.network)) return;
    take(this.#networks, pending.network, pending);
    pending.network = network;
    put(this.#networks, network, pending);
  }

  delete(pending: PendingQuestion): void {
    const first = this.#byKey.get(pending.key);
    if (first !== pending) {
      for (let before = first; before !== undefined; before = before.next)
        if (before.next === pending) before.next = pending.next;
    } else if (pending.next === undefined) this.#byKey.delete(pending.key);
    else this.#byKey.set(pending.key, pending.next);
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
    for (const first of this.#byKey.values())
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
