import type { EndpointRecord } from '../records/endpoint-record.ts';
import { compareRecords } from '../records/record-change.ts';
import { inOneStep } from '../runtime/slices.ts';
import { decodeEndpoints, type EndpointsFile, encodeEndpoints, MAX_FILE_OCTETS } from './endpoints-format.ts';
import type { FileSystem } from './file-system.ts';
import { type Generation, generationPath, readGenerations, type StateFormat } from './generation-reader.ts';
import type { Fault } from './set-aside.ts';

export type { Generation } from './generation-reader.ts';
export type { Fault } from './set-aside.ts';

/** Reads the endpoints' state without touching it: for the server's start, and for commands that look while nothing, or another process, runs. */

/** `endpoints.json`, for whatever keeps or reads a state in two generations. */
export const ENDPOINTS: StateFormat<readonly EndpointRecord[]> = {
  name: 'endpoints',
  maxOctets: MAX_FILE_OCTETS,
  encode: ({ content, ...rest }) => inOneStep(() => encodeEndpoints({ ...rest, records: content })),
  decode: (octets) =>
    inOneStep(() => {
      const decoded = decodeEndpoints(octets);
      if (decoded.kind !== 'ok') return decoded;
      const { records, ...rest } = decoded.file;
      return { kind: 'ok', file: { ...rest, content: records } };
    }),
  compare: (before, after) => inOneStep(() => compareRecords(before, after)),
  merge(ours, theirs) {
    const keyOf = ({ cluster, region }: EndpointRecord) => `${cluster} ${region ?? ''}`;
    const answering = new Set(ours.filter(({ addresses }) => addresses.length > 0).map(keyOf));
    const added = theirs.filter((record) => record.addresses.length > 0 && !answering.has(keyOf(record)));
    const replaced = new Set(added.map(keyOf));
    return [...ours.filter((record) => !replaced.has(keyOf(record))), ...added];
  },
  *answered(records) {
    for (const { cluster, region, endpoint, addresses } of records) {
      if (endpoint !== undefined && addresses.length > 0) yield `${endpoint} ${cluster} ${region ?? ''}`;
    }
  },
};

export interface Reading {
  /** The newest generation that is whole; absent when there is none. */
  readonly served?: EndpointsFile & { readonly from: Generation };
  readonly faults: readonly Fault[];
}

export function endpointsPath(directory: string, generation: Generation): string {
  return generationPath(directory, ENDPOINTS.name, generation);
}

/** The current generation, or the previous one where the current is missing or unusable. Faults are values; never rejects. */
export async function readEndpoints(files: FileSystem, directory: string): Promise<Reading> {
  const { served, faults } = await readGenerations(files, directory, ENDPOINTS);
  if (served === undefined) return { faults };
  const { content, ...rest } = served;
  return { served: { ...rest, records: content }, faults };
}
