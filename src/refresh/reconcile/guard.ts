/**
 * The guard decides whether the refresh adopts a candidate. It refuses addresses that no client may get, and never adopts an
 * empty set. It holds back a change that loses too much at once, or that only names support. The evidence of both kinds of source
 * says how large a loss is, and which addresses stay. In this order: the decision, refused addresses (`refusalsBy`), addresses that
 * a listing lacks for a while (`sparedAddresses`), the set that both kinds have seen (`corroborate`). Pure.
 */
import ipaddr from 'ipaddr.js';
import {
  type EndpointRecord,
  type HeldChange,
  isEndpointAddress,
  type KnownAddress,
} from '../../records/endpoint-record.ts';
import {
  isInterfaceSource,
  isNameSource,
  type NameSource,
  SOURCE_NAMES,
  type SourceName,
} from '../../records/sources.ts';

export interface Refusal {
  readonly address: string;
  readonly reason: RefusalReason;
}

export interface GuardedChange {
  readonly candidate: readonly string[];
  readonly served: readonly string[];
  /** The set that a loss is measured against; by default the served set. */
  readonly corroborated?: readonly string[] | undefined;
  /** Addresses that stay although the candidate lacks them; see `sparedAddresses`. */
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

/**
 * An example, a refresh a minute. Three addresses were confirmed by both kinds of source, so they are the corroborated set that a
 * loss is measured against. A test plays these rows.
 *
 *     names  interfaces  served  held  because
 *     ABC    ABC         ABC           nothing is lost
 *     AB     ABC         AB            one of three is lost, which is not most: adopted at once. C is listed, and stays corroborated
 *     A      ABC         AB      A     two of three are lost, and the interfaces list both: the names alone do not decide it
 *     A      ABC         AB      A     nor when they repeat it
 *     ABC    ABC         ABC           the names are back, and the held change is dropped
 *     DE     silent      ABC     DE    all is replaced, and the listing, which could confirm it, is silent
 *     DE     silent      ABC     DE    however often the names repeat it
 *     DE     DE          ABC     DE    both say so now: counts as the first time
 *     DE     DE          DE            both repeat it: adopted, and the corroborated set is DE
 *     silent silent      DE            nothing usable: what was served, for ever
 */
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

// A listing is eventually consistent: an interface may be missing for minutes while AWS patches the interface. An address that
// the listing lacks stays:
//
//     the name has it                                         as long as the name has it
//     the name had it while the listing lacked it             until the listing has lacked it for an hour
//     the name is silent, and had it in its last answer       for a day of that silence
//     no name ever had it, and most of the set is listed      until the listing has lacked it for an hour
//
// When name and listing both lack most of the set, the set is new: the guard holds the new set until the sources repeat it.

/** Far longer than EC2 takes to agree with itself, and than the patch of one instance. */
const HOUR_MS = 3_600_000;
/** How long the last answer of a silent name speaks for an address. */
const DAY_MS = 24 * HOUR_MS;
const NAME_SOURCES: readonly NameSource[] = SOURCE_NAMES.filter(isNameSource);

/** Which addresses each kind of source names at this moment; empty where a kind is silent. */
export interface SeenByKind {
  readonly byName: ReadonlySet<string>;
  readonly byInterfaces: ReadonlySet<string>;
  /** When EC2 gave its part of `byInterfaces`; absent where EC2 is silent. */
  readonly listedAtMs?: number | undefined;
}

/** The addresses that stay although the candidate lacks them, each with the time since which the listing lacks it. */
export function sparedAddresses(
  { addresses, confirmedAtMs }: Pick<EndpointRecord, 'addresses' | 'confirmedAtMs'>,
  seen: SeenByKind,
  corroborated: readonly string[],
  nowMs: number,
): ReadonlyMap<string, number> {
  const { byName, byInterfaces, listedAtMs } = seen;
  const isAtMostHalf = (some: readonly string[]) => some.length * 2 <= corroborated.length;
  const unlisted = corroborated.filter((address) => !byInterfaces.has(address));
  const isMostListed = isAtMostHalf(unlisted);
  const isMostListedOrNamed = isAtMostHalf(unlisted.filter((address) => !byName.has(address)));
  const spared = new Map<string, number>();
  for (const served of addresses) {
    const { address, lackedSinceMs } = served;
    if (byInterfaces.has(address)) continue;
    if (listedAtMs === undefined) {
      // a silent EC2 neither confirms nor withdraws what it said before
      if (lackedSinceMs !== undefined) spared.set(address, lackedSinceMs);
      continue;
    }
    const sinceMs = lackedSinceMs ?? listedAtMs;
    const isHourOver = listedAtMs - sinceMs >= HOUR_MS;
    const hasName = byName.size > 0;
    const isNamed = hasName ? byName.has(address) : wasLastNamed(served, confirmedAtMs, nowMs);
    const wasNamed = lackedSinceMs !== undefined && wasNamedSince(served, lackedSinceMs);
    const isInGrace = !isHourOver && (hasName ? wasNamed && isMostListedOrNamed : isMostListed);
    if (isNamed || isInGrace) spared.set(address, sinceMs);
  }
  return spared;
}

/** Whether a name source had the address while the listing already lacked it, and so contradicted the listing. */
function wasNamedSince({ provenance }: KnownAddress, sinceMs: number): boolean {
  return NAME_SOURCES.some((source) => (provenance[source]?.lastSeenMs ?? -Infinity) >= sinceMs);
}

/** Whether a name source had the address in its last answer, at most a day ago. */
function wasLastNamed(
  { provenance }: KnownAddress,
  confirmedAtMs: EndpointRecord['confirmedAtMs'],
  nowMs: number,
): boolean {
  return NAME_SOURCES.some((source) => {
    const answeredAtMs = confirmedAtMs[source];
    if (answeredAtMs === undefined || nowMs - answeredAtMs > DAY_MS) return false;
    return (provenance[source]?.lastSeenMs ?? -Infinity) >= answeredAtMs;
  });
}

/**
 * The corroborated set after both kinds have answered: an address comes in when both have it, and goes when both lack it. An
 * address that one kind alone drops stays in, so that many small losses never add up to a large one.
 *
 * @returns empty where nothing was corroborated before and `served` is not whole now
 */
export function corroborate(
  before: readonly string[],
  { byName, byInterfaces }: SeenByKind,
  served: readonly string[],
): readonly string[] {
  const kept = before.filter((address) => byName.has(address) || byInterfaces.has(address));
  const coming = [...byName].filter((address) => byInterfaces.has(address) && !kept.includes(address));
  const after = [...kept, ...coming];
  return before.length === 0 && !served.every((address) => after.includes(address)) ? [] : after;
}

/**
 * The corroborated set of a record. A state file of an earlier version does not have it. Then it is `addresses`, the set
 * without a pin, if both kinds of source have seen all of it.
 */
export function corroboratedBefore(
  { corroborated }: EndpointRecord,
  addresses: readonly KnownAddress[],
): readonly string[] {
  if (corroborated !== undefined) return corroborated;
  const isSeenBy = ({ provenance }: KnownAddress, isKind: (name: SourceName) => boolean) =>
    SOURCE_NAMES.some((name) => isKind(name) && provenance[name] !== undefined);
  const isCorroborated = addresses.every(
    (served) => isSeenBy(served, isNameSource) && isSeenBy(served, isInterfaceSource),
  );
  return isCorroborated ? addresses.map(({ address }) => address) : [];
}

/** Corroborated addresses that the names drop while an interface source lists them. */
export function contradictedBy(
  { byName, byInterfaces }: SeenByKind,
  corroborated: readonly string[],
): readonly string[] {
  if (byName.size === 0) return [];
  return corroborated.filter((address) => byInterfaces.has(address) && !byName.has(address));
}
