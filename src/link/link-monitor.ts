/**
 * Decides whether this server can reach the far side of the link. Evidence goes in; a condition with its reason and age comes
 * out. Below the decision, which is pure, `LinkMonitor` keeps the states up to date, logs each transition once, those of a restless
 * path sparingly, and reports it.
 *
 *     unknown --> connected <--> degraded --> disconnected <--> recovering --> connected
 *        |                           ^              ^
 *        |-- evidence of nothing ----'              |
 *        `-- three failures ------------------------'
 *
 * Each AWS Region and each upstream has a state, and there is one summary. Every answer proves the path, a refusal included.
 * A failure that says nothing about the path (missing credentials, a defect of ours) must not be reported here. A proxy or a
 * captive portal may answer in place of the far side. The condition is then degraded with that reason: neither a cut nor a
 * return. The room refuses to know how evidence is gathered and what follows from a condition.
 */
import { type Log, messages } from '../log/log.ts';
import {
  ageText,
  metricsOf,
  type RoomReport,
  type Sample,
  seconds,
  type Tone,
  toned,
} from '../report/report.ts';
import { type Clock, Spacing, type Timers } from '../runtime/clock.ts';

export type LinkCondition = 'unknown' | 'connected' | 'degraded' | 'disconnected' | 'recovering';

export interface Evidence {
  /** The kind of path: `aws` with a Region as key, or `upstream` with its address as key. */
  readonly side: 'aws' | 'upstream';
  readonly key: string;
  readonly proves: 'reachable' | 'unreachable' | 'nothing';
  /** A constant text, such as `timeout`; shown as the reason of the state. */
  readonly reason: string;
  /** Monotonic; when the attempt started, if it may have taken long. */
  readonly startedAtMs?: number;
}

export interface LinkState {
  readonly condition: LinkCondition;
  readonly reason: string;
  /** When the condition began, monotonic. */
  readonly sinceMs: number;
  readonly failuresInARow: number;
  readonly successesInARow: number;
  /** When evidence last counted; absent before the first. */
  readonly countedAtMs?: number;
}

export interface LinkPath extends LinkState {
  readonly side: Evidence['side'];
  readonly key: string;
}

/** How much evidence in a row changes a condition. Who asks for evidence asks this often before it slows down. */
export const LINK_THRESHOLDS = {
  /** One lost datagram is no cut. */
  failuresToDisconnect: 3,
  /** A lossy path lets single answers through. */
  successesToConnect: 3,
} as const;

export const initialLinkState: LinkState = {
  condition: 'unknown',
  reason: 'nothing tried yet',
  sinceMs: 0,
  failuresInARow: 0,
  successesInARow: 0,
};

/** The state after one more piece of evidence. */
export function nextLinkState(state: LinkState, evidence: Evidence, nowMs: number): LinkState {
  const isReachable = evidence.proves === 'reachable';
  if (!isReachable && isOldNews(state, evidence)) return state;
  if (evidence.proves === 'nothing') return afterNothing(state, evidence, nowMs);
  const failuresInARow = isReachable ? 0 : state.failuresInARow + 1;
  const successesInARow = isReachable ? state.successesInARow + 1 : 0;
  const condition = isReachable
    ? afterSuccess(state.condition, successesInARow)
    : afterFailure(state.condition, failuresInARow);
  const counted = { failuresInARow, successesInARow, countedAtMs: nowMs };
  if (condition === state.condition) return { ...state, ...counted };
  return { condition, reason: evidence.reason, sinceMs: nowMs, ...counted };
}

/** Keeps the condition of a path that was cut or has just returned, because the answer may come from this side of the cut. */
function afterNothing(state: LinkState, { reason }: Evidence, nowMs: number): LinkState {
  const counted = { successesInARow: 0, countedAtMs: nowMs };
  if (state.condition === 'disconnected' || state.condition === 'recovering') return { ...state, ...counted };
  const sinceMs = state.condition === 'degraded' ? state.sinceMs : nowMs;
  return { ...state, ...counted, condition: 'degraded', reason, sinceMs };
}

/**
 * Whether a failure started before the last evidence, and so says nothing new. Ten polls lost in one short break are one failure,
 * and a poll that hung since the cut does not undo the return. A success of any duration counts.
 */
function isOldNews({ countedAtMs }: LinkState, { startedAtMs }: Evidence): boolean {
  return countedAtMs !== undefined && startedAtMs !== undefined && startedAtMs < countedAtMs;
}

function afterSuccess(before: LinkCondition, successesInARow: number): LinkCondition {
  if (before === 'unknown' || before === 'connected') return 'connected';
  if (successesInARow >= LINK_THRESHOLDS.successesToConnect) return 'connected';
  return before === 'disconnected' ? 'recovering' : before;
}

