/**
 * One upstream asked one question, whatever that takes: over TCP when the reply was truncated or forged, without EDNS
 * when it was refused. A reply that is late for the asker is waited for all the same: it may still be the first, and it
 * tells the upstream's health.
 */
import { FLAG } from '../../protocol/wire/header.ts';
import type { ResponseIndex } from '../../protocol/wire/response.ts';
import { RCODE } from '../../protocol/words/rcodes.ts';
import type { Random } from '../../runtime/random.ts';
import type { Deadline, DeadlineSweep } from './deadline-sweep.ts';
import {
  Exchange,
  type ExchangeEnd,
  type ExchangeFailure,
  type ExchangeTransport,
  type TransportName,
} from './exchange.ts';
import { hasEnoughLetters } from './name-case.ts';
import { composeUpstreamQuery, type Probe, type Question, questionEndOf } from './question.ts';

export interface Answer {
  readonly octets: Uint8Array;
  readonly index: ResponseIndex;
  /** Of the exchange that brought it. */
  readonly rttMs: number;
  readonly transport: TransportName;
}

export interface AttemptFailure {
  readonly reason: ExchangeFailure;
  readonly detail: string;
}

/** Whoever asked. After `onOverdue` an answer may still come; after the other two nothing does. */
export interface AttemptListener {
  onAnswer(answer: Answer): void;
  onFailure(failure: AttemptFailure): void;
  /** The reply takes longer than it should; told once. */
  onOverdue(): void;
}

/** What an attempt needs of the upstream it asks, and tells it. */
export interface AttemptHost {
  readonly sweep: DeadlineSweep;
  readonly random: Random;
  nowMs(): number;
  transport(name: TransportName): ExchangeTransport;
  timeoutMs(transport: TransportName): number;
  /** Queries say that we understand AD. */
  readonly asksAuthenticated: boolean;
  /** Names over this transport get a random case. */
  mixesCase(transport: TransportName): boolean;
  /** A reply brought the name back, in the case in which it was sent or in another. */
  caseCameBack(isSame: boolean): void;
  /** Whether a late reply may be waited for: there is room for so many. */
  mayLinger(): boolean;
  started(transport: TransportName): void;
  replied(transport: TransportName, index: ResponseIndex | undefined, roundTripMs: number | undefined): void;
  failed(transport: TransportName, failure: AttemptFailure, startedAtMs: number, probe?: Probe): void;
  /** With EDNS it said FORMERR or NOTIMP to this, and without it something else. */
  ednsRefused(probe: Probe | undefined): void;
  over(attempt: Attempt): void;
}

/** From the start of an exchange: nobody who waits for a reply waits longer. */
const LISTEN_MS = 5_000;
const ATTEMPT_MAX_DOUBLINGS = 4;

export class Attempt implements Deadline {
  place = -1;
  dueAtMs = 0;
  readonly #host: AttemptHost;
  readonly #question: Question;
  readonly #listener: AttemptListener;
  readonly #maxMs: number;
  readonly #doublings: number;
  #transport: TransportName;
  #withEdns: boolean;
  #exchange: Exchange | undefined;
  #stage: 'timely' | 'late' | 'over' = 'timely';
  #isOverdue = false;
  #triedWithoutEdns = false;
  #triedMixedCase = false;

  constructor(
    host: AttemptHost,
    question: Question,
    start: { transport: TransportName; withEdns: boolean; doublings: number; maxMs: number },
    listener: AttemptListener,
  ) {
    this.#host = host;
    this.#question = question;
    this.#listener = listener;
    this.#transport = start.transport;
    this.#withEdns = start.withEdns;
    this.#doublings = Math.min(start.doublings, ATTEMPT_MAX_DOUBLINGS);
    this.#maxMs = start.maxMs;
  }

