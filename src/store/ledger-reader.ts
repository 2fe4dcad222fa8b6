/** Reads the ledger without changing it: for the command that shows it, and for the start of the writer. */
import { join } from 'node:path';
import { inSlices, type Pause, type Steps } from '../runtime/slices.ts';
import { attempt, type FileSystem, readTail, readWhole, systemFiles } from './file-system.ts';
import { type LedgerEntry, MAX_LINE_OCTETS, openLine, parseLine } from './ledger-format.ts';
import { StoreError } from './store-messages.ts';

/** Far more than the writer ever puts into a file; a larger file is not from the writer. */
const MAX_FILE_OCTETS = 16 * 1024 * 1024;

/** `age` 0 is the file that is appended to, 1 the one before it, and so on. */
export function ledgerPath(directory: string, age: number): string {
  return join(directory, age === 0 ? 'ledger.jsonl' : `ledger.${age}.jsonl`);
}

export interface LedgerFilter {
  /** Only events of these kinds. */
  readonly kinds?: readonly string[];
  /** Only events since this wall time, ms. */
  readonly sinceMs?: number;
  /** The number of newest events to return. */
  readonly limit?: number;
}

export interface ReadEntry extends LedgerEntry {
  /** A start without a stop before it: the process was killed, or the power failed. */
  readonly isAfterCrash: boolean;
}

export interface LedgerReading {
  /** In order, the newest last. */
  readonly entries: readonly ReadEntry[];
  /** Entries that `kinds` and `sinceMs` let through, those beyond `limit` included. */
  readonly matched: number;
  /** Lines that hold no entry: a line torn by a kill or a power cut, or damage. */
  readonly malformed: number;
  /** The number of files found. */
  readonly files: number;
  /** Files, or the directory, that could not be read. */
  readonly faults: readonly LedgerFault[];
}

interface LedgerFault {
  readonly path: string;
  readonly code: string;
  readonly detail: string;
}

/** Reads all files of the ledger. Faults are part of the reading; never rejects. */
export async function readLedger(
  directory: string,
  filter: LedgerFilter = {},
  files: FileSystem = systemFiles,
): Promise<LedgerReading> {
  const faults: LedgerFault[] = [];
  const lines = new Set<string>(); // a rotation during the read shows one file under two names
  const older: string[][] = [];
  const ages = await agesIn(files, directory).catch((error: unknown): number[] => {
    faults.push(faultOf(directory, error));
    return [];
  });
  // newest first: a file that a rotation moves meanwhile is then read twice instead of not at all
  for (const age of ages) {
    const path = ledgerPath(directory, age);
    const outcome = await readWhole(files, path, MAX_FILE_OCTETS);
    if (outcome.kind === 'read') {
      const fresh = linesOf(outcome.octets).filter((line) => !lines.has(line));
      for (const line of fresh) lines.add(line);
      older.push(fresh);
    } else if (outcome.kind !== 'absent') {
      faults.push(outcome.kind === 'failed' ? faultOf(path, outcome.error) : notOurs(path, outcome.kind));
    }
  }
  return { ...select(older.reverse().flat(), filter), files: ages.length, faults };
}

const NAME = /^ledger(?:\.(?<age>[1-9]\d?))?\.jsonl$/;

async function agesIn(files: FileSystem, directory: string): Promise<number[]> {
  const names = await attempt('list', directory, () => files.readdir(directory));
  return names
    .flatMap((name) => {
      const match = NAME.exec(name);
      return match === null ? [] : [Number(match.groups?.['age'] ?? 0)];
    })
    .sort((a, b) => a - b);
}

function faultOf(path: string, error: unknown): LedgerFault {
  if (!(error instanceof StoreError)) throw error;
  return { path, code: error.code, detail: error.message };
}

function notOurs(path: string, kind: 'too-large' | 'not-a-file'): LedgerFault {
  const error =
    kind === 'too-large'
      ? new StoreError('read', path, 'EFBIG', `more than ${MAX_FILE_OCTETS} octets`)
      : new StoreError('read', path, 'EINVAL', 'a directory or device stands in its place');
  return faultOf(path, error);
}

function linesOf(octets: Uint8Array): string[] {
  return new TextDecoder()
    .decode(octets)
    .split('\n')
    .filter((line) => line !== '');
}

