/** How the retained names are, as plain data for metrics and status: ages instead of moments. */
import { typeName } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Known } from './retained-answer.ts';
import type { RetainedQuestion } from './retained-question.ts';
import type { SavingStats } from './retained-saver.ts';
import { agoMs } from './stamp.ts';

/** What the refresher holds of one question. */
export interface RetainedMember {
  readonly question: RetainedQuestion;
  known: Known | undefined;
  freshUntilMs: number;
  dueAtMs: number;
  isAsking: boolean;
  /** Since the last success or kick: for the backoff. */
  failures: number;
  /** Since the last success. */
  failuresInARow: number;
  lastFailure: { readonly detail: string; readonly atMs: number } | undefined;
  asked: number;
  failed: number;
}

export interface RetainedSnapshot {
  readonly questions: readonly RetainedQuestionSnapshot[];
  readonly saving: SavingStats;
}

export interface RetainedQuestionSnapshot {
  readonly name: string;
  /** Such as `A`. */
  readonly type: string;
  /** `denied`: an upstream says that the name, or what is asked of it, does not exist, and said otherwise before. */
  readonly state: 'fresh' | 'stale' | 'denied' | 'unknown';
  /** Since an upstream last gave the answer that would be kept; absent when none ever has. */
  readonly confirmedAgoMs?: number;
  /** Since it last gave another one. */
  readonly changedAgoMs?: number;
  readonly consecutiveFailures: number;
  readonly lastFailure?: { readonly detail: string; readonly agoMs: number };
  /** Absent while it is asked. */
  readonly nextAttemptInMs?: number;
  /** Counted from the start of the process. */
  readonly stats: { readonly asked: number; readonly failed: number };
}

export function composeSnapshot(
  members: readonly RetainedMember[],
  clock: Clock,
  saving: RetainedSnapshot['saving'],
): RetainedSnapshot {
  return { questions: members.map((member) => questionSnapshot(member, clock)), saving };
}

function questionSnapshot(member: RetainedMember, clock: Clock): RetainedQuestionSnapshot {
  const { question, known, lastFailure, isAsking, dueAtMs, asked, failed } = member;
  const nowMs = clock.monotonicMs();
  const good = known?.earlier ?? known;
  return {
    name: question.name,
    type: typeName(question.qtype),
    state: stateOf(member, nowMs),
    ...(good === undefined
      ? {}
      : { confirmedAgoMs: agoMs(good.confirmed, clock), changedAgoMs: agoMs(good.changed, clock) }),
    consecutiveFailures: member.failuresInARow,
    ...(lastFailure === undefined
      ? {}
      : {
          lastFailure: {
            detail: lastFailure.detail,
            agoMs: Math.max(0, Math.round(nowMs - lastFailure.atMs)),
          },
        }),
    ...(isAsking ? {} : { nextAttemptInMs: Math.max(0, Math.round(dueAtMs - nowMs)) }),
    stats: { asked, failed },
  };
}

function stateOf({ known, freshUntilMs }: RetainedMember, nowMs: number): RetainedQuestionSnapshot['state'] {
  if (known === undefined) return 'unknown';
  if (freshUntilMs <= nowMs) return 'stale';
  return known.earlier === undefined ? 'fresh' : 'denied';
}
