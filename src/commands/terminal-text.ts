/** Text for a terminal: harmless whatever it quotes, coloured where that is wanted, in columns. */
import { stripVTControlCharacters, styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green';
export type Paint = (style: Style, text: string) => string;

/** Colours only on a terminal, and not where NO_COLOR is set. */
export const paintForTerminal: Paint = (style, text) => styleText(style, text, { stream: process.stdout });

/** For files, tests and pipes. */
export const paintNothing: Paint = (_style, text) => text;

/**
 * The text on one line, without anything that a terminal would obey: names and error texts come from the network, and
 * an escape sequence in them could rewrite what stands on the screen.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]+/gu, ' ').trim();
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
