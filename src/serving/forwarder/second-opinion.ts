/**
 * What two upstreams say about the name of an endpoint. One of them may be out of date, filter private addresses, or lie; the
 * name is the one that the site depends on, so a second upstream is asked where there is one, and a difference is shown.
 * Which of them is right, the sources' comparison decides; this file only compares.
 */
import type { Log } from '../../log/log.ts';
import type { ForwardOutcome } from './forward-outcome.ts';
import { type ResolvedName, resolvedName } from './resolved-name.ts';

export interface Opinion {
  readonly upstream: string;
  /** Addresses in order of their text, or the answer without any: `NXDOMAIN`, `no addresses`. */
  readonly says: string;
}

export interface Difference {
  readonly name: string;
  readonly opinions: readonly [Opinion, Opinion];
}

/** A name that is asked for no more, after a reload, is forgotten after this time; names are asked for every minute or so. */
const FORGET_MS = 2 * 3_600_000;

export class SecondOpinions {
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #differences = new Map<string, Difference & { readonly atMs: number }>();

  constructor(log: Log, nowMs: () => number) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Compares what two upstreams said; what is no word about the name differs from nothing. */
  compare(name: string, first: ForwardOutcome, second: ForwardOutcome): void {
    const opinions = [opinionOf(first), opinionOf(second)] as const;
    const [one, other] = opinions;
    if (one === undefined || other === undefined) return;
    const before = this.#differences.get(name);
    if (one.says === other.says) {
      this.#differences.delete(name);
      if (before !== undefined) this.#log.info({ name }, 'upstreams agree again about an endpoint');
      return;
    }
    this.#differences.set(name, { name, opinions: [one, other], atMs: this.#nowMs() });
    if (before !== undefined && textOf(before.opinions) === textOf([one, other])) return;
    this.#log.warn({ name, opinions: [one, other] }, 'upstreams differ about an endpoint');
  }

  get differences(): readonly Difference[] {
    const nowMs = this.#nowMs();
    const recent = [...this.#differences.values()].filter(({ atMs }) => nowMs < atMs + FORGET_MS);
    return recent.map(({ name, opinions }) => ({ name, opinions }));
  }
}

function opinionOf(outcome: ForwardOutcome): Opinion | undefined {
  if (outcome.kind === 'failed') return undefined;
  const says = textOfName(resolvedName(outcome));
  return says === undefined ? undefined : { upstream: outcome.upstream, says };
}

function textOfName(resolved: ResolvedName): string | undefined {
  switch (resolved.kind) {
    case 'addresses':
      return [...new Set(resolved.addresses)].sort().join(', ');
    case 'no-addresses':
      return resolved.rcode === 0 ? 'no addresses' : 'NXDOMAIN';
    case 'failed':
      return undefined;
  }
}

/** The same whichever of the two answers first. */
function textOf(opinions: readonly Opinion[]): string {
  return JSON.stringify(opinions.map(({ upstream, says }) => `${upstream}: ${says}`).sort());
}
