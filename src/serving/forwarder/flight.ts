/**
 * One question on its way: which upstream is asked, what happens when it fails, and what its askers get in the end.
 *
 * Upstreams are asked in the operator's order, those that are down left out; health decides who takes part and not who
 * comes first, so that an answer comes from where the operator expects it. (Ordering by RTT would send everything to
 * whichever cache is warm, and back, with every hiccup.)
 */
import { isAboutName, RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import type { Answer, Attempt, AttemptFailure, AttemptListener } from './attempt.ts';
import type { Deadline, DeadlineSweep } from './deadline-sweep.ts';
import { type ForwardFailureReason, type ForwardOutcome, forwardFailure } from './forward-outcome.ts';
import type { ForwardSettings } from './forward-settings.ts';
import { describe, nobodyUsable } from './group-choice.ts';
import type { Question } from './question.ts';
import type { Upstream } from './upstream.ts';

/** What a flight needs of an upstream's client. */
export interface Askable {
  readonly upstream: Upstream;
  /** Why the last attempt failed, whoever made it. */
  readonly lastFailure: AttemptFailure | undefined;
  isUsable(nowMs: number): boolean;
  /** Whether a trial may ask it, although it is down. */
  mayBeTried(nowMs: number): boolean;
  isLooping(nowMs: number): boolean;
  /** It has replied to this question, perhaps too late for those who asked. */
  noteAnswer(question: Question, answer: Answer): void;
  /** It stayed silent until the question was given up. */
  noteFailure(question: Question): void;
  ask(question: Question, doublings: number, listener: AttemptListener): Pick<Attempt, 'abandon'> | undefined;
}

/** What all flights share. */
export interface FlightContext {
  readonly sweep: DeadlineSweep;
  settings(): ForwardSettings;
  nowMs(): number;
}

/**
 * `trial`: the question is about what seems to be cut. Everybody is asked at once and once, nobody waits longer than for
 * one attempt, and silence does not count against an upstream as a whole.
 */
export type FlightKind = 'usual' | 'doubted' | 'trial';

/** A client that asks about what seems to be cut waits no longer than this: most answers are there within it, or never. */
const TRIAL_MS = 500;
/** Where three domains fail already, the next one is not waited for as long as usual: longer than most answers take. */
const DOUBTED_MS = 1_500;

class Candidate {
  readonly client: Askable;
  attempts = 0;
  /** Has said all that it will say about this question. */
  isDone = false;
  notBeforeMs = 0;
  /** Did not reply in time. */
  isSilent = false;

  constructor(client: Askable) {
    this.client = client;
  }
}

export class Flight implements Deadline {
  place = -1;
  dueAtMs: number;
  readonly #context: FlightContext;
  readonly #question: Question;
  readonly #landed: (outcome: ForwardOutcome) => void;
  readonly #candidates: Candidate[];
  readonly #endsAtMs: number;
  readonly #isTrial: boolean;
  readonly #attempts: Pick<Attempt, 'abandon'>[] = [];
  /** Attempts whose reply may still come in time. */
  #timely = 0;
  /** The last answer that says nothing about the name, as SERVFAIL and REFUSED: better than nothing. */
  #unhelpful: { readonly answer: Answer; readonly from: string } | undefined;
  #lastFailure: AttemptFailure | undefined;
  #hasLanded = false;

  constructor(
    context: FlightContext,
    question: Question,
    clients: readonly Askable[],
    kind: FlightKind,
    landed: (outcome: ForwardOutcome) => void,
  ) {
    this.#context = context;
    this.#question = question;
    this.#landed = landed;
    this.#candidates = clients.map((client) => new Candidate(client));
    this.#isTrial = kind === 'trial';
    this.#endsAtMs = context.nowMs() + Math.min(context.settings().deadlineMs, PATIENCE_MS[kind]);
    this.dueAtMs = this.#endsAtMs;
  }

  start(): void {
    this.#context.sweep.add(this);
    if (this.#isTrial) for (const candidate of this.#candidates) this.#ask(candidate);
    else this.#next();
  }

  /** The deadline has passed, or the pause before the next attempt is over. */
  onDue(): void {
    if (this.dueAtMs >= this.#endsAtMs) {
      this.#land(this.#lastResort());
      return;
    }
    this.dueAtMs = this.#endsAtMs;
    this.#context.sweep.add(this);
    this.#next();
  }

  /** Ends it from outside. */
  cancel(reason: ForwardFailureReason, detail: string): void {
    this.#land(forwardFailure(reason, detail));
    // without this a flood would hold sockets and memory for every question that has given way
    for (const attempt of this.#attempts) attempt.abandon();
  }

  /** Asks the next upstream, unless one is being asked; lands where there is none. */
  #next(): void {
    if (this.#hasLanded || this.#timely > 0) return;
    const nowMs = this.#context.nowMs();
    const candidate = this.#choose(nowMs);
    if (candidate === undefined) {
      this.#land(this.#lastResort());
    } else if (candidate.notBeforeMs > nowMs) {
      this.dueAtMs = Math.min(candidate.notBeforeMs, this.#endsAtMs);
      this.#context.sweep.add(this);
    } else {
      this.#ask(candidate);
    }
  }

  /** The usable one that was asked least often; the operator's order decides between equals. */
  #choose(nowMs: number): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.#candidates) {
      if (this.#isTrial || candidate.isDone || !candidate.client.isUsable(nowMs)) continue;
      // with an answer of some kind in hand nobody is asked twice: the client has waited long enough
      if (this.#unhelpful !== undefined && candidate.attempts > 0) continue;
      if (best === undefined || candidate.attempts < best.attempts) best = candidate;
    }
    return best;
  }

  #ask(candidate: Candidate): void {
    this.#timely++;
    const attempt = candidate.client.ask(this.#question, candidate.attempts++, new Asked(this, candidate));
    if (attempt !== undefined) this.#attempts.push(attempt);
  }

  /** For `Asked` alone, as are the next three: a reply in time is no longer to be expected. */
  untimely(): void {
    this.#timely--;
  }

  answered(candidate: Candidate, answer: Answer): void {
    candidate.isSilent = false;
    candidate.client.noteAnswer(this.#question, answer);
    if (this.#hasLanded) return;
    const from = candidate.client.upstream.text;
    if (isAboutName(answer.index.rcode)) {
      this.#land(response(answer, from));
      return;
    }
    this.#unhelpful = { answer, from };
    candidate.isDone = true;
    const nowMs = this.#context.nowMs();
    // where this one was asked a second time meanwhile, that would only bring the same
    const isLast = this.#candidates.every(({ isDone, client }) => isDone || !client.isUsable(nowMs));
    if (isLast && !this.#isTrial) this.#land(this.#lastResort());
    else this.#next();
  }

  failed(candidate: Candidate, failure: AttemptFailure): void {
    if (this.#hasLanded) return;
    this.#lastFailure = { reason: failure.reason, detail: describe(candidate.client, failure.detail) };
    if (failure.reason === 'malformed') candidate.isDone = true;
    candidate.notBeforeMs = this.#context.nowMs() + this.#context.settings().attemptMinMs;
    this.#next();
  }

  overdue(candidate: Candidate): void {
    candidate.isSilent = true;
    this.#lastFailure = { reason: 'timeout', detail: describe(candidate.client, 'no reply in time') };
    this.#next();
  }

  /**
   * What there is when nobody is left to ask. REFUSED is passed on only where all who were asked said so: as the
   * answer to a dead upstream, musl would wait for 5 s on it.
   */
  #lastResort(): ForwardOutcome {
    if (this.#unhelpful !== undefined) {
      const { answer, from } = this.#unhelpful;
      const allAgree = this.#candidates.every(({ attempts, isDone }) => attempts === 0 || isDone);
      if (allAgree || answer.index.rcode === RCODE.SERVFAIL) return response(answer, from);
      const detail = describe({ upstream: { text: from } }, rcodeName(answer.index.rcode));
      return failureOf(this.#lastFailure?.reason, `${this.#lastFailure?.detail}; ${detail}`);
    }
    const nowMs = this.#context.nowMs();
    // that it timed out is then the smaller part of the truth
    const clients = this.#candidates.map(({ client }) => client);
    const hasLoop = clients.some((client) => client.isLooping(nowMs));
    if (this.#lastFailure === undefined || hasLoop) return nobodyUsable(clients, nowMs);
    return failureOf(this.#lastFailure.reason, this.#lastFailure.detail);
  }

  #land(outcome: ForwardOutcome): void {
    if (this.#hasLanded) return;
    this.#hasLanded = true;
    this.#context.sweep.delete(this);
    if (outcome.kind === 'response' || outcome.reason !== 'closing') {
      for (const { isSilent, client } of this.#candidates) if (isSilent) client.noteFailure(this.#question);
    }
    this.#landed(outcome);
  }
}

const PATIENCE_MS: Readonly<Record<FlightKind, number>> = {
  usual: Number.POSITIVE_INFINITY,
  doubted: DOUBTED_MS,
  trial: TRIAL_MS,
};

/** One attempt, as its flight sees it. */
class Asked implements AttemptListener {
  readonly #flight: Flight;
  readonly #candidate: Candidate;
  #isTimely = true;

  constructor(flight: Flight, candidate: Candidate) {
    this.#flight = flight;
    this.#candidate = candidate;
  }

  onAnswer(answer: Answer): void {
    this.#untimely();
    this.#flight.answered(this.#candidate, answer);
  }

  onFailure(failure: AttemptFailure): void {
    this.#untimely();
    this.#flight.failed(this.#candidate, failure);
  }

  onOverdue(): void {
    this.#untimely();
    this.#flight.overdue(this.#candidate);
  }

  #untimely(): void {
    if (this.#isTimely) this.#flight.untimely();
    this.#isTimely = false;
  }
}

function response({ octets, index, rttMs }: Answer, upstream: string): ForwardOutcome {
  return { kind: 'response', octets, index, upstream, rttMs };
}

function failureOf(reason: AttemptFailure['reason'] | undefined, detail: string): ForwardOutcome {
  switch (reason) {
    case 'malformed':
    case 'loop':
    case 'timeout':
      return forwardFailure(reason, detail);
    default:
      return forwardFailure('network', detail);
  }
}
