/** Probes of upstreams in doubt: at once after a first failure, and with growing pauses while one is down. */
import type { Timers } from '../../runtime/timers.ts';
import { PROBE_QUESTION } from './question.ts';
import type { UpstreamClient } from './upstream-client.ts';

export class Probing {
  readonly #timers: Timers;
  readonly #asking = new Set<UpstreamClient>();
  readonly #waiting = new Map<UpstreamClient, Disposable>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /**
   * One exchange in doubt: does the upstream still answer what it has at hand? Without this, one name whose
   * authoritative servers are slow would on a quiet site take a healthy upstream down.
   */
  verify(client: UpstreamClient): void {
    if (!this.#asking.has(client)) this.#probe(client);
  }

  /** Probes until it is up again. */
  watch(client: UpstreamClient): void {
    if (client.health.isUp || client.isRetired || this.#waiting.has(client)) return;
    const timer = this.#timers.after(client.health.nextProbeDelayMs(), () => {
      this.#waiting.delete(client);
      if (!client.health.isUp) this.verify(client);
    });
    this.#waiting.set(client, timer);
  }

  forget(client: UpstreamClient): void {
    this.#waiting.get(client)?.[Symbol.dispose]();
    this.#waiting.delete(client);
  }

  close(): void {
    for (const client of [...this.#waiting.keys()]) this.forget(client);
  }

  #probe(client: UpstreamClient): void {
    this.#asking.add(client);
    const done = (): void => {
      this.#asking.delete(client);
      this.watch(client);
    };
    // the client's health hears of the reply by itself, late ones included
    client.ask(PROBE_QUESTION, 0, { onAnswer: done, onFailure: done, onOverdue: done });
  }
}
