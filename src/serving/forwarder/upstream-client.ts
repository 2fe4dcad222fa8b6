/**
 * One upstream as the forwarder knows it: its transports, its health, what it cannot do, and the attempts under way.
 * Groups that share an upstream share its client.
 */
import { FLAG } from '../../protocol/wire/header.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import { isAboutName, RCODE, rcodeName } from '../../protocol/words/rcodes.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import {
  type Answer,
  Attempt,
  type AttemptFailure,
  type AttemptHost,
  type AttemptListener,
} from './attempt.ts';
import type { DeadlineSweep } from './deadline-sweep.ts';
import type { ExchangeFailure, ExchangeTransport, TransportHooks, TransportName } from './exchange.ts';
import type { ForwardSettings } from './forward-settings.ts';
import { KnownQuestions } from './known-questions.ts';
import { CaseMemory } from './name-case.ts';
import type { Probe, Question } from './question.ts';
import type { SuffixHealth } from './suffix-health.ts';
import { SuffixWatch } from './suffix-watch.ts';
import type { Transports } from './transports.ts';
import type { Upstream } from './upstream.ts';
import { UpstreamHealth } from './upstream-health.ts';

export interface UpstreamEvidence {
  /** The upstream's text. */
  readonly upstream: string;
  readonly reachable: boolean;
  readonly reason: string;
}

/** What all clients share. */
export interface ClientContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly sweep: DeadlineSweep;
  readonly transports: Transports;
  readonly isCutOff: (upstream: Upstream) => boolean;
  /** Whether the far side is known to be unreachable: a failure is then expected, and a denial proves nothing. */
  isLinkCut(): boolean;
  settings(): ForwardSettings;
  onEvidence(evidence: UpstreamEvidence): void;
  /** An upstream that is still taken to be up has failed: time to verify it with a probe. */
  onStrike(client: UpstreamClient): void;
  /** Evidence was told, and more is wanted before the upstream counts as whole. */
  onDoubt(client: UpstreamClient): void;
  onDown(client: UpstreamClient, failure: AttemptFailure): void;
  onUp(client: UpstreamClient): void;
  /** It refused EDNS once: time to verify with a probe whether it has none. */
  onEdnsDoubt(client: UpstreamClient): void;
  onWithoutEdns(client: UpstreamClient): void;
  /** It brings names back in another case: for a while the case says nothing. */
  onCaseLost(client: UpstreamClient): void;
}

/** One upstream as plain data, for metrics and status. */
export interface UpstreamSnapshot {
  readonly upstream: string;
  readonly isUp: boolean;
  readonly isLooping: boolean;
  /** Smoothed; `undefined` before the first reply. */
  readonly rttMs: number | undefined;
  /** Late replies that are still waited for are part of it. */
  readonly inFlight: number;
  readonly exchanges: Readonly<Record<TransportName, number>>;
  readonly failures: Readonly<Record<ExchangeFailure, number>>;
  /** Received messages that were no reply to anything asked. */
  readonly mismatched: number;
  /** Replies that said SERVFAIL or REFUSED. */
  readonly unhelpful: number;
  readonly truncated: number;
  readonly usesEdns: boolean;
  /** Names and suffixes that it fails for while it answers others. */
  readonly cut: readonly string[];
}

const LOSSES_TO_TCP = 2;
const UDP_AGAIN_MS = 30_000;
const WITHOUT_EDNS_MS = 15 * 60_000;
/** With more attempts under way than these, late replies are not waited for: a dead upstream under load holds no more. */
const LINGERING = 512;
const EVIDENCE_EVERY_MS = 1_000;
/** While it is down, one real question goes through in this time: a filter may drop every probe, and answer clients. */
const TRIAL_EVERY_MS = 1_000;
const ANSWERS_TO_CALM = 3; // as many as the link's state wants
/** Until a reply can be there, the connection counted in. */
const ROUND_TRIPS: Readonly<Record<TransportName, number>> = { udp: 1, tcp: 2, tls: 3 };

