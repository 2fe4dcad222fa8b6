/** What a metric is: its name, what it says, its labels and where in the report it is read. */
import type { StatusReport } from './status-report.ts';

/** A value and its labels' values, in the order of `labels`. */
export type Sample = readonly [value: number, ...labels: string[]];

export interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (report: StatusReport) => readonly Sample[];
}

export function gauge(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name: `outpost_dns_${name}`, type: 'gauge', help, labels, read };
}

export function counter(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name: `outpost_dns_${name}_total`, type: 'counter', help, labels, read };
}
