/**
 * Probes of upstreams in doubt: questions of our own that show whether an upstream still answers anything.
 *
 *     what is asked   first the question that answered the last probe, `. NS` before any did: one question is enough for an
 *                     upstream that answers it. When it is lost, `. NS` and the questions that it answered before
 *                     (`KnownQuestions` of upstream-client.ts): filters drop `. NS`, and with the link an upstream may lose
 *                     all names except those of its own site. The first question goes without EDNS, too: where only this one
 *                     is answered, a firewall drops EDNS
 *     when            after a first failure, then repeatedly until the upstream is up and has answered often enough, with
 *                     growing pauses while it is down. Clients may ask other upstreams meanwhile, or nothing
 *
 * At most one probe of an upstream is under way, and at most one waits.
 */
import type { Timers } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';
import type { AttemptListener } from './attempt.ts';
import { isSameQuestion, PROBE_QUESTION, type Question } from './exchange.ts';

const DOUBT_MS = 1_000; // as for an AWS Region in doubt; evidence is taken once a second at most
const LOST_MS = 2_000; // after some lost probes: as often as an upstream that is down
const DEAF_MS = 10_000; // where the upstream has never answered a probe: some upstreams answer all other questions
const PLAIN_ROUNDS = 3; // an upstream that loses every second question does not look like one that drops EDNS
const PLAIN_EVERY = 8; // rounds: in a long outage half of them are spared the question without EDNS
const JITTER = 0.4; // upwards: many servers that lost an upstream together must not ask in step

/** How much evidence in a row proves a change. Probes collect as much at once; after that they are slower, or end. */
export interface EvidenceWanted {
  readonly failures: number;
  readonly answers: number;
}

/** The part of an upstream that is probed. */
interface ProbedUpstream {
  readonly isUp: boolean;
  /** Whether it has given too few answers since its last reported failure. */
  readonly isInDoubt: boolean;
  readonly isRetired: boolean;
  readonly health: { nextProbeDelayMs(): number };
  readonly names: { readonly known: { readonly questions: readonly Question[] } };
  /** Whether silence may mean that it drops EDNS. */
  readonly mayDropEdns: boolean;
  nowMs(): number;
  /** All questions of a probe that was sent at `sinceMs` are lost. */
  noteLostProbe(sinceMs: number): void;
  noteEdnsDropped(): void;
  ask(question: Question, doublings: number, listener: AttemptListener): void;
}

interface ProbeContext {
  readonly timers: Timers;
  readonly random: Random;
  readonly evidenceWanted: EvidenceWanted;
}

export class Probing {
  readonly #upstream: ProbedUpstream;
  readonly #context: ProbeContext;
  /** The probe that is under way. */
  #round: Round | undefined;
  #waiting: Disposable | undefined;
  /** Probes in a row that were not answered. */
  #lost = 0;
  /** The question that answered the last probe. Some upstreams never answer a probe: a lost one proves nothing. */
  #answered: Question | undefined;
  /** Rounds in a row in which only a question without EDNS was answered. */
  #plainRounds = 0;

  constructor(upstream: ProbedUpstream, context: ProbeContext) {
    this.#upstream = upstream;
    this.#context = context;
  }

  /**
   * After a failure of one exchange. Without this, one name whose authoritative servers are slow would take a healthy
   * upstream down on a quiet site.
   */
  verify(): void {
    if (!this.#upstream.isRetired && this.#round === undefined) this.#probe(true);
  }

  /** Probes until the upstream is up and not in doubt. */
  watch(): void {
    const { isRetired, isUp, health } = this.#upstream;
    if (isRetired || !this.#isWanted || this.#waiting !== undefined || this.#round !== undefined) return;
    const delayMs = isUp ? this.#pauseMs() : health.nextProbeDelayMs();
    this.#waiting = this.#context.timers.after(delayMs, () => {
      this.#waiting = undefined;
      if (this.#isWanted && this.#round === undefined) this.#probe(!this.#upstream.isUp);
    });
  }

  /** Watches an upstream that has gone down: probes are more frequent than for an upstream in doubt. */
  watchDown(): void {
    this.close();
    this.watch();
  }

  /** The probe that waits is not sent. */
  close(): void {
    this.#waiting?.[Symbol.dispose]();
    this.#waiting = undefined;
  }

  get #isWanted(): boolean {
    return !this.#upstream.isUp || this.#upstream.isInDoubt;
  }

