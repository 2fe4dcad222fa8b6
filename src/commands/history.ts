/** `outpost-dns history`: shows the ledger's events. The command reads the files of the ledger, with or without a running server. */
import { type Command, InvalidArgumentError } from 'commander';
import { readDuration } from '../config/kinds/quantity.ts';
import { ageText, plural } from '../report/report.ts';
import { LEDGER_KINDS } from '../store/ledger-format.ts';
import { type LedgerReading, type ReadEntry, readLedger } from '../store/ledger-reader.ts';
import { sentenceOfEntry } from '../store/ledger-sentence.ts';
import { findPlace, type ServerOptions } from './running-server.ts';
import {
  columns,
  EXIT,
  type ExitCode,
  OPTION,
  type Paint,
  paintForTerminal,
  print,
  printable,
  printFailure,
  type Run,
  stateOption,
  tonedText,
} from './subcommand.ts';

interface HistoryOptions extends ServerOptions {
  readonly kind?: readonly string[];
  readonly since?: number;
  readonly limit?: number;
  readonly json?: true;
}

export function define(command: Command, { ended }: Run): void {
  command
    .option(...OPTION.config)
    .addOption(stateOption(command))
    .addOption(command.createOption('-k, --kind <kind...>', 'only these kinds').choices(LEDGER_KINDS))
    .option('--since <time>', 'how long ago, such as 2d, or a date such as 2026-01-01', (text) =>
      readSince(text, Date.now()),
    )
    .option(
      '-n, --limit <count>',
      `how many of the newest (default: ${TABLE_LIMIT}, or all as JSON)`,
      readLimit,
    )
    .option(...OPTION.json)
    .action(async (options: HistoryOptions) => ended(await history(options)));
}

const TABLE_LIMIT = 100;

async function history({ config, state, kind, since, limit, json }: HistoryOptions): Promise<ExitCode> {
  const directory = await findPlace('stateDirectory', state, config);
  if (typeof directory === 'number') return directory;
  const reading = await readLedger(directory, {
    kinds: kind,
    sinceMs: since,
    limit: limit ?? (json ? undefined : TABLE_LIMIT),
  });
  for (const { detail } of reading.faults) printFailure(`a part of the ledger cannot be read: ${detail}`);
  if (reading.files === 0) {
    printFailure(noLedgerText(directory, reading.faults));
    return EXIT.finding;
  }
  const lines = json ? [jsonText(reading)] : historyLines(reading.entries, paintForTerminal);
  if (lines.length > 0) print(lines);
  explainMissing(reading);
  return reading.faults.length > 0 ? EXIT.finding : EXIT.well;
}

function explainMissing({ entries, matched, malformed }: LedgerReading): void {
  if (matched === 0) printFailure('no such event');
  const earlier = matched - entries.length;
  if (earlier > 0) printFailure(`${plural(earlier, 'earlier event')}: --limit ${matched} shows all`);
  if (malformed > 0) {
    printFailure(`${plural(malformed, 'line')} of the ledger cannot be read: cut off by a crash, or damaged`);
  }
}

function jsonText({ entries, matched, malformed, faults }: LedgerReading): string {
  return JSON.stringify({ matched, malformed, faults, events: entries.map(({ line }) => line) }, null, 2);
}

/** From a duration such as `2d`, or a moment such as `2026-01-01` or `2026-01-01T03:00Z`, to wall ms. */
export function readSince(text: string, nowMs: number): number {
  const ago = readDuration(text, '1ms', '36500d');
  if ('value' in ago) return nowMs - ago.value;
  // only ISO 8601: Date.parse also accepts other forms, and these forms differ between engines
  if (/^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?)?$/.test(text)) {
    // a date alone would be midnight in UTC; a person means local midnight
    const ms = Date.parse(text.length === 10 ? `${text}T00:00` : text);
    if (!Number.isNaN(ms)) return ms;
  }
  throw new InvalidArgumentError(
    'Not a time: write how long ago, such as 2d or 30m, or a date such as 2026-01-01.',
  );
}

function readLimit(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new InvalidArgumentError('Not a number of events: write 1 or more.');
  return Number(text);
}

function noLedgerText(directory: string, faults: LedgerReading['faults']): string {
  if (faults.some(({ code }) => code === 'EACCES')) {
    return "run the command as the server's user: sudo -u outpost-dns outpost-dns history";
  }
  return `there is no ledger in "${directory}": name the state directory with --state, or start the server`;
}

/** A smaller step back comes from the order in which events were recorded, not from a clock that was set. */
const CLOCK_STEP_MS = 1_000;

/** A line for each entry, the newest last, under a head; nothing where there is no entry. */
export function historyLines(entries: readonly ReadEntry[], paint: Paint): string[] {
  if (entries.length === 0) return [];
  const head = ['local time', 'kind', 'event'].map((word) => paint('dim', word));
  let atOnce: ReadEntry | undefined;
  const rows = entries.flatMap((entry) => {
    const texts = remarks(entry, atOnce);
    if (!WRITTEN_LATER.has(entry.kind)) atOnce = entry;
    return [...texts.map((text) => ['', '', paint('yellow', text)]), entryRow(entry, paint)];
  });
  return columns([head, ...rows]);
}

/** Their lines are written when a change has lasted, with the time of the change: they say nothing of the clock. */
const WRITTEN_LATER: ReadonlySet<string> = new Set(['link', 'withheld']);

/** Remarks about an entry and the time since `before`, the last entry that was written at once. */
function remarks(entry: ReadEntry, before: ReadEntry | undefined): string[] {
  const isTimed = before !== undefined && !WRITTEN_LATER.has(entry.kind);
  const backMs = isTimed ? Date.parse(before.at) - Date.parse(entry.at) : 0;
  return [
    ...(backMs > CLOCK_STEP_MS ? [`the wall clock was set back by ${ageText(backMs / 1000)}, or more`] : []),
    ...(entry.lost > 0 ? [`${plural(entry.lost, 'event was', 'events were')} lost here`] : []),
    ...(entry.isAfterCrash
      ? ['the run before this one ended without a stop: killed, or the power failed']
      : []),
  ];
}

function entryRow(entry: ReadEntry, paint: Paint): string[] {
  const { at, kind } = entry;
  const { text, tone = 'plain' } = sentenceOfEntry(entry);
  return [localTime(Date.parse(at)), printable(kind), tonedText(text, tone, paint)];
}

/** `2026-01-01 03:00:00`, in this machine's time zone. */
export function localTime(ms: number): string {
  const date = new Date(ms);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
