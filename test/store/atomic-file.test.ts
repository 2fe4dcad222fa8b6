import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemRandom } from '../../src/runtime/random.ts';
import {
  type FileSystem,
  readWhole,
  removeLeftovers,
  replaceFile,
  systemFiles,
} from '../../src/store/file-system.ts';
import { StoreError } from '../../src/store/store-messages.ts';
import { systemError } from '../helpers/system-error.ts';
import { filesWith, type Operation, watchedFiles } from './faulty-files.ts';

const LIMIT = 1 << 20;

function replace(files: FileSystem, directory: string, text: string): Promise<void> {
  return replaceFile(files, systemRandom, {
    path: join(directory, 'f.json'),
    previousPath: join(directory, 'f.previous.json'),
    octets: new TextEncoder().encode(text),
    limitOctets: LIMIT,
  });
}

function held(directory: string, name: string): string | undefined {
  const path = join(directory, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

async function failure(run: Promise<unknown>): Promise<StoreError> {
  const error = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof StoreError) return error;
  throw new Error(`expected a StoreError, got ${error}`);
}

/** Makes operation number `nth` fail. */
function failing(nth: number, code: string, seen: Operation[] = []): FileSystem {
  return watchedFiles((operation) => {
    seen.push(operation);
    if (seen.length - 1 === nth) throw systemError(code, operation.name);
  });
}

t.test('each replacement keeps the content before it, and nothing else stays', async (t) => {
  const directory = t.testdir();
  await replace(systemFiles, directory, 'one');
  t.strictSame(readdirSync(directory), ['f.json']);
  await replace(systemFiles, directory, 'two');
  await replace(systemFiles, directory, 'three');
  t.strictSame(readdirSync(directory).sort(), ['f.json', 'f.previous.json']);
  t.equal(held(directory, 'f.json'), 'three');
  t.equal(held(directory, 'f.previous.json'), 'two');
  t.equal(statSync(join(directory, 'f.json')).mode & 0o137, 0, 'mode is at most 0640');
});

t.test('a directory in the place of a file is moved away, whole, and the file is written', async (t) => {
  const inIt = { inside: 'kept' };
  const directory = t.testdir({ 'f.json': 'old', 'f.previous.json': inIt });
  await replace(systemFiles, directory, 'new');
  t.equal(held(directory, 'f.json'), 'new');
  t.equal(held(directory, 'f.previous.json'), 'old');
  rmSync(join(directory, 'f.json'));
  mkdirSync(join(directory, 'f.json'));
  await replace(systemFiles, directory, 'newer');
  t.equal(held(directory, 'f.json'), 'newer');
  const aside = readdirSync(directory).filter((name) => name.includes('.foreign-'));
  t.match(aside, [
    /^f\.json\.foreign-[0-9a-f]{16}-not-a-file$/,
    /^f\.previous\.json\.foreign-[0-9a-f]{16}-not-a-file$/,
  ]);
  t.equal(held(directory, `${aside[1]}/inside`), 'kept');
});

t.test(
  'a directory that takes files and lets none go is not filled by one attempt after another',
  async (t) => {
    const directory = t.testdir({ 'f.json': 'old' });
    let isStuck = true;
    const files = watchedFiles(({ name }) => {
      if (isStuck && (name === 'rename' || name === 'unlink')) throw systemError('EPERM');
    });
    for (let attempt = 0; attempt < 5; attempt++)
      await t.rejects(replace(files, directory, 'new'), { code: 'EPERM' });
    t.ok(readdirSync(directory).length <= 3, 'the files of one attempt');
    isStuck = false;
    await replace(files, directory, 'new');
    t.strictSame(readdirSync(directory).sort(), ['f.json', 'f.previous.json']);
  },
);

t.test('a disk that changes nothing for a while fails each attempt with its own reason', async (t) => {
  const directory = t.testdir({ 'f.json': 'old' });
  let isReadOnly = true;
  const files = watchedFiles(({ name }) => {
    if (isReadOnly) throw systemError('EROFS', name); // also for a file that is not there
  });
  for (let attempt = 0; attempt < 3; attempt++) {
    const { code, message } = await failure(replace(files, directory, 'new'));
    t.equal(code, 'EROFS');
    t.match(message, /: EROFS: /);
  }
  isReadOnly = false;
  await replace(files, directory, 'new');
  t.strictSame(readdirSync(directory).sort(), ['f.json', 'f.previous.json']);
});

t.test('the steps come in the order that a power cut demands', async (t) => {
  const directory = t.testdir({ 'f.json': 'old' });
  const seen: Operation[] = [];
  await replace(failing(-1, '', seen), directory, 'new');
  const steps = seen.map(({ name, path }) => `${name} ${path.slice(directory.length + 1)}`);
  t.strictSame(
    steps.map((step) => step.replace(/\.[0-9a-f]{16}\./, '.*.')),
    [
      'open .f.json.*.tmp',
      'write .f.json.*.tmp',
      'sync .f.json.*.tmp',
      'close .f.json.*.tmp',
      'link .f.json.*.tmp',
      'rename f.json',
      'rename f.previous.json',
      'open ',
      'sync ',
      'close ',
    ],
  );
});

for (const code of ['ENOSPC', 'EROFS', 'EIO', 'EDQUOT']) {
  t.test(
    `${code} at any step: a StoreError with code and path, the old file or the new one whole, no leftovers`,
    async (t) => {
      const seen: Operation[] = [];
      await replace(failing(-1, '', seen), t.testdir({ 'f.json': 'old', 'f.previous.json': 'older' }), 'new');
      const published = seen.findIndex(({ name, path }) => name === 'rename' && path.endsWith('/f.json'));
      for (const [nth, { name }] of seen.entries()) {
        const directory = t.testdir({ 'f.json': 'old', 'f.previous.json': 'older' });
        const error = await failure(replace(failing(nth, code), directory, 'new'));
        const step = `step ${nth}, ${name}`;
        t.equal(error.code, code, step);
        t.ok(error.path.startsWith(directory), `${step}: names a path there`);
        t.match(error.message, `"${error.path}": ${code}`, step);
        t.equal(held(directory, 'f.json'), nth <= published ? 'old' : 'new', step);
        t.equal(held(directory, 'f.previous.json'), nth <= published + 1 ? 'older' : 'old', step);
        t.equal(readdirSync(directory).length, 2, `${step}: no leftovers`);
        await replace(systemFiles, directory, 'next');
        t.equal(held(directory, 'f.json'), 'next', `${step}: the next one succeeds`);
      }
    },
  );
}

t.test('a disk without hard links: the content before is kept as a copy', async (t) => {
  for (const code of ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES']) {
    const directory = t.testdir({ 'f.json': 'old', 'f.previous.json': 'older' });
    const files = watchedFiles(({ name }) => {
      if (name === 'link') throw systemError(code, 'link');
    });
    await replace(files, directory, 'new');
    t.equal(held(directory, 'f.json'), 'new', code);
    t.equal(held(directory, 'f.previous.json'), 'old', code);
  }
});

t.test('a current file that can neither be linked nor copied is not replaced', async (t) => {
  const directory = t.testdir({ 'f.json': 'old' });
  const files = watchedFiles(({ name, path }) => {
    if (name === 'link') throw systemError('EPERM', 'link');
    if (name === 'open' && path.endsWith('/f.json')) throw systemError('EACCES', 'open');
  });
  t.equal((await failure(replace(files, directory, 'new'))).code, 'EACCES');
  t.equal(held(directory, 'f.json'), 'old');
  t.strictSame(readdirSync(directory), ['f.json']);
});

t.test(
  'a disk that takes a few octets at a time gets all of them; one that takes none is a failure',
  async (t) => {
    for (const most of [3, 0]) {
      const directory = t.testdir({ 'f.json': 'old' });
      const files = filesWith((file) => ({
        write: async (octets, offset, length) =>
          most === 0 ? { bytesWritten: 0 } : file.write(octets, offset, Math.min(most, length)),
      }));
      if (most === 0) t.equal((await failure(replace(files, directory, 'a longer text'))).code, 'EIO');
      else await replace(files, directory, 'a longer text');
      t.equal(held(directory, 'f.json'), most === 0 ? 'old' : 'a longer text');
    }
  },
);

t.test('a directory that cannot be synced by its nature is no failure', async (t) => {
  const directory = t.testdir();
  const files = watchedFiles(({ name, path }) => {
    if (name === 'sync' && path === directory) throw systemError('EINVAL', 'fsync');
  });
  await replace(files, directory, 'new');
  t.equal(held(directory, 'f.json'), 'new');
});

t.test('an error that does not come from the system is a defect and passes unchanged', async (t) => {
  const bug = new TypeError('a bug');
  const files = watchedFiles(({ name }) => {
    if (name === 'rename') throw bug;
  });
  await t.rejects(replace(files, t.testdir(), 'new'), bug);
});

t.test('leftovers of a kill are removed, only those of our own pattern for this file', async (t) => {
  const ours = ['.f.json.0123456789abcdef.tmp', '.f.json.ffffffffffffffff.tmp'];
  const others = [
    '.f.json.0123.tmp',
    '.g.json.0123456789abcdef.tmp',
    'f.json.0123456789abcdef.tmp',
    'f.json',
    'notes.tmp',
  ];
  const directory = t.testdir(Object.fromEntries([...ours, ...others].map((name) => [name, ''])));
  await removeLeftovers(systemFiles, join(directory, 'f.json'));
  t.strictSame(readdirSync(directory).sort(), others.sort());
});

t.test('reading says what kind of file it found', async (t) => {
  const directory = t.testdir({ file: 'octets', big: 'x'.repeat(11), folder: {} });
  const kind = async (name: string) => (await readWhole(systemFiles, join(directory, name), 10)).kind;
  t.equal(await kind('file'), 'read');
  t.equal(await kind('missing'), 'absent');
  t.equal(await kind('missing/too'), 'absent');
  t.equal(await kind('big'), 'too-large');
  t.equal(await kind('folder'), 'not-a-file');
  t.equal(await kind('file/below'), 'failed', 'ENOTDIR');
});

t.test('two names of one file are no trap: the new content stands, the old one is previous', async (t) => {
  const directory = t.testdir({ 'f.json': 'old' });
  linkSync(join(directory, 'f.json'), join(directory, 'f.previous.json'));
  await replace(systemFiles, directory, 'new');
  t.equal(held(directory, 'f.json'), 'new');
  t.equal(held(directory, 'f.previous.json'), 'old');
});

t.test('a directory without write permission: EACCES, except for root', async (t) => {
  if (process.getuid?.() === 0) {
    t.comment('root is not bound by permissions');
    return;
  }
  const directory = join(t.testdir(), 'state');
  mkdirSync(directory);
  writeFileSync(join(directory, 'f.json'), 'old');
  chmodSync(directory, 0o550);
  t.equal((await failure(replace(systemFiles, directory, 'new'))).code, 'EACCES');
  chmodSync(directory, 0o750);
});

t.test(
  'what root writes in the directory of another user belongs to that user',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const [nobody, nogroup] = [65_534, 65_533];
    const directory = t.testdir({ 'f.json': 'old' });
    chownSync(directory, nobody, nogroup);
    await replace(systemFiles, directory, 'new');
    const { uid, gid } = statSync(join(directory, 'f.json'));
    t.strictSame([uid, gid], [nobody, nogroup]);
    t.equal(
      statSync(join(directory, 'f.previous.json')).uid,
      0,
      'a file that was there before keeps its owner',
    );
    chownSync(directory, 0, nogroup);
    await replace(systemFiles, directory, 'newer');
    t.equal(statSync(join(directory, 'f.json')).uid, 0);
  },
);
