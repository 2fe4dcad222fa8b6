/**
 * Keeps state that must survive a power cut: the current generation, which is whole at every moment, and the previous generation.
 * The endpoint records and the retained answers are formats of this state. The store refuses to know where content comes from,
 * whether content is right, and which answers clients get. No RFC speaks of it.
 *
 *     load:  current -> previous -> nothing; what is unusable is set aside, never deleted
 *     save:  compare -> encode -> replace -> durable
 *            and replace again where the previous generation lacks an answer that the current generation has
 *
 * An error here is never a reason to stop serving. At the start it means an older generation or none, with faults that say
 * why. In a save it is an outcome: the content stays in memory, and the writer tries again.
 */
import type { Clock } from '../runtime/clock.ts';
import { inOneStep, type Pause, Slices, type Steps } from '../runtime/slices.ts';
import { BlockedFiles, type Generation, type LoadFault, type StateBackend } from './state-backend.ts';
import { readState, type SaveReason, type StateFormat } from './state-format.ts';
import { type Failure, failureOf, StoreError } from './store-messages.ts';
import { Writer, type WriterParts, type WriterState } from './writer.ts';

export interface StateStoreParts extends WriterParts {
  readonly clock: Clock;
  /** Between slices of long work, so that a query does not wait for it; without it, the work is done in one piece. */
  readonly pause?: Pause;
  /** Called for each file that had stayed in its place and has now been moved. */
  readonly onSetAside?: (fault: LoadFault) => void;
}

export type LoadResult<Content> =
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
  /** On disk, synced. `durationMs` is the time that it took; `leftOut` counts content that had no room. */
  | {
      readonly kind: 'saved';
      readonly generation: number;
      readonly durationMs: number;
      readonly leftOut: number;
    }
  /** Nothing to write: the content is durable already, and ages alone were written a short time ago. */
  | { readonly kind: 'unchanged' }
  /** The disk holds what it held before, whole. The code is `REFUSED` for content that no file may hold. */
  | Failure;

export interface StoreState extends WriterState {
  /** The number of the last write or write attempt, or of the loaded generation before any write; 0 before both. */
  readonly generation: number;
  /** The store holds content that is not durable yet: its write runs, waits or has failed. */
  readonly pending: boolean;
  /** Monotonic ms of the last save of this process. */
  readonly lastSavedMs: number | undefined;
  /** Content that had no room in the last save. */
  readonly leftOut: number;
}

const SLICE_MS = 1;
/** Content that comes together is written together by `saveLater`. */
const SOON_MS = 1_000;
/** Longer than a healthy disk takes to sync. */
const STOP_WAIT_MS = 2_000;

export class StateStore<Content> {
  readonly #format: StateFormat<Content>;
  readonly #backend: StateBackend;
  readonly #parts: StateStoreParts;
  readonly #blocked: BlockedFiles;
  readonly #writer: Writer<SaveOutcome>;

  #loading: Promise<LoadResult<Content>> | undefined;
  /** The claim under which the state was read last. */
  #epoch: number | undefined;
  /** Content that another process wrote while the state was its own, or that was read late. */
  #theirs: Content | undefined;
  /** The content of the current generation; undefined while the next save must write in every case. */
  #durable: Content | undefined;
  #writtenAtMs = Number.NEGATIVE_INFINITY; // monotonic
  #begunAtMs = Number.NEGATIVE_INFINITY; // monotonic
  /** Composes the newest content that was handed over. */
  #compose: (() => Steps<Content>) | undefined;
  #isFlush = false;
  /** Content was handed over since the last write began. */
  #isNew = false;
  #isPending = false;
  #generation = 0;
  #lastSavedMs: number | undefined;
  #leftOut = 0;

  constructor(format: StateFormat<Content>, backend: StateBackend, parts: StateStoreParts) {
    this.#format = format;
    this.#backend = backend;
    this.#parts = parts;
    const setAside = (fault: LoadFault) => backend.setAside(fault, parts.clock.wallMs());
    this.#blocked = new BlockedFiles(setAside, parts.onSetAside);
    const { messages, waitMs } = format.policy;
    this.#writer = new Writer({ write: () => this.#write(), messages, paceMs: waitMs?.changed }, parts);
  }

  /** Reads the state, once: later calls get the first result. Never rejects. */
  load(): Promise<LoadResult<Content>> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  /**
   * Makes `content` durable. The file then holds exactly this content, and the content that another process wrote while it had
   * the directory. After several calls during a write, the store writes only the newest content. Each call resolves once a state
   * at least as new as its own is on disk. Expected failures are outcomes; the writer tries again.
   */
  save(content: Content): Promise<SaveOutcome> {
    this.#take(() => inOneStep(() => content));
    return this.#writer.now();
  }

  /** Saves what `compose` gives then, as soon as such a change is worth a write. */
  saveLater(compose: () => Steps<Content>, change: SaveReason): void {
    this.#take(compose);
    const waitMs = this.#format.policy.waitMs?.[change] ?? 0;
    // a new record is written at any time; a change waits until the disk can bear it
    const paceMs = change === 'new' ? 0 : this.#writer.earliestMs();
    const soonMs = this.#parts.clock.monotonicMs() + SOON_MS;
    this.#writer.at(Math.max(soonMs, this.#begunAtMs + waitMs, paceMs));
  }

