import t from 'tap';
import { editDistance, nearestWord } from '../../src/config/suggest.ts';

t.test('the edit distance counts insertions, deletions, substitutions and swaps', async (t) => {
  const cases: [from: string, to: string, distance: number][] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['level', 'level', 0],
    ['levl', 'level', 1],
    ['levvel', 'level', 1],
    ['lebel', 'level', 1],
    ['levle', 'level', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [from, to, distance] of cases) {
    t.equal(editDistance(from, to), distance, `${from}, ${to}`);
    t.equal(editDistance(to, from), distance, `${to}, ${from}`);
  }
});

t.test('a word is suggested only where a slip explains it', async (t) => {
  const words = ['dns', 'interfaces', 'retryMin', 'retryMax', 'info', 'warn'];
  const cases: [word: string, suggestion: string | undefined][] = [
    ['retrymin', 'retryMin'],
    ['retryMxa', 'retryMax'],
    ['interface', 'interfaces'],
    ['warning', 'warn'],
    ['information', 'info'],
    ['dn', 'dns'],
    ['xyz', undefined],
    ['colour', undefined],
    ['', undefined],
    ['d'.repeat(100_000), undefined],
  ];
  for (const [word, suggestion] of cases) t.equal(nearestWord(word, words), suggestion, word.slice(0, 20));
});
