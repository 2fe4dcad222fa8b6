/** One cluster's refresher in virtual time, with scripted sources. */
import type { Evidence } from '../../src/link/link-monitor.ts';
import { addressesOf, type EndpointRecord } from '../../src/records/endpoint-record.ts';
import { ClusterRefresher } from '../../src/refresh/cluster-refresher.ts';
import type { ClusterSettings } from '../../src/refresh/cluster-sources.ts';
import type { Change } from '../../src/refresh/reconcile/changes.ts';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { clusterSettings, evenRandom, ScriptedSource, times } from './scripted-source.ts';

export const [A, B, C, D, E, F] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'];

export function setUp(
  sources: readonly ScriptedSource[],
  record?: EndpointRecord,
  base: ClusterSettings = clusterSettings(),
) {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const evidence: Evidence[] = [];
  const changes: Change[] = [];
  const published: string[][] = [];
  const settings = { ...base, sources };
  const refresher: ClusterRefresher = new ClusterRefresher({
    settings,
    times,
    record: record ?? emptyRecord(settings.name, settings.region),
    clock: time,
    timers: time,
    random: evenRandom,
    log,
    evidence: (given) => evidence.push(given),
    onRecord: (changed) => {
      changes.push(...changed);
      published.push([...addressesOf(refresher.record)]);
    },
  });
  const served = () => addressesOf(refresher.record);
  return { time, log, evidence, changes, published, refresher, served, settings };
}

/** As loaded from disk: served, and not confirmed in this process. */
export function serving(...addresses: readonly string[]): EndpointRecord {
  const seen = { firstSeenMs: -1_000, lastSeenMs: -1_000 };
  return {
    ...emptyRecord('my-cluster', 'us-west-2'),
    endpoint: 'api.example',
    addresses: addresses.map((address) => ({ address, provenance: { dns: seen } })),
    basis: 'name',
    confirmedAtMs: { dns: -1_000 },
  };
}

export function pair(dns: ScriptedSource['script'], interfaces: ScriptedSource['script']) {
  return [new ScriptedSource('dns', dns), new ScriptedSource('interfaces', interfaces)] as const;
}
