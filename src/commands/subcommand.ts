/**
 * The contract of a subcommand, and how its output looks. A subcommand is a file in this folder that exports `define`, and a line
 * in the list of program.ts. Every start loads this file, so it imports nothing that takes time.
 */

import { stripVTControlCharacters, styleText } from 'node:util';
import type { Command } from 'commander';
import type { Tone } from '../report/report.ts';
import type { Signals } from '../runtime/signals.ts';

/** The exit codes of every command: 0 well, 1 a finding or a failed action, 2 wrong usage or configuration. */
export const EXIT = { well: 0, finding: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Adds arguments, options and the action to the command, whose name and description are in the list of program.ts. */
export type Define = (command: Command, run: Run) => void;

export interface Run {
  /** Each action ends with its exit code. */
  readonly ended: (code: ExitCode) => void;
  /** For `serve`: caught from the first moment on. */
  readonly signals: Signals | undefined;
}

export const DEFAULT_CONFIG_FILE = '/etc/outpost-dns/outpost-dns.yaml';

/** Options that several commands have; as arguments of commander's `option`. */
export const OPTION = {
  config: ['-c, --config <file>', `configuration file (default: ${DEFAULT_CONFIG_FILE})`],
  json: ['--json', 'print JSON instead of a table'],
} as const;

/** `--state`, which makes a configuration needless. */
export function stateOption(command: Command) {
  return command
    .createOption('--state <directory>', 'state directory of the server, without any configuration')
    .conflicts('config');
}

type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green';
export type Paint = (style: Style, text: string) => string;

/** Colours only on a terminal, and not where NO_COLOR is set. */
export const paintForTerminal: Paint = (style, text) => styleText(style, text, { stream: process.stdout });

/** For files, tests and pipes. */
export const paintNothing: Paint = (_style, text) => text;

export function print(text: string | readonly string[]): void {
  process.stdout.write(`${typeof text === 'string' ? text : text.join('\n')}\n`);
}

/** Writes the failure to standard error, and the fix on a second line. */
export function printFailure(failure: string, fix?: string): void {
  const second = fix === undefined ? '' : `\n    ${printable(fix)}`;
  process.stderr.write(`outpost-dns: ${printable(failure)}${second}\n`);
}

/**
 * The text on one line, without control characters. Names and error texts come from the network, and an
 * escape sequence in them could rewrite the screen.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]+/gu, ' ').trim();
}

const STYLES = { good: 'green', doubtful: 'yellow', bad: 'red' } as const;

/** The text as it may be printed, in the colour of its tone. */
export function tonedText(text: string, tone: Tone, paint: Paint): string {
  return tone === 'plain' ? printable(text) : paint(STYLES[tone], printable(text));
}

/** Rows with their cells in columns, two spaces apart; the last cell of a row takes the space that it needs. */
export function columns(rows: readonly (readonly string[])[], indent = 0): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.slice(0, -1).entries()) widths[at] = Math.max(widths[at] ?? 0, width(cell));
  }
  return rows.map((row) => {
    const cells = row.map((cell, at) =>
      at === row.length - 1 ? cell : cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - width(cell))),
    );
    return `${' '.repeat(indent)}${cells.join('  ')}`.trimEnd();
  });
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/**
 * Handles errors of standard output, so that no command ends with a stack trace. A closed pipe (`outpost-dns status | head -1`)
 * leaves the exit code as it is. A full disk is a failed action: the command reports it on standard error. Node's warnings about
 * its own experiments are left out.
 */
export function watchOutput(): void {
  process.stdout.on('error', (error: Error & { code?: string }) => {
    if (error.code === 'EPIPE') return;
    process.stderr.write(`outpost-dns: cannot write to standard output: ${error.message}\n`);
    process.once('exit', () => {
      process.exitCode = EXIT.finding;
    });
  });
  process.stderr.on('error', () => undefined); // no place is left to report it
  // the launcher hides these by a flag, and `node src/main.ts` has none: they are no news for a person who gives a command
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => {
    if (name !== 'ExperimentalWarning') process.stderr.write(`${name}: ${message}\n`);
  });
}
