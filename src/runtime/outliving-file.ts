/**
 * A file that outlives the process, in the memory of the kernel: the folder of the service manager under /run (RuntimeDirectory=),
 * which a restart keeps and a reboot empties. No write to it waits for a disk.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface OutlivingFile {
  /** What the process before this one has left. It is no longer in the file. */
  readonly left: Uint8Array;
  /** Writes the first `length` octets at `position`. Throws the system's error. */
  write(octets: Uint8Array, length: number, position: number): void;
}

export type OpenedOutliving =
  | { readonly kind: 'open'; readonly file: OutlivingFile }
  /** The service manager gives no folder. */
  | { readonly kind: 'none' }
  | { readonly kind: 'failed'; readonly detail: string };

const MODE = 0o600;

/** `environment` names the folder: RUNTIME_DIRECTORY (systemd.exec(5)). At most `mostOctets` of the file are read. Never throws. */
export function openOutlivingFile(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
  mostOctets: number,
): OpenedOutliving {
  const directory = environment['RUNTIME_DIRECTORY']?.split(':')[0];
  if (directory === undefined || directory === '') return { kind: 'none' };
  const path = join(directory, name);
  try {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    // O_NONBLOCK: a pipe in the place of the file must not block the start
    const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, MODE);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new Error(`"${path}" is not a file`);
      const octets = new Uint8Array(Math.min(stat.size, mostOctets));
      const left = octets.subarray(0, readSync(fd, octets, 0, octets.length, 0));
      ftruncateSync(fd, 0);
      const write = (from: Uint8Array, length: number, position: number): void => {
        writeSync(fd, from, 0, length, position);
      };
      return { kind: 'open', file: { left, write } };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (error) {
    return { kind: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }
}
