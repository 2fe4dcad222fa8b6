/**
 * Whether AWS accepts the credentials of this server, for one cluster. It is a condition of its own beside that of the link:
 * bad credentials never look like a cut, nor a cut like bad credentials. A poll without an answer of AWS changes nothing
 * here. Pure.
 */
import type { FailureReason, Observation } from '../records/observation.ts';
import { type SourceName, traitsOf } from '../records/sources.ts';

/** `missing`: no provider gives credentials, or it hangs. `expired`, `refused`: AWS answered so. */
export type CredentialCondition = 'unknown' | 'accepted' | 'missing' | 'expired' | 'refused';

export interface CredentialState {
  readonly condition: CredentialCondition;
  /** From the failure that brought the trouble; empty without trouble. */
  readonly detail: string;
  /** When the condition began, monotonic. */
  readonly sinceMs: number;
  /** Services have permissions and Regions of their own: trouble ends when no source has any. */
  readonly troubles: ReadonlyMap<SourceName, Trouble>;
}

type Trouble = Pick<CredentialState, 'condition' | 'detail'>;

const ACCEPTED: Trouble = { condition: 'accepted', detail: '' };

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

/** Failures that AWS reports only after it has accepted the credentials. */
const AFTER_ACCEPTANCE: ReadonlySet<FailureReason> = new Set(['denied', 'not-found', 'empty']);

export function isInTrouble({ condition }: Pick<CredentialState, 'condition'>): boolean {
  return condition !== 'unknown' && condition !== 'accepted';
}

/** @returns the same state where the observation says nothing new */
export function nextCredentialState(
  state: CredentialState,
  observation: Observation,
  nowMs: number,
): CredentialState {
  const finding = findingIn(observation);
  if (finding === undefined) return state;
  const troubles = new Map(state.troubles);
  troubles.delete(observation.source);
  if (finding !== ACCEPTED) troubles.set(observation.source, finding);
  return withTroubles(state, troubles, ACCEPTED, nowMs);
}

/** Forgets the sources that are no longer polled. */
export function retainSources(
  state: CredentialState,
  sources: ReadonlySet<SourceName>,
  nowMs: number,
): CredentialState {
  const troubles = new Map([...state.troubles].filter(([source]) => sources.has(source)));
  if (troubles.size === state.troubles.size) return state;
  return withTroubles(state, troubles, initialCredentialState, nowMs);
}

/** The latest trouble comes first: an earlier trouble is an older view of the same credentials. */
function withTroubles(
  state: CredentialState,
  troubles: ReadonlyMap<SourceName, Trouble>,
  { condition, detail }: Trouble,
  nowMs: number,
): CredentialState {
  const leading = [...troubles.values()].at(-1) ?? { condition, detail };
  const sinceMs = leading.condition === state.condition ? state.sinceMs : nowMs;
  return { ...leading, sinceMs, troubles };
}

function findingIn(observation: Observation): Trouble | undefined {
  if (!traitsOf(observation.source).needsCredentials) return undefined;
  if (observation.kind !== 'failed') return ACCEPTED;
  const { reason, detail, reachedFarSide } = observation;
  const condition = TROUBLES.get(reason);
  if (condition !== undefined) return { condition, detail };
  return reachedFarSide && AFTER_ACCEPTANCE.has(reason) ? ACCEPTED : undefined;
}
