import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { type Pause, Slices, type Steps } from '../runtime/slices.ts';
import { removeLeftovers, replaceFile } from './atomic-file.ts';
import { type FileSystem, StoreError, systemFiles } from './file-system.ts';
import { type Generation, generationPath, readGenerations, type StateFormat } from './generation-reader.ts';
import type { Fault, LoadFault } from './set-aside.ts';
import { setAside } from './set-aside.ts';
import type { DirectoryLock } from './state-directory.ts';

/**
 * State that must survive a power cut, in a file that is whole at every moment, with the generation before it beside it.
 * It knows files, checksums and generations, and what it keeps only through a `StateFormat`.
 *
 *     load:  current -> previous -> nothing; what is unusable is set aside, never deleted
 *     save:  compare -> compose, and read back what was composed -> replaceFile -> durable
 *            and replaceFile again where the generation before it lacks an endpoint or an answer that this one has
 *
 * An error here is never a reason to stop serving. At the start it means an older generation or none, with faults
 * that say why; in a save it is an outcome, the content stays in memory, and the caller tries again.
 */

export interface GenerationStoreOptions {
  readonly directory: string;
  /** Content in which only ages have moved on is written at most this often. */
  readonly confirmEveryMs: number;
}

export interface GenerationStoreParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Between slices of long work, so that a query does not wait for it; without, it is done in one piece. */
  readonly pause?: Pause;
  readonly files?: FileSystem;
  /** Whose the directory is; without it, always ours. */
  readonly lock?: Pick<DirectoryLock, 'claim'>;
  /** Called where a file that was left in its place has had to be moved after all. */
  readonly onSetAside?: (fault: LoadFault) => void;
}

const SLICE_MS = 1;

export type GenerationLoad<Content> =
  | {
      readonly kind: 'loaded';
      readonly from: Generation;
      readonly generation: number;
      readonly writtenAtMs: number;
      readonly content: Content;
      readonly faults: readonly LoadFault[];
    }
  /** No state to serve from: a first start, when there are no faults either. */
  | { readonly kind: 'none'; readonly faults: readonly LoadFault[] };

export type SaveOutcome =
  /** On disk, synced. `durationMs` is the time that it took; `leftOut` counts what there was no room for, if anything. */
  | {
      readonly kind: 'saved';
      readonly generation: number;
      readonly durationMs: number;
      readonly leftOut?: number;
    }
  /** Nothing to write: the content is durable already, and ages alone were written less than `confirmEveryMs` ago. */
  | { readonly kind: 'unchanged' }
  /** The disk holds what it held before, whole. `code` is the system's, or `REFUSED` for content that no file may hold. */
  | { readonly kind: 'failed'; readonly code: string; readonly detail: string };

export interface StoreState {
  /** Of the last write, or attempt at one, or else of what was loaded; 0 before any. */
  readonly generation: number;
  /** Content was handed over that is not durable yet: being written, waiting, or failed. */
  readonly pending: boolean;
  /** Monotonic ms of the last save of this process. */
  readonly lastSavedMs?: number;
  /** The failure after which nothing has been saved yet. */
  readonly lastFailure?: { readonly code: string; readonly detail: string; readonly atMs: number };
  /** Monotonic ms at which the write in progress began: a disk that hangs shows here. */
  readonly writingSinceMs?: number;
}

interface Batch<Content> {
  readonly content: Content;
  /** Ages alone are reason enough to write. */
  readonly isFlush: boolean;
  readonly waiting: readonly PromiseWithResolvers<SaveOutcome>[];
}

export class GenerationStore<Content> {
  readonly #format: StateFormat<Content>;
  readonly #directory: string;
  readonly #confirmEveryMs: number;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #files: FileSystem;
  readonly #onSetAside: GenerationStoreParts['onSetAside'];
  readonly #pause: Pause | undefined;
  readonly #lock: GenerationStoreParts['lock'];

  /** The claim on the directory under which its files were read last. */
  #epoch: number | undefined;
  /** What another process wrote while the directory was its own. */
  #theirs: Content | undefined;
  #loading: Promise<GenerationLoad<Content>> | undefined;
  /** Unusable files that still stand where a save would replace them. */
  #inTheWay: Fault[] = [];
  /** What the current file holds; undefined while it must be written whatever is asked. */
  #durable: Content | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY; // monotonic
  #next: Batch<Content> | undefined;
  #newest: Content | undefined;
  #isDraining = false;
  #state: StoreState = { generation: 0, pending: false };

