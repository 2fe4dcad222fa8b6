/** The status report as a person reads it in ten seconds: ready or not, the link, each endpoint, then the rest; pure. */
import type { EndpointReport, RetainedReport, StatusReport, UpstreamReport } from '../admin/status-report.ts';
import {
  ageText,
  BASIS_TEXT,
  cutText,
  processTroubles,
  shownRetained,
  writeTroubles,
} from '../admin/status-words.ts';
import { columns, type Paint, printable, type Style } from './terminal.ts';

export function statusLines(report: StatusReport, paint: Paint): string[] {
  return [
    ...readyLines(report, paint),
    ...linkLines(report, paint),
    ...drillLines(report, paint),
    ...report.endpoints.flatMap((endpoint) => ['', ...endpointLines(endpoint, paint)]),
    '',
    ...upstreamLines(report.upstreams, paint),
    ...retainedLines(report, paint),
    '',
    ...columns([cacheRow(report), stateRow(report, paint), serverRow(report, paint)]),
    ...[...writeTroubles(report.state), ...processTroubles(report.process)].map((trouble) =>
      paint('red', printable(trouble)),
    ),
    ...report.state.faults.map((fault) => paint('yellow', `fault: ${printable(fault)}`)),
  ];
}

function readyLines({ server }: StatusReport, paint: Paint): string[] {
  if (server.ready) return [paint('green', 'ready: every endpoint can be answered')];
  return [paint('red', 'not ready'), ...server.notReady.map((reason) => `  ${printable(reason)}`)];
}

const CONDITION_STYLES: Readonly<Record<StatusReport['link']['summary']['condition'], Style>> = {
  unknown: 'dim',
  connected: 'green',
  degraded: 'yellow',
  recovering: 'yellow',
  disconnected: 'red',
};

function linkLines({ link }: StatusReport, paint: Paint): string[] {
  const condition = (one: StatusReport['link']['summary']) => {
    const since = one.condition === 'unknown' ? '' : ` for ${ageText(one.ageSeconds)}`;
    return `${paint(CONDITION_STYLES[one.condition], one.condition)}${since} (${printable(one.reason)})`;
  };
  const paths = link.paths.map((path) => [`${path.side} ${printable(path.key)}`, condition(path)]);
  return [`link: ${condition(link.summary)}`, ...columns(paths, 2)];
}

function drillLines({ drill }: StatusReport, paint: Paint): string[] {
  if (!drill.isRunning) return [];
  const left = drill.endsInSeconds === undefined ? '' : `, ends in ${ageText(drill.endsInSeconds)}`;
  return [paint('yellow', `a drill runs: an outage is rehearsed${left}, or with "outpost-dns drill stop"`)];
}

function endpointLines(endpoint: EndpointReport, paint: Paint): string[] {
  const { basis, confirmedAgeSeconds, changedAgeSeconds, ttlSeconds, held, clusterId } = endpoint;
  const name = endpoint.endpoint ?? 'endpoint name not known';
  const place = endpoint.region === undefined ? endpoint.cluster : `${endpoint.cluster}, ${endpoint.region}`;
  const isDoubtful = basis === 'kept' || basis === 'none' || basis === 'pin';
  const age = confirmedAgeSeconds === undefined ? 'never' : `${ageText(confirmedAgeSeconds)} ago`;
  const changed = changedAgeSeconds === undefined ? '' : `, changed ${ageText(changedAgeSeconds)} ago`;
  const basisText = printable(BASIS_TEXT[basis] ?? basis);
  return [
    `${paint('bold', printable(name))} (${printable(place)})`,
    ...columns(
      [
        ['addresses', addressText(endpoint, paint)],
        ['from', isDoubtful ? paint('yellow', basisText) : basisText],
        ['confirmed', `${age}${changed}, TTL ${ttlSeconds} s`],
        ...(clusterId === undefined ? [] : [['cluster id', printable(clusterId)]]),
        ...(held === undefined ? [] : [['held back', paint('yellow', heldText(held))]]),
        ...endpoint.warnings.map((warning) => ['warning', paint('yellow', printable(warning))]),
      ],
      2,
    ),
    ...columns(sourceRows(endpoint, paint), 2),
  ];
}

function addressText({ addresses }: EndpointReport, paint: Paint): string {
  if (addresses.length === 0) return paint('red', 'none');
  const texts = addresses.map(({ address, isDead, interfaceStatus, lackedAgeSeconds }) => {
    const remarks = [
      ...(isDead ? ['does not answer, given last'] : []),
      ...(interfaceStatus === undefined ? [] : [`interface ${printable(interfaceStatus)}`]),
      ...(lackedAgeSeconds === undefined ? [] : [`not listed by EC2 for ${ageText(lackedAgeSeconds)}`]),
    ];
    const text = remarks.length === 0 ? printable(address) : `${printable(address)} (${remarks.join('; ')})`;
    return isDead ? paint('red', text) : text;
  });
  return texts.join(', ');
}

