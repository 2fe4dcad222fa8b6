/**
 * Plans the next record from the served record and the latest answers of the sources. Pure.
 *
 *     what happened                              function    the addresses
 *     a source answered with addresses           decide      compare -> guard: adopted, held back or kept
 *     a failure, a start, new settings           keep        stay
 *     EKS gave the details of the cluster        learn       stay, under a new name if EKS gave one
 *     a command set or removed a pin             repin       those of the pin, or those from before it
 *     addresses were checked                     withProofs  stay; `servedIn` withholds those that are not proven
 *
 * A pin is removed before a plan and laid over its result. All times are on one line, that of the caller; see record-keeper.ts.
 */
import {
  addressesOf,
  type ClusterDetails,
  type EndpointRecord,
  isProven,
  type KnownAddress,
  type Pin,
  type SeenBy,
  servedIn,
} from '../../records/endpoint-record.ts';
import type { FailureReason } from '../../records/observation.ts';
import { isListing, isNameSource, SOURCE_NAMES } from '../../records/sources.ts';
import { type Change, changesBetween } from './changes.ts';
import {
  type AddressView,
  type Comparison,
  compareStates,
  contradictedBy,
  corroborate,
  corroboratedBefore,
  evidenceOfNames,
  type GuardSettings,
  guard,
  hasSameAddresses,
  isUsable,
  type Refusal,
  type SourceState,
  seenByKind,
  sparedAddresses,
  type ViewSettings,
} from './decision.ts';
import type { Standing } from './prove.ts';

export interface PlanSettings extends ViewSettings, GuardSettings {
  /** The operator's own name for the endpoint; this name wins over the name in DescribeCluster. */
  readonly endpoint?: string | undefined;
  /** The pin of the configuration. Wins over everything; empty when there is none. */
  readonly pin: readonly string[];
  /** Whether the addresses are proven by TLS; see prove.ts. */
  readonly isProving?: boolean;
}

export interface Plan {
  /** The same object as before when nothing at all has changed. */
  readonly record: EndpointRecord;
  /** Empty when the sources only confirmed what is served. */
  readonly changes: readonly Change[];
  readonly comparison?: Comparison;
  readonly refused?: readonly Refusal[];
}

// the TTL of an endpoint's answer is the source's TTL between these, and never 0: clients must learn of a change soon
const TTL_CAP_SECONDS = 60;
const TTL_FLOOR_SECONDS = 5;
const TTL_FAILED_SECONDS = 30;
/** When only names answer, the guard measures a loss against a set that the names have given for at least this long. */
const STEADY_MS = 3_600_000;
/** Far more renamings than a cluster sees while its clients still know the first name. */
const MAX_FORMER_ENDPOINTS = 8;

/** The record of a cluster about which nothing is known yet. */
export function emptyRecord(cluster: string, region: string | undefined): EndpointRecord {
  return {
    cluster,
    ...(region === undefined ? {} : { region }),
    addresses: [],
    ttlSeconds: TTL_FAILED_SECONDS,
    basis: 'none',
    confirmedAtMs: {},
    lastRefreshFailed: false,
  };
}

