/**
 * The link: is the far side reachable? Evidence in, a state with its reason and its age out.
 *
 * One state for each AWS Region and each upstream, and one summary. Any answer proves the path, a refusal
 * included; what says nothing about the path (missing credentials, a fault of our own) must not be reported
 * here at all. The room refuses to know how evidence is gathered and what anybody does about the state.
 */

export type LinkCondition = 'unknown' | 'connected' | 'degraded' | 'disconnected';

export interface Evidence {
  /** What was tried: `aws` with a Region as key, or `upstream` with its address as key. */
  readonly side: 'aws' | 'upstream';
  readonly key: string;
  readonly proves: 'reachable' | 'unreachable';
  /** A constant text, such as `timeout`; shown as the state's reason. */
  readonly reason: string;
}

export interface LinkState {
  readonly condition: LinkCondition;
  readonly reason: string;
  /** When the condition began, on the monotonic clock. */
  readonly sinceMs: number;
  readonly failuresInARow: number;
}

/** So many failures in a row, and the path counts as cut: one lost datagram is not a cut. */
const FAILURES_TO_DISCONNECT = 3;

export const initialLinkState: LinkState = {
  condition: 'unknown',
  reason: 'nothing tried yet',
  sinceMs: 0,
  failuresInARow: 0,
};

/** The state after one more piece of evidence. */
export function nextLinkState(state: LinkState, evidence: Evidence, nowMs: number): LinkState {
  const failuresInARow = evidence.proves === 'reachable' ? 0 : state.failuresInARow + 1;
  const condition = conditionAfter(state.condition, failuresInARow);
  if (condition === state.condition) return { ...state, failuresInARow };
  return { condition, reason: evidence.reason, sinceMs: nowMs, failuresInARow };
}

function conditionAfter(before: LinkCondition, failuresInARow: number): LinkCondition {
  if (failuresInARow === 0) return 'connected';
  if (before === 'disconnected' || failuresInARow >= FAILURES_TO_DISCONNECT) return 'disconnected';
  return before === 'unknown' ? 'unknown' : 'degraded';
}

/**
 * One word for several paths: cut only when every path that was tried is cut, connected only when all are.
 * Reason and age are those of the path that changed last.
 */
export function summarizeLinks(states: readonly LinkState[]): LinkState {
  const known = states.filter(({ condition }) => condition !== 'unknown');
  const latest = known.toSorted((a, b) => b.sinceMs - a.sinceMs)[0];
  if (latest === undefined) return initialLinkState;
  const all = (condition: LinkCondition) => known.every((state) => state.condition === condition);
  const condition = all('connected') ? 'connected' : all('disconnected') ? 'disconnected' : 'degraded';
  return { ...latest, condition };
}
