/** Reports the state of the retained names: plain data for metrics and status, and the lines of the log. */
import type { Log } from '../../log/log.ts';
import { typeName } from '../../protocol/words/codes.ts';
import {
  ageText,
  agoText,
  byLabel,
  inText,
  metricsOf,
  optionalSeconds,
  type RoomReport,
  seconds,
  single,
  type Tone,
  toned,
} from '../../report/report.ts';
import { ageMs, agoMs, type Clock } from '../../runtime/clock.ts';
import type { Steps } from '../../runtime/slices.ts';
import { RETAINED_MESSAGES } from '../refresh-messages.ts';
import type { KnownAnswer, RetainedQuestion } from './retained-answer.ts';

/** Counted from the start of the process. */
interface Counts {
  asked: number;
  failed: number;
  /** Denials and empty answers that were not believed, so that clients got the good answer before them. */
  denialsIgnored: number;
}

/** The state of one question in the refresher. */
export interface RetainedMember extends Counts {
  question: RetainedQuestion;
  known: KnownAnswer | undefined;
  freshUntilMs: number;
  /** For how long the last good answer counts as fresh. */
  lifetimeMs: number;
  /** An upstream has failed since the last answer. */
  isInterrupted: boolean;
  dueAtMs: number;
  isAsking: boolean;
  /** The number of failures since the last success or kick; this number sets the backoff. */
  failures: number;
  /** The number of failures since the last success. */
  failuresInARow: number;
  lastFailure: { readonly detail: string; readonly atMs: number } | undefined;
}

export interface RetainedSnapshot {
  /** At most `MOST_LISTED` questions; questions without a fresh answer come first. */
  readonly questions: readonly RetainedQuestionSnapshot[];
  readonly all: RetainedTotals;
}

/** Totals of all questions, including questions that the report does not list. */
export interface RetainedTotals extends Readonly<Record<RetainedState, number>>, Readonly<Counts> {
  /** The time since the oldest confirmation; absent before the first confirmation. */
  readonly oldestAgoMs?: number;
}

/** `denied`: an upstream denies the name or the type after a good answer. */
export type RetainedState = 'fresh' | 'stale' | 'denied' | 'unknown';

/** Questions in a list that a person reads: thousands of names may be retained. */
export const MOST_LISTED = 100;

export interface RetainedQuestionSnapshot {
  readonly name: string;
  /** Such as `A`. */
  readonly type: string;
  readonly state: RetainedState;
  /** The time since an upstream last confirmed the good answer; absent before the first good answer. */
  readonly confirmedAgoMs?: number;
  /** The time since the good answer last changed. */
  readonly changedAgoMs?: number;
  readonly consecutiveFailures: number;
  readonly lastFailure?: { readonly detail: string; readonly agoMs: number };
  /** The time for which an upstream has repeated a denial that the refresher does not believe. */
  readonly doubtedAgoMs?: number;
  /** Absent while the question is being asked. */
  readonly nextAttemptInMs?: number;
  readonly stats: Readonly<Counts>;
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
    all: { ...totals, oldestAgoMs: oldestAgoMs < 0 ? undefined : oldestAgoMs },
  };
}

/** The last good answer, or a denial if there has been no other answer. */
function goodOf({ known }: RetainedMember): KnownAnswer | undefined {
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
    confirmedAgoMs: good && agoMs(good.confirmed, clock),
    changedAgoMs: good && agoMs(good.changed, clock),
    consecutiveFailures: member.failuresInARow,
    doubtedAgoMs: doubtedSince && agoMs(doubtedSince, clock),
    lastFailure: lastFailure && { detail: lastFailure.detail, agoMs: ageMs(lastFailure.atMs, nowMs) },
    nextAttemptInMs: isAsking ? undefined : ageMs(nowMs, dueAtMs),
    stats: { asked, failed, denialsIgnored },
  };
}

function stateOf({ known, freshUntilMs }: RetainedMember, nowMs: number): RetainedQuestionSnapshot['state'] {
  if (known === undefined) return 'unknown';
  if (freshUntilMs <= nowMs) return 'stale';
  return known.earlier === undefined ? 'fresh' : 'denied';
}

/** A question with this many failures in a row counts as failing: a single failure may be an accident. */
const FAILING = 3;

/** A configuration may have thousands of names: the log gets this number of them, the page more. */
const MOST_LOGGED = 10;

/** Logs that names fail once, however many they are. */
export class RetainedLog {
  readonly #log: Log;
  /** The number of questions that fail. */
  #failing = 0;
  /** Names that have had no answer since one of them worked again. */
  #withoutAnswer = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  kicked(reason: string, questions: number): void {
    if (questions > 0) RETAINED_MESSAGES.refreshing(this.#log, { reason, questions });
  }

