/** The last look before a candidate is adopted: is it admissible, is it empty, does it take too much away at once? */

import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { HeldChange } from '../../records/endpoint-record.ts';

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

/** Which addresses an endpoint of a local cluster may have at all: those within what the operator allows. */
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
export type Admission = (address: string) => RefusalReason | undefined;

/**
 * The operator's range decides, public or not: AWS allows public ranges in the VPC of the EBS generation. An address that
 * no interface can have is refused even there, because a filter or a hijacked answer may give it.
 *
 * @param allowedRanges CIDR texts, already validated; ranges of IPv6 match nothing (endpoints have A records only)
 */
export function admission(allowedRanges: readonly string[]): Admission {
  const ranges = allowedRanges
    .map((range) => ipaddr.parseCIDR(range))
    .filter(([network]) => network.kind() === 'ipv4');
  return (address) => {
    if (!isIPv4(address)) return 'not-ipv4';
    const parsed = ipaddr.IPv4.parse(address);
    const suspicious = REFUSED_RANGES[parsed.range()];
    if (suspicious !== undefined && suspicious !== 'public') return suspicious;
    return ranges.some((range) => parsed.match(range)) ? undefined : (suspicious ?? 'not-allowed');
  };
}

const REFUSED_RANGES: Readonly<Partial<Record<ReturnType<ipaddr.IPv4['range']>, RefusalReason>>> = {
  unicast: 'public', // ipaddr.js's name for whatever no registry set apart
  as112: 'public', // RFC 7534, RFC 7535
  amt: 'public', // RFC 7450
  unspecified: 'unspecified', // the whole of 0.0.0.0/8, RFC 1122 section 3.2.1.3
  loopback: 'loopback',
  multicast: 'multicast',
  broadcast: 'broadcast',
  linkLocal: 'link-local', // RFC 3927 section 2.8: never forwarded, so never an endpoint for another host
};
