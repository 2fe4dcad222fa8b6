/**
 * Remembers questions that no upstream could answer although the link was up: in a cut they fail too, unless an answer came later.
 * Bounded; the question that failed longest ago goes first. It is called after an exchange with upstreams, never for an answer
 * from memory, and never in a cut.
 */
import type { Query } from '../../protocol/wire/query.ts';

export interface FailedName {
  /** A domain name as text. */
  readonly name: string;
  readonly qtype: number;
}

const MOST_NAMES = 1_000;

export class FailedNames {
  readonly #failed = new Map<string, FailedName & { readonly atMs: number }>();

  note(query: Query, nowMs: number): void {
    const name = query.nameText();
    const key = `${name} ${query.qtype}`;
    this.#failed.delete(key);
    this.#failed.set(key, { name, qtype: query.qtype, atMs: nowMs });
    if (this.#failed.size <= MOST_NAMES) return;
    const [oldest] = this.#failed.keys();
    if (oldest !== undefined) this.#failed.delete(oldest);
  }

  /** Those that failed since then, the latest first. */
  since(sinceMs: number): readonly FailedName[] {
    return [...this.#failed.values()].filter(({ atMs }) => atMs >= sinceMs).reverse();
  }
}
