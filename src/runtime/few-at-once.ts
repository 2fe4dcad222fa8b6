/** Runs few operations at a time: each holds a thread of libuv's pool until the system has an answer, and lookups need threads too. */
export class FewAtOnce {
  readonly #most: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#running < this.#most) this.#running++;
    // gets the place of an operation that has ended
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return await operation();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
