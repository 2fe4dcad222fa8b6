/**
 * Keeps a few figures of the last hours and days in rings of fixed size, for the plots of the page. A slot is a stretch of wall
 * time; a slot in which the server did not run is empty. The rings know neither rooms nor files: figures come in as numbers, and
 * the whole goes out as octets. At the end the figures become the plots of the page.
 */
import { endianness } from 'node:os';
import type { Panel, Plot, RoomReport } from '../report/report.ts';
import type { Steps } from '../runtime/slices.ts';

type Points = readonly (number | null)[];

interface TrendStatus {
  /** Means over equal parts of the span, the newest last; null where the server did not run or nothing was asked. */
  readonly trend: Readonly<Record<SpanName, Readonly<Record<Figure, Points>>>> & {
    /** The newest figures: the newest point is a mean of minutes or hours, and says less. */
    readonly latest: Readonly<Record<Figure, number | null>>;
  };
}

/** Points of a plot: two minutes each over six hours, two hours each over fourteen days. */
const POINTS: Readonly<Record<SpanName, number>> = { hours: 180, days: 168 };

export function trendStatus(trend: Trend, wallMs: number): TrendStatus {
  const of = (span: SpanName) =>
    byFigure((figure) => trend.read(span, figure, wallMs, POINTS[span]).map(rounded));
  const latest = byFigure((figure) => rounded(trend.latest(figure, wallMs)));
  return { trend: { hours: of('hours'), days: of('days'), latest } };
}

function byFigure<Value>(of: (figure: Figure) => Value): Readonly<Record<Figure, Value>> {
  const values = FIGURES.map((figure) => [figure, of(figure)]);
  // every figure is there
  return Object.fromEntries(values) as Record<Figure, Value>;
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Number(value.toPrecision(3));
}

interface Shown {
  readonly figure: Figure;
  readonly label: string;
  readonly text: (value: number) => string;
  /** The top of the plot; otherwise the highest point. */
  readonly top?: number;
}

const SHOWN: readonly Shown[] = [
  {
    figure: 'queriesPerSecond',
    label: 'queries per second',
    text: (value) => `${Number(value.toPrecision(3))}`,
  },
  {
    figure: 'hitRatio',
    label: 'answered from memory',
    text: (value) => `${Math.round(value * 100)} %`,
    top: 1,
  },
  {
    figure: 'upstreamSeconds',
    label: 'fastest upstream',
    text: (value) => `${Number((value * 1000).toPrecision(2))} ms`,
  },
  { figure: 'link', label: 'link', text: linkText, top: 1 },
];

function hasFigures({ days }: TrendStatus['trend']): boolean {
  return Object.values(days).some((points) => points.some((value) => value !== null));
}

function rangeText(figure: Figure, known: readonly number[], text: Shown['text']): string {
  if (known.length === 0) return '';
  if (figure !== 'link') return `${text(Math.min(...known))} to ${text(Math.max(...known))}`;
  const share = known.reduce((sum, value) => sum + value, 0) / known.length;
  return `connected ${Math.floor(share * 100)} %`;
}

function linkText(value: number): string {
  if (value >= 1) return 'connected';
  return value <= 0 ? 'disconnected' : 'degraded';
}

const SPAN_TEXTS = [
  ['hours', 'last 6 hours', ['6 h ago', 'now']],
  ['days', 'last 14 days', ['14 d ago', 'now']],
] as const satisfies readonly (readonly [SpanName, string, readonly [string, string]])[];

export const TREND_REPORT: RoomReport<TrendStatus> = {
  metrics: [],
  panels: ({ trend }): readonly Panel[] => [
    {
      title: 'Last hours and days',
      notes: hasFigures(trend) ? [] : ['no figures yet: the first come 20 seconds after the start'],
      plots: (hasFigures(trend) ? SPAN_TEXTS : []).flatMap(([span, spanText, ends]) =>
        SHOWN.map(({ figure, label, text, top }): Plot => {
          const points = trend[span][figure];
          const known = points.filter((value) => value !== null);
          const latest = trend.latest[figure];
          return {
            label,
            span: spanText,
            ends,
            points,
            top: top ?? Math.max(...known, 0),
            latest: latest === null ? 'no figures yet' : text(latest),
            range: rangeText(figure, known, text),
          };
        }),
      ),
    },
  ],
};

