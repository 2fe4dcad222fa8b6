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
