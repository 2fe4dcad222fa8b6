/** What an operator sees of the process: its log lines, and the report of readiness, listeners, configuration, log and work. */
import type { LinkReport } from '../link/link-monitor.ts';
import { messages } from '../log/log.ts';
import type { LogState } from '../log/pino-log.ts';
import { type ClusterIdentity, clusterText, type EndpointRecord } from '../records/endpoint-record.ts';
import type { ClusterSnapshot } from '../refresh/cluster-snapshot.ts';
import { isInTrouble } from '../refresh/source-poller.ts';
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
    /** Threads that were told to end and hang in the operating system, such as in a file system that does not answer. */
    readonly threadsNotEnded: number;
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
      '1 when the file was refused, by a reload or a start, and the configuration that was taken last runs.',
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
    gauge(
      'threads_not_ended',
      'Threads that were told to end and hang in the operating system; with two of the far side nothing is asked of AWS.',
      [],
      ({ process }) => single(process.threadsNotEnded),
    ),
  ],
  panels: ({ server, process }) => [
    {
      badge: server.ready ? toned('good', 'ready') : toned('bad', 'not ready'),
      about: server.ready ? 'every endpoint can be answered' : undefined,
      notes: [...server.notReady, ...troubles(process).map((trouble) => toned('bad', trouble))],
    },
    {
      notes: server.configuration.lastReloadFailed ? [toned('doubtful', RELOAD_REFUSED)] : [],
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

const RELOAD_REFUSED =
  'the configuration file was refused: the server runs, and starts again, with what it took last; `outpost-dns check` lists the faults';

function configurationText({ ageSeconds, lastReloadFailed }: ServerStatus['server']['configuration']) {
  const age = ageText(ageSeconds);
  return lastReloadFailed
    ? toned('doubtful', `the file was refused: what was loaded ${age} ago runs on`)
    : `${age} old`;
}

function troubles({ log, backgroundFailures, threadsNotEnded }: ServerStatus['process']): readonly string[] {
  const dropped = Object.values(log.dropped).reduce((sum, count) => sum + count, 0);
  const lost = dropped === 0 ? '' : `: ${dropped} lines were dropped`;
  const found: string[] = [];
  if (log.failure !== undefined) found.push(`the log cannot be written: ${log.failure}${lost}`);
  else if (dropped > 0) found.push(`the log has gaps${lost}`);
  const defects = Object.entries(backgroundFailures).map(([work, count]) => `${work} ${count}`);
  if (defects.length > 0)
    found.push(`work in the background failed (${defects.join(', ')}): the log says why, please report it`);
  if (threadsNotEnded > 0)
    found.push(
      `${threadsNotEnded} threads hang in the operating system: a file that they read does not answer, see the log`,
    );
  return found;
}

/**
 * One sentence for each reason; none when ready. `served`: the records that the table answers from now. A refresh saves
 * its result before the table has it.
 */
export function notReady(
  clusters: readonly ClusterSnapshot[],
  served: readonly EndpointRecord[],
): readonly string[] {
  return clusters.flatMap((cluster) => {
    if (served.some((record) => isOf(record, cluster) && isAnswered(record))) return [];
    const text = clusterText(nameOf(cluster), clusters.map(nameOf));
    const name = cluster.endpoint === undefined ? `cluster "${text}"` : `endpoint "${cluster.endpoint}"`;
    const failures = cluster.sources.flatMap(({ source, lastFailure }) =>
      lastFailure === undefined ? [] : [`${source}: ${lastFailure.detail}`],
    );
    return [`${name}: ${missingOf(cluster)}${failures.length === 0 ? '' : ` (${failures.join('; ')})`}`];
  });
}

function nameOf({ cluster: name, region }: ClusterSnapshot): ClusterIdentity {
  return { name, region };
}

function isOf({ cluster, region }: EndpointRecord, snapshot: ClusterSnapshot): boolean {
  return cluster === snapshot.cluster && region === snapshot.region;
}

function isAnswered({ endpoint, addresses }: EndpointRecord): boolean {
  return endpoint !== undefined && addresses.length > 0;
}

function missingOf({ endpoint, addresses }: ClusterSnapshot): string {
  if (endpoint === undefined) return 'its endpoint name is not known yet';
  return addresses.length === 0 ? 'no address is known yet' : 'its addresses are about to be served';
}

const MAX_STRING_OCTETS = 255; // RFC 1035 section 3.3

export function statusStrings(
  cluster: ClusterSnapshot | undefined,
  link: LinkReport,
  nowMs: number,
): readonly string[] {
  const { condition, reason, sinceMs } = link.summary;
  const because = condition === 'connected' || condition === 'unknown' ? '' : `: ${reason}`;
  const strings = [`link=${condition} for ${age(nowMs - sinceMs)}${because}`];
  if (cluster !== undefined) {
    const { confirmedAgoMs, addresses, withheld, basis, sources, held, credentials, pin } = cluster;
    strings.push(`age=${confirmedAgoMs === undefined ? 'unknown' : age(confirmedAgoMs)}`);
    strings.push(`addresses=${addresses.length} basis=${basis}`);
    for (const { address, proof } of [...addresses, ...withheld]) {
      if (proof === undefined) continue;
      const why = proof.reason === undefined ? '' : `: ${proof.reason}`;
      const isServed = addresses.some((one) => one.address === address);
      strings.push(
        `${address}=${proof.state} for ${age(proof.sinceAgoMs)}${why}${isServed ? '' : ', not served'}`,
      );
    }
    for (const { source, latest, lastSuccessAgoMs, lastFailure } of sources) {
      const success = lastSuccessAgoMs === undefined ? 'never' : `${age(lastSuccessAgoMs)} ago`;
      const failure =
        latest === 'failed' && lastFailure !== undefined ? ` failing: ${lastFailure.reason}` : '';
      strings.push(`${source}=${success}${failure}`);
    }
    if (credentials !== undefined && isInTrouble(credentials))
      strings.push(`credentials=${credentials.condition} for ${age(credentials.sinceAgoMs)}`);
    if (held !== undefined) strings.push(`held=${held.addresses.join(',')}`);
    if (pin !== undefined) {
      const { endsInMs, why } = pin;
      const end = endsInMs === undefined ? '' : `, ends in ${age(endsInMs)}: ${why}`;
      strings.push(`pin=${pin.addresses.join(',')} by ${pin.origin}${end}`);
    }
  }
  return strings.map(shortened);
}

/** At most a string of TXT; `stream` leaves out a letter of which only a part is there. */
function shortened(text: string): string {
  return new TextDecoder().decode(Buffer.from(text).subarray(0, MAX_STRING_OCTETS), { stream: true });
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

export const DAEMON_MESSAGES = messages({
  stateRead: {
    level: 'info',
    text: 'state read',
    fields: { generation: 'the generation of endpoints.json', endpoints: 'endpoints with addresses' },
  },
  stateLate: {
    level: 'error',
    text: 'the disk of the state directory does not answer: serving without what was kept',
    fields: { directory: 'the state directory' },
    fix: 'look for a dead network disk or device under `state.directory`; what was kept is served as soon as the disk answers',
  },
  stateUnusable: {
    level: 'error',
    text: 'state file not usable',
    fields: {
      path: 'the file',
      kind: 'the fault',
      detail: 'the fault in words',
      setAsideTo: 'its new path',
      setAsideFailed: 'why it stays where it is',
    },
    fix: 'check the disk, and who owns the file. The previous generation is served; the file is kept beside it: once it can be read, give it its name back while the server is stopped',
  },
  stateTaken: {
    level: 'error',
    text: 'another process keeps its state here: nothing is written, serving all the same',
    fields: { detail: 'the directory and the process' },
    fix: 'end the other server, or give each a `state.directory` of its own',
  },
  stateNotKept: {
    level: 'error',
    text: 'state cannot be kept: serving all the same',
    fields: { detail: 'the failed step' },
    fix: 'make `state.directory` writable for the user of the server, then restart',
  },
  stateNotLocked: {
    level: 'warn',
    text: 'the state directory cannot be locked: writing all the same',
    fields: { detail: 'why not' },
    fix: 'make sure that no other server uses the directory',
  },
  noPages: {
    level: 'error',
    text: 'no metrics, health or status: serving all the same',
    fields: { code: "the system's code", reason: 'the address and the cause' },
    fix: 'end the program that has the port, or set `admin.listen`; the server tries again every 30 s',
  },
  noCommands: {
    level: 'error',
    text: 'no commands can be given: serving all the same',
    fields: { detail: 'the cause', fix: 'the fix' },
    fix: 'as `fix` says; the server tries again every 30 s',
  },
  throughProxy: {
    level: 'info',
    text: 'aws is asked through a proxy',
    fields: { https: 'the proxy', http: 'the proxy', noProxy: 'hosts that are asked directly' },
  },
  ownUpstream: {
    level: 'error',
    text: 'upstream is this server itself: name another one',
    fields: { upstreams: 'these upstreams' },
    fix: 'correct `upstreams` and reload',
  },
  reloaded: { level: 'info', text: 'configuration reloaded' },
  endpointsLeft: {
    level: 'warn',
    text: 'endpoints are no longer answered: no cluster of the configuration has them',
    fields: { endpoints: 'the first of these endpoints', count: 'the number of these endpoints' },
    fix: 'where `name`, `region` or `endpoint` of a cluster was mistyped, correct it and reload: the addresses are still in the state',
  },
  reloadGivenUp: { level: 'info', text: 'reload given up: the server stops' },
  reloadRefused: {
    level: 'error',
    text: 'reload refused: the configuration from before runs on',
    fields: {
      faults: 'path, message and fix of each fault',
      count: 'the number of faults',
      err: 'another error',
    },
    fix: 'correct the file, run `outpost-dns check`, reload. A restart before serves with the configuration that was taken last',
  },
  startedWithAccepted: {
    level: 'error',
    text: 'configuration refused: serving with the one that was taken last',
    fields: {
      faults: 'path, message and fix of each fault',
      count: 'the number of faults',
      err: 'another error',
    },
    fix: 'correct the file, run `outpost-dns check`, reload',
  },
  needsRestart: {
    level: 'warn',
    text: 'changed keys need a restart',
    fields: { keys: 'these keys' },
    fix: 'restart the server at a time of your choice',
  },
  suspended: {
    level: 'warn',
    text: 'the host was suspended: asking again for everything',
    fields: { suspendedMs: 'for how long' },
    fix: 'a DNS server should run on a host that is never suspended',
  },
});