const FIGURES = ['queriesPerSecond', 'hitRatio', 'upstreamSeconds', 'link'] as const;
type Figure = (typeof FIGURES)[number];
export type Reading = { readonly [Name in Figure]?: number | undefined };

interface Span {
  readonly stepMs: number;
  readonly slots: number;
}

/** Six hours and fourteen days: 68 KB together. */
export const SPANS = {
  hours: { stepMs: 10_000, slots: 2160 },
  days: { stepMs: 600_000, slots: 2016 },
} as const satisfies Readonly<Record<string, Span>>;
type SpanName = keyof typeof SPANS;

const SPAN_NAMES = ['hours', 'days'] as const satisfies readonly SpanName[];

class Ring {
  readonly span: Span;
  /** Means by figure and slot; NaN is empty. */
  readonly means: readonly Float32Array<ArrayBuffer>[];
  /** Readings in the newest slot, by figure. */
  readonly #counts = FIGURES.map(() => 0);
  /** The newest slot since 1970; -1 before the first reading. */
  newest = -1;

  constructor(span: Span) {
    this.span = span;
    this.means = FIGURES.map(() => new Float32Array(span.slots).fill(Number.NaN));
  }

  note(wallMs: number, reading: Reading): void {
    const slot = Math.floor(wallMs / this.span.stepMs);
    // the wall clock was set back by more than a slot: figures noted in its future do not belong to this time line
    if (slot < this.newest - 1) this.#clear();
    if (slot > this.newest) this.#moveTo(slot);
    const at = this.newest % this.span.slots;
    FIGURES.forEach((figure, row) => {
      const value = reading[figure];
      const means = this.means[row];
      if (value === undefined || !Number.isFinite(value) || means === undefined) return;
      const count = this.#counts[row] ?? 0;
      const mean = count === 0 ? value : ((means[at] ?? 0) * count + value) / (count + 1);
      means[at] = mean;
      this.#counts[row] = count + 1;
    });
  }

  /** The means of `points` equal parts of the span, the newest last; undefined where nothing was noted. */
  read(figure: Figure, wallMs: number, points: number): readonly (number | undefined)[] {
    const { stepMs, slots } = this.span;
    const means = this.means[FIGURES.indexOf(figure)];
    const end = Math.floor(wallMs / stepMs) + 1;
    const width = slots / points;
    return Array.from({ length: points }, (_, at) => {
      let [sum, count] = [0, 0];
      const from = end - slots + Math.floor(at * width);
      const to = end - slots + Math.floor((at + 1) * width);
      for (
        let slot = Math.max(from, this.newest - slots + 1, 0);
        slot < Math.min(to, this.newest + 1);
        slot++
      ) {
        const value = means?.[slot % slots] ?? Number.NaN;
        if (Number.isNaN(value)) continue;
        sum += value;
        count++;
      }
      return count === 0 ? undefined : sum / count;
    });
  }

  /** The newest mean of the span; undefined where nothing was noted. */
  latest(figure: Figure, wallMs: number): number | undefined {
    const { stepMs, slots } = this.span;
    const means = this.means[FIGURES.indexOf(figure)];
    const oldest = Math.max(Math.floor(wallMs / stepMs), this.newest) - slots + 1;
    for (let slot = this.newest; slot >= Math.max(oldest, 0); slot--) {
      const value = means?.[slot % slots] ?? Number.NaN;
      if (!Number.isNaN(value)) return value;
    }
    return undefined;
  }

  #moveTo(slot: number): void {
    const { slots } = this.span;
    const first = this.newest < 0 ? slot - slots + 1 : Math.max(this.newest + 1, slot - slots + 1);
    for (let one = first; one <= slot; one++) for (const means of this.means) means[one % slots] = Number.NaN;
    this.newest = slot;
    this.#counts.fill(0);
  }

  #clear(): void {
    for (const means of this.means) means.fill(Number.NaN);
    this.newest = -1;
  }
}

