/** What the refresh of retained names tells the log: each thing once, however many names there are. */
import type { Log } from '../../log/log.ts';
import { typeName } from '../../protocol/words/types.ts';
import type { Known } from './retained-answer.ts';
import type { RetainedQuestion } from './retained-question.ts';
import type { RetainedMember } from './retained-snapshot.ts';

/** Failures in a row after which a question counts as failing: one may be an accident. */
const FAILING = 3;

export class RetainedLog {
  readonly #log: Log;
  #isFailing = false;

  constructor(log: Log) {
    this.#log = log;
  }

  kicked(reason: string, questions: number): void {
    if (questions > 0) this.#log.debug({ reason, questions }, 'refreshing retained names');
  }

  learned({ name, qtype }: RetainedQuestion, known: Known, before: Known | undefined): void {
    const fields = { name, type: typeName(qtype), answer: known.kind };
    if (known.earlier !== undefined && before?.earlier === undefined) {
      const isDoubted = known.doubtedSince !== undefined;
      this.#log.warn(
        fields,
        isDoubted
          ? 'upstream denies a retained name: not believed, its last good answer is given'
          : 'upstream denies a retained name',
      );
    } else if (
      before?.doubtedSince !== undefined &&
      known.doubtedSince === undefined &&
      known.kind === 'nodata'
    ) {
      this.#log.warn(
        fields,
        'empty answer to a retained name believed: upstreams have repeated it all the time',
      );
    } else if (known.changed === known.confirmed) {
      this.#log.debug(fields, 'retained answer learned');
    }
  }

  failed({ name, qtype }: RetainedQuestion, detail: string): void {
    this.#log.debug({ name, type: typeName(qtype), detail }, 'retained name cannot be refreshed');
  }

  /** To be called after each look: one line when questions begin to fail, and one when none does any more. */
  judge(members: Iterable<RetainedMember>): void {
    let failing: RetainedMember | undefined;
    for (const member of members) {
      if (member.failuresInARow < FAILING) continue;
      failing = member;
      break;
    }
    if ((failing !== undefined) === this.#isFailing) return;
    this.#isFailing = failing !== undefined;
    if (failing === undefined) {
      this.#log.info({}, 'all retained names can be refreshed again');
    } else {
      const fields = { name: failing.question.name, detail: failing.lastFailure?.detail };
      this.#log.warn(fields, 'a retained name cannot be refreshed: its last answer is given');
    }
  }
}