/** A source answered with addresses: compares, guards, and composes the next record. */
export function decide(
  previous: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const comparison = compareStates(sources, settings, nowMs);
  const { candidate, isTwoSided, basis } = comparison;
  const seen = seenByKind(sources, settings, nowMs);
  const base = compose(previous, sources, settings, nowMs);
  // an address that only a pin named was never observed: to remove it is no loss
  const { addresses: unpinned } = withoutPin(previous);
  const served = unpinned.filter(isObserved);
  const servedAddresses = served.map(({ address }) => address);
  const known = corroboratedBefore(previous, unpinned);
  const corroborated = known.length === 0 ? servedAddresses : known;
  const observed = { ...base, addresses: base.addresses.filter(isObserved) };
  const spared = sparedAddresses(observed, seen, corroborated, nowMs);
  const awaits = awaitedSource(previous, sources, comparison, settings, nowMs);
  const byNames = isTwoSided || basis !== 'name' ? undefined : evidenceOfNames(sources);
  const decision = guard(
    {
      candidate,
      served: servedAddresses,
      corroborated,
      spared: [...spared.keys()].filter((address) => settings.refusalOf(address) === undefined),
      contradicted: contradictedBy(seen, known),
      held: previous.held,
      awaits,
      byNames,
      nowMs,
    },
    settings,
  );
  const { refused } = decision;
  if (decision.kind === 'keep' || basis === 'none') {
    return { ...finish(previous, base, settings, nowMs), comparison, refused };
  }
  const measured = { ...base, addresses: markLacking(base.addresses, spared) };
  if (decision.kind === 'hold') {
    const next = { ...measured, basis: 'kept' as const, held: decision.held };
    return { ...finish(previous, withCorroborated(next, known), settings, nowMs), comparison, refused };
  }
  const { addresses } = decision;
  const isReleased = previous.held !== undefined && hasSameAddresses(previous.held.addresses, addresses);
  const isSteady = hasSameAddresses(addresses, servedAddresses) && isSteadySince(previous, nowMs);
  // a listing alone corroborates only a set that replaces a corroborated one
  const isRepeated = byNames === undefined ? isReleased && known.length > 0 : isReleased || isSteady;
  const isNewMeasure = isRepeated && awaits === undefined;
  const after = isTwoSided ? corroborate(known, seen, addresses) : isNewMeasure ? addresses : known;
  const { held: _, ...unheld } = measured;
  const next = { ...unheld, addresses: withProvenance(measured.addresses, addresses, sources), basis };
  return { ...finish(previous, withCorroborated(next, after), settings, nowMs), comparison, refused };
}

/** Nothing was learned: keeps the addresses, and says how far they can still be trusted. */
export function keep(
  previous: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): Plan {
  return finish(previous, compose(previous, sources, settings, nowMs), settings, nowMs);
}

/** EKS gave the details of the cluster. The addresses stay until a source changes them, under a new name as well. */
export function learn(
  previous: EndpointRecord,
  details: ClusterDetails,
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const learned = { ...details, learnedAtMs: nowMs };
  const isNew = changesBetween(previous, { ...previous, details: learned }, nowMs).length > 0;
  // old answers of the names say nothing about a cluster that was created again, even under a configured name
  const isRedescribed = previous.details !== undefined && previous.details.endpoint !== details.endpoint;
  const confirmedAtMs = isRedescribed ? withoutNames(previous.confirmedAtMs) : previous.confirmedAtMs;
  const next = {
    ...withoutPin(previous),
    confirmedAtMs: { ...confirmedAtMs, [DETAILS_SOURCE]: nowMs },
    ...(isNew ? { details: learned } : {}),
  };
  const plan = finish(previous, next, settings, nowMs);
  const isRenamed = previous.endpoint !== undefined && plan.record.endpoint !== previous.endpoint;
  if (!isRenamed || plan.record.addresses.length === 0) return plan;
  return finish(previous, { ...next, basis: 'kept' }, settings, nowMs);
}

/** A command pins addresses, or removes its pin (`undefined`). A pin in the configuration goes on to win. */
export function repin(
  previous: EndpointRecord,
  pin: Pin | undefined,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const { pin: _, ...unpinned } = compose(previous, sources, settings, nowMs);
  return finish(previous, pin === undefined ? unpinned : { ...unpinned, pin }, settings, nowMs);
}

/** The addresses were checked: marks them with their proofs. The record is the same object where nothing has changed. */
export function withProofs(
  before: EndpointRecord,
  standings: ReadonlyMap<string, Standing>,
  nowMs: number,
): Plan {
  let isChanged = false;
  const mark = (one: KnownAddress): KnownAddress => {
    const proof = standings.get(one.address)?.proof;
    if (proof === undefined || proof === one.proof) return one;
    isChanged = true;
    const { awaitsProof, ...rest } = one;
    const isAwaiting = awaitsProof === true && proof.state !== 'proven';
    return { ...rest, proof, ...(isAwaiting ? { awaitsProof } : {}) };
  };
  const { addresses, leaving, unpinned } = before;
  const marked = {
    ...before,
    addresses: addresses.map(mark),
    ...(leaving === undefined ? {} : { leaving: leaving.map(mark) }),
    ...(unpinned === undefined ? {} : { unpinned: unpinned.map(mark) }),
  };
  if (!isChanged) return { record: before, changes: [] };
  const next = withLeaving(marked, marked);
  const record = hasSameServed(before, next) ? next : { ...next, changedAtMs: nowMs };
  return { record, changes: changesBetween(before, record, nowMs) };
}

