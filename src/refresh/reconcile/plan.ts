/**
 * From the record that is served and what the sources last saw to the record to serve next. Three pure functions, one
 * for each thing that can happen: `decide` (a source saw addresses), `note` (nothing was learned: a failure, a start,
 * new settings), `learn` (the cluster's details came). All times are on one line, the caller's; see timeline.ts.
 */
import type { ClusterDetails, EndpointRecord, ServedAddress } from '../../records/endpoint-record.ts';
import type { FailureReason } from '../../records/observation.ts';
import { isNameSource, SOURCE_NAMES, type SourceName } from '../../records/sources.ts';
import { addressesOf, type Change, changesBetween } from './changes.ts';
import {
  type AddressView,
  type Comparison,
  compareStates,
  evidenceOfNames,
  isUsable,
  type SourceState,
  saidBy,
  type ViewSettings,
} from './compare.ts';
import { contradictedBy, corroborate, corroboratedBefore, spare } from './corroboration.ts';
import { guard, hasSameAddresses, type Refusal } from './guard.ts';
import { beneathPin, isObserved, pinOver, sighting } from './pin.ts';

export interface PlanSettings extends ViewSettings {
  /** The operator's own name for the endpoint: wins over what DescribeCluster says. */
  readonly endpoint?: string | undefined;
  /** Wins over everything; empty when there is none. */
  readonly pin: readonly string[];
  readonly confirmAfterMs: number;
}

export interface Plan {
  /** The very record that was passed in when nothing at all is different. */
  readonly record: EndpointRecord;
  /** Empty when the sources only confirmed what is served. */
  readonly changes: readonly Change[];
  readonly comparison?: Comparison;
  readonly refused?: readonly Refusal[];
}

// dns-rules.md, endpoint names: the source's TTL between these; never 0
const TTL_CAP_SECONDS = 60;
const TTL_FLOOR_SECONDS = 5;
const TTL_FAILED_SECONDS = 30;

/** A record of a cluster about which nothing is known yet. */
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

/** Compare, guard, and compose the next record. */
export function decide(
  previous: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const comparison = compareStates(sources, settings, nowMs);
  const { candidate, isTwoSided } = comparison;
  const said = saidBy(sources, settings, nowMs);
  const base = compose(previous, sources, settings, nowMs);
  const served = observedAddresses(previous);
  const known = corroboratedBefore(previous);
  const corroborated = known.length === 0 ? served : known;
  const spared = spare({ ...base, addresses: base.addresses.filter(isObserved) }, said, corroborated, nowMs);
  const awaits = awaitedWitness(previous, sources, comparison, settings, nowMs);
  const byNames = isTwoSided || comparison.basis !== 'name' ? undefined : evidenceOfNames(sources);
  const verdict = guard(
    {
      candidate,
      served,
      corroborated,
      spared: [...spared.keys()].filter((address) => settings.admit(address) === undefined),
      contradicted: contradictedBy(said, known),
      held: previous.held,
      awaits,
      byNames,
      nowMs,
    },
    settings,
  );
  const { refused } = verdict;
  if (verdict.kind === 'keep' || comparison.basis === 'none') {
    return { ...finish(previous, base, settings, nowMs), comparison, refused };
  }
  const measured = { ...base, addresses: markLacking(base.addresses, spared) };
  if (verdict.kind === 'hold') {
    const next = { ...measured, basis: 'kept' as const, held: verdict.held };
    return { ...finish(previous, withCorroborated(next, known), settings, nowMs), comparison, refused };
  }
  const { addresses } = verdict;
  const isLarge = previous.held !== undefined && hasSameAddresses(previous.held.addresses, addresses);
  const isSteady = hasSameAddresses(addresses, served) && isSteadySince(previous, nowMs);
  // what a listing alone tells is corroborated by nobody: only where it replaces what was does it count as that
  const isRepeated = byNames === undefined ? isLarge && known.length > 0 : isLarge || isSteady;
  const after = isTwoSided
    ? corroborate(known, said, addresses)
    : isRepeated && awaits === undefined
      ? addresses
      : known;
  const next: EndpointRecord = {
    ...without(measured, 'held'),
    addresses: serve(measured.addresses, addresses, sources),
    basis: comparison.basis,
  };
  return { ...finish(previous, withCorroborated(next, after), settings, nowMs), comparison, refused };
}

