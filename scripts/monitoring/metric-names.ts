/** The names of metrics as alert rules and the board use them: a name or a label that no report declares is an error here. */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { ROOM_REPORTS } from '../../src/daemon/report.ts';

const LABELS: ReadonlyMap<string, readonly string[]> = new Map(
  ROOM_REPORTS.flatMap(({ metrics }) => metrics.map(({ name, labels }) => [name, labels] as const)),
);

const OF_THE_RUNTIME: ReadonlySet<string> = new Set(runtimeMetrics());

function runtimeMetrics(): string[] {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  registry.clear();
  return names;
}

/** `series('link_connected', { side: 'summary' })`: `outpost_dns_link_connected{side="summary"}`. */
export function series(short: string, where: Readonly<Record<string, string>> = {}): string {
  const name = `outpost_dns_${short}`;
  const labels = LABELS.get(name);
  if (labels === undefined) throw new Error(`no room reports the metric "${name}"`);
  const unknown = Object.keys(where).find((label) => !labels.includes(label));
  if (unknown !== undefined)
    throw new Error(`metric "${name}" has no label "${unknown}": ${labels.join(', ')}`);
  const matchers = Object.entries(where).map(([label, value]) => `${label}="${value}"`);
  return matchers.length === 0 ? name : `${name}{${matchers.join(',')}}`;
}

/** A metric of Node itself. */
export function ofTheRuntime(name: string): string {
  if (!OF_THE_RUNTIME.has(name)) throw new Error(`prom-client has no metric "${name}"`);
  return name;
}
