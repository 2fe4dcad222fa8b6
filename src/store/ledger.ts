/**
 * Writes the ledger: one line for each event with its time, for a person who asks in the morning or in half a year.
 *
 *     record -> queue -> [ rotate ] -> append, fsync
 *
 * The ledger never throws at its caller and never makes the caller wait. A disk that is full or hangs costs events; the next line
 * reports how many. Each append opens the file, so that the ledger notices when another program moves, removes or truncates the
 * file; events are rare enough for that. The writer decides when a write happens (writer.ts).
 */
import { constants } from 'node:fs';
import type { Log } from '../log/log.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import {
  attempt,
  closing,
  type FileSystem,
  moveAway,
  type OpenFile,
  readTail,
  renameOver,
  syncDirectory,
  systemFiles,
} from './file-system.ts';
import { composeLine, type LedgerEvent, type LineParts } from './ledger-format.ts';
import { findLedgerEnd, ledgerPath } from './ledger-reader.ts';
import { failureOf, STORE_MESSAGES, StoreError } from './store-messages.ts';
import { type WriteEnd, Writer, type WriterState } from './writer.ts';

export interface LedgerOptions {
  readonly directory: string;
  /** The largest size of a file. Default 1 MiB. */
  readonly maxOctets?: number;
  /** The number of older files that are kept. Default 4. */
  readonly olderFiles?: number;
  /** The most events that wait for the disk; further ones are lost. Default 1,000. */
  readonly maxQueued?: number;
}

export interface LedgerParts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly files?: FileSystem;
}

export interface LedgerState extends Pick<WriterState, 'failures' | 'lastFailure'> {
  /** The number of the last written line; 0 before the first line. */
  readonly sequence: number;
  readonly queued: number;
  /** Events written, and lost, by this process. */
  readonly written: number;
  readonly lost: number;
}

/** The end of the file after the last append. */
interface End {
  readonly sizeOctets: number;
  readonly isTorn: boolean;
}

const FILE_MODE = 0o640; // addresses are no secret, but no other user needs them
// O_NONBLOCK: a pipe in the place of the file must not block the writer
const APPEND =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CLOSE_WAIT_MS = 1_000;
const MESSAGES = { failing: STORE_MESSAGES.ledgerFails, recovered: STORE_MESSAGES.ledgerWritten };
const LINE_FEED = Uint8Array.of(0x0a);

export class Ledger {
  readonly #directory: string;
  readonly #maxOctets: number;
  readonly #olderFiles: number;
  readonly #maxQueued: number;
  readonly #clock: Clock;
  readonly #files: FileSystem;
  readonly #writer: Writer<WriteEnd>;

  readonly #queue: Omit<LineParts, 'sequence'>[] = [];
  #isClosed = false;
  /** The number of events lost since the last event that entered the queue. */
  #lostBefore = 0;
  #end: End | undefined;
  #sequence = 0;
  #written = 0;
  #lost = 0;

  constructor(options: LedgerOptions, parts: LedgerParts) {
    this.#directory = options.directory;
    this.#maxOctets = options.maxOctets ?? 1024 * 1024;
    this.#olderFiles = options.olderFiles ?? 4;
    this.#maxQueued = options.maxQueued ?? 1000;
    this.#clock = parts.clock;
    this.#files = parts.files ?? systemFiles;
    this.#writer = new Writer({ write: () => this.#writeAll(), messages: MESSAGES }, parts);
  }

  /** Records that `event` happened `agoMs` ago. Returns at once; never throws. Keeps `event`: do not change it afterwards. */
  record(event: LedgerEvent, agoMs = 0): void {
    if (this.#isClosed || this.#queue.length >= this.#maxQueued) {
      this.#lost++;
      this.#lostBefore++;
    } else {
      this.#queue.push({ atMs: this.#clock.wallMs() - agoMs, lost: this.#lostBefore, event });
      this.#lostBefore = 0;
    }
    if (!this.#isClosed) this.#writer.start();
  }

