/** What a person wants to know about one cluster, as plain data for the status: ages instead of times. */
import type { EndpointRecord, SourceName } from '../store/endpoint-record.ts';
import type { ClusterSettings } from './cluster-settings.ts';
import type { Change } from './reconcile/changes.ts';
import { CAUSE_TEXT, type Comparison, type LikelyCause } from './reconcile/compare.ts';
import { hasSameAddresses, type Refusal } from './reconcile/guard.ts';
import type { Plan } from './reconcile/plan.ts';
import { ageMs } from './reconcile/timeline.ts';
import type { LastFailure, SourceRunner, SourceStats } from './source-runner.ts';

export interface ClusterSnapshot {
  readonly cluster: string;
  readonly region?: string;
  readonly endpoint?: string;
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
  readonly stats: ClusterStats;
  readonly nowMs: number;
}

const DAY_MS = 86_400_000;
/** dns-rules.md: endpoint names never expire, but age is told after 7 and 30 days. */
export const AGE_WARNINGS_MS = [7 * DAY_MS, 30 * DAY_MS] as const;

export function composeSnapshot(parts: SnapshotParts): ClusterSnapshot {
  const { record, runners, comparison, refused, stats, nowMs } = parts;
  const { cluster, region, endpoint, basis, ttlSeconds, lastRefreshFailed } = record;
  const { changedAtMs, held, details } = record;
  const confirmedAtMs = lastConfirmedAtMs(record);
  return {
    cluster,
    ...given('region', region),
    ...given('endpoint', endpoint),
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

/** The last time that a source confirmed addresses; the cluster's details confirm none. */
export function lastConfirmedAtMs({ confirmedAtMs }: EndpointRecord): number | undefined {
  const { dns, route53, interfaces, kubernetes } = confirmedAtMs;
  const times = [dns, route53, interfaces, kubernetes].filter((ms) => ms !== undefined);
  return times.length === 0 ? undefined : Math.max(...times);
}

function addressSnapshot(
  { address, provenance }: EndpointRecord['addresses'][number],
  nowMs: number,
): AddressSnapshot {
  const seen = Object.entries(provenance).map(([source, by]) => [
    source,
    { firstSeenAgoMs: ageMs(by.firstSeenMs, nowMs), lastSeenAgoMs: ageMs(by.lastSeenMs, nowMs) },
  ]);
  return { address, isDead: false, provenance: Object.fromEntries(seen) };
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
    ...given(
      'nextAttemptInMs',
      nextAttemptAtMs === undefined ? undefined : Math.max(0, Math.round(nextAttemptAtMs - nowMs)),
    ),
    stats: runner.stats(),
  };
}

function composeWarnings({ record, settings, comparison, refused, nowMs }: SnapshotParts): readonly string[] {
  const warnings: string[] = [];
  const { endpoint, addresses, held } = record;
  if (endpoint === undefined) {
    warnings.push('the endpoint name is unknown: neither configured nor learned from DescribeCluster');
  } else if (addresses.length === 0) warnings.push('no address was ever learned for the endpoint');
  const ageOfTruthMs = ago(lastConfirmedAtMs(record), nowMs);
  const passed = AGE_WARNINGS_MS.findLast((limitMs) => (ageOfTruthMs ?? 0) > limitMs);
  if (passed !== undefined)
    warnings.push(`no source has confirmed the addresses for ${passed / DAY_MS} days`);
  if (held !== undefined) {
    warnings.push(
      `a change to ${held.addresses.join(', ')} is held back until it is repeated: ${held.reason}`,
    );
  }
  if (settings.pin.length > 0) warnings.push(...pinWarnings(settings.pin, comparison));
  for (const { address, reason } of refused) {
    warnings.push(`a source lists ${address}, which is refused: ${reason}`);
  }
  // with every source failing nothing is compared, and a cause found before would only mislead
  if (!record.lastRefreshFailed) warnings.push(...doubtWarnings(comparison));
  return warnings;
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
