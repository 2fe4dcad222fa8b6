import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemRandom } from '../../src/runtime/random.ts';
import { prepareDirectory } from '../../src/store/state-backend.ts';
import { systemError } from '../helpers/system-error.ts';
import { type Operation, watchedFiles } from './faulty-files.ts';

t.test(
  'a missing directory is created with its parents, closed to others, and synced into each parent',
  async (t) => {
    const base = t.testdir();
    const synced: string[] = [];
    const files = watchedFiles(({ name, path }: Operation) => {
      if (name === 'sync') synced.push(path.slice(base.length));
    });
    const directory = join(base, 'a/b/c');
    t.strictSame(await prepareDirectory(directory, systemRandom, files), { kind: 'ready', isNew: true });
    t.equal(statSync(directory).mode & 0o027, 0, 'mode is at most 0750');
    t.strictSame(synced, ['/a/b', '/a', '']);
  },
);

t.test('a directory that is there stays as it is, and no probe is left in it', async (t) => {
  const directory = t.testdir({ file: '' });
  t.strictSame(await prepareDirectory(directory, systemRandom), { kind: 'ready', isNew: false });
  t.strictSame(readdirSync(directory), ['file']);
});

t.test('a directory that cannot be used: the outcome names the action, the path and the code', async (t) => {
  const directory = t.testdir({ file: '' });
  t.match(await prepareDirectory(join(directory, 'file'), systemRandom), {
    kind: 'failed',
    code: 'EEXIST',
    detail: `create directory "${join(directory, 'file')}": EEXIST`,
  });
  t.match(await prepareDirectory(join(directory, 'file/below'), systemRandom), {
    kind: 'failed',
    code: 'ENOTDIR',
  });
  for (const code of ['EACCES', 'EROFS', 'ENOSPC']) {
    const files = watchedFiles(({ name }) => {
      if (name === 'open') throw systemError(code, 'open');
    });
    t.match(await prepareDirectory(directory, systemRandom, files), {
      kind: 'failed',
      code,
      detail: `create file in "${directory}": ${code}`,
    });
  }
});
