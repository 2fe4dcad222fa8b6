/**
 * Asks the far side of the link for signs of life: rarely while it answers, often while it does not. So a cut and a return
 * are noticed within seconds on a site without traffic. It gives evidence to link/, and nothing else.
 */
import type { HeadOutcome } from '../far-side/head.ts';
import { type Evidence, LINK_THRESHOLDS } from '../link/link-state.ts';
import { inBackground } from '../runtime/background.ts';
import type { Clock } from '../runtime/clock.ts';
import { jitter, type Random } from '../runtime/random.ts';
import type { Timers } from '../runtime/timers.ts';

/** Asks an AWS Region for a sign of life; never rejects. */
export type Ping = (region: string, signal: AbortSignal) => Promise<HeadOutcome>;

export interface LinkProbeOptions {
  readonly ping: Ping;
  /** Before `ping`, without a time limit of its own: whether the Region can be asked now. Never rejects. */
  readonly ready?: (region: string, signal: AbortSignal) => Promise<boolean>;
  /** Called when a sign of life fails for the first time, or after a success: the sources may know more. */
  readonly onDoubt?: (region: string) => void;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly random: Random;
  readonly evidence: (evidence: Evidence) => void;
}

/** Time between two pings while the Region answers: a cut is noticed within this time and two quick pings. */
const CALM_MS = 10_000;
/** Time between two pings after a missing answer, until the link counts as cut or as whole. */
const DOUBT_MS = 1_000;
/** Time between two pings while the link is cut: a return is noticed within 3 s, the ping included. */
const CUT_MS = 2_000;
/** An answer that comes later than this counts as missing, until it comes. */
const QUICK_MS = 900;
/** Name, connection and answer, each with two seconds of delay, and some reserve. */
const PATIENT_MS = 8_000;
/** An answer to a source counts against a failed sign of life for two of the longest default intervals. */
const RECENT_MS = 600_000;
/** The random part of the pause, so that many servers on one link do not ask at the same moment. */
const JITTER = 0.2;

interface Watch {
  readonly abort: AbortController;
  timer: Disposable | undefined;
  failures: number;
  /** When the first ping started of those that failed in a row. */
  failingSinceMs: number | undefined;
  /** When a source last had an answer from AWS about this Region. */
  sourceAnsweredAtMs: number | undefined;
  successes: number;
  /** Answers have come late: until an answer is quick again, only long silence counts. */
  isSlow: boolean;
}

export class LinkProbe {
  readonly #options: LinkProbeOptions;
  readonly #watches = new Map<string, Watch>();

  constructor(options: LinkProbeOptions) {
    this.#options = options;
  }

  /** Watches these Regions from now on, and no others. */
  watch(regions: readonly string[]): void {
    for (const [region, watch] of this.#watches) {
      if (regions.includes(region)) continue;
      watch.timer?.[Symbol.dispose]();
      watch.abort.abort();
      this.#watches.delete(region);
    }
    for (const region of regions) {
      if (this.#watches.has(region)) continue;
      const watch: Watch = {
        abort: new AbortController(),
        timer: undefined,
        failures: 0,
        failingSinceMs: undefined,
        sourceAnsweredAtMs: undefined,
        successes: LINK_THRESHOLDS.successesToConnect,
        isSlow: false,
      };
      this.#watches.set(region, watch);
      this.#pingLater(region, watch, CALM_MS);
    }
  }

  stop(): void {
    this.watch([]);
  }

  /**
   * A source has had an answer from AWS. A sign of life that fails at the same time says nothing about the link: its host is
   * closed, or HEAD is filtered. It does not count until it is answered again.
   */
  sourceAnswered(region: string): void {
    const watch = this.#watches.get(region);
    if (watch !== undefined) watch.sourceAnsweredAtMs = this.#options.clock.monotonicMs();
  }

  /** Replaces the ping that was to come. */
  #pingLater(region: string, watch: Watch, delayMs: number): void {
    watch.timer?.[Symbol.dispose]();
    const { timers, random } = this.#options;
    const spreadMs = delayMs * jitter(random, JITTER);
    watch.timer = timers.after(spreadMs, () => this.#pingAndGoOn(region, watch));
  }

  /** Asks for a sign of life. After a defect the probe loses this sign of life, and still asks for the next. */
  async #pingAndGoOn(region: string, watch: Watch): Promise<void> {
    let hasEnded = false;
    await inBackground('link', async () => {
      await this.#ping(region, watch);
      hasEnded = true;
    });
    if (!hasEnded && !watch.abort.signal.aborted) this.#pingLater(region, watch, CALM_MS);
  }