/** The source of a `DetailsObservation`. */
const DETAILS_SOURCE = 'cluster';

function isSteadySince({ changedAtMs, basis }: EndpointRecord, nowMs: number): boolean {
  return basis !== 'pin' && changedAtMs !== undefined && nowMs - changedAtMs >= STEADY_MS;
}

function withCorroborated(record: EndpointRecord, corroborated: readonly string[]): EndpointRecord {
  return corroborated.length === 0 ? record : { ...record, corroborated };
}

function markLacking(
  addresses: readonly KnownAddress[],
  spared: ReadonlyMap<string, number>,
): readonly KnownAddress[] {
  return addresses.map(({ lackedSinceMs: _, ...served }) => {
    const sinceMs = spared.get(served.address);
    return sinceMs === undefined ? served : { ...served, lackedSinceMs: sinceMs };
  });
}

/**
 * Failures without a listing from AWS, as in a cut. A captive portal may answer in place of the upstream. A
 * `credential_process` that needs AWS gives no credentials.
 */
const SILENCE: ReadonlySet<FailureReason | undefined> = new Set([
  'timeout',
  'network',
  'malformed',
  'no-credentials',
  'internal',
  'proxy',
  'service-error',
  'untrusted-certificate',
]);

/**
 * The listing that a change waits for. Names alone neither add nor replace addresses while a listing of EC2 that once
 * confirmed the served set is silent. A listing is silent when it failed without an answer, has not answered in this
 * process, or answered too long ago. The silence of the API server does not count: it is silent for good once all of its
 * addresses are replaced.
 */
function awaitedSource(
  { confirmedAtMs }: EndpointRecord,
  sources: readonly SourceState[],
  { basis, isTwoSided }: Comparison,
  settings: PlanSettings,
  nowMs: number,
): 'interfaces' | undefined {
  const listing = sources.find(({ source }) => isListing(source));
  if (basis !== 'name' || isTwoSided || listing === undefined) return undefined;
  if (confirmedAtMs[listing.source] === undefined || isUsable(listing, settings, nowMs)) return undefined;
  return listing.latest !== 'failed' || SILENCE.has(listing.failure) ? 'interfaces' : undefined;
}

/** The parts that every plan has: times, TTL, and whether a usable source is left. Without the pin. */
function compose(
  pinned: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): EndpointRecord {
  const previous = withoutPin(pinned);
  const usable = sources.filter((state) => isUsable(state, settings, nowMs));
  const isTried = sources.some((state) => state.latest !== 'untried');
  const lastRefreshFailed = usable.length === 0 && (isTried || previous.lastRefreshFailed);
  const keptBasis = previous.addresses.length === 0 ? 'none' : 'kept';
  const confirmations = sources.flatMap(({ source, view }) =>
    view === undefined ? [] : [[source, view.observedAtMs]],
  );
  return {
    ...previous,
    addresses: withProvenance(previous.addresses, addressesOf(previous), sources),
    basis: usable.length === 0 || previous.basis === 'pin' ? keptBasis : previous.basis,
    ttlSeconds: ttlFor(lastRefreshFailed, isTried ? usable : [{ view: previous }]),
    confirmedAtMs: { ...previous.confirmedAtMs, ...Object.fromEntries(confirmations) },
    lastRefreshFailed,
  };
}

function ttlFor(
  isFailed: boolean,
  sources: readonly { readonly view?: Pick<AddressView, 'ttlSeconds'> | undefined }[],
): number {
  if (isFailed) return TTL_FAILED_SECONDS;
  const ttls = sources.map(({ view }) => view?.ttlSeconds).filter((ttl) => Number.isFinite(ttl));
  const smallest = Math.min(TTL_CAP_SECONDS, ...ttls.map(Number));
  return Math.max(TTL_FLOOR_SECONDS, Math.floor(smallest));
}