  /** Writes the content handed over last where anything of it, ages too, is not on disk: for a shutdown. */
  async flush(): Promise<SaveOutcome> {
    if (this.#compose === undefined) return { kind: 'unchanged' };
    this.#isFlush = true;
    return this.#writer.now();
  }

  /** Starts a flush, waits for a short time until it ends, and plans no further write. */
  stop(): Promise<void> {
    return this.#writer.stop(STOP_WAIT_MS, () => this.flush());
  }

  /** For metrics and readiness. */
  state(): StoreState {
    return {
      ...this.#writer.state(),
      generation: this.#generation,
      pending: this.#isPending,
      lastSavedMs: this.#lastSavedMs,
      leftOut: this.#leftOut,
    };
  }

  #take(compose: () => Steps<Content>): void {
    this.#compose = compose;
    this.#isNew = true;
    this.#isPending = true;
  }

  async #load(): Promise<LoadResult<Content>> {
    const claim = await this.#backend.claim();
    this.#epoch = claim.kind === 'ours' ? claim.epoch : 0;
    const { served, faults: found } = await readState(this.#backend, this.#format, this.#slices());
    const faults: LoadFault[] = [];
    for (const fault of found) faults.push(await this.#blocked.take(fault));
    await this.#backend.tidy(this.#format.name);
    if (served === undefined) return { kind: 'none', faults };
    this.#generation = served.generation;
    // the disk was slow, and content came meanwhile: it lacks what only the file knows
    if (this.#compose !== undefined) this.#theirs = served.content;
    if (served.from === 'current') this.#durable = served.content;
    return { kind: 'loaded', ...served, faults };
  }

  async #write(): Promise<SaveOutcome> {
    const [compose, isFlush] = [this.#compose, this.#isFlush];
    if (compose === undefined) return { kind: 'unchanged' };
    this.#begunAtMs = this.#parts.clock.monotonicMs();
    this.#isFlush = false;
    this.#isNew = false;
    try {
      const outcome = await this.#writeContent(await this.#slices().run(compose()), isFlush);
      this.#isPending = this.#isNew;
      return outcome;
    } catch (error) {
      this.#durable = undefined; // the new file may exist but not be durable, so the next save always writes
      this.#isPending = true;
      if (!(error instanceof StoreError)) throw error;
      return failureOf(error);
    }
  }

  async #writeContent(asked: Content, isFlush: boolean): Promise<SaveOutcome> {
    await this.load();
    await this.#reclaim();
    const content = this.#theirs === undefined ? asked : this.#format.merge(asked, this.#theirs);
    if (!(await this.#isWorthWriting(content, isFlush))) return { kind: 'unchanged' };
    const startedMs = this.#parts.clock.monotonicMs();
    // counted up for a failed attempt too: it may have put its file in place before it failed
    this.#generation += 1;
    this.#noteLeftOut(await this.#replace(content));
    this.#durable = content;
    const endedMs = this.#parts.clock.monotonicMs();
    this.#writtenAtMs = endedMs;
    this.#lastSavedMs = endedMs;
    const durationMs = endedMs - startedMs;
    return { kind: 'saved', generation: this.#generation, durationMs, leftOut: this.#leftOut };
  }

  /**
   * Claims the state. If this process has got the claim after it read the files, a different process may have written them,
   * or the files are new. The save then also keeps the answers in them. Throws StoreError if another process has the claim.
   */
  async #reclaim(): Promise<void> {
    const claim = await this.#backend.claim();
    if (claim.kind === 'taken') throw this.#failed('save', 'EBUSY', claim.detail);
    if (claim.epoch === this.#epoch) return;
    this.#epoch = claim.epoch;
    this.#durable = undefined;
    const { served } = await readState(this.#backend, this.#format, this.#slices());
    if (served === undefined) return;
    this.#theirs =
      this.#theirs === undefined ? served.content : this.#format.merge(served.content, this.#theirs);
    this.#generation = Math.max(this.#generation, served.generation);
  }

  async #isWorthWriting(content: Content, isFlush: boolean): Promise<boolean> {
    if (this.#durable === undefined) return true;
    const change = await this.#slices().run(this.#format.compare(this.#durable, content));
    if (change !== 'ageing' || isFlush) return change !== 'none';
    return this.#parts.clock.monotonicMs() - this.#writtenAtMs >= this.#format.policy.confirmEveryMs;
  }

  #slices(): Slices {
    return new Slices(this.#parts.clock, this.#parts.pause, SLICE_MS);
  }

  /** Resolves to how much content was left out. */
  async #replace(content: Content): Promise<number> {
    const { name, maxOctets } = this.#format;
    const file = { generation: this.#generation, writtenAtMs: this.#parts.clock.wallMs(), content };
    const encoded = await this.#slices().run(this.#format.encode(file));
    if (encoded.kind === 'refused') throw this.#failed('compose', 'REFUSED', encoded.detail);
    const { octets, leftOut = 0 } = encoded;
    await this.#blocked.clear();
    if (this.#format.policy.waitMs !== undefined) this.#writer.took(octets.length);
    await this.#backend.replace(name, octets, maxOctets);
    const isFallback = await this.#slices().run(this.#isFallbackFor(content));
    if (isFallback === 'no') await this.#replaceAgain(octets);
    return leftOut;
  }

  /** Writes the content a second time, so that the previous generation has it too. A failure loses nothing: the content is durable. */
  async #replaceAgain(octets: Uint8Array): Promise<void> {
    try {
      await this.#backend.replace(this.#format.name, octets, this.#format.maxOctets);
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

  #failed(action: string, code: string, detail: string): StoreError {
    return new StoreError(action, this.#backend.placeOf(this.#format.name, 'current'), code, detail);
  }

  #noteLeftOut(leftOut: number): void {
    if (leftOut > this.#leftOut) this.#format.policy.messages.leftOut?.(this.#parts.log, { leftOut });
    this.#leftOut = leftOut;
  }
}
