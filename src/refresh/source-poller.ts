/** Polls one source of one cluster: keeps its schedule, last answer and statistics, and runs at most one poll at a time. */
import type { Ending, FailureReason, Source, SourceContext } from '../records/observation.ts';
import { isNameSource, type SourceName } from '../records/sources.ts';
import { type Poll, type PollOptions, type PollResult, startPoll } from './poll.ts';
import type { AddressView } from './reconcile/compare.ts';
import type { Progress } from './reconcile/schedule.ts';

/** Counted from the start of the process; times are monotonic. */
export interface SourceStats {
  readonly refreshes: Readonly<Partial<Record<'succeeded' | FailureReason, number>>>;
  readonly durationMsSum: number;
  readonly lastDurationMs: number | undefined;
  /** Polls that settled after their deadline, or after a newer poll had replaced them; their answers were ignored. */
  readonly lateResults: number;
  /** The number of polls that the poller gave up and that have not settled since. */
  readonly unsettled: number;
}

export interface LastFailure {
  readonly reason: FailureReason;
  readonly detail: string;
  readonly atMs: number;
}

interface Running {
  poll: Poll;
  context: SourceContext;
  /** The source poller is interrupting the poll; the next poll starts after the end of this poll. */
  isRestarting: boolean;
  readonly done: PromiseWithResolvers<void>;
}

/** A poll that started this recently is as good as a new poll. */
const YOUNG_MS = 500;

export class SourcePoller {
  readonly source: Source;
  latest: 'untried' | 'succeeded' | 'failed' = 'untried';
  view: AddressView | undefined;
  /** The view before the latest success. */
  viewBefore: AddressView | undefined;
  lastFailure: LastFailure | undefined;
  settledAtMs: number | undefined;
  /** When the poll started that settled last. */
  startedAtMs = Number.NEGATIVE_INFINITY;
  /** The number of failures since the last success or kick; this number sets the backoff. */
  consecutiveFailures = 0;
  nextPollAtMs: number | undefined;
  /** When the credentials of the source end, by the latest poll that knew it. */
  endings: readonly Ending[] = [];
  /** The last success, or when the poller began to ask. */
  heardAtMs: number;

  readonly #options: Omit<PollOptions, 'source' | 'context'>;
  readonly #onSettled: (poller: SourcePoller, result: PollResult) => void;
  readonly #refreshes = new Map<'succeeded' | FailureReason, number>();
  #durationMsSum = 0;
  #lastDurationMs: number | undefined;
  #lateResults = 0;
  #unsettled = 0;
  #timer: Disposable | undefined;
  #running: Running | undefined;

  /** `before` is the poller of the same source from before a reload: its answers and statistics go on. */
  constructor(
    source: Source,
    options: Omit<PollOptions, 'source' | 'context'>,
    onSettled: (poller: SourcePoller, result: PollResult) => void,
    before?: SourcePoller,
  ) {
    this.source = source;
    this.#options = options;
    this.#onSettled = onSettled;
    this.heardAtMs = before?.heardAtMs ?? options.clock.monotonicMs();
    if (before === undefined) return;
    this.latest = before.latest;
    this.view = before.view;
    this.lastFailure = before.lastFailure;
    this.endings = before.endings;
    this.#durationMsSum = before.#durationMsSum;
    this.#lastDurationMs = before.#lastDurationMs;
    this.#lateResults = before.#lateResults;
    this.#refreshes = new Map(before.#refreshes);
  }

  get name(): SourceName {
    return this.source.name;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Starts a poll, or joins the running one. With `restart`, a running poll that is older or asks something else is given
   * up for a new one. Resolves when the result has been handled.
   */
  poll(context: SourceContext, restart = false): Promise<void> {
    const running = this.#running;
    if (running === undefined) {
      const done = Promise.withResolvers<void>();
      this.#running = { done, context, poll: this.#start(context), isRestarting: false };
      return done.promise;
    }
    const ageMs = this.#options.clock.monotonicMs() - running.poll.startedMs;
    const asksOther = JSON.stringify(context) !== JSON.stringify(running.context);
    if (restart && (ageMs > YOUNG_MS || asksOther)) {
      running.context = context;
      running.isRestarting = true;
      running.poll.interrupt();
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

  /** Forgets its answers, because the question has changed. */
  forget(): void {
    this.latest = 'untried';
    this.view = undefined;
    this.viewBefore = undefined;
  }

  /** Sets the time of the next poll; a poll that starts earlier takes its place. */
  schedule(delayMs: number, run: () => void): void {
    const { clock, timers } = this.#options;
    this.#unschedule();
    this.nextPollAtMs = clock.monotonicMs() + delayMs;
    this.#timer = timers.after(delayMs, run);
  }

  /** Gives up the running poll; callers that wait for it go on. */
  stop(): void {
    this.#unschedule();
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#unsettled++;
    running.poll.abandon();
    running.done.resolve();
  }

  #unschedule(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.nextPollAtMs = undefined;
  }

  #start(context: SourceContext): Poll {
    this.#unschedule();
    return startPoll(
      { ...this.#options, source: this.source, context },
      {
        ended: (result) => this.#ended(result),
        settledLate: () => {
          this.#lateResults++;
          this.#unsettled = Math.max(0, this.#unsettled - 1);
        },
      },
    );
  }

  #ended(result: PollResult): void {
    if (result.isUnsettled) this.#unsettled++;
    if (result.isLate) this.#lateResults++;
    const running = this.#running;
    if (running?.isRestarting) {
      running.isRestarting = false;
      running.poll = this.#start(running.context);
      return;
    }
    this.#running = undefined;
    this.#take(result);
    try {
      this.#onSettled(this, result);
    } finally {
      running?.done.resolve();
    }
  }

  #take({ observation, startedMs, durationMs }: PollResult): void {
    const atMs = this.#options.clock.monotonicMs();
    this.settledAtMs = atMs;
    this.startedAtMs = startedMs;
    this.#durationMsSum += durationMs;
    this.#lastDurationMs = durationMs;
    this.endings = observation.endings ?? this.endings;
    const outcome = observation.kind === 'failed' ? observation.reason : 'succeeded';
    this.#refreshes.set(outcome, (this.#refreshes.get(outcome) ?? 0) + 1);
    if (observation.kind === 'failed') {
      this.latest = 'failed';
      this.consecutiveFailures++;
      this.lastFailure = { reason: observation.reason, detail: observation.detail, atMs };
      return;
    }
    this.latest = 'succeeded';
    this.heardAtMs = atMs;
    this.consecutiveFailures = 0;
    if (observation.kind === 'details') return;
    const { addresses, ttlSeconds, upstream, statuses, isDoubtful } = observation;
    this.viewBefore = this.view;
    // a name may have changed since it was asked: its answer speaks for that moment, and contradicts no later listing
    const observedAtMs = isNameSource(this.name) ? startedMs : atMs;
    this.view = { addresses, ttlSeconds, upstream, statuses, isDoubtful, observedAtMs };
  }
}
