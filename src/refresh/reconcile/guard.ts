/** The last look before a candidate is adopted: is it admissible, is it empty, does it take too much away at once? */
import type { HeldChange } from '../../records/endpoint-record.ts';
import type { Admission, RefusalReason } from './admissible.ts';

export interface Refusal {
  readonly address: string;
  readonly reason: RefusalReason;
}

export interface GuardedChange {
  readonly candidate: readonly string[];
  readonly served: readonly string[];
  /** What a loss is measured against; what is served, where nothing else is known. */
  readonly corroborated?: readonly string[] | undefined;
  /** Addresses that stay although the candidate has not got them; see corroboration.ts. */
  readonly spared?: readonly string[] | undefined;
  /** Lost addresses that names alone drop: an interface source lists them at this moment. */
  readonly contradicted?: readonly string[] | undefined;
  readonly held?: HeldChange | undefined;
  /** The silent source without which names alone neither add nor replace, however often they repeat it. */
  readonly awaits?: HeldChange['awaits'] | undefined;
  /** Where names alone speak: their answer. */
  readonly byNames?: NameEvidence | undefined;
  readonly nowMs: number;
}

/** The answer of the names at the moment of a decision. */
export interface NameEvidence {
  readonly ttlSeconds: number;
  /** The upstreams that gave it. */
  readonly upstreams: readonly string[];
  readonly observedAtMs: number;
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
  const { served, held, nowMs, byNames } = change;
  const { admitted, refused } = sift(change.candidate, settings.admit);
  // an empty result is never adopted, and one of which nothing may be served is as good as empty
  if (admitted.length === 0) return { kind: 'keep', refused };
  const addresses = [...new Set([...admitted, ...(change.spared ?? [])])];
  const doubt = doubtAbout(change, admitted, addresses);
  if (doubt === undefined || hasSameAddresses(addresses, served))
    return { kind: 'adopt', addresses, refused };
  const { reason, awaits } = doubt;
  // what was seen while the witness was silent is no first time
  if (held === undefined || held.awaits !== awaits || !hasSameAddresses(held.addresses, addresses)) {
    const sought = awaits === undefined ? {} : { awaits };
    const evidence = byNames === undefined ? {} : evidenceToKeep(byNames);
    return { kind: 'hold', held: { addresses, reason, sinceMs: nowMs, ...sought, ...evidence }, refused };
  }
  if (awaits !== undefined || !isRepeated(held, change, settings)) return { kind: 'hold', held, refused };
  return { kind: 'adopt', addresses, refused };
}

type Doubt = Pick<HeldChange, 'reason' | 'awaits'>;

/** Why the change is not believed at once; undefined where it is. */
function doubtAbout(
  { served, corroborated = served, contradicted = [], awaits }: GuardedChange,
  admitted: readonly string[],
  addresses: readonly string[],
): Doubt | undefined {
  const lost = corroborated.filter((address) => !admitted.includes(address));
  const added = addresses.filter((address) => !served.includes(address) && !corroborated.includes(address));
  const isMost = (some: readonly string[]) => some.length * 2 > corroborated.length;
  const losing = `loses ${lost.length} of ${corroborated.length} addresses`;
  if (awaits !== undefined) {
    if (isMost(lost)) return { reason: losing, awaits };
    return added.length === 0 ? undefined : { reason: `adds ${added.join(', ')}`, awaits };
  }
  if (!isMost(lost)) return undefined;
  if (!isMost(contradicted)) return { reason: losing };
  return {
    reason: `${losing}, of which the interfaces list ${contradicted.join(', ')}`,
    awaits: 'interfaces',
  };
}

const MAX_TTL_SECONDS = 86_400; // dns-rules.md, answer cache: no resolver on the way keeps an answer for longer

function evidenceToKeep({
  ttlSeconds,
  upstreams,
}: NameEvidence): Pick<HeldChange, 'ttlSeconds' | 'upstream'> {
  const seconds = Math.min(MAX_TTL_SECONDS, Math.max(0, Math.ceil(ttlSeconds)));
  return { ttlSeconds: seconds, ...(upstreams.length === 0 ? {} : { upstream: upstreams.join(' ') }) };
}

/** Names that say the same again may only repeat what a cache holds: until its TTL is over, or another upstream says it too. */
function isRepeated(held: HeldChange, { nowMs, byNames }: GuardedChange, settings: GuardSettings): boolean {
  if (nowMs - held.sinceMs < settings.confirmAfterMs) return false;
  if (byNames === undefined) return true;
  const asked = held.upstream?.split(' ') ?? [];
  const isFromAnother = asked.length > 0 && byNames.upstreams.some((upstream) => !asked.includes(upstream));
  const waitMs = Math.max(settings.confirmAfterMs, (held.ttlSeconds ?? 0) * 1_000);
  return isFromAnother || byNames.observedAtMs - held.sinceMs >= waitMs;
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
