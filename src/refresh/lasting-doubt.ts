/**
 * What the sources' latest comparison found, and whether a disagreement lasts. It is shown at once; but sources are asked
 * one behind the other, and at a start, after a cut or around a change one may be a moment behind the other: that is told
 * in the log only when it is found again after each of them has looked anew.
 */
import type { Comparison } from './reconcile/compare.ts';
import type { RefreshLog } from './refresh-log.ts';

export class LastingDoubt {
  readonly #log: RefreshLog;
  #latest: Comparison | undefined;
  /** Since when each comparison of both kinds has found something. */
  #sinceMs: number | undefined;
  #isLasting = false;

  constructor(log: RefreshLog) {
    this.#log = log;
  }

  get latest(): Comparison | undefined {
    return this.#latest;
  }

  /** Something was found that another look of all sources has to confirm. */
  get isPending(): boolean {
    return this.#sinceMs !== undefined && !this.#isLasting;
  }

  /** `asked`: the sources, with when the latest look of each began. */
  compared(comparison: Comparison, asked: readonly { readonly beganAtMs: number }[], nowMs: number): void {
    const { basis, isTwoSided, disagreement, likelyCause } = comparison;
    const isDoubtful = disagreement !== undefined || likelyCause !== undefined;
    if (basis !== 'none') this.#keep(comparison, isTwoSided || isDoubtful);
    if (!isDoubtful) {
      this.#sinceMs = undefined;
      this.#isLasting = false;
      if (isTwoSided) this.#log.agree(basis);
      return;
    }
    const sinceMs = this.#sinceMs ?? nowMs;
    this.#sinceMs = sinceMs;
    this.#isLasting ||= asked.every(({ beganAtMs }) => beganAtMs >= sinceMs);
    if (this.#isLasting) this.#log.disagree(comparison);
  }

  forget(): void {
    this.#latest = undefined;
    this.#sinceMs = undefined;
    this.#isLasting = false;
  }

  /** Where only one kind of source spoke, what was found last about a disagreement is still the best that is known. */
  #keep(comparison: Comparison, isConclusive: boolean): void {
    this.#latest = isConclusive ? comparison : { ...this.#latest, ...comparison };
  }
}
