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

/** Reads a snapshot block by block, never more than one of them in memory: what proves itself is handed on, the first that does not ends it. */

/**
 * Gets the entries of one block, which share a buffer that the next block is read into. Resolves to whether there is use
 * for more.
 */
export type TakeEntries = (entries: readonly SnapshotEntry[], header: SnapshotHeader) => Promise<boolean>;

/** Resolves to what is wrong with the file, if anything is; `undefined` also where there is none. Never rejects, unless `take` does. */
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
    if (entries === undefined) return corrupt('bad-content', `${where} has an entry that is none`);
    proof = proven;
    if (!(await take(entries, header))) return undefined;
  }
}

async function endOf(file: OpenFile, path: string): Promise<Fault | undefined> {
  const more = await readInto(file, path, new Uint8Array(1));
  return more === 0
    ? undefined
    : { path, kind: 'corrupt', reason: 'overlong', detail: 'the file goes on behind its end' };
}

/**
 * How old the answers of a snapshot are in the process that loads it. Pure.
 *
 * Between two processes only the wall clock can say how much time has passed, and it may be wrong by years: a host whose
 * battery is empty wakes up in 1970, and a bad time server has sent hosts to 2036. So the clock is believed only where
 * what it says is credible: that not less than nothing and not more than a month has passed. Otherwise nothing is made
 * fresh that may be old, and nothing is dropped that may be young: every answer is loaded as stale, one that was fresh
 * just so, one that was stale already by as much as it was. It is given then as any stale answer, for the whole stale
 * time from now on or for the rest of its own, and checked with an upstream wherever one answers.
 *
 * The same holds where somebody else is asked now than was asked then: what the others said is better than nothing, and
 * no more than that.
 */

/** A host that was off for longer is rarer than a clock that is wrong by more. */
const CREDIBLE_MS = 30 * 86_400_000;

export interface Passed {
  readonly isCredible: boolean;
  /** 0 where it is not credible. */
  readonly passedMs: number;
}

/** Nobody knows how old the answers are, or whether they still hold. */
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
