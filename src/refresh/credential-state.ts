/**
 * Whether AWS takes this server's credentials, for one cluster: a condition of its own beside the link's, so that bad
 * credentials never read as a cut, nor a cut as bad credentials. Pure. A look that heard nothing from AWS says nothing
 * here either: in a cut the condition stays as it was.
 */

import type { FailureReason, Observation } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';

/** `missing`: no provider gives any, or it hangs. `expired`, `refused`: AWS answered so. */
export type CredentialCondition = 'unknown' | 'accepted' | 'missing' | 'expired' | 'refused';

export interface CredentialState {
  readonly condition: CredentialCondition;
  /** What the look that brought the trouble said; empty without trouble. */
  readonly detail: string;
  /** When the condition began, on the monotonic clock. */
  readonly sinceMs: number;
  /** Services have permissions and Regions of their own: trouble is over when no source has any. */
  readonly troubles: ReadonlyMap<SourceName, Trouble>;
}

interface Trouble {
  readonly condition: CredentialCondition;
  readonly detail: string;
}

export const initialCredentialState: CredentialState = {
  condition: 'unknown',
  detail: '',
  sinceMs: 0,
  troubles: new Map(),
};

const TROUBLES: ReadonlyMap<FailureReason, CredentialCondition> = new Map([
  ['no-credentials', 'missing'],
  ['expired-credentials', 'expired'],
  ['refused-credentials', 'refused'],
]);

/** Failures for which AWS has looked at the credentials and taken them. */
const AFTER_ACCEPTANCE: ReadonlySet<FailureReason> = new Set(['denied', 'not-found', 'empty']);

export function isInTrouble({ condition }: Pick<CredentialState, 'condition'>): boolean {
  return condition !== 'unknown' && condition !== 'accepted';
}

/** Those that ask AWS with its credentials; DNS needs none, and the API server on the site has its own. */
export function needsCredentials(source: SourceName): boolean {
  return traitsOf(source).needsCredentials;
}

/** @returns the very state that was passed in when the look says nothing new */
export function nextCredentialState(
  state: CredentialState,
  observation: Observation,
  nowMs: number,
): CredentialState {
  const verdict = verdictOf(observation);
  if (verdict === undefined) return state;
  const troubles = new Map(state.troubles);
  troubles.delete(observation.source);
  if (verdict !== 'accepted') troubles.set(observation.source, verdict);
  // the latest one leads: a condition that came before it is an older view of the same credentials
  const { condition, detail } = [...troubles.values()].at(-1) ?? {
    condition: 'accepted' as const,
    detail: '',
  };
  const sinceMs = condition === state.condition ? state.sinceMs : nowMs;
  return { condition, detail, sinceMs, troubles };
}

/** What is known of sources that are no longer asked is forgotten. */
export function retainSources(
  state: CredentialState,
  sources: ReadonlySet<SourceName>,
  nowMs: number,
): CredentialState {
  const troubles = new Map([...state.troubles].filter(([source]) => sources.has(source)));
  if (troubles.size === state.troubles.size) return state;
  const last = [...troubles.values()].at(-1);
  if (last === undefined) return { ...initialCredentialState, sinceMs: nowMs };
  return { ...last, troubles, sinceMs: last.condition === state.condition ? state.sinceMs : nowMs };
}

function verdictOf(observation: Observation): Trouble | 'accepted' | undefined {
  if (!needsCredentials(observation.source)) return undefined;
  if (observation.kind !== 'failed') return 'accepted';
  const { reason, detail, reachedFarSide } = observation;
  const condition = TROUBLES.get(reason);
  if (condition !== undefined) return { condition, detail };
  return reachedFarSide && AFTER_ACCEPTANCE.has(reason) ? 'accepted' : undefined;
}
