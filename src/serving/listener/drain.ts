/** The end of a listener: it takes no more queries, and leaves once those that wait are answered or their grace is over. */
import type { Timers } from '../../runtime/timers.ts';

export class Drain {
  readonly #timers: Timers;
  #waiting = 0;
  #isClosing = false;
  #isOver = false;
  #grace: Disposable | undefined;
  readonly #over = Promise.withResolvers<void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** No more queries are taken. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Nothing may be sent any more: the socket is being closed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** A query waits for its answer. */
  began(): void {
    this.#waiting += 1;
  }

  /** It has it, and the answer was sent. */
  ended(): void {
    this.#waiting -= 1;
    if (this.#waiting === 0 && this.#isClosing) this.#end();
  }

  /** Resolves when no query waits any more, or `graceMs` later; called again with 0: at once. */
  close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    if (graceMs === 0 || this.#waiting === 0) this.#end();
    else if (!this.#isOver) this.#grace ??= this.#timers.after(graceMs, () => this.#end());
    return this.#over.promise;
  }

  #end(): void {
    this.#isOver = true;
    this.#grace?.[Symbol.dispose]();
    this.#over.resolve();
  }
}