  /** A late answer is waited for although it already counts as missing: it proves that there is a path. */
  async #ping(region: string, watch: Watch): Promise<void> {
    const { ping, ready, clock, timers } = this.#options;
    const enough = new AbortController();
    using _limit = timers.after(PATIENT_MS, () => enough.abort());
    const signal = AbortSignal.any([watch.abort.signal, enough.signal]);
    if (ready !== undefined && !(await ready(region, signal))) {
      enough.abort();
      if (!watch.abort.signal.aborted) this.#pingLater(region, watch, CALM_MS);
      return;
    }
    const startedAtMs = clock.monotonicMs();
    let isLate = false;
    let isCounted = false;
    using _quick = timers.after(QUICK_MS, () => {
      isLate = true;
      if (watch.isSlow || watch.abort.signal.aborted) return;
      isCounted = true;
      this.#failed(region, watch, 'timeout', startedAtMs);
    });
    const outcome = await ping(region, signal);
    enough.abort(); // a combined signal is kept with the longer-lived one until it is aborted
    if (watch.abort.signal.aborted) return;
    if (outcome === 'answered') this.#answered(region, watch, isLate);
    // a proxy that answers late will answer late again: until it is quick, only long silence counts
    else if (isFromBetween(outcome)) this.#failed(region, watch, outcome, startedAtMs, isLate);
    else if (isCounted) return;
    else if (outcome === 'silent') this.#pingLater(region, watch, CALM_MS);
    else this.#failed(region, watch, outcome, startedAtMs);
  }

  #answered(region: string, watch: Watch, isLate: boolean): void {
    watch.isSlow = isLate;
    watch.failures = 0;
    watch.failingSinceMs = undefined;
    watch.successes++;
    const reason = isLate ? 'answered late' : 'answered';
    this.#options.evidence({ side: 'aws', key: region, proves: 'reachable', reason });
    const isCalm = watch.successes >= LINK_THRESHOLDS.successesToConnect;
    this.#pingLater(region, watch, isCalm ? CALM_MS : DOUBT_MS);
  }

  #failed(
    region: string,
    watch: Watch,
    reason: Exclude<HeadOutcome, 'answered' | 'silent'>,
    startedAtMs: number,
    isSlow = false,
  ): void {
    const { evidence, onDoubt } = this.#options;
    watch.isSlow = isSlow;
    watch.successes = 0;
    watch.failures++;
    watch.failingSinceMs ??= startedAtMs;
    const proves = isFromBetween(reason) ? 'nothing' : 'unreachable';
    if (!this.#isContradicted(watch)) {
      evidence({ side: 'aws', key: region, proves, reason, startedAtMs });
      if (watch.failures === 1) onDoubt?.(region);
    }
    const isCut = watch.failures >= LINK_THRESHOLDS.failuresToDisconnect;
    this.#pingLater(region, watch, isCut ? CUT_MS : DOUBT_MS);
  }

  #isContradicted({ failingSinceMs, sourceAnsweredAtMs }: Watch): boolean {
    if (failingSinceMs === undefined || sourceAnsweredAtMs === undefined) return false;
    const isRecent = this.#options.clock.monotonicMs() - sourceAnsweredAtMs <= RECENT_MS;
    return isRecent && sourceAnsweredAtMs >= failingSinceMs;
  }
}

/** Something in between answered in place of AWS. */
function isFromBetween(outcome: HeadOutcome): outcome is 'proxy' | 'untrusted-certificate' {
  return outcome === 'proxy' || outcome === 'untrusted-certificate';
}
