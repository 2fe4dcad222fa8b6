/**
 * Keeps forwarded answers through a restart: bulk state, which may be lost, beside the critical state, which may not.
 *
 *     start:  answers.snapshot -> prove a block -> bring its ages up to date -> cache.load ... -> cache.restoreOrder
 *     after a change, soon after a cut begins, and at the end:
 *             cache.entries -> blocks -> a new file in place of the old
 *
 * All of it happens in slices of a millisecond, between queries. It knows nothing of DNS. No error here keeps an answer from
 * being served: a damaged file is loaded up to the damage, set aside, and written again. Never more than one block of the file
 * is in memory.
 */
import { join } from 'node:path';
import type { Log } from '../log/log.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { type Pause, type SliceFigures, Slices } from '../runtime/slices.ts';
import {
  attempt,
  type FileSystem,
  type OpenFile,
  readInto,
  removeLeftovers,
  replaceFile,
  systemFiles,
  withOpened,
} from './file-system.ts';
import { type Fault, pruneSetAside, setAside } from './set-aside.ts';
import {
  agedEntry,
  entryOctets,
  FRAME_OCTETS,
  HEADER_OCTETS,
  MAX_BLOCK_OCTETS,
  parseBlock,
  parseHeader,
  passedSince,
  payloadLength,
  proveBlock,
  SnapshotComposer,
  type SnapshotEntry,
  type SnapshotHeader,
  scopeOf,
  UNKNOWN,
} from './snapshot-format.ts';
import { BlockedFiles, type LoadFault } from './state-backend.ts';
import { faultOf, newerFault } from './state-format.ts';
import { type Failure, failureOf, STORE_MESSAGES, StoreError } from './store-messages.ts';
import { Writer } from './writer.ts';

/** The seam to the answer cache; ages and idle times in ms. */
export interface SnapshotCache {
  /** Changes with every change that is worth a write. */
  readonly revision: number;
  stats(): { readonly entries: number };
  /** In the order of use, the last used first; `undefined` is a chance to pause. */
  entries(nowMs: number): Iterable<SnapshotEntry | undefined>;
  load(entry: SnapshotEntry, nowMs: number): LoadVerdict;
  /** Run it to its end after loading; each step is a chance to pause. */
  restoreOrder(nowMs: number): Iterable<undefined>;
}

export type LoadVerdict = 'kept' | 'expired' | 'superseded' | 'full' | 'refused';

export interface AnswersSnapshotOptions {
  readonly directory: string;
  /** The bound of the file, which is the bound of the cache. */
  readonly sizeOctets: number;
  /** Names the servers that are asked: answers of another scope are loaded as stale. Only compared, never kept. */
  readonly scope: string;
}

export interface AnswersSnapshotParts {
  readonly cache: SnapshotCache;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly pause: Pause;
  readonly files?: FileSystem;
  /** Called for each file that had stayed in its place and has now been moved. */
  readonly onSetAside?: (fault: LoadFault) => void;
}

export interface SnapshotLoad extends SliceFigures {
  readonly verdicts: Readonly<Record<LoadVerdict, number>>;
  /** The fault of the file; its content before the fault is loaded all the same. */
  readonly fault?: LoadFault;
  readonly durationMs: number;
}

interface WrittenSnapshot extends SliceFigures {
  readonly kind: 'written';
  readonly answers: number;
  readonly octets: number;
  readonly durationMs: number;
}

/** After a failure the disk holds its content from before. */
export type SnapshotWrite = WrittenSnapshot | { readonly kind: 'unchanged' } | Failure;

/** For metrics and status. */
export interface SnapshotState {
  readonly loaded?: SnapshotLoad;
  readonly lastWrite?: WrittenSnapshot;
  /** Monotonic ms at which the last write ended. */
  readonly writtenAtMs?: number;
  readonly writeFailures: number;
  readonly lastFailure?: { readonly code: string; readonly detail: string } | undefined;
}

export const SNAPSHOT_FILE = 'answers.snapshot';
/** With the time of the write itself, a crash loses less than a minute of a small cache. */
const WRITE_EVERY_MS = 50_000;
const MESSAGES = { failing: STORE_MESSAGES.snapshotFails, recovered: STORE_MESSAGES.snapshotWritten };
const SLICE_MS = 1;
const STOP_WAIT_MS = 10_000; // a disk may hang
const SET_ASIDE_KEPT = 2; // for a person who asks why; each may be as large as the cache

export class AnswersSnapshot {
  readonly #path: string;
  readonly #parts: AnswersSnapshotParts;
  readonly #files: FileSystem;
  #sizeOctets: number;
  #scope: string;
  readonly #blocked: BlockedFiles;
  readonly #writer: Writer<SnapshotWrite>;
  /** The revision in the file; `undefined` where the file has to be written in any case. */
  #writtenRevision: number | undefined;
  #loading: Promise<SnapshotLoad> | undefined;
  #isLoaded = false;
  #isStopped = false;
  #state: Omit<SnapshotState, 'writeFailures' | 'lastFailure'> = {};