  /** Resolves once all recorded events are on the disk, or could not be written. Never rejects. */
  flush(): Promise<void> {
    if (this.#queue.length > 0 && !this.#writer.isWriting) this.#writer.start();
    return this.#writer.ended();
  }

  /** As `flush`, but waits a second at most. Later events are not recorded. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#writer.stop(CLOSE_WAIT_MS, () => this.flush());
  }

  /** For metrics and the status. */
  state(): LedgerState {
    const { failures, lastFailure } = this.#writer.state();
    return {
      sequence: this.#sequence,
      queued: this.#queue.length,
      written: this.#written,
      lost: this.#lost,
      failures,
      lastFailure,
    };
  }

  async #writeAll(): Promise<WriteEnd> {
    if (this.#queue.length === 0) return { kind: 'unchanged' };
    try {
      while (this.#queue.length > 0) {
        if (!(await this.#append())) await this.#rotate();
      }
      return { kind: 'written' };
    } catch (error) {
      this.#end = undefined;
      if (!(error instanceof StoreError)) this.#dropAll();
      return failureOf(error);
    }
  }

  /** Appends the lines that fit into the file; false where not even one does. */
  async #append(): Promise<boolean> {
    const path = ledgerPath(this.#directory, 0);
    const file = await attempt('open', path, () => this.#files.open(path, APPEND, FILE_MODE));
    return closing(file, path, () => this.#appendTo(file, path));
  }

  async #appendTo(file: OpenFile, path: string): Promise<boolean> {
    const end = await this.#endOf(file, path);
    const { chunks, lines } = this.#compose(end);
    if (lines.length === 0) return false;
    await this.#put(file, path, Buffer.concat(chunks), end, lines);
    await attempt('fsync', path, () => file.sync());
    return true;
  }

  /** The end after the last append, or as the disk shows it where another program has changed the file. */
  async #endOf(file: OpenFile, path: string): Promise<End> {
    const stat = await attempt('stat', path, () => file.stat());
    if (!stat.isFile()) throw new StoreError('append to', path, 'EINVAL', 'not a file');
    if (this.#end?.sizeOctets === stat.size) return this.#end;
    const found = await findLedgerEnd(this.#files, this.#directory);
    this.#sequence = Math.max(this.#sequence, found.sequence);
    return { sizeOctets: stat.size, isTorn: found.isTorn };
  }

  /** The lines that fit after `end`, with a line feed first where a torn line has to be closed. */
  #compose({ sizeOctets, isTorn }: End): { chunks: Uint8Array[]; lines: number[] } {
    const chunks: Uint8Array[] = isTorn ? [LINE_FEED] : [];
    const lines: number[] = []; // lengths in octets
    let total = sizeOctets + (isTorn ? 1 : 0);
    for (const waiting of this.#queue) {
      const line = composeLine({ ...waiting, sequence: this.#sequence + lines.length + 1 });
      const isFirst = total === 0; // an empty file takes any line
      if (!isFirst && total + line.length > this.#maxOctets) break;
      chunks.push(line);
      lines.push(line.length);
      total += line.length;
    }
    return { chunks, lines };
  }

  async #put(file: OpenFile, path: string, octets: Uint8Array, end: End, lines: readonly number[]) {
    let at = 0;
    try {
      while (at < octets.length) {
        const { bytesWritten } = await attempt('append to', path, () =>
          file.write(octets, at, octets.length - at),
        );
        if (bytesWritten === 0) throw new StoreError('append to', path, 'EIO', 'no octet was taken');
        at += bytesWritten;
      }
      this.#end = { sizeOctets: end.sizeOctets + octets.length, isTorn: false };
    } finally {
      this.#settle(at - (end.isTorn ? 1 : 0), lines);
    }
  }

  /** Removes from the queue the lines that lie whole within `octets`; the ledger tries the other lines again. */
  #settle(octets: number, lines: readonly number[]): void {
    let whole = 0;
    let left = octets;
    for (const length of lines) {
      left -= length;
      if (left < -1) break; // a line that lacks only its line feed is closed by the next append
      whole++;
    }
    this.#queue.splice(0, whole);
    this.#sequence += whole;
    this.#written += whole;
  }

  /**
   * Removes the oldest file and renames the others; a kill in between only leaves a gap in the numbers. A directory in the place
   * of an older file is moved away: it would end the ledger.
   */
  async #rotate(): Promise<void> {
    this.#end = undefined;
    const mark = Math.trunc(this.#clock.wallMs()).toString(16);
    for (let age = this.#olderFiles; age >= 1; age--) {
      const [from, to] = [ledgerPath(this.#directory, age - 1), ledgerPath(this.#directory, age)];
      const { kind } = await readTail(this.#files, from, 0);
      if (kind === 'not-a-file') await moveAway(this.#files, mark, from);
      else await this.#renameIfThere(mark, from, to);
    }
    await syncDirectory(this.#files, this.#directory);
  }

  async #renameIfThere(mark: string, from: string, to: string): Promise<void> {
    try {
      await renameOver(this.#files, mark, 'rotate', from, to);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'ENOENT')) throw error;
    }
  }

  /** Drops the queue after a defect: otherwise a single event could keep out all later events. */
  #dropAll(): void {
    const dropped = this.#queue.splice(0);
    this.#lost += dropped.length;
    this.#lostBefore += dropped.reduce((sum, { lost }) => sum + 1 + lost, 0);
  }
}
