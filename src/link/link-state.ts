/**
 * Decides whether this server can reach the far side of the link. Evidence goes in; a condition with its reason and age comes
 * out. Pure.
 *
 *     unknown --> connected <--> degraded --> disconnected <--> recovering --> connected
 *        |                           ^              ^
 *        |-- evidence of nothing ----'              |
 *        `-- three failures ------------------------'
 *
 * Each AWS Region and each upstream has a state, and there is one summary. Every answer proves the path, a refusal included.
 * A failure that says nothing about the path (missing credentials, a defect of ours) must not be reported here. A proxy or a
 * captive portal may answer in place of the far side. The condition is then degraded with that reason: neither a cut nor a
 * return. The room refuses to know how evidence is gathered and what follows from a condition.
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
