/** The output of commands: explanations, colours, columns, and text without control characters. */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { Tone } from '../report/report.ts';
import { EXIT } from './subcommand.ts';

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
export function explain(failure: string, fix?: string): void {
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

/** `1 warning`, `2 warnings`, `2 queries`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
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
 * leaves the exit code as it is. A full disk is a failed action: the command reports it on standard error.
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
}
