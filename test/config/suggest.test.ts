import t from 'tap';
import { nearestWord } from '../../src/config/fault.ts';

t.test(
  'a slip of the pen is explained whichever way it went: insertions, deletions, substitutions, swaps',
  async (t) => {
    const cases: [word: string, meant: string, isNear: boolean][] = [
      ['', '', true],
      ['', 'abc', false],
      ['level', 'level', true],
      ['levl', 'level', true],
      ['levvel', 'level', true],
      ['lebel', 'level', true],
      ['levle', 'level', true],
      ['kitten', 'sitting', false],
      ['sittin', 'kitten', true],
    ];
    for (const [word, meant, isNear] of cases) {
      t.equal(nearestWord(word, [meant]), isNear ? meant : undefined, `${word}, ${meant}`);
      t.equal(nearestWord(meant, [word]), isNear ? word : undefined, `${meant}, ${word}`);
    }
  },
);

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
