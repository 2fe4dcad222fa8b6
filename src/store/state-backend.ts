/**
 * Keeps state in two generations behind one narrow interface. Another backend (an object store, a ConfigMap) is an
 * implementation of `StateBackend` beside `FileBackend`; src/README.md names its other places. Formats, the store and the
 * writer know only this interface. The ledger and the snapshot of answers stay on the disk: they may be lost. An unusable file
 * is set aside, never deleted.
 */
import { basename, dirname, join } from 'node:path';
import type { Random } from '../runtime/random.ts';
import {
  attempt,
  type FileSystem,
  type ReadOutcome,
  readWhole,
  removeLeftovers,
  replaceFile,
  syncDirectory,
  systemFiles,
} from './file-system.ts';
import { type Claim, type DirectoryLock, type Generation, statePath } from './state-directory.ts';
import { StoreError } from './store-messages.ts';

/** Reading alone, for commands. */
export interface StateReader {
  /** The place of a generation, in words that a person finds it by. */
  placeOf(name: string, generation: Generation): string;
  /** Never rejects. */
  read(name: string, generation: Generation, limitOctets: number): Promise<ReadOutcome>;
}

export interface StateBackend extends StateReader {
  /** Makes sure that no other process writes here. A new epoch says that another process may have written. Never rejects. */
  claim(): Promise<Claim>;
  /**
   * Makes `octets` the current generation, durably; the generation that was current becomes the previous generation. Throws
   * StoreError: the current generation is then the old or the new generation, whole.
   */
  replace(name: string, octets: Uint8Array, limitOctets: number): Promise<void>;
  /** Moves an unusable generation away, keeping what it holds; resolves to its new place. Throws StoreError. */
  setAside(fault: Fault, wallMs: number): Promise<string>;
  /** Removes the temporary files that a kill left during an earlier replacement. Never rejects. */
  tidy(name: string): Promise<void>;
}

/** Reads `<name>.json` and `<name>.previous.json` of a directory. */
export class FileReader implements StateReader {
  protected readonly directory: string;
  protected readonly files: FileSystem;

  constructor(directory: string, files: FileSystem = systemFiles) {
    this.directory = directory;
    this.files = files;
  }

  placeOf(name: string, generation: Generation): string {
    return statePath(this.directory, name, generation);
  }

  read(name: string, generation: Generation, limitOctets: number): Promise<ReadOutcome> {
    return readWhole(this.files, this.placeOf(name, generation), limitOctets);
  }
}

export interface FileBackendParts {
  readonly random: Random;
  readonly files?: FileSystem;
  /** Without a lock the directory is always ours. */
  readonly lock?: Pick<DirectoryLock, 'claim'>;
  readonly spare?: SpareFiles;
}

/** Files of the directory that may be lost: on a full disk they give their room to the state, the first of them first. */
export interface SpareFiles {
  readonly names: readonly string[];
  onRemoved(name: string): void;
}

/** A disk or a quota has no room. */
const FULL = new Set(['ENOSPC', 'EDQUOT']);

/** Keeps both generations as files of a directory, durably. */
export class FileBackend extends FileReader implements StateBackend {
  readonly #random: Random;
  readonly #lock: FileBackendParts['lock'];
  readonly #spare: SpareFiles | undefined;

  constructor(directory: string, { random, files, lock, spare }: FileBackendParts) {
    super(directory, files);
    this.#random = random;
    this.#lock = lock;
    this.#spare = spare;
  }

