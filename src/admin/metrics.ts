/**
 * Prometheus metrics, read from the status report at scrape time: nothing is counted twice, nothing on the query path.
 * The text of a large site is made in pieces, because queries are answered by the same loop. Node's own metrics are
 * prom-client's.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Pause } from '../runtime/slices.ts';
import type { Metric } from './metric.ts';
import { METRICS } from './metric-list.ts';
import type { StatusReport } from './status-report.ts';

export interface Metrics {
  readonly contentType: string;
  /** The text of one scrape. */
  render(): Promise<string>;
}

/** Samples written before the loop has its turn: a fraction of a millisecond. */
const SAMPLES_PER_TURN = 200;

/** Metrics over `read`, which is called once a scrape. `processMetrics`: Node's own (event loop, heap, processor). */
export function createMetrics(
  read: () => StatusReport | Promise<StatusReport>,
  processMetrics: boolean,
  pause: Pause = async () => undefined,
): Metrics {
  const registry = new Registry();
  if (processMetrics) collectProcessMetrics(registry);
  return {
    contentType: registry.contentType,
    async render() {
      const report = await read();
      const lines: string[] = [];
      let turnEnd = SAMPLES_PER_TURN;
      for (const metric of METRICS) {
        lines.push(`# HELP ${metric.name} ${metric.help}`, `# TYPE ${metric.name} ${metric.type}`);
        for (const [value, ...values] of metric.read(report)) {
          if (lines.length > turnEnd) {
            await pause();
            turnEnd = lines.length + SAMPLES_PER_TURN;
          }
          lines.push(`${metric.name}${labelText(metric, values)} ${value}`);
        }
        lines.push('');
      }
      if (processMetrics) await pause();
      return `${lines.join('\n')}\n${await registry.metrics()}`;
    },
  };
}

function labelText({ labels }: Metric, values: readonly string[]): string {
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
