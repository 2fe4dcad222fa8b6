/** Reports what AWS says of the Outposts, in the panel of the link: beside what this server measures itself. */
import { agoText, metricsOf, optionalSeconds, type RoomReport, toned } from '../report/report.ts';
import { isConnected, type OutpostSnapshot } from './outpost-watch.ts';

export interface OutpostsStatus {
  /** What AWS says of each Outpost (`ConnectedStatus`); empty where AWS names none, or before the first answer. */
  readonly outposts: readonly OutpostStatus[];
}

interface OutpostStatus {
  readonly outpost: string;
  readonly region: string;
  readonly view: 'connected' | 'impaired' | 'no-data' | 'not-allowed' | 'failed';
  /** The share of a minute, from 0 to 1. */
  readonly connected?: number;
  /** The time since AWS last gave a value. */
  readonly ageSeconds?: number;
  readonly detail?: string;
}

export function outpostsStatus(outposts: readonly OutpostSnapshot[], nowMs: number): OutpostsStatus {
  return {
    outposts: outposts.map(({ outpost, region, view, seenAtMs }) => ({
      outpost,
      region,
      view: wordOf(view),
      connected: view.kind === 'seen' ? view.connected : undefined,
      ageSeconds: optionalSeconds(seenAtMs === undefined ? undefined : nowMs - seenAtMs),
      detail: view.kind === 'failed' ? view.detail : undefined,
    })),
  };
}

function wordOf(view: OutpostSnapshot['view']): OutpostStatus['view'] {
  if (view.kind === 'failed') return view.reason === 'denied' ? 'not-allowed' : 'failed';
  if (view.kind === 'no-data') return 'no-data';
  return isConnected(view) ? 'connected' : 'impaired';
}

const { gauge } = metricsOf<OutpostsStatus>();

const TONES = {
  connected: 'good',
  impaired: 'bad',
  'no-data': 'plain',
  'not-allowed': 'plain',
  failed: 'doubtful',
} as const;

export const OUTPOST_REPORT: RoomReport<OutpostsStatus> = {
  metrics: [
    gauge(
      'outpost_connected',
      'What AWS says of the Outpost (ConnectedStatus of CloudWatch), from 0 to 1; absent without a value, such as without the permission.',
      ['outpost', 'region'],
      ({ outposts }) =>
        outposts.flatMap(({ outpost, region, connected }) =>
          connected === undefined ? [] : [[connected, outpost, region] as const],
        ),
    ),
    gauge(
      'outpost_connected_age_seconds',
      'Seconds since AWS last gave that value: in a cut it grows.',
      ['outpost', 'region'],
      ({ outposts }) =>
        outposts.flatMap(({ outpost, region, ageSeconds }) =>
          ageSeconds === undefined ? [] : [[ageSeconds, outpost, region] as const],
        ),
    ),
  ],
  panels: ({ outposts }) =>
    outposts.length === 0
      ? []
      : [
          {
            title: 'Link',
            facts: outposts.map(({ outpost, region, view, ageSeconds, detail }) => [
              `aws sees ${outpost}`,
              toned(
                TONES[view],
                `${view}, ${region}, ${agoText(ageSeconds)}${detail === undefined ? '' : `: ${detail}`}`,
              ),
            ]),
          },
        ],
};
