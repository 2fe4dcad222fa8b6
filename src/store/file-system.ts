/** Offers the disk as an argument: the operations that the store needs, and the one error of the store. */
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

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

/** The `code` of an error that the operating system gave, or that Node gave about one. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof StoreError) return undefined;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
