/**
 * Decides which addresses a cluster gets: compares the answers of the sources, and guards the change. The table of `compare`:
 *
 *        name sources             interface sources      served
 *     1  agree, or are a subset   available              the addresses of the name
 *     2  overlap in part          available              the overlap; the rest is reported
 *     3  disjoint                 available              the addresses of the interfaces; disagreement reported
 *     4  unavailable or empty     available              the addresses of the interfaces
 *     5  available                unavailable or empty   the addresses of the name
 *     6  nothing usable           nothing usable         the addresses that were served before, for ever
 *
 * The room reconcile/ is the pure middle of the refresh journey: plan [ compare -> guard ]. It refuses to
 * know sockets, clients, clocks and files: time comes in as a number, chance as a fraction. The name sources speak DNS (RFC
 * 1035, TTLs by RFC 2181 section 8); nothing here does.
 */
import ipaddr from 'ipaddr.js';
import {
  type EndpointRecord,
  type HeldChange,
  isEndpointAddress,
  type KnownAddress,
} from '../../records/endpoint-record.ts';
import type { FailureReason } from '../../records/observation.ts';
import {
  type AddressSource,
  isInterfaceSource,
  isListing,
  isNameSource,
  type NameSource,
  SOURCE_NAMES,
  type SourceName,
  traitsOf,
} from '../../records/sources.ts';

/** The answer of one source at this moment. An empty answer counts as unavailable: the plan doubts it and never believes it. */
export type SourceView =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  | { readonly kind: 'unavailable'; readonly reason?: FailureReason };

/** Why the sources may differ, as far as their answers show it. Bounded: a metric label. */
export type LikelyCause =
  | 'dns-rebinding-filter'
  | 'name-reply-dropped'
  | 'name-not-found'
  | 'public-access'
  | 'interface-listing-empty';

export interface Disagreement {
  readonly onlyByName: readonly string[];
  readonly onlyByInterfaces: readonly string[];
}

export interface Comparison {
  /** Empty when no source says anything usable. */
  readonly candidate: readonly string[];
  readonly basis: 'name' | 'overlap' | 'interfaces' | 'none';
  /** Both kinds of source answered: without a disagreement they agree. */
  readonly isTwoSided: boolean;
  readonly disagreement?: Disagreement;
  readonly likelyCause?: LikelyCause;
}

/** One sentence for each cause, for the log, the status and a person. */
export const CAUSE_TEXT: Readonly<Record<LikelyCause, string>> = {
  'dns-rebinding-filter':
    'the upstream answers the name without addresses: a filter against DNS rebinding drops private addresses (dnsmasq stop-dns-rebind, Unbound private-address, pfSense by default, BIND deny-answer-addresses)',
  'name-reply-dropped':
    'the upstream does not reply about the name while AWS answers: the upstream is down, or its filter against DNS rebinding drops the reply',
  'name-not-found':
    'the name does not exist for the upstream: a wrong endpoint name, or a filter that answers so',
  'public-access':
    'the name resolves to public addresses: public access to the endpoint is on, so the addresses of the interfaces are right for this site',
  'interface-listing-empty':
    'no interface of the cluster is listed: a wrong cluster name, region or VPC, or a proxy that answers in place of AWS',
};

/**
 * Sources of one kind count as one source, which saw every address that any of them saw. For the interface sources:
 *
 *     EC2's listing   API server's view   exists
 *     available       not asked, or down  what EC2 lists
 *     available       the same            the same
 *     available       different           what either lists
 *     down, or empty  available           what the API server lists: the row of a cut
 *     down, or empty  not asked, or down  nothing is known
 *
 * Different answers are united because neither source is certainly the fresher one. EC2 is eventually consistent, and an API
 * server that has just gone is still listed for some seconds. Before the union is served, the name must have it or be
 * unavailable. It ends with the next poll of the source that was late.
 *
 * @param isPublic whether an address is public and outside the ranges of the operator
 */
export function compare(
  names: readonly SourceView[],
  interfaces: readonly SourceView[],
  isPublic: (address: string) => boolean,
): Comparison {
  const byName = union(names);
  const byInterfaces = union(interfaces);
  // row 6: the caller keeps the addresses that were served before
  if (byName.size === 0 && byInterfaces.size === 0)
    return { candidate: [], basis: 'none', isTwoSided: false };
  // row 5
  if (byInterfaces.size === 0) {
    const doubt = doubtAboutInterfaces(byName, interfaces);
    return { candidate: [...byName], basis: 'name', isTwoSided: false, ...doubt };
  }
  // row 4
  if (byName.size === 0) {
    const doubt = doubtAboutNames(names, byInterfaces);
    return { candidate: [...byInterfaces], basis: 'interfaces', isTwoSided: false, ...doubt };
  }
  const both = [...byName].filter((address) => byInterfaces.has(address));
  // row 1
  if (both.length === byName.size) return { candidate: [...byName], basis: 'name', isTwoSided: true };
  const onlyByName = [...byName].filter((address) => !byInterfaces.has(address));
  const onlyByInterfaces = [...byInterfaces].filter((address) => !byName.has(address));
  const disagreement = { onlyByName, onlyByInterfaces };
  const cause = onlyByName.some(isPublic) ? ({ likelyCause: 'public-access' } as const) : {};
  // row 3
  if (both.length === 0) {
    return { candidate: [...byInterfaces], basis: 'interfaces', isTwoSided: true, disagreement, ...cause };
  }
  // row 2
  return { candidate: both, basis: 'overlap', isTwoSided: true, disagreement, ...cause };
}

