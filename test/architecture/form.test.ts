/** The form of the source: names, heads, sizes of files and functions, reasons of type assertions. */
import t from 'tap';
import { readSourceFiles, type SourceFile } from '../helpers/source-files.ts';

const files = readSourceFiles();

t.test('a type assertion has its reason beside it', async (t) => {
  for (const { path, text, code } of files) {
    const source = text.split('\n');
    const bare = code.split('\n').flatMap((line, at) => {
      if (
        !/[\w)\]}>] as (?!const\b)/.test(line) ||
        /^\s*(?:import|export)\b|^\s*\w+ as \w+,?$|^\} from/.test(line)
      )
        return [];
      if (/^\s*type \w+ as |\{[^}]*\b\w+ as \w+[^}]*\} from/.test(line)) return [];
      const reasoned = (source[at] ?? '').includes('//') || /^\s*(?:\/\/|\*|\/\*)/.test(source[at - 1] ?? '');
      return reasoned ? [] : [`${at + 1}: ${source[at]?.trim()}`];
    });
    t.strictSame(bare, [], path);
  }
});

const folders = ['sandbox', 'lab', 'bench'];
const all = [...files, ...folders.flatMap((folder) => readSourceFiles(folder))];

t.test('no drawer, no barrel, no default export, kebab-case names', async (t) => {
  for (const { path, code, text } of all) {
    t.notMatch(
      path,
      /(?:^|\/)(?:utils?|helpers?|common|misc)(?:\/|\.ts$)|(?:^|\/)index\.ts$/,
      `${path}: named for what it is`,
    );
    t.match(path, /^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/, `${path}: kebab-case`);
    t.notMatch(code, /\bexport default\b/, path);
    t.notMatch(text, /export \* from/, path);
  }
});

t.test('every file opens with what it is', async (t) => {
  for (const { path, text } of all) t.match(text, /(?:^|\n)\/\*\*/, path);
});

// an idea stands whole in a file rather than in short pieces: a journey is followed through few files (scenarios/journeys.test.ts)
t.test('a file is one idea: 9 of 10 within 440 lines, none above 600', async (t) => {
  const lengths = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
  const sorted = lengths.map(({ lines }) => lines).sort((a, b) => a - b);
  const p90 = sorted[Math.floor(sorted.length * 0.9)] ?? 0;
  t.ok(p90 <= 440, `p90 is ${p90} lines`);
  t.strictSame(
    lengths.filter(({ lines }) => lines > 600),
    [],
  );
});

t.test('functions stay short: 9 of 10 within 45 lines', async (t) => {
  const lengths = files.flatMap(functionLengths).sort((a, b) => a - b);
  const p90 = lengths[Math.floor(lengths.length * 0.9)] ?? 0;
  t.ok(p90 <= 45, `p90 is ${p90} lines`);
});

/** Lines of each top-level function and method, by indentation, as the formatter lays them out. */
function functionLengths({ code }: SourceFile): number[] {
  const lines = code.split('\n');
  return lines.flatMap((line, at) => {
    const indent = /^(\s*)(?:export )?(?:async )?(?:static )?(?:function\b|#?\w+\().*\{$/.exec(line)?.[1];
    if (indent === undefined || indent.length > 2 || /^\s*(?:if|for|while|switch)\b/.test(line)) return [];
    const end = lines.indexOf(`${indent}}`, at);
    return end < 0 ? [] : [end - at + 1];
  });
}
