/** Lets everything else have its turn in the middle of long work, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

/**
 * Three turns: the first may be in a turn that has asked already what waits; what the second finds waiting is looked after
 * at the end of that turn, behind what ends in it (libc.ts).
 */
export const systemPause: Pause = async () => {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
};

/** Begins all of them, each in a turn of its own where there is a `pause`, and waits for all. None may reject. */
export async function inTurns<T>(
  items: readonly T[],
  begin: (item: T) => Promise<void>,
  pause?: Pause,
): Promise<void> {
  const begun: Promise<void>[] = [];
  for (const item of items) {
    if (begun.length > 0) await pause?.();
    begun.push(begin(item));
  }
  await Promise.all(begun);
}
