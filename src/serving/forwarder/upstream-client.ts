/**
 * Holds the forwarder's state of one upstream: its transports, its health, its missing features, and its running attempts.
 * Groups that have the same upstream share its client. Below: what its replies and its silence say of it, and of names.
 */
import type { Log } from '../../log/log.ts';
import { FLAG } from '../../protocol/wire/message.ts';
import {
  isAboutName,
  type ResponseIndex,
  replyName,
  unhelpfulReply,
} from '../../protocol/wire/response-records.ts';
import { RCODE, rcodeName } from '../../protocol/words/codes.ts';
import type { Deadline, DeadlineSweep, Spacing } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import {
  Attempt,
  type AttemptHost,
  type AttemptListener,
  type OpenTransport,
  UpstreamFeatures,
} from './attempt.ts';
import type {
  FailureReason,
  ForwardSettings,
  LinkCuts,
  Probe,
  Question,
  TransportContext,
  Transports,
  Upstream,
  UpstreamEvidence,
  UpstreamFailure,
  UpstreamReply,
} from './exchange.ts';
import { FORWARDER_MESSAGES, type UpstreamSnapshot, upstreamLines } from './forwarder-report.ts';
import { type EvidenceWanted, Probing } from './probing.ts';
import { SuffixHealth, TRUNCATED } from './suffix-health.ts';

/** The parts that all upstream clients share. */
export interface ClientContext extends Omit<TransportContext, 'onMismatch'> {
  readonly sweep: DeadlineSweep;
  readonly transports: Transports;
  readonly log: Log;
  /** Whether this upstream is treated as unreachable although it may answer: a drill. */
  readonly isDrilled: (upstream: Upstream) => boolean;
  readonly link: LinkCuts;
  readonly settings: () => ForwardSettings;
  readonly onEvidence: (evidence: UpstreamEvidence) => void;
  readonly evidenceWanted: EvidenceWanted;
  readonly onDown: (client: UpstreamClient) => void;
  readonly onUp: (client: UpstreamClient) => void;
}

/** With more running attempts, no attempt waits for a late reply: a dead upstream under load holds at most this many. */
const LINGERING = 512;
const EVIDENCE_EVERY_MS = 1_000;
/** While it is down or comes last, one real question goes through in this time: a filter may drop every probe, and answer clients. */
const TRIAL_EVERY_MS = 1_000;
/** An upstream whose answers came too late this often in a row is asked after the others. */
const LATE_BELIEVED = 3;

export class UpstreamClient implements AttemptHost {
  readonly upstream: Upstream;
  readonly health = new UpstreamHealth();
  readonly features: UpstreamFeatures;
  readonly names: NameHealth;
  readonly sweep: DeadlineSweep;
  readonly random: Random;
  /** No group has it any more. */
  isRetired = false;
  /** Why the last attempt failed. */
  lastFailure: UpstreamFailure | undefined;
  readonly #context: ClientContext;
  readonly #probing: Probing;
  /** Of the log: why it went down, or nothing where it came up. */
  readonly #lines: Spacing<UpstreamFailure | undefined>;
  readonly #forTransports: TransportContext;
  readonly #exchanges: Record<string, number> = {};
  readonly #failures = { timeout: 0, network: 0, tls: 0, malformed: 0, spoofed: 0, loop: 0 };
  #mismatched = 0;
  readonly #unhelpful = { SERVFAIL: 0, REFUSED: 0, referral: 0 };
  #truncated = 0;
  readonly #attempts = new Set<Attempt>();
  readonly #open = new Map<string, OpenTransport>();
  #lateAnswers = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #evidence: { readonly reachable: boolean; readonly atMs: number } | undefined;
  /** Pieces of evidence still wanted after a failure that was reported. */
  #answersWanted = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(upstream: Upstream, context: ClientContext) {
    this.upstream = upstream;
    this.#context = context;
    this.sweep = context.sweep;
    this.random = context.random;
    this.names = new NameHealth(this, context.link);
    this.features = new UpstreamFeatures(() => FORWARDER_MESSAGES.caseLost(context.log, this.#named));
    this.#probing = new Probing(this, context);
    const { clock, timers, random } = context;
    this.#lines = upstreamLines(this.#named, context);
    this.#forTransports = { clock, timers, random, onMismatch: () => this.#mismatched++ };
    for (const name of Object.keys(context.transports)) this.#exchanges[name] = 0;
    // a transport that is not there is found now, not by the first question
    if (upstream.transport !== undefined) this.transport(upstream.transport);
  }

  /** Which names it fails for. */
  get suffixes(): SuffixHealth {
    return this.names.suffixes;
  }

  get isUp(): boolean {
    return this.health.isUp;
  }

  /** Whether silence may mean that it drops EDNS. A stream leaves no message out. */
  get mayDropEdns(): boolean {
    return this.upstream.transport === undefined && this.features.usesEdns(this.nowMs());
  }

  /** Whether the upstream has given too few answers since its last reported failure. */
  get isInDoubt(): boolean {
    return this.#answersWanted > 0;
  }

  /** As messages name it. */
  get #named() {
    return { upstream: this.upstream.text };
  }

