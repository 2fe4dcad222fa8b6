/** What is wrong with one cluster, or about to be, as sentences for a person. */
import { otherEndpointOf } from '../records/cluster-identity.ts';
import type { EndpointRecord, HeldChange } from '../records/endpoint-record.ts';
import { isAddressSource } from '../records/sources.ts';
import type { SnapshotParts } from './cluster-snapshot.ts';
import { isInTrouble } from './credential-state.ts';
import { CAUSE_TEXT, type Comparison } from './reconcile/compare.ts';
import { hasSameAddresses } from './reconcile/guard.ts';
import { ageMs } from './reconcile/timeline.ts';

const DAY_MS = 86_400_000;
/** dns-rules.md: endpoint names never expire, but age is told after 7 and 30 days. */
export const AGE_WARNINGS_MS = [7 * DAY_MS, 30 * DAY_MS] as const;

/** The last time that a source confirmed addresses; the cluster's details confirm none. */
export function lastConfirmedAtMs({ confirmedAtMs }: EndpointRecord): number | undefined {
  const { dns, route53, interfaces, kubernetes } = confirmedAtMs;
  const times = [dns, route53, interfaces, kubernetes].filter((ms) => ms !== undefined);
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
  return `a change to ${change}, told by names alone and not by the interfaces, is held back until an interface source answers the same or the addresses are pinned: ${reason}`;
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
