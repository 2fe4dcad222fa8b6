/** Keeps the states of the link up to date from evidence, logs each transition once, and reports it. */
import type { Log } from '../log/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { LINK_MESSAGES } from './link-messages.ts';
import {
  type Evidence,
  initialLinkState,
  type LinkCondition,
  type LinkPath,
  type LinkState,
  nextLinkState,
  summarizeLinks,
} from './link-state.ts';

export interface LinkMonitorOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  /** Called when a path that was cut carries a first answer again. */
  readonly onRestored: (evidence: Evidence) => void;
  /** Called when the condition of a path or of the summary changes; lasting-changes.ts picks those worth keeping. */
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

export class LinkMonitor {
  readonly #options: LinkMonitorOptions;
  readonly #paths = new Map<string, LinkPath>();
  #summary: LinkState = initialLinkState;
  #rehearsedSinceMs: number | undefined;
  #cutPaths = 0;
  #isFarSideCut = false;

  constructor(options: LinkMonitorOptions) {
    this.#options = options;
  }

  /** Whether no Region can be reached, or a drill says so; `false` where no Region was tried. Every query reads it. */
  get isFarSideCut(): boolean {
    return this.#isFarSideCut;
  }

  /** Whether any path is cut, in fact or in a drill. */
  get isAnyCut(): boolean {
    return this.#cutPaths > 0 || this.#rehearsedSinceMs !== undefined;
  }

  report(evidence: Evidence): void {
    const { side, key } = evidence;
    const id = idOf(side, key);
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
    this.#noteFarSide();
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

  #noteFarSide(): void {
    const regions = [...this.#paths.values()].filter(({ side }) => side === 'aws');
    this.#isFarSideCut =
      regions.length > 0 && regions.every((path) => this.#shown(path).condition === 'disconnected');
  }

  #summarize(): void {
    this.#noteFarSide();
    const paths = [...this.#paths.values()];
    this.#cutPaths = paths.filter(({ condition }) => condition === 'disconnected').length;
    const before = this.#summary;
    this.#summary = summarizeLinks(paths);
    if (this.#summary.condition !== before.condition) this.#changed('summary', 'all', before, this.#summary);
  }

  #changed(side: LinkTransition['side'], key: string, before: LinkState, after: LinkState): void {
    const { log, onTransition } = this.#options;
    const transition = { side, key, from: before.condition, to: after.condition, reason: after.reason };
    // the log has one line for each change of a path; the summary is in the status
    if (side === 'summary') LINK_MESSAGES.summary(log, transition);
    else if (after.condition === 'disconnected') LINK_MESSAGES.cut(log, transition);
    else LINK_MESSAGES.changed(log, transition);
    onTransition(transition);
  }
}

function idOf(side: Evidence['side'], key: string): string {
  return `${side} ${key}`;
}
