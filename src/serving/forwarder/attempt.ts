/**
 * Asks one upstream one question, as often as the question needs. It is sent again over TCP when the reply was truncated,
 * cut off or forged, without EDNS when the upstream refused EDNS, and in the question's own case when mixed case may be why a
 * name was denied. An attempt also waits for a late reply: it may be the first reply, and it shows the
 * upstream's health.
 */
import { FLAG } from '../../protocol/wire/message.ts';
import { isAboutName, type ResponseIndex, refusesEdns } from '../../protocol/wire/response-records.ts';
import type { Deadline, DeadlineSweep } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import {
  composeUpstreamQuery,
  Exchange,
  type ExchangeEnd,
  type ForwardSettings,
  hasEnoughLetters,
  type Probe,
  type Question,
  questionEndOf,
  type Transport,
  type TransportKind,
  type UpstreamFailure,
  type UpstreamReply,
} from './exchange.ts';

/** Receives the result of an attempt: perhaps `onOverdue` first, then an answer or a failure, and then no further call. */
export interface AttemptListener {
  /** `isLate`: `onOverdue` was called before. */
  onAnswer(reply: UpstreamReply, isLate: boolean): void;
  onFailure(failure: UpstreamFailure, isLate: boolean): void;
  /** The reply takes longer than it should; called once. `isTruncated`: it came over UDP, and TCP is silent. */
  onOverdue(isTruncated: boolean): void;
}

/** A transport of the upstream, open. */
export interface OpenTransport {
  readonly name: string;
  readonly kind: TransportKind;
  readonly transport: Transport;
}

const LOSSES_TO_TCP = 2;
const UDP_AGAIN_MS = 30_000;
/** An upstream that lost the case this often in a row loses it for every name. */
const CASE_LOSSES_BELIEVED = 3;
const CASE_LOST_MS = 15 * 60_000;
const WITHOUT_EDNS_MS = 15 * 60_000;

/** What one upstream was found not to take: datagrams, names in mixed case, EDNS. Pure: the time is an argument. */
export class UpstreamFeatures {
  /** It has answered with EDNS. */
  hasEdns = false;
  #udpLosses = 0;
  #udpAgainAtMs = 0;
  #caseLosses = 0;
  #caseLostUntilMs = Number.NEGATIVE_INFINITY;
  /**
   * When a name was answered in its own case. Names as octets: the confirmation of a failure (`NameHealth` of upstream-client.ts)
   * asks for the same octets.
   */
  readonly #ownCaseAtMs = new WeakMap<Uint8Array, number>();
  readonly #onCaseLost: () => void;
  #withoutEdnsUntilMs = Number.NEGATIVE_INFINITY;
  /** Set while it drops questions with EDNS: when such a question is tried again. */
  #ednsAgainAtMs: number | undefined;

  /** `onCaseLost`: it changes the case of names, or drops mixed case. For a while the case proves nothing. */
  constructor(onCaseLost: () => void) {
    this.#onCaseLost = onCaseLost;
  }