  /** Until the next probe of an upstream that is up. */
  #pauseMs(): number {
    const { evidenceWanted, random } = this.#context;
    const lostMs = this.#answered === undefined ? DEAF_MS : LOST_MS;
    return (this.#lost < evidenceWanted.failures ? DOUBT_MS : lostMs) * (1 + JITTER * random.fraction());
  }

  /** Only the loss of the first question counts as a failure: if `mustCount`, or if the upstream was heard lately. */
  #probe(mustCount: boolean): void {
    const wasHeard = this.#answered !== undefined && this.#lost < this.#context.evidenceWanted.failures;
    const first = this.#answered ?? PROBE_QUESTION;
    const others = [PROBE_QUESTION, ...this.#upstream.names.known.questions].filter(
      (one) => !isSameQuestion(one, first),
    );
    const sentAtMs = this.#upstream.nowMs();
    const round: Round = { sentAtMs, asked: 1, isAnswered: false, first, others, plain: 'no' };
    this.#round = round;
    this.#ask(round, { ...first, probes: mustCount || wasHeard ? 'reach' : 'trial' });
    if (this.#lost > 0 || !this.#upstream.isUp) this.#askOthers(round);
  }

  #askOthers(round: Round): void {
    const others = round.others.splice(0);
    round.asked += others.length;
    // one more than is needed: the first round is over with its only question, where the upstream has answered none before
    const isTime = this.#lost % PLAIN_EVERY <= PLAIN_ROUNDS;
    if (round.plain === 'no' && isTime && this.#upstream.mayDropEdns) this.#askPlain(round);
    for (const question of others) this.#ask(round, { ...question, probes: 'trial' });
  }

  /** RFC 6891 section 6.2.2: silence may be the fate of EDNS alone. */
  #askPlain(round: Round): void {
    round.plain = 'asked';
    this.#upstream.ask({ ...round.first, probes: 'plain' }, 0, {
      onAnswer: (_reply, isLate) => {
        if (!isLate) round.plain = 'answered';
      },
      onFailure: () => undefined,
      onOverdue: () => undefined,
    });
  }

  /** The upstream itself notes the reply for its health. */
  #ask(round: Round, question: Question): void {
    let isLost = false;
    const lost = (): void => {
      if (isLost) return;
      isLost = true;
      round.asked--;
      if (round.isAnswered) return;
      this.#askOthers(round);
      if (round.asked > 0) return;
      this.#lost++;
      if (round.plain !== 'answered') this.#upstream.noteLostProbe(round.sentAtMs);
      this.#plainRounds = round.plain === 'answered' ? this.#plainRounds + 1 : 0;
      if (this.#plainRounds < PLAIN_ROUNDS) over();
      else {
        this.#plainRounds = 0;
        this.#upstream.noteEdnsDropped();
        this.#probe(false);
      }
    };
    const over = (): void => {
      // a late answer to an earlier probe
      if (this.#round !== round) return;
      this.#round = undefined;
      this.watch();
    };
    this.#upstream.ask(question, 0, {
      onAnswer: () => {
        this.#lost = 0;
        this.#plainRounds = 0;
        if (round.isAnswered) return;
        round.isAnswered = true;
        this.#answered = question;
        over();
      },
      onFailure: lost,
      onOverdue: lost,
    });
  }
}

/** The questions of one probe. */
interface Round {
  readonly sentAtMs: number;
  /** Asked and neither answered nor lost. */
  asked: number;
  isAnswered: boolean;
  /** Asked when the first is lost. */
  readonly others: Question[];
  readonly first: Question;
  /** Whether the first question was asked without EDNS, and answered in time. */
  plain: 'no' | 'asked' | 'answered';
}
