import { dirname, resolve } from 'node:path';
import type { Random } from '../runtime/random.ts';
import { probeWritable, syncDirectory } from './atomic-file.ts';
import { endpointsPath } from './endpoints-reader.ts';
import { type FileSystem, systemFiles } from './file-system.ts';
import { attempt, StoreError } from './store-error.ts';

const DIRECTORY_MODE = 0o750;

export type DirectoryOutcome =
  | { readonly kind: 'ready'; readonly isNew: boolean }
  /** `code` is the system's: `EACCES`, `EROFS`, `ENOTDIR`, ... What the directory holds may still be readable. */
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string };

/** Creates the state directory where it is missing, durably, and tries whether files can be created in it. Loading does not need this. */
export async function prepareDirectory(
  directory: string,
  random: Random,
  files: FileSystem = systemFiles,
): Promise<DirectoryOutcome> {
  try {
    const first = await attempt('create directory', directory, () =>
      files.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE }),
    );
    if (first !== undefined) await syncParents(files, resolve(directory), resolve(first));
    await probeWritable(files, random, endpointsPath(directory, 'current'));
    return { kind: 'ready', isNew: first !== undefined };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { kind: 'failed', code: error.code, detail: error.message };
  }
}

/** A new directory is as lasting as its entry in its parent: sync each, from the lowest to the one that was there. */
async function syncParents(files: FileSystem, lowest: string, first: string): Promise<void> {
  for (let at = lowest; at.length >= first.length; at = dirname(at)) await syncDirectory(files, dirname(at));
}
