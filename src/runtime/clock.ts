/** The two clocks of the machine, as one argument: a test passes its own. */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back, whatever is done to the wall clock. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump in either direction. */
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};
