/** Who of a group is worth asking about a name, when a real question may go through in any case, and what to say otherwise. */
import type { Query } from '../../protocol/wire/query.ts';
import type { AttemptFailure } from './attempt.ts';
import type { FlightKind } from './flight.ts';
import { type ForwardOutcome, forwardFailure } from './forward-outcome.ts';
import type { GroupMember } from './group-member.ts';
import type { Upstream } from './upstream.ts';

/** Whether somebody is worth asking about this name. */
export function hasAnswers(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  for (const member of members) {
    if (member.isUsable(nowMs) && !member.client.suffixes.isCut(query, nowMs)) return true;
  }
  return false;
}

/** Whether it is time for a real question about what is cut, to any of them. Claims that time. */
export function claimTrial(members: readonly GroupMember[], query: Query, nowMs: number): boolean {
  let isTime = false;
  for (const member of members) {
    if (!member.mayBeTried(nowMs)) continue;
    const { client } = member;
    if (client.isUp ? client.suffixes.claimTrial(query, nowMs) : client.claimTrial(nowMs)) isTime = true;
  }
  return isTime;
}

/** Who is asked, and how; or the outcome at once. */
export type Choice = Asked | { readonly kind: 'nobody'; readonly outcome: ForwardOutcome };

export interface Asked {
  readonly kind: FlightKind;
  readonly members: readonly GroupMember[];
}

/** `isOwn`: a question of the refresh journey, which is asked whatever is known of the suffix and of the upstreams. */
export function chooseAsked(
  members: readonly GroupMember[],
  query: Query,
  isOwn: boolean,
  nowMs: number,
): Choice {
  const usable = members.filter((member) => member.isUsable(nowMs));
  // those that fail for this suffix are left out while others do not
  const willing = usable.filter(({ client }) => !client.suffixes.isCut(query, nowMs));
  if (willing.length > 0) {
    const isDoubted = !isOwn && willing.every(({ client }) => client.suffixes.isInDoubt(nowMs));
    return { kind: isDoubted ? 'doubted' : 'usual', members: willing };
  }
  if (isOwn && usable.length > 0) return { kind: 'usual', members: usable };
  if (isOwn || claimTrial(members, query, nowMs)) {
    const tried = members.filter((member) => member.mayBeTried(nowMs));
    if (tried.length > 0) return { kind: 'trial', members: tried };
  }
  const outcome = usable.length > 0 ? suffixCut(usable) : nobodyUsable(members, nowMs);
  return { kind: 'nobody', outcome };
}

function suffixCut(members: readonly GroupMember[]): ForwardOutcome {
  const texts = members.map(({ upstream }) => `"${upstream.text}"`).join(', ');
  return { ...forwardFailure('timeout', `no upstream answers for this suffix: ${texts}`), wasAsked: false };
}

interface Described {
  readonly upstream: Upstream;
  readonly lastFailure: AttemptFailure | undefined;
  isLooping(nowMs: number): boolean;
}

/** The outcome where no upstream is worth asking, and why. */
export function nobodyUsable(clients: readonly Described[], nowMs: number): ForwardOutcome {
  const reasons = clients.map((client) =>
    describe(client, client.isLooping(nowMs) ? 'loop' : (client.lastFailure?.detail ?? 'down')),
  );
  const detail = `no upstream to ask: ${reasons.join(', ')}`;
  if (clients.some((client) => client.isLooping(nowMs))) return forwardFailure('loop', detail);
  const isNetwork = clients.length > 0 && clients.every(({ lastFailure }) => isNetworkError(lastFailure));
  return { ...forwardFailure('all-down', detail), ...(isNetwork ? NETWORK_CODE : {}), wasAsked: false };
}

const NETWORK_CODE = { extendedError: forwardFailure('network', '').extendedError };

function isNetworkError(failure: AttemptFailure | undefined): boolean {
  return failure?.reason === 'network' || failure?.reason === 'tls';
}

/** An upstream and what became of it, in the detail of a failure. */
export function describe(client: { readonly upstream: { readonly text: string } }, what: string): string {
  return `"${client.upstream.text}": ${what}`;
}