  constructor(options: AnswersSnapshotOptions, parts: AnswersSnapshotParts) {
    this.#path = join(options.directory, SNAPSHOT_FILE);
    this.#sizeOctets = options.sizeOctets;
    this.#scope = options.scope;
    this.#parts = parts;
    this.#files = parts.files ?? systemFiles;
    this.#writtenRevision = parts.cache.revision;
    this.#blocked = new BlockedFiles((fault) => this.#setAside(fault), parts.onSetAside);
    const everyMs = { paceMs: WRITE_EVERY_MS, retryMs: WRITE_EVERY_MS };
    this.#writer = new Writer({ write: () => this.#write(), messages: MESSAGES, ...everyMs }, parts);
  }

  /** Loads the file, and from then on writes changes. Resolves when all is loaded; never rejects. */
  start(): Promise<SnapshotLoad> {
    this.#loading ??= this.#load().then((load) => {
      this.#isLoaded = !this.#isStopped;
      this.#state = { ...this.#state, loaded: load };
      this.#planNext();
      return load;
    });
    return this.#loading;
  }

  reconfigure({ sizeOctets, scope }: Omit<AnswersSnapshotOptions, 'directory'>): void {
    this.#sizeOctets = sizeOctets;
    if (scope !== this.#scope) this.#writtenRevision = undefined;
    this.#scope = scope;
  }

  /** Writes changes now. Writes nothing before all is loaded, because the file on the disk is better until then. */
  async write(): Promise<SnapshotWrite> {
    return this.#isLoaded ? this.#writer.now() : { kind: 'unchanged' };
  }

  /** Notes that a cut has begun: the writer saves the cache as soon as the pace of the disk allows. */
  noteCut(): void {
    if (this.#isLoaded) this.#writer.at(this.#writer.earliestMs(true));
  }

  /** Ends loading, writes changes once more, and does nothing from then on. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#writer.stop(STOP_WAIT_MS, async () => {
      await this.#loading;
      await this.write();
      this.#isLoaded = false;
    });
  }

  state(): SnapshotState {
    const { failures: writeFailures, lastFailure } = this.#writer.state();
    return { ...this.#state, writeFailures, lastFailure };
  }

  async #load(): Promise<SnapshotLoad> {
    const { clock, pause, log } = this.#parts;
    const startedMs = clock.monotonicMs();
    const slices = new Slices(clock, pause, SLICE_MS);
    const verdicts = { kept: 0, expired: 0, superseded: 0, full: 0, refused: 0 };
    const found = await this.#read(slices, verdicts);
    await removeLeftovers(this.#files, this.#path);
    if (found !== undefined) this.#writtenRevision = undefined;
    const fault = found && (await this.#blocked.take(found));
    const durationMs = clock.monotonicMs() - startedMs;
    if (fault !== undefined) STORE_MESSAGES.snapshotUnusable(log, { ...fault, ...verdicts });
    else STORE_MESSAGES.snapshotLoaded(log, { ...verdicts, durationMs });
    return { verdicts, durationMs, ...slices.figures, ...(fault === undefined ? {} : { fault }) };
  }

  async #read(slices: Slices, verdicts: Record<LoadVerdict, number>): Promise<Fault | undefined> {
    const { cache, clock } = this.#parts;
    // one moment for all entries, because the wall clock may be set meanwhile
    const nowMs = clock.monotonicMs();
    const wallMs = clock.wallMs();
    const scope = scopeOf(this.#scope);
    try {
      const fault = await readSnapshot(this.#files, this.#path, async (entries, header) => {
        const passed = scope.equals(header.scope) ? passedSince(header.writtenAtMs, wallMs) : UNKNOWN;
        slices.begin();
        for (const entry of entries) {
          if (slices.isOver) await slices.next();
          if (this.#isStopped) return false;
          const verdict = cache.load(agedEntry(entry, passed), nowMs);
          verdicts[verdict]++;
          if (verdict === 'full') return false;
        }
        slices.end();
        return true;
      });
      slices.begin();
      for (const _ of cache.restoreOrder(clock.monotonicMs())) if (slices.isOver) await slices.next();
      slices.end();
      return fault;
    } catch (error) {
      // a file that triggers a defect counts as corrupt, so that the defect does not return at every start
      return { path: this.#path, kind: 'corrupt', reason: 'internal', detail: failureOf(error).detail };
    }
  }

  async #setAside(fault: Fault): Promise<string> {
    const path = await setAside(this.#files, fault, this.#parts.clock.wallMs());
    await pruneSetAside(this.#files, this.#path, SET_ASIDE_KEPT);
    return path;
  }

  /** Plans a write even where nothing has changed, so that the next change does not wait for long. */
  #planNext(): void {
    this.#writer.at(Math.max(this.#parts.clock.monotonicMs() + WRITE_EVERY_MS, this.#writer.earliestMs()));
  }

  async #write(): Promise<SnapshotWrite> {
    try {
      return await this.#writeChanges();
    } catch (error) {
      // a defect here must not end a server that answers from memory
      this.#writtenRevision = undefined;
      return failureOf(error);
    } finally {
      this.#planNext();
    }
  }

  async #writeChanges(): Promise<SnapshotWrite> {
    const { cache, clock, random, pause } = this.#parts;
    const { revision } = cache;
    if (revision === this.#writtenRevision) return { kind: 'unchanged' };
    const startedMs = clock.monotonicMs();
    const slices = new Slices(clock, pause, SLICE_MS);
    const figures = { answers: 0, octets: 0 };
    await this.#blocked.clear();
    try {
      await replaceFile(this.#files, random, { path: this.#path, octets: this.#compose(slices, figures) });
    } finally {
      this.#writer.took(figures.octets);
    }
    this.#writtenRevision = revision;
    const writtenAtMs = clock.monotonicMs();
    const durationMs = writtenAtMs - startedMs;
    const written = { kind: 'written', ...figures, durationMs, ...slices.figures } as const;
    this.#state = { ...this.#state, lastWrite: written, writtenAtMs };
    return written;
  }

  /** The parts of the file; counts answers and octets in `figures`. */
  async *#compose(slices: Slices, figures: { answers: number; octets: number }): AsyncGenerator<Uint8Array> {
    const { cache, clock } = this.#parts;
    const composer = new SnapshotComposer();
    const limitOctets = this.#sizeOctets - FRAME_OCTETS;
    const given = (part: Uint8Array): Uint8Array => {
      figures.octets += part.length;
      slices.end();
      return part;
    };
    slices.begin();
    yield given(composer.header(clock.wallMs(), cache.stats().entries, this.#scope));
    slices.begin();
    for (const entry of cache.entries(clock.monotonicMs())) {
      if (entry !== undefined) {
        if (figures.octets + composer.blockOctets + entryOctets(entry) > limitOctets) break;
        figures.answers++;
        if (composer.add(entry)) {
          const block = composer.block();
          if (block !== undefined) yield given(block);
          slices.begin();
        }
      }
      if (slices.isOver) await slices.next();
    }
    const last = composer.block();
    if (last !== undefined) yield given(last);
    slices.begin();
    yield given(composer.end());
  }
}

/**
 * Gets the entries of one block, which share a buffer that the next block overwrites. Resolves to whether the next block is
 * wanted.
 */
export type TakeEntries = (entries: readonly SnapshotEntry[], header: SnapshotHeader) => Promise<boolean>;

/** Resolves to the fault of the file; `undefined` for a sound file and for none. Rejects only if `take` does. */
export async function readSnapshot(
  files: FileSystem,
  path: string,
  take: TakeEntries,
): Promise<Fault | undefined> {
  try {
    return await withOpened(files, path, (file) => readOpened(file, path, take));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === 'ENOENT') return undefined;
    return { path, ...faultOf({ kind: 'failed', error }) };
  }
}