/** The first octets of the file; the last digit is the version of the form. */
const MAGIC = Buffer.from('OTRENDS1');
/** Magic, a checksum, and for each ring its newest slot. */
const HEAD_OCTETS = MAGIC.length + 4 + SPAN_NAMES.length * 8;
const VALUES = SPAN_NAMES.reduce((sum, name) => sum + SPANS[name].slots * FIGURES.length, 0);
export const TREND_OCTETS = HEAD_OCTETS + VALUES * 4;

export const TREND_FILE = 'trend.bin';

export class Trend {
  readonly #rings = SPAN_NAMES.map((name) => new Ring(SPANS[name]));

  note(wallMs: number, reading: Reading): void {
    for (const ring of this.#rings) ring.note(wallMs, reading);
  }

  read(span: SpanName, figure: Figure, wallMs: number, points: number): readonly (number | undefined)[] {
    return this.#rings[SPAN_NAMES.indexOf(span)]?.read(figure, wallMs, points) ?? [];
  }

  /** The newest figure, of the finest ring that has it. */
  latest(figure: Figure, wallMs: number): number | undefined {
    for (const ring of this.#rings) {
      const value = ring.latest(figure, wallMs);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** The figures of this moment as octets. In steps: a stop does this once, before its code is compiled. */
  *encoding(): Steps<Uint8Array> {
    const octets = Buffer.alloc(TREND_OCTETS);
    MAGIC.copy(octets);
    let at = MAGIC.length + 4;
    for (const { newest } of this.#rings) at = octets.writeDoubleLE(newest, at);
    for (const { means } of this.#rings)
      for (const row of means) at += inFileOrder(octetsOf(row)).copy(octets, at);
    octets.writeUInt32LE(yield* crc32(octets.subarray(MAGIC.length + 4)), MAGIC.length);
    return octets;
  }

  /** Takes what `encoding` has written; false, with nothing changed, for other octets, and for a time that lies ahead of `wallMs`. */
  *decoding(octets: Uint8Array, wallMs: number): Steps<boolean> {
    const file = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
    if (file.length !== TREND_OCTETS || !file.subarray(0, MAGIC.length).equals(MAGIC)) return false;
    const sum = yield* crc32(file.subarray(MAGIC.length + 4));
    if (sum !== file.readUInt32LE(MAGIC.length)) return false;
    const newest = this.#rings.map((_, ring) => file.readDoubleLE(MAGIC.length + 4 + ring * 8));
    const isPast = this.#rings.every(({ span }, ring) => {
      const slot = newest[ring] ?? 0;
      return Number.isInteger(slot) && slot >= -1 && slot <= Math.floor(wallMs / span.stepMs);
    });
    if (!isPast) return false;
    let at = HEAD_OCTETS;
    this.#rings.forEach((ring, place) => {
      ring.newest = newest[place] ?? -1;
      for (const row of ring.means) {
        const own = octetsOf(row);
        inFileOrder(file.subarray(at, at + own.length)).copy(own);
        at += own.length;
      }
    });
    return true;
  }
}

function octetsOf({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** The file has the lowest octet of a figure first. */
function inFileOrder(figures: Buffer): Buffer {
  return endianness() === 'LE' ? figures : Buffer.from(figures).swap32();
}

const CRC_POLYNOMIAL = 0xedb88320;
/** For each octet, what it does to a checksum. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, octet) => {
  let left = octet;
  for (let bit = 0; bit < 8; bit++) left = (left & 1) === 0 ? left >>> 1 : (left >>> 1) ^ CRC_POLYNOMIAL;
  return left;
});

/** Some tenths of a millisecond before the code is compiled. */
export const SUMMED_OCTETS = 4_096;

/** As zlib's, whose module takes 7 ms of the loop to load: at the stop, or in the first second. */
function* crc32(octets: Uint8Array): Steps<number> {
  let crc = ~0;
  const { length } = octets;
  for (let from = 0; from < length; from += SUMMED_OCTETS) {
    yield;
    const end = Math.min(from + SUMMED_OCTETS, length);
    for (let at = from; at < end; at++)
      crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (octets[at] ?? 0)) & 0xff] ?? 0);
  }
  return ~crc >>> 0;
}
