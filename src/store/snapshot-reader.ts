/**
 * Reads a snapshot of answers block by block, never more than one of them in memory: blocks are handed on up to the first one
 * without a valid proof. Says as well how old the answers are in the process that loads them.
 */
import { readInto, withOpened } from './atomic-file.ts';
import type { FileSystem, OpenFile } from './file-system.ts';
import { attempt, StoreError } from './file-system.ts';
import type { Fault } from './set-aside.ts';
import {
  FRAME_OCTETS,
  HEADER_OCTETS,
  MAX_BLOCK_OCTETS,
  parseBlock,
  parseHeader,
  payloadLength,
  proveBlock,
  type SnapshotAnswer,
  type SnapshotEntry,
  type SnapshotHeader,
} from './snapshot-format.ts';
/**
 * Gets the entries of one block, which share a buffer that the next block overwrites. Resolves to whether the next block is
 * wanted.
 */
export type TakeEntries = (entries: readonly SnapshotEntry[], header: SnapshotHeader) => Promise<boolean>;

/** Resolves to the fault of the file; `undefined` for a sound file and for none. Rejects only if `take` does. */
export async function readSnapshot(
  files: FileSystem,
  path: string,
  take: TakeEntries,
): Promise<Fault | undefined> {
  try {
    return await withOpened(files, path, (file) => readOpened(file, path, take));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === 'ENOENT') return undefined;
    return { path, kind: 'unreadable', reason: error.code.toLowerCase(), detail: error.message };
  }
}

async function readOpened(file: OpenFile, path: string, take: TakeEntries): Promise<Fault | undefined> {
  const stat = await attempt('stat', path, () => file.stat());
  if (!stat.isFile()) {
    const detail = 'a directory or device stands in its place';
    return { path, kind: 'foreign', reason: 'not-a-file', detail };
  }
  const first = new Uint8Array(HEADER_OCTETS);
  const header = parseHeader(first.subarray(0, await readInto(file, path, first)));
  switch (header.kind) {
    case 'header':
      return readBlocks(file, path, header, take);
    case 'newer': {
      const detail = `written by a later version: format ${header.version}`;
      return { path, kind: 'newer', reason: `version-${header.version}`, detail };
    }
    default:
      return { path, ...header, detail: 'the file does not begin as a snapshot does' };
  }
}

async function readBlocks(
  file: OpenFile,
  path: string,
  header: SnapshotHeader,
  take: TakeEntries,
): Promise<Fault | undefined> {
  const corrupt = (reason: string, detail: string): Fault => ({ path, kind: 'corrupt', reason, detail });
  const frame = new Uint8Array(FRAME_OCTETS);
  const buffer = new Uint8Array(MAX_BLOCK_OCTETS);
  let proof = header.proof;
  for (let number = 1; ; number++) {
    const where = `block ${number}`;
    if ((await readInto(file, path, frame)) < FRAME_OCTETS) return corrupt('torn', `${where} is missing`);
    const length = payloadLength(frame);
    if (length > MAX_BLOCK_OCTETS) return corrupt('bad-length', `${where} states ${length} octets`);
    const payload = buffer.subarray(0, length);
    if ((await readInto(file, path, payload)) < length) return corrupt('torn', `${where} is cut off`);
    const proven = proveBlock(proof, frame, payload);
    if (proven === undefined) return corrupt('checksum-mismatch', `${where} is not what was written`);
    if (length === 0) return endOf(file, path);
    const entries = parseBlock(payload);
    if (entries === undefined) return corrupt('bad-content', `${where} has a malformed entry`);
    proof = proven;
    if (!(await take(entries, header))) return undefined;
  }
}

async function endOf(file: OpenFile, path: string): Promise<Fault | undefined> {
  const more = await readInto(file, path, new Uint8Array(1));
  return more === 0
    ? undefined
    : { path, kind: 'corrupt', reason: 'overlong', detail: 'the file continues after its end' };
}

/**
 * The time between two processes.
 *
 * Only the wall clock can tell it, and that may be wrong by years: a host with an empty battery wakes up in 1970, and a bad time
 * server has sent hosts to 2036. So the clock is believed only where the time that has passed is credible: from nothing to a
 * month. Otherwise no old answer is made fresh, and no young answer is dropped: every answer is loaded as stale. An answer that
 * was fresh becomes just stale; an answer that was stale stays as stale as it was. It is then given as any stale answer, and
 * checked with an upstream where one answers.
 *
 * The same holds where other servers are asked now than when the snapshot was taken: their answers are better than nothing.
 */

/** A host is off for longer more rarely than a clock is wrong by more. */
const CREDIBLE_MS = 30 * 86_400_000;

export interface Passed {
  readonly isCredible: boolean;
  /** 0 where it is not credible. */
  readonly passedMs: number;
}

/** The age of the answers is not known, or whether they still hold. */
export const UNKNOWN: Passed = { isCredible: false, passedMs: 0 };

export function passedSince(writtenAtMs: number, nowWallMs: number): Passed {
  const passedMs = nowWallMs - writtenAtMs;
  return passedMs >= 0 && passedMs <= CREDIBLE_MS ? { isCredible: true, passedMs } : UNKNOWN;
}

export function agedEntry(entry: SnapshotEntry, passed: Passed): SnapshotEntry {
  const { earlier } = entry;
  return {
    ...entry,
    ageMs: agedBy(entry, passed),
    idleMs: entry.idleMs + passed.passedMs,
    ...(earlier === undefined ? {} : { earlier: { ...earlier, ageMs: agedBy(earlier, passed) } }),
  };
}

function agedBy({ ageMs, lifetimeMs }: SnapshotAnswer, { isCredible, passedMs }: Passed): number {
  return isCredible ? ageMs + passedMs : Math.max(ageMs, lifetimeMs);
}