  learned(member: RetainedMember, known: KnownAnswer, before: KnownAnswer | undefined): void {
    const { name, qtype } = member.question;
    const fields = { name, type: typeName(qtype), answer: known.kind };
    if (known.earlier !== undefined && before?.earlier === undefined) {
      const isDoubted = known.doubtedSince !== undefined;
      const message = isDoubted ? RETAINED_MESSAGES.deniedNotBelieved : RETAINED_MESSAGES.denied;
      message(this.#log, fields);
    } else if (
      before?.doubtedSince !== undefined &&
      known.doubtedSince === undefined &&
      known.kind === 'nodata'
    ) {
      RETAINED_MESSAGES.emptyBelieved(this.#log, fields);
    } else if (known.changed === known.confirmed) {
      RETAINED_MESSAGES.learned(this.#log, fields);
    }
    this.#worksAgain(member);
  }

  failed(member: RetainedMember, detail: string): void {
    const { name, qtype } = member.question;
    const fields = { name, type: typeName(qtype), detail };
    RETAINED_MESSAGES.notRefreshed(this.#log, fields);
    if (++member.failuresInARow !== FAILING) return;
    if (member.known === undefined && this.#withoutAnswer++ < MOST_LOGGED) {
      RETAINED_MESSAGES.withoutAnswer(this.#log, fields);
    }
    if (this.#failing++ === 0) RETAINED_MESSAGES.failing(this.#log, { name, detail });
  }

  /** A question that is no longer retained does not count as failing. */
  withdrawn(member: RetainedMember): void {
    this.#worksAgain(member);
  }

  #worksAgain(member: RetainedMember): void {
    const wasFailing = member.failuresInARow >= FAILING;
    member.failuresInARow = 0;
    if (!wasFailing || --this.#failing > 0) return;
    this.#withoutAnswer = 0;
    RETAINED_MESSAGES.working(this.#log);
  }
}

export interface RetainedStatus {
  /** One for each name and type: those that need a person first, `MOST_LISTED` at most. */
  readonly retained: readonly RetainedNameStatus[];
  /** Counts of all of them, those not listed too. */
  readonly retainedInAll: Omit<RetainedTotals, 'oldestAgoMs'> & {
    readonly oldestConfirmedAgeSeconds?: number;
  };
}

interface RetainedNameStatus
  extends Pick<RetainedQuestionSnapshot, 'name' | 'type' | 'state'>,
    Readonly<Counts> {
  readonly confirmedAgeSeconds?: number;
  readonly doubtedAgeSeconds?: number;
  readonly lastFailure?: { readonly detail: string; readonly ageSeconds: number };
  readonly nextAttemptInSeconds?: number;
}

export function retainedStatus({ questions, all }: RetainedSnapshot): RetainedStatus {
  const { oldestAgoMs, ...counts } = all;
  return {
    retained: questions.map(({ name, type, state, lastFailure, stats, ...ages }) => ({
      name,
      type,
      state,
      confirmedAgeSeconds: optionalSeconds(ages.confirmedAgoMs),
      doubtedAgeSeconds: optionalSeconds(ages.doubtedAgoMs),
      lastFailure: lastFailure && { detail: lastFailure.detail, ageSeconds: seconds(lastFailure.agoMs) },
      nextAttemptInSeconds: optionalSeconds(ages.nextAttemptInMs),
      ...stats,
    })),
    retainedInAll: { ...counts, oldestConfirmedAgeSeconds: optionalSeconds(oldestAgoMs) },
  };
}

const { gauge, counter } = metricsOf<RetainedStatus>();

const TONES: Readonly<Record<RetainedState, Tone>> = {
  fresh: 'good',
  stale: 'doubtful',
  denied: 'doubtful',
  unknown: 'bad',
};

/** The page shows at most this many questions: a configuration may have thousands, and more rows do not help a person. */
const MOST_SHOWN = 50;

export const RETAINED_REPORT: RoomReport<RetainedStatus> = {
  metrics: [
    gauge(
      'retained_age_max_seconds',
      'Seconds since an upstream last confirmed the retained answer that has waited longest; absent when none was ever confirmed. Which are not fresh: /status.',
      [],
      ({ retainedInAll }) => single(retainedInAll.oldestConfirmedAgeSeconds),
    ),
    gauge(
      'retained_answers',
      'Retained questions by the state of their answers.',
      ['state'],
      ({ retainedInAll: { fresh, stale, denied, unknown } }) => byLabel({ fresh, stale, denied, unknown }),
    ),
    counter(
      'retained_lookups',
      'Times that retained questions were asked, by result.',
      ['result'],
      ({ retainedInAll: { asked, failed } }) => byLabel({ succeeded: asked - failed, failed }),
    ),
    counter(
      'retained_denials_ignored',
      'Denials of retained names, and empty answers, that were not believed: the good answer before them was given.',
      [],
      ({ retainedInAll }) => single(retainedInAll.denialsIgnored),
    ),
  ],
  panels: ({ retained, retainedInAll: { fresh, stale, denied, unknown } }) => {
    if (retained.length === 0) return [];
    const missing = retained
      .filter(({ state }) => state === 'unknown')
      .map(({ name, type }) => `${name} ${type}`);
    const named = missing.slice(0, 5).join(', ');
    const others = unknown > 5 ? ` and ${unknown - 5} more` : '';
    const note = `retained names without an answer would fail in an outage: ${named}${others}`;
    const shown = retained.slice(0, MOST_SHOWN);
    const doubtful = stale + denied + unknown;
    const more = fresh + doubtful - shown.length;
    const unseen = Math.max(0, doubtful - shown.length);
    const rest = `and ${more} more, ${unseen === 0 ? 'all fresh' : `${unseen} of them not fresh`}`;
    return [
      { notes: unknown === 0 ? [] : [toned('doubtful', note)] },
      {
        title: 'Retained names',
        head: ['name', 'type', 'state', 'confirmed', 'next'],
        rows: shown.map((one) => [
          one.name,
          one.type,
          toned(TONES[one.state], one.state),
          confirmedText(one),
          inText(one.nextAttemptInSeconds),
        ]),
        rest: more === 0 ? undefined : rest,
      },
    ];
  },
};

function confirmedText({ confirmedAgeSeconds, doubtedAgeSeconds, lastFailure }: RetainedNameStatus): string {
  if (confirmedAgeSeconds === undefined) {
    return lastFailure === undefined ? 'never' : `never: ${lastFailure.detail}`;
  }
  const doubted =
    doubtedAgeSeconds === undefined ? '' : `; denied for ${ageText(doubtedAgeSeconds)}, not believed`;
  return `${agoText(confirmedAgeSeconds)}${doubted}`;
}
