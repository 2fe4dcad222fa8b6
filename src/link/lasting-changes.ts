/**
 * Which changes of a path's condition are worth a line that is kept for months: the first word of a series at once, and
 * from then on only what lasts, so that a link which loses four packets in five does not wash everything else out. Pure.
 *
 *     connected --cut--> disconnected  at once      disconnected --back--> connected  at once
 *     ... then back and forth for a day: nothing, until one of the two has lasted; that line says how often it was not so
 */
import type { LinkCondition } from './link-state.ts';

/** So long a condition holds before it counts as more than a flicker; a path that is lossy changes within seconds. */
const LASTING_MS = 30_000;
/** After so long without any change the next one begins a series of its own; in a long series nothing shorter counts. */
const QUIET_MS = 300_000;
/** A cut and a return: what comes behind them within one series is unsteadiness. */
const LINES_OF_A_CUT = 2;

export interface Transition {
  readonly from: LinkCondition;
  readonly to: LinkCondition;
  readonly reason: string;
}

/** What to write down. */
export interface LastingChange extends Transition {
  /** When it happened, monotonic. */
  readonly atMs: number;
  /** How long the condition before lasted, flickers included; absent where nothing was known before. */
  readonly lastedMs?: number;
  /** Changes before it that did not last; absent where there were none. */
  readonly flickers?: number;
}

export interface Series {
  /** What was written down last, and since when it held. */
  readonly told: LinkCondition;
  readonly toldSinceMs: number;
  /** What may last. */
  readonly waiting?: Omit<LastingChange, 'from' | 'lastedMs' | 'flickers'> | undefined;
  readonly changedAtMs: number;
  /** Lines of this series: who reads them knows already that something is going on. */
  readonly lines: number;
  readonly flickers: number;
}

export interface Outcome {
  readonly series: Series;
  readonly change?: LastingChange;
}

/** `series` is absent before the first transition of a path. */
export function afterTransition(
  series: Series | undefined,
  { from, to, reason }: Transition,
  nowMs: number,
): Outcome {
  if (series === undefined || from === 'unknown') return begin({ from, to, reason, atMs: nowMs });
  const isNew = nowMs - series.changedAtMs >= QUIET_MS;
  const current = { ...series, changedAtMs: nowMs, ...(isNew ? { lines: 0, flickers: 0 } : {}) };
  // a first answer is no return yet, and a cut goes on through it
  if (to === 'recovering') return { series: current };
  const { waiting } = current;
  const isFlicker = isSettled(waiting?.to) && waiting?.to !== to;
  const isBackInTheCut = from === 'recovering' && to === 'disconnected';
  const counted = { ...current, flickers: current.flickers + Number(isFlicker || isBackInTheCut) };
  if (waiting?.to === to) return { series: counted };
  if (to === current.told) {
    const lines = to === 'disconnected' ? Math.max(1, counted.lines) : counted.lines; // the cut is told of
    return { series: { ...counted, waiting: undefined, lines } };
  }
  const next = { to, reason, atMs: nowMs };
  if (isSettled(to) && current.lines === 0) return tell(counted, next);
  return { series: { ...counted, waiting: next } };
}

/** When to call `afterWait`; `undefined` while nothing waits. */
export function dueAtMs({ waiting, lines }: Series): number | undefined {
  return waiting && waiting.atMs + (lines < LINES_OF_A_CUT ? LASTING_MS : QUIET_MS);
}

/** What has lasted by now. */
export function afterWait(series: Series, nowMs: number): Outcome {
  const { waiting } = series;
  const dueMs = dueAtMs(series);
  return waiting === undefined || dueMs === undefined || nowMs < dueMs ? { series } : tell(series, waiting);
}

function begin({ from, ...change }: Omit<LastingChange, 'lastedMs' | 'flickers'>): Outcome {
  const { to, atMs } = change;
  return {
    series: { told: to, toldSinceMs: atMs, changedAtMs: atMs, lines: 0, flickers: 0 },
    change: { from, ...change },
  };
}

function tell(series: Series, waiting: NonNullable<Series['waiting']>): Outcome {
  const { told, toldSinceMs, changedAtMs, flickers } = series;
  const { to, atMs } = waiting;
  const lastedMs = Math.round(atMs - toldSinceMs);
  const lines = series.lines + Number(isSettled(to));
  return {
    series: { told: to, toldSinceMs: atMs, changedAtMs, lines, flickers: 0 },
    change: { from: told, ...waiting, lastedMs, ...(flickers > 0 ? { flickers } : {}) },
  };
}

function isSettled(condition: LinkCondition | undefined): boolean {
  return condition === 'connected' || condition === 'disconnected';
}