  constructor(format: StateFormat<Content>, options: GenerationStoreOptions, parts: GenerationStoreParts) {
    this.#format = format;
    this.#directory = options.directory;
    this.#confirmEveryMs = options.confirmEveryMs;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#files = parts.files ?? systemFiles;
    this.#onSetAside = parts.onSetAside;
    this.#pause = parts.pause;
    this.#lock = parts.lock;
  }

  /**
   * Reads the state, once: later calls get the first result. Corrupt and foreign files are set aside at once; a file of a
   * newer version, or one that cannot be read, stays until a save would replace it, so that an upgrade or a `chmod` finds
   * it under its name. Never rejects.
   */
  load(): Promise<GenerationLoad<Content>> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /**
   * Makes `content` durable: all that shall be kept. The file then holds exactly this, and beside it what another process
   * wrote while the directory was its own. One write at a time; of several calls during a write only the newest content is written next, and every call resolves
   * once a state at least as new as its own is on disk. Expected failures are outcomes; trying again is the caller's
   * matter.
   */
  save(content: Content): Promise<SaveOutcome> {
    this.#newest = content;
    return this.#enqueue(content, false);
  }

  /** Writes the content handed over last where anything of it, ages too, is not on disk: for a shutdown, or a retry. */
  async flush(): Promise<SaveOutcome> {
    return this.#newest === undefined ? { kind: 'unchanged' } : this.#enqueue(this.#newest, true);
  }

  /** For metrics and readiness. */
  state(): StoreState {
    return this.#state;
  }

