/** What a person wants to know about one cluster, as plain data for the status: ages instead of times. */
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord, HeldChange } from '../records/endpoint-record.ts';
import { isAddressSource, SOURCE_NAMES, type SourceName } from '../records/sources.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import {
  type CredentialCondition,
  type CredentialState,
  isInTrouble,
  needsCredentials,
} from './credential-state.ts';
import type { Change } from './reconcile/changes.ts';
import { CAUSE_TEXT, type Comparison, type LikelyCause } from './reconcile/compare.ts';
import { hasSameAddresses, type Refusal } from './reconcile/guard.ts';
import type { Plan } from './reconcile/plan.ts';
import { ageMs } from './reconcile/timeline.ts';
import type { LastFailure, SourceRunner, SourceStats } from './source-poller.ts';

export interface ClusterSnapshot {
  readonly cluster: string;
  readonly region?: string;
  readonly endpoint?: string;
  /** The name that DescribeCluster says, where the operator gave another: both are answered. */
  readonly describedEndpoint?: string;
  /** Names that it had before and is answered under as well, newest first. */
  readonly formerEndpoints?: readonly string[];
  readonly basis: EndpointRecord['basis'];
  readonly ttlSeconds: number;
  readonly lastRefreshFailed: boolean;
  readonly addresses: readonly AddressSnapshot[];
  /** Since the set of addresses last changed. */
  readonly changedAgoMs?: number;
  /** Since any source last confirmed addresses; absent when none ever has. */
  readonly confirmedAgoMs?: number;
  readonly sources: readonly SourceSnapshot[];
  readonly held?: {
    readonly addresses: readonly string[];
    readonly reason: string;
    readonly heldForMs: number;
  };
  readonly disagreement?: {
    readonly onlyByName: readonly string[];
    readonly onlyByInterfaces: readonly string[];
  };
  readonly likelyCause?: LikelyCause;
  readonly refused: readonly Refusal[];
  /** Absent where no source asks AWS. */
  readonly credentials?: {
    readonly condition: CredentialCondition;
    /** Empty without trouble. */
    readonly detail: string;
    readonly sinceAgoMs: number;
  };
  readonly details?: EndpointRecord['details'] & { readonly learnedAgoMs: number };
  readonly stats: ClusterStats;
  /** Sentences for a person; empty when all is well. */
  readonly warnings: readonly string[];
}

/** Counted from the start of the process. */
export interface ClusterStats {
  readonly addressChanges: number;
  readonly heldChanges: number;
  /** One for each address in each decision. */
  readonly refusedAddresses: number;
}

export interface AddressSnapshot {
  readonly address: string;
  /** Answered last: its last probes failed. */
  readonly isDead: boolean;
  /** EC2's status of its interface where that is not `in-use`: it exists, but is not attached at this moment. */
  readonly interfaceStatus?: string;
  /** Since EC2's listing lacks it: it stays because the name had it. */
  readonly lackedAgoMs?: number;
  readonly provenance: Readonly<
    Partial<Record<SourceName | 'pin', { readonly firstSeenAgoMs: number; readonly lastSeenAgoMs: number }>>
  >;
}

export interface SourceSnapshot {
  readonly source: SourceName;
  readonly latest: 'untried' | 'succeeded' | 'failed';
  readonly isRunning: boolean;
  /** Since the last success, before a restart included. */
  readonly lastSuccessAgoMs?: number;
  readonly lastFailure?: {
    readonly reason: LastFailure['reason'];
    readonly detail: string;
    readonly agoMs: number;
  };
  readonly consecutiveFailures: number;
  /** What the source last saw; absent for `cluster`. */
  readonly addresses?: readonly string[];
  /** What it last saw are interfaces whose description only has the cluster's text among others. */
  readonly isDoubtful?: true;
  /** Absent while a look is under way, or while there is nothing to ask for. */
  readonly nextAttemptInMs?: number;
  readonly stats: SourceStats;
}

export interface SnapshotParts {
  readonly record: EndpointRecord;
  readonly settings: ClusterSettings;
  readonly runners: readonly SourceRunner[];
  readonly comparison: Comparison | undefined;
  readonly refused: readonly Refusal[];
  readonly credentials: CredentialState;
  readonly stats: ClusterStats;
  /** How far the state's file is ahead of the wall clock; 0 when it is not. */
  readonly stateAheadMs: number;
  readonly nowMs: number;
}

