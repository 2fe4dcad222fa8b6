/**
 * The drill: this server alone rehearses an outage. While a drill runs, AWS and the upstreams across the link count as
 * unreachable. The link itself is not touched, and no other server notices.
 *
 *     start --> running --> ended by its time, by a command, or by the end of the process
 *
 * The room says whether a drill runs and collects the queries that an outage would have hurt. It refuses to know what
 * follows from a drill: rooms that send something ask `isRunning` first. Nothing is kept on disk, so a restart ends a drill:
 * an operator never finds a drill that somebody else started.
 */
import { type Log, messages } from '../log/log.ts';
import { ageText, metricsOf, optionalSeconds, type RoomReport, single, toned } from '../report/report.ts';
import type { Clock, Timers } from '../runtime/clock.ts';
import {
  DrillCounts,
  type DrillImpact,
  type RetainAdvice,
  type RetainedQuestionName,
  retainAdvice,
} from './drill-counts.ts';

export const DRILL_MESSAGES = messages({
  started: {
    level: 'warn',
    text: 'drill started: AWS and what is across the link count as unreachable',
    fields: { forMs: 'its length at most' },
    fix: 'nothing; `outpost-dns drill stop` ends it early',
  },
  ended: {
    level: 'info',
    text: 'drill ended',
    fields: {
      by: 'time, command or shutdown',
      ranMs: 'its length',
      failed: 'queries that failed',
      stale: 'queries with a stale answer',
      endpointAnswers: 'queries for endpoints, all answered',
    },
    fix: 'read `outpost-dns drill report`: it names what an outage would hurt',
  },
});

export type DrillEnd = 'time' | 'command' | 'shutdown';

/** For the ledger, and to refresh everything when a drill has ended. */
export type DrillChange =
  | { readonly phase: 'started'; readonly forMs: number }
  | {
      readonly phase: 'ended';
      readonly by: DrillEnd;
      readonly ranMs: number;
      /** Queries. */
      readonly failed: number;
      readonly stale: number;
      readonly endpointAnswers: number;
    };

export interface DrillOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly onChange: (change: DrillChange) => void;
  /** Which of these names a rule fails on purpose while AWS is cut off; the advice never proposes them. */
  readonly byPolicy: (names: readonly string[]) => (name: string) => boolean;
  /** Questions that are retained already; the advice never proposes them. */
  readonly retained: () => readonly RetainedQuestionName[];
}

export interface DrillSummary extends DrillImpact {
  readonly state: 'none' | 'running' | 'ended';
  /** ISO 8601, UTC. */
  readonly startedAt?: string;
  readonly forMs?: number;
  /** The length of the drill: so far while it runs, or in all. */
  readonly ranMs?: number;
  readonly endedBy?: DrillEnd;
  readonly retain: readonly RetainAdvice[];
}

interface Latest {
  readonly startedAt: string;
  readonly drill: RunningDrill;
  readonly ended?: { readonly by: DrillEnd; readonly ranMs: number };
}

export class Drill implements Disposable {
  /** Called on the query path. */
  readonly report = new DrillCounts();
  readonly #options: DrillOptions;
  #state: DrillState = idle;
  #timer: Disposable | undefined;
  #latest: Latest | undefined;

  constructor(options: DrillOptions) {
    this.#options = options;
  }

  get isRunning(): boolean {
    return this.#state.kind === 'running' && isRunningAt(this.#state, this.#nowMs());
  }

