import { link, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';

/** An open file, as far as the store uses one; writes, and reads without a position, go on from where the last one ended. */
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

/** The operations that the store asks of a disk, as one argument: a test makes each of them fail, or cuts the power between two. */
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
  open: (path, flags, mode) => open(path, flags, mode),
  link: (existing, path) => link(existing, path),
  rename: (from, to) => rename(from, to),
  unlink: (path) => unlink(path),
  readdir: (directory) => readdir(directory),
  mkdir: (directory, options) => mkdir(directory, options),
};

/** The store's one error: an action on a file of the state directory that failed. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** The system's own code (`ENOSPC`, `EROFS`, `EACCES`, `EIO`, ...), or one of ours in the same form. */
  readonly code: string;
  /** What was being done, a verb phrase: `fsync`, `create directory`. */
  readonly action: string;
  readonly path: string;

  constructor(action: string, path: string, code: string, detail?: string) {
    super(`${action} "${path}": ${detail ?? code}`);
    this.code = code;
    this.action = action;
    this.path = path;
  }
}

/** Runs one file operation; a system error becomes a StoreError that names the action, anything else is a bug and passes. */
export async function attempt<T>(action: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw storeErrorFrom(action, path, error);
  }
}

/** The error to throw for a failed operation; one that no system gave comes back as it is. */
export function storeErrorFrom(action: string, path: string, error: unknown): unknown {
  const code = systemCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  // Node appends the call and both paths to the reason; ours are in the text already.
  const detail = error.message.split(/, \w+(?: '|$)/, 1)[0] ?? code;
  return new StoreError(action, path, code, detail);
}

/** The `code` of an error that the operating system gave, or that Node gave about one. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof StoreError) return undefined;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
