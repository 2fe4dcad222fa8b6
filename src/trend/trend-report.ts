/** Reports the figures of the last hours and days as plots. */
import type { Panel, Plot, RoomReport } from '../report/report.ts';
import type { Figure, SpanName, Trend } from './trend.ts';

type Points = readonly (number | null)[];

export interface TrendStatus {
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
  return {
    queriesPerSecond: of('queriesPerSecond'),
    hitRatio: of('hitRatio'),
    upstreamSeconds: of('upstreamSeconds'),
    link: of('link'),
  };
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