  send(): void {
    const transport = this.#transport;
    const mixesCase = !this.#triedMixedCase && this.#host.mixesCase(transport);
    const caseFrom = mixesCase ? this.#host.random : undefined;
    const message = composeUpstreamQuery(this.#question, {
      withEdns: this.#withEdns,
      caseFrom,
      padded: transport === 'tls',
      authenticated: this.#host.asksAuthenticated,
    });
    const exchange = new Exchange(
      message,
      questionEndOf(this.#question),
      caseFrom !== undefined,
      (end: ExchangeEnd) => this.#onEnd(exchange, end),
    );
    exchange.hasOwnPort = !mixesCase || !hasEnoughLetters(this.#question.name);
    this.#exchange = exchange;
    this.#stage = 'timely';
    exchange.startedAtMs = this.#host.nowMs();
    this.dueAtMs =
      exchange.startedAtMs + Math.min(this.#host.timeoutMs(transport) * 2 ** this.#doublings, this.#maxMs);
    this.#host.sweep.add(this);
    this.#host.started(transport);
    this.#host.transport(transport).start(exchange);
  }

  onDue(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    if (this.#stage === 'late' || !this.#host.mayLinger()) {
      exchange.carrier?.drop(exchange);
      if (this.#stage === 'timely') this.#overdue(exchange);
      this.#finish();
      return;
    }
    this.#stage = 'late';
    this.dueAtMs = exchange.startedAtMs + LISTEN_MS;
    this.#host.sweep.add(this);
    this.#host.transport(this.#transport).doubt(exchange);
    this.#overdue(exchange);
  }

  /** Ends it without a word to anybody. */
  abandon(): void {
    if (this.#stage === 'over') return;
    const exchange = this.#exchange;
    this.#host.sweep.delete(this);
    this.#finish();
    exchange?.carrier?.drop(exchange, true);
  }

  #overdue(exchange: Exchange): void {
    const failure = { reason: 'timeout', detail: 'no reply in time' } as const;
    this.#fault(exchange, failure);
    if (this.#isOverdue) return;
    this.#isOverdue = true;
    this.#listener.onOverdue();
  }

  #onEnd(exchange: Exchange, end: ExchangeEnd): void {
    // an exchange of an earlier step, or one that was given up a moment ago
    if (this.#exchange !== exchange || this.#stage === 'over') return;
    this.#exchange = undefined;
    this.#host.sweep.delete(this);
    if (end.kind === 'failed') this.#onFailed(exchange, end);
    else if (end.kind === 'edns-refused') this.#onEdnsRefused(end.elapsedMs);
    else if (end.kind === 'case-lost') this.#onCaseLost();
    else {
      if (exchange.exactCase) this.#host.caseCameBack(true);
      this.#onReply(end);
    }
  }

  #onReply(end: ExchangeEnd & { kind: 'reply' }): void {
    const { index, octets, elapsedMs } = end;
    this.#host.replied(this.#transport, index, end.isRoundTrip ? elapsedMs : undefined);
    const saysNoEdns = index.rcode === RCODE.FORMERR || index.rcode === RCODE.NOTIMP;
    if (saysNoEdns && this.#withEdns) {
      this.#withoutEdns();
      return;
    }
    if (this.#triedWithoutEdns && !saysNoEdns) this.#host.ednsRefused(this.#question.probes);
    // RFC 2181 section 9, RFC 7766 section 5: what was truncated is asked for again over TCP, and not used
    if ((index.flags & FLAG.TC) !== 0 && this.#transport === 'udp') {
      this.#overTcp();
      return;
    }
    this.#finish();
    this.#listener.onAnswer({ octets, index, rttMs: elapsedMs, transport: this.#transport });
  }

  #onEdnsRefused(elapsedMs: number): void {
    this.#host.replied(this.#transport, undefined, elapsedMs);
    this.#withoutEdns();
  }

  /** It is asked again in the question's own case, from a port of its own: TCP may not be there, and need not be. */
  #onCaseLost(): void {
    this.#triedMixedCase = true;
    this.#host.caseCameBack(false);
    this.send();
  }

  #onFailed(exchange: Exchange, failure: AttemptFailure): void {
    this.#fault(exchange, failure);
    // RFC 5452 section 9.3: TCP is far harder to forge
    if (failure.reason === 'spoofed') {
      this.#overTcp();
      return;
    }
    this.#finish();
    this.#listener.onFailure(failure);
  }

  #fault(exchange: Exchange, failure: AttemptFailure): void {
    this.#host.failed(this.#transport, failure, exchange.startedAtMs, this.#question.probes);
  }

  #overTcp(): void {
    this.#transport = 'tcp';
    this.send();
  }

  /** RFC 6891 section 7 and 6.2.2: once, so that a server that says FORMERR to everything is not asked for ever. */
  #withoutEdns(): void {
    this.#withEdns = false;
    this.#triedWithoutEdns = true;
    this.send();
  }

  #finish(): void {
    this.#stage = 'over';
    this.#exchange = undefined;
    this.#host.over(this);
  }
}