function afterFailure(before: LinkCondition, failuresInARow: number): LinkCondition {
  if (before === 'disconnected' || before === 'recovering') return 'disconnected';
  if (failuresInARow >= LINK_THRESHOLDS.failuresToDisconnect) return 'disconnected';
  return before === 'unknown' ? 'unknown' : 'degraded';
}

/**
 * One condition for all paths. The link is the link to AWS: upstreams decide only until a Region was tried, because they may
 * stand on the site. While AWS answers, an upstream that does not answer makes the link degraded. Reason and age are those
 * of the deciding path that changed last.
 */
export function summarizeLinks(paths: readonly LinkPath[]): LinkState {
  const known = paths.filter(({ condition }) => condition !== 'unknown');
  const aws = known.filter(({ side }) => side === 'aws');
  const deciding = aws.length > 0 ? aws : known;
  const decided = commonCondition(deciding);
  const condition = decided === 'connected' ? commonCondition(known) : decided;
  let latest: LinkPath | undefined;
  for (const path of condition === decided ? deciding : known) {
    if (latest === undefined || path.sinceMs > latest.sinceMs) latest = path;
  }
  return latest === undefined ? initialLinkState : { ...latest, condition };
}

function commonCondition(paths: readonly LinkPath[]): LinkCondition {
  const [first] = paths;
  if (first === undefined) return 'unknown';
  return paths.every(({ condition }) => condition === first.condition) ? first.condition : 'degraded';
}

const CHANGE = {
  side: 'aws or upstream',
  key: 'the region or the upstream',
  from: 'the condition before',
  to: 'the condition now',
  reason: 'the evidence',
  left: 'where the path goes and comes again and again: changes before this one that have no line',
};

export const LINK_MESSAGES = messages({
  cut: {
    level: 'warn',
    text: 'link changed',
    fields: CHANGE,
    fix: 'follow docs/outage.md. Endpoints are answered however long it lasts',
  },
  changed: { level: 'info', text: 'link changed', fields: CHANGE },
  summary: { level: 'debug', text: 'link as a whole changed', fields: CHANGE },
});

export interface LinkMonitorOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly timers: Timers;
  readonly log: Log;
  /** Called when a path that was cut carries a first answer again. */
  readonly onRestored: (evidence: Evidence) => void;
  /** Called when the condition of a path or of the summary changes; a chronicle picks those worth keeping. */
  readonly onTransition: (transition: LinkTransition) => void;
  /** Whether a drill treats this path as cut; the status then shows the path as cut, against any evidence. */
  readonly isRehearsed: (side: Evidence['side'], key: string) => boolean;
}

export interface LinkTransition {
  readonly side: Evidence['side'] | 'summary';
  /** `all` for the summary. */
  readonly key: string;
  readonly from: LinkCondition;
  readonly to: LinkCondition;
  readonly reason: string;
}

export interface LinkReport {
  readonly summary: LinkState;
  /** In the order of their names. */
  readonly paths: readonly LinkPath[];
}

export interface Cuts {
  /** Whether no Region can be reached, or a drill says so; `false` where no Region was tried. */
  isFarSideCut: boolean;
  /** Whether any path is cut, in fact or in a drill. */
  isAnyCut: boolean;
}

/** Lines of the log about two cuts of a path and its return; then one line in five minutes. */
const LINES_AT_ONCE = 8;
const LINES_EVERY_MS = 300_000;

export class LinkMonitor implements Disposable {
  readonly #options: LinkMonitorOptions;
  readonly #lines: Spacing<LinkTransition>;
  readonly #paths = new Map<string, LinkPath>();
  #summary: LinkState = initialLinkState;
  #rehearsedSinceMs: number | undefined;
  readonly #cuts = { isFarSideCut: false, isAnyCut: false };
  /** One object for the life of the monitor: rooms on the way of a query read it without a call. */
  readonly cuts: Readonly<Cuts> = this.#cuts;

