/**
 * Prometheus metrics, read from the rooms' reports at scrape time: nothing is counted twice, nothing on the query path.
 * The text of a large site is made in pieces, because queries are answered by the same loop. Node's own metrics are
 * prom-client's.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Metric, RoomReport } from '../report/report.ts';
import { type Pause, turnBound } from '../runtime/slices.ts';
import { inPieces } from './long-text.ts';

export interface Metrics {
  readonly contentType: string;
  /** The text of one scrape, in UTF-8. */
  render(): Promise<readonly Uint8Array[]>;
}

/** The metrics of the reports over `read`, which is called once a scrape. `processMetrics`: Node's own (event loop, heap, processor). */
export function createMetrics<Status>(
  reports: readonly RoomReport<Status>[],
  read: () => Status | Promise<Status>,
  processMetrics: boolean,
  pause: Pause = async () => undefined,
): Metrics {
  const registry = new Registry();
  if (processMetrics) collectProcessMetrics(registry);
  return {
    contentType: registry.contentType,
    async render() {
      const pieces = await inPieces(metricTexts(reports, await read()), pause);
      if (!processMetrics) return pieces;
      await pause();
      return [...pieces, Buffer.from(await processTexts(registry, pause))];
    },
  };
}

/** As `registry.metrics()`, in several turns: the first scrape took 6 ms of one. */
async function processTexts(registry: Registry, pause: Pause): Promise<string> {
  let text = '';
  let isOver = turnBound();
  for (const { name } of registry.getMetricsAsArray()) {
    text += `${await registry.getSingleMetricAsString(name)}\n\n`;
    if (!isOver()) continue;
    await pause();
    isOver = turnBound();
  }
  return text;
}

/** A line a text. */
function* metricTexts<Status>(reports: readonly RoomReport<Status>[], status: Status): Iterable<string> {
  for (const metric of reports.flatMap(({ metrics }) => metrics)) {
    yield `# HELP ${metric.name} ${metric.help}\n# TYPE ${metric.name} ${metric.type}\n`;
    for (const [value, ...values] of metric.read(status)) {
      yield `${metric.name}${labelText(metric, values)} ${value}\n`;
    }
    yield '\n';
  }
}

function labelText({ labels }: Pick<Metric<never>, 'labels'>, values: readonly string[]): string {
  if (labels.length === 0) return '';
  return `{${labels.map((label, at) => `${label}="${escaped(values[at] ?? '')}"`).join(',')}}`;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };

/** As the text format has it: backslash, quote and line feed are written with a backslash. */
function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => ESCAPES[character] ?? '');
}

/** Gauges whose names end as only a counter's may; the same figures stand, by kind, in metrics of the same name without `_total`. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
}

/** The page `docs/metrics.md`, generated from the reports so that it cannot fall behind. */
export function metricsPage(reports: readonly Pick<RoomReport<never>, 'metrics'>[]): string {
  const metrics = reports.flatMap((report) => report.metrics);
  const rows = metrics.map(
    ({ name, type, labels, help }) => `| \`${name}\` | ${type} | ${labels.join(', ')} | ${help} |`,
  );
  return `<!-- Generated from the rooms' reports by "node scripts/generate.ts": do not edit. -->

# Metrics

\`http://127.0.0.1:9153/metrics\` (\`admin.listen\`), for clients in \`admin.allow\`: loopback and RFC 1918 by default. A page is made once a second at
most, however many ask. Labels hold configured things only: never a client's address or a name that
somebody asked for. Ages are seconds, and absent where there is none. Node's own metrics (\`process_*\`, \`nodejs_*\`, the delay of
the event loop among them) are there too. \`/status\` says as JSON what they are made from; of retained names it lists a hundred at most,
those that need somebody first, and counts the others.

Alert rules over these names are in [config/prometheus](../config/prometheus/outpost-dns.rules.yaml) (\`promtool test rules
config/prometheus/outpost-dns.test.yaml\` tries them), and a board for Grafana in [config/grafana](../config/grafana/outpost-dns.json). Both are generated
from the same list, and alerts about a cut are silent while a drill runs. Watch these first:

- \`outpost_dns_endpoint_age_seconds\`: how old the truth is. Minutes while connected; it grows through an outage. Warn at 7 and 30 days.
- \`outpost_dns_ready\`: 0 when an endpoint cannot be answered at all.
- \`outpost_dns_link_connected\`: AWS and each upstream.
- \`outpost_dns_endpoint_change_held\` and \`outpost_dns_endpoint_sources_disagree\`: something changed that a person should look at.
- \`outpost_dns_state_save_failures_total\`: what is served would not survive a restart.
- \`outpost_dns_configuration_reload_failed\`: 1 when the file as it is now was refused. The configuration from before runs on, but a restart would have only
  that file: fix it and reload. \`outpost-dns check\` lists its faults, \`outpost-dns history\` the faults at the time of the reload.
- \`nodejs_eventloop_lag_max_seconds\`: the longest that any work, a query too, has waited for its turn since the last scrape. 0.01 of it is the step in
  which it is measured. Above 0.1 the host has too little processor for us.

| metric | type | labels | says |
|---|---|---|---|
${rows.join('\n')}
`;
}
