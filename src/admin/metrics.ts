/** Prometheus metrics, read from the status report at scrape time: nothing is counted twice, nothing on the query path. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Metric } from './metric.ts';
import { METRICS } from './metric-list.ts';
import type { StatusReport } from './status-report.ts';

export interface Metrics {
  readonly contentType: string;
  /** The text of one scrape. */
  render(): Promise<string>;
}

/** Metrics over `read`, which is called once a scrape. `processMetrics`: Node's own (event loop, heap, processor). */
export function createMetrics(read: () => StatusReport, processMetrics: boolean): Metrics {
  const registry = new Registry();
  if (processMetrics) collectProcessMetrics(registry);
  let report: StatusReport | undefined;
  const current = (): StatusReport => {
    report ??= read();
    return report;
  };
  for (const metric of METRICS) register(registry, metric, current);
  return {
    contentType: registry.contentType,
    async render() {
      report = undefined; // read anew with the first metric of this scrape
      return registry.metrics();
    },
  };
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

function register(registry: Registry, metric: Metric, current: () => StatusReport): void {
  const { name, help, labels } = metric;
  const common = { name, help, labelNames: [...labels], registers: [registry] };
  const labelled = (values: readonly string[]) =>
    Object.fromEntries(labels.map((label, at) => [label, values[at] ?? '']));
  if (metric.type === 'counter') {
    new Counter({
      ...common,
      collect() {
        this.reset();
        for (const [value, ...values] of metric.read(current())) this.inc(labelled(values), value);
      },
    });
  } else {
    new Gauge({
      ...common,
      collect() {
        this.reset();
        if (labels.length === 0) this.remove(); // a reset without labels leaves a zero, which would tell of what never was
        for (const [value, ...values] of metric.read(current())) this.set(labelled(values), value);
      },
    });
  }
}
