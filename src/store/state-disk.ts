/**
 * The disk of the state directory, which may hang: a dead network disk returns neither data nor an error. An operation in progress
 * holds a thread of libuv's pool for as long, and lookups of names need the same threads. So few operations run at a time, and
 * the others wait. It knows no files, and gives no operation up: its caller decides how long to wait.
 */
import type { Log } from '../log/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { FewAtOnce } from '../runtime/threads.ts';
import type { Timers } from '../runtime/timers.ts';
import type { FileSystem, OpenFile } from './file-system.ts';
import { STORE_MESSAGES } from './store-messages.ts';

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
