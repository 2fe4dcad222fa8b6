import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lockStateDirectory } from '../../src/store/single-writer.ts';

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

t.test(
  'one holder at a time, between processes; kill -9 frees the directory at once, every time',
  async (t) => {
    const directory = t.testdir();
    for (let round = 0; round < 3; round++) {
      const { child, said } = await holder(directory);
      t.equal(said, 'locked');
      const refused = await lockStateDirectory(directory);
      t.match(refused, { kind: 'taken', detail: /writer\.lock": held by another process/ });
      await kill(child);
      const lock = await lockStateDirectory(directory);
      t.equal(lock.kind, 'locked', `round ${round}`);
      if (lock.kind === 'locked') lock.lock[Symbol.dispose]();
    }
    t.strictSame(readdirSync(directory), ['writer.lock']);
    t.equal(statSync(join(directory, 'writer.lock')).size, 0, 'nothing was written');
  },
);

t.test('one holder at a time within a process; disposing frees, twice is harmless', async (t) => {
  const directory = t.testdir();
  const first = await lockStateDirectory(directory);
  t.equal((await lockStateDirectory(directory)).kind, 'taken');
  if (first.kind === 'locked') first.lock[Symbol.dispose]();
  const second = await lockStateDirectory(directory);
  t.equal(second.kind, 'locked');
  if (first.kind === 'locked') first.lock[Symbol.dispose]();
  t.equal((await lockStateDirectory(directory)).kind, 'taken', 'the second is still held');
  if (second.kind === 'locked') second.lock[Symbol.dispose]();
});

t.test('where no lock can be had, that is said and nothing is thrown', async (t) => {
  const directory = t.testdir({ scribble: {}, folder: {} });
  writeFileSync(join(directory, 'scribble', 'writer.lock'), 'not a lock of ours, but somebody needs it');
  mkdirSync(join(directory, 'folder', 'writer.lock'));
  for (const name of ['missing', 'scribble', 'folder']) {
    t.match(
      await lockStateDirectory(join(directory, name)),
      { kind: 'unavailable', detail: /^lock "/ },
      name,
    );
  }
});
