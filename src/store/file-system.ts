/**
 * Offers the disk as an argument: the operations that the store needs, the one error of the store, and a disk whose operations may
 * hang. It knows no files.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '../log/log.ts';
import { FewAtOnce } from '../runtime/background.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import { STORE_MESSAGES } from './store-messages.ts';

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

/** An action on a file of the state directory that failed. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** The system's own code (`ENOSPC`, `EROFS`, `EACCES`, `EIO`, ...), or one of ours in the same form. */
  readonly code: string;
  /** The action that failed, a verb phrase: `fsync`, `create directory`. */
  readonly action: string;
  readonly path: string;

  constructor(action: string, path: string, code: string, detail?: string) {
    super(`${action} "${path}": ${detail ?? code}`);
    this.code = code;
    this.action = action;
    this.path = path;
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
  const code = systemCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  // Node appends the call and both paths to the reason; the text of StoreError has them already
  const detail = error.message.split(/, \w+(?: '|$)/, 1)[0] ?? code;
  return new StoreError(action, path, code, detail);
}

/** A failed action as an outcome. */
export interface Failure {
  readonly kind: 'failed';
  /** As in StoreError; `INTERNAL` for a defect. */
  readonly code: string;
  readonly detail: string;
}

export function failureOf(error: unknown): Failure {
  const code = error instanceof StoreError ? error.code : 'INTERNAL';
  return { kind: 'failed', code, detail: error instanceof Error ? error.message : String(error) };
}

/** The `code` of an error that the operating system gave, or that Node gave about one. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof StoreError) return undefined;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

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
