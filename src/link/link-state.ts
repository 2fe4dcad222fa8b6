/**
 * Decides whether this server can reach the far side of the link. Evidence goes in; a condition with its reason and age comes
 * out. Pure.
 *
 *     unknown --> connected <--> degraded --> disconnected --> recovering --> connected
 *                                                  ^--------------'
 *
 * Each AWS Region and each upstream has a state, and there is one summary. Every answer proves the path, a refusal included.
 * A failure that says nothing about the path (missing credentials, a defect of ours) must not be reported here. A proxy or a
 * captive portal may answer in place of the far side. The condition is then degraded with that reason: neither a cut nor a
 * return. The room refuses to know how evidence is gathered and what follows from a condition. Below: which changes are worth a
 * line that stays for months.
 */

export type LinkCondition = 'unknown' | 'connected' | 'degraded' | 'disconnected' | 'recovering';

export interface Evidence {
  /** The kind of path: `aws` with a Region as key, or `upstream` with its address as key. */
  readonly side: 'aws' | 'upstream';
  readonly key: string;
  readonly proves: 'reachable' | 'unreachable' | 'nothing';
  /** A constant text, such as `timeout`; shown as the reason of the state. */
  readonly reason: string;
  /** Monotonic; when the attempt started, if it may have taken long. */
  readonly startedAtMs?: number;
}

export interface LinkState {
  readonly condition: LinkCondition;
  readonly reason: string;
  /** When the condition began, monotonic. */
  readonly sinceMs: number;
  readonly failuresInARow: number;
  readonly successesInARow: number;
  /** When evidence last counted; absent before the first. */
  readonly countedAtMs?: number;
}

export interface LinkPath extends LinkState {
  readonly side: Evidence['side'];
  readonly key: string;
}

/** How much evidence in a row changes a condition. Who asks for evidence asks this often before it slows down. */
export const LINK_THRESHOLDS = {
  /** One lost datagram is no cut. */
  failuresToDisconnect: 3,
  /** A lossy path lets single answers through. */
  successesToConnect: 3,
} as const;

export const initialLinkState: LinkState = {
  condition: 'unknown',
  reason: 'nothing tried yet',
  sinceMs: 0,
  failuresInARow: 0,
  successesInARow: 0,
};

/** The state after one more piece of evidence. */
export function nextLinkState(state: LinkState, evidence: Evidence, nowMs: number): LinkState {
  const isReachable = evidence.proves === 'reachable';
  if (!isReachable && isOldNews(state, evidence)) return state;
  if (evidence.proves === 'nothing') return afterNothing(state, evidence, nowMs);
  const failuresInARow = isReachable ? 0 : state.failuresInARow + 1;
  const successesInARow = isReachable ? state.successesInARow + 1 : 0;
  const condition = isReachable
    ? afterSuccess(state.condition, successesInARow)
    : afterFailure(state.condition, failuresInARow);
  const counted = { failuresInARow, successesInARow, countedAtMs: nowMs };
  if (condition === state.condition) return { ...state, ...counted };
  return { condition, reason: evidence.reason, sinceMs: nowMs, ...counted };
}

/** Keeps the condition of a path that was cut or has just returned, because the answer may come from this side of the cut. */
function afterNothing(state: LinkState, { reason }: Evidence, nowMs: number): LinkState {
  const counted = { successesInARow: 0, countedAtMs: nowMs };
  if (state.condition === 'disconnected' || state.condition === 'recovering') return { ...state, ...counted };
  const sinceMs = state.condition === 'degraded' ? state.sinceMs : nowMs;
  return { ...state, ...counted, condition: 'degraded', reason, sinceMs };
}

/**
 * Whether a failure started before the last evidence, and so says nothing new. Ten polls lost in one short break are one failure,
 * and a poll that hung since the cut does not undo the return. A success of any duration counts.
 */
function isOldNews({ countedAtMs }: LinkState, { startedAtMs }: Evidence): boolean {
  return countedAtMs !== undefined && startedAtMs !== undefined && startedAtMs < countedAtMs;
}

function afterSuccess(before: LinkCondition, successesInARow: number): LinkCondition {
  if (before === 'unknown' || before === 'connected') return 'connected';
  if (successesInARow >= LINK_THRESHOLDS.successesToConnect) return 'connected';
  return before === 'disconnected' ? 'recovering' : before;
}

function afterFailure(before: LinkCondition, failuresInARow: number): LinkCondition {
  if (before === 'disconnected' || before === 'recovering') return 'disconnected';
  if (failuresInARow >= LINK_THRESHOLDS.failuresToDisconnect) return 'disconnected';
  return before === 'unknown' ? 'unknown' : 'degraded';
}

/**
 * One condition for all paths. The link is the link to AWS: upstreams decide only until a Region was tried, because they may
 * stand on the site. While AWS answers, an upstream that does not answer makes the link degraded. Reason and age are those
 * of the deciding path that changed last.
 */
export function summarizeLinks(paths: readonly LinkPath[]): LinkState {
  const known = paths.filter(({ condition }) => condition !== 'unknown');
  const aws = known.filter(({ side }) => side === 'aws');
  const deciding = aws.length > 0 ? aws : known;
  const decided = commonCondition(deciding);
  const condition = decided === 'connected' ? commonCondition(known) : decided;
  let latest: LinkPath | undefined;
  for (const path of condition === decided ? deciding : known) {
    if (latest === undefined || path.sinceMs > latest.sinceMs) latest = path;
  }
  return latest === undefined ? initialLinkState : { ...latest, condition };
}

function commonCondition(paths: readonly LinkPath[]): LinkCondition {
  const [first] = paths;
  if (first === undefined) return 'unknown';
  return paths.every(({ condition }) => condition === first.condition) ? first.condition : 'degraded';
}

// Which changes of a condition get a line that stays for months. The first change of a series gets it at once; later
// changes only when they last. A link that loses four packets in five must not push every other line out. Pure.
//
//     connected --cut--> disconnected  at once      disconnected --back--> connected  at once
//     then back and forth for a day: no line until a condition has lasted; that line counts the flickers

/** A condition that lasts this long is no flicker; a lossy path changes within seconds. */
const LASTING_MS = 30_000;
/** After this time without a change, the next change starts a new series. A shorter pause never ends a series. */
const QUIET_MS = 300_000;
/** A cut and a return: further changes in the same series are flickers. */
const LINES_OF_A_CUT = 2;

interface Transition {
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
