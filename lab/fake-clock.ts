/** libfaketime in one process: its clock is changed from outside while it runs. */
import { accessSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { atTheEnd } from './commands.ts';

const LIBRARY_FOLDERS = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(
  (triplet) => `/usr/lib/${triplet}/faketime`,
);
/** The build for programs with threads. */
const LIBRARY = 'libfaketimeMT.so.1';

export interface FakeClockOptions {
  /** Whether CLOCK_MONOTONIC moves as well: as if the process had stopped, or had run faster. */
  readonly movesMonotonic: boolean;
  /** Such as `+0`, `-10y`, `+8d`, `+0 x20`: the library's own words. */
  readonly at: string;
}

export class FakeClock {
  readonly environment: Readonly<Record<string, string>>;
  readonly #path: string;

  constructor(folder: string, { movesMonotonic, at }: FakeClockOptions) {
    this.#path = join(folder, 'faketime');
    this.set(at);
    this.environment = {
      LD_PRELOAD: libraryPath(),
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_CACHE_DURATION: '1', // s, before the file is read again
      FAKETIME_DONT_FAKE_MONOTONIC: movesMonotonic ? '0' : '1',
      NO_FAKE_STAT: '1', // the times of files stay as they are
    };
  }

  /** The library's shared memory stays when its process ends: the lab removes it at its end. */
  forget(pid: number): void {
    atTheEnd(() => {
      for (const name of [`sem.faketime_sem_${pid}`, `faketime_shm_${pid}`])
        rmSync(join('/dev/shm', name), { force: true });
    });
  }

  /** Takes effect within a second. */
  set(at: string): void {
    writeFileSync(`${this.#path}.new`, `${at}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function libraryPath(): string {
  for (const folder of LIBRARY_FOLDERS) {
    const path = join(folder, LIBRARY);
    try {
      accessSync(path);
      return path;
    } catch {
      // another architecture's
    }
  }
  throw new Error(`no ${LIBRARY} in ${LIBRARY_FOLDERS.join(', ')}`);
}
