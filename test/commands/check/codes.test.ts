/** Every code of `check` has a test that provokes it: a test file expects the code of a finding. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CODES } from '../../../src/commands/check/codes.ts';

const TEST = join(import.meta.dirname, '..', '..');

t.test('each code is expected by a test', async (t) => {
  const texts = globSync('{commands,daemon,scenarios}/**/*.test.ts', { cwd: TEST }).map((file) =>
    readFileSync(join(TEST, file), 'utf8'),
  );
  const isExpected = (code: string) =>
    texts.some((text) => text.includes(`code: '${code}'`) || text.includes(`\\(${code}\\)`));
  t.strictSame(
    Object.keys(CODES).filter((code) => !isExpected(code)),
    [],
  );
});

t.test('codes are words with hyphens, and say when and why in whole sentences', async (t) => {
  for (const [code, { finds, why }] of Object.entries(CODES)) {
    t.match(code, /^[a-z0-9]+(-[a-z0-9]+)+$/);
    t.match(finds, /^[A-Z`/].*\.$/, code);
    t.match(why, /^[A-Z`/].*\.$/, code);
  }
});
