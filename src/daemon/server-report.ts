/** What the process reports of itself: readiness, listeners, configuration, its log and its work in the background. */
import type { LogState } from '../log/line-queue.ts';
import {
  ageText,
  byLabel,
  metricsOf,
  type RoomReport,
  type Sample,
  single,
  toned,
} from '../report/report.ts';

export interface ServerStatus {
  readonly server: {
    readonly version: string;
    readonly runtime: string;
    readonly startedAt: string;
    readonly uptimeSeconds: number;
    readonly ready: boolean;
    /** One sentence for each reason; empty when ready. */
    readonly notReady: readonly string[];
    readonly listening: readonly { readonly address: string; readonly udp: string }[];
    readonly configuration: { readonly ageSeconds: number; readonly lastReloadFailed: boolean };
  };
  /** Failures of this process that no query notices. */
  readonly process: {
    readonly log: {
      readonly dropped: Readonly<Record<string, number>>;
      readonly failure?: LogState['failure'];
    };
    /** By work; a work that never failed is absent. */
    readonly backgroundFailures: Readonly<Record<string, number>>;
  };
}

const { gauge, counter } = metricsOf<ServerStatus>();

export const SERVER_REPORT: RoomReport<ServerStatus> = {
  metrics: [
    gauge('build_info', 'Always 1: what runs.', ['version', 'runtime'], ({ server }) => [
      [1, server.version, server.runtime],
    ]),
    gauge(
      'listener_info',
      'Always 1: an address listened on, and how its datagrams are read.',
      ['address', 'udp'],
      ({ server }) => server.listening.map(({ address, udp }): Sample => [1, address, udp]),
    ),
    gauge('ready', '1 when every endpoint can be answered.', [], ({ server }) => single(server.ready)),
    gauge(
      'configuration_age_seconds',
      'Seconds since the running configuration was loaded.',
      [],
      ({ server }) => single(server.configuration.ageSeconds),
    ),
    gauge(
      'configuration_reload_failed',
      '1 when the last reload was refused and the older configuration runs on.',
      [],
      ({ server }) => single(server.configuration.lastReloadFailed),
    ),
    counter(
      'log_lines_dropped',
      'Log lines that were dropped. full: the destination took nothing until the buffer was full; failed: a write failed.',
      ['reason'],
      ({ process: { log } }) => byLabel(log.dropped),
    ),
    counter(
      'background_failures',
      'Work in the background that was cut short by a defect, by kind of work; please report the log line.',
      ['kind'],
      ({ process }) => byLabel(process.backgroundFailures),
    ),
  ],
  panels: ({ server, process }) => [
    {
      badge: server.ready ? toned('good', 'ready') : toned('bad', 'not ready'),
      about: server.ready ? 'every endpoint can be answered' : undefined,
      notes: [...server.notReady, ...troubles(process).map((trouble) => toned('bad', trouble))],
    },
    {
      title: 'Server',
      facts: [
        ['version', `${server.version} on ${server.runtime}, up for ${ageText(server.uptimeSeconds)}`],
        ['listens on', server.listening.map(({ address }) => address).join(', ')],
        ['configuration', configurationText(server.configuration)],
      ],
    },
  ],
};

function configurationText({ ageSeconds, lastReloadFailed }: ServerStatus['server']['configuration']) {
  const age = ageText(ageSeconds);
  return lastReloadFailed
    ? toned('doubtful', `the last reload was refused: the configuration of ${age} ago runs on`)
    : `${age} old`;
}

function troubles({ log, backgroundFailures }: ServerStatus['process']): readonly string[] {
  const dropped = Object.values(log.dropped).reduce((sum, count) => sum + count, 0);
  const lost = dropped === 0 ? '' : `: ${dropped} lines were dropped`;
  const found: string[] = [];
  if (log.failure !== undefined) found.push(`the log cannot be written: ${log.failure}${lost}`);
  else if (dropped > 0) found.push(`the log has gaps${lost}`);
  const defects = Object.entries(backgroundFailures).map(([work, count]) => `${work} ${count}`);
  if (defects.length > 0)
    found.push(`work in the background failed (${defects.join(', ')}): the log says why, please report it`);
  return found;
}