async function readOpened(file: OpenFile, path: string, take: TakeEntries): Promise<Fault | undefined> {
  const stat = await attempt('stat', path, () => file.stat());
  if (!stat.isFile()) return { path, ...faultOf({ kind: 'not-a-file' }) };
  const first = new Uint8Array(HEADER_OCTETS);
  const header = parseHeader(first.subarray(0, await readInto(file, path, first)));
  if (header.kind === 'header') return readBlocks(file, path, header, take);
  if (header.kind === 'newer') return { path, ...newerFault(header.version) };
  return { path, ...header, detail: 'the file does not begin as a snapshot does' };
}

async function readBlocks(
  file: OpenFile,
  path: string,
  header: SnapshotHeader,
  take: TakeEntries,
): Promise<Fault | undefined> {
  const corrupt = (reason: string, detail: string): Fault => ({ path, kind: 'corrupt', reason, detail });
  const frame = new Uint8Array(FRAME_OCTETS);
  const buffer = new Uint8Array(MAX_BLOCK_OCTETS);
  let proof = header.proof;
  for (let number = 1; ; number++) {
    const where = `block ${number}`;
    if ((await readInto(file, path, frame)) < FRAME_OCTETS) return corrupt('torn', `${where} is missing`);
    const length = payloadLength(frame);
    if (length > MAX_BLOCK_OCTETS) return corrupt('bad-length', `${where} states ${length} octets`);
    const payload = buffer.subarray(0, length);
    if ((await readInto(file, path, payload)) < length) return corrupt('torn', `${where} is cut off`);
    const proven = proveBlock(proof, frame, payload);
    if (proven === undefined) return corrupt('checksum-mismatch', `${where} is not what was written`);
    if (length === 0) {
      const more = await readInto(file, path, new Uint8Array(1));
      return more === 0 ? undefined : corrupt('overlong', 'the file continues after its end');
    }
    const entries = parseBlock(payload);
    if (entries === undefined) return corrupt('bad-content', `${where} has a malformed entry`);
    proof = proven;
    if (!(await take(entries, header))) return undefined;
  }
}
