/**
 * The guard decides whether the refresh adopts a candidate. It refuses addresses that no client may get, and never adopts an
 * empty set. It holds back a change that loses too much at once, or that only names support. Pure.
 */
import ipaddr from 'ipaddr.js';
import { type HeldChange, isEndpointAddress } from '../../records/endpoint-record.ts';

export interface Refusal {
  readonly address: string;
  readonly reason: RefusalReason;
}

export interface GuardedChange {
  readonly candidate: readonly string[];
  readonly served: readonly string[];
  /** The set that a loss is measured against; by default the served set. */
  readonly corroborated?: readonly string[] | undefined;
  /** Addresses that stay although the candidate lacks them; see corroboration.ts. */
  readonly spared?: readonly string[] | undefined;
  /** Addresses that the names drop while an interface source lists them. */
  readonly contradicted?: readonly string[] | undefined;
  readonly held?: HeldChange | undefined;
  /** A silent source without which names alone neither add nor replace, however often they repeat it. */
  readonly awaits?: HeldChange['awaits'] | undefined;
  /** The answer of the names, where no other source answers. */
  readonly byNames?: NameEvidence | undefined;
  readonly nowMs: number;
}

/** The answer of the names at the moment of a decision. */
export interface NameEvidence {
  readonly ttlSeconds: number;
  /** The upstreams that gave the answer. */
  readonly upstreams: readonly string[];
  readonly observedAtMs: number;
}

export interface GuardSettings {
  readonly refusalOf: RefusalOf;
  /** A refresh this much later is the next refresh, and not a second poll of the same moment. */
  readonly confirmAfterMs: number;
}

export type GuardDecision =
  | { readonly kind: 'adopt'; readonly addresses: readonly string[]; readonly refused: readonly Refusal[] }
  | { readonly kind: 'hold'; readonly held: HeldChange; readonly refused: readonly Refusal[] }
  | { readonly kind: 'keep'; readonly refused: readonly Refusal[] };

export function guard(change: GuardedChange, settings: GuardSettings): GuardDecision {
  const { candidate, spared = [], served, held, nowMs, byNames } = change;
  const refused = candidate.flatMap((address) => {
    const reason = settings.refusalOf(address);
    return reason === undefined ? [] : [{ address, reason }];
  });
  const admitted = candidate.filter((address) => settings.refusalOf(address) === undefined);
  // an empty set is never adopted, nor a set without an address that may be served
  if (admitted.length === 0) return { kind: 'keep', refused };
  const addresses = [...new Set([...admitted, ...spared])];
  const doubt = doubtAbout(change, admitted, addresses);
  if (doubt === undefined || hasSameAddresses(addresses, served))
    return { kind: 'adopt', addresses, refused };
  // an answer that is older than the silence of the awaited source does not count as the first answer
  const isFirst =
    held === undefined || held.awaits !== doubt.awaits || !hasSameAddresses(held.addresses, addresses);
  if (isFirst) {
    const evidence = byNames === undefined ? {} : evidenceToKeep(byNames);
    return { kind: 'hold', held: { addresses, ...doubt, sinceMs: nowMs, ...evidence }, refused };
  }
  if (doubt.awaits !== undefined || !isRepeated(held, change, settings))
    return { kind: 'hold', held, refused };
  return { kind: 'adopt', addresses, refused };
}

/** Why a change is not adopted at once; undefined where it is. */
function doubtAbout(
  { served, corroborated = served, contradicted = [], awaits }: GuardedChange,
  admitted: readonly string[],
  addresses: readonly string[],
): Pick<HeldChange, 'reason' | 'awaits'> | undefined {
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

/** A day: most resolvers keep no answer for longer. */
const MAX_TTL_SECONDS = 86_400;

function evidenceToKeep({
  ttlSeconds,
  upstreams,
}: NameEvidence): Pick<HeldChange, 'ttlSeconds' | 'upstream'> {
  const seconds = Math.min(MAX_TTL_SECONDS, Math.max(0, Math.ceil(ttlSeconds)));
  return { ttlSeconds: seconds, ...(upstreams.length === 0 ? {} : { upstream: upstreams.join(' ') }) };
}

/** Names may repeat what a cache holds: they count again when its TTL is over, or when another upstream says the same. */
function isRepeated(held: HeldChange, { nowMs, byNames }: GuardedChange, settings: GuardSettings): boolean {
  if (nowMs - held.sinceMs < settings.confirmAfterMs) return false;
  if (byNames === undefined) return true;
  const asked = held.upstream?.split(' ') ?? [];
  const isFromOther = asked.length > 0 && byNames.upstreams.some((upstream) => !asked.includes(upstream));
  const waitMs = Math.max(settings.confirmAfterMs, (held.ttlSeconds ?? 0) * 1_000);
  return isFromOther || byNames.observedAtMs - held.sinceMs >= waitMs;
}

/** Compares sets: the order of a listing varies. */
export function hasSameAddresses(some: readonly string[], others: readonly string[]): boolean {
  const set = new Set(some);
  return set.size === new Set(others).size && others.every((address) => set.has(address));
}

export type RefusalReason =
  | 'not-ipv4'
  | 'public'
  | 'loopback'
  | 'multicast'
  | 'unspecified'
  | 'broadcast'
  | 'link-local'
  | 'not-allowed';

/** Why `address` must not be served, or undefined when it may be. */
export type RefusalOf = (address: string) => RefusalReason | undefined;

/**
 * The ranges of the operator decide, public or not: AWS allows public ranges in the VPC of the EBS generation. An address
 * that no interface can have is refused even within them, because a filter or a hijacked answer may give it.
 *
 * @param allowedRanges valid CIDR texts; IPv6 ranges match nothing, because endpoints have only A records
 */
export function refusalsBy(allowedRanges: readonly string[]): RefusalOf {
  const ranges = allowedRanges
    .map((range) => ipaddr.parseCIDR(range))
    .filter(([network]) => network.kind() === 'ipv4');
  return (address) => {
    if (!isEndpointAddress(address)) return 'not-ipv4';
    const parsed = ipaddr.IPv4.parse(address);
    const special = SPECIAL_RANGES[parsed.range()];
    if (special !== undefined && special !== 'public') return special;
    return ranges.some((range) => parsed.match(range)) ? undefined : (special ?? 'not-allowed');
  };
}

const SPECIAL_RANGES: Readonly<Partial<Record<ReturnType<ipaddr.IPv4['range']>, RefusalReason>>> = {
  unicast: 'public', // ipaddr.js's name for addresses that no registry set apart
  as112: 'public', // RFC 7534, RFC 7535
  amt: 'public', // RFC 7450
  unspecified: 'unspecified', // the whole of 0.0.0.0/8, RFC 1122 section 3.2.1.3
  loopback: 'loopback',
  multicast: 'multicast',
  broadcast: 'broadcast',
  linkLocal: 'link-local', // RFC 3927 section 2.8: never forwarded, so no endpoint for another host
};
