/**
 * Probes of upstreams in doubt. Asked are `. NS`, which nearly every resolver has at hand, and the last question that
 * this upstream answered: common filters drop the one, and the other may have become unanswerable with the link.
 *
 * When they are sent: at once after a first failure, then again and again until the upstream is known to be whole,
 * and with growing pauses while one is down. Clients ask the others meanwhile, or nobody asks anything: it would be in doubt
 * for as long as the site is quiet. One probe of an upstream is under way at most, and one waits.
 */
import type { Random } from '../../runtime/random.ts';
import type { Timers } from '../../runtime/timers.ts';
import { PROBE_QUESTION, type Question } from './question.ts';
import type { UpstreamClient } from './upstream-client.ts';

const DOUBT_MS = 1_000; // as an AWS Region is asked in doubt; more often than once a second no evidence is taken
const LOST_MS = 2_000; // after some in vain: as often as one that is down
const DEAF_MS = 10_000; // where none was ever answered: there are upstreams that answer all but these
const LOST_ENOUGH = 3; // as many failures as the link wants to call it cut
const JITTER = 0.4; // upwards: many servers that lost one upstream together do not ask in step

interface Doubt {
  isAsking: boolean;
  waiting: Disposable | undefined;
  /** Probes in a row that were in vain. */
  lost: number;
  /** Some upstreams answer no probe: of those the loss of one says nothing more. */
  hasAnswered: boolean;
  /** Whether `. NS` was lost when it was asked last. */
  isDeafToRoot: boolean;
}

export class Probing {
  readonly #timers: Timers;
  readonly #random: Random;
  readonly #doubts = new Map<UpstreamClient, Doubt>();

  constructor(timers: Timers, random: Random) {
    this.#timers = timers;
    this.#random = random;
  }

  /**
   * One exchange in doubt: does the upstream still answer what it has at hand? Without this, one name whose
   * authoritative servers are slow would on a quiet site take a healthy upstream down.
   */
  verify(client: UpstreamClient): void {
    if (client.isRetired) return;
    const doubt = this.#doubt(client);
    if (!doubt.isAsking) this.#probe(client, doubt, true);
  }

  /** Probes until it is up, and whole. */
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

  /** It is down, and probed more often than in doubt. */
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
      doubt = { isAsking: false, waiting: undefined, lost: 0, hasAnswered: false, isDeafToRoot: false };
      this.#doubts.set(client, doubt);
    }
    return doubt;
  }

  #stopWaiting(client: UpstreamClient): void {
    const doubt = this.#doubts.get(client);
    doubt?.waiting?.[Symbol.dispose]();
    if (doubt !== undefined) doubt.waiting = undefined;
  }

  /** Until the next probe of one that is up. */
  #pauseMs({ lost, hasAnswered }: Doubt): number {
    const lostMs = hasAnswered ? LOST_MS : DEAF_MS;
    return (lost < LOST_ENOUGH ? DOUBT_MS : lostMs) * (1 + JITTER * this.#random.fraction());
  }

  /**
   * Its loss counts where it must, and where the upstream was heard lately. Of two questions the one that was answered
   * last time counts; the other is asked as well, and only its answer tells.
   */
  #probe(client: UpstreamClient, doubt: Doubt, mustCount: boolean): void {
    const counts = mustCount || (doubt.hasAnswered && doubt.lost < LOST_ENOUGH);
    const known = client.answered;
    const [first, second] =
      known !== undefined && doubt.isDeafToRoot ? [known, PROBE_QUESTION] : [PROBE_QUESTION, known];
    // one question is enough for an upstream that answers it
    const isHard = doubt.isDeafToRoot || doubt.lost > 0 || !client.isUp;
    const round = { left: 1 + Number(isHard && second !== undefined), isAnswered: false };
    doubt.isAsking = true;
    this.#ask(client, doubt, round, { ...first, probes: counts ? 'reach' : 'trial' });
    if (isHard && second !== undefined) this.#ask(client, doubt, round, { ...second, probes: 'trial' });
  }

  /** The client's health hears of the reply by itself, late ones included. */
  #ask(client: UpstreamClient, doubt: Doubt, round: Round, question: Question): void {
    const isRoot = question.name.length === 1;
    let isLost = false;
    const lost = (): void => {
      if (isLost) return;
      isLost = true;
      if (isRoot) doubt.isDeafToRoot = true;
      round.left--;
      if (round.left > 0 || round.isAnswered) return;
      doubt.lost++;
      over();
    };
    const over = (): void => {
      doubt.isAsking = false;
      this.watch(client);
    };
    client.ask(question, 0, {
      onAnswer: () => {
        doubt.lost = 0;
        doubt.hasAnswered = true;
        if (isRoot) doubt.isDeafToRoot = false;
        const isFirst = !round.isAnswered;
        round.isAnswered = true;
        if (isFirst) over();
      },
      onFailure: lost,
      onOverdue: lost,
    });
  }
}

/** The questions of one probe. */
interface Round {
  left: number;
  isAnswered: boolean;
}
