/**
 * Runs the rows of `check` side by side, each with a bound on its time. A row that takes over a second says so on a terminal, line by
 * line; in a pipe nothing is said.
 */
import type { Finding } from './finding.ts';

export interface Row {
  /** The thing that the row looks at, for the line of progress: `the upstreams`. */
  readonly name: string;
  readonly find: () => Promise<readonly Finding[]> | readonly Finding[];
}

/** Writes one line; undefined: nobody reads it. */
export type Say = ((line: string) => void) | undefined;

const SILENT_MS = 1_000;

/** The findings of all rows, in the order of the rows. */
export async function runRows(rows: readonly Row[], say: Say): Promise<readonly Finding[]> {
  const found = await Promise.all(rows.map((row) => runRow(row, say)));
  return found.flat();
}

async function runRow({ name, find }: Row, say: Say): Promise<readonly Finding[]> {
  const startedMs = performance.now();
  let isSaid = false;
  const timer = setTimeout(() => {
    isSaid = true;
    say?.(`looking at ${name} ...`);
  }, SILENT_MS);
  try {
    return await find();
  } finally {
    clearTimeout(timer);
    if (isSaid) say?.(`looked at ${name} in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  }
}