  async #load(): Promise<GenerationLoad<Content>> {
    const claim = await this.#lock?.claim();
    this.#epoch = claim?.kind === 'ours' ? claim.epoch : 0;
    const { served, faults: found } = await readGenerations(
      this.#files,
      this.#directory,
      this.#format,
      this.#slices(),
    );
    const faults: LoadFault[] = [];
    for (const fault of found) faults.push(await this.#clear(fault));
    await removeLeftovers(this.#files, this.#path('current'));
    if (served === undefined) return { kind: 'none', faults };
    this.#state = { ...this.#state, generation: served.generation };
    if (served.from === 'current') this.#durable = served.content;
    return { kind: 'loaded', ...served, faults };
  }

  async #clear(fault: Fault): Promise<LoadFault> {
    if (fault.kind === 'newer' || fault.kind === 'unreadable') {
      this.#inTheWay.push(fault);
      return fault;
    }
    try {
      return { ...fault, setAsideTo: await setAside(this.#files, fault, this.#clock.wallMs()) };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#inTheWay.push(fault);
      return { ...fault, setAsideFailed: error.message };
    }
  }

  #enqueue(content: Content, isFlush: boolean): Promise<SaveOutcome> {
    const mine = Promise.withResolvers<SaveOutcome>();
    const { waiting = [], isFlush: isFlushWaiting = false } = this.#next ?? {};
    this.#next = { content, isFlush: isFlush || isFlushWaiting, waiting: [...waiting, mine] };
    this.#state = { ...this.#state, pending: true };
    if (!this.#isDraining) inBackground('state', () => this.#drain());
    return mine.promise;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    for (let batch = this.#take(); batch !== undefined; batch = this.#take()) {
      try {
        const outcome = await this.#write(batch);
        for (const { resolve } of batch.waiting) resolve(outcome);
      } catch (bug) {
        for (const { reject } of batch.waiting) reject(bug);
      }
    }
    this.#isDraining = false;
  }

  #take(): Batch<Content> | undefined {
    const batch = this.#next;
    this.#next = undefined;
    return batch;
  }

  async #write(asked: Batch<Content>): Promise<SaveOutcome> {
    await this.load();
    const taken = await this.#reclaim();
    if (taken !== undefined) return this.#failed(taken);
    const batch =
      this.#theirs === undefined
        ? asked
        : { ...asked, content: this.#format.merge(asked.content, this.#theirs) };
    if (!(await this.#isWorthWriting(batch))) {
      this.#state = { ...this.#state, pending: this.#next !== undefined };
      return { kind: 'unchanged' };
    }
    const startedMs = this.#clock.monotonicMs();
    // Counted up for a failed attempt too: it may have put its file in place before it failed.
    const generation = this.#state.generation + 1;
    this.#state = { ...this.#state, generation, writingSinceMs: startedMs };
    let leftOut: number;
    try {
      leftOut = await this.#replace(generation, batch.content);
    } catch (error) {
      if (error instanceof StoreError) return this.#failed(error);
      throw error;
    }
    this.#durable = batch.content;
    this.#writtenAtMs = this.#clock.monotonicMs();
    this.#state = { generation, pending: this.#next !== undefined, lastSavedMs: this.#clock.monotonicMs() };
    const durationMs = this.#writtenAtMs - startedMs;
    return { kind: 'saved', generation, durationMs, ...(leftOut === 0 ? {} : { leftOut }) };
  }

  /**
   * Where the directory has become ours since the files were read, somebody else may have written them, or they are
   * other files: what they answer is kept beside our own. An error where the directory is another process's.
   */
  async #reclaim(): Promise<StoreError | undefined> {
    const claim = await this.#lock?.claim();
    if (claim === undefined) return undefined;
    if (claim.kind === 'taken') return new StoreError('save', this.#path('current'), 'EBUSY', claim.detail);
    if (claim.epoch === this.#epoch) return undefined;
    this.#epoch = claim.epoch;
    this.#durable = undefined;
    const { served } = await readGenerations(this.#files, this.#directory, this.#format, this.#slices());
    if (served === undefined) return undefined;
    this.#theirs =
      this.#theirs === undefined ? served.content : this.#format.merge(served.content, this.#theirs);
    this.#state = { ...this.#state, generation: Math.max(this.#state.generation, served.generation) };
    return undefined;
  }

  async #isWorthWriting({ content, isFlush }: Batch<Content>): Promise<boolean> {
    const change =
      this.#durable === undefined
        ? 'content'
        : await this.#slices().run(this.#format.compare(this.#durable, content));
    if (change !== 'ageing' || isFlush) return change !== 'none';
    return this.#clock.monotonicMs() - this.#writtenAtMs >= this.#confirmEveryMs;
  }

  #slices(): Slices {
    return new Slices(this.#clock, this.#pause, SLICE_MS);
  }

  /** Resolves to how much was left out. */
  async #replace(generation: number, content: Content): Promise<number> {
    const path = this.#path('current');
    const file = { generation, writtenAtMs: this.#clock.wallMs(), content };
    const encoded = await this.#slices().run(this.#format.encode(file));
    if (encoded.kind === 'refused') throw new StoreError('compose', path, 'REFUSED', encoded.detail);
    await this.#clearTheWay();
    const replacement = {
      path,
      previousPath: this.#path('previous'),
      octets: encoded.octets,
      limitOctets: this.#format.maxOctets,
    };
    await replaceFile(this.#files, this.#random, replacement);
    const isFallback = await this.#slices().run(this.#isFallbackFor(content));
    if (isFallback === 'no') await this.#writeAgain(replacement);
    return encoded.leftOut ?? 0;
  }

  /** What the previous generation lacks would be lost with one file. The content is durable already, whatever comes of this. */
  async #writeAgain(replacement: Parameters<typeof replaceFile>[2]): Promise<void> {
    try {
      await replaceFile(this.#files, this.#random, replacement);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error; // a disk that fails now is shown by the next save
    }
  }

  /** Whether what the current file held until now answers for everything that `content` answers for. */
  *#isFallbackFor(content: Content): Steps<'yes' | 'no'> {
    if (this.#durable === undefined) return 'no';
    const before = new Set<string>();
    for (const key of this.#format.answered(this.#durable)) {
      before.add(key);
      yield;
    }
    for (const key of this.#format.answered(content)) {
      if (!before.has(key)) return 'no';
      yield;
    }
    return 'yes';
  }

  async #clearTheWay(): Promise<void> {
    for (let fault = this.#inTheWay[0]; fault !== undefined; fault = this.#inTheWay[0]) {
      try {
        const setAsideTo = await setAside(this.#files, fault, this.#clock.wallMs());
        this.#onSetAside?.({ ...fault, setAsideTo });
      } catch (error) {
        const isGone = error instanceof StoreError && error.code === 'ENOENT'; // somebody tidied up meanwhile
        if (!isGone) throw error;
      }
      this.#inTheWay.shift();
    }
  }

  #failed({ code, message }: StoreError): SaveOutcome {
    this.#durable = undefined; // the new file may stand already, not known to be durable: whatever comes next is written
    const { writingSinceMs, ...state } = this.#state;
    const lastFailure = { code, detail: message, atMs: this.#clock.wallMs() };
    this.#state = { ...state, pending: true, lastFailure };
    return { kind: 'failed', code, detail: message };
  }

  #path(generation: Generation): string {
    return generationPath(this.#directory, this.#format.name, generation);
  }
}
