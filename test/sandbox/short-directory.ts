import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory for Unix sockets: `t.testdir()` is too deep for their 107 octets. */
export function shortDirectory(t: { teardown(run: () => void): unknown }): string {
  const directory = mkdtempSync(join(tmpdir(), 'sandbox-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
