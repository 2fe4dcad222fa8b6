/** Describes one cluster for a person, as plain data for the status: ages instead of times, and warnings. Pure. */
import {
  type EndpointRecord,
  type HeldChange,
  lastConfirmedAtMs,
  otherEndpointOf,
  type ProofReason,
  type ProofState,
  type ServedAddress,
  servedIn,
} from '../records/endpoint-record.ts';
import type { Ending } from '../records/observation.ts';
import { isAddressSource, type SourceName, traitsOf } from '../records/sources.ts';
import { ageText } from '../report/report.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import { type CredentialCondition, type CredentialState, isInTrouble } from './credential-state.ts';
import { type Forewarnings, forewarningTexts, type SilentSource } from './forewarnings.ts';
import { proofWarnings } from './proof-report.ts';
import { CAUSE_TEXT, type Comparison, type Disagreement, type LikelyCause } from './reconcile/compare.ts';
import { hasSameAddresses, type Refusal, refusalsBy } from './reconcile/guard.ts';
import { ageMs } from './reconcile/timeline.ts';
import type { LastFailure, SourcePoller, SourceStats } from './source-poller.ts';

export interface ClusterSnapshot {
  readonly cluster: string;
  readonly region?: string;
  readonly endpoint?: string;
  /** The name in DescribeCluster, if the operator gave a different name: the server answers both names. */
  readonly describedEndpoint?: string;
  /** Earlier names of the endpoint, newest first; the server answers these names too. */
  readonly formerEndpoints?: readonly string[];
  readonly basis: EndpointRecord['basis'];
  readonly ttlSeconds: number;
  readonly lastRefreshFailed: boolean;
  /** The addresses that are served. */
  readonly addresses: readonly AddressSnapshot[];
  /** Addresses that are not served, because they are refused, or new and not proven yet, while proven addresses exist. */
  readonly withheld: readonly AddressSnapshot[];
  /** The time since the set of addresses last changed. */
  readonly changedAgoMs?: number;
  /** The time since a source last confirmed addresses; absent before the first confirmation. */
  readonly confirmedAgoMs?: number;
  readonly sources: readonly SourceSnapshot[];
  readonly held?: {
    readonly addresses: readonly string[];
    readonly reason: string;
    readonly heldForMs: number;
  };
  readonly pin?: PinSnapshot;
  readonly disagreement?: Disagreement;
  readonly likelyCause?: LikelyCause;
  readonly refused: readonly Refusal[];
  /** Absent where no source asks AWS. */
  readonly credentials?: {
    readonly condition: CredentialCondition;
    /** Empty without trouble. */
    readonly detail: string;
    readonly sinceAgoMs: number;
  };
  /** When credentials end, the soonest of each kind. */
  readonly endings: readonly (Ending & { readonly leftMs: number })[];
  /** Sources that have been silent for long, while others answer. */
  readonly silent: readonly SilentSource[];
  readonly details?: EndpointRecord['details'] & { readonly learnedAgoMs: number };
  /** Sentences for a person; empty when all is well. */
  readonly warnings: readonly string[];
}

/** The pin of the operator. A pin of the configuration has no reason, no author and no end. */
export interface PinSnapshot {
  readonly origin: 'configuration' | 'command';
  readonly addresses: readonly string[];
  readonly why?: string;
  readonly by?: string;
  readonly sinceAgoMs?: number;
  readonly endsInMs?: number;
  /** The addresses that would be served without the pin; empty where no source has found an address. */
  readonly unpinned: readonly string[];
  /** Pinned addresses that allowedAddresses refuses, since a reload. */
  readonly refused: readonly string[];
  /** A pin of a command that the pin of the configuration hides. */
  readonly overruled?: Omit<PinSnapshot, 'overruled' | 'unpinned' | 'refused'>;
}

export interface AddressSnapshot {
  readonly address: string;
  /** This address was silent at the last checks, while other addresses answered: it stands last in an answer. */
  readonly isDead: boolean;
  /** EC2's status of its interface where that is not `in-use`: the interface exists, and is not attached now. */
  readonly interfaceStatus?: string;
  /** The time for which EC2's listing has lacked the address. The address stays because the name had it. */
  readonly lackedAgoMs?: number;
  /** Whether it is proven to be the API server; absent before its first check. */
  readonly proof?: {
    readonly state: ProofState;
    readonly reason?: ProofReason;
    readonly sinceAgoMs: number;
    /** The time since the last successful proof; absent if it never was proven. */
    readonly provenAgoMs?: number;
  };
  /** The sources no longer give this address. It is served because it is proven, and none of their addresses is proven. */
  readonly isLeaving?: true;
  /** This address stands after the other addresses in an answer. */
  readonly isLast?: boolean | undefined;
  readonly provenance: Readonly<
    Partial<Record<SourceName | 'pin', { readonly firstSeenAgoMs: number; readonly lastSeenAgoMs: number }>>
  >;
}

