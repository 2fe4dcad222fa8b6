/**
 * The disk as the store needs it: its operations as an argument, files that are replaced whole, and a disk whose operations may
 * hang. It knows no state: neither what a file holds nor when it is written.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Log } from '../log/log.ts';
import { FewAtOnce } from '../runtime/background.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { systemCode, systemText } from '../runtime/system-errors.ts';
import { STORE_MESSAGES, StoreError } from './store-messages.ts';

/** An open file. Writes, and reads without a position, continue where the last one ended. */
export interface OpenFile {
  stat(): Promise<{ readonly size: number; isFile(): boolean }>;
  read(
    into: Uint8Array,
    offset: number,
    length: number,
    position?: number,
  ): Promise<{ readonly bytesRead: number }>;
  write(octets: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A test makes each of these operations fail, or cuts the power between two. */
export interface FileSystem {
  /** `flags` are the O_* constants of node:fs. */
  open(path: string, flags: number, mode?: number): Promise<OpenFile>;
  link(existing: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** The names in a directory. */
  readdir(directory: string): Promise<string[]>;
  /** Resolves to the first directory that had to be created, if any. */
  mkdir(
    directory: string,
    options: { readonly recursive: true; readonly mode: number },
  ): Promise<string | undefined>;
}

export const systemFiles: FileSystem = {
  open: openFile,
  link: (existing, path) => link(existing, path),
  rename: (from, to) => rename(from, to),
  unlink: (path) => unlink(path),
  readdir: (directory) => readdir(directory),
  mkdir: (directory, options) => mkdir(directory, options),
};

/**
 * A new file belongs to the owner of its directory: root may start the server by hand, and the service has to read the state that
 * this server leaves.
 */
async function openFile(path: string, flags: number, mode?: number): Promise<FileHandle> {
  const file = await open(path, flags, mode);
  const isNew = (flags & constants.O_EXCL) !== 0;
  if (isNew && process.getuid?.() === 0) await handOver(file, dirname(path));
  return file;
}

/** Without the right to do so, such as in a container, the file stays root's. */
async function handOver(file: FileHandle, directory: string): Promise<void> {
  try {
    const { uid, gid } = await stat(directory);
    if (uid !== 0) await file.chown(uid, gid);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}

/** Runs a file operation; an error of the system becomes a StoreError that names the action, any other error is a defect and passes. */
export async function attempt<T>(action: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storeErrorFrom(action, path, error);
  }
}

/** The error to throw for a failed operation: a StoreError where the system gave `error`, otherwise `error` itself. */
export function storeErrorFrom(action: string, path: string, error: unknown): unknown {
  const code = error instanceof StoreError ? undefined : systemCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  // Node appends the call and both paths to the reason; the text of StoreError has them already
  const detail = systemText(error).split(/, \w+(?: '|$)/, 1)[0] ?? code;
  return new StoreError(action, path, code, detail);
}

// Replaces files whole: after any failure or power cut the file holds the old octets or the new octets. Once `replaceFile` has
// resolved, the file holds the new octets.
//
//     write temp, fsync -> link current to temp' -> rename temp over current -> rename temp' over previous -> fsync directory
//
// The previous generation is replaced last, after the new generation has its name. If the current file were rotten and
// became "previous" first, there would be a moment without a good generation. Once both names exist, both exist at every
// moment. A disk that makes these renames durable in another order still shows two whole files, because each file was synced
// before it got a name.

const FILE_MODE = 0o640; // addresses and CA are no secret, but no other user needs them
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface Replacement {
  readonly path: string;
  /** Gets the content that `path` held until now; in the same directory. Without it that content is not kept. */
  readonly previousPath?: string;
  /** Whole, or in parts: each part is written before the next is asked for, so that one buffer is enough. */
  readonly octets: Uint8Array | AsyncIterable<Uint8Array>;
  /** The largest size of `path`, for disks that keep its content only by a copy. Default: any size. */
  readonly limitOctets?: number;
}

/**
 * Replaces a file durably, and keeps its old content. Throws StoreError, or the error of a part that it cannot compose; `path`
 * then holds the old octets or the new octets, whole.
 */
export async function replaceFile(files: FileSystem, random: Random, wanted: Replacement): Promise<void> {
  const { path, previousPath, limitOctets = Number.POSITIVE_INFINITY } = wanted;
  await discardLeft(files, path);
  const fresh = temporaryPath(path, random);
  const old = temporaryPath(path, random);
  try {
    await writeNew(files, fresh, wanted.octets);
    const kept =
      previousPath !== undefined && (await keep(files, path, old, limitOctets)) ? previousPath : undefined;
    await renameOver(files, hex(random), 'rename new file to', fresh, path);
    if (kept !== undefined) await renameOver(files, hex(random), 'rename old file to', old, kept);
    await syncDirectory(files, dirname(path));
  } catch (error) {
    // after a failed fsync the kernel may call the pages clean although they never reached the disk: a retry needs a new file
    for (const temporary of [fresh, old])
      if (!(await discard(files, temporary))) leftOn(files).add(temporary);
    throw error;
  }
}

/** Temporary files of failed attempts that could not be removed, of each disk. */
const left = new WeakMap<FileSystem, Set<string>>();

function leftOn(files: FileSystem): Set<string> {
  const known = left.get(files) ?? new Set();
  left.set(files, known);
  return known;
}

/** Throws StoreError where they still cannot be: attempts would fill a disk that takes new files and lets none go. */
async function discardLeft(files: FileSystem, path: string): Promise<void> {
  const known = leftOn(files);
  for (const temporary of known) {
    if (!isTemporaryOf(path, temporary)) continue;
    await attempt('remove the file of a failed attempt', temporary, () => remove(files, temporary));
    known.delete(temporary);
  }
}

/**
 * A directory that stands where the file belongs is moved away, kept beside it: no later replacement would work either.
 * `mark` tells such directories apart.
 */
export async function renameOver(
  files: FileSystem,
  mark: string,
  action: string,
  from: string,
  to: string,
): Promise<void> {
  const rename = () => attempt(action, to, () => files.rename(from, to));
  await rename().catch(async (error: unknown) => {
    if (!(error instanceof StoreError) || error.code !== 'EISDIR') throw error;
    await moveAway(files, mark, to);
    await rename();
  });
}

/** Moves a directory away that stands in the place of a file. */
export function moveAway(files: FileSystem, mark: string, path: string): Promise<void> {
  return attempt('set aside', path, () => files.rename(path, `${path}.foreign-${mark}-not-a-file`));
}

async function writeNew(files: FileSystem, path: string, octets: Replacement['octets']): Promise<void> {
  const file = await attempt('create', path, () => files.open(path, NEW_FILE, FILE_MODE));
  await closing(file, path, async () => {
    const parts = octets instanceof Uint8Array ? [octets] : octets;
    for await (const part of parts) await writeAll(file, path, part);
    await attempt('fsync', path, () => file.sync());
  });
}

async function writeAll(file: OpenFile, path: string, octets: Uint8Array): Promise<void> {
  for (let at = 0; at < octets.length; ) {
    const { bytesWritten } = await attempt('write', path, () => file.write(octets, at, octets.length - at));
    if (bytesWritten === 0) throw new StoreError('write', path, 'EIO', 'no octet was taken');
    at += bytesWritten;
  }
}

/** Disks without hard links, files at their limit of them, and files of another owner (fs.protected_hardlinks). */
const CANNOT_LINK = new Set(['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

async function keep(files: FileSystem, path: string, to: string, limitOctets: number): Promise<boolean> {
  try {
    await files.link(path, to);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return false;
    if (code === undefined || !CANNOT_LINK.has(code)) {
      throw storeErrorFrom('link', path, error);
    }
    return keepByCopy(files, path, to, limitOctets);
  }
}

async function keepByCopy(
  files: FileSystem,
  path: string,
  to: string,
  limitOctets: number,
): Promise<boolean> {
  const current = await readWhole(files, path, limitOctets);
  if (current.kind === 'absent' || current.kind === 'not-a-file') return false;
  if (current.kind === 'failed') throw current.error;
  if (current.kind !== 'read') throw new StoreError('copy', path, 'EINVAL', current.kind);
  await writeNew(files, to, current.octets);
  return true;
}

/** Tries whether a replacement could begin: creates and removes an empty file beside `path`. Throws StoreError. */
export async function probeWritable(files: FileSystem, random: Random, path: string): Promise<void> {
  const probe = temporaryPath(path, random);
  const file = await attempt('create file in', dirname(path), () => files.open(probe, NEW_FILE, FILE_MODE));
  await closing(file, probe, async () => {});
  await discard(files, probe);
}

/** Makes the names in a directory durable. Throws StoreError. */
export async function syncDirectory(files: FileSystem, directory: string): Promise<void> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  const handle = await attempt('open directory', directory, () => files.open(directory, flags));
  await closing(handle, directory, async () => {
    try {
      await handle.sync();
    } catch (error) {
      // some network and host-shared file systems cannot sync a directory at all
      if (systemCode(error) === 'EINVAL') return;
      throw storeErrorFrom('fsync directory', directory, error);
    }
  });
}

/**
 * Opens a file for reading, runs `use` and closes the file; never blocks on a pipe or device that stands in its place. Throws
 * StoreError, or the error of `use`.
 */
export async function withOpened<T>(
  files: FileSystem,
  path: string,
  use: (file: OpenFile) => Promise<T>,
): Promise<T> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  const file = await attempt('open', path, () => files.open(path, flags));
  return closing(file, path, () => use(file));
}

export type ReadOutcome =
  | { readonly kind: 'read'; readonly octets: Uint8Array }
  | { readonly kind: 'absent' }
  | { readonly kind: 'too-large' }
  | { readonly kind: 'not-a-file' }
  | { readonly kind: 'failed'; readonly error: StoreError };

/** Reads a file of at most `limitOctets`; never blocks on a pipe or device that stands in its place. */
export async function readWhole(files: FileSystem, path: string, limitOctets: number): Promise<ReadOutcome> {
  return reading(files, path, (file) => readOpened(file, path, limitOctets));
}

async function reading(
  files: FileSystem,
  path: string,
  read: (file: OpenFile) => Promise<ReadOutcome>,
): Promise<ReadOutcome> {
  try {
    return await withOpened(files, path, read);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return error.code === 'ENOENT' ? { kind: 'absent' } : { kind: 'failed', error };
  }
}

/** Reads at most the last `maxOctets` of a file of any size. */
export async function readTail(files: FileSystem, path: string, maxOctets: number): Promise<ReadOutcome> {
  return reading(files, path, async (file) => {
    const stat = await attempt('stat', path, () => file.stat());
    if (!stat.isFile()) return { kind: 'not-a-file' };
    const octets = new Uint8Array(Math.min(stat.size, maxOctets));
    const length = await readInto(file, path, octets, stat.size - octets.length);
    return { kind: 'read', octets: octets.subarray(0, length) };
  });
}

async function readOpened(file: OpenFile, path: string, limitOctets: number): Promise<ReadOutcome> {
  const stat = await attempt('stat', path, () => file.stat());
  if (!stat.isFile()) return { kind: 'not-a-file' };
  if (stat.size > limitOctets) return { kind: 'too-large' };
  const octets = new Uint8Array(stat.size);
  const length = await readInto(file, path, octets);
  return { kind: 'read', octets: octets.subarray(0, length) };
}

/**
 * Fills `octets` from `position`, or from where the last read ended. Resolves to the number of octets read, which is smaller
 * at the end of the file. Throws StoreError.
 */
export async function readInto(
  file: OpenFile,
  path: string,
  octets: Uint8Array,
  position?: number,
): Promise<number> {
  let length = 0;
  while (length < octets.length) {
    const at = position === undefined ? undefined : position + length;
    const { bytesRead } = await attempt('read', path, () =>
      file.read(octets, length, octets.length - length, at),
    );
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

/** Runs `run` on an open file and closes the file. Throws StoreError, or the error of `run`. */
export async function closing<T>(file: OpenFile, path: string, run: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await run();
  } catch (error) {
    await file.close().catch(ignore); // the first error is the one to report
    throw error;
  }
  await attempt('close', path, () => file.close()); // a full network disk may report that only now
  return result;
}

function temporaryPath(path: string, random: Random): string {
  return join(dirname(path), `.${basename(path)}.${hex(random)}.tmp`);
}

/** Sixteen digits. */
function hex(random: Random): string {
  const word = () => random.uint32().toString(16).padStart(8, '0');
  return `${word()}${word()}`;
}

const TEMPORARY = /^\.(?<file>.+)\.[0-9a-f]{16}\.tmp$/;

/** Removes the temporary files that a kill left of earlier replacements of `path`. Never throws: leftovers do no harm. */
export async function removeLeftovers(files: FileSystem, path: string): Promise<void> {
  const directory = dirname(path);
  const names = await files.readdir(directory).catch((): string[] => []);
  for (const name of names) {
    const found = join(directory, name);
    if (isTemporaryOf(path, found)) await discard(files, found);
  }
}

function isTemporaryOf(path: string, temporary: string): boolean {
  const file = TEMPORARY.exec(basename(temporary))?.groups?.['file'];
  return file === basename(path) && dirname(temporary) === dirname(path);
}

/** Resolves to whether the file is gone. */
function discard(files: FileSystem, path: string): Promise<boolean> {
  return remove(files, path).then(
    () => true,
    () => false,
  );
}

async function remove(files: FileSystem, path: string): Promise<void> {
  await files.unlink(path).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
  });
}

function ignore(): void {}

// The disk of the state directory, which may hang: a dead network disk returns neither data nor an error. An operation in progress
// holds a thread of libuv's pool for as long, and lookups of names need the same threads. So few operations run at a time, and
// the others wait. It gives no operation up: its caller decides how long to wait.

/** Of the four threads that libuv's pool has at least. */
const AT_ONCE = 2;
/** Longer than a healthy disk takes to sync a snapshot of answers, or to start after a rest. */
const HANGS_MS = 10_000;

export interface StateDiskParts {
  readonly directory: string;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly log: Log;
}

interface Operation {
  readonly begunAtMs: number;
}

export class StateDisk {
  /** `files`, a few operations at a time. */
  readonly files: FileSystem;
  readonly #parts: StateDiskParts;
  readonly #gate = new FewAtOnce(AT_ONCE);
  /** In progress, the oldest first. */
  readonly #running = new Set<Operation>();
  /** While an operation is in progress, until a hang has been said. */
  #timer: Disposable | undefined;
  #isHanging = false;

  constructor(files: FileSystem, parts: StateDiskParts) {
    this.#parts = parts;
    this.files = {
      open: async (...words) => this.#offer(await this.run(() => files.open(...words))),
      link: (...words) => this.run(() => files.link(...words)),
      rename: (...words) => this.run(() => files.rename(...words)),
      unlink: (path) => this.run(() => files.unlink(path)),
      readdir: (directory) => this.run(() => files.readdir(directory)),
      mkdir: (...words) => this.run(() => files.mkdir(...words)),
    };
  }

  /** Runs an operation on the disk when it is its turn. */
  run<T>(operation: () => Promise<T>): Promise<T> {
    return this.#gate.run(async () => {
      const running = { begunAtMs: this.#parts.clock.monotonicMs() };
      this.#running.add(running);
      if (!this.#isHanging) this.#watch();
      try {
        return await operation();
      } finally {
        this.#running.delete(running);
        this.#noteEnd();
      }
    });
  }

  /** For how long the disk has not answered; `undefined` while it answers. */
  get hangsForMs(): number | undefined {
    const [oldest] = this.#running;
    const forMs = oldest === undefined ? 0 : this.#parts.clock.monotonicMs() - oldest.begunAtMs;
    return forMs < HANGS_MS ? undefined : forMs;
  }

  #offer(file: OpenFile): OpenFile {
    return {
      stat: () => this.run(() => file.stat()),
      read: (...words) => this.run(() => file.read(...words)),
      write: (...words) => this.run(() => file.write(...words)),
      sync: () => this.run(() => file.sync()),
      close: () => this.run(() => file.close()),
    };
  }

  #watch(): void {
    this.#timer ??= this.#parts.timers.after(HANGS_MS, () => {
      this.#timer = undefined;
      if (this.hangsForMs === undefined) return this.#watch();
      const { directory, log } = this.#parts;
      this.#isHanging = true;
      STORE_MESSAGES.diskHangs(log, { directory });
    });
  }

  #noteEnd(): void {
    if (this.#running.size === 0) {
      this.#timer?.[Symbol.dispose]();
      this.#timer = undefined;
    }
    if (!this.#isHanging || this.hangsForMs !== undefined) return;
    this.#isHanging = false;
    const { directory, log } = this.#parts;
    STORE_MESSAGES.diskAnswers(log, { directory });
  }
}
