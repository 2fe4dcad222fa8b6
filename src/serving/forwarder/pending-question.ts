/**
 * Follows one question until its clients have a reply: chooses the upstream, handles its failure, and decides the outcome.
 *
 * Upstreams are asked in the operator's order, so that an answer comes from where the operator expects it, except those that
 * are down. (An order by round-trip time would change with every short delay.) Only an upstream whose answers come too late
 * time after time comes last, because its answers reach no client, and one that goes down and comes back again and again, because
 * clients wait for it each time. Now and then a question goes to it as well.
 *
 * Below: an upstream in one group, which knows whether the upstream sends the group's questions back to us. A forwarder may change
 * the ID, and any client can send a question that we are asking, so neither shows a loop. A name that nobody can guess shows it. The
 * server sends such a name as a probe under the group's own apex; where it comes in as a query, there is a loop. Another group may
 * use the same upstream without a loop.
 */
import { suffixEquals } from '../../protocol/wire/message.ts';
import type { Query } from '../../protocol/wire/query.ts';
import { isAboutName, replyName } from '../../protocol/wire/response-records.ts';
import { RCODE, TYPE } from '../../protocol/words/codes.ts';
import { MAX_NAME_OCTETS, nameToWire } from '../../protocol/words/name.ts';
import type { Deadline } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { Reply } from '../turn.ts';
import type { Attempt, AttemptListener } from './attempt.ts';
import {
  type ForwardFailure,
  type ForwardFailureReason,
  type ForwardOutcome,
  forwardFailure,
  notAsked,
  ownQuestion,
  type Question,
  type UpstreamFailure,
  type UpstreamReply,
} from './exchange.ts';
import { TRUNCATED } from './suffix-health.ts';
import type { ClientContext, UpstreamClient } from './upstream-client.ts';

/**
 * - `usual`    one upstream after the other, within the deadline
 * - `doubted`  as usual, with less patience: other domains fail already, and most answers do not take as long
 * - `trial`    the question is about a name that seems to be cut. Every upstream is asked at once and only once, no client
 *              waits longer than for one attempt, and silence does not count against an upstream as a whole
 */
