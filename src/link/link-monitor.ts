/** Keeps the link's states up to date from evidence, logs each transition once, and tells who asked to be told. */
import type { Log } from '../log/log.ts';
import type { Clock } from '../runtime/clock.ts';
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
  /** Called for every change of a path's condition, or of the summary's; those worth keeping are picked by lasting-changes.ts. */
  readonly onTransition: (transition: LinkTransition) => void;
  /** Whether a rehearsal treats this path as cut: it is then shown so, whatever the evidence says. */
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

  /** Whether no Region can be reached, or a drill says so; `false` where no Region was tried. Read by every query. */
  get isFarSideCut(): boolean {
    return this.#isFarSideCut;
  }

  report(evidence: Evidence): void {
    const { side, key } = evidence;
    const nowMs = this.#options.clock.monotonicMs();
    const before = this.#paths.get(idOf(side, key)) ?? { side, key, ...initialLinkState };
    const after = { side, key, ...nextLinkState(before, evidence, nowMs) };
    this.#paths.set(idOf(side, key), after);
    if (after.condition === before.condition) return;
    this.#changed(side, key, before, after);
    this.#summarize();
    if (after.condition === 'recovering') this.#options.onRestored(evidence);
  }

  /** Drops paths that are no longer configured, so that they do not colour the summary for ever. */
  retain(keep: (side: Evidence['side'], key: string) => boolean): void {
    for (const [id, { side, key }] of this.#paths) if (!keep(side, key)) this.#paths.delete(id);
    this.#summarize();
  }

  /** A rehearsal has begun, or is over: what `current` shows is another from now on. */
  rehearse(isOn: boolean): void {
    this.#rehearsedSinceMs = isOn ? this.#options.clock.monotonicMs() : undefined;
    this.#noteFarSide();
  }

  /** Whether any path is cut, in earnest or in a rehearsal. */
  get isAnyCut(): boolean {
    return this.#cutPaths > 0 || this.#rehearsedSinceMs !== undefined;
  }

  current(): LinkReport {
    // by name, because a list whose order depends on which path answered first changes with each start
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
    const regions = this.current().paths.filter(({ side }) => side === 'aws');
    this.#isFarSideCut = regions.length > 0 && regions.every(({ condition }) => condition === 'disconnected');
  }

  #summarize(): void {
    this.#noteFarSide();
    const before = this.#summary;
    this.#cutPaths = [...this.#paths.values()].filter(({ condition }) => condition === 'disconnected').length;
    this.#summary = summarizeLinks([...this.#paths.values()]);
    if (this.#summary.condition !== before.condition) this.#changed('summary', 'all', before, this.#summary);
  }

  #changed(side: LinkTransition['side'], key: string, before: LinkState, after: LinkState): void {
    const { log, onTransition } = this.#options;
    const { condition: to, reason } = after;
    const from = before.condition;
    const fields = { side, key, from, to, reason };
    // the log has one line for what happened to a path; what it makes of the whole is in the status
    if (side === 'summary') log.debug(fields, 'link as a whole changed');
    else if (to === 'disconnected') log.warn(fields, 'link changed');
    else log.info(fields, 'link changed');
    onTransition(fields);
  }
}

function idOf(side: Evidence['side'], key: string): string {
  return `${side} ${key}`;
}
