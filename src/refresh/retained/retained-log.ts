/** What the refresh of retained names tells the log: each thing once, however many names there are. */
import type { Log } from '../../log/log.ts';
import { typeName } from '../../protocol/words/types.ts';
import type { Known } from './retained-answer.ts';
import type { RetainedMember } from './retained-snapshot.ts';

/** Failures in a row after which a question counts as failing: one may be an accident. */
const FAILING = 3;

export class RetainedLog {
  readonly #log: Log;
  /** Questions that fail. */
  #failing = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  kicked(reason: string, questions: number): void {
    if (questions > 0) this.#log.debug({ reason, questions }, 'refreshing retained names');
  }

  learned(member: RetainedMember, known: Known, before: Known | undefined): void {
    const { name, qtype } = member.question;
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
    this.#worksAgain(member);
  }

  failed(member: RetainedMember, detail: string): void {
    const { name, qtype } = member.question;
    this.#log.debug({ name, type: typeName(qtype), detail }, 'retained name cannot be refreshed');
    if (++member.failuresInARow === FAILING && this.#failing++ === 0)
      this.#log.warn({ name, detail }, 'a retained name cannot be refreshed: its last answer is given');
  }

  /** A question that is retained no longer does not fail any more. */
  withdrawn(member: RetainedMember): void {
    this.#worksAgain(member);
  }

  /** One line when the first question begins to fail, and one when none does any more. */
  #worksAgain(member: RetainedMember): void {
    const wasFailing = member.failuresInARow >= FAILING;
    member.failuresInARow = 0;
    if (wasFailing && --this.#failing === 0) this.#log.info({}, 'all retained names can be refreshed again');
  }
}