export function composeSnapshot(parts: SnapshotParts): ClusterSnapshot {
  const { record, runners, comparison, refused, stats, nowMs } = parts;
  const { cluster, region, endpoint, basis, ttlSeconds, lastRefreshFailed } = record;
  const { changedAtMs, held, details, formerEndpoints } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  return {
    cluster,
    ...given('region', region),
    ...given('endpoint', endpoint),
    ...given('describedEndpoint', otherEndpointOf(record)),
    ...given('formerEndpoints', formerEndpoints),
    basis,
    ttlSeconds,
    lastRefreshFailed,
    addresses: record.addresses.map((served) => addressSnapshot(served, nowMs)),
    ...given('changedAgoMs', ago(changedAtMs, nowMs)),
    ...given('confirmedAgoMs', ago(confirmedAtMs, nowMs)),
    sources: runners.map((runner) => sourceSnapshot(runner, record, nowMs)),
    ...given(
      'held',
      held && { addresses: held.addresses, reason: held.reason, heldForMs: ageMs(held.sinceMs, nowMs) },
    ),
    ...given('disagreement', comparison?.disagreement),
    ...given('likelyCause', comparison?.likelyCause),
    refused,
    ...given('credentials', credentialSnapshot(parts)),
    ...given('details', details && { ...details, learnedAgoMs: ageMs(details.learnedAtMs, nowMs) }),
    stats,
    warnings: composeWarnings(parts),
  };
}

export function countPlan(stats: ClusterStats, { changes, refused = [] }: Plan): ClusterStats {
  const count = (kind: Change['kind']) => changes.filter((change) => change.kind === kind).length;
  return {
    addressChanges: stats.addressChanges + count('addresses'),
    heldChanges: stats.heldChanges + count('held'),
    refusedAddresses: stats.refusedAddresses + refused.length,
  };
}

function credentialSnapshot({ runners, credentials, nowMs }: SnapshotParts): ClusterSnapshot['credentials'] {
  if (!runners.some(({ name }) => needsCredentials(name))) return undefined;
  const { condition, detail, sinceMs } = credentials;
  return { condition, detail, sinceAgoMs: ageMs(sinceMs, nowMs) };
}

function addressSnapshot(
  { address, provenance, lackedSinceMs }: EndpointRecord['addresses'][number],
  nowMs: number,
): AddressSnapshot {
  const seen = Object.entries(provenance).map(([source, by]) => [
    source,
    { firstSeenAgoMs: ageMs(by.firstSeenMs, nowMs), lastSeenAgoMs: ageMs(by.lastSeenMs, nowMs) },
  ]);
  return {
    address,
    isDead: false,
    ...given('interfaceStatus', provenance.interfaces?.status),
    ...given('lackedAgoMs', ago(lackedSinceMs, nowMs)),
    provenance: Object.fromEntries(seen),
  };
}

function sourceSnapshot(runner: SourceRunner, record: EndpointRecord, nowMs: number): SourceSnapshot {
  const { lastFailure, view, nextAttemptAtMs } = runner;
  return {
    source: runner.name,
    latest: runner.latest,
    isRunning: runner.isRunning,
    ...given('lastSuccessAgoMs', ago(record.confirmedAtMs[runner.name], nowMs)),
    ...given(
      'lastFailure',
      lastFailure && {
        reason: lastFailure.reason,
        detail: lastFailure.detail,
        agoMs: ageMs(lastFailure.atMs, nowMs),
      },
    ),
    consecutiveFailures: runner.consecutiveFailures,
    ...given('addresses', view?.addresses),
    ...given('isDoubtful', view?.isDoubtful),
    ...given(
      'nextAttemptInMs',
      nextAttemptAtMs === undefined ? undefined : Math.max(0, Math.round(nextAttemptAtMs - nowMs)),
    ),
    stats: runner.stats(),
  };
}

function ago(ms: number | undefined, nowMs: number): number | undefined {
  return ms === undefined ? undefined : ageMs(ms, nowMs);
}

/** A member that is left out when there is nothing to say. */
function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  if (value === undefined) return {};
  const member: { [P in K]?: V } = {};
  member[key] = value;
  return member;
}

/** What is wrong with one cluster, or about to be, as sentences for a person. */
const DAY_MS = 86_400_000;
/** dns-rules.md: endpoint names never expire, but age is told after 7 and 30 days. */
export const AGE_WARNINGS_MS = [7 * DAY_MS, 30 * DAY_MS] as const;

/** The last time that a source confirmed addresses; the cluster's details confirm none. */
export function lastConfirmedAtMs({ confirmedAtMs }: EndpointRecord): number | undefined {
  const times = SOURCE_NAMES.filter(isAddressSource).flatMap((name) => confirmedAtMs[name] ?? []);
  return times.length === 0 ? undefined : Math.max(...times);
}

const DOUBTFUL =
  'no interface has the exact description of the cluster: those whose description has its text within its VPC and subnets are taken, which is doubtful: compare them in EC2';

