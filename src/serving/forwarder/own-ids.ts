/** How many exchanges in flight use each ID: most incoming queries are known at once not to be one of our own. */
export class OwnIds {
  readonly #inFlight = new Uint16Array(0x1_0000);

  has(id: number): boolean {
    return this.#inFlight[id] !== 0;
  }

  add(id: number): void {
    this.#inFlight[id] = (this.#inFlight[id] ?? 0) + 1;
  }

  remove(id: number): void {
    this.#inFlight[id] = Math.max((this.#inFlight[id] ?? 0) - 1, 0);
  }
}
