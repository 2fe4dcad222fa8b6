/**
 * Keeps state in two generations behind one narrow interface. Another backend (an object store, a ConfigMap) is an
 * implementation of `StateBackend` beside `FileBackend`, and one line in daemon/store-rooms.ts. Formats, the store and the
 * writer know only this interface. The ledger and the snapshot of answers stay on the disk: they may be lost.
 */
import type { Random } from '../runtime/random.ts';
import { type ReadOutcome, readWhole, removeLeftovers, replaceFile } from './atomic-file.ts';
import { type FileSystem, systemFiles } from './file-system.ts';
import { type Fault, setAside } from './set-aside.ts';
import { type Claim, type DirectoryLock, type Generation, statePath } from './state-directory.ts';

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
}

/** Keeps both generations as files of a directory, durably. */
export class FileBackend extends FileReader implements StateBackend {
  readonly #random: Random;
  readonly #lock: FileBackendParts['lock'];

  constructor(directory: string, { random, files, lock }: FileBackendParts) {
    super(directory, files);
    this.#random = random;
    this.#lock = lock;
  }

  async claim(): Promise<Claim> {
    return (await this.#lock?.claim()) ?? { kind: 'ours', epoch: 0 };
  }

  replace(name: string, octets: Uint8Array, limitOctets: number): Promise<void> {
    const path = this.placeOf(name, 'current');
    const previousPath = this.placeOf(name, 'previous');
    return replaceFile(this.files, this.#random, { path, previousPath, octets, limitOctets });
  }

  setAside(fault: Fault, wallMs: number): Promise<string> {
    return setAside(this.files, fault, wallMs);
  }

  tidy(name: string): Promise<void> {
    return removeLeftovers(this.files, this.placeOf(name, 'current'));
  }
}
