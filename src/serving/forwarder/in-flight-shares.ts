/**
 * Who holds the places of questions on their way. Names that nobody answers hold theirs for the whole deadline, so that
 * one client which asks for many of them would take forwarding from all others.
 *
 *     by network   when all places are taken, the oldest question of the network that holds the most gives way
 *     by suffix    one registered domain has half of the places at most; beyond, its own oldest question gives way
 *
 * A question that several networks wait for counts for the network with the fewest. Questions of our own have no network
 * and never give way.
 */
import type { OnItsWay } from './coalescing.ts';

/** Of all places: two floods under different suffixes leave room for others' questions to push theirs out. */
const SUFFIX_SHARE = 0.5;

/** Why a question failed: no place was left, or it gave way to one of another network, or of its own suffix. */
export type Overload = 'limit' | 'network' | 'suffix';

type Holders = Map<number, Set<OnItsWay>>;

export class InFlightShares {
  readonly #networks: Holders = new Map();
  readonly #suffixes: Holders = new Map();

  add(one: OnItsWay): void {
    put(this.#networks, one.network, one);
    if (one.suffix !== undefined) put(this.#suffixes, one.suffix, one);
  }

  delete(one: OnItsWay): void {
    take(this.#networks, one.network, one);
    if (one.suffix !== undefined) take(this.#suffixes, one.suffix, one);
  }

  /** Another network waits for it too. */
  joined(one: OnItsWay, network: number): void {
    if (network === one.network || one.network === NOBODY) return;
    const heldBy = (holder: number): number => this.#networks.get(holder)?.size ?? 0;
    if (heldBy(network) >= heldBy(one.network)) return;
    take(this.#networks, one.network, one);
    one.network = network;
    put(this.#networks, network, one);
  }

  /** The question that gives way to one more under this suffix; `undefined` where there is room. */
  oldestUnder(suffix: number, limit: number): OnItsWay | undefined {
    const held = this.#suffixes.get(suffix);
    return held !== undefined && held.size >= limit * SUFFIX_SHARE ? oldestOf(held) : undefined;
  }

  /** The question that gives way where all places are taken. */
  oldestOfLargest(): OnItsWay | undefined {
    let largest: Set<OnItsWay> | undefined;
    for (const [network, held] of this.#networks) {
      if (network !== NOBODY && held.size > (largest?.size ?? 0)) largest = held;
    }
    return largest && oldestOf(largest);
  }
}

/** No client's. */
export const NOBODY = 0;

function put(holders: Holders, key: number, one: OnItsWay): void {
  const held = holders.get(key);
  if (held === undefined) holders.set(key, new Set([one]));
  else held.add(one);
}

function take(holders: Holders, key: number, one: OnItsWay): void {
  const held = holders.get(key);
  held?.delete(one);
  if (held?.size === 0) holders.delete(key);
}

function oldestOf(held: ReadonlySet<OnItsWay>): OnItsWay | undefined {
  for (const one of held) return one;
  return undefined;
}
