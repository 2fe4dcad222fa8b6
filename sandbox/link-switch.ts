/** `down`: a black hole, everything sent is lost; `refused`: connections are reset at once. */
export type LinkState = 'up' | 'down' | 'refused';

/** The link between the site and the Region, with one hand on it. */
export class LinkSwitch {
  #state: LinkState = 'up';
  readonly #listeners = new Set<(state: LinkState) => void>();

  get state(): LinkState {
    return this.#state;
  }

  set(state: LinkState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  onChange(listener: (state: LinkState) => void): void {
    this.#listeners.add(listener);
  }
}
