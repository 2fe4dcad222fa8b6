import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { systemFiles } from '../../src/store/file-system.ts';
import { DirectoryLock, guardedFiles } from '../../src/store/state-backend.ts';
import { watchedFiles } from './faulty-files.ts';
import { record } from './record-sets.ts';
import { readEndpoints, storeOf } from './store-setup.ts';

async function holder(directory: string): Promise<{ child: ChildProcess; said: string }> {
  const script = join(import.meta.dirname, 'lock-child.ts');
  const child = spawn(process.execPath, [script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await once(child.stdout ?? child, 'data');
  return { child, said: String(said).trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

const claimed = (directory: string) => {
  const lock = new DirectoryLock(directory);
  return { lock, claim: lock.claim() };
};

t.test(
  'one holder at a time, between processes; kill -9 frees the directory at once, every time',
  async (t) => {
    const directory = t.testdir();
    for (let round = 0; round < 3; round++) {
      const { child, said } = await holder(directory);
      t.equal(said, 'ours');
      const { lock, claim } = claimed(directory);
      t.match(await claim, { kind: 'taken', detail: /writer\.lock": held by another process/ });
      await kill(child);
      t.equal((await lock.claim()).kind, 'ours', `round ${round}`);
      lock[Symbol.dispose]();
    }
    t.strictSame(readdirSync(directory), ['writer.lock']);
    t.equal(statSync(join(directory, 'writer.lock')).size, 0, 'nothing was written');
  },
);

t.test('one holder at a time within a process; disposing frees, twice is harmless', async (t) => {
  const directory = t.testdir();
  const first = claimed(directory);
  t.match(await first.claim, { kind: 'ours', epoch: 1 });
  t.match(await first.lock.claim(), { kind: 'ours', epoch: 1 }, 'still the same claim');
  t.equal((await claimed(directory).claim).kind, 'taken');
  first.lock[Symbol.dispose]();
  const second = claimed(directory);
  t.equal((await second.claim).kind, 'ours');
  first.lock[Symbol.dispose]();
  t.equal((await claimed(directory).claim).kind, 'taken', 'the second is still held');
  second.lock[Symbol.dispose]();
});

t.test(
  'a file system without locks: a socket of the host stands in, and the doubt is reported',
  async (t) => {
    const directory = t.testdir({ scribble: {}, folder: {} });
    writeFileSync(
      join(directory, 'scribble', 'writer.lock'),
      'not a lock of ours, but another program needs it',
    );
    mkdirSync(join(directory, 'folder', 'writer.lock'));
    for (const name of ['scribble', 'folder']) {
      const first = claimed(join(directory, name));
      t.match(await first.claim, { kind: 'ours', doubt: /would not be noticed/ }, name);
      t.match(await claimed(join(directory, name)).claim, { kind: 'taken', detail: /of this host/ }, name);
      first.lock[Symbol.dispose]();
    }
  },
);

t.test('a directory that is replaced under a running process is claimed again, or given up', async (t) => {
  const root = t.testdir({ state: {} });
  const directory = join(root, 'state');
  const first = claimed(directory);
  await first.claim;
  renameSync(directory, join(root, 'moved'));
  mkdirSync(directory);
  const second = claimed(directory);
  t.equal((await second.claim).kind, 'ours', 'the new directory has a lock of its own');
  t.equal((await first.lock.claim()).kind, 'taken');
  second.lock[Symbol.dispose]();
  t.match(await first.lock.claim(), { kind: 'ours', epoch: 2 });
  first.lock[Symbol.dispose]();
});

t.test('a directory that was gone and is made again is locked as before', async (t) => {
  const root = join(t.testdir({ root: { state: {} } }), 'root');
  const directory = join(root, 'state');
  const { lock, claim } = claimed(directory);
  t.match(await claim, { kind: 'ours', doubt: undefined });
  renameSync(root, `${root}-moved`);
  t.match(await lock.claim(), { kind: 'ours', doubt: /unable to open database file/ });
  mkdirSync(directory, { recursive: true });
  t.match(await lock.claim(), { kind: 'ours', doubt: undefined });
  t.match(await claimed(directory).claim, { kind: 'taken' }, 'a second server is noticed');
  lock[Symbol.dispose]();
});

t.test('a file that could not be opened for a while is locked once it can be', async (t) => {
  const directory = t.testdir();
  const path = join(directory, 'writer.lock');
  symlinkSync('/nowhere/lock', path);
  const { lock, claim } = claimed(directory);
  t.match(await claim, { kind: 'ours', epoch: 1, doubt: /unable to open database file/ });
  t.match(await lock.claim(), { kind: 'ours', epoch: 1, doubt: /unable to open/ }, 'it stays as it is');
  t.match(await claimed(directory).claim, { kind: 'taken', detail: /of this host/ }, 'the socket is held');
  rmSync(path);
  t.match(await lock.claim(), { kind: 'ours', epoch: 2, doubt: undefined });
  t.match(await claimed(directory).claim, { kind: 'taken', detail: /writer\.lock": held/ });
  lock[Symbol.dispose]();
});

t.test('a directory that was removed is made again, so that what is known is kept', async (t) => {
  const directory = join(t.testdir({ state: {} }), 'state');
  const synced: string[] = [];
  const files = watchedFiles(({ name, path }) => void (name === 'sync' && synced.push(path)));
  let replaced = 0;
  const disk = { run: <T>(operation: () => Promise<T>) => operation(), files };
  const lock = new DirectoryLock(directory, disk, () => {
    replaced++;
  });
  await lock.claim();
  await lock.claim();
  t.equal(replaced, 0);
  rmSync(directory, { recursive: true });
  t.match(await lock.claim(), { kind: 'ours', doubt: undefined, epoch: 2 });
  t.ok(existsSync(directory));
  t.strictSame(synced, [dirname(directory)], 'a power cut does not take it with all that is in it');
  await lock.claim();
  t.equal(replaced, 1, 'and said once');
  renameSync(directory, `${directory}-moved`);
  await lock.claim();
  t.equal(replaced, 2);
  lock[Symbol.dispose]();
});

t.test('without the claim no operation changes anything; with it, all operations work', async (t) => {
  const directory = t.testdir({ file: 'kept' });
  const { lock: theirs, claim } = claimed(directory);
  await claim;
  const lock = new DirectoryLock(directory);
  const files = guardedFiles(systemFiles, lock);
  const at = (name: string) => join(directory, name);
  const changes: readonly (() => Promise<unknown>)[] = [
    () => files.open(at('new'), constants.O_WRONLY | constants.O_CREAT),
    () => files.open(at('file'), constants.O_RDWR),
    () => files.link(at('file'), at('new')),
    () => files.rename(at('file'), at('new')),
    () => files.unlink(at('file')),
  ];
  for (const change of changes) await t.rejects(change(), { code: 'EBUSY' });
  t.strictSame(readdirSync(directory).sort(), ['file', 'writer.lock']);
  await (await files.open(at('file'), constants.O_RDONLY)).close();
  theirs[Symbol.dispose]();
  await files.unlink(at('file'));
  t.strictSame(readdirSync(directory), ['writer.lock']);
  lock[Symbol.dispose]();
});

t.test(
  'a process that gets the directory later keeps the records of the other process beside its own',
  async (t) => {
    const directory = t.testdir();
    const storeUnder = (lock: DirectoryLock) =>
      storeOf(ENDPOINTS, directory, { lock, files: guardedFiles(systemFiles, lock) });
    const [a, b] = [new DirectoryLock(directory), new DirectoryLock(directory)];
    const [first, second] = [storeUnder(a), storeUnder(b)];
    t.equal((await first.save([record('one', ['10.0.0.1'])])).kind, 'saved');
    await second.load();
    t.match(await second.save([record('two', ['10.0.0.2'])]), { kind: 'failed', code: 'EBUSY' });
    t.equal((await first.save([record('one', ['10.0.0.1']), record('three', ['10.0.0.3'])])).kind, 'saved');
    a[Symbol.dispose]();
    t.equal((await second.save([record('two', ['10.0.0.2'])])).kind, 'saved');
    const kept = async () =>
      (await readEndpoints(systemFiles, directory)).served?.content.map(({ cluster }) => cluster).toSorted();
    t.strictSame(await kept(), ['one', 'three', 'two']);
    t.equal((await second.save([record('two', ['10.0.0.9'])])).kind, 'saved');
    t.strictSame(await kept(), ['one', 'three', 'two'], 'and does so from then on');
    b[Symbol.dispose]();
  },
);
