/**
 * Probes of upstreams in doubt: questions of our own that show whether an upstream still answers anything.
 *
 *     what is asked   first the question that answered the last probe, `. NS` before any did: one question is enough for an
 *                     upstream that answers it. When it is lost, `. NS` and the questions that it answered before (name-health.ts):
 *                     filters drop `. NS`, and with the link an upstream may lose all names except those of its own site. The
 *                     first question goes without EDNS, too: where only this one is answered, a firewall drops EDNS
 *     when            after a first failure, then repeatedly until the upstream is up and has answered often enough, with
 *                     growing pauses while it is down. Clients may ask other upstreams meanwhile, or nothing
 *
 * At most one probe of an upstream is under way, and at most one waits.
 */
import type { Random } from '../../runtime/random.ts';
import type { Timers } from '../../runtime/timers.ts';
import { isSameQuestion, PROBE_QUESTION, type Question } from './question.ts';
import type { EvidenceWanted, UpstreamClient } from './upstream-client.ts';

const DOUBT_MS = 1_000; // as for an AWS Region in doubt; evidence is taken once a second at most
const LOST_MS = 2_000; // after some lost probes: as often as an upstream that is down
const DEAF_MS = 10_000; // where the upstream has never answered a probe: some upstreams answer all other questions
const PLAIN_ROUNDS = 3; // an upstream that loses every second question does not look like one that drops EDNS
const PLAIN_EVERY = 8; // rounds: in a long outage most of them are spared the question without EDNS
const JITTER = 0.4; // upwards: many servers that lost an upstream together must not ask in step

interface Doubt {
  isAsking: boolean;
  waiting: Disposable | undefined;
  /** Probes in a row that were not answered. */
  lost: number;
  /** The question that answered the last probe. Some upstreams never answer a probe: a lost one proves nothing. */
  answered: Question | undefined;
  /** Rounds in a row in which only a question without EDNS was answered. */
  plainRounds: number;
}

export class Probing {
  readonly #timers: Timers;
  readonly #random: Random;
  readonly #wanted: EvidenceWanted;
  readonly #doubts = new Map<UpstreamClient, Doubt>();

  constructor(timers: Timers, random: Random, wanted: EvidenceWanted) {
    this.#timers = timers;
    this.#random = random;
    this.#wanted = wanted;
  }

  /**
   * After a failure of one exchange. Without this, one name whose authoritative servers are slow would take a healthy
   * upstream down on a quiet site.
   */
  verify(client: UpstreamClient): void {
    if (client.isRetired) return;
    const doubt = this.#doubt(client);
    if (!doubt.isAsking) this.#probe(client, doubt, true);
  }

