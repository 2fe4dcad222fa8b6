/** The last look before a candidate is adopted: is it admissible, is it empty, does it take too much away at once? */
import type { HeldChange } from '../../store/endpoint-record.ts';
import type { Admission, RefusalReason } from './admissible.ts';

export interface Refusal {
  readonly address: string;
  readonly reason: RefusalReason;
}

export interface GuardedChange {
  readonly candidate: readonly string[];
  /** What a loss is measured against. */
  readonly served: readonly string[];
  readonly held?: HeldChange | undefined;
  /** Who has to speak before a large loss is believed, however often it is repeated. */
  readonly awaits?: HeldChange['awaits'] | undefined;
  readonly nowMs: number;
}

export interface GuardSettings {
  readonly admit: Admission;
  /** How much later a refresh must be to count as the next one, and not as another look at the same moment. */
  readonly confirmAfterMs: number;
}

export type Verdict =
  | { readonly kind: 'adopt'; readonly addresses: readonly string[]; readonly refused: readonly Refusal[] }
  | { readonly kind: 'hold'; readonly held: HeldChange; readonly refused: readonly Refusal[] }
  | { readonly kind: 'keep'; readonly refused: readonly Refusal[] };

export function guard(change: GuardedChange, settings: GuardSettings): Verdict {
  const { served, held, awaits, nowMs } = change;
  const { admitted, refused } = sift(change.candidate, settings.admit);
  // an empty result is never adopted, and one of which nothing may be served is as good as empty
  if (admitted.length === 0) return { kind: 'keep', refused };
  const lost = served.filter((address) => !admitted.includes(address));
  if (lost.length * 2 <= served.length) return { kind: 'adopt', addresses: admitted, refused };
  // more than half would be lost: adopted only when the next refresh repeats it, and what was seen in a cut is no first time
  if (held === undefined || held.awaits !== awaits || !hasSameAddresses(held.addresses, admitted)) {
    const reason = `loses ${lost.length} of ${served.length} addresses`;
    const sought = awaits === undefined ? {} : { awaits };
    return { kind: 'hold', held: { addresses: admitted, reason, sinceMs: nowMs, ...sought }, refused };
  }
  const isRepeated = nowMs - held.sinceMs >= settings.confirmAfterMs;
  if (!isRepeated || awaits !== undefined) return { kind: 'hold', held, refused };
  return { kind: 'adopt', addresses: admitted, refused };
}

/** Sets compared: a listing's order varies from one call to the next. */
export function hasSameAddresses(some: readonly string[], others: readonly string[]): boolean {
  const set = new Set(some);
  return set.size === new Set(others).size && others.every((address) => set.has(address));
}

function sift(
  candidate: readonly string[],
  admit: Admission,
): { admitted: readonly string[]; refused: readonly Refusal[] } {
  const admitted: string[] = [];
  const refused: Refusal[] = [];
  for (const address of candidate) {
    const reason = admit(address);
    if (reason === undefined) admitted.push(address);
    else refused.push({ address, reason });
  }
  return { admitted, refused };
}
