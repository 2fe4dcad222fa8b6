/** A runtime that denies calls of C (`--permission`): what needs them is left out, and no work fails. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const file = (name: string) => JSON.stringify(join(import.meta.dirname, '../../src/runtime', name));

t.test('signals and the output stay as they are', async (t) => {
  const script = `
    const { ignoreUncaught } = await import(${file('signals.ts')});
    const { appendToOutput } = await import(${file('background.ts')});
    await ignoreUncaught();
    await appendToOutput();
    console.log('well');`;
  const options = ['--permission', '--allow-fs-read=*', '--no-warnings', '--input-type=module'];
  // only a file is appended to
  const output = join(t.testdir({}), 'output');
  const command = `exec "$0" "$@" >'${output}'`;
  const words = [process.execPath, ...options, '-e', script];
  await promisify(execFile)('sh', ['-c', command, ...words]);
  t.equal(await readFile(output, 'utf8'), 'well\n');
});
