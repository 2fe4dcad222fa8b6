/**
 * Follows one question until its clients have a reply: chooses the upstream, handles its failure, and decides the outcome.
 *
 * Upstreams are asked in the operator's order, so that an answer comes from where the operator expects it, except those that
 * are down. (An order by round-trip time would change with every short delay.) Only an upstream whose answers come too late
 * time after time comes last, because its answers reach no client; now and then a question goes to it as well.
 */
import { isAboutName, replyName } from '../../protocol/wire/response-records.ts';
import { RCODE } from '../../protocol/words/codes.ts';
import type { Deadline } from '../../runtime/clock.ts';
import type { Reply } from '../turn.ts';
import type { Attempt, AttemptListener } from './attempt.ts';
import type { UpstreamFailure, UpstreamReply } from './exchange.ts';
import { type GroupChange, type GroupMember, noUpstream, type QuestionKind } from './groups.ts';
import { TRUNCATED } from './name-health.ts';
import { type ForwardFailureReason, type ForwardOutcome, forwardFailure, type Question } from './question.ts';
import type { ClientContext } from './upstream-client.ts';

type QuestionContext = Pick<ClientContext, 'sweep' | 'settings' | 'clock'>;

const PATIENCE_MS: Readonly<Record<QuestionKind, number>> = {
  usual: Number.POSITIVE_INFINITY,
  doubted: 1_500, // longer than most answers take
  trial: 500, // most answers are there within it, or never
};

/** An upstream that fails at once this often for one question, by TCP for example, would fail until the deadline. */
const FAILURES = 3;

/** The network of no client. */
export const NO_NETWORK = 0;

export class PendingQuestion implements Deadline {
  place = -1;
  dueAtMs: number;
  /**
   * Only `PendingQuestions` and the forwarder write these five fields: the keys of the question, and its place among those
   * that give way.
   */
  key = 0;
  group = '';
  network = NO_NETWORK;
  givesWay = false;
  next: PendingQuestion | undefined;
  readonly question: Question;
  readonly #context: QuestionContext;
  readonly #onOver: (pending: PendingQuestion, outcome: ForwardOutcome) => void;
  readonly #candidates: Candidate[];
  #endsAtMs: number;
  readonly #isTrial: boolean;
  readonly #attempts: Pick<Attempt, 'abandon'>[] = [];
  readonly #clients: Reply<ForwardOutcome>[] = [];
  /** The last answer that says nothing about the name, such as SERVFAIL or REFUSED. It is better than no answer. */
  #unhelpful: { readonly reply: UpstreamReply; readonly from: string } | undefined;
  #lastFailure: UpstreamFailure | undefined;
  #isRegrouped = false;
  #isOver = false;

  /** The question calls `onOver` once with the outcome; `onOver` passes the outcome to `reply`, which sends it to the clients. */
  constructor(
    context: QuestionContext,
    question: Question,
    upstreams: readonly GroupMember[],
    kind: QuestionKind,
    onOver: (pending: PendingQuestion, outcome: ForwardOutcome) => void,
  ) {
    this.question = question;
    this.#context = context;
    this.#onOver = onOver;
    this.#candidates = upstreams.map((asked) => new Candidate(this, asked));
    this.#isTrial = kind === 'trial';
    this.#endsAtMs = context.clock.monotonicMs() + Math.min(context.settings().deadlineMs, PATIENCE_MS[kind]);
    this.dueAtMs = this.#endsAtMs;
  }

  get isJoined(): boolean {
    return this.#clients.length > 1;
  }

  /** One more client waits for the outcome. */
  join(client: Reply<ForwardOutcome>): void {
    this.#clients.push(client);
  }