export class UpstreamClient implements AttemptHost {
  readonly upstream: Upstream;
  readonly health = new UpstreamHealth();
  readonly sweep: DeadlineSweep;
  readonly random: Random;
  readonly known = new KnownQuestions();
  /** Why the last attempt failed. */
  lastFailure: AttemptFailure | undefined;
  readonly #context: ClientContext;
  readonly #suffixWatch: SuffixWatch;
  readonly #hooks: TransportHooks;
  readonly #exchanges: Record<TransportName, number> = { udp: 0, tcp: 0, tls: 0 };
  readonly #failures = { timeout: 0, network: 0, tls: 0, malformed: 0, spoofed: 0, loop: 0 };
  #mismatched = 0;
  #unhelpful = 0;
  #truncated = 0;
  readonly #attempts = new Set<Attempt>();
  readonly #open = new Map<TransportName, ExchangeTransport>();
  readonly #case = new CaseMemory();
  #udpLosses = 0;
  #udpAgainAtMs = 0;
  #withoutEdnsUntilMs = Number.NEGATIVE_INFINITY;
  #hasEdns = false;
  #evidence: { readonly reachable: boolean; readonly atMs: number } | undefined;
  /** Pieces of evidence still wanted after a failure that was told. */
  #answersWanted = 0;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #isRetired = false;
  #isClosed = false;

  constructor(upstream: Upstream, context: ClientContext) {
    this.upstream = upstream;
    this.#context = context;
    this.sweep = context.sweep;
    this.random = context.random;
    this.#suffixWatch = new SuffixWatch(this, () => context.isLinkCut());
    this.#hooks = { onMismatch: () => this.#mismatched++ };
    if (upstream.tls !== undefined) this.transport('tls'); // what it has to load is loaded before anybody asks
  }

  /** Which names it fails for. */
  get suffixes(): SuffixHealth {
    return this.#suffixWatch.health;
  }

  get isUp(): boolean {
    return this.health.isUp;
  }

  /** Its last failure that was told is not outweighed by answers yet. */
  get isInDoubt(): boolean {
    return this.#answersWanted > 0;
  }

  get asksAuthenticated(): boolean {
    return this.#context.settings().trustAuthenticatedData;
  }