export type QuestionKind = 'usual' | 'doubted' | 'trial';

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
    // an attempt may be due in the same moment as the question
    const candidate = nowMs < this.#endsAtMs ? this.#choose(nowMs) : undefined;
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

  /** Finds out whether an upstream need not come last any more, beside the others: its answer is welcome, and nothing waits for it. */
  #askLate(): void {
    const nowMs = this.#context.clock.monotonicMs();
    for (const { asked, attempts } of this.#candidates) {
      const { client } = asked;
      if (!client.comesLast(nowMs) || attempts > 0 || !asked.isUsable(nowMs) || !client.claimTrial(nowMs))
        continue;
      const onAnswer: AttemptListener['onAnswer'] = (reply, isLate) => this.#take(asked, reply, isLate);
      const listener = { onAnswer, onFailure: () => undefined, onOverdue: () => undefined };
      const attempt = client.ask(this.question, 0, listener);
      if (attempt !== undefined) this.#attempts.push(attempt);
    }
  }

  /** The usable upstream that was asked least often, those that come last at the end; the operator's order decides between equals. */
  #choose(nowMs: number): Candidate | undefined {
    let best: Candidate | undefined;
    for (const candidate of this.#candidates) {
      if (this.#isTrial || candidate.isOut(nowMs)) continue;
      // with an answer of some kind in hand no upstream is asked twice: the client has waited long enough
      if (this.#unhelpful !== undefined && candidate.attempts > 0) continue;
      if (best === undefined || candidate.isBefore(best, nowMs)) best = candidate;
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

  isBefore(other: Candidate, nowMs: number): boolean {
    if (this.attempts !== other.attempts) return this.attempts < other.attempts;
    return other.asked.client.comesLast(nowMs) && !this.asked.client.comesLast(nowMs);
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

/** The outcome where no upstream may be asked, and why. */
export function noUpstream(upstreams: readonly GroupMember[], nowMs: number): ForwardFailure {
  const reasons = upstreams.map((asked) => {
    const { upstream, lastFailure } = asked.client;
    return `"${upstream.text}": ${asked.isLooping(nowMs) ? 'loop' : (lastFailure?.detail ?? 'down')}`;
  });
  const detail = `no upstream to ask: ${reasons.join(', ')}`;
  if (upstreams.some((asked) => asked.isLooping(nowMs))) return forwardFailure('loop', detail);
  const failures = upstreams.map(({ client }) => client.lastFailure?.reason);
  const isNetwork =
    failures.length > 0 && failures.every((reason) => reason === 'network' || reason === 'tls');
  return notAsked('all-down', detail, isNetwork ? 'network' : 'all-down');
}

/** What a reload changed in a group. */
export interface GroupChange {
  readonly left: ReadonlySet<GroupMember>;
  /** In the operator's order. */
  readonly added: readonly GroupMember[];
}

// An upstream in one group, and its probes for loops.

/** When a new member sends its first probe, and who has sent which. */
export interface ProbeBook {
  nextAtMs(nowMs: number): number;
  /** The member has sent the probe `now` after the probe `before`. */
  replace(member: GroupMember, before: Uint8Array | undefined, now: Uint8Array | undefined): void;
}

/** The longest time after which a probe that this server sent may still return to it. */
const RETURN_MS = 5_000;
const AVOIDED_MS = 30_000;
/** At most one probe goes out in this time, because clients can raise suspicion at any rate. */
const PROBE_EVERY_MS = 20_000;

/** An upstream in one group. */
export class GroupMember implements Deadline {
  readonly client: UpstreamClient;
  readonly group: string;
  dueAtMs = 0;
  readonly #apex: Uint8Array;
  readonly #context: ClientContext;
  readonly #probes: ProbeBook;
  #probe: { readonly name: Uint8Array; readonly sentAtMs: number } | undefined;
  #loopedUntilMs = Number.NEGATIVE_INFINITY;
  #hasLeft = false;
  #isSoon = false;

  /** `group`: its name, the apex of the names that it is asked for. */
  constructor(client: UpstreamClient, group: string, context: ClientContext, probes: ProbeBook) {
    this.client = client;
    this.group = group;
    this.#apex = nameToWire(group);
    this.#context = context;
    this.#probes = probes;
    this.probeSoon();
  }

  /** Whether it may be asked, and is up. */
  isUsable(nowMs: number): boolean {
    return this.client.isUp && this.mayBeTried(nowMs);
  }

  /** Whether it is usable, and no client would wait for nothing. */
  isWilling(query: Query, nowMs: number): boolean {
    return (
      this.isUsable(nowMs) && (this.client.suffixes.isClear || !this.client.suffixes.isLeftOut(query, nowMs))
    );
  }

  /** Whether it may be asked although it is down, to find out whether it still is. */
  mayBeTried(nowMs: number): boolean {
    const { link, isDrilled } = this.#context;
    return !this.isLooping(nowMs) && !(link.isAnyCut && isDrilled(this.client.upstream));
  }

  isLooping(nowMs: number): boolean {
    return nowMs < this.#loopedUntilMs;
  }

  /** Called when the upstream is up again, and once at first. */
  probeSoon(): void {
    // one that is planned keeps its time: an upstream that comes and goes must not push the probes of all others away
    if (this.#isSoon) return;
    this.#probeAt(this.#probes.nextAtMs(this.client.nowMs()));
    this.#isSoon = true;
  }

  onDue(): void {
    this.#isSoon = false;
    this.suspectLoop();
  }

  /** Sends a probe, unless the last probe is too recent. */
  suspectLoop(): void {
    // a question that was asked before it left may still fail
    if (this.#hasLeft) return;
    const nowMs = this.client.nowMs();
    if (this.#probe !== undefined && nowMs < this.#probe.sentAtMs + PROBE_EVERY_MS) return;
    if (!this.client.isUp || PREFIX_OCTETS + this.#apex.length > MAX_NAME_OCTETS) return;
    const name = probeName(this.#context.random, this.#apex);
    this.#probes.replace(this, this.#probe?.name, name);
    this.#probe = { name, sentAtMs: nowMs };
    this.client.ask(ownQuestion(name, TYPE.A, 'loop'), 0, IGNORED);
  }

  /** Whether this query is our probe that has come back. */
  hasSent(query: Query): boolean {
    const probe = this.#probe;
    if (probe === undefined || this.client.nowMs() > probe.sentAtMs + RETURN_MS) return false;
    return suffixEquals(query, query.labelCount, probe.name);
  }

  /** The probe has come back. Returns whether that is news. */
  noteLoop(): boolean {
    const nowMs = this.client.nowMs();
    const isNews = !this.isLooping(nowMs);
    this.#loopedUntilMs = nowMs + AVOIDED_MS;
    // in time for its return: while the loop lasts no question goes into it
    this.#probeAt(this.#loopedUntilMs - RETURN_MS);
    this.client.noteLoop();
    return isNews;
  }

  /** Called when the upstream no longer belongs to the group. */
  leave(): void {
    this.#hasLeft = true;
    this.#context.sweep.delete(this);
    this.#probes.replace(this, this.#probe?.name, undefined);
  }

  #probeAt(dueAtMs: number): void {
    this.#isSoon = false;
    this.dueAtMs = dueAtMs;
    this.#context.sweep.add(this);
  }
}

/** The answer to a probe does not matter. */
const IGNORED: AttemptListener = { onAnswer() {}, onFailure() {}, onOverdue() {} };

/** Two labels, because forwarders commonly do not pass on names of a single label. */
const PROBE_LABELS = 2;
export const LABEL_OCTETS = 32;
const PREFIX_OCTETS = PROBE_LABELS * (1 + LABEL_OCTETS);

/** Whether the query has the shape of a probe: a cheap test that sorts out nearly every query. */
export function mayBeProbe({ octets, nameStart, labelCount }: Query): boolean {
  if (labelCount < PROBE_LABELS || octets[nameStart] !== LABEL_OCTETS) return false;
  return octets[nameStart + 1 + LABEL_OCTETS] === LABEL_OCTETS;
}

function probeName(random: Random, apex: Uint8Array): Uint8Array {
  const name = new Uint8Array(PREFIX_OCTETS + apex.length);
  for (let label = 0; label < PROBE_LABELS; label++) {
    let at = label * (1 + LABEL_OCTETS);
    name[at++] = LABEL_OCTETS;
    for (let digits = 0; digits < LABEL_OCTETS; digits += 8) {
      for (const digit of random.uint32().toString(16).padStart(8, '0')) name[at++] = digit.charCodeAt(0);
    }
  }
  name.set(apex, PREFIX_OCTETS);
  return name;
}
