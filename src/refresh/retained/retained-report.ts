/** How the retained names are, as plain data for metrics and status: ages instead of moments. */

import type { Log } from '../../log/log.ts';
import { typeName } from '../../protocol/words/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Steps } from '../../runtime/slices.ts';
import { agoMs } from '../reconcile/timeline.ts';
import type { Known, RetainedQuestion } from './retained-answer.ts';

/** What the refresher holds of one question. */
export interface RetainedMember {
  question: RetainedQuestion;
  known: Known | undefined;
  freshUntilMs: number;
  /** For how long the last good answer counts as fresh. */
  lifetimeMs: number;
  /** It could not be asked since the last answer. */
  isInterrupted: boolean;
  dueAtMs: number;
  isAsking: boolean;
  /** Since the last success or kick: for the backoff. */
  failures: number;
  /** Since the last success. */
  failuresInARow: number;
  lastFailure: { readonly detail: string; readonly atMs: number } | undefined;
  asked: number;
  failed: number;
  /** Denials and empty answers that were not believed. */
  denialsIgnored: number;
}

export interface RetainedSnapshot {
  /** Those that need somebody first, and no more than `MOST_LISTED`. */
  readonly questions: readonly RetainedQuestionSnapshot[];
  readonly all: RetainedTotals;
}

/** Of all questions, those that are not listed too. */
export interface RetainedTotals extends Readonly<Record<RetainedState, number>> {
  readonly asked: number;
  readonly failed: number;
  readonly denialsIgnored: number;
  /** Of the answer that has waited longest for a confirmation; absent when none was ever confirmed. */
  readonly oldestAgoMs?: number;
}

/** `denied`: an upstream says that the name, or what is asked of it, does not exist, and said otherwise before. */
export type RetainedState = 'fresh' | 'stale' | 'denied' | 'unknown';

/** Thousands may be retained, and whoever looks at the status makes the loop that answers queries compose it in one go. */
export const MOST_LISTED = 100;

export interface RetainedQuestionSnapshot {
  readonly name: string;
  /** Such as `A`. */
  readonly type: string;
  readonly state: RetainedState;
  /** Since an upstream last gave the answer that would be kept; absent when none ever has. */
  readonly confirmedAgoMs?: number;
  /** Since it last gave another one. */
  readonly changedAgoMs?: number;
  readonly consecutiveFailures: number;
  readonly lastFailure?: { readonly detail: string; readonly agoMs: number };
  /** Since when an upstream repeats a denial that is not believed. */
  readonly doubtedAgoMs?: number;
  /** Absent while it is asked. */
  readonly nextAttemptInMs?: number;
  /** Counted from the start of the process. */
  readonly stats: {
    readonly asked: number;
    readonly failed: number;
    /** Denials and empty answers that were not believed, so that the good answer before them is given. */
    readonly denialsIgnored: number;
  };
}

export function* composeSnapshot(members: Iterable<RetainedMember>, clock: Clock): Steps<RetainedSnapshot> {
  const nowMs = clock.monotonicMs();
  const totals = { fresh: 0, stale: 0, denied: 0, unknown: 0, asked: 0, failed: 0, denialsIgnored: 0 };
  const doubtful: RetainedMember[] = [];
  const fresh: RetainedMember[] = [];
  let oldestAgoMs = -1;
  for (const member of members) {
    const state = stateOf(member, nowMs);
    totals[state]++;
    totals.asked += member.asked;
    totals.failed += member.failed;
    totals.denialsIgnored += member.denialsIgnored;
    const good = goodOf(member);
    if (good !== undefined) oldestAgoMs = Math.max(oldestAgoMs, agoMs(good.confirmed, clock));
    const listed = state === 'fresh' ? fresh : doubtful;
    if (listed.length < MOST_LISTED) listed.push(member);
    yield;
  }
  const listed = [...doubtful, ...fresh].slice(0, MOST_LISTED);
  return {
    questions: listed.map((member) => questionSnapshot(member, clock)),
    all: { ...totals, ...(oldestAgoMs < 0 ? {} : { oldestAgoMs }) },
  };
}