  udpOrTcp(nowMs: number): 'udp' | 'tcp' {
    if (this.#udpLosses < LOSSES_TO_TCP) return 'udp';
    if (nowMs < this.#udpAgainAtMs) return 'tcp';
    this.#udpAgainAtMs = nowMs + UDP_AGAIN_MS;
    return 'udp';
  }

  noteUdpLoss(nowMs: number): void {
    this.#udpLosses++;
    if (this.#udpLosses === LOSSES_TO_TCP) this.#udpAgainAtMs = nowMs + UDP_AGAIN_MS;
  }

  noteUdpWorks(): void {
    this.#udpLosses = 0;
  }

  keepsCase(nowMs: number): boolean {
    return nowMs >= this.#caseLostUntilMs;
  }

  /** A reply brought the name back. `isSame`: in the case in which it was sent. */
  noteCase(isSame: boolean, nowMs: number): void {
    this.#caseLosses = isSame ? 0 : this.#caseLosses + 1;
    if (this.#caseLosses < CASE_LOSSES_BELIEVED || !this.keepsCase(nowMs)) return;
    this.#caseLosses = 0;
    this.#caseLostUntilMs = nowMs + CASE_LOST_MS;
    this.#onCaseLost();
  }

  /** A question in mixed case that had no reply before was answered in its own case. */
  noteOwnCase(question: Question, nowMs: number): void {
    this.#ownCaseAtMs.set(question.name, nowMs);
  }

  /**
   * No reply to a question in mixed case came at all. Silence alone may have any cause, and an answer from before the question
   * proves nothing: probes repeat questions that were answered once.
   */
  noteMixedCaseLost(question: Question, startedAtMs: number, nowMs: number): void {
    const ownCaseAtMs = this.#ownCaseAtMs.get(question.name);
    if (ownCaseAtMs !== undefined && ownCaseAtMs >= startedAtMs) this.noteCase(false, nowMs);
  }

  usesEdns(nowMs: number): boolean {
    return nowMs >= this.#withoutEdnsUntilMs && !this.dropsEdns;
  }

  get dropsEdns(): boolean {
    return this.#ednsAgainAtMs !== undefined;
  }

  noteEdnsRefused(nowMs: number): void {
    this.#withoutEdnsUntilMs = nowMs + WITHOUT_EDNS_MS;
  }

  noteEdnsDropped(nowMs: number): void {
    this.#ednsAgainAtMs = nowMs + WITHOUT_EDNS_MS;
    this.#udpLosses = 0;
  }

  noteEdnsPasses(): void {
    this.#ednsAgainAtMs = undefined;
  }

  /** Whether it is time for a question with EDNS although it drops them. Claims that time. */
  claimEdnsTrial(nowMs: number): boolean {
    if (this.#ednsAgainAtMs === undefined || nowMs < this.#ednsAgainAtMs) return false;
    this.#ednsAgainAtMs = nowMs + WITHOUT_EDNS_MS;
    return true;
  }
}

/** The part of an upstream that an attempt uses and to which the attempt reports. */
export interface AttemptHost {
  readonly sweep: DeadlineSweep;
  readonly random: Random;
  nowMs(): number;
  /** The transport of this name, opened when it is not yet. */
  transport(name: string): OpenTransport;
  readonly features: UpstreamFeatures;
  readonly health: { attemptTimeoutMs(limits: ForwardSettings): number };
  readonly settings: ForwardSettings;
  /** Whether there is room to wait for a late reply. */
  mayLinger(): boolean;
  noteStart(transport: OpenTransport): void;
  noteReply(
    transport: OpenTransport,
    index: ResponseIndex | undefined,
    roundTripMs: number | undefined,
    probe: Probe | undefined,
  ): void;
  noteFailure(
    transport: OpenTransport,
    failure: UpstreamFailure,
    startedAtMs: number,
    probe: Probe | undefined,
  ): void;
  /** With EDNS the upstream said FORMERR, NOTIMP or BADVERS to this question, and without EDNS something else. */
  noteEdnsRefused(probe: Probe | undefined): void;
  onOver(attempt: Attempt): void;
}

/** From the start of an exchange: no client waits longer for a reply. */
const LISTEN_MS = 5_000;
const MAX_DOUBLINGS = 4;

const OVERDUE: UpstreamFailure = { reason: 'timeout', detail: 'no reply in time' };

/**
 * Whether a denial may be there only because the name was in mixed case. Small servers compare names octet by octet, against
 * RFC 4343; they know no EDNS, and do not recurse or deny without SOA.
 */
function mayComeFromCase(index: ResponseIndex): boolean {
  if (index.answerCount > 0 || index.hasEdns || !isAboutName(index)) return false;
  return index.negativeTtlSeconds === undefined || (index.flags & FLAG.RA) === 0;
}

export class Attempt extends Exchange implements Deadline {
  place = -1;
  dueAtMs = 0;
  readonly #host: AttemptHost;
  readonly #question: Question;
  readonly #listener: AttemptListener;
  readonly #doublings: number;
  #transport: OpenTransport;
  #withEdns: boolean;
  #stage: 'timely' | 'late' | 'over' = 'timely';
  #isOverdue = false;
  #isTruncated = false;
  #triedWithoutEdns = false;
  #triedMixedCase: boolean;
  /** A denial to a name in mixed case is confirmed. */
  #doubtsCase = false;

  /** `doublings`: how often the timeout is doubled. */
  constructor(
    host: AttemptHost,
    question: Question,
    transport: OpenTransport,
    withEdns: boolean,
    doublings: number,
    listener: AttemptListener,
  ) {
    super();
    this.#host = host;
    this.#question = question;
    this.#transport = transport;
    this.#withEdns = withEdns;
    this.#doublings = Math.min(doublings, MAX_DOUBLINGS);
    // some servers and firewalls drop names in mixed case
    this.#triedMixedCase = doublings > 0;
    this.#listener = listener;
  }

  send(): void {
    const host = this.#host;
    const { kind, transport } = this.#transport;
    const nowMs = host.nowMs();
    const { features, health, settings } = host;
    // a stream is hard enough to forge
    const mayMix = kind.isDatagram === true && settings.caseRandomization && features.keepsCase(nowMs);
    const mixesCase = mayMix && !this.#triedMixedCase;
    this.message = composeUpstreamQuery(this.#question, {
      withEdns: this.#withEdns,
      caseFrom: mixesCase ? host.random : undefined,
      padded: kind.isEncrypted === true,
      authenticated: settings.trustAuthenticatedData,
    });
    this.questionEnd = questionEndOf(this.#question);
    this.exactCase = mixesCase;
    this.needsOwnPort = !mixesCase || !hasEnoughLetters(this.#question.name);
    this.repeats = 0;
    this.hadToConnect = false;
    this.#stage = 'timely';
    this.startedAtMs = nowMs;
    const timeoutMs = health.attemptTimeoutMs(settings) * kind.roundTrips * 2 ** this.#doublings;
    this.dueAtMs = nowMs + Math.min(timeoutMs, settings.attemptMaxMs);
    host.sweep.add(this);
    host.noteStart(this.#transport);
    transport.start(this);
  }

  onDue(): void {
    const { transport } = this.#transport;
    if (this.#stage === 'late' || !this.#host.mayLinger()) {
      transport.giveUp(this, 'lost');
      if (this.#stage === 'late' && this.exactCase)
        this.#host.features.noteMixedCaseLost(this.#question, this.startedAtMs, this.#host.nowMs());
      if (this.#stage === 'timely') this.#overdue();
      this.#finish();
      return;
    }
    this.#stage = 'late';
    this.dueAtMs = this.startedAtMs + LISTEN_MS;
    this.#host.sweep.add(this);
    transport.giveUp(this, 'late');
    this.#overdue();
  }

  /** Ends without a word to the listener. */
  abandon(): void {
    if (this.#stage === 'over') return;
    this.#host.sweep.delete(this);
    this.#finish();
    this.#transport.transport.giveUp(this, 'unneeded');
  }

  end(end: ExchangeEnd): void {
    // it was given up a moment ago
    if (this.#stage === 'over') return;
    this.#host.sweep.delete(this);
    switch (end.kind) {
      case 'reply':
        this.#onReply(end);
        return;
      case 'edns-refused':
        this.#host.noteReply(this.#transport, undefined, end.elapsedMs, this.#question.probes);
        this.#sendWithoutEdns();
        return;
      case 'case-lost':
        // again in the question's own case, from its own port: TCP may not be there, and need not be
        this.#triedMixedCase = true;
        this.#noteCase(false);
        this.send();
        return;
      case 'failed':
        this.#noteFailure(end);
        // RFC 5452 section 9.3: TCP is far harder to forge. Servers and firewalls that cut datagrams at 512 octets, and do not
        // say so, leave a stream whole
        if (end.reason === 'spoofed' || (end.endsEarly && this.#transport.kind.isDatagram)) {
          this.#sendOverTcp();
          return;
        }
        this.#finish();
        this.#listener.onFailure(end, this.#isOverdue);
    }
  }

  #onReply(reply: UpstreamReply): void {
    const { index, elapsedMs } = reply;
    const isDoubtful = this.exactCase && mayComeFromCase(index);
    // a name with few letters may have kept its case by chance, and `.` has no case
    if (this.exactCase && !isDoubtful && !this.needsOwnPort) this.#noteCase(true);
    else if (!this.exactCase && this.#doublings > 0 && this.#transport.kind.isDatagram)
      this.#host.features.noteOwnCase(this.#question, this.#host.nowMs());
    const roundTripMs = reply.isRoundTrip ? elapsedMs : undefined;
    this.#host.noteReply(this.#transport, index, roundTripMs, this.#question.probes);
    const saysNoEdns = refusesEdns(index);
    if (saysNoEdns && this.#withEdns) {
      this.#sendWithoutEdns();
      return;
    }
    if (this.#triedWithoutEdns && !saysNoEdns) this.#host.noteEdnsRefused(this.#question.probes);
    // RFC 2181 section 9, RFC 7766 section 5: a truncated reply is not used, and asked for again over TCP
    if ((index.flags & FLAG.TC) !== 0 && this.#transport.kind.isDatagram) {
      this.#isTruncated = true;
      this.#sendOverTcp();
      return;
    }
    if (isDoubtful) {
      this.#triedMixedCase = true;
      this.#doubtsCase = true;
      this.send();
      return;
    }
    if (this.#doubtsCase) this.#noteCase(index.answerCount === 0);
    this.#finish();
    this.#listener.onAnswer(reply, this.#isOverdue);
  }

  #noteCase(isSame: boolean): void {
    this.#host.features.noteCase(isSame, this.#host.nowMs());
  }

  #overdue(): void {
    this.#noteFailure(OVERDUE);
    if (this.#isOverdue) return;
    this.#isOverdue = true;
    this.#listener.onOverdue(this.#isTruncated);
  }

  #noteFailure(failure: UpstreamFailure): void {
    this.#host.noteFailure(this.#transport, failure, this.startedAtMs, this.#question.probes);
  }

  #sendOverTcp(): void {
    this.#transport = this.#host.transport('tcp');
    this.send();
  }

  /** RFC 6891 sections 6.2.2 and 7: once, because a server may say FORMERR to everything. */
  #sendWithoutEdns(): void {
    this.#withEdns = false;
    this.#triedWithoutEdns = true;
    this.send();
  }

  #finish(): void {
    this.#stage = 'over';
    this.#host.onOver(this);
  }
}
