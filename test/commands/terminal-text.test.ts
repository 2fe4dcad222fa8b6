import t from 'tap';
import { ageText } from '../../src/admin/status-words.ts';
import { columns, printable } from '../../src/commands/terminal-text.ts';

t.test('ages: one number, one unit', async (t) => {
  for (const [seconds, text] of [
    [-5, '0 s'],
    [0, '0 s'],
    [2.6, '3 s'],
    [119, '119 s'],
    [120, '2 min'],
    [240, '4 min'],
    [7199, '120 min'],
    [7200, '2 h'],
    [172_799, '48 h'],
    [172_800, '2 d'],
    [86_400 * 400, '400 d'],
  ] as const)
    t.equal(ageText(seconds), text, `${seconds}`);
});

t.test('printable: nothing is left that a terminal would obey', async (t) => {
  for (const [text, shown] of [
    ['plain text, with "quotes"', 'plain text, with "quotes"'],
    ['grüße 你好', 'grüße 你好'],
    ['\x1b[2Jgone\x07', '[2Jgone'],
    ['two\nlines\r\nand a\ttab', 'two lines and a tab'],
    ['c1 \x9b31m csi', 'c1  31m csi'],
    ['right \u202eto left', 'right  to left'],
    ['line\u2028separator', 'line separator'],
    ['', ''],
  ] as const)
    t.equal(printable(text), shown, encodeURIComponent(text));
});

t.test('columns: aligned by what is seen, no white space at the end', async (t) => {
  t.strictSame(
    columns(
      [
        ['a', 'bb', 'last cell is as long as it likes'],
        ['aaaa', '\x1b[31mb\x1b[39m', 'x'],
        ['only one'],
        ['a', '', ''],
      ],
      1,
    ),
    [' a     bb  last cell is as long as it likes', ' aaaa  \x1b[31mb\x1b[39m   x', ' only one', ' a'],
  );
});
