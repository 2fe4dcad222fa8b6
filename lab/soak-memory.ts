/**
 * The memory and the descriptors of a process over a soak: the slope with its error, and the parts of the memory in each
 * third. The soak fills the cache first, because a cache on its way to its bound looks like a leak.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { median, slopeWithError } from '../bench/statistics.ts';

/** How far the median of the last third may be above that of the second third: noise of the allocator, and no leak. */
const MEMORY_SLACK_MIB = 48;
const DESCRIPTOR_SLACK = 20;
const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;

interface Sample {
  readonly atMs: number;
  readonly residentMib: number;
  readonly descriptors: number;
  readonly parts: Parts | undefined;
}

/** What Node says of its memory, in MiB. */
interface Parts {
  readonly heapUsed: number;
  readonly heap: number;
  /** Memory outside the heap that belongs to objects of JavaScript: buffers, the answers of the cache among them. */
  readonly external: number;
}

export class MemoryWatch {
  readonly #samples: Sample[] = [];

  /** `metrics`: the text of the server's `/metrics`, or `undefined` where the sample is to go without. */
  sample(pid: number, metrics: string | undefined): void {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    const descriptors = readdirSync(`/proc/${pid}/fd`).length;
    const parts = metrics === undefined ? undefined : partsOf(metrics);
    this.#samples.push({ atMs: performance.now(), residentMib: Number(kib) / 1024, descriptors, parts });
  }

  /** Sentences for the note. */
  report(): readonly string[] {
    const thirds = this.#thirds();
    const settled = [...thirds[1], ...thirds[2]];
    const last = this.#samples.at(-1);
    const most = Math.max(...this.#samples.map(({ residentMib }) => residentMib));
    const lowest = thirds.map((third) => Math.min(...third.map(({ residentMib }) => residentMib)).toFixed(0));
    return [
      `memory, cache full from the start: ${last?.residentMib.toFixed(0)} MiB at the end, ${most.toFixed(0)} at most; lowest of each third ${lowest.join(', ')}; slope of the last two thirds ${slopeText(settled, 'residentMib')} MiB an hour`,
      ...thirds.map((third, at) => `memory, third ${at + 1}: ${partsText(third)}`),
      `descriptors: ${last?.descriptors} at the end, slope ${slopeText(settled, 'descriptors')} an hour`,
    ];
  }

  /** What grew from the second third to the last. */
  grown(): readonly string[] {
    const [, second, last] = this.#thirds();
    const rise = (of: 'residentMib' | 'descriptors') =>
      middle(last.map((sample) => sample[of])) - middle(second.map((sample) => sample[of]));
    return [
      ...(rise('residentMib') < MEMORY_SLACK_MIB ? [] : [`memory by ${rise('residentMib').toFixed(0)} MiB`]),
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

function partsOf(metrics: string): Parts {
  const mib = (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN) / MIB;
  return {
    heapUsed: mib('nodejs_heap_size_used_bytes'),
    heap: mib('nodejs_heap_size_total_bytes'),
    external: mib('nodejs_external_memory_bytes'),
  };
}

function partsText(samples: readonly Sample[]): string {
  const parts = samples.flatMap((sample) => sample.parts ?? []);
  const of = (pick: (parts: Parts) => number) => middle(parts.map(pick));
  const resident = middle(samples.map(({ residentMib }) => residentMib));
  const [heap, external] = [of((one) => one.heap), of((one) => one.external)];
  const rest = resident - heap - external;
  return `resident ${resident.toFixed(0)} MiB = V8's heap ${heap.toFixed(0)} (in use ${of((one) => one.heapUsed).toFixed(0)}) + external ${external.toFixed(0)} + other threads, code and malloc ${rest.toFixed(0)} (medians)`;
}

/** With twice its standard error: a slope below that is none. */
function slopeText(samples: readonly Sample[], of: 'residentMib' | 'descriptors'): string {
  const line = slopeWithError(samples.map((sample) => ({ x: sample.atMs / HOUR_MS, y: sample[of] })));
  return line === undefined ? '?' : `${line.slope.toFixed(1)} ± ${(2 * line.error).toFixed(1)}`;
}

function middle(values: readonly number[]): number {
  return median(values) ?? Number.NaN;
}