/** `wanted` in the order known so far, each with its provenance and what the sources add to it. */
function withProvenance(
  known: readonly KnownAddress[],
  wanted: readonly string[],
  sources: readonly SourceState[],
): readonly KnownAddress[] {
  const had = new Map(known.map((served) => [served.address, served]));
  const ordered = [
    ...[...had.keys()].filter((address) => wanted.includes(address)),
    ...wanted.filter((address) => !had.has(address)),
  ];
  return ordered.map((address) => {
    const before = had.get(address);
    const provenance = { ...before?.provenance };
    for (const { source, view } of sources) {
      if (!view?.addresses.includes(address)) continue;
      const status = view.statuses?.[address];
      const seen = sighting(provenance[source], view.observedAtMs);
      provenance[source] = status === undefined ? seen : { ...seen, status };
    }
    return { ...before, address, provenance };
  });
}

/** Adds the pin, the endpoint's name, what proofs protect and the time of the change, and then finds the changes. */
function finish(
  previous: EndpointRecord,
  planned: EndpointRecord,
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const endpoint = settings.endpoint ?? planned.details?.endpoint ?? planned.endpoint;
  const named = endpoint === undefined ? planned : withEndpoint(planned, previous, endpoint);
  const unended = endedPin(named, nowMs);
  const pin = pinOf(unended, settings);
  const pinned = pin.length === 0 ? unended : withPin(unended, previous, pin, nowMs);
  const proven = settings.isProving === true ? withLeaving(pinned, previous) : withoutProofs(pinned);
  const record = hasSameServed(previous, proven) ? proven : { ...proven, changedAtMs: nowMs };
  if (JSON.stringify(record) === JSON.stringify(previous)) return { record: previous, changes: [] };
  return { record, changes: changesBetween(previous, record, nowMs) };
}

/** Remembers the old name. Drops the time of its last confirmation, which says nothing about the new name. */
function withEndpoint(
  record: EndpointRecord,
  { endpoint: before, formerEndpoints = [] }: EndpointRecord,
  endpoint: string,
): EndpointRecord {
  if (before === undefined || before === endpoint) return { ...record, endpoint };
  const former = [...new Set([before, ...formerEndpoints])].filter((name) => name !== endpoint);
  return {
    ...record,
    endpoint,
    formerEndpoints: former.slice(0, MAX_FORMER_ENDPOINTS),
    confirmedAtMs: withoutNames(record.confirmedAtMs),
  };
}

function withoutNames(confirmedAtMs: EndpointRecord['confirmedAtMs']): EndpointRecord['confirmedAtMs'] {
  const kept = SOURCE_NAMES.filter((name) => !isNameSource(name) && confirmedAtMs[name] !== undefined);
  return Object.fromEntries(kept.map((name) => [name, confirmedAtMs[name]]));
}

// The operator's pin: laid over the addresses that the sources found, and removed without a trace. The pin of the configuration
// wins; a pin that a command sets is part of the record and ends by itself. Pure.

/** The addresses that are served in place of those from the sources; empty without a pin. */
function pinOf(
  { pin }: Pick<EndpointRecord, 'pin'>,
  settings: {
    readonly pin: readonly string[];
    readonly refusalOf: (address: string) => string | undefined;
  },
): readonly string[] {
  if (settings.pin.length > 0 || pin === undefined) return settings.pin;
  // a reload may have narrowed allowedAddresses since the command
  return pin.addresses.filter((address) => settings.refusalOf(address) === undefined);
}

/** Without a pin whose time is up. */
function endedPin(record: EndpointRecord, nowMs: number): EndpointRecord {
  if (record.pin === undefined || nowMs < record.pin.untilMs) return record;
  const { pin: _, ...rest } = record;
  return rest;
}

