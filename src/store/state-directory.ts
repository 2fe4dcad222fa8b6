/**
 * The state directory: the names of its files, whether files can be created in it, and which process may write there.
 *
 * Two processes that write would take turns in replacing each other's files, and lose endpoints. So a process claims the
 * directory; without the claim it reads and writes nothing. The claim is a POSIX record lock on `writer.lock`, which the
 * kernel drops with the process. So no `kill -9` and no power cut leaves a stale lock, and a reused pid never counts as a
 * holder. Containers that share the directory see each other's lock. Node offers no such lock, but its SQLite takes this
 * lock for a transaction that never writes, on a file that stays empty. Where the file system has no locks, an abstract Unix
 * socket named after the directory replaces the lock. It keeps apart all processes of this host and network namespace.
 */
import { constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import type { Random } from '../runtime/random.ts';
import {
  attempt,
  type FileSystem,
  probeWritable,
  type StateDisk,
  syncDirectory,
  systemFiles,
} from './file-system.ts';
import { type Failure, failureOf, StoreError } from './store-messages.ts';

export type Generation = 'current' | 'previous';

export function statePath(directory: string, name: string, generation: Generation): string {
  return join(directory, generation === 'current' ? `${name}.json` : `${name}.previous.json`);
}

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

export type Claim =
  /** `epoch` counts the claims of this process: before each, another process may have written the files. */
  | { readonly kind: 'ours'; readonly epoch: number; readonly doubt?: string }
  /** Another process keeps its state here. */
  | { readonly kind: 'taken'; readonly detail: string };

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
  #isDisposed = false;

  constructor(directory: string, disk: LockDisk = { run: (operation) => operation(), files: systemFiles }) {
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
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ path }, () => resolve(server));
  });
}
