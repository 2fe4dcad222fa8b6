/**
 * Keeps state in two generations behind one narrow interface. Another backend (an object store, a ConfigMap) is an
 * implementation of `StateBackend` beside `FileBackend`; src/README.md names its other places. Formats, the store and the
 * writer know only this interface. The ledger and the snapshot of answers stay on the disk: they may be lost. An unusable file
 * is set aside, never deleted. At the end: the directory of the files, which one process claims.
 */
import { constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Random } from '../runtime/random.ts';
import { systemCode } from '../runtime/system-errors.ts';
import {
  attempt,
  type FileSystem,
  probeWritable,
  type ReadOutcome,
  readWhole,
  removeLeftovers,
  replaceFile,
  type StateDisk,
  syncDirectory,
  systemFiles,
} from './file-system.ts';
import { type Fault, setAside } from './set-aside.ts';
import { type Failure, failureOf, StoreError } from './store-messages.ts';

export type Generation = 'current' | 'previous';

export function statePath(directory: string, name: string, generation: Generation): string {
  return join(directory, generation === 'current' ? `${name}.json` : `${name}.previous.json`);
}

export type Claim =
  /** `epoch` counts the claims of this process: before each, another process may have written the files. */
  | { readonly kind: 'ours'; readonly epoch: number; readonly doubt?: string }
  /** Another process keeps its state here. */
  | { readonly kind: 'taken'; readonly detail: string };

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

// Unusable files in the place of state.

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

// The state directory: whether files can be created in it, and which process may write there.
//
// Two processes that write would take turns in replacing each other's files, and lose endpoints. So a process claims the
// directory; without the claim it reads and writes nothing. The claim is a POSIX record lock on `writer.lock`, which the
// kernel drops with the process. So no `kill -9` and no power cut leaves a stale lock, and a reused pid never counts as a
// holder. Containers that share the directory see each other's lock. Node offers no such lock, but its SQLite takes this
// lock for a transaction that never writes, on a file that stays empty. Where the file system has no locks, an abstract Unix
// socket named after the directory replaces the lock. It keeps apart all processes of this host and network namespace.

const DIRECTORY_MODE = 0o750;

export type DirectoryOutcome =
  | { readonly kind: 'ready'; readonly isNew: boolean }
  /** Files in the directory may still be readable. */
  | Failure;

/** Creates the state directory where it is missing, durably, and tries whether files can be created in it. Loading works without. */
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
    await probeWritable(files, random, statePath(directory, 'endpoints', 'current'));
    return { kind: 'ready', isNew: first !== undefined };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return failureOf(error);
  }
}

/** A new directory is as durable as its entry in its parent: syncs each parent, from the lowest to the first that existed. */
async function syncParents(files: FileSystem, lowest: string, first: string): Promise<void> {
  for (let at = lowest; at.length >= first.length; at = dirname(at)) await syncDirectory(files, dirname(at));
}

const SQLITE_BUSY = 5;
/** The file cannot be opened, or not for writing: the disk is full or read-only, or the process has no descriptor left. It may pass. */
const MAY_PASS: readonly unknown[] = [8, 14]; // SQLITE_READONLY, SQLITE_CANTOPEN
/** The lowest octet of an error of SQLite says its kind. */
const KIND_OF_ERROR = 0xff;

interface Held extends Disposable {
  /** Why two processes might not notice each other. */
  readonly doubt?: string;
  /** The lock on the file is to be tried again. */
  readonly mayPass?: boolean;
}

type LockDisk = Pick<StateDisk, 'run' | 'files'>;

/** Keeps the databases from the garbage collector, which would close them and give up the lock. */
const heldForGood = new Set<object>();

export class DirectoryLock implements Disposable {
  readonly #path: string;
  readonly #directory: string;
  #held: Held | undefined;
  /** The file that the lock is on, and its directory: either may be replaced, or come back after it was gone. */
  #identity: string | undefined;
  #epoch = 0;
  #claiming: Promise<Claim> | undefined;
  #latest: Claim | undefined;
  readonly #disk: LockDisk;
  readonly #onReplaced: () => void;
  #isDisposed = false;

  /** `onReplaced` is called when the directory, or the file of the lock, is no more the one that was claimed. */
  constructor(
    directory: string,
    disk: LockDisk = { run: (operation) => operation(), files: systemFiles },
    onReplaced: () => void = () => undefined,
  ) {
    this.#onReplaced = onReplaced;
    this.#directory = directory;
    this.#disk = disk;
    this.#path = join(directory, 'writer.lock');
  }