  /** Whether attempts run. */
  get isBusy(): boolean {
    return this.#attempts.size > 0;
  }

  /** Whether its answers come only after others have been asked, time after time. */
  get isLate(): boolean {
    return this.#lateAnswers >= LATE_BELIEVED;
  }

  /** Whether it is asked after the others of its group. */
  comesLast(nowMs: number): boolean {
    return this.isLate || this.health.isUnsteady(nowMs);
  }

  /** Asks. `doublings`: how often this question was put to this upstream before; each attempt waits twice as long. */
  ask(question: Question, doublings: number, listener: AttemptListener): Attempt | undefined {
    if (this.#isClosed) return undefined;
    const nowMs = this.nowMs();
    if (this.features.claimEdnsTrial(nowMs)) this.#tryEdns(question);
    const isPlain = question.probes === 'plain';
    const name = this.upstream.transport ?? (isPlain ? 'udp' : this.features.udpOrTcp(nowMs));
    const withEdns = !isPlain && this.features.usesEdns(nowMs);
    return this.#start(new Attempt(this, question, this.transport(name), withEdns, doublings, listener));
  }

  /** It seems to drop questions with EDNS: it has answered time after time without EDNS what it did not answer with EDNS. */
  noteEdnsDropped(): void {
    this.features.noteEdnsDropped(this.nowMs());
    FORWARDER_MESSAGES.ednsDropped(this.#context.log, this.#named);
  }

  /** Silence is a fall; an upstream that is late, or whose answers do not help, is there. */
  noteLostProbe(sinceMs: number): void {
    if (this.#lateAnswers === 0 && this.#heardAtMs < sinceMs) this.health.noteFall(this.nowMs());
  }

  /** It answered a question, in time or later. */
  noteLateness(isLate: boolean): void {
    this.#lateAnswers = isLate ? this.#lateAnswers + 1 : 0;
  }

  /** Whether it is time for a real question although it is down or late. Claims that time. */
  claimTrial(nowMs: number): boolean {
    if (nowMs < this.#triedAtMs + TRIAL_EVERY_MS) return false;
    this.#triedAtMs = nowMs;
    return true;
  }

  /** The upstream sent a probe of ours back to us. */
  noteLoop(): void {
    this.#failures.loop++;
    this.lastFailure = { reason: 'loop', detail: 'it sent our own query back to us' };
  }

  snapshot(isLooping: boolean): UpstreamSnapshot {
    const nowMs = this.nowMs();
    return {
      upstream: this.upstream.text,
      isUp: this.health.isUp,
      downBecause: this.health.isUp ? undefined : this.lastFailure?.detail,
      isLooping,
      isLate: this.isLate,
      isUnsteady: this.health.isUnsteady(nowMs),
      rttMs: this.health.roundTripMs,
      inFlight: this.#attempts.size,
      exchanges: { ...this.#exchanges },
      failures: { ...this.#failures },
      mismatched: this.#mismatched,
      unhelpful: { ...this.#unhelpful },
      truncated: this.#truncated,
      usesEdns: this.features.usesEdns(nowMs),
      dropsEdns: this.features.dropsEdns,
      cut: this.suffixes.cut(nowMs),
    };
  }

  /** Takes the upstream out of use: running attempts may end, and then the client closes its sockets. */
  retire(): void {
    this.isRetired = true;
    this.#lines[Symbol.dispose]();
    this.#probing.close();
    if (this.#attempts.size === 0) this.#closeTransports();
  }

  /** Gives up every running attempt, and starts no further attempt. */
  close(): void {
    this.#isClosed = true;
    this.#lines[Symbol.dispose]();
    this.#probing.close();
    for (const attempt of [...this.#attempts]) attempt.abandon();
    this.#closeTransports();
  }

  nowMs(): number {
    return this.#context.clock.monotonicMs();
  }

  transport(name: string): OpenTransport {
    let open = this.#open.get(name);
    if (open === undefined) {
      const kind = this.#context.transports[name];
      if (kind === undefined) throw new Error(`there is no transport "${name}"`);
      open = { name, kind, transport: kind.open(this.upstream, this.#forTransports) };
      this.#open.set(name, open);
    }
    return open;
  }

  get settings(): ForwardSettings {
    return this.#context.settings();
  }

  mayLinger(): boolean {
    return this.#attempts.size <= LINGERING && !this.isRetired;
  }

  noteStart({ name }: OpenTransport): void {
    this.#exchanges[name] = (this.#exchanges[name] ?? 0) + 1;
  }

  noteReply(
    { kind }: OpenTransport,
    index: ResponseIndex | undefined,
    roundTripMs: number | undefined,
    probe: Probe | undefined,
  ): void {
    // that no client's question is answered in the same way says more
    if (probe === 'plain') return;
    if (kind.isDatagram) this.features.noteUdpWorks();
    // BADVERS stands in OPT, and version 0 is the first
    if (index?.hasEdns && index.rcode !== RCODE.BADVERS) this.features.hasEdns = true;
    const unhelpful = index && unhelpfulReply(index);
    if (unhelpful !== undefined) this.#unhelpful[unhelpful]++;
    if (index !== undefined && (index.flags & FLAG.TC) !== 0) this.#truncated++;
    this.#heardAtMs = this.nowMs();
    const change = this.health.noteReply(roundTripMs, this.#context.settings());
    if (this.#isEvidenceDue(true))
      this.#reportEvidence(true, index === undefined ? rcodeName(RCODE.FORMERR) : replyName(index));
    if (change !== 'came-up') return;
    this.suffixes.clear();
    this.#lines.note('', undefined);
    this.#context.onUp(this);
  }

  noteFailure(
    { name, kind }: OpenTransport,
    failure: UpstreamFailure,
    startedAtMs: number,
    probe: Probe | undefined,
  ): void {
    // no resolver has the name of a loop's probe at hand: how long it takes says nothing about the upstream
    if (probe === 'loop' || probe === 'trial' || probe === 'plain') return;
    const isProbe = probe === 'reach';
    const { reason } = failure;
    this.#failures[reason]++;
    this.lastFailure = failure;
    if (!isAboutReach(reason)) return;
    const nowMs = this.nowMs();
    // a firewall may refuse UDP and pass TCP
    if (kind.isDatagram) this.features.noteUdpLoss(nowMs);
    if (name === 'tcp') this.features.noteUdpWorks(); // neither way works: try both in turn
    const strikesBefore = this.health.strikes;
    const change = this.health.noteFailure(nowMs, startedAtMs, isProbe);
    const hasStruck = this.health.strikes > strikesBefore || change === 'went-down';
    // one timeout may be the fault of the name that was asked for; the probe that follows it decides
    const isSure = reason !== 'timeout' || isProbe || (hasStruck && strikesBefore > 0);
    if (isSure && this.#isEvidenceDue(false)) this.#reportEvidence(false, reason);
    if (change === 'went-down') {
      this.#triedAtMs = nowMs;
      this.#lines.note('', failure);
      this.#probing.watchDown();
      this.#context.onDown(this);
    } else if (hasStruck) this.#probing.verify();
  }

  noteEdnsRefused(probe: Probe | undefined): void {
    // some name servers of single zones refuse EDNS: one name must not take DO and large replies from all others
    if (this.features.hasEdns) return;
    if (probe !== 'reach') {
      this.#probing.verify();
      return;
    }
    this.features.noteEdnsRefused(this.nowMs());
    FORWARDER_MESSAGES.withoutEdns(this.#context.log, this.#named);
  }

  onOver(attempt: Attempt): void {
    this.#attempts.delete(attempt);
    if (this.isRetired && this.#attempts.size === 0) this.#closeTransports();
  }

  #start(attempt: Attempt): Attempt {
    this.#attempts.add(attempt);
    attempt.send();
    return attempt;
  }

  /** Asks with EDNS beside a client's question, so that no client waits for it. An answer that refuses or ignores EDNS is no silence. */
  #tryEdns(question: Question): void {
    const onAnswer = (): void => this.features.noteEdnsPasses();
    const listener = { onAnswer, onFailure: () => undefined, onOverdue: () => undefined };
    const trial: Question = { ...question, probes: 'trial' };
    this.#start(new Attempt(this, trial, this.transport('udp'), true, 0, listener));
  }

  #closeTransports(): void {
    this.names.close();
    for (const { transport } of this.#open.values()) transport.close();
    this.#open.clear();
  }

  /** At once for a change, and once a second for more of the same. */
  #isEvidenceDue(reachable: boolean): boolean {
    const last = this.#evidence;
    return last?.reachable !== reachable || this.nowMs() >= last.atMs + EVIDENCE_EVERY_MS;
  }

  /** `reason`: of a failure, or what a reply says. */
  #reportEvidence(reachable: boolean, reason: string): void {
    this.#evidence = { reachable, atMs: this.nowMs() };
    this.#answersWanted = reachable
      ? Math.max(0, this.#answersWanted - 1)
      : this.#context.evidenceWanted.answers;
    this.#context.onEvidence({ upstream: this.upstream.text, reachable, reason });
    if (this.isInDoubt) this.#probing.watch();
  }
}

/** The others came from a server that could be reached. */
function isAboutReach(reason: FailureReason): boolean {
  return reason === 'timeout' || reason === 'network' || reason === 'tls';
}

// Whether the upstream is up, and how long a reply may take.

type AttemptLimits = Pick<ForwardSettings, 'attemptMinMs' | 'attemptMaxMs'>;

type HealthChange = 'went-down' | 'came-up' | undefined;

const STRIKES_TO_DOWN = 3;
const SUCCESSES_TO_UP = 2;
/** After a second fall within this time an upstream is asked after the others, until it has not failed for a while. */
const FALLS_ADD_UP_MS = 600_000;
/** This while: twice as long after each further fall (as RFC 2439 damps a route that flaps). */
const STEADY_FIRST_MS = 15_000;
const STEADY_MOST_MS = 300_000;
const PROBE_FIRST_MS = 500;
const PROBE_AGAIN_MS = 100; // heard once: when the link is back, clients and sources ask within the second
const PROBE_LAST_MS = 2_000; // with the time that an answer may take, its return is noticed within 3 s
/** The first wait for an upstream that was never heard. RFC 6298 section 2 says a second; half is enough, because a late reply counts too. */
const UNMEASURED_TIMEOUT_MS = 500;
const CLOCK_GRANULARITY_MS = 10; // G in RFC 6298 section 2: the sweep's

/** Learns from real traffic the round-trip time of one upstream, and whether the upstream is up. Pure: the time is an argument. */
export class UpstreamHealth {
  isUp = true;
  /** Failures in a row, while up. */
  strikes = 0;
  /** Smoothed; `undefined` before the first reply. */
  roundTripMs: number | undefined;
  #struckAtMs = Number.NEGATIVE_INFINITY;
  #successes = 0;
  #probeDelayMs = PROBE_FIRST_MS;
  #variationMs = 0;
  #falls = 0;
  #hasFallen = false;
  #steadyMs = 0;
  #fellAtMs = Number.NEGATIVE_INFINITY;
  /** It is steady when it has not failed until then. */
  #steadyAtMs = Number.NEGATIVE_INFINITY;

  /** Whether it goes down and comes back again and again. */
  isUnsteady(nowMs: number): boolean {
    return nowMs < this.#steadyAtMs;
  }

  /**
   * A reply of any RCODE came: the upstream can be reached. `roundTripMs` where it was measured, late replies included. Each
   * exchange has an ID and a port of its own, so there is no doubt which question was answered (Karn's problem).
   */
  noteReply(roundTripMs: number | undefined, limits: AttemptLimits): HealthChange {
    if (roundTripMs !== undefined) this.#measure(Math.min(roundTripMs, limits.attemptMaxMs));
    this.strikes = 0;
    this.#hasFallen = false;
    this.#struckAtMs = Number.NEGATIVE_INFINITY;
    if (this.isUp) return undefined;
    this.#probeDelayMs = PROBE_AGAIN_MS;
    this.#successes++;
    if (this.#successes < SUCCESSES_TO_UP) return undefined;
    this.isUp = true;
    return 'came-up';
  }

  /**
   * An exchange that started at `startedAtMs` got no reply in time, or failed. An exchange that was under way when the last
   * failure was counted says nothing new. A hundred queries lost in one short break are one strike, not a hundred. Real
   * traffic takes an upstream down; a probe that fails only keeps it down.
   */
  noteFailure(nowMs: number, startedAtMs: number, isProbe: boolean): HealthChange {
    if (startedAtMs < this.#struckAtMs) return undefined;
    this.#successes = 0;
    if (!this.isUp || isProbe) return undefined;
    this.#struckAtMs = nowMs;
    this.strikes++;
    if (this.isUnsteady(nowMs)) this.#steadyAtMs = nowMs + this.#steadyMs;
    if (this.strikes < STRIKES_TO_DOWN) return undefined;
    this.noteFall(nowMs);
    this.isUp = false;
    this.strikes = 0;
    this.#probeDelayMs = PROBE_FIRST_MS;
    return 'went-down';
  }

  /** It went down, or answered nothing that it was asked: once until its next reply. */
  noteFall(nowMs: number): void {
    if (this.#hasFallen || !this.isUp) return;
    this.#hasFallen = true;
    this.#falls = nowMs < this.#fellAtMs + FALLS_ADD_UP_MS ? this.#falls + 1 : 1;
    this.#fellAtMs = nowMs;
    // the first fall costs nothing: a cut is no reason to leave the operator's order
    this.#steadyMs = this.#falls < 2 ? 0 : Math.min(STEADY_FIRST_MS * 2 ** (this.#falls - 2), STEADY_MOST_MS);
    this.#steadyAtMs = nowMs + this.#steadyMs;
  }

  /** How long to wait before the next probe of an upstream that is down: longer each time, until it is heard. */
  nextProbeDelayMs(): number {
    const delayMs = this.#probeDelayMs;
    this.#probeDelayMs = Math.min(delayMs * 2, PROBE_LAST_MS);
    return delayMs;
  }

  /** How long a reply may take before the next attempt starts (RFC 6298 section 2.3, with our own bounds). */
  attemptTimeoutMs(limits: AttemptLimits): number {
    const wantedMs =
      this.roundTripMs === undefined
        ? UNMEASURED_TIMEOUT_MS
        : this.roundTripMs + Math.max(CLOCK_GRANULARITY_MS, 4 * this.#variationMs);
    return Math.min(Math.max(wantedMs, limits.attemptMinMs), limits.attemptMaxMs);
  }

  /** RFC 6298 sections 2.2 and 2.3: alpha is 1/8, beta 1/4. */
  #measure(roundTripMs: number): void {
    if (this.roundTripMs === undefined) {
      this.roundTripMs = roundTripMs;
      this.#variationMs = roundTripMs / 2;
      return;
    }
    this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.roundTripMs - roundTripMs);
    this.roundTripMs = 0.875 * this.roundTripMs + 0.125 * roundTripMs;
  }
}

// What its replies and its silence say of names (the proof of it is in suffix-health.ts), and which questions it has answered.

/** The part of an upstream that `NameHealth` needs. */
interface WatchedUpstream {
  readonly sweep: DeadlineSweep;
  readonly isUp: boolean;
  nowMs(): number;
  ask(question: Question, doublings: number, listener: AttemptListener): void;
}

/** A name's first failure is confirmed after this time: its servers, or a cache of failures, have moved on by then. */
const CONFIRM_AFTER_MS = 1_000;
/** A confirmation may take four times the usual time, because to resolve a name from the root takes longer than to read a cache. */
const CONFIRM_DOUBLINGS = 2;

/** Gathers what the replies and the silence of one upstream say about names, and confirms a name's first failure. */
class NameHealth {
  readonly suffixes = new SuffixHealth();
  readonly known = new KnownQuestions();
  readonly #upstream: WatchedUpstream;
  readonly #link: Pick<LinkCuts, 'isFarSideCut'>;
  /** The failure that is confirmed next. */
  #confirmation: Deadline | undefined;
  #isClosed = false;

  constructor(upstream: WatchedUpstream, link: Pick<LinkCuts, 'isFarSideCut'>) {
    this.#upstream = upstream;
    this.#link = link;
  }

  /** Whether clients wait a shorter time for a name of which nothing is known. */
  isInDoubt(nowMs: number): boolean {
    return !this.suffixes.isClear && this.suffixes.isInDoubt(nowMs, this.#link.isFarSideCut);
  }

  noteAnswer(question: Question, { index, elapsedMs }: Pick<UpstreamReply, 'index' | 'elapsedMs'>): void {
    const { rcode, flags, answerCount } = index;
    const unhelpful = unhelpfulReply(index);
    if (unhelpful !== undefined) this.noteFailure(question, unhelpful, elapsedMs);
    if (!isAboutName(index)) return;
    this.known.noteAnswer(question, (flags & FLAG.AA) !== 0);
    const isDenial = rcode !== RCODE.NOERROR || answerCount === 0;
    // a resolver that is cut off itself may deny what it cannot ask for
    if (!this.suffixes.isClear && (!isDenial || !this.#link.isFarSideCut))
      this.suffixes.noteAnswer(question.name, question.qtype);
  }

  /** `failure`: for people. `afterMs`: absent where no reply came. */
  noteFailure(question: Question, failure = 'no reply in time', afterMs = Number.POSITIVE_INFINITY): void {
    const upstream = this.#upstream;
    // while the upstream is down all names fail, and nothing follows for one of them
    if (!upstream.isUp) return;
    const isExpected = this.#link.isFarSideCut;
    const nowMs = upstream.nowMs();
    const { name, qtype } = question;
    const isFirst = this.suffixes.noteFailure(name, qtype, nowMs, isExpected, afterMs, failure);
    if (isFirst) this.#confirmSoon(question);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#confirmation !== undefined) this.#upstream.sweep.delete(this.#confirmation);
    this.#confirmation = undefined;
  }

  /** Asks once more. One name at a time, so that a flood of names that fail is not doubled. */
  #confirmSoon(question: Question): void {
    if (this.#confirmation !== undefined || this.#isClosed) return;
    const upstream = this.#upstream;
    this.#confirmation = {
      dueAtMs: upstream.nowMs() + CONFIRM_AFTER_MS,
      onDue: () => {
        this.#confirmation = undefined;
        upstream.ask({ ...question, probes: 'trial' }, CONFIRM_DOUBLINGS, {
          onAnswer: (reply) => this.noteAnswer(question, reply),
          onOverdue: (isTruncated) => this.noteFailure(question, isTruncated ? TRUNCATED : undefined),
          onFailure: () => undefined,
        });
      },
    };
    upstream.sweep.add(this.#confirmation);
  }
}

/** Domains that are remembered of each kind. */
const DOMAINS = 3;

/**
 * Questions that an upstream has answered, the last one of a few domains: when the upstream is in doubt, probes ask them
 * (probing.ts). An upstream that is cut off itself still answers what it has authority for (AA). So answers with
 * authority are replaced only by their own kind.
 */
class KnownQuestions {
  readonly #authoritative: Question[] = [];
  readonly #others: Question[] = [];

  get questions(): readonly Question[] {
    return [...this.#authoritative, ...this.#others];
  }

  noteAnswer(question: Question, isAuthoritative: boolean): void {
    const known = isAuthoritative ? this.#authoritative : this.#others;
    if (known[0]?.domain === question.domain) {
      known[0] = question;
      return;
    }
    const at = known.findIndex(({ domain }) => domain === question.domain);
    if (at > 0) known.splice(at, 1);
    if (known.unshift(question) > DOMAINS) known.pop();
  }
}
