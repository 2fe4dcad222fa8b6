/**
 * Decides which changes of a condition get a line that stays for months. The first change of a series gets it at once; later
 * changes only when they last. A link that loses four packets in five must not push every other line out. Pure.
 *
 *     connected --cut--> disconnected  at once      disconnected --back--> connected  at once
 *     then back and forth for a day: no line until a condition has lasted; that line counts the flickers
 */
import type { LinkCondition } from './link-state.ts';

/** A condition that lasts this long is no flicker; a lossy path changes within seconds. */
const LASTING_MS = 30_000;
/** After this time without a change, the next change starts a new series. A shorter pause never ends a series. */
const QUIET_MS = 300_000;
/** A cut and a return: further changes in the same series are flickers. */
const LINES_OF_A_CUT = 2;

export interface Transition {
  readonly from: LinkCondition;
  readonly to: LinkCondition;
  readonly reason: string;
}

/** A change to record. */
export interface LastingChange extends Transition {
  /** When it happened, monotonic. */
  readonly atMs: number;
  /** How long the condition before lasted, flickers included; absent for the first known condition. */
  readonly lastedMs?: number;
  /** Changes before it that did not last; absent when there were none. */
  readonly flickers?: number;
}

export interface Series {
  /** The condition that was recorded last, and when it began. */
  readonly recorded: LinkCondition;
  readonly recordedSinceMs: number;
  /** A change that may last. */
  readonly waiting?: Pick<LastingChange, 'to' | 'reason' | 'atMs'> | undefined;
  readonly changedAtMs: number;
  /** Lines of this series: their reader already knows that the link is unsteady. */
  readonly lines: number;
  readonly flickers: number;
}

export interface Outcome {
  readonly series: Series;
  readonly change?: LastingChange;
}

/** @param series absent before the first transition of a path */
export function afterTransition(
  series: Series | undefined,
  { from, to, reason }: Transition,
  nowMs: number,
): Outcome {
  if (series === undefined || from === 'unknown') {
    return {
      series: { recorded: to, recordedSinceMs: nowMs, changedAtMs: nowMs, lines: 0, flickers: 0 },
      change: { from, to, reason, atMs: nowMs },
    };
  }
  const isNew = nowMs - series.changedAtMs >= QUIET_MS;
  const current = { ...series, changedAtMs: nowMs, ...(isNew ? { lines: 0, flickers: 0 } : {}) };
  // a first answer is no return yet: the cut goes on
  if (to === 'recovering') return { series: current };
  const { waiting } = current;
  const isFlicker = isSettled(waiting?.to) && waiting?.to !== to;
  const isBackInTheCut = from === 'recovering' && to === 'disconnected';
  const counted = { ...current, flickers: current.flickers + Number(isFlicker || isBackInTheCut) };
  if (waiting?.to === to) return { series: counted };
  if (to === current.recorded) {
    const lines = to === 'disconnected' ? Math.max(1, counted.lines) : counted.lines; // the cut has its line
    return { series: { ...counted, waiting: undefined, lines } };
  }
  const next = { to, reason, atMs: nowMs };
  if (isSettled(to) && current.lines === 0) return record(counted, next);
  return { series: { ...counted, waiting: next } };
}

/** When to call `afterWait`; `undefined` while nothing waits. */
export function dueAtMs({ waiting, lines }: Series): number | undefined {
  return waiting && waiting.atMs + (lines < LINES_OF_A_CUT ? LASTING_MS : QUIET_MS);
}

/** Records the waiting change if it has lasted. */
export function afterWait(series: Series, nowMs: number): Outcome {
  const { waiting } = series;
  const dueMs = dueAtMs(series);
  return waiting === undefined || dueMs === undefined || nowMs < dueMs ? { series } : record(series, waiting);
}

function record(series: Series, waiting: NonNullable<Series['waiting']>): Outcome {
  const { recorded: from, recordedSinceMs, changedAtMs, flickers } = series;
  const { to, atMs } = waiting;
  const lastedMs = Math.round(atMs - recordedSinceMs);
  const lines = series.lines + Number(isSettled(to));
  return {
    series: { recorded: to, recordedSinceMs: atMs, changedAtMs, lines, flickers: 0 },
    change: { from, ...waiting, lastedMs, ...(flickers > 0 ? { flickers } : {}) },
  };
}

function isSettled(condition: LinkCondition | undefined): boolean {
  return condition === 'connected' || condition === 'disconnected';
}
