/**
 * Asks the far side of the link whether it is there: rarely while it is, often while it is not, so that a cut and a
 * return are noticed within seconds on a site where nobody asks anything. Evidence for link/, and nothing else.
 */
import type { Evidence } from '../link/link-state.ts';
import type { Random } from '../runtime/random.ts';
import type { Timers } from '../runtime/timers.ts';

/** Asks an AWS Region for a sign of life; never rejects. `silent`: nothing said for or against, as with no address to ask. */
export type Ping = (
  region: string,
  signal: AbortSignal,
) => Promise<'answered' | 'silent' | 'timeout' | 'network'>;

export interface LinkProbeOptions {
  readonly ping: Ping;
  readonly timers: Timers;
  readonly random: Random;
  readonly evidence: (evidence: Evidence) => void;
}

const CALM_MS = 10_000; // while it answers: a cut is noticed within this and two quick looks more
const DOUBT_MS = 1_000; // after an answer that did not come, until the path is known to be cut
const CUT_MS = 2_000; // while it is cut: a return is noticed within 3 s, the look itself included
const FAILURES_IN_DOUBT = 3;
const PING_TIMEOUT_MS = 900;
const JITTER = 0.2; // many servers behind one link do not ask in step

interface Looking {
  readonly abort: AbortController;
  timer: Disposable | undefined;
  failures: number;
}

export class LinkProbe {
  readonly #options: LinkProbeOptions;
  readonly #regions = new Map<string, Looking>();

  constructor(options: LinkProbeOptions) {
    this.#options = options;
  }

  /** Watches these Regions from now on, and no others. */
  watch(regions: readonly string[]): void {
    for (const [region, looking] of this.#regions) if (!regions.includes(region)) this.#end(region, looking);
    for (const region of regions) {
      if (this.#regions.has(region)) continue;
      const looking: Looking = { abort: new AbortController(), timer: undefined, failures: 0 };
      this.#regions.set(region, looking);
      this.#later(region, looking, CALM_MS);
    }
  }

  stop(): void {
    this.watch([]);
  }

  #end(region: string, looking: Looking): void {
    looking.timer?.[Symbol.dispose]();
    looking.abort.abort();
    this.#regions.delete(region);
  }

  #later(region: string, looking: Looking, delayMs: number): void {
    const spread = 1 - JITTER + 2 * JITTER * this.#options.random.fraction();
    looking.timer = this.#options.timers.after(delayMs * spread, () => void this.#look(region, looking));
  }

  async #look(region: string, looking: Looking): Promise<void> {
    const enough = new AbortController();
    using _limit = this.#options.timers.after(PING_TIMEOUT_MS, () => enough.abort());
    const outcome = await this.#options.ping(region, AbortSignal.any([looking.abort.signal, enough.signal]));
    if (looking.abort.signal.aborted) return;
    if (outcome === 'silent') return this.#later(region, looking, CALM_MS);
    const isReachable = outcome === 'answered';
    looking.failures = isReachable ? 0 : looking.failures + 1;
    this.#options.evidence({
      side: 'aws',
      key: region,
      proves: isReachable ? 'reachable' : 'unreachable',
      reason: outcome,
    });
    this.#later(region, looking, this.#delayAfter(looking.failures));
  }

  #delayAfter(failures: number): number {
    if (failures === 0) return CALM_MS;
    return failures < FAILURES_IN_DOUBT ? DOUBT_MS : CUT_MS;
  }
}
