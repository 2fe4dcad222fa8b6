import type { EndpointRecord } from '../../../src/records/endpoint-record.ts';
import type { AddressSource } from '../../../src/records/sources.ts';
import { refusalsBy, type SourceState } from '../../../src/refresh/reconcile/decision.ts';
import { emptyRecord, type PlanSettings } from '../../../src/refresh/reconcile/plan.ts';

export const [A, B, C, D] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
export const NOW_MS = 1_000_000;

export const settings: PlanSettings = {
  endpoint: 'api.example',
  pin: [],
  refusalOf: refusalsBy(['10.0.0.0/8']),
  confirmAfterMs: 15_000,
  maximumAgeMs: { dns: 155_000, route53: 920_000, interfaces: 920_000, kubernetes: 200_000 },
};

export function saw(
  source: AddressSource,
  addresses: readonly string[],
  { ttlSeconds, agoMs = 0 }: { ttlSeconds?: number; agoMs?: number } = {},
): SourceState {
  return { source, latest: 'succeeded', view: { addresses, ttlSeconds, observedAtMs: NOW_MS - agoMs } };
}

export function fails(source: AddressSource, failure: SourceState['failure'] = 'timeout'): SourceState {
  return { source, latest: 'failed', failure };
}

/** A record that `dns` and `interfaces` agreed on a minute ago. */
export function serving(addresses: readonly string[], more: Partial<EndpointRecord> = {}): EndpointRecord {
  const seen = { firstSeenMs: 1_000, lastSeenMs: NOW_MS - 60_000 };
  return {
    ...emptyRecord('my-cluster', 'us-west-2'),
    endpoint: 'api.example',
    addresses: addresses.map((address) => ({ address, provenance: { dns: seen, interfaces: seen } })),
    ttlSeconds: 60,
    basis: 'name',
    changedAtMs: 1_000,
    confirmedAtMs: { dns: NOW_MS - 60_000, interfaces: NOW_MS - 60_000 },
    ...more,
  };
}
