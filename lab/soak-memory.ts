/**
 * The memory and the descriptors of a process over a soak: slopes with their errors, and the parts of the memory in each
 * third. The soak fills the cache first, because a cache on its way to its bound looks like a leak.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parseMemory } from '../bench/process-figures.ts';
import { median, slopeWithError } from '../bench/statistics.ts';

/** How far the median of the last third may be above that of the second third: noise of the allocator, and no leak. */
const MEMORY_SLACK_MIB = 24;
const DESCRIPTOR_SLACK = 20;
const KIB_OF_MIB = 1024;
const HOUR_MS = 3_600_000;
/** Parts of the time of a slope: in an hour's soak each has three minutes, within which dead buffers are collected. */
const SPANS = 12;

interface Sample {
  readonly atMs: number;
  readonly residentMib: number;
  /** Pages of the program come and go with what is loaded: no leak is among them. */
  readonly privateMib: number;
  readonly descriptors: number;
  readonly parts: Parts | undefined;
}

/** In MiB. */
interface Parts extends SystemParts {
  /** V8's heap of the main loop, and what of it is in use, as Node says. */
  readonly mainHeap: number;
  readonly mainUsed: number;
}

/** What the system says of the memory of a process, in MiB. */
export interface SystemParts {
  /** Pages of files: the program and its libraries. */
  readonly program: number;
  /** V8's heaps of all threads, their code included. */
  readonly heaps: number;
  /** Blocks of glibc below its limit for mappings of their own, and the holes between them. */
  readonly malloc: number;
  /** Buffers and slabs that have mappings of their own, and stacks. */
  readonly buffers: number;
}

export class MemoryWatch {
  readonly #samples: Sample[] = [];

  /** `metrics`: the text of the server's `/metrics`, or `undefined` where the sample is to go without. */
  sample(pid: number, metrics: string | undefined): void {
    const memory = parseMemory(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    this.#samples.push({
      atMs: performance.now(),
      residentMib: memory.residentMebibytes,
      privateMib: memory.privateMebibytes,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      parts:
        metrics === undefined
          ? undefined
          : { ...systemPartsOf(readFileSync(`/proc/${pid}/smaps`, 'utf8')), ...mainPartsOf(metrics) },
    });
  }

  /** Sentences for the note. */
  report(): readonly string[] {
    const thirds = this.#thirds();
    const settled = [...thirds[1], ...thirds[2]];
    const last = this.#samples.at(-1);
    const most = Math.max(...this.#samples.map(({ residentMib }) => residentMib));
    const lowest = thirds.map((third) => Math.min(...third.map(({ privateMib }) => privateMib)).toFixed(0));
    const slopes = (['heaps', 'malloc', 'buffers', 'program'] as const).map(
      (part) => `${part} ${slopeText(settled, (sample) => sample.parts?.[part])}`,
    );
    return [
      `memory, cache full from the start: ${last?.residentMib.toFixed(0)} MiB at the end, ${most.toFixed(0)} at most; private ${last?.privateMib.toFixed(0)}, lowest of each third ${lowest.join(', ')}`,
      ...thirds.map((third, at) => `memory, third ${at + 1}: ${partsText(third)}`),
      `slopes of the last two thirds, MiB an hour, of the lowest values: private ${slopeText(settled, ({ privateMib }) => privateMib)} (${slopes.join(', ')})`,
      `descriptors: ${last?.descriptors} at the end, slope ${slopeText(settled, ({ descriptors }) => descriptors)} an hour`,
    ];
  }

  /** What grew from the second third to the last. */
  grown(): readonly string[] {
    const [, second, last] = this.#thirds();
    const rise = (of: 'privateMib' | 'descriptors') =>
      middle(last.map((sample) => sample[of])) - middle(second.map((sample) => sample[of]));
    return [
      ...(rise('privateMib') < MEMORY_SLACK_MIB ? [] : [`memory by ${rise('privateMib').toFixed(0)} MiB`]),
      ...(rise('descriptors') < DESCRIPTOR_SLACK ? [] : [`descriptors by ${rise('descriptors')}`]),
    ];
  }

  #thirds(): readonly [readonly Sample[], readonly Sample[], readonly Sample[]] {
    const third = Math.floor(this.#samples.length / 3);
    return [
      this.#samples.slice(0, third),
      this.#samples.slice(third, 2 * third),
      this.#samples.slice(2 * third),
    ];
  }
}