function union(views: readonly SourceView[]): Set<string> {
  return new Set(views.flatMap((view) => (view.kind === 'addresses' ? view.addresses : [])));
}

function doubtAboutInterfaces(byName: Set<string>, interfaces: readonly SourceView[]): Partial<Comparison> {
  if (!interfaces.some((view) => view.kind === 'unavailable' && view.reason === 'empty')) return {};
  return {
    disagreement: { onlyByName: [...byName], onlyByInterfaces: [] },
    likelyCause: 'interface-listing-empty',
  };
}

function doubtAboutNames(names: readonly SourceView[], byInterfaces: Set<string>): Partial<Comparison> {
  const disagreement = { onlyByName: [], onlyByInterfaces: [...byInterfaces] };
  for (const view of names) {
    if (view.kind !== 'unavailable') continue;
    switch (view.reason) {
      case 'empty':
      case 'filtered':
        return { disagreement, likelyCause: 'dns-rebinding-filter' };
      case 'not-found':
        return { disagreement, likelyCause: 'name-not-found' };
      case 'timeout':
        return { likelyCause: 'name-reply-dropped' }; // silence contradicts nothing
      default: // the other failures say nothing about the name
    }
  }
  return {};
}

/** The facts about one address source at the moment of a plan. */
export interface SourceState {
  readonly source: AddressSource;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  /** The reason why the latest poll failed. */
  readonly failure?: FailureReason | undefined;
  /** The last answer, even if a failure came after it. */
  readonly view?: AddressView | undefined;
}

export interface AddressView {
  readonly addresses: readonly string[];
  readonly ttlSeconds?: number | undefined;
  readonly observedAtMs: number;
  /** The upstream that answered; name sources only. */
  readonly upstream?: string | undefined;
  /** EC2's status of those interfaces that are not `in-use`, by address. */
  readonly statuses?: Readonly<Record<string, string>> | undefined;
  /** The descriptions of the listed interfaces are not exactly that of the cluster. */
  readonly isDoubtful?: true | undefined;
}

export interface ViewSettings {
  readonly refusalOf: RefusalOf;
  /** An older answer counts as unavailable, because its source has stopped polling. */
  readonly maximumAgeMs: Readonly<Record<AddressSource, number>>;
}

/** Compares the states of the sources at this moment; the decision rests on the result. */
export function compareStates(
  sources: readonly SourceState[],
  settings: ViewSettings,
  nowMs: number,
): Comparison {
  const viewsOf = (isKind: (source: AddressSource) => boolean) =>
    sources.filter(({ source }) => isKind(source)).map((state) => viewOf(state, settings, nowMs));
  const isPublic = (address: string) => settings.refusalOf(address) === 'public';
  return compare(viewsOf(isNameSource), viewsOf(isInterfaceSource), isPublic);
}

function viewOf(state: SourceState, settings: ViewSettings, nowMs: number): SourceView {
  const { source, latest, view, failure } = state;
  if (latest === 'failed') {
    // causes are inferred from DNS and EC2; a source on the site fails for reasons of its own
    return { kind: 'unavailable', ...(traitsOf(source).crossesLink ? { reason: failure } : {}) };
  }
  const isRecent = view !== undefined && nowMs - view.observedAtMs <= settings.maximumAgeMs[source];
  if (latest === 'untried' || !isRecent) return { kind: 'unavailable' };
  return { kind: 'addresses', addresses: view.addresses };
}

/** Whether the source names an address at this moment that may be served. */
export function isUsable(state: SourceState, settings: ViewSettings, nowMs: number): boolean {
  const view = viewOf(state, settings, nowMs);
  return view.kind === 'addresses' && view.addresses.some((it) => settings.refusalOf(it) === undefined);
}

/** Which addresses each kind of source names that may be served. */
export function seenByKind(
  sources: readonly SourceState[],
  settings: ViewSettings,
  nowMs: number,
): SeenByKind {
  const usable = sources.filter((state) => isUsable(state, settings, nowMs));
  const addressesBy = (isKind: (source: AddressSource) => boolean) => {
    const views = usable.filter(({ source }) => isKind(source)).flatMap(({ view }) => view ?? []);
    const addresses = views.flatMap((view) => view.addresses);
    return new Set(addresses.filter((address) => settings.refusalOf(address) === undefined));
  };
  return {
    byName: addressesBy(isNameSource),
    byInterfaces: addressesBy(isInterfaceSource),
    listedAtMs: usable.find(({ source }) => isListing(source))?.view?.observedAtMs,
  };
}

/** Reads from the answers of the name sources the evidence that `guard` needs to recognise a repeated answer. */
export function evidenceOfNames(sources: readonly SourceState[]): NameEvidence {
  const names = sources.filter(({ source, latest }) => isNameSource(source) && latest === 'succeeded');
  const views = names.flatMap(({ view }) => view ?? []);
  return {
    ttlSeconds: Math.max(0, ...views.map(({ ttlSeconds }) => ttlSeconds ?? 0).filter(Number.isFinite)),
    upstreams: views.flatMap(({ upstream }) => upstream ?? []),
    observedAtMs: Math.max(0, ...views.map(({ observedAtMs }) => observedAtMs)),
  };
}

// The guard decides whether the refresh adopts a candidate. It refuses addresses that no client may get, and never adopts an empty
// set. It holds back a change that loses too much at once, or that only names support. The evidence of both kinds of source says
// how large a loss is, and which addresses stay. In this order: the decision, refused addresses (`refusalsBy`), addresses that a
// listing lacks for a while (`sparedAddresses`), the set that both kinds have seen (`corroborate`).

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
