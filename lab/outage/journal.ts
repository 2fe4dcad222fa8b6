/** The lab's observations, phase by phase, and the tables of them. Pure. */
import type { Exchange } from './capture.ts';
import type { Finding } from './clients.ts';
import type { Gap } from './near-side.ts';

export interface Phase {
  readonly name: string;
  readonly fromMs: number;
  toMs: number;
  /** By client. */
  readonly findings: Map<string, Finding>;
}

/** Queries as their sender saw them. */
export interface Sent {
  readonly sentMs: Float64Array;
  /** `NaN`: no reply; infinity: a reply without an answer. */
  readonly tookMs: Float64Array;
}

/** Figures of one cut, in ms. */
export interface CutFigures {
  readonly cut: string;
  readonly of: Map<Figure, number>;
}

export const FIGURES = {
  aws: 'AWS noticed as cut off',
  upstream: 'upstream noticed as down',
  firstUnknown: 'unknown name, cut not yet noticed',
  unknown: 'unknown name, once noticed (median)',
  stale: 'cached name, once noticed (median)',
  site: "name of the site's own server (median)",
  listening: 'killed: from the new process to its first answers',
  found: 'restored: first sign of life noticed',
  upstreamUp: 'restored: upstream in use again',
  refreshed: 'restored: moved ENI seen by a client',
} as const;
export type Figure = keyof typeof FIGURES;

export class Journal {
  readonly phases: Phase[] = [];
  readonly cuts: CutFigures[] = [];

  /** Ends the phase before. */
  begin(name: string, fromMs: number): Phase {
    const phase: Phase = { name, fromMs, toMs: Number.POSITIVE_INFINITY, findings: new Map() };
    this.end(fromMs);
    this.phases.push(phase);
    return phase;
  }

  end(atMs: number): void {
    const last = this.phases.at(-1);
    if (last !== undefined) last.toMs = Math.min(last.toMs, atMs);
  }

  cut(cut: string): CutFigures {
    const figures: CutFigures = { cut, of: new Map() };
    this.cuts.push(figures);
    return figures;
  }

  /** Markdown: a row for each phase, a column for each client. */
  clientTable(clients: readonly string[]): string[] {
    const rows = this.phases
      .filter(({ findings }) => findings.size > 0)
      .map(({ name, findings }) => [name, ...clients.map((client) => shown(findings.get(client)))]);
    return table(['wall time in ms', ...clients], rows);
  }

  cutTable(): string[] {
    const rows = Object.entries(FIGURES).map(([figure, text]) => [
      text,
      ...this.cuts.map(({ of }) => milliseconds(of.get(figure as Figure))), // a key of that object
    ]);
    return table(['ms', ...this.cuts.map(({ cut }) => cut)], rows);
  }

  loadTable(rows: readonly LoadRow[]): string[] {
    return table(
      [
        'ms',
        'sent',
        'lost',
        'client p50',
        'client p99.9',
        'server p50',
        'server p99',
        'server p99.9',
        'server max',
      ],
      rows.map(({ phase, sent, lost, client, server }) => [
        phase,
        String(sent),
        String(lost),
        ...[0.5, 0.999].map((part) => milliseconds(quantile(client, part))),
        ...[0.5, 0.99, 0.999, 1].map((part) => milliseconds(quantile(server, part))),
      ]),
    );
  }
}

export interface LoadRow {
  readonly phase: string;
  readonly sent: number;
  readonly lost: number;
  /** Answer times in ascending order. */
  readonly client: Float64Array;
  readonly server: Float64Array;
}

/** The load of each phase, as its sender and as the server's end of the wire saw it. */
export function loadRows(phases: readonly Phase[], sent: Sent, exchanges: readonly Exchange[]): LoadRow[] {
  return phases.map(({ name, fromMs, toMs }) => {
    const client = [...sent.tookMs].filter((_, at) => isIn(sent.sentMs[at] ?? 0, fromMs, toMs));
    const server = exchanges.filter(({ askedMs }) => isIn(askedMs, fromMs, toMs)).map(({ tookMs }) => tookMs);
    const answered = client.filter(Number.isFinite);
    return {
      phase: name,
      sent: client.length,
      lost: client.length - answered.length,
      client: Float64Array.from(answered).sort(),
      server: Float64Array.from(server.filter(Number.isFinite)).sort(),
    };
  });
}

/** A time in which a processor of the machine did not run; in ms since 1970. */
export interface Stop {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The exchanges, in the order in which they were asked, less the time in which a processor stood still. */
export function withoutStops(exchanges: readonly Exchange[], stops: readonly Stop[]): Exchange[] {
  const merged = mergedStops(stops);
  let first = 0;
  return exchanges.map((exchange) => {
    const { askedMs, tookMs } = exchange;
    while ((merged[first]?.toMs ?? Number.POSITIVE_INFINITY) <= askedMs) first++;
    let stoodMs = 0;
    for (let at = first; (merged[at]?.fromMs ?? Number.POSITIVE_INFINITY) < askedMs + tookMs; at++) {
      const { fromMs, toMs } = merged[at] as Stop; // at least one, by the check above
      stoodMs += Math.min(toMs, askedMs + tookMs) - Math.max(fromMs, askedMs);
    }
    return { ...exchange, tookMs: tookMs - stoodMs };
  });
}

function mergedStops(stops: readonly Stop[]): Stop[] {
  const merged: { fromMs: number; toMs: number }[] = [];
  for (const { fromMs, toMs } of stops.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1);
    if (last !== undefined && fromMs <= last.toMs) last.toMs = Math.max(last.toMs, toMs);
    else merged.push({ fromMs, toMs });
  }
  return merged;
}

/** Queries that got no answer, or a wrong one, although the process was there: a line for each. */
export function lostOutside(gaps: readonly Gap[], { sentMs, tookMs }: Sent, toleranceMs: number): string[] {
  return [...sentMs].flatMap((ms, at) => {
    if (Number.isFinite(tookMs[at])) return [];
    if (gaps.some(({ fromMs, toMs }) => isIn(ms, fromMs - toleranceMs, toMs + toleranceMs))) return [];
    const sinceMs = ms - (gaps.findLast(({ toMs }) => toMs < ms)?.toMs ?? sentMs[0] ?? 0);
    return `${new Date(ms).toISOString()}: ${Number.isNaN(tookMs[at]) ? 'no answer' : 'a wrong answer'}, ${sinceMs.toFixed(0)} ms after the last start`;
  });
}

/** @param ascending sorted; `NaN` where it is empty */
export function quantile(ascending: Float64Array, part: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(part * ascending.length))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

function isIn(ms: number, fromMs: number, toMs: number): boolean {
  return ms >= fromMs && ms < toMs;
}

function shown(finding: Finding | undefined): string {
  if (finding === undefined) return '-';
  return `${milliseconds(finding.tookMs)}${finding.fault === undefined ? '' : ' FAILED'}`;
}

function milliseconds(ms: number | undefined): string {
  if (ms === undefined || Number.isNaN(ms)) return '-';
  return ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(3, ...all.map((row) => (row[at] ?? '').length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)];
}