/** Where names alone speak, a set that they have told for this long is what a loss is measured against. */
const STEADY_MS = 3_600_000;

function isSteadySince({ changedAtMs, basis }: EndpointRecord, nowMs: number): boolean {
  return basis !== 'pin' && changedAtMs !== undefined && nowMs - changedAtMs >= STEADY_MS;
}

function withCorroborated(record: EndpointRecord, corroborated: readonly string[]): EndpointRecord {
  return corroborated.length === 0 ? record : { ...record, corroborated };
}

function markLacking(
  addresses: readonly ServedAddress[],
  spared: ReadonlyMap<string, number>,
): readonly ServedAddress[] {
  return addresses.map(({ lackedSinceMs: _, ...served }) => {
    const sinceMs = spared.get(served.address);
    return sinceMs === undefined ? served : { ...served, lackedSinceMs: sinceMs };
  });
}

/** Keeps the addresses whatever happened, and says how far they can still be trusted. */
export function note(
  previous: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): Plan {
  return finish(previous, compose(previous, sources, settings, nowMs), settings, nowMs);
}

/** Takes the details in. The addresses stay until a source says otherwise, a new endpoint name included. */
export function learn(
  previous: EndpointRecord,
  details: ClusterDetails,
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const learned = { ...details, learnedAtMs: nowMs };
  const isNew = changesBetween(previous, { ...previous, details: learned }).length > 0;
  // what names said of the cluster before says nothing of one that was created again, whatever the operator calls it
  const isRedescribed = previous.details !== undefined && previous.details.endpoint !== details.endpoint;
  const confirmedAtMs = {
    ...(isRedescribed ? withoutNames(previous) : previous.confirmedAtMs),
    cluster: nowMs,
  };
  const next = { ...beneathPin(previous), confirmedAtMs, ...(isNew ? { details: learned } : {}) };
  const plan = finish(previous, next, settings, nowMs);
  const isRenamed = previous.endpoint !== undefined && plan.record.endpoint !== previous.endpoint;
  if (!isRenamed || plan.record.addresses.length === 0) return plan;
  return finish(previous, { ...next, basis: 'kept' }, settings, nowMs);
}

/**
 * Failures in which no listing of AWS came back: as in a cut, where a captive portal may well answer in place of the
 * upstream, and where a `credential_process` that needs AWS gives no credentials.
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
 * Names alone neither add nor replace while EC2's listing, which vouched for what is served, is silent: it failed without an
 * answer, has not answered in this process, or answered too long ago.
 * The API server's silence does not count: it falls silent for good when all of its addresses are replaced.
 */
function awaitedWitness(
  { confirmedAtMs }: EndpointRecord,
  sources: readonly SourceState[],
  { basis, isTwoSided }: Comparison,
  settings: PlanSettings,
  nowMs: number,
): 'interfaces' | undefined {
  const isByNamesAlone = basis === 'name' && !isTwoSided;
  if (!isByNamesAlone || confirmedAtMs.interfaces === undefined) return undefined;
  const listing = sources.find(({ source }) => source === 'interfaces');
  if (listing === undefined || isUsable(listing, settings, nowMs)) return undefined;
  return listing.latest !== 'failed' || SILENCE.has(listing.failure) ? 'interfaces' : undefined;
}

/** What every plan has in common: stamps, TTL, and whether anything usable is left; without the pin. */
function compose(
  pinned: EndpointRecord,
  sources: readonly SourceState[],
  settings: PlanSettings,
  nowMs: number,
): EndpointRecord {
  const previous = beneathPin(pinned);
  const usable = sources.filter((state) => isUsable(state, settings, nowMs));
  const isTried = sources.some((state) => state.latest !== 'untried');
  const lastRefreshFailed = usable.length === 0 && (isTried || previous.lastRefreshFailed);
  return {
    ...previous,
    addresses: serve(previous.addresses, addressesOf(previous), sources),
    basis: usable.length === 0 || previous.basis === 'pin' ? keptBasis(previous) : previous.basis,
    ttlSeconds: ttlFor(lastRefreshFailed, isTried ? usable : [{ view: previous }]),
    confirmedAtMs: { ...previous.confirmedAtMs, ...confirmations(sources) },
    lastRefreshFailed,
  };
}