  /** Absent while no drill runs. */
  get endsInMs(): number | undefined {
    const nowMs = this.#nowMs();
    return isRunningAt(this.#state, nowMs) ? this.#state.endsMs - nowMs : undefined;
  }

  start(forMs: number): DrillStart {
    const nowMs = this.#nowMs();
    const outcome = startDrill(this.#state, forMs, nowMs);
    if (outcome.kind !== 'started') return outcome;
    this.#end('time'); // the drill before is over, but its timer is late
    this.#state = outcome.state;
    const startedAt = new Date(this.#options.clock.wallMs()).toISOString();
    this.#latest = { startedAt, drill: outcome.state };
    this.report.begin();
    this.#timer = this.#options.timers.after(forMs, () => this.#end('time'));
    DRILL_MESSAGES.started(this.#options.log, { forMs });
    this.#options.onChange({ phase: 'started', forMs });
    return outcome;
  }

  stop(): { readonly kind: 'stopped' | 'not-running' } {
    const kind = this.isRunning ? 'stopped' : 'not-running';
    this.#end('command');
    return { kind };
  }

  [Symbol.dispose](): void {
    this.#end('shutdown');
  }

  /** Summarises the running drill, or the last drill. */
  summary(): DrillSummary {
    const impact = this.report.read();
    const latest = this.#latest;
    if (latest === undefined) return { state: 'none', ...impact, retain: [] };
    const { startedAt, drill, ended } = latest;
    return {
      state: ended === undefined ? 'running' : 'ended',
      startedAt,
      forMs: drill.forMs,
      ranMs: ended?.ranMs ?? this.#ranMs(drill),
      ...(ended === undefined ? {} : { endedBy: ended.by }),
      ...impact,
      retain: retainAdvice(impact, this.#options.byPolicy, this.#options.retained()),
    };
  }

  /** Ends the running drill, if any. When its time is up, the summary says that time ended it, even if a command came first. */
  #end(by: DrillEnd): void {
    if (this.#state.kind === 'idle' || this.#latest === undefined) return;
    const drill = this.#state;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#state = idle;
    this.report.end();
    const ranMs = this.#ranMs(drill);
    const reason = ranMs === drill.forMs ? 'time' : by;
    this.#latest = { ...this.#latest, ended: { by: reason, ranMs } };
    const { failed, stale, endpoints } = this.report.read();
    const counts = {
      failed: failed.queries,
      stale: stale.queries,
      endpointAnswers: endpoints.reduce((sum, { answers }) => sum + answers, 0),
    };
    DRILL_MESSAGES.ended(this.#options.log, { by: reason, ranMs, ...counts });
    this.#options.onChange({ phase: 'ended', by: reason, ranMs, ...counts });
  }

  /** Never longer than the drill was to be, however late its timer. */
  #ranMs({ startedMs, forMs }: RunningDrill): number {
    return Math.round(Math.min(this.#nowMs() - startedMs, forMs));
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

export type DrillState =
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'running';
      readonly startedMs: number;
      readonly endsMs: number;
      readonly forMs: number;
    };

export type RunningDrill = Extract<DrillState, { kind: 'running' }>;

export const idle: DrillState = { kind: 'idle' };

const MIN_DRILL_MS = 1_000;
/** Addresses are not refreshed during a drill: a forgotten drill must not go on for ever. */
export const MAX_DRILL_MS = 24 * 3_600_000;

export type DrillStart =
  | { readonly kind: 'started'; readonly state: RunningDrill }
  | { readonly kind: 'already-running'; readonly state: RunningDrill }
  | { readonly kind: 'bad-length'; readonly minMs: number; readonly maxMs: number };

export function startDrill(state: DrillState, forMs: number, nowMs: number): DrillStart {
  if (isRunningAt(state, nowMs)) return { kind: 'already-running', state };
  if (!(forMs >= MIN_DRILL_MS && forMs <= MAX_DRILL_MS)) {
    return { kind: 'bad-length', minMs: MIN_DRILL_MS, maxMs: MAX_DRILL_MS };
  }
  return { kind: 'started', state: { kind: 'running', startedMs: nowMs, endsMs: nowMs + forMs, forMs } };
}

/** A drill ends by itself: from `endsMs` on it does not run, even if its timer is late. */
export function isRunningAt(state: DrillState, nowMs: number): state is RunningDrill {
  return state.kind === 'running' && nowMs < state.endsMs;
}

export interface DrillStatus {
  /** A rehearsed outage. */
  readonly drill: { readonly isRunning: boolean; readonly endsInSeconds?: number };
}

export function drillStatus({ endsInMs }: Drill): DrillStatus {
  return { drill: { isRunning: endsInMs !== undefined, endsInSeconds: optionalSeconds(endsInMs) } };
}

const { gauge } = metricsOf<DrillStatus>();

export const DRILL_REPORT: RoomReport<DrillStatus> = {
  metrics: [
    gauge(
      'drill_running',
      '1 while an outage is rehearsed: alerts about it may be silenced.',
      [],
      ({ drill }) => single(drill.isRunning),
    ),
  ],
  panels: ({ drill: { isRunning, endsInSeconds } }) => {
    if (!isRunning) return [];
    const left = endsInSeconds === undefined ? '' : `, ends in ${ageText(endsInSeconds)}`;
    const text = `a drill runs: an outage is rehearsed by this server alone${left}, or with "outpost-dns drill stop"`;
    return [{ notes: [toned('doubtful', text)] }];
  },
};
