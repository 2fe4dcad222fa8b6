/**
 * Reads the counters once in ten seconds and keeps the figures for the plots of the page. The path of a query pays nothing for
 * them. The figures survive a restart in a file that may be lost.
 */
import { join } from 'node:path';
import { inBackground } from '../runtime/background.ts';
import { type Clock, endsWithin, type Timers } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import { inSlices, type Pause } from '../runtime/slices.ts';
import type { ORIGIN } from '../serving/turn.ts';
import { type FileSystem, readWhole, removeLeftovers, replaceFile } from '../store/file-system.ts';
import { StoreError } from '../store/store-messages.ts';
import { type Reading, SPANS, TREND_FILE, TREND_OCTETS, type Trend } from '../trend/trend.ts';
import type { DaemonParts } from './parts.ts';
import type { Rooms } from './rooms.ts';

export function watchTrend({ config, clock, timers, random, pause }: DaemonParts, rooms: Rooms): TrendWatch {
  const { directory } = config.state;
  const parts = { directory, files: rooms.files, clock, timers, random, pause, read: () => countsOf(rooms) };
  return new TrendWatch(rooms.trend, parts);
}

/** Origins of answers for which an upstream was asked while the client waited. */
const ASKED = ['forwarded', 'failed'] as const satisfies readonly (keyof typeof ORIGIN)[];
const LINK_VALUES = {
  connected: 1,
  degraded: 0.5,
  recovering: 0.5,
  disconnected: 0,
  unknown: undefined,
} as const;

function countsOf({ resolver, forwarder, link }: Rooms): Counts {
  const { origins } = resolver.counters.read();
  const answers = Object.values(origins).reduce((sum, count) => sum + count, 0);
  const asked = ASKED.reduce((sum, origin) => sum + (origins[origin] ?? 0), 0);
  const { shortestRoundTripMs } = forwarder;
  return {
    answers,
    hits: answers - asked,
    upstreamSeconds: shortestRoundTripMs === undefined ? undefined : shortestRoundTripMs / 1000,
    link: LINK_VALUES[link.current().summary.condition],
  };
}

interface TrendWatchParts {
  readonly directory: string;
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly pause?: Pause;
  /** The counts since the start, and the conditions of this moment. */
  readonly read: () => Counts;
}

export interface Counts {
  readonly answers: number;
  /** Answers that needed no upstream. */
  readonly hits: number;
  readonly upstreamSeconds: number | undefined;
  /** 1 connected, 0 disconnected, 0.5 in between; undefined while unknown. */
  readonly link: number | undefined;
}

/** `atMs`: the moment at which the counts were read. */
type TrendCounts = Counts & { readonly atMs: number };

const EVERY_MS = SPANS.hours.stepMs;
/** A kill loses this much of the plots at most: 68 KB in ten minutes are nothing for a disk. */
const SAVE_EVERY_MS = 600_000;
/** A disk may hang, and what matters is saved after this file. */
const STOP_WAIT_MS = 1_000;

export class TrendWatch implements AsyncDisposable {
  readonly #trend: Trend;
  readonly #parts: TrendWatchParts;
  readonly #path: string;
  #before: TrendCounts | undefined;
  #savedMs: number;
  #timer: Disposable | undefined;
  /** The read of the start, then one save after the other. */
  #onDisk: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(trend: Trend, parts: TrendWatchParts) {
    this.#trend = trend;
    this.#parts = parts;
    this.#path = join(parts.directory, TREND_FILE);
    this.#savedMs = parts.clock.monotonicMs();
  }

  /** Takes the figures of before the restart, and begins to read. Never rejects: without the file the plots start empty. */
  start(): Promise<void> {
    this.#onDisk = inBackground('state', () => this.#takeKept());
    return this.#onDisk;
  }

  async #takeKept(): Promise<void> {
    const { files, clock, pause } = this.#parts;
    const found = await readWhole(files, this.#path, TREND_OCTETS).catch(() => undefined);
    if (found?.kind === 'read') await inSlices(this.#trend.decoding(found.octets, clock.wallMs()), pause);
    await removeLeftovers(files, this.#path);
    if (!this.#isStopped) this.#plan();
  }

  #plan(): void {
    this.#timer = this.#parts.timers.after(EVERY_MS, () => {
      this.#note();
      this.#plan();
    });
  }

  #note(): void {
    const { clock, read } = this.#parts;
    const atMs = clock.monotonicMs();
    const now = { ...read(), atMs };
    this.#trend.note(clock.wallMs(), readingOf(this.#before, now));
    this.#before = now;
    if (atMs - this.#savedMs < SAVE_EVERY_MS) return;
    this.#savedMs = atMs;
    this.#onDisk = inBackground('state', () => this.#save());
  }

  /** A failure is not said here: the files that matter lie on the same disk, and say it. */
  async #save(): Promise<void> {
    const { files, random, pause } = this.#parts;
    try {
      const octets = await inSlices(this.#trend.encoding(), pause);
      await replaceFile(files, random, { path: this.#path, octets });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#timer?.[Symbol.dispose]();
    const saved = this.#onDisk.then(() => inBackground('state', () => this.#save()));
    await endsWithin(this.#parts.timers, saved, STOP_WAIT_MS);
  }
}

function readingOf(before: TrendCounts | undefined, now: TrendCounts): Reading {
  const { upstreamSeconds, link } = now;
  if (before === undefined) return { upstreamSeconds, link };
  const answers = now.answers - before.answers;
  const elapsedSeconds = (now.atMs - before.atMs) / 1000;
  return {
    queriesPerSecond: elapsedSeconds > 0 ? answers / elapsedSeconds : undefined,
    hitRatio: answers > 0 ? (now.hits - before.hits) / answers : undefined,
    upstreamSeconds,
    link,
  };
}
