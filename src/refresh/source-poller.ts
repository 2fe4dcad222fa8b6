/** One source of one cluster: what it saw last, how its looks went, and that there is never more than one at a time. */

import type { FailureReason, Source, SourceContext } from '../records/observation.ts';
import type { SourceName } from '../records/sources.ts';
import { type Attempt, type AttemptOptions, type Ending, startAttempt } from './poll.ts';
import type { AddressView } from './reconcile/compare.ts';
import type { Progress } from './reconcile/schedule.ts';

/** Everything is counted from the start of the process; times are monotonic. */
export interface SourceStats {
  readonly refreshes: Readonly<Partial<Record<'succeeded' | FailureReason, number>>>;
  readonly durationMsSum: number;
  readonly lastDurationMs: number | undefined;
  /** Looks that settled after they were given up, at their deadline or for a newer one; what they saw was ignored. */
  readonly lateResults: number;
  /** Looks that were given up and have not settled to this moment. */
  readonly unsettled: number;
}

export interface LastFailure {
  readonly reason: FailureReason;
  readonly detail: string;
  readonly atMs: number;
}

interface Running {
  attempt: Attempt;
  context: SourceContext;
  /** The attempt is being given up for a new one. */
  isRestarting: boolean;
  readonly done: PromiseWithResolvers<void>;
}

export type RunnerOptions = Omit<AttemptOptions, 'source' | 'context'>;

const YOUNG_MS = 500; // a look as fresh as this is no worse than a new one

export class SourceRunner {
  readonly source: Source;
  latest: 'untried' | 'succeeded' | 'failed' = 'untried';
  view: AddressView | undefined;
  /** What the look before the latest success saw. */
  viewBefore: AddressView | undefined;
  lastFailure: LastFailure | undefined;
  settledAtMs: number | undefined;
  /** Of the look that settled last. */
  beganAtMs = Number.NEGATIVE_INFINITY;
  /** Since the last success or kick: sets the backoff. */
  consecutiveFailures = 0;
  nextAttemptAtMs: number | undefined;

  readonly #options: RunnerOptions;
  readonly #onSettled: (runner: SourceRunner, ending: Ending) => void;
  readonly #refreshes = new Map<'succeeded' | FailureReason, number>();
  #durationMsSum = 0;
  #lastDurationMs: number | undefined;
  #lateResults = 0;
  #unsettled = 0;
  #nextAttempt: Disposable | undefined;
  #running: Running | undefined;

  constructor(
    source: Source,
    options: RunnerOptions,
    onSettled: (runner: SourceRunner, ending: Ending) => void,
  ) {
    this.source = source;
    this.#options = options;
    this.#onSettled = onSettled;
  }

  get name(): SourceName {
    return this.source.name;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Looks, or joins the look that is under way. With `restart` an older look, or one with another question, is given up
   * for a new one, because the world has changed since it began. Resolves when the look has settled and its ending has been handled.
   */
  run(context: SourceContext, restart = false): Promise<void> {
    const running = this.#running;
    if (running === undefined) {
      const done = Promise.withResolvers<void>();
      this.#running = { done, context, attempt: this.#start(context), isRestarting: false };
      return done.promise;
    }
    const age = this.#options.clock.monotonicMs() - running.attempt.startedMs;
    const isOtherQuestion = JSON.stringify(context) !== JSON.stringify(running.context);
    if (restart && (age > YOUNG_MS || isOtherQuestion)) {
      running.context = context;
      running.isRestarting = true;
      running.attempt.interrupt();
    }
    return running.done.promise;
  }

  progress(): Progress {
    const { consecutiveFailures, lastFailure } = this;
    return { consecutiveFailures, lastFailure: lastFailure?.reason, unsettled: this.#unsettled };
  }

  stats(): SourceStats {
    return {
      refreshes: Object.fromEntries(this.#refreshes),
      durationMsSum: this.#durationMsSum,
      lastDurationMs: this.#lastDurationMs,
      lateResults: this.#lateResults,
      unsettled: this.#unsettled,
    };
  }

  /** Takes over what another runner of the same source's name knew, after a reload. */
  inherit(from: SourceRunner): void {
    this.latest = from.latest;
    this.view = from.view;
    this.lastFailure = from.lastFailure;
    this.#durationMsSum = from.#durationMsSum;
    this.#lastDurationMs = from.#lastDurationMs;
    this.#lateResults = from.#lateResults;
    for (const [result, count] of from.#refreshes) this.#refreshes.set(result, count);
  }

  /** Forgets what was seen, because the question has changed. */
  forget(): void {
    this.latest = 'untried';
    this.view = undefined;
    this.viewBefore = undefined;
  }

  /** Sets the time of the next look; one that begins earlier takes its place. */
  arm(delayMs: number, run: () => void): void {
    const { clock, timers } = this.#options;
    this.#disarm();
    this.nextAttemptAtMs = clock.monotonicMs() + delayMs;
    this.#nextAttempt = timers.after(delayMs, run);
  }

  #disarm(): void {
    this.#nextAttempt?.[Symbol.dispose]();
    this.#nextAttempt = undefined;
    this.nextAttemptAtMs = undefined;
  }

  /** Gives up the look under way, if any; whoever waits for it is let go. */
  stop(): void {
    this.#disarm();
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#unsettled++;
    running.attempt.abandon();
    running.done.resolve();
  }

  #start(context: SourceContext): Attempt {
    this.#disarm();
    return startAttempt(
      { ...this.#options, source: this.source, context },
      {
        ended: (ending) => this.#ended(ending),
        settledLate: () => {
          this.#lateResults++;
          this.#unsettled = Math.max(0, this.#unsettled - 1);
        },
      },
    );
  }

  #ended(ending: Ending): void {
    if (ending.isUnsettled) this.#unsettled++;
    if (ending.isLate) this.#lateResults++;
    const running = this.#running;
    if (running?.isRestarting) {
      running.isRestarting = false;
      running.attempt = this.#start(running.context);
      return;
    }
    this.#running = undefined;
    this.#take(ending);
    try {
      this.#onSettled(this, ending);
    } finally {
      running?.done.resolve();
    }
  }

  #take({ observation, startedMs, durationMs }: Ending): void {
    const atMs = this.#options.clock.monotonicMs();
    this.settledAtMs = atMs;
    this.beganAtMs = startedMs;
    this.#durationMsSum += durationMs;
    this.#lastDurationMs = durationMs;
    const result = observation.kind === 'failed' ? observation.reason : 'succeeded';
    this.#refreshes.set(result, (this.#refreshes.get(result) ?? 0) + 1);
    if (observation.kind === 'failed') {
      const { reason, detail } = observation;
      this.latest = 'failed';
      this.consecutiveFailures++;
      this.lastFailure = { reason, detail, atMs };
      return;
    }
    this.latest = 'succeeded';
    this.consecutiveFailures = 0;
    if (observation.kind === 'details') return;
    const { addresses, ttlSeconds, upstream, statuses, isDoubtful } = observation;
    this.viewBefore = this.view;
    this.view = { addresses, ttlSeconds, upstream, statuses, isDoubtful, observedAtMs: atMs };
  }
}
