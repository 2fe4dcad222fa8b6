/** `outpost-dns history`: what the ledger tells, read from its files, whether or not a server runs. */
import { readDuration } from '../config/kinds/duration.ts';
import { LEDGER_KINDS } from '../store/ledger-format.ts';
import { type LedgerReading, readLedger } from '../store/ledger-reader.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import { historyLines } from './history-table.ts';
import { findStateDirectory, type StateDirectoryOptions } from './running-server.ts';
import { paintForTerminal, printable } from './terminal-text.ts';

export interface HistoryOptions extends StateDirectoryOptions {
  /** Kinds of events; without it, all. */
  readonly kind?: readonly string[];
  /** A duration such as `2d`, or a moment such as `2026-01-01` or `2026-01-01T03:00Z`. */
  readonly since?: string;
  /** How many of the newest; by default 100 in the table, and all as JSON. */
  readonly limit?: string;
  readonly json?: true;
}

const TABLE_LIMIT = 100;

export async function history(options: HistoryOptions): Promise<ExitCode> {
  const filter = readFilter(options, Date.now());
  if ('message' in filter) {
    note(filter.message);
    return EXIT.usage;
  }
  const directory = await findStateDirectory(options);
  if (directory === undefined) return EXIT.usage;
  const reading = await readLedger(directory, filter);
  for (const { detail } of reading.faults) note(`a part of the ledger cannot be read: ${detail}`);
  if (reading.files === 0) {
    note(noLedgerText(directory, reading.faults));
    return EXIT.finding;
  }
  const lines = options.json ? [jsonText(reading)] : historyLines(reading.entries, paintForTerminal);
  if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  noteWhatIsMissing(reading);
  return reading.faults.length > 0 ? EXIT.finding : EXIT.well;
}

function noteWhatIsMissing({ entries, matched, malformed }: LedgerReading): void {
  if (matched === 0) note('no such event');
  const earlier = matched - entries.length;
  if (earlier > 0) note(`${earlier} earlier ${plural(earlier, 'event')}: --limit ${matched} shows all`);
  if (malformed > 0) {
    note(
      `${malformed} ${plural(malformed, 'line')} of the ledger cannot be read: cut off by a crash, or damaged`,
    );
  }
}

function plural(count: number, word: string): string {
  return count === 1 ? word : `${word}s`;
}

function jsonText({ entries, matched, malformed, faults }: LedgerReading): string {
  return JSON.stringify({ matched, malformed, faults, events: entries.map(({ line }) => line) }, null, 2);
}

interface Filter {
  readonly kinds?: readonly string[];
  readonly sinceMs?: number;
  readonly limit?: number;
}

/** `nowMs` is wall time. */
export function readFilter(options: HistoryOptions, nowMs: number): Filter | { readonly message: string } {
  const { kind: kinds, since, limit } = options;
  const unknown = kinds?.find((kind) => !LEDGER_KINDS.includes(kind));
  if (unknown !== undefined) {
    return { message: `unknown kind of event "${unknown}": say ${LEDGER_KINDS.join(', ')}` };
  }
  const sinceMs = since === undefined ? undefined : readSince(since, nowMs);
  if (since !== undefined && sinceMs === undefined) {
    return {
      message: `not a time: "${since}": say how long ago, such as 2d or 30m, or a date such as 2026-01-01`,
    };
  }
  if (limit !== undefined && !/^[1-9]\d{0,8}$/.test(limit)) {
    return { message: `not a number of events: "${limit}": say 1 or more` };
  }
  const most = limit === undefined ? (options.json ? undefined : TABLE_LIMIT) : Number(limit);
  return {
    ...(kinds === undefined ? {} : { kinds }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    ...(most === undefined ? {} : { limit: most }),
  };
}

function readSince(text: string, nowMs: number): number | undefined {
  const ago = readDuration(text, '1ms', '36500d');
  if ('value' in ago) return nowMs - ago.value;
  // no more than ISO 8601: what else Date.parse takes is a matter of luck
  if (!/^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text))
    return undefined;
  // a date alone would be midnight in UTC, and a person means his own
  const ms = Date.parse(text.length === 10 ? `${text}T00:00` : text);
  return Number.isNaN(ms) ? undefined : ms;
}

function noLedgerText(directory: string, faults: LedgerReading['faults']): string {
  if (faults.some(({ code }) => code === 'EACCES')) {
    return "run the command as the server's user: sudo -u outpost-dns outpost-dns history";
  }
  return `there is no ledger in "${directory}": name the state directory with --state, or start the server`;
}

function note(text: string): void {
  process.stderr.write(`outpost-dns: ${printable(text)}\n`);
}
