import { join } from 'node:path';

export type LockOutcome =
  /** Ours until disposed, or until the process ends in whatever way. */
  | { readonly kind: 'locked'; readonly lock: Disposable }
  /** Another process keeps its state here: two would take turns in replacing each other's file. */
  | { readonly kind: 'taken'; readonly path: string; readonly detail: string }
  /** The disk or the runtime cannot lock: no reason to refuse service. */
  | { readonly kind: 'unavailable'; readonly path: string; readonly detail: string };

const SQLITE_BUSY = 5;
/** Keeps the databases from the garbage collector, which would close them and give up the lock. */
const held = new Set<object>();

/**
 * Claims the state directory for this process. The claim is a POSIX record lock on `writer.lock`, which the kernel drops
 * with the process: no `kill -9` and no power cut leaves a stale one, no reused pid can be taken for a holder, and
 * containers that share the directory see each other. Node offers no such lock of its own, but the SQLite inside it
 * takes one: a transaction that never writes, on a file that stays empty. Never rejects.
 */
export async function lockStateDirectory(directory: string): Promise<LockOutcome> {
  const path = join(directory, 'writer.lock');
  try {
    const { DatabaseSync } = await import('node:sqlite'); // only now: not every runtime has it
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('PRAGMA journal_mode = MEMORY'); // on disk the journal would be a second file
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      throw error;
    }
    held.add(database);
    return { kind: 'locked', lock: { [Symbol.dispose]: () => release(database) } };
  } catch (error) {
    return refusal(path, error);
  }
}

function release(database: { close(): void }): void {
  if (held.delete(database)) database.close();
}

function refusal(path: string, error: unknown): LockOutcome {
  if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) {
    return { kind: 'taken', path, detail: `lock "${path}": held by another process; fuser names it` };
  }
  return {
    kind: 'unavailable',
    path,
    detail: `lock "${path}": ${error instanceof Error ? error.message : String(error)}`,
  };
}