/** The answer that would be kept: behind a denial the one from before. */
function goodOf({ known }: RetainedMember): Known | undefined {
  return known?.earlier ?? known;
}

function questionSnapshot(member: RetainedMember, clock: Clock): RetainedQuestionSnapshot {
  const { question, lastFailure, isAsking, dueAtMs, asked, failed, denialsIgnored } = member;
  const nowMs = clock.monotonicMs();
  const good = goodOf(member);
  const doubtedSince = member.known?.doubtedSince;
  return {
    name: question.name,
    type: typeName(question.qtype),
    state: stateOf(member, nowMs),
    ...(good === undefined
      ? {}
      : { confirmedAgoMs: agoMs(good.confirmed, clock), changedAgoMs: agoMs(good.changed, clock) }),
    consecutiveFailures: member.failuresInARow,
    ...(doubtedSince === undefined ? {} : { doubtedAgoMs: agoMs(doubtedSince, clock) }),
    ...(lastFailure === undefined
      ? {}
      : {
          lastFailure: {
            detail: lastFailure.detail,
            agoMs: Math.max(0, Math.round(nowMs - lastFailure.atMs)),
          },
        }),
    ...(isAsking ? {} : { nextAttemptInMs: Math.max(0, Math.round(dueAtMs - nowMs)) }),
    stats: { asked, failed, denialsIgnored },
  };
}

function stateOf({ known, freshUntilMs }: RetainedMember, nowMs: number): RetainedQuestionSnapshot['state'] {
  if (known === undefined) return 'unknown';
  if (freshUntilMs <= nowMs) return 'stale';
  return known.earlier === undefined ? 'fresh' : 'denied';
}

/** What the refresh of retained names tells the log: each thing once, however many names there are. */
/** Failures in a row after which a question counts as failing: one may be an accident. */
const FAILING = 3;

export class RetainedLog {
  readonly #log: Log;
  /** Questions that fail. */
  #failing = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  kicked(reason: string, questions: number): void {
    if (questions > 0) this.#log.debug({ reason, questions }, 'refreshing retained names');
  }

  learned(member: RetainedMember, known: Known, before: Known | undefined): void {
    const { name, qtype } = member.question;
    const fields = { name, type: typeName(qtype), answer: known.kind };
    if (known.earlier !== undefined && before?.earlier === undefined) {
      const isDoubted = known.doubtedSince !== undefined;
      this.#log.warn(
        fields,
        isDoubted
          ? 'upstream denies a retained name: not believed, its last good answer is given'
          : 'upstream denies a retained name',
      );
    } else if (
      before?.doubtedSince !== undefined &&
      known.doubtedSince === undefined &&
      known.kind === 'nodata'
    ) {
      this.#log.warn(
        fields,
        'empty answer to a retained name believed: upstreams have repeated it all the time',
      );
    } else if (known.changed === known.confirmed) {
      this.#log.debug(fields, 'retained answer learned');
    }
    this.#worksAgain(member);
  }

  failed(member: RetainedMember, detail: string): void {
    const { name, qtype } = member.question;
    this.#log.debug({ name, type: typeName(qtype), detail }, 'retained name cannot be refreshed');
    if (++member.failuresInARow === FAILING && this.#failing++ === 0)
      this.#log.warn({ name, detail }, 'a retained name cannot be refreshed: its last answer is given');
  }

  /** A question that is retained no longer does not fail any more. */
  withdrawn(member: RetainedMember): void {
    this.#worksAgain(member);
  }

  /** One line when the first question begins to fail, and one when none does any more. */
  #worksAgain(member: RetainedMember): void {
    const wasFailing = member.failuresInARow >= FAILING;
    member.failuresInARow = 0;
    if (wasFailing && --this.#failing === 0) this.#log.info({}, 'all retained names can be refreshed again');
  }
}