function keptBasis(record: EndpointRecord): EndpointRecord['basis'] {
  return record.addresses.length === 0 ? 'none' : 'kept';
}

function ttlFor(
  isFailed: boolean,
  sources: readonly { readonly view?: Pick<AddressView, 'ttlSeconds'> | undefined }[],
): number {
  if (isFailed) return TTL_FAILED_SECONDS;
  const ttls = sources.map((state) => state.view?.ttlSeconds).filter((ttl) => Number.isFinite(ttl));
  const smallest = Math.min(TTL_CAP_SECONDS, ...ttls.map(Number));
  return Math.max(TTL_FLOOR_SECONDS, Math.floor(smallest));
}

function confirmations(sources: readonly SourceState[]): Partial<Record<SourceName, number>> {
  return Object.fromEntries(
    sources.flatMap(({ source, view }) => (view === undefined ? [] : [[source, view.observedAtMs]])),
  );
}

/** `wanted`, in the order known so far, each with the provenance it had and what the sources add to it. */
function serve(
  known: readonly ServedAddress[],
  wanted: readonly string[],
  sources: readonly SourceState[],
): readonly ServedAddress[] {
  const had = new Map(known.map((served) => [served.address, served]));
  const ordered = [
    ...[...had.keys()].filter((address) => wanted.includes(address)),
    ...wanted.filter((address) => !had.has(address)),
  ];
  return ordered.map((address) => ({
    ...had.get(address),
    address,
    provenance: seen(had.get(address)?.provenance ?? {}, address, sources),
  }));
}

function seen(
  before: ServedAddress['provenance'],
  address: string,
  sources: readonly SourceState[],
): ServedAddress['provenance'] {
  const provenance = { ...before };
  for (const { source, view } of sources) {
    if (!view?.addresses.includes(address)) continue;
    const status = view.statuses?.[address];
    provenance[source] = {
      ...sighting(provenance[source], view.observedAtMs),
      ...(status === undefined ? {} : { status }),
    };
  }
  return provenance;
}

/** What a loss is measured against: what a pin put there is no observation, so taking it back loses nothing. */
function observedAddresses(record: EndpointRecord): readonly string[] {
  return beneathPin(record)
    .addresses.filter(isObserved)
    .map(({ address }) => address);
}

/** The pin, the endpoint's name, and the moment of the change; then what differs. */
function finish(
  previous: EndpointRecord,
  planned: EndpointRecord,
  settings: PlanSettings,
  nowMs: number,
): Plan {
  const endpoint = settings.endpoint ?? planned.details?.endpoint ?? planned.endpoint;
  const named = endpoint === undefined ? planned : withEndpoint(planned, previous, endpoint);
  const pinned = settings.pin.length === 0 ? named : pinOver(named, previous, settings.pin, nowMs);
  const isSameSet = hasSameAddresses(addressesOf(previous), addressesOf(pinned));
  const record = isSameSet ? pinned : { ...pinned, changedAtMs: nowMs };
  if (JSON.stringify(record) === JSON.stringify(previous)) return { record: previous, changes: [] };
  return { record, changes: changesBetween(previous, record) };
}

function without(record: EndpointRecord, key: 'held'): EndpointRecord {
  const { [key]: _, ...rest } = record;
  return rest;
}

/** What becomes of a record when the endpoint has another name than before. */
/** Far more renamings than any cluster sees while its clients still know the first name. */
const MAX_FORMER = 8;

/** The old name is remembered; and when it was last confirmed says nothing about the new one. */
export function withEndpoint(
  record: EndpointRecord,
  { endpoint: before, formerEndpoints = [] }: EndpointRecord,
  endpoint: string,
): EndpointRecord {
  if (before === undefined || before === endpoint) return { ...record, endpoint };
  const former = [...new Set([before, ...formerEndpoints])].filter((name) => name !== endpoint);
  return {
    ...record,
    endpoint,
    formerEndpoints: former.slice(0, MAX_FORMER),
    confirmedAtMs: withoutNames(record),
  };
}

/** When each source last confirmed something, the name sources left out. */
function withoutNames({ confirmedAtMs }: EndpointRecord): EndpointRecord['confirmedAtMs'] {
  const kept = SOURCE_NAMES.filter((name) => !isNameSource(name) && confirmedAtMs[name] !== undefined);
  return Object.fromEntries(kept.map((name) => [name, confirmedAtMs[name]]));
}
