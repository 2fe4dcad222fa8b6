/** Questions that an upstream has answered, to be asked when it is in doubt. */
import type { Question } from './question.ts';

/** Domains that are remembered of each kind. */
const DOMAINS = 3;

/**
 * Questions that an upstream has answered, the last one of a few domains. An upstream that is cut off itself still
 * answers what it has authority for (AA), so these names make room only for their own kind.
 */
export class KnownQuestions {
  readonly #authoritative: Question[] = [];
  readonly #others: Question[] = [];

  get questions(): readonly Question[] {
    return [...this.#authoritative, ...this.#others];
  }

  noteAnswer(question: Question, isAuthoritative: boolean): void {
    const known = isAuthoritative ? this.#authoritative : this.#others;
    if (known[0]?.domain === question.domain) {
      known[0] = question;
      return;
    }
    const at = known.findIndex(({ domain }) => domain === question.domain);
    if (at > 0) known.splice(at, 1);
    if (known.unshift(question) > DOMAINS) known.pop();
  }
}
