/**
 * Moves unusable state files out of the way, under a name that tells the reason. A person may want to read these files, and a later
 * version may be able to use them: so none is deleted, except old ones of bulk state. Its callers know which file is unusable.
 */
import { basename, dirname, join } from 'node:path';
import { attempt, type FileSystem, readWhole, syncDirectory } from './file-system.ts';

/** A file in the place of state that cannot be used. */
export interface Fault {
  readonly path: string;
  /** `newer`: written by a later version of ours; `unreadable`: the disk or the permissions refused. */
  readonly kind: 'corrupt' | 'foreign' | 'newer' | 'unreadable';
  /** A short slug: `checksum-mismatch`, `version-2`, `eacces`. */
  readonly reason: string;
  readonly detail: string;
}

const COMPARED = 10; // set-aside files, the newest first, that are searched for the same content
const COMPARED_OCTETS = 16 * 1024 * 1024; // larger ones are not read for that

/**
 * Renames the file to `<name>.<kind>-<UTC time>-<reason>` beside it and resolves to that path. Content that was set aside before
 * replaces its earlier copy, so that a file which comes back before every start is kept once. Throws StoreError.
 */
export async function setAside(files: FileSystem, fault: Fault, wallMs: number): Promise<string> {
  const directory = dirname(fault.path);
  const names = await attempt('list', directory, () => files.readdir(directory));
  const target = (await findSame(files, fault, names)) ?? freeName(fault, wallMs, names);
  const path = join(directory, target);
  await attempt('set aside', fault.path, () => files.rename(fault.path, path));
  await syncDirectory(files, directory);
  return path;
}

async function findSame(
  files: FileSystem,
  fault: Fault,
  names: readonly string[],
): Promise<string | undefined> {
  const content = await readWhole(files, fault.path, COMPARED_OCTETS);
  if (content.kind !== 'read') return undefined;
  const directory = dirname(fault.path);
  const prefix = `${basename(fault.path)}.${fault.kind}-`;
  const candidates = names.filter((name) => name.startsWith(prefix)).sort();
  for (const name of candidates.slice(-COMPARED).reverse()) {
    const other = await readWhole(files, join(directory, name), COMPARED_OCTETS);
    if (other.kind === 'read' && Buffer.compare(content.octets, other.octets) === 0) return name;
  }
  return undefined;
}

function freeName(fault: Fault, wallMs: number, names: readonly string[]): string {
  const time = new Date(wallMs)
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:]/g, '');
  const slug = fault.reason.replaceAll(/[^a-z0-9]+/g, '-').slice(0, 40);
  const name = `${basename(fault.path)}.${fault.kind}-${time}-${slug}`;
  const taken = new Set(names);
  if (!taken.has(name)) return name;
  let again = 2;
  while (taken.has(`${name}-${again}`)) again++;
  return `${name}-${again}`;
}

/**
 * Removes the files that were set aside of `path` as corrupt, except the newest `kept`: for bulk state alone, which is large.
 * Never throws: leftovers do no harm.
 */
export async function pruneSetAside(files: FileSystem, path: string, kept: number): Promise<void> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.corrupt-`;
  const names = await files.readdir(directory).catch((): string[] => []);
  // the time comes after the prefix, so that names sort by time
  const old = names.filter((name) => name.startsWith(prefix)).sort();
  for (const name of old.slice(0, Math.max(0, old.length - kept))) {
    await files.unlink(join(directory, name)).catch(() => undefined);
  }
}