  constructor(options: LinkMonitorOptions) {
    this.#options = options;
    const { clock, timers, log } = options;
    this.#lines = new Spacing({
      ...{ clock, timers, atOnce: LINES_AT_ONCE, everyMs: LINES_EVERY_MS },
      pass: (transition, counted) => {
        const message = transition.to === 'disconnected' ? LINK_MESSAGES.cut : LINK_MESSAGES.changed;
        message(log, { ...transition, ...counted });
      },
    });
  }

  /** Its lines end: a change that has none is not logged. */
  [Symbol.dispose](): void {
    this.#lines[Symbol.dispose]();
  }

  report(evidence: Evidence): void {
    const { side, key } = evidence;
    const id = `${side} ${key}`;
    const before = this.#paths.get(id) ?? { side, key, ...initialLinkState };
    const after = { side, key, ...nextLinkState(before, evidence, this.#options.clock.monotonicMs()) };
    this.#paths.set(id, after);
    if (after.condition === before.condition) return;
    this.#changed(side, key, before, after);
    this.#summarize();
    if (after.condition === 'recovering') this.#options.onRestored(evidence);
  }

  /** Drops paths that are no longer configured: they must not count in the summary. */
  retain(keep: (side: Evidence['side'], key: string) => boolean): void {
    for (const [id, { side, key }] of this.#paths) if (!keep(side, key)) this.#paths.delete(id);
    this.#summarize();
  }

  /** Starts or ends a drill; `current()` then shows rehearsed paths as cut. */
  rehearse(isOn: boolean): void {
    this.#rehearsedSinceMs = isOn ? this.#options.clock.monotonicMs() : undefined;
    this.#noteCuts();
  }

  current(): LinkReport {
    const paths = [...this.#paths.entries()]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, path]) => this.#shown(path));
    return { summary: summarizeLinks(paths), paths };
  }

  #shown(path: LinkPath): LinkPath {
    const sinceMs = this.#rehearsedSinceMs;
    if (sinceMs === undefined || !this.#options.isRehearsed(path.side, path.key)) return path;
    return { ...path, condition: 'disconnected', reason: 'drill', sinceMs };
  }

  #noteCuts(): void {
    const paths = [...this.#paths.values()];
    const isCut = ({ condition }: LinkPath): boolean => condition === 'disconnected';
    const regions = paths.filter(({ side }) => side === 'aws');
    this.#cuts.isFarSideCut = regions.length > 0 && regions.every((path) => isCut(this.#shown(path)));
    this.#cuts.isAnyCut = this.#rehearsedSinceMs !== undefined || paths.some(isCut);
  }

  #summarize(): void {
    this.#noteCuts();
    const paths = [...this.#paths.values()];
    const before = this.#summary;
    this.#summary = summarizeLinks(paths);
    if (this.#summary.condition !== before.condition) this.#changed('summary', 'all', before, this.#summary);
  }

  #changed(side: LinkTransition['side'], key: string, before: LinkState, after: LinkState): void {
    const { log, onTransition } = this.#options;
    const transition = { side, key, from: before.condition, to: after.condition, reason: after.reason };
    // the log has the changes of the paths; the summary is in the status
    if (side === 'summary') LINK_MESSAGES.summary(log, transition);
    else this.#lines.note(`${side} ${key}`, transition);
    onTransition(transition);
  }
}

// The report of the link: each path, and one word for all paths.

type Shown = Pick<LinkState, 'condition' | 'reason'> & { readonly ageSeconds: number };

interface LinkStatus {
  readonly link: {
    readonly summary: Shown;
    readonly paths: readonly (Pick<LinkPath, 'side' | 'key'> & Shown)[];
  };
}

export function linkStatus({ summary, paths }: LinkReport, nowMs: number): LinkStatus {
  const shown = ({ condition, reason, sinceMs }: LinkState): Shown => {
    return { condition, reason, ageSeconds: seconds(nowMs - sinceMs) };
  };
  const shownPaths = paths.map((path) => ({ side: path.side, key: path.key, ...shown(path) }));
  return { link: { summary: shown(summary), paths: shownPaths } };
}

const TONES: Readonly<Record<LinkCondition, Tone>> = {
  unknown: 'plain',
  connected: 'good',
  degraded: 'doubtful',
  recovering: 'doubtful',
  disconnected: 'bad',
};

const VALUES = { connected: 1, degraded: 0.5, recovering: 0.5, disconnected: 0 } as const;

function withSummary({ paths, summary }: LinkStatus['link']) {
  return [...paths, { side: 'summary', key: 'all', ...summary }];
}

const { gauge } = metricsOf<LinkStatus>();

export const LINK_REPORT: RoomReport<LinkStatus> = {
  metrics: [
    gauge(
      'link_connected',
      '1 connected, 0.5 degraded or recovering, 0 disconnected; absent while unknown. side="summary" is the whole.',
      ['side', 'key'],
      ({ link }) =>
        withSummary(link).flatMap(({ side, key, condition }): readonly Sample[] =>
          condition === 'unknown' ? [] : [[VALUES[condition], side, key]],
        ),
    ),
    gauge(
      'link_condition_age_seconds',
      'Seconds since the path took its present condition.',
      ['side', 'key'],
      ({ link }) => withSummary(link).map(({ side, key, ageSeconds }): Sample => [ageSeconds, side, key]),
    ),
  ],
  panels: ({ link: { summary, paths } }) => [
    {
      title: 'Link',
      badge: toned(TONES[summary.condition], summary.condition),
      about: `for ${ageText(summary.ageSeconds)}: ${summary.reason}`,
      head: ['path', 'condition', 'for', 'because'],
      rows: paths.map(({ side, key, condition, ageSeconds, reason }) => [
        `${side} ${key}`,
        toned(TONES[condition], condition),
        ageText(ageSeconds),
        reason,
      ]),
    },
  ],
};
