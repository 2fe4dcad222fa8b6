import { join } from 'node:path';
import { readWhole } from './atomic-file.ts';
import { decodeEndpoints, type EndpointsFile, MAX_FILE_OCTETS } from './endpoints-format.ts';
import type { FileSystem } from './file-system.ts';

/** Reads the state without touching it: for the server's start, and for commands that look while nothing, or another process, runs. */

export type Generation = 'current' | 'previous';

export function endpointsPath(directory: string, generation: Generation): string {
  return join(directory, generation === 'current' ? 'endpoints.json' : 'endpoints.previous.json');
}

/** A file that stands where the state should, and could not be served from. */
export interface Fault {
  readonly path: string;
  /** `newer`: written by a later version of ours; `unreadable`: the disk or the permissions refused. */
  readonly kind: 'corrupt' | 'foreign' | 'newer' | 'unreadable';
  /** A short slug: `checksum-mismatch`, `version-2`, `eacces`. */
  readonly reason: string;
  readonly detail: string;
}

export interface Reading {
  /** The newest generation that is whole; absent when there is none. */
  readonly served?: EndpointsFile & { readonly from: Generation };
  readonly faults: readonly Fault[];
}

/** The current generation, or the previous one where the current is missing or unusable. Faults are values; never rejects. */
export async function readEndpoints(files: FileSystem, directory: string): Promise<Reading> {
  const faults: Fault[] = [];
  for (const from of ['current', 'previous'] as const) {
    const read = await readGeneration(files, endpointsPath(directory, from));
    if (read === undefined) continue;
    if ('records' in read) return { served: { ...read, from }, faults };
    faults.push(read);
  }
  return { faults };
}

async function readGeneration(files: FileSystem, path: string): Promise<EndpointsFile | Fault | undefined> {
  const outcome = await readWhole(files, path, MAX_FILE_OCTETS);
  switch (outcome.kind) {
    case 'absent':
      return undefined;
    case 'failed':
      return {
        path,
        kind: 'unreadable',
        reason: outcome.error.code.toLowerCase(),
        detail: outcome.error.message,
      };
    case 'too-large':
      return { path, kind: 'corrupt', reason: 'too-large', detail: `more than ${MAX_FILE_OCTETS} octets` };
    case 'not-a-file':
      return {
        path,
        kind: 'foreign',
        reason: 'not-a-file',
        detail: 'a directory or device stands in its place',
      };
    case 'read':
      return readDecoded(path, outcome.octets);
  }
}

function readDecoded(path: string, octets: Uint8Array): EndpointsFile | Fault {
  const decoded = decodeEndpoints(octets);
  if (decoded.kind === 'ok') return decoded.file;
  if (decoded.kind === 'newer') {
    const reason = `version-${decoded.version}`;
    return { path, kind: 'newer', reason, detail: `written by a later version: format ${decoded.version}` };
  }
  return { path, ...decoded };
}
