/** Lets everything else have its turn in the middle of long work, as one argument. Resolves once waiting I/O has been served. */
export type Pause = () => Promise<void>;

export const systemPause: Pause = () => new Promise((resolve) => setImmediate(resolve));
