/** Gathers for one upstream what its replies and its silence say about suffixes, and confirms a name's first failure. */
import { isAboutName, RCODE } from '../../protocol/words/rcodes.ts';
import type { Answer, AttemptListener } from './attempt.ts';
import type { Deadline, DeadlineSweep } from './deadline-sweep.ts';
import type { Question } from './question.ts';
import { SuffixHealth } from './suffix-health.ts';

/** What is needed of the upstream. */
export interface WatchedUpstream {
  readonly sweep: DeadlineSweep;
  readonly isUp: boolean;
  nowMs(): number;
  ask(question: Question, doublings: number, listener: AttemptListener): void;
}

/** A name's first failure is confirmed after this time: its servers, or a cache of failures, have moved on by then. */
const CONFIRM_AFTER_MS = 1_000;
/** Four times as long as usual: a name that is looked up in full takes longer than one at hand. */
const CONFIRM_DOUBLINGS = 2;

export class SuffixWatch {
  readonly health = new SuffixHealth();
  readonly #upstream: WatchedUpstream;
  readonly #isLinkCut: () => boolean;
  /** The failure that is confirmed next. */
  #confirmation: Deadline | undefined;
  #isClosed = false;

  /** `isLinkCut`: a failure is then expected, and a denial proves nothing. */
  constructor(upstream: WatchedUpstream, isLinkCut: () => boolean) {
    this.#upstream = upstream;
    this.#isLinkCut = isLinkCut;
  }

  noteAnswer(question: Question, { index }: Answer): void {
    if (index.rcode === RCODE.SERVFAIL || index.rcode === RCODE.REFUSED) this.noteFailure(question);
    if (!isAboutName(index.rcode)) return;
    const isDenial = index.rcode !== RCODE.NOERROR || index.answerCount === 0;
    // a resolver that is cut off itself may deny what it cannot ask for
    if (!isDenial || !this.#isLinkCut()) this.health.noteAnswer(question.name);
  }

  noteFailure(question: Question): void {
    const upstream = this.#upstream;
    // of one that is down all names fail, and nothing follows for one of them
    if (!upstream.isUp) return;
    const isFirst = this.health.noteFailure(question.name, upstream.nowMs(), this.#isLinkCut());
    if (isFirst) this.#confirmSoon(question);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#confirmation !== undefined) this.#upstream.sweep.delete(this.#confirmation);
    this.#confirmation = undefined;
  }

  /** Asks once more. One name at a time, so that a flood of names that fail is not doubled. */
  #confirmSoon(question: Question): void {
    if (this.#confirmation !== undefined || this.#isClosed) return;
    const upstream = this.#upstream;
    this.#confirmation = {
      dueAtMs: upstream.nowMs() + CONFIRM_AFTER_MS,
      onDue: () => {
        this.#confirmation = undefined;
        upstream.ask({ ...question, probes: 'trial' }, CONFIRM_DOUBLINGS, {
          onAnswer: (answer) => this.noteAnswer(question, answer),
          onOverdue: () => this.noteFailure(question),
          onFailure: () => undefined,
        });
      },
    };
    upstream.sweep.add(this.#confirmation);
  }
}
