/** Lets everything else have its turn in the middle of long work, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

/** Two turns: what the loop finds waiting in the first one is looked after in it at the latest (libc.ts). */
export const systemPause: Pause = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
