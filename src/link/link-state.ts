/**
 * The link: is the far side reachable? Evidence in, a condition with its reason and its age out.
 *
 *     unknown --> connected <--> degraded --> disconnected --> recovering --> connected
 *                                                  ^--------------'
 *
 * One state for each AWS Region and each upstream, and one summary. Any answer proves the path, a refusal
 * included; what says nothing about the path (missing credentials, a fault of our own) must not be reported
 * here at all. Something in between that answers in place of the far side (a proxy, a captive portal) is neither: the
 * condition becomes degraded, with its name as the reason, and neither a cut nor a return follows from it.
 * The room refuses to know how evidence is gathered and what anybody does about the condition.
 */

export type LinkCondition = 'unknown' | 'connected' | 'degraded' | 'disconnected' | 'recovering';

export interface Evidence {
  /** What was tried: `aws` with a Region as key, or `upstream` with its address as key. */
  readonly side: 'aws' | 'upstream';
  readonly key: string;
  readonly proves: 'reachable' | 'unreachable' | 'nothing';
  /** A constant text, such as `timeout`; shown as the state's reason. */
  readonly reason: string;
  /** Monotonic; when the attempt began, where it may have taken long. */
  readonly startedAtMs?: number;
}

export interface LinkState {
  readonly condition: LinkCondition;
  readonly reason: string;
  /** When the condition began, on the monotonic clock. */
  readonly sinceMs: number;
  readonly failuresInARow: number;
  readonly successesInARow: number;
  /** When evidence last counted; absent before any has. */
  readonly countedAtMs?: number;
}

/** So many failures in a row, and the path counts as cut: one lost datagram is not a cut. */
const FAILURES_TO_DISCONNECT = 3;
/** So many successes in a row, and the path counts as whole again: a lossy path lets single ones through. */
const SUCCESSES_TO_CONNECT = 3;

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

/** A path that was cut, or has just come back, stays as it was: what answers may stand on this side of the cut. */
function afterNothing(state: LinkState, { reason }: Evidence, nowMs: number): LinkState {
  const counted = { successesInARow: 0, countedAtMs: nowMs };
  if (state.condition === 'disconnected' || state.condition === 'recovering') return { ...state, ...counted };
  const sinceMs = state.condition === 'degraded' ? state.sinceMs : nowMs;
  return { ...state, ...counted, condition: 'degraded', reason, sinceMs };
}

/**
 * What was under way when the last word came says nothing new: ten looks lost in one short break are one failure, and one
 * that hung since the cut does not undo the return. An answer counts however long it took.
 */
function isOldNews({ countedAtMs }: LinkState, { startedAtMs }: Evidence): boolean {
  return countedAtMs !== undefined && startedAtMs !== undefined && startedAtMs < countedAtMs;
}

function afterSuccess(before: LinkCondition, successesInARow: number): LinkCondition {
  if (before === 'unknown' || before === 'connected') return 'connected';
  if (successesInARow >= SUCCESSES_TO_CONNECT) return 'connected';
  return before === 'disconnected' ? 'recovering' : before;
}

function afterFailure(before: LinkCondition, failuresInARow: number): LinkCondition {
  // a path that has just come back and fails again has not come back
  if (before === 'disconnected' || before === 'recovering') return 'disconnected';
  if (failuresInARow >= FAILURES_TO_DISCONNECT) return 'disconnected';
  return before === 'unknown' ? 'unknown' : 'degraded';
}

export interface LinkPath extends LinkState {
  readonly side: Evidence['side'];
  readonly key: string;
}

/**
 * One word for all paths. The link is the one to AWS: upstreams decide only while no Region was tried, for they may
 * stand on the site; while AWS answers, an upstream that does not makes it degraded. Reason and age are those of the
 * path that changed last among those that decide.
 */
export function summarizeLinks(paths: readonly LinkPath[]): LinkState {
  const known = paths.filter(({ condition }) => condition !== 'unknown');
  const aws = known.filter(({ side }) => side === 'aws');
  const deciding = aws.length > 0 ? aws : known;
  const word = commonCondition(deciding);
  const condition = word === 'connected' ? commonCondition(known) : word;
  const blamed = condition === word ? deciding : known;
  const latest = blamed.toSorted((a, b) => b.sinceMs - a.sinceMs)[0];
  return latest === undefined ? initialLinkState : { ...latest, condition };
}

function commonCondition(paths: readonly LinkPath[]): LinkCondition {
  const conditions = new Set(paths.map(({ condition }) => condition));
  const [only] = conditions;
  if (only !== undefined && conditions.size === 1) return only;
  return only === undefined ? 'unknown' : 'degraded';
}