function withPin(
  found: EndpointRecord,
  previous: EndpointRecord,
  pin: readonly string[],
  nowMs: number,
): EndpointRecord {
  const inRecord = ({ addresses }: EndpointRecord, address: string) =>
    addresses.find((served) => served.address === address);
  const addresses = pin.map((address) => {
    const [now, before] = [inRecord(found, address), inRecord(previous, address)];
    const proof = before?.proof ?? now?.proof;
    return {
      address,
      provenance: { ...now?.provenance, pin: sighting(before?.provenance.pin, nowMs) },
      ...(proof === undefined ? {} : { proof }),
    };
  });
  const observed = found.addresses.filter(isObserved);
  // addresses that only an earlier pin named are kept, too, because nothing better is known
  const kept = previous.basis === 'pin' ? (previous.unpinned ?? []) : found.addresses;
  const unpinned = observed.length > 0 ? observed : kept;
  return { ...found, addresses, ...(unpinned.length === 0 ? {} : { unpinned }), basis: 'pin' };
}

/**
 * The record as if nothing were pinned. Where no source has found an address, the pinned addresses stay until one does,
 * because an endpoint is never left without addresses. An address that a source has found too loses only the mark of the pin.
 */
function withoutPin({ unpinned = [], ...record }: EndpointRecord): EndpointRecord {
  if (unpinned.length > 0) return { ...record, addresses: unpinned };
  const addresses = record.addresses.map((served) => {
    const { pin: _, ...seenBySources } = served.provenance;
    return isObserved(served) ? { ...served, provenance: seenBySources } : served;
  });
  return { ...record, addresses };
}

/** Whether a source has found the address, and not only the operator named it. */
function isObserved({ provenance }: KnownAddress): boolean {
  return provenance.pin === undefined || Object.keys(provenance).length > 1;
}

function sighting(before: SeenBy | undefined, atMs: number): SeenBy {
  return { firstSeenMs: Math.min(before?.firstSeenMs ?? atMs, atMs), lastSeenMs: atMs };
}

// The proofs of addresses (prove.ts): what they protect, and the record without any.

/**
 * Protects proven addresses from a set that replaces them. Proven addresses that the sources drop stay as `leaving` until one
 * of the new set is proven. An address that comes while other addresses are proven waits for its own proof; see `servedIn`.
 */
export function withLeaving(planned: EndpointRecord, previous: EndpointRecord): EndpointRecord {
  const { leaving: _, ...rest } = planned;
  if (planned.basis === 'pin') return rest;
  const known = new Map(
    [...(previous.unpinned ?? []), ...(previous.leaving ?? []), ...previous.addresses].map((one) => [
      one.address,
      one,
    ]),
  );
  const hasProven = [...known.values()].some(isProven) || rest.addresses.some(isProven);
  const addresses = rest.addresses.map((one): KnownAddress => {
    const before = known.get(one.address);
    if (before === undefined) return hasProven && !isProven(one) ? { ...one, awaitsProof: true } : one;
    if (one.proof !== undefined || before.proof === undefined) return one;
    return { ...one, proof: before.proof };
  });
  const record = addresses.every((one, at) => one === rest.addresses[at]) ? rest : { ...rest, addresses };
  if (addresses.length === 0 || addresses.some(isProven)) return record;
  const decided = new Set(addresses.map(({ address }) => address));
  const leaving = [...known.values()].filter((one) => isProven(one) && !decided.has(one.address));
  return leaving.length === 0 ? record : { ...record, leaving };
}

/** Whether clients get the same set of addresses. */
export function hasSameServed(some: EndpointRecord, other: EndpointRecord): boolean {
  const of = (record: EndpointRecord) => servedIn(record).served.map(({ address }) => address);
  return hasSameAddresses(of(some), of(other));
}

/** The record as if no address were ever checked: for a cluster whose addresses are not proven any more. */
export function withoutProofs(proven: EndpointRecord): EndpointRecord {
  const { leaving, ...record } = proven;
  const hasNone = (some: readonly KnownAddress[] = []) =>
    some.every(({ proof, awaitsProof }) => proof === undefined && awaitsProof === undefined);
  if (leaving === undefined && hasNone(record.addresses) && hasNone(record.unpinned)) return proven;
  const bare = ({ proof: _proof, awaitsProof: _awaits, ...one }: KnownAddress): KnownAddress => one;
  const { addresses, unpinned } = record;
  return {
    ...record,
    addresses: addresses.map(bare),
    ...(unpinned === undefined ? {} : { unpinned: unpinned.map(bare) }),
  };
}