export function composeWarnings(parts: SnapshotParts): readonly string[] {
  const { record, settings, runners, comparison, refused, stateAheadMs } = parts;
  const warnings: string[] = [];
  const { endpoint, formerEndpoints, addresses, held } = record;
  if (endpoint === undefined) {
    warnings.push('the endpoint name is unknown: neither configured nor learned from DescribeCluster');
  } else if (addresses.length === 0) warnings.push('no address was ever learned for the endpoint');
  const described = otherEndpointOf(record);
  if (described !== undefined) {
    warnings.push(
      `the endpoint is configured as ${endpoint}, while AWS says ${described}: both are answered; correct it in clusters[].endpoint, or remove it`,
    );
  }
  if (formerEndpoints !== undefined) {
    const names = formerEndpoints.join(', ');
    warnings.push(`the endpoint was named ${names} before, which is answered with the same addresses`);
  }
  if (runners.some(({ view }) => view?.isDoubtful)) warnings.push(DOUBTFUL);
  warnings.push(...ageWarnings(parts), ...credentialWarnings(parts));
  if (stateAheadMs > 0) {
    warnings.push(
      `the state is ${durationText(stateAheadMs)} ahead of this clock: ages count from the start`,
    );
  }
  if (settings.pin.length > 0) warnings.push(...pinWarnings(settings.pin, comparison));
  else if (held !== undefined) warnings.push(heldWarning(held));
  for (const { address, lackedSinceMs } of addresses) {
    if (lackedSinceMs === undefined) continue;
    const since = durationText(ageMs(lackedSinceMs, parts.nowMs));
    warnings.push(
      `EC2 has not listed ${address} for ${since}: it stays until the listing has lacked it for an hour and the name has dropped it too`,
    );
  }
  for (const { address, reason } of refused) {
    warnings.push(`a source lists ${address}, which is refused: ${reason}`);
  }
  // with every source failing nothing is compared, and a cause found before would only mislead
  if (!record.lastRefreshFailed) warnings.push(...loopWarnings(parts), ...doubtWarnings(comparison));
  return warnings;
}

function ageWarnings({ record, runners, nowMs }: SnapshotParts): readonly string[] {
  const confirmedAtMs = lastConfirmedAtMs(record);
  const age = confirmedAtMs === undefined ? undefined : ageMs(confirmedAtMs, nowMs);
  if (record.lastRefreshFailed) {
    const since =
      age === undefined
        ? 'no source has ever confirmed anything'
        : `no source has confirmed anything for ${durationText(age)}`;
    const first = runners.find(({ name, latest }) => isAddressSource(name) && latest === 'failed');
    return [first?.lastFailure === undefined ? since : `${since}: ${first.lastFailure.detail}`];
  }
  const passed = AGE_WARNINGS_MS.findLast((limitMs) => (age ?? 0) > limitMs);
  return passed === undefined ? [] : [`no source has confirmed the addresses for ${durationText(passed)}`];
}

function credentialWarnings({ credentials, nowMs }: SnapshotParts): readonly string[] {
  if (!isInTrouble(credentials)) return [];
  const { condition, detail, sinceMs } = credentials;
  return [`the credentials for aws are ${condition}, for ${durationText(ageMs(sinceMs, nowMs))}: ${detail}`];
}

function heldWarning({ addresses, reason, awaits }: HeldChange): string {
  const change = addresses.join(', ');
  if (awaits === undefined) return `a change to ${change} is held back until it is repeated: ${reason}`;
  return `a change to ${change}, told by names alone and not by the interfaces, is held back until an interface source answers the same, the addresses are pinned, or that source is taken out of the cluster's sources: ${reason}`;
}

/** That one source only repeats what is served is not seen from what it says. */
function loopWarnings({ runners }: SnapshotParts): readonly string[] {
  return runners.flatMap(({ latest, lastFailure }) =>
    latest === 'failed' && lastFailure?.reason === 'looping' ? [lastFailure.detail] : [],
  );
}

function doubtWarnings(comparison: Comparison | undefined): readonly string[] {
  const { likelyCause, disagreement } = comparison ?? {};
  if (likelyCause !== undefined) return [CAUSE_TEXT[likelyCause]];
  if (disagreement === undefined) return [];
  const { onlyByName, onlyByInterfaces } = disagreement;
  return [
    `the sources disagree: only by name ${list(onlyByName)}, only by interfaces ${list(onlyByInterfaces)}`,
  ];
}

function pinWarnings(pin: readonly string[], comparison: Comparison | undefined): readonly string[] {
  const pinned = `the operator has pinned the addresses to ${pin.join(', ')}`;
  if (comparison === undefined || hasSameAddresses(comparison.candidate, pin)) return [pinned];
  return [`${pinned}, while the sources say ${list(comparison.candidate)}`];
}

function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'none' : addresses.join(', ');
}

function durationText(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 2) return `${Math.floor(ms / 1_000)} s`;
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 2 * 24 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / (24 * 60))} days`;
}
