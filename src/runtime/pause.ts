/** Lets everything else have its turn in the middle of long work, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

/**
 * Three turns: the first may be in a turn that has asked already what waits; what the second finds waiting is looked after
 * at the end of that turn, behind what ends in it (libc.ts).
 */
export const systemPause: Pause = async () => {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
};
