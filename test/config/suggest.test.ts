/** Suggestions for keys and words that were probably meant. */
import t from 'tap';
import { errorOf, load, SMALLEST } from './loading.ts';

/** The key that is suggested for a key of a section; `known` for a key that exists. */
async function suggested(section: string, key: string): Promise<string> {
  const { faults } = await errorOf(load(`${SMALLEST}${section}: {${JSON.stringify(key)}: null}\n`));
  const [fault] = faults;
  if (fault?.message !== 'unknown key') return 'known';
  return /^did you mean "(.*)"\?$/.exec(fault.fix)?.[1] ?? 'none';
}

t.test(
  'a slip in a key: insertions, deletions, substitutions, swaps, half a word, a word too long',
  async (t) => {
    const cases: [section: string, key: string, meant: string][] = [
      ['log', 'level', 'known'],
      ['log', 'levl', 'level'],
      ['log', 'leve', 'level'],
      ['log', 'levvel', 'level'],
      ['log', 'llevel', 'level'],
      ['log', 'lebel', 'level'],
      ['log', 'devel', 'level'],
      ['log', 'levle', 'level'],
      ['log', 'elvel', 'level'],
      ['log', 'LEVEL', 'level'],
      ['log', 'form', 'format'],
      ['log', 'formatting', 'format'],
      ['log', 'lvl', 'none'],
      ['log', 'xyz', 'none'],
      ['log', 'colour', 'none'],
      ['log', 'lev\u00e9l', 'level'],
      ['log', '', 'none'],
      ['log', 'd'.repeat(100_000), 'none'],
      ['refresh', 'retrymin', 'retryMin'],
      ['refresh', 'retryMxa', 'retryMax'],
      ['refresh', 'interface', 'interfaces'],
      ['refresh', 'dn', 'dns'],
      ['refresh', 'dsn', 'dns'],
      ['refresh', 'clusters', 'cluster'],
    ];
    for (const [section, key, meant] of cases)
      t.equal(await suggested(section, key), meant, `${section}: ${key.slice(0, 20)}`);
  },
);

t.test('a slip in a word', async (t) => {
  for (const [word, fix] of [
    ['warning', 'did you mean "warn"? allowed: debug, info, warn, error'],
    ['information', 'did you mean "info"? allowed: debug, info, warn, error'],
    ['eror', 'did you mean "error"? allowed: debug, info, warn, error'],
    ['loud', 'write one of debug, info, warn, error'],
  ] as const) {
    const { faults } = await errorOf(load(`${SMALLEST}log: {level: ${word}}\n`));
    t.equal(faults[0]?.fix, fix, word);
  }
});