  async claim(): Promise<Claim> {
    return (await this.#lock?.claim()) ?? { kind: 'ours', epoch: 0 };
  }

  async replace(name: string, octets: Uint8Array, limitOctets: number): Promise<void> {
    const path = this.placeOf(name, 'current');
    const previousPath = this.placeOf(name, 'previous');
    const wanted = { path, previousPath, octets, limitOctets };
    for (const spare = [...(this.#spare?.names ?? [])]; ; )
      try {
        return await replaceFile(this.files, this.#random, wanted);
      } catch (error) {
        const isFull = error instanceof StoreError && FULL.has(error.code);
        if (!isFull || !(await this.#gaveRoom(spare))) throw error;
      }
  }

  /** Removes the first of these files that is there; false where none is. */
  async #gaveRoom(spare: string[]): Promise<boolean> {
    for (let name = spare.shift(); name !== undefined; name = spare.shift()) {
      const removed = await this.files.unlink(join(this.directory, name)).then(
        () => true,
        () => false,
      );
      if (!removed) continue;
      this.#spare?.onRemoved(name);
      return true;
    }
    return false;
  }

  setAside(fault: Fault, wallMs: number): Promise<string> {
    return setAside(this.files, fault, wallMs);
  }

  tidy(name: string): Promise<void> {
    return removeLeftovers(this.files, this.placeOf(name, 'current'));
  }
}

// Unusable state files are moved out of the way. Their new name tells the reason, and no file is ever deleted. A person may
// want to read these files, and a later version may be able to use them.

/** A file in the place of state that cannot be used. */
export interface Fault {
  readonly path: string;
  /** `newer`: written by a later version of ours; `unreadable`: the disk or the permissions refused. */
  readonly kind: 'corrupt' | 'foreign' | 'newer' | 'unreadable';
  /** A short slug: `checksum-mismatch`, `version-2`, `eacces`. */
  readonly reason: string;
  readonly detail: string;
}

/** A fault and the new place of the file, or why it could not be moved; neither while the file stays in its place. */
export interface LoadFault extends Fault {
  readonly setAsideTo?: string;
  readonly setAsideFailed?: string;
}

/** Sets a file aside. Resolves to the new path of the file, or throws StoreError. */
type SetAside = (fault: Fault) => Promise<string>;

/**
 * Handles the unusable files of one store. The store sets corrupt and foreign files aside when it finds them. A file of a later
 * version, or a file without read permission, stays until a write would replace the file. So an upgrade or a `chmod` finds the
 * file under its name.
 */
export class BlockedFiles {
  readonly #setAside: SetAside;
  readonly #onSetAside: ((fault: LoadFault) => void) | undefined;
  #blocked: Fault[] = [];

  /** `onSetAside` is called for each file that had stayed and has now been moved. */
  constructor(setAside: SetAside, onSetAside: ((fault: LoadFault) => void) | undefined) {
    this.#setAside = setAside;
    this.#onSetAside = onSetAside;
  }

  /** Takes a file that was found to be unusable. Never rejects. */
  async take(fault: Fault): Promise<LoadFault> {
    if (fault.kind === 'newer' || fault.kind === 'unreadable') {
      this.#blocked.push(fault);
      return fault;
    }
    try {
      return { ...fault, setAsideTo: await this.#setAside(fault) };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#blocked.push(fault);
      return { ...fault, setAsideFailed: error.message };
    }
  }

  /** Sets aside all files that stand where a write would replace them. Throws StoreError. */
  async clear(): Promise<void> {
    for (let fault = this.#blocked[0]; fault !== undefined; fault = this.#blocked[0]) {
      try {
        const setAsideTo = await this.#setAside(fault);
        this.#onSetAside?.({ ...fault, setAsideTo });
      } catch (error) {
        const isGone = error instanceof StoreError && error.code === 'ENOENT'; // a person has moved it meanwhile
        if (!isGone) throw error;
      }
      this.#blocked.shift();
    }
  }
}

const COMPARED = 10; // set-aside files, the newest first, that are searched for the same content
const COMPARED_OCTETS = 16 * 1024 * 1024; // larger ones are not read for that

/**
 * Renames the file to `<name>.<kind>-<UTC time>-<reason>` beside it and resolves to that path. Content that was set aside before
 * replaces its earlier copy, so that a file which comes back before every start is kept once. Throws StoreError.
 */
export async function setAside(files: FileSystem, fault: Fault, wallMs: number): Promise<string> {
  const directory = dirname(fault.path);
  const names = await attempt('list', directory, () => files.readdir(directory));
  const target = (await findSame(files, fault, names)) ?? freeName(fault, wallMs, names);
  const path = join(directory, target);
  await attempt('set aside', fault.path, () => files.rename(fault.path, path));
  await syncDirectory(files, directory);
  return path;
}

async function findSame(
  files: FileSystem,
  fault: Fault,
  names: readonly string[],
): Promise<string | undefined> {
  const content = await readWhole(files, fault.path, COMPARED_OCTETS);
  if (content.kind !== 'read') return undefined;
  const directory = dirname(fault.path);
  const prefix = `${basename(fault.path)}.${fault.kind}-`;
  const candidates = names.filter((name) => name.startsWith(prefix)).sort();
  for (const name of candidates.slice(-COMPARED).reverse()) {
    const other = await readWhole(files, join(directory, name), COMPARED_OCTETS);
    if (other.kind === 'read' && Buffer.compare(content.octets, other.octets) === 0) return name;
  }
  return undefined;
}

function freeName(fault: Fault, wallMs: number, names: readonly string[]): string {
  const time = new Date(wallMs)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
  const slug = fault.reason.replaceAll(/[^a-z0-9]+/g, '-').slice(0, 40);
  const name = `${basename(fault.path)}.${fault.kind}-${time}-${slug}`;
  const taken = new Set(names);
  if (!taken.has(name)) return name;
  let again = 2;
  while (taken.has(`${name}-${again}`)) again++;
  return `${name}-${again}`;
}

/**
 * Removes the files that were set aside of `path` as corrupt, except the newest `kept`: for bulk state alone, which is large.
 * Never throws: leftovers do no harm.
 */
export async function pruneSetAside(files: FileSystem, path: string, kept: number): Promise<void> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.corrupt-`;
  const names = await files.readdir(directory).catch((): string[] => []);
  // the time comes after the prefix, so that names sort by time
  const old = names.filter((name) => name.startsWith(prefix)).sort();
  for (const name of old.slice(0, Math.max(0, old.length - kept))) {
    await files.unlink(join(directory, name)).catch(() => undefined);
  }
}