  /** Makes sure that the directory is still ours: it may have been replaced. Never rejects. */
  claim(): Promise<Claim> {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = undefined;
    });
    return this.#claiming;
  }

  /** The result of the latest claim; `undefined` before any. */
  get latest(): Claim | undefined {
    return this.#latest;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#release();
  }

  async #claim(): Promise<Claim> {
    const isInPlace = this.#held !== undefined && this.#identity === (await this.#identityNow());
    if (!isInPlace && this.#held !== undefined) this.#onReplaced();
    if (!isInPlace) this.#release();
    else if (this.#held?.mayPass !== true) return this.#ours();
    if (!isInPlace) await this.#makeDirectory();
    // SQLite works in this thread, which must not wait for a disk that hangs: the same calls wait in the pool before
    await this.#disk.run(() => tryOpen(this.#path));
    const locked = this.#isDisposed ? 'given up' : await lockFile(this.#path);
    // a file that could not be locked a moment ago, and cannot be now
    if (typeof locked === 'object' && 'why' in locked && this.#held !== undefined) return this.#ours();
    this.#release();
    const outcome =
      typeof locked === 'object' && 'why' in locked ? await lockSocket(this.#directory, locked) : locked;
    if (typeof outcome === 'string') {
      this.#latest = { kind: 'taken', detail: `lock "${this.#path}": ${outcome}` };
      return this.#latest;
    }
    this.#held = outcome;
    this.#identity = await this.#identityNow();
    this.#epoch += 1;
    return this.#ours();
  }

  /** The start has made it: one that is missing was removed since, and what is known would end with this process. */
  async #makeDirectory(): Promise<void> {
    const isMade = await this.#disk.run(() =>
      mkdir(this.#directory, { mode: DIRECTORY_MODE }).then(
        () => true,
        () => false,
      ),
    );
    if (!isMade) return;
    await syncDirectory(this.#disk.files, dirname(resolve(this.#directory))).catch(() => undefined);
  }

  async #identityNow(): Promise<string> {
    return this.#disk.run(async () => `${await identityOf(this.#path)} ${await identityOf(this.#directory)}`);
  }

  #ours(): Claim {
    const doubt = this.#held?.doubt;
    this.#latest = { kind: 'ours', epoch: this.#epoch, ...(doubt === undefined ? {} : { doubt }) };
    return this.#latest;
  }

  #release(): void {
    this.#held?.[Symbol.dispose]();
    this.#held = undefined;
  }
}

/** `files`, except that changes fail with EBUSY where the directory is not ours. */
export function guardedFiles(files: FileSystem, lock: DirectoryLock): FileSystem {
  const owned = async <T>(run: () => Promise<T>): Promise<T> => {
    const claim = await lock.claim();
    if (claim.kind === 'taken') throw Object.assign(new Error(`EBUSY: ${claim.detail}`), { code: 'EBUSY' });
    return run();
  };
  return {
    ...files,
    open: (path, flags, mode) =>
      (flags & (constants.O_WRONLY | constants.O_RDWR)) === 0
        ? files.open(path, flags, mode)
        : owned(() => files.open(path, flags, mode)),
    link: (existing, path) => owned(() => files.link(existing, path)),
    rename: (from, to) => owned(() => files.rename(from, to)),
    unlink: (path) => owned(() => files.unlink(path)),
  };
}

/** Opens the file of the lock, where it is there, and closes it: that would drop a lock of this process, and there is none. */
async function tryOpen(path: string): Promise<void> {
  const file = await open(path, constants.O_RDWR | constants.O_NONBLOCK).catch(() => undefined);
  await file?.close().catch(() => undefined);
}

/** Device and inode. */
async function identityOf(path: string): Promise<string | undefined> {
  return stat(path, { bigint: true }).then(
    ({ dev, ino }) => `${dev}:${ino}`,
    () => undefined,
  );
}

interface NoLock {
  readonly why: string;
  readonly mayPass: boolean;
}

/** Resolves to the lock, to who has it, or to the reason why nobody can have it. */
async function lockFile(path: string): Promise<Held | string | NoLock> {
  try {
    const { DatabaseSync } = await import('node:sqlite'); // loaded late, because not every runtime has it
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('PRAGMA journal_mode = MEMORY'); // on disk the journal would be a second file
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      throw error;
    }
    heldForGood.add(database);
    return {
      [Symbol.dispose]: () => {
        if (heldForGood.delete(database)) database.close();
      },
    };
  } catch (error) {
    const code =
      error instanceof Error && 'errcode' in error ? Number(error.errcode) & KIND_OF_ERROR : undefined;
    if (code === SQLITE_BUSY) return 'held by another process; fuser names it';
    return { why: error instanceof Error ? error.message : String(error), mayPass: MAY_PASS.includes(code) };
  }
}

async function lockSocket(directory: string, { why, mayPass }: NoLock): Promise<Held | string> {
  const identity = await identityOf(directory);
  const doubt = `${why}; a second server on another host, or in another container, would not be noticed`;
  const nothing: Held = { doubt, mayPass, [Symbol.dispose]: () => undefined };
  if (identity === undefined || process.platform !== 'linux') return nothing;
  const outcome = await bind(`\0outpost-dns-state-${identity}`);
  if (outcome === 'EADDRINUSE') return 'held by another process of this host';
  if (typeof outcome === 'string') return nothing;
  return {
    doubt,
    mayPass,
    [Symbol.dispose]: () => {
      outcome.close();
    },
  };
}

function bind(path: string): Promise<Server | string> {
  const server = createServer((connection) => connection.destroy());
  server.unref();
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(systemCode(error) ?? error.message));
    server.listen({ path }, () => resolve(server));
  });
}