export interface SourceSnapshot {
  readonly source: SourceName;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  readonly isRunning: boolean;
  /** The time since the last success; a success before a restart counts too. */
  readonly lastSuccessAgoMs?: number;
  readonly lastFailure?: Omit<LastFailure, 'atMs'> & { readonly agoMs: number };
  readonly consecutiveFailures: number;
  /** Addresses in the last answer of the source; absent for a source that gives no addresses. */
  readonly addresses?: readonly string[];
  /** The descriptions of the listed interfaces are not exactly that of the cluster. */
  readonly isDoubtful?: true;
  /** Absent while a poll runs, or while there is nothing to ask for. */
  readonly nextAttemptInMs?: number;
  readonly stats: SourceStats;
}

export interface SnapshotParts {
  readonly record: EndpointRecord;
  readonly settings: ClusterSettings;
  readonly pollers: readonly SourcePoller[];
  readonly comparison: Comparison | undefined;
  readonly refused: readonly Refusal[];
  readonly credentials: CredentialState;
  /** How far the file of the state is ahead of the wall clock; 0 when it is not. */
  readonly stateAheadMs: number;
  readonly nowMs: number;
  readonly wallMs: number;
  readonly forewarnings: Forewarnings;
}

export function composeSnapshot(parts: SnapshotParts): ClusterSnapshot {
  const { record, pollers, comparison, refused, nowMs, wallMs, forewarnings } = parts;
  const { cluster, region, endpoint, basis, ttlSeconds, lastRefreshFailed } = record;
  const { changedAtMs, held, details, formerEndpoints } = record;
  const { served, withheld } = servedIn(record);
  const pin = pinSnapshot(parts);
  return {
    cluster,
    region,
    endpoint,
    describedEndpoint: otherEndpointOf(record),
    formerEndpoints,
    basis,
    ttlSeconds,
    lastRefreshFailed,
    addresses: served.map((one) => addressSnapshot(one, record, nowMs)),
    withheld: withheld.map((one) => addressSnapshot(one, record, nowMs)),
    changedAgoMs: ago(changedAtMs, nowMs),
    confirmedAgoMs: ago(lastConfirmedAtMs(record), nowMs),
    sources: pollers.map((poller) => sourceSnapshot(poller, record, nowMs)),
    held: held && { addresses: held.addresses, reason: held.reason, heldForMs: ageMs(held.sinceMs, nowMs) },
    pin,
    disagreement: comparison?.disagreement,
    likelyCause: comparison?.likelyCause,
    refused,
    credentials: credentialSnapshot(parts),
    endings: forewarnings.endings.map((ending) => ({ ...ending, leftMs: ending.endsAtMs - wallMs })),
    silent: forewarnings.silent,
    details: details && { ...details, learnedAgoMs: ageMs(details.learnedAtMs, nowMs) },
    warnings: composeWarnings(parts, pin),
  };
}

function credentialSnapshot({ pollers, credentials, nowMs }: SnapshotParts): ClusterSnapshot['credentials'] {
  if (!pollers.some(({ name }) => traitsOf(name).needsCredentials)) return undefined;
  const { condition, detail, sinceMs } = credentials;
  return { condition, detail, sinceAgoMs: ageMs(sinceMs, nowMs) };
}

function pinSnapshot({ record, settings, nowMs }: SnapshotParts): PinSnapshot | undefined {
  const { pin, unpinned = [] } = record;
  const byCommand = pin && {
    origin: 'command' as const,
    addresses: pin.addresses,
    why: pin.why,
    by: pin.by,
    sinceAgoMs: ageMs(pin.sinceMs, nowMs),
    endsInMs: Math.max(0, Math.round(pin.untilMs - nowMs)),
  };
  const found = unpinned.map(({ address }) => address);
  if (settings.pin.length > 0) {
    const { pin: addresses } = settings;
    return { origin: 'configuration', addresses, unpinned: found, refused: [], overruled: byCommand };
  }
  if (byCommand === undefined) return undefined;
  const isRefused = refusalsBy(settings.allowedAddresses);
  const refused = byCommand.addresses.filter((address) => isRefused(address) !== undefined);
  return { ...byCommand, unpinned: found, refused };
}

