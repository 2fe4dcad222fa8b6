/** Keeps the link's states up to date from evidence, logs each transition once, and tells who asked to be told. */
import type { Log } from '../log/log.ts';
import type { Clock } from '../runtime/clock.ts';
import {
  type Evidence,
  initialLinkState,
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
}

export interface LinkReport {
  readonly summary: LinkState;
  readonly paths: readonly LinkPath[];
}

export class LinkMonitor {
  readonly #options: LinkMonitorOptions;
  readonly #paths = new Map<string, { side: Evidence['side']; key: string; state: LinkState }>();

  constructor(options: LinkMonitorOptions) {
    this.#options = options;
  }

  report(evidence: Evidence): void {
    const id = `${evidence.side} ${evidence.key}`;
    const path = this.#paths.get(id) ?? { side: evidence.side, key: evidence.key, state: initialLinkState };
    const before = path.state;
    path.state = nextLinkState(before, evidence, this.#options.clock.monotonicMs());
    this.#paths.set(id, path);
    if (path.state.condition === before.condition) return;
    const { condition, reason } = path.state;
    const fields = { side: evidence.side, key: evidence.key, from: before.condition, to: condition, reason };
    if (condition === 'disconnected') this.#options.log.warn(fields, 'link changed');
    else this.#options.log.info(fields, 'link changed');
    if (condition === 'recovering') this.#options.onRestored(evidence);
  }

  /** Drops paths that are no longer configured, so that they do not colour the summary for ever. */
  retain(keep: (side: Evidence['side'], key: string) => boolean): void {
    for (const [id, { side, key }] of this.#paths) if (!keep(side, key)) this.#paths.delete(id);
  }

  current(): LinkReport {
    const paths = [...this.#paths.values()].map(({ side, key, state }) => ({ side, key, ...state }));
    return { summary: summarizeLinks(paths), paths };
  }
}