const PAGE_OF_V8 = 256 * 1024;
/** What glibc reserves for an arena, at a multiple of it: memory in use, and after it memory that nobody may touch. */
const ARENA = 64 * 1024 * 1024;

/** `smaps`: the content of /proc/PID/smaps. What a mapping is for is told by its place: Node gives its mappings no names. */
export function systemPartsOf(smaps: string): SystemParts {
  const parts = { program: 0, heaps: 0, malloc: 0, buffers: 0 };
  const found = [...smaps.matchAll(MAPPING)].map(([, from = '', to = '', rights = '', name = '', kib]) => ({
    start: Number.parseInt(from, 16),
    end: Number.parseInt(to, 16),
    rights,
    name,
    mib: Number(kib) / KIB_OF_MIB,
  }));
  for (const [at, { start, end, rights, name, mib }] of found.entries()) {
    const next = found[at + 1];
    const isArena =
      start % ARENA === 0 && next?.start === end && next.end === start + ARENA && next.rights === '---p';
    const part = name.startsWith('/')
      ? 'program'
      : name === '[heap]' || isArena
        ? 'malloc'
        : name === '' && (start % PAGE_OF_V8 === 0 || rights.includes('x'))
          ? 'heaps'
          : 'buffers';
    parts[part] += mib;
  }
  return parts;
}

/** Addresses, rights and name of a mapping, and its resident memory. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)\n(?:[A-Z].*\n)*?Rss: +(\d+) kB$/gm;

function mainPartsOf(metrics: string) {
  const mib = (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN) / (KIB_OF_MIB * KIB_OF_MIB);
  return { mainHeap: mib('nodejs_heap_size_total_bytes'), mainUsed: mib('nodejs_heap_size_used_bytes') };
}

function partsText(samples: readonly Sample[]): string {
  const parts = samples.flatMap((sample) => sample.parts ?? []);
  const of = (part: keyof Parts) => middle(parts.map((one) => one[part])).toFixed(0);
  const resident = middle(samples.map(({ residentMib }) => residentMib)).toFixed(0);
  return `resident ${resident} MiB: V8's heaps ${of('heaps')} (the main loop's ${of('mainHeap')}, in use ${of('mainUsed')}), malloc ${of('malloc')}, buffers and stacks ${of('buffers')}, pages of files ${of('program')} (medians)`;
}

/**
 * With twice its standard error: a slope below that is none. Of the lowest value of each span, because a burst of clients takes
 * memory until the next full collection, and samples of the same seconds are no new knowledge.
 */
function slopeText(samples: readonly Sample[], of: (sample: Sample) => number | undefined): string {
  const [startMs = 0, endMs = 0] = [samples[0]?.atMs, samples.at(-1)?.atMs];
  const spanMs = (endMs - startMs) / SPANS;
  const lows = new Map<number, number>();
  for (const sample of samples) {
    const span = Math.min(SPANS - 1, Math.floor((sample.atMs - startMs) / spanMs));
    const value = of(sample);
    if (value !== undefined) lows.set(span, Math.min(value, lows.get(span) ?? value));
  }
  const line = slopeWithError([...lows].map(([span, y]) => ({ x: (span * spanMs) / HOUR_MS, y })));
  return line === undefined ? '?' : `${line.slope.toFixed(1)} ± ${(2 * line.error).toFixed(1)}`;
}

function middle(values: readonly number[]): number {
  return median(values) ?? Number.NaN;
}