function heldText({ addresses, reason, ageSeconds }: NonNullable<EndpointReport['held']>): string {
  return `${addresses.map(printable).join(', ')} for ${ageText(ageSeconds)}: ${printable(reason)}`;
}

function sourceRows({ sources }: EndpointReport, paint: Paint): string[][] {
  if (sources.length === 0) return [];
  const head = ['source', 'confirmed', 'next', 'latest'].map((title) => paint('dim', title));
  return [
    head,
    ...sources.map(({ source, ageSeconds, nextAttemptInSeconds, latest, lastFailure }) => [
      printable(source),
      ageSeconds === undefined ? 'never' : `${ageText(ageSeconds)} ago`,
      nextAttemptInSeconds === undefined ? '-' : `in ${ageText(nextAttemptInSeconds)}`,
      latest === 'failed' ? paint('red', failureText(lastFailure)) : latest,
    ]),
  ];
}

function failureText(failure: EndpointReport['sources'][number]['lastFailure']): string {
  if (failure === undefined) return 'failed';
  return `failed ${ageText(failure.ageSeconds)} ago: ${printable(failure.reason)}: ${printable(failure.detail)}`;
}

function upstreamLines(upstreams: readonly UpstreamReport[], paint: Paint): string[] {
  const head = ['upstream', 'state', 'round trip', 'in flight'].map((title) => paint('dim', title));
  const rows = upstreams.map((report) => [
    printable(report.upstream),
    upstreamState(report, paint),
    report.rttSeconds === undefined ? '-' : `${Number((report.rttSeconds * 1000).toPrecision(2))} ms`,
    String(report.inFlight),
  ]);
  return columns([head, ...rows]);
}

function upstreamState(report: UpstreamReport, paint: Paint): string {
  const { isHealthy, isLooping, cutNames } = report;
  if (isLooping) return paint('red', 'loops back to this server');
  if (isHealthy && cutNames > 0) return paint('yellow', printable(cutText(report)));
  return isHealthy ? paint('green', 'up') : paint('red', 'down');
}

const RETAINED_STYLES: Readonly<Record<RetainedReport['state'], Style>> = {
  fresh: 'green',
  stale: 'yellow',
  denied: 'yellow',
  unknown: 'red',
};

function retainedLines(report: StatusReport, paint: Paint): string[] {
  if (report.retained.length === 0) return [];
  const head = ['retained', 'type', 'state', 'confirmed', 'next'].map((title) => paint('dim', title));
  const { shown, rest } = shownRetained(report);
  const rows = shown.map((one) => [
    printable(one.name),
    printable(one.type),
    paint(RETAINED_STYLES[one.state], one.state),
    confirmedText(one),
    one.nextAttemptInSeconds === undefined ? '-' : `in ${ageText(one.nextAttemptInSeconds)}`,
  ]);
  return ['', ...columns([head, ...rows]), ...(rest === undefined ? [] : [paint('dim', rest)])];
}

function confirmedText({ confirmedAgeSeconds, doubtedAgeSeconds, lastFailure }: RetainedReport): string {
  if (confirmedAgeSeconds === undefined) return `never${failedText(lastFailure)}`;
  const doubted =
    doubtedAgeSeconds === undefined ? '' : `; denied for ${ageText(doubtedAgeSeconds)}, not believed`;
  return `${ageText(confirmedAgeSeconds)} ago${doubted}`;
}

function failedText(failure: RetainedReport['lastFailure']): string {
  return failure === undefined ? '' : `: ${printable(failure.detail)}`;
}

function cacheRow({ cache, queries }: StatusReport): string[] {
  const mebibytes = (octets: number) => (octets / 1024 / 1024).toFixed(1);
  const used = `${mebibytes(cache.octets)} of ${mebibytes(cache.limitOctets)} MiB`;
  return ['cache', `${cache.entries} answers, ${used}; ${queries.pending} queries wait for an upstream`];
}

function stateRow({ state }: StatusReport, paint: Paint): string[] {
  const saved = state.savedAgeSeconds === undefined ? '' : `, saved ${ageText(state.savedAgeSeconds)} ago`;
  const where = `${printable(state.directory)}, generation ${state.generation}${saved}`;
  if (state.failure !== undefined) {
    return ['state', `${where}; ${paint('red', `saving fails: ${printable(state.failure)}`)}`];
  }
  return ['state', state.isPending ? `${where}; ${paint('yellow', 'not all is on disk yet')}` : where];
}

function serverRow({ server }: StatusReport, paint: Paint): string[] {
  const { version, runtime, uptimeSeconds, configuration, listening } = server;
  const reload = configuration.lastReloadFailed
    ? `; ${paint('yellow', `the last reload was refused: the configuration of ${ageText(configuration.ageSeconds)} ago runs on`)}`
    : '';
  const addresses = listening.map(({ address }) => printable(address)).join(', ');
  return [
    'server',
    `${printable(version)} on ${printable(runtime)}, up ${ageText(uptimeSeconds)}, listens on ${addresses}${reload}`,
  ];
}
