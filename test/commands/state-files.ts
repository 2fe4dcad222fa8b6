import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { type Generation, statePath } from '../../src/store/state-backend.ts';
import { record } from '../store/record-sets.ts';

export const NOW_MS = Date.UTC(2026, 5, 1);
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** A record of `my-cluster` that `dns` confirmed a minute before `nowMs`. */
export function fresh(parts: Partial<EndpointRecord> = {}, nowMs = NOW_MS): EndpointRecord {
  const seenMs = nowMs - 60_000;
  return { ...record('my-cluster', ['10.0.1.10', '10.0.1.11'], seenMs), ...parts };
}

/** Writes a state file as the server would, and returns its directory. */
export async function writeState(
  directory: string,
  records: readonly EndpointRecord[],
  { nowMs = NOW_MS, from = 'current' as Generation, generation = 42 } = {},
): Promise<string> {
  await mkdir(directory, { recursive: true });
  const encoded = atOnce(ENDPOINTS.encode({ generation, writtenAtMs: nowMs - 60_000, content: records }));
  if (encoded.kind === 'refused') throw new Error(encoded.detail);
  await writeFile(statePath(directory, 'endpoints', from), encoded.octets);
  return directory;
}

/** Writes a configuration beside the state directory and returns its path. */
export async function writeConfig(directory: string, state: string, more = ''): Promise<string> {
  const path = join(directory, 'outpost-dns.yaml');
  const clusters = 'clusters: [{name: my-cluster, region: us-west-2}]';
  const upstreams = 'upstreams: [127.0.0.1:5391, 127.0.0.1:5392]';
  await writeFile(path, `${clusters}\n${upstreams}\nstate: {directory: ${JSON.stringify(state)}}\n${more}`);
  return path;
}