  /** No group has it any more. */
  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** Asks. `doublings` is how often this question was put to this upstream before: each waits twice as long. */
  ask(question: Question, doublings: number, listener: AttemptListener): Attempt | undefined {
    if (this.#isClosed) return undefined;
    const nowMs = this.nowMs();
    const start = {
      transport: this.#transportNow(nowMs),
      withEdns: nowMs >= this.#withoutEdnsUntilMs,
      doublings,
      maxMs: this.#context.settings().attemptMaxMs,
    };
    const attempt = new Attempt(this, question, start, listener);
    this.#attempts.add(attempt);
    attempt.send();
    return attempt;
  }

  /** Whether it is time for a real question although it is down. Claims that time. */
  claimTrial(nowMs: number): boolean {
    if (nowMs < this.#triedAtMs + TRIAL_EVERY_MS) return false;
    this.#triedAtMs = nowMs;
    return true;
  }

  noteAnswer(question: Question, answer: Answer): void {
    const { rcode, flags } = answer.index;
    if (isAboutName(rcode)) this.known.noteAnswer(question, (flags & FLAG.AA) !== 0);
    this.#suffixWatch.noteAnswer(question, answer);
  }

  noteSuffixFailure(question: Question): void {
    this.#suffixWatch.noteFailure(question);
  }

  /** It sent a probe of ours back to us. */
  noteLoop(): void {
    this.#failures.loop++;
    this.lastFailure = { reason: 'loop', detail: 'it sent our own query back to us' };
  }

  snapshot(isLooping: boolean): UpstreamSnapshot {
    const nowMs = this.nowMs();
    return {
      upstream: this.upstream.text,
      isUp: this.health.isUp,
      isLooping,
      rttMs: this.health.roundTripMs,
      inFlight: this.#attempts.size,
      exchanges: { ...this.#exchanges },
      failures: { ...this.#failures },
      mismatched: this.#mismatched,
      unhelpful: this.#unhelpful,
      truncated: this.#truncated,
      usesEdns: nowMs >= this.#withoutEdnsUntilMs,
      cut: this.suffixes.cut(nowMs),
    };
  }

  /** Takes it out of use: what is under way may end, then its sockets are closed. */
  retire(): void {
    this.#isRetired = true;
    if (this.#attempts.size === 0) this.#closeTransports();
  }

  /** Gives up everything that is under way, and takes nothing more. */
  close(): void {
    this.#isClosed = true;
    for (const attempt of [...this.#attempts]) attempt.abandon();
    this.#closeTransports();
  }

  nowMs(): number {
    return this.#context.clock.monotonicMs();
  }

  transport(name: TransportName): ExchangeTransport {
    let transport = this.#open.get(name);
    if (transport === undefined) {
      transport = this.#context.transports[name](this.upstream, this.#hooks);
      this.#open.set(name, transport);
    }
    return transport;
  }

  timeoutMs(transport: TransportName): number {
    return this.health.attemptTimeoutMs(this.#context.settings()) * ROUND_TRIPS[transport];
  }

  mixesCase(transport: TransportName): boolean {
    if (transport !== 'udp') return false; // a stream is hard enough to forge
    return this.#context.settings().caseRandomization && this.#case.isKept(this.nowMs());
  }

  caseCameBack(isSame: boolean): void {
    if (isSame) this.#case.noteKept();
    else if (this.#case.noteLost(this.nowMs())) this.#context.onCaseLost(this);
  }

  mayLinger(): boolean {
    return this.#attempts.size <= LINGERING && !this.#isRetired;
  }

  started(transport: TransportName): void {
    this.#exchanges[transport]++;
  }

  replied(transport: TransportName, index: ResponseIndex | undefined, roundTripMs: number | undefined): void {
    if (transport === 'udp') this.#udpLosses = 0;
    if (index?.hasEdns) this.#hasEdns = true;
    const rcode = index?.rcode ?? RCODE.FORMERR;
    if (rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED) this.#unhelpful++;
    if (index !== undefined && (index.flags & FLAG.TC) !== 0) this.#truncated++;
    const change = this.health.noteReply(roundTripMs, this.#context.settings());
    this.#tellEvidence(true, rcodeName(rcode));
    if (change !== 'came-up') return;
    this.suffixes.clear();
    this.#context.onUp(this);
  }

  failed(transport: TransportName, failure: AttemptFailure, startedAtMs: number, probe?: Probe): void {
    // nobody has the name of a loop's probe at hand: how long it takes says nothing about the upstream
    if (probe === 'loop' || probe === 'trial') return;
    const isProbe = probe === 'reach';
    this.#failures[failure.reason]++;
    this.lastFailure = failure;
    if (!isAboutReach(failure.reason)) return;
    const nowMs = this.nowMs();
    if (transport === 'udp' && failure.reason === 'timeout') this.#noteUdpLoss(nowMs);
    if (transport === 'tcp') this.#udpLosses = 0; // neither way works: try both in turn
    const strikesBefore = this.health.strikes;
    const change = this.health.noteFailure(nowMs, startedAtMs, isProbe);
    const hasStruck = this.health.strikes > strikesBefore || change === 'went-down';
    // one timeout may be the fault of the name that was asked for; the probe that follows it will tell
    if (failure.reason !== 'timeout' || isProbe || (hasStruck && strikesBefore > 0)) {
      this.#tellEvidence(false, failure.reason);
    }
    if (change === 'went-down') {
      this.#triedAtMs = nowMs;
      this.#context.onDown(this, failure);
    } else if (hasStruck) this.#context.onStrike(this);
  }

  ednsRefused(probe: Probe | undefined): void {
    // some name servers behind it refuse what it does not: one name must not take DO and large replies from all
    if (this.#hasEdns) return;
    if (probe !== 'reach') {
      this.#context.onEdnsDoubt(this);
      return;
    }
    this.#withoutEdnsUntilMs = this.nowMs() + WITHOUT_EDNS_MS;
    this.#context.onWithoutEdns(this);
  }

  over(attempt: Attempt): void {
    this.#attempts.delete(attempt);
    if (this.#isRetired && this.#attempts.size === 0) this.#closeTransports();
  }

  #closeTransports(): void {
    this.#suffixWatch.close();
    for (const transport of this.#open.values()) transport.close();
    this.#open.clear();
  }

  #transportNow(nowMs: number): TransportName {
    if (this.upstream.tls !== undefined) return 'tls';
    if (this.#udpLosses < LOSSES_TO_TCP) return 'udp';
    if (nowMs < this.#udpAgainAtMs) return 'tcp';
    this.#udpAgainAtMs = nowMs + UDP_AGAIN_MS;
    return 'udp';
  }

  #noteUdpLoss(nowMs: number): void {
    this.#udpLosses++;
    if (this.#udpLosses === LOSSES_TO_TCP) this.#udpAgainAtMs = nowMs + UDP_AGAIN_MS;
  }

  #tellEvidence(reachable: boolean, reason: string): void {
    const atMs = this.nowMs();
    const last = this.#evidence;
    if (last !== undefined && last.reachable === reachable && atMs < last.atMs + EVIDENCE_EVERY_MS) return;
    this.#evidence = { reachable, atMs };
    this.#answersWanted = reachable ? Math.max(0, this.#answersWanted - 1) : ANSWERS_TO_CALM;
    this.#context.onEvidence({ upstream: this.upstream.text, reachable, reason });
    if (this.isInDoubt) this.#context.onDoubt(this);
  }
}

/** The others came from something that could be reached. */
function isAboutReach(reason: ExchangeFailure): boolean {
  return reason === 'timeout' || reason === 'network' || reason === 'tls';
}