  /** Probes until the upstream is up and not in doubt. */
  watch(client: UpstreamClient): void {
    if (client.isRetired || (client.isUp && !client.isInDoubt)) return;
    const doubt = this.#doubt(client);
    if (doubt.waiting !== undefined || doubt.isAsking) return;
    const delayMs = client.isUp ? this.#pauseMs(doubt) : client.health.nextProbeDelayMs();
    doubt.waiting = this.#timers.after(delayMs, () => {
      doubt.waiting = undefined;
      if (!client.isUp || client.isInDoubt) this.#probe(client, doubt, !client.isUp);
    });
  }

  /** Watches an upstream that has gone down: probes are more frequent than for an upstream in doubt. */
  watchDown(client: UpstreamClient): void {
    this.#stopWaiting(client);
    this.watch(client);
  }

  forget(client: UpstreamClient): void {
    this.#stopWaiting(client);
    this.#doubts.delete(client);
  }

  close(): void {
    for (const client of [...this.#doubts.keys()]) this.forget(client);
  }

  #doubt(client: UpstreamClient): Doubt {
    let doubt = this.#doubts.get(client);
    if (doubt === undefined) {
      doubt = { isAsking: false, waiting: undefined, lost: 0, answered: undefined, plainRounds: 0 };
      this.#doubts.set(client, doubt);
    }
    return doubt;
  }

  #stopWaiting(client: UpstreamClient): void {
    const doubt = this.#doubts.get(client);
    doubt?.waiting?.[Symbol.dispose]();
    if (doubt !== undefined) doubt.waiting = undefined;
  }

  /** Until the next probe of an upstream that is up. */
  #pauseMs({ lost, answered }: Doubt): number {
    const lostMs = answered === undefined ? DEAF_MS : LOST_MS;
    return (lost < this.#wanted.failures ? DOUBT_MS : lostMs) * (1 + JITTER * this.#random.fraction());
  }

  /** Only the loss of the first question counts as a failure: if `mustCount`, or if the upstream was heard lately. */
  #probe(client: UpstreamClient, doubt: Doubt, mustCount: boolean): void {
    const counts = mustCount || (doubt.answered !== undefined && doubt.lost < this.#wanted.failures);
    const first = doubt.answered ?? PROBE_QUESTION;
    const others = [PROBE_QUESTION, ...client.names.known.questions].filter(
      (one) => !isSameQuestion(one, first),
    );
    const round: Round = { asked: 1, isAnswered: false, first, others, plain: 'no' };
    doubt.isAsking = true;
    this.#ask(client, doubt, round, { ...first, probes: counts ? 'reach' : 'trial' });
    if (doubt.lost > 0 || !client.isUp) this.#askOthers(client, doubt, round);
  }

  #askOthers(client: UpstreamClient, doubt: Doubt, round: Round): void {
    const others = round.others.splice(0);
    round.asked += others.length;
    const isTime = doubt.lost % PLAIN_EVERY < PLAIN_ROUNDS;
    if (round.plain === 'no' && isTime && client.mayDropEdns) this.#askPlain(client, round);
    for (const question of others) this.#ask(client, doubt, round, { ...question, probes: 'trial' });
  }

  /** RFC 6891 section 6.2.2: silence may be the fate of EDNS alone. */
  #askPlain(client: UpstreamClient, round: Round): void {
    round.plain = 'asked';
    client.ask({ ...round.first, probes: 'plain' }, 0, {
      onAnswer: (_reply, isLate) => {
        if (!isLate) round.plain = 'answered';
      },
      onFailure: () => undefined,
      onOverdue: () => undefined,
    });
  }

  /** `UpstreamClient` notes the reply for the upstream's health. */
  #ask(client: UpstreamClient, doubt: Doubt, round: Round, question: Question): void {
    let isLost = false;
    const lost = (): void => {
      if (isLost) return;
      isLost = true;
      round.asked--;
      if (round.isAnswered) return;
      this.#askOthers(client, doubt, round);
      if (round.asked > 0) return;
      doubt.lost++;
      doubt.plainRounds = round.plain === 'answered' ? doubt.plainRounds + 1 : 0;
      if (doubt.plainRounds < PLAIN_ROUNDS) over();
      else {
        doubt.plainRounds = 0;
        client.noteEdnsDropped();
        this.#probe(client, doubt, false);
      }
    };
    const over = (): void => {
      doubt.isAsking = false;
      this.watch(client);
    };
    client.ask(question, 0, {
      onAnswer: () => {
        doubt.lost = 0;
        doubt.plainRounds = 0;
        if (round.isAnswered) return;
        round.isAnswered = true;
        doubt.answered = question;
        over();
      },
      onFailure: lost,
      onOverdue: lost,
    });
  }
}

/** The questions of one probe. */
interface Round {
  /** Asked and neither answered nor lost. */
  asked: number;
  isAnswered: boolean;
  /** Asked when the first is lost. */
  readonly others: Question[];
  readonly first: Question;
  /** Whether the first question was asked without EDNS, and answered in time. */
  plain: 'no' | 'asked' | 'answered';
}