function addressSnapshot(served: ServedAddress, { leaving }: EndpointRecord, nowMs: number): AddressSnapshot {
  const { address, provenance, lackedSinceMs, proof } = served;
  const seen = Object.entries(provenance).map(([source, by]) => [
    source,
    { firstSeenAgoMs: ageMs(by.firstSeenMs, nowMs), lastSeenAgoMs: ageMs(by.lastSeenMs, nowMs) },
  ]);
  return {
    address,
    isDead: false,
    interfaceStatus: Object.values(provenance).find(({ status }) => status !== undefined)?.status,
    lackedAgoMs: ago(lackedSinceMs, nowMs),
    proof: proof && {
      state: proof.state,
      reason: proof.reason,
      sinceAgoMs: ageMs(proof.sinceMs, nowMs),
      provenAgoMs: ago(proof.provenAtMs, nowMs),
    },
    ...(leaving?.includes(served) ? { isLeaving: true } : {}),
    provenance: Object.fromEntries(seen),
  };
}

function sourceSnapshot(poller: SourcePoller, record: EndpointRecord, nowMs: number): SourceSnapshot {
  const { name, latest, isRunning, consecutiveFailures, lastFailure, view, nextPollAtMs } = poller;
  return {
    source: name,
    latest,
    isRunning,
    lastSuccessAgoMs: ago(record.confirmedAtMs[name], nowMs),
    lastFailure: lastFailure && {
      reason: lastFailure.reason,
      detail: lastFailure.detail,
      agoMs: ageMs(lastFailure.atMs, nowMs),
    },
    consecutiveFailures,
    addresses: view?.addresses,
    isDoubtful: view?.isDoubtful,
    nextAttemptInMs: nextPollAtMs === undefined ? undefined : Math.max(0, Math.round(nextPollAtMs - nowMs)),
    stats: poller.stats(),
  };
}

function ago(ms: number | undefined, nowMs: number): number | undefined {
  return ms === undefined ? undefined : ageMs(ms, nowMs);
}

const DAY_MS = 86_400_000;
/** Endpoint names never expire. An operator hears of their age after 7 and 30 days. */
export const AGE_WARNINGS_MS = [7 * DAY_MS, 30 * DAY_MS] as const;

const DOUBTFUL =
  'no interface has the exact description of the cluster: interfaces of its VPC and subnets whose description contains its text are used, which is doubtful; compare them in EC2';

function composeWarnings(parts: SnapshotParts, pin: PinSnapshot | undefined): readonly string[] {
  const { record, pollers, comparison, refused, nowMs } = parts;
  const { endpoint, addresses, held } = record;
  const warnings: string[] = [];
  if (endpoint === undefined) {
    warnings.push('the endpoint name is unknown: neither configured nor learned from DescribeCluster');
  } else if (addresses.length === 0) warnings.push('no address was ever learned for the endpoint');
  warnings.push(...nameWarnings(record));
  if (pollers.some(({ view }) => view?.isDoubtful)) warnings.push(DOUBTFUL);
  warnings.push(...ageWarnings(parts), ...credentialWarnings(parts));
  warnings.push(...forewarningTexts(parts.forewarnings, parts.wallMs));
  if (pin !== undefined) warnings.push(...pinWarnings(pin, comparison));
  else if (held !== undefined) warnings.push(heldWarning(held));
  for (const { address, lackedSinceMs } of addresses) {
    if (lackedSinceMs === undefined) continue;
    const since = ageText(ageMs(lackedSinceMs, nowMs) / 1000);
    warnings.push(
      `EC2 has not listed ${address} for ${since}: it stays until the listing has lacked it for an hour and the name has dropped it too`,
    );
  }
  warnings.push(...proofWarnings(record));
  for (const { address, reason } of refused) {
    warnings.push(`a source lists ${address}, which is refused: ${reason}`);
  }
  // when every source fails, the refresh compares nothing, and the cause from an earlier comparison would mislead
  if (!record.lastRefreshFailed) warnings.push(...loopWarnings(parts), ...disagreementWarnings(comparison));
  return warnings;
}

