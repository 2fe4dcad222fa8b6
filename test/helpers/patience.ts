/**
 * How long a test waits for what has to come: a bound on hangs, never on speed. A machine that is busy, or stands still for
 * seconds, must not fail a test. Where "soon" matters, tests use virtual time, the order of events or a count.
 */
export const PATIENCE_MS = 180_000;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Looks every `everyMs` until `look` gives something that is neither false nor undefined. */
export async function until<T>(
  what: string,
  look: () => Promise<T | false | undefined> | T | false | undefined,
  everyMs = 50,
): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() - startMs > PATIENCE_MS) throw new Error(`waited in vain until ${what}`);
    await pause(everyMs);
  }
}

/**
 * What `run` comes to in a run in which this process stood still for no longer than `gapMs`. For tests of timers that are not ours
 * (the SDK's): after a standstill they fire before what has arrived meanwhile is read, which shows nothing.
 */
export async function undisturbed<T>(
  gapMs: number,
  run: () => Promise<T>,
  mayMislead: (result: T) => boolean = () => true,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let [longestMs, lastMs] = [0, performance.now()];
    const look = () => {
      const nowMs = performance.now();
      [longestMs, lastMs] = [Math.max(longestMs, nowMs - lastMs), nowMs];
    };
    const looking = setInterval(look, 5);
    try {
      const result = await run();
      look();
      if (longestMs <= gapMs || attempt === 10 || !mayMislead(result)) return result;
    } finally {
      clearInterval(looking);
    }
  }
}

/** Processor time of this process: for work that is to be bounded, whatever else the machine does meanwhile. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
