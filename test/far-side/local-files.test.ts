/** Files that cannot be read, or never answer: few threads of libuv's pool are held, and the error comes in time. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { LocalFiles, whyUnread } from '../../src/far-side/local-files.ts';
import { systemTimers } from '../../src/runtime/clock.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

t.test('a readable file is read, and any other is refused with its reason', async (t) => {
  const directory = t.testdir();
  const at = (name: string) => join(directory, name);
  writeFileSync(at('text'), 'a text, "ä"');
  writeFileSync(at('empty'), '');
  writeFileSync(at('large'), Buffer.alloc(1024 * 1024 + 1));
  writeFileSync(at('limit'), Buffer.alloc(1024 * 1024, 0x61));
  mkdirSync(at('directory'));
  execFileSync('mkfifo', [at('pipe')]);
  const files = new LocalFiles(systemTimers);
  t.equal(await files.text(at('text')), 'a text, "ä"');
  t.equal(await files.text(at('empty')), '');
  t.equal((await files.text(at('limit'))).length, 1024 * 1024);
  t.equal(await files.text('/dev/null'), '');
  const rows = [
    ['pipe', 'not a file'],
    ['directory', 'not a file'],
    ['large', 'more than 1048576 octets'],
    ['absent', 'no such file (ENOENT)'],
    ['text/under', 'ENOTDIR'],
  ] as const;
  for (const [name, why] of rows) t.equal(await files.text(at(name)).then(() => '', whyUnread), why, name);
  t.equal(
    await files.text('/proc/self/status').then((text) => text.slice(0, 5)),
    'Name:',
    'a size of 0 is not believed',
  );
});

t.test(
  'files that never answer hold two threads of the pool, and every call for them fails in time',
  async (t) => {
    const time = new VirtualTime();
    const opened: string[] = [];
    const answers = new Map<string, () => void>();
    const files = new LocalFiles(time, async (path, flags) => {
      opened.push(path);
      if (path !== '/dev/null') await new Promise<void>((resolve) => answers.set(path, resolve));
      return open('/dev/null', flags);
    });
    const ask = (path: string) => files.text(path).then((text) => `"${text}"`, whyUnread);
    const asked = ['/nfs/a', '/nfs/a', '/nfs/b', '/nfs/c', '/dev/null'].map(ask);
    await time.advance(1_999);
    t.strictSame(opened, ['/nfs/a', '/nfs/b'], 'each once');
    await time.advance(1);
    const late = 'no answer within 2 s from the file system it is on';
    t.strictSame(await Promise.all(asked), [late, late, late, late, late]);
    const again = ask('/nfs/a');
    await time.advance(2_000);
    t.equal(await again, late);
    t.strictSame(opened, ['/nfs/a', '/nfs/b'], 'the one that hangs is not opened again');
    answers.get('/nfs/a')?.();
    await time.advance(0);
    answers.get('/nfs/b')?.();
    answers.get('/nfs/c')?.();
    await time.advance(0);
    t.equal(await ask('/dev/null'), '""');
  },
);

t.test(
  'a thread that stands still for longer than the deadline does not blame the file system',
  async (t) => {
    const files = new LocalFiles(systemTimers);
    const asked = files.text('/dev/null').then((text) => `"${text}"`, whyUnread);
    const endMs = performance.now() + 2_500;
    while (performance.now() < endMs);
    t.equal(await asked, '""');
  },
);
