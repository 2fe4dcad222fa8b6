/** The state after an earlier run of the server. */

import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import { systemClock, systemTimers } from '../../src/runtime/clock.ts';
import { systemRandom } from '../../src/runtime/random.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { FileBackend, prepareDirectory } from '../../src/store/state-backend.ts';
import { StateStore } from '../../src/store/state-store.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { DEMO, ENDPOINT } from './site.ts';

const DAY_MS = 86_400_000;

export function keptRecord(addresses: readonly string[] = DEMO, daysAgo = 3): EndpointRecord {
  const atMs = Date.now() - daysAgo * DAY_MS;
  const seen = { firstSeenMs: atMs - DAY_MS, lastSeenMs: atMs };
  return {
    cluster: 'demo',
    region: 'us-west-2',
    endpoint: ENDPOINT.toLowerCase(),
    addresses: addresses.map((address) => ({ address, provenance: { dns: seen, interfaces: seen } })),
    ttlSeconds: 60,
    basis: 'name',
    changedAtMs: atMs - DAY_MS,
    confirmedAtMs: { dns: atMs, interfaces: atMs },
    lastRefreshFailed: false,
  };
}

/** Saves generation after generation; the last one is current. */
export async function keepState(
  directory: string,
  ...generations: readonly (readonly EndpointRecord[])[]
): Promise<void> {
  await prepareDirectory(directory, systemRandom);
  const backend = new FileBackend(directory, { random: systemRandom });
  const parts = { clock: systemClock, timers: systemTimers, log: new CollectingLog() };
  const store = new StateStore(ENDPOINTS, backend, parts);
  for (const records of generations) {
    const outcome = await store.save(records);
    if (outcome.kind !== 'saved') throw new Error(`state not saved: ${outcome.kind}`);
  }
}
