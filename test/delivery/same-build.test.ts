import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { bundleInto } from '../../scripts/bundle.ts';

async function filesOf(t: Test, folder: string): Promise<Readonly<Record<string, string>>> {
  const path = join(t.testdirName, folder);
  await bundleInto(path);
  return Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'utf8')]));
}

t.test('the folder of a build counts neither in the names of files nor in their content', async (t) => {
  t.testdir();
  const one = await filesOf(t, 'one');
  const other = await filesOf(t, 'another-one');
  t.ok(Object.keys(one).length > 5, 'it was built');
  t.strictSame(Object.keys(other), Object.keys(one));
  t.ok(Object.entries(one).every(([name, text]) => other[name] === text));
});