  reply(outcome: ForwardOutcome): void {
    for (const client of this.#clients) client.send(outcome);
  }

  start(): void {
    this.#context.sweep.add(this);
    if (this.#isTrial) for (const candidate of this.#candidates) this.#ask(candidate);
    else {
      this.#askNext();
      this.#askLate();
    }
  }

  /** Called when the deadline has passed, or when the pause before the next attempt is over. */
  onDue(): void {
    if (this.dueAtMs >= this.#endsAtMs) {
      this.#end(this.#lastResort());
      return;
    }
    this.dueAtMs = this.#endsAtMs;
    this.#context.sweep.add(this);
    this.#askNext();
  }

  /** Ends it from outside. */
  cancel(reason: ForwardFailureReason, detail: string): void {
    this.#end(forwardFailure(reason, detail));
    // without this loop a flood would hold sockets and memory for every question that has given way
    for (const attempt of this.#attempts) attempt.abandon();
  }

  /**
   * After a reload. An upstream that left the group is waited for no longer, although its answer is welcome: those that are new
   * are asked within the same deadline. Once, so that reloads cannot multiply exchanges.
   */
  regroup({ left, added }: GroupChange): void {
    if (this.#isRegrouped || this.#isOver) return;
    for (const candidate of this.#candidates) {
      candidate.hasLeft = left.has(candidate.asked);
      if (candidate.hasLeft) this.#isRegrouped = true;
    }
    if (!this.#isRegrouped) return;
    if (added.length === 0 && this.#candidates.every(({ hasLeft }) => hasLeft)) {
      // no other group may be asked: the names may be private. Most answers of an upstream that works come within this time
      for (const candidate of this.#candidates) candidate.hasLeft = false;
      this.#endsAtMs = Math.min(this.#endsAtMs, this.#context.clock.monotonicMs() + PATIENCE_MS.doubted);
      this.dueAtMs = Math.min(this.dueAtMs, this.#endsAtMs);
      this.#context.sweep.add(this);
      return;
    }
    const fresh = added.map((asked) => new Candidate(this, asked));
    this.#candidates.push(...fresh);
    const nowMs = this.#context.clock.monotonicMs();
    if (this.#isTrial) {
      for (const candidate of fresh) if (candidate.asked.isUsable(nowMs)) this.#ask(candidate);
    } else if (this.#choose(nowMs) !== undefined) this.#askNext();
  }

  /** A question that returns in a loop is the same question, and joins it; so do the questions of many clients. */
  suspectLoops(): void {
    for (const { asked } of this.#candidates) asked.suspectLoop();
  }

  /** Asks the next upstream, unless an attempt may still get its reply in time. Ends the question when no upstream is left. */
  #askNext(): void {
    if (this.#isOver || this.#mayBeAnswered()) return;
    const nowMs = this.#context.clock.monotonicMs();
    const candidate = this.#choose(nowMs);
    if (candidate === undefined) {
      this.#end(this.#lastResort());
    } else if (candidate.notBeforeMs > nowMs) {
      this.dueAtMs = Math.min(candidate.notBeforeMs, this.#endsAtMs);
      this.#context.sweep.add(this);
    } else this.#ask(candidate);
  }

  /** Whether the reply of an upstream of the group may still come in time. */
  #mayBeAnswered(): boolean {
    return this.#candidates.some(({ timely, hasLeft }) => timely > 0 && !hasLeft);
  }

  /** Finds out whether an upstream is late no more, beside the others: its answer is welcome, and nothing waits for it. */
  #askLate(): void {
    const nowMs = this.#context.clock.monotonicMs();
    for (const { asked, attempts } of this.#candidates) {
      const { client } = asked;
      if (!client.isLate || attempts > 0 || !asked.isUsable(nowMs) || !client.claimTrial(nowMs)) continue;
      const onAnswer: AttemptListener['onAnswer'] = (reply, isLate) => this.#take(asked, reply, isLate);
      const listener = { onAnswer, onFailure: () => undefined, onOverdue: () => undefined };
      const attempt = client.ask(this.question, 0, listener);
      if (attempt !== undefined) this.#attempts.push(attempt);
    }
  }

  /** The usable upstream that was asked least often, late ones last; the operator's order decides between equals. */
  #choose(nowMs: number): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.#candidates) {
      if (this.#isTrial || candidate.isOut(nowMs)) continue;
      // with an answer of some kind in hand no upstream is asked twice: the client has waited long enough
      if (this.#unhelpful !== undefined && candidate.attempts > 0) continue;
      if (best === undefined || candidate.isBefore(best)) best = candidate;
    }
    return best;
  }

  #ask(candidate: Candidate): void {
    candidate.timely++;
    const attempt = candidate.asked.client.ask(this.question, candidate.attempts++, candidate);
    if (attempt !== undefined) this.#attempts.push(attempt);
  }

  /** For a candidate, as are the next two. */
  onAnswer(candidate: Candidate, reply: UpstreamReply, isLate: boolean): void {
    if (!isLate) candidate.timely--;
    candidate.isSilent = false;
    this.#take(candidate.asked, reply, isLate);
    if (this.#isOver) return;
    this.#unhelpful = { reply, from: candidate.asked.client.upstream.text };
    candidate.isDone = true;
    const nowMs = this.#context.clock.monotonicMs();
    // an upstream that was asked a second time meanwhile would only say the same again
    const isLast = this.#candidates.every((one) => one.isOut(nowMs));
    if (isLast && !this.#isTrial) this.#end(this.#lastResort());
    else this.#askNext();
  }

  onFailure(candidate: Candidate, failure: UpstreamFailure, isLate: boolean): void {
    if (!isLate) candidate.timely--;
    if (this.#isOver) return;
    this.#noteFailure(candidate, failure.reason, failure.detail);
    if (failure.reason === 'malformed' || ++candidate.failures >= FAILURES) candidate.isDone = true;
    candidate.notBeforeMs = this.#context.clock.monotonicMs() + this.#context.settings().attemptMinMs;
    this.#askNext();
  }

  onOverdue(candidate: Candidate, isTruncated: boolean): void {
    candidate.timely--;
    candidate.isSilent = true;
    candidate.isTruncated ||= isTruncated;
    this.#noteFailure(candidate, 'timeout', 'no reply in time');
    this.#askNext();
  }

  /** Learns from a reply. An answer about the name ends the question. */
  #take({ client }: GroupMember, reply: UpstreamReply, isLate: boolean): void {
    client.noteLateness(isLate);
    client.names.noteAnswer(this.question, reply);
    if (!this.#isOver && isAboutName(reply.index)) this.#end(response(reply, client.upstream.text));
  }

  #noteFailure({ asked }: Candidate, reason: UpstreamFailure['reason'], detail: string): void {
    this.#lastFailure = { reason, detail: describe(asked.client.upstream.text, detail) };
  }

  /**
   * Chooses the outcome when no upstream is left to ask. Clients get REFUSED only if all asked upstreams said REFUSED: after
   * REFUSED musl waits for 5 s.
   */
  #lastResort(): ForwardOutcome {
    const failure = this.#lastFailure;
    if (this.#unhelpful !== undefined) {
      const { reply, from } = this.#unhelpful;
      const allAgree = this.#candidates.every(
        ({ attempts, failures, isDone, hasLeft }) =>
          attempts === 0 || hasLeft || (isDone && failures < FAILURES),
      );
      if (allAgree || reply.index.rcode === RCODE.SERVFAIL) return response(reply, from);
      const detail = describe(from, replyName(reply.index));
      return failureOf(failure?.reason, `${failure?.detail}; ${detail}`);
    }
    const nowMs = this.#context.clock.monotonicMs();
    const upstreams = this.#candidates.map(({ asked }) => asked);
    // beside a loop, that it timed out is the smaller part of the truth
    const hasLoop = upstreams.some((upstream) => upstream.isLooping(nowMs));
    if (failure === undefined || hasLoop) return noUpstream(upstreams, nowMs);
    return failureOf(failure.reason, failure.detail);
  }

  #end(outcome: ForwardOutcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#context.sweep.delete(this);
    if (outcome.kind === 'response' || outcome.reason !== 'closing') {
      for (const { isSilent, isTruncated, asked } of this.#candidates)
        if (isSilent) asked.client.names.noteFailure(this.question, isTruncated ? TRUNCATED : undefined);
    }
    this.#onOver(this, outcome);
  }
}

/** An upstream that may be asked this question, and what it has said so far. */
class Candidate implements AttemptListener {
  readonly asked: GroupMember;
  attempts = 0;
  /** Attempts whose reply may still come in time. */
  timely = 0;
  /** Attempts that failed, other than by silence. */
  failures = 0;
  /** Has said all that it will say about this question. */
  isDone = false;
  /** A reload took it out of the group. */
  hasLeft = false;
  notBeforeMs = 0;
  /** Did not reply in time. */
  isSilent = false;
  /** It replied over UDP, truncated, and was silent over TCP. */
  isTruncated = false;
  readonly #pending: PendingQuestion;

  constructor(pending: PendingQuestion, asked: GroupMember) {
    this.#pending = pending;
    this.asked = asked;
  }

  /** Whether it is not asked any more. */
  isOut(nowMs: number): boolean {
    return this.isDone || this.hasLeft || !this.asked.isUsable(nowMs);
  }

  isBefore(other: Candidate): boolean {
    if (this.attempts !== other.attempts) return this.attempts < other.attempts;
    return other.asked.client.isLate && !this.asked.client.isLate;
  }

  onAnswer(reply: UpstreamReply, isLate: boolean): void {
    this.#pending.onAnswer(this, reply, isLate);
  }

  onFailure(failure: UpstreamFailure, isLate: boolean): void {
    this.#pending.onFailure(this, failure, isLate);
  }

  onOverdue(isTruncated: boolean): void {
    this.#pending.onOverdue(this, isTruncated);
  }
}

function response({ octets, index, elapsedMs }: UpstreamReply, upstream: string): ForwardOutcome {
  return { kind: 'response', octets, index, upstream, rttMs: elapsedMs };
}

function failureOf(reason: UpstreamFailure['reason'] | undefined, detail: string): ForwardOutcome {
  const isSaid = reason === 'malformed' || reason === 'loop' || reason === 'timeout';
  return forwardFailure(isSaid ? reason : 'network', detail);
}

/** Text of a failure's detail. */
function describe(upstream: string, what: string): string {
  return `"${upstream}": ${what}`;
}
