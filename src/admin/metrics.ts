/**
 * Prometheus metrics, read from the rooms' reports at scrape time: nothing is counted twice, nothing on the query path.
 * The text of a large site is made in pieces, because queries are answered by the same loop. Node's own metrics are
 * prom-client's.
 */
import { opendir } from 'node:fs/promises';
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Metric, RoomReport } from '../report/report.ts';
import { turnBound } from '../runtime/clock.ts';
import { inPieces, type Pause } from '../runtime/slices.ts';

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

const OPEN_FDS = 'process_open_fds';

function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  const original = registry.getSingleMetric(OPEN_FDS);
  if (original === undefined) return; // not on this system
  registry.removeSingleMetric(OPEN_FDS);
  new Gauge({
    name: OPEN_FDS,
    help: 'Number of open file descriptors.',
    registers: [registry],
    async collect() {
      const open = await openDescriptors().catch(() => undefined);
      if (open !== undefined) this.set(open);
    },
  });
}

/** Names that a thread of the pool reads at a time. */
const NAMES_AT_ONCE = 256;

/** prom-client's own metric lists the descriptors in this thread: with 10,000 sockets no query was answered for 21 ms. */
async function openDescriptors(): Promise<number> {
  let open = -1; // without the descriptor of the listing
  for await (const _ of await opendir('/proc/self/fd', { bufferSize: NAMES_AT_ONCE })) open++;
  return open;
}
