/**
 * Asks the far side of the link whether it is there: rarely while it is, often while it is not, so that a cut and a
 * return are noticed within seconds on a site where nobody asks anything. Evidence for link/, and nothing else.
 */

import type { HeadOutcome } from '../far-side/head.ts';
import type { Evidence } from '../link/link-state.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Random } from '../runtime/random.ts';
import type { Timers } from '../runtime/timers.ts';

/** Asks an AWS Region for a sign of life; never rejects. */
export type Ping = (region: string, signal: AbortSignal) => Promise<HeadOutcome>;

export interface LinkProbeOptions {
  readonly ping: Ping;
  /** Before `ping`, untimed: whether there is anything to ask, and the thread that asks is alive. Left out: there is. Never rejects. */
  readonly ready?: (region: string, signal: AbortSignal) => Promise<boolean>;
  /** A sign of life has failed after one that came, or for the first time: the sources may know better. */
  readonly onDoubt?: (region: string) => void;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly evidence: (evidence: Evidence) => void;
}

const CALM_MS = 10_000; // while it answers: a cut is noticed within this and two quick looks more
const DOUBT_MS = 1_000; // after an answer that did not come, until the path is known to be cut, or known to be whole
const CUT_MS = 2_000; // while it is cut: a return is noticed within 3 s, the look itself included
const FAILURES_IN_DOUBT = 3;
const SUCCESSES_TO_CALM = 3; // as many as the link's state wants
const QUICK_MS = 900;
const PATIENT_MS = 8_000; // name, connection and answer, each with two seconds of delay, and some to spare
/** A source's answer counts against a failed sign of life for as long as two of the longest default intervals. */
const RECENT_MS = 600_000;
const JITTER = 0.2; // many servers behind one link do not ask in step

const UNTRIED = {
  timer: undefined,
  failures: 0,
  failingSinceMs: undefined,
  sourceAnsweredAtMs: undefined,
  successes: SUCCESSES_TO_CALM,
  isSlow: false,
};

interface Looking {
  readonly abort: AbortController;
  timer: Disposable | undefined;
  failures: number;
  /** When the first of the signs that have failed in a row was asked for. */
  failingSinceMs: number | undefined;
  /** When a source last had an answer from AWS about this Region. */
  sourceAnsweredAtMs: number | undefined;
  successes: number;
  /** Its answers have come late: from then on, until one is quick again, only long silence counts. */
  isSlow: boolean;
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
      const looking: Looking = { abort: new AbortController(), ...UNTRIED };
      this.#regions.set(region, looking);
      this.#later(region, looking, CALM_MS);
    }
  }

  stop(): void {
    this.watch([]);
  }

  /**
   * A source has had an answer from AWS. A sign of life that fails although sources are answered says nothing about the
   * link: its host is closed, or HEAD is filtered. It is not believed until it is answered again.
   */
  sourceAnswered(region: string): void {
    const looking = this.#regions.get(region);
    if (looking !== undefined) looking.sourceAnsweredAtMs = this.#options.clock.monotonicMs();
  }

  #end(region: string, looking: Looking): void {
    looking.timer?.[Symbol.dispose]();
    looking.abort.abort();
    this.#regions.delete(region);
  }

  /** In place of the look that was to come. */
  #later(region: string, looking: Looking, delayMs: number): void {
    looking.timer?.[Symbol.dispose]();
    const spread = 1 - JITTER + 2 * JITTER * this.#options.random.fraction();
    looking.timer = this.#options.timers.after(delayMs * spread, () => this.#begin(region, looking));
  }

  /** A defect costs one sign of life, and the next is asked for all the same. */
  async #begin(region: string, looking: Looking): Promise<void> {
    let isCutShort = true;
    await inBackground('link', async () => {
      await this.#look(region, looking);
      isCutShort = false;
    });
    if (isCutShort && !looking.abort.signal.aborted) this.#later(region, looking, CALM_MS);
  }

  /** What does not answer quickly speaks against the path, but is waited for: a late answer proves that there is one. */
  async #look(region: string, looking: Looking): Promise<void> {
    const { ping, ready, clock, timers } = this.#options;
    const enough = new AbortController();
    using _limit = timers.after(PATIENT_MS, () => enough.abort());
    const signal = AbortSignal.any([looking.abort.signal, enough.signal]);
    if (ready !== undefined && !(await ready(region, signal))) {
      enough.abort();
      if (!looking.abort.signal.aborted) this.#later(region, looking, CALM_MS);
      return;
    }
    const startedAtMs = clock.monotonicMs();
    let isLate = false;
    let isCounted = false;
    using _quick = timers.after(QUICK_MS, () => {
      isLate = true;
      if (looking.isSlow || looking.abort.signal.aborted) return;
      isCounted = true;
      this.#failed(region, looking, 'timeout', startedAtMs);
    });
    const outcome = await ping(region, signal);
    enough.abort(); // a signal that depends on one that lives on is kept with it, unless it has been aborted
    if (looking.abort.signal.aborted) return;
    switch (outcome) {
      case 'answered':
        this.#answered(region, looking, isLate);
        break;
      case 'proxy':
      case 'untrusted-certificate':
        // what answers late will answer late again: silence counts only after long, until an answer is quick
        this.#failed(region, looking, outcome, startedAtMs, isLate);
        break;
      case 'silent':
        if (!isCounted) this.#later(region, looking, CALM_MS);
        break;
      default:
        if (!isCounted) this.#failed(region, looking, outcome, startedAtMs);
    }
  }

  #isContradicted({ failingSinceMs, sourceAnsweredAtMs }: Looking): boolean {
    if (failingSinceMs === undefined || sourceAnsweredAtMs === undefined) return false;
    const isRecent = this.#options.clock.monotonicMs() - sourceAnsweredAtMs <= RECENT_MS;
    return isRecent && sourceAnsweredAtMs >= failingSinceMs;
  }

  #answered(region: string, looking: Looking, isLate: boolean): void {
    looking.isSlow = isLate;
    looking.failures = 0;
    looking.failingSinceMs = undefined;
    looking.successes++;
    this.#options.evidence({
      side: 'aws',
      key: region,
      proves: 'reachable',
      reason: isLate ? 'answered late' : 'answered',
    });
    this.#later(region, looking, looking.successes < SUCCESSES_TO_CALM ? DOUBT_MS : CALM_MS);
  }

  #failed(
    region: string,
    looking: Looking,
    reason: Exclude<HeadOutcome, 'answered' | 'silent'>,
    startedAtMs: number,
    isSlow = false,
  ): void {
    const { evidence, onDoubt } = this.#options;
    looking.isSlow = isSlow;
    looking.successes = 0;
    looking.failures++;
    looking.failingSinceMs ??= startedAtMs;
    const proves = reason === 'timeout' || reason === 'network' ? 'unreachable' : 'nothing';
    if (!this.#isContradicted(looking)) {
      evidence({ side: 'aws', key: region, proves, reason, startedAtMs });
      if (looking.failures === 1) onDoubt?.(region);
    }
    this.#later(region, looking, looking.failures < FAILURES_IN_DOUBT ? DOUBT_MS : CUT_MS);
  }
}
