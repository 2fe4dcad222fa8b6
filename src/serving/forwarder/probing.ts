/**
 * Probes of upstreams in doubt: at once after a first failure, then again and again until the upstream is known to be whole,
 * and with growing pauses while one is down. Clients ask the others meanwhile, or nobody asks anything: it would be in doubt
 * for as long as the site is quiet. One probe of an upstream is under way at most, and one waits.
 */
import type { Random } from '../../runtime/random.ts';
import type { Timers } from '../../runtime/timers.ts';
import { PROBE_QUESTION, TRIAL_QUESTION } from './question.ts';
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
      doubt = { isAsking: false, waiting: undefined, lost: 0, hasAnswered: false };
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

  /** Its loss counts where it must, and where the upstream was heard lately. */
  #probe(client: UpstreamClient, doubt: Doubt, mustCount: boolean): void {
    const counts = mustCount || (doubt.hasAnswered && doubt.lost < LOST_ENOUGH);
    doubt.isAsking = true;
    let isLost = false;
    const lost = (): void => {
      if (!isLost) doubt.lost++;
      isLost = true;
      over();
    };
    const over = (): void => {
      doubt.isAsking = false;
      this.watch(client);
    };
    // the client's health hears of the reply by itself, late ones included
    client.ask(counts ? PROBE_QUESTION : TRIAL_QUESTION, 0, {
      onAnswer: () => {
        doubt.lost = 0;
        doubt.hasAnswered = true;
        over();
      },
      onFailure: lost,
      onOverdue: lost,
    });
  }
}