function select(lines: readonly string[], { kinds, sinceMs, limit }: LedgerFilter) {
  const matching: ReadEntry[] = [];
  let malformed = 0;
  for (const entry of entriesOf(lines)) {
    if (entry === undefined) {
      malformed++;
      continue;
    }
    if (kinds !== undefined && !kinds.includes(entry.kind)) continue;
    if (sinceMs !== undefined && Date.parse(entry.at) < sinceMs) continue;
    matching.push(entry);
  }
  const entries = limit === undefined ? matching : matching.slice(Math.max(0, matching.length - limit));
  return { entries, matched: matching.length, malformed };
}

/** The entry of each line; undefined for a malformed line. */
function* entriesOf(lines: readonly string[]): Generator<ReadEntry | undefined> {
  let before: LedgerEntry | undefined;
  for (const line of lines) {
    const entry = parseLine(line);
    yield entry && { ...entry, isAfterCrash: isAfterCrash(entry, before) };
    before = entry ?? before;
  }
}

/** A start without a stop before it; a stop may be among lost events. */
function isAfterCrash(entry: LedgerEntry, before: LedgerEntry | undefined): boolean {
  return entry.kind === 'start' && entry.lost === 0 && before !== undefined && before.kind !== 'stop';
}

/** Octets of the newest file that a timeline shows: some hundred events, read and parsed without a noticeable stop. */
const RECENT_OCTETS = 64 * 1024;

/** The newest entries, the newest first. Files that cannot be read have none; never rejects. A line a step. */
export async function readRecent(
  directory: string,
  most: number,
  pause: Pause,
  files: FileSystem = systemFiles,
): Promise<readonly ReadEntry[]> {
  const lines: string[] = [];
  const ages = await agesIn(files, directory).catch((): number[] => []);
  // after a rotation the newest file is nearly empty
  for (const age of ages.slice(0, 2)) {
    const tail = await readTail(files, ledgerPath(directory, age), RECENT_OCTETS).catch(() => undefined);
    if (tail?.kind === 'read') lines.unshift(...linesOf(tail.octets));
  }
  return inSlices(selecting(lines.slice(-most - 1)), pause);
}

function* selecting(lines: readonly string[]): Steps<readonly ReadEntry[]> {
  const entries: ReadEntry[] = [];
  for (const entry of entriesOf(lines)) {
    if (entry !== undefined) entries.push(entry);
    yield;
  }
  return entries.reverse();
}

/** The place where the writer continues. */
export interface LedgerEnd {
  /** The number of the last whole entry; 0 without a whole entry. */
  readonly sequence: number;
  /** The file that is appended to does not end with a whole line. */
  readonly isTorn: boolean;
}

/**
 * Finds the end of the ledger in its files. Where the tail of a file holds no entry, the older file is read next. A search
 * through a whole damaged file would stop the event loop. Throws StoreError.
 */
export async function findLedgerEnd(files: FileSystem, directory: string): Promise<LedgerEnd> {
  let isTorn = false;
  for (const age of await agesIn(files, directory)) {
    const outcome = await readTail(files, ledgerPath(directory, age), TAIL_OCTETS);
    const tail = outcome.kind === 'read' ? outcome.octets : undefined;
    // a file that cannot be read counts as torn: an additional line feed does no harm
    if (age === 0) isTorn = tail === undefined || (tail.length > 0 && tail.at(-1) !== LINE_FEED);
    const sequence = tail && lastSequence(tail);
    if (sequence !== undefined) return { sequence, isTorn };
  }
  return { sequence: 0, isTorn };
}

const LINE_FEED = 0x0a;
/** Room for a few of the longest lines, so that one torn or foreign line at the end hides none. */
const TAIL_OCTETS = 4 * MAX_LINE_OCTETS;
/** Usual damage is a line or two at the end; a file with more was not written by this program. */
const TAIL_LINES = 100;

function lastSequence(tail: Uint8Array): number | undefined {
  const lines = linesOf(tail).slice(-TAIL_LINES);
  for (const line of lines.reverse()) {
    const sequence = openLine(line)?.sequence;
    if (sequence !== undefined) return sequence;
  }
  return undefined;
}
