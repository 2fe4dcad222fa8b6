/** Reports the state of the link: each path, and one word for all paths. */
import {
  ageText,
  metricsOf,
  type RoomReport,
  type Sample,
  seconds,
  type Tone,
  toned,
} from '../report/report.ts';
import type { LinkReport } from './link-monitor.ts';
import type { LinkCondition, LinkPath, LinkState } from './link-state.ts';

export interface LinkStatus {
  readonly link: { readonly summary: Shown; readonly paths: readonly ShownPath[] };
}

interface Shown {
  readonly condition: LinkCondition;
  readonly reason: string;
  readonly ageSeconds: number;
}

type ShownPath = Shown & Pick<LinkPath, 'side' | 'key'>;

export function linkStatus({ summary, paths }: LinkReport, nowMs: number): LinkStatus {
  const shown = ({ condition, reason, sinceMs }: LinkState): Shown => ({
    condition,
    reason,
    ageSeconds: seconds(nowMs - sinceMs),
  });
  return {
    link: {
      summary: shown(summary),
      paths: paths.map((path) => ({ side: path.side, key: path.key, ...shown(path) })),
    },
  };
}

const TONES: Readonly<Record<LinkCondition, Tone>> = {
  unknown: 'plain',
  connected: 'good',
  degraded: 'doubtful',
  recovering: 'doubtful',
  disconnected: 'bad',
};

const VALUES = { connected: 1, degraded: 0.5, recovering: 0.5, disconnected: 0 } as const;

function withSummary({ paths, summary }: LinkStatus['link']) {
  return [...paths, { side: 'summary', key: 'all', ...summary }];
}

const { gauge } = metricsOf<LinkStatus>();

export const LINK_REPORT: RoomReport<LinkStatus> = {
  metrics: [
    gauge(
      'link_connected',
      '1 connected, 0.5 degraded or recovering, 0 disconnected; absent while unknown. side="summary" is the whole.',
      ['side', 'key'],
      ({ link }) =>
        withSummary(link).flatMap(({ side, key, condition }): readonly Sample[] =>
          condition === 'unknown' ? [] : [[VALUES[condition], side, key]],
        ),
    ),
    gauge(
      'link_condition_age_seconds',
      'Seconds since the path took its present condition.',
      ['side', 'key'],
      ({ link }) => withSummary(link).map(({ side, key, ageSeconds }): Sample => [ageSeconds, side, key]),
    ),
  ],
  panels: ({ link: { summary, paths } }) => [
    {
      title: 'Link',
      badge: toned(TONES[summary.condition], summary.condition),
      about: `for ${ageText(summary.ageSeconds)}: ${summary.reason}`,
      head: ['path', 'condition', 'for', 'because'],
      rows: paths.map(({ side, key, condition, ageSeconds, reason }) => [
        `${side} ${key}`,
        toned(TONES[condition], condition),
        ageText(ageSeconds),
        reason,
      ]),
    },
  ],
};