function nameWarnings(record: EndpointRecord): readonly string[] {
  const { endpoint, formerEndpoints } = record;
  const described = otherEndpointOf(record);
  const warnings: string[] = [];
  if (described !== undefined) {
    warnings.push(
      `the endpoint is configured as ${endpoint}, while AWS says ${described}: both are answered; correct it in clusters[].endpoint, or remove it`,
    );
  }
  if (formerEndpoints !== undefined) {
    const names = formerEndpoints.join(', ');
    warnings.push(`the endpoint was named ${names} before, which is answered with the same addresses`);
  }
  return warnings;
}

function ageWarnings({ record, pollers, nowMs, stateAheadMs }: SnapshotParts): readonly string[] {
  const age = ago(lastConfirmedAtMs(record), nowMs);
  const ahead =
    stateAheadMs > 0
      ? [`the state is ${ageText(stateAheadMs / 1000)} ahead of this clock: ages count from the start`]
      : [];
  if (record.lastRefreshFailed) {
    const since =
      age === undefined
        ? 'no source has ever confirmed anything'
        : `no source has confirmed anything for ${ageText(age / 1000)}`;
    const first = pollers.find(({ name, latest }) => isAddressSource(name) && latest === 'failed');
    return [first?.lastFailure === undefined ? since : `${since}: ${first.lastFailure.detail}`, ...ahead];
  }
  const passedMs = AGE_WARNINGS_MS.findLast((limitMs) => (age ?? 0) > limitMs);
  if (passedMs === undefined) return ahead;
  return [`no source has confirmed the addresses for ${ageText(passedMs / 1000)}`, ...ahead];
}

function credentialWarnings({ credentials, nowMs }: SnapshotParts): readonly string[] {
  if (!isInTrouble(credentials)) return [];
  const { condition, detail, sinceMs } = credentials;
  return [
    `the credentials for aws are ${condition}, for ${ageText(ageMs(sinceMs, nowMs) / 1000)}: ${detail}`,
  ];
}

function heldWarning({ addresses, reason, awaits }: HeldChange): string {
  const change = addresses.join(', ');
  if (awaits === undefined) return `a change to ${change} is held back until it is repeated: ${reason}`;
  return `a change to ${change}, which names alone give, is held back until an interface source answers the same, the addresses are pinned, or that source is removed from the sources of the cluster: ${reason}`;
}

/** A source whose upstream asks us gets our own answer, which agrees with everything: only its failure shows the loop. */
function loopWarnings({ pollers }: SnapshotParts): readonly string[] {
  return pollers.flatMap(({ latest, lastFailure }) =>
    latest === 'failed' && lastFailure?.reason === 'looping' ? [lastFailure.detail] : [],
  );
}

function disagreementWarnings(comparison: Comparison | undefined): readonly string[] {
  const { likelyCause, disagreement } = comparison ?? {};
  if (likelyCause !== undefined) return [CAUSE_TEXT[likelyCause]];
  if (disagreement === undefined) return [];
  const { onlyByName, onlyByInterfaces } = disagreement;
  return [
    `the sources disagree: only by name ${list(onlyByName)}, only by interfaces ${list(onlyByInterfaces)}`,
  ];
}

function pinWarnings(pin: PinSnapshot, comparison: Comparison | undefined): readonly string[] {
  const { addresses, refused, overruled } = pin;
  const effective = addresses.filter((address) => !refused.includes(address));
  const pinned = `${pinText(pin)} the addresses to ${addresses.join(', ')}${pinEndText(pin)}`;
  const doubt =
    comparison === undefined || hasSameAddresses(comparison.candidate, addresses)
      ? ''
      : `, while the sources say ${list(comparison.candidate)}`;
  const without = effective.length === 0 ? 'the pin has no effect' : 'these are not served';
  return [
    `${pinned}${doubt}`,
    ...(refused.length === 0
      ? []
      : [`allowedAddresses refuses ${refused.join(', ')} of the pin: ${without}; add the network, or unpin`]),
    ...(overruled === undefined
      ? []
      : [
          `the configuration pins the addresses, and that pin wins over the pin of ${overruled.by} to ${overruled.addresses.join(', ')}`,
        ]),
  ];
}

function pinText({ origin, by }: PinSnapshot): string {
  return origin === 'command' ? `${by} has pinned` : 'the operator has pinned';
}

function pinEndText({ why, endsInMs }: PinSnapshot): string {
  return endsInMs === undefined ? '' : ` for ${ageText(endsInMs / 1000)} more ("${why}")`;
}

function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'none' : addresses.join(', ');
}
