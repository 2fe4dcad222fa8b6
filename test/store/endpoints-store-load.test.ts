import { existsSync, mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemError } from '../helpers/system-error.ts';
import { watchedFiles } from './faulty-files.ts';
import { wholeSet } from './record-sets.ts';
import { fileOf, onDisk, setUp, summary } from './store-setup.ts';

t.test('load serves the newest whole generation, and reports the faults of the others', async (t) => {
  const torn = fileOf(2).subarray(0, 700);
  const flipped = Buffer.from(fileOf(2).toString().replace('us-west-2', 'us-west-3'));
  const newer = Buffer.from(fileOf(2).toString().replace('"version": 1', '"version": 9'));
  const table: Record<string, [files: Record<string, Buffer | 'folder'>, expected: string]> = {
    nothing: [{}, 'none'],
    'both whole': [{ current: fileOf(2), previous: fileOf(1) }, 'current 2 generation 2'],
    'only the current': [{ current: fileOf(2) }, 'current 2 generation 2'],
    'only the previous': [{ previous: fileOf(1) }, 'previous 1 generation 1'],
    torn: [{ current: torn, previous: fileOf(1) }, 'previous 1 generation 1, corrupt not-json'],
    empty: [{ current: Buffer.alloc(0), previous: fileOf(1) }, 'previous 1 generation 1, corrupt empty'],
    zeros: [{ current: Buffer.alloc(900), previous: fileOf(1) }, 'previous 1 generation 1, corrupt not-json'],
    changed: [
      { current: flipped, previous: fileOf(1) },
      'previous 1 generation 1, corrupt checksum-mismatch',
    ],
    foreign: [
      { current: Buffer.from('{}'), previous: fileOf(1) },
      'previous 1 generation 1, foreign not-our-format',
    ],
    'a folder': [{ current: 'folder', previous: fileOf(1) }, 'previous 1 generation 1, foreign not-a-file'],
    newer: [{ current: newer, previous: fileOf(1) }, 'previous 1 generation 1, newer version-9'],
    'both unusable': [{ current: torn, previous: Buffer.alloc(0) }, 'none, corrupt not-json, corrupt empty'],
    'too large': [
      { current: Buffer.alloc((16 << 20) + 1, ' '), previous: fileOf(1) },
      'previous 1 generation 1, corrupt too-large',
    ],
  };
  for (const [name, [files, expected]] of Object.entries(table)) {
    const directory = t.testdir();
    for (const [generation, octets] of Object.entries(files)) {
      const path = join(directory, generation === 'current' ? 'endpoints.json' : 'endpoints.previous.json');
      if (octets === 'folder') mkdirSync(path);
      else writeFileSync(path, octets);
    }
    const { store } = setUp(directory);
    t.equal(summary(await store.load()), expected, name);
    t.equal((await store.save(wholeSet(3))).kind, 'saved', `${name}: a save goes on from there`);
    t.equal(await onDisk(directory), 3, name);
  }
});

t.test(
  'a current file cut off at any length: the previous generation serves, and nothing of it is lost',
  async (t) => {
    const whole = fileOf(2);
    const wrong: number[] = [];
    for (let length = 0; length < whole.length - 1; length += 7) {
      const directory = t.testdir({ 'endpoints.previous.json': fileOf(1) });
      writeFileSync(join(directory, 'endpoints.json'), whole.subarray(0, length));
      const result = await setUp(directory).store.load();
      const aside = result.faults[0]?.setAsideTo;
      const isKept = aside !== undefined && readFileSync(aside).equals(whole.subarray(0, length));
      if (!isKept || !summary(result).startsWith('previous 1 ')) wrong.push(length);
    }
    t.strictSame(wrong, []);
  },
);

t.test('a file that is set aside is kept under a name with the time and the reason', async (t) => {
  const directory = t.testdir({ 'endpoints.json': 'scribble', 'endpoints.previous.json': '{"a":1}' });
  const { store } = setUp(directory);
  await store.load();
  t.strictSame(readdirSync(directory).sort(), [
    'endpoints.json.corrupt-20260101T000000Z-not-json',
    'endpoints.previous.json.foreign-20260101T000000Z-not-our-format',
  ]);
  t.equal(
    readFileSync(join(directory, 'endpoints.json.corrupt-20260101T000000Z-not-json'), 'utf8'),
    'scribble',
  );
});

t.test('the same content is set aside once, other content beside it, even in the same second', async (t) => {
  const directory = t.testdir();
  for (const text of ['a', 'b', 'a', 'c', 'b', 'a']) {
    writeFileSync(join(directory, 'endpoints.json'), text);
    await setUp(directory).store.load();
  }
  const kept = readdirSync(directory).sort();
  t.strictSame(kept, [
    'endpoints.json.corrupt-20260101T000000Z-not-json',
    'endpoints.json.corrupt-20260101T000000Z-not-json-2',
    'endpoints.json.corrupt-20260101T000000Z-not-json-3',
  ]);
  t.strictSame(
    kept.map((name) => readFileSync(join(directory, name), 'utf8')),
    ['a', 'b', 'c'],
  );
});

t.test(
  'a file of a newer version stays under its name until a save would replace it, then it is set aside',
  async (t) => {
    const newer = fileOf(2).toString().replace('"version": 1', '"version": 2');
    const directory = t.testdir({ 'endpoints.json': newer });
    const { store } = setUp(directory);
    t.equal(summary(await store.load()), 'none, newer version-2');
    t.equal(readFileSync(join(directory, 'endpoints.json'), 'utf8'), newer);
    await store.save(wholeSet(3));
    t.equal(readFileSync(join(directory, 'endpoints.json.newer-20260101T000000Z-version-2'), 'utf8'), newer);
    t.equal(await onDisk(directory), 3);
  },
);

t.test('both generations of a newer version are set aside by the first save', async (t) => {
  const newer = (number: number) => fileOf(number).toString().replace('"version": 1', '"version": 2');
  const directory = t.testdir({ 'endpoints.json': newer(2), 'endpoints.previous.json': newer(1) });
  await setUp(directory).store.save(wholeSet(3));
  t.strictSame(readdirSync(directory).sort(), [
    'endpoints.json',
    'endpoints.json.newer-20260101T000000Z-version-2',
    'endpoints.previous.json',
    'endpoints.previous.json.newer-20260101T000000Z-version-2',
  ]);
});

t.test(
  'a file that may not be read is reported, stays, and is set aside before the first save',
  async (t) => {
    const directory = t.testdir({ 'endpoints.json': fileOf(2), 'endpoints.previous.json': fileOf(1) });
    const files = watchedFiles(({ name, path }) => {
      if (name === 'open' && path.endsWith('/endpoints.json')) throw systemError('EACCES', 'open');
    });
    const { store } = setUp(directory, files);
    const result = await store.load();
    t.equal(summary(result), 'previous 1 generation 1, unreadable eacces');
    t.match(result.faults[0]?.detail, /^open ".*endpoints\.json": EACCES/);
    t.ok(existsSync(join(directory, 'endpoints.json')), 'a chmod finds it under its name');
    t.equal((await store.save(wholeSet(3))).kind, 'saved');
    const aside = readFileSync(join(directory, 'endpoints.json.unreadable-20260101T000000Z-eacces'));
    t.ok(aside.equals(fileOf(2)));
  },
);

t.test(
  'a directory in which nothing can be changed still loads, and a file that could not be set aside is not replaced',
  async (t) => {
    const directory = t.testdir({ 'endpoints.json': 'scribble', 'endpoints.previous.json': fileOf(1) });
    let isReadOnly = true;
    const files = watchedFiles(({ name, path }) => {
      const isChange = name === 'rename' || name === 'unlink' || name === 'link' || path.endsWith('.tmp');
      if (isReadOnly && isChange) throw systemError('EROFS', name);
    });
    const { store } = setUp(directory, files);
    const result = await store.load();
    t.equal(summary(result), 'previous 1 generation 1, corrupt not-json');
    t.match(result.faults[0]?.setAsideFailed, /EROFS/);
    t.match(await store.save(wholeSet(3)), { kind: 'failed', code: 'EROFS' });
    t.equal(readFileSync(join(directory, 'endpoints.json'), 'utf8'), 'scribble');
    isReadOnly = false;
    t.equal((await store.save(wholeSet(3))).kind, 'saved');
    t.ok(existsSync(join(directory, 'endpoints.json.corrupt-20260101T000000Z-not-json')));
  },
);

t.test('an unusable file that a person removed meanwhile does not stop the saves', async (t) => {
  const newer = fileOf(2).toString().replace('"version": 1', '"version": 2');
  const directory = t.testdir({ 'endpoints.json': newer, 'endpoints.previous.json': newer });
  const { store } = setUp(directory);
  await store.load();
  unlinkSync(join(directory, 'endpoints.json'));
  t.equal((await store.save(wholeSet(3))).kind, 'saved');
});

t.test('a directory that does not exist: nothing is loaded, and a save says why it fails', async (t) => {
  const { store } = setUp(join(t.testdir(), 'missing'));
  t.strictSame(await store.load(), { kind: 'none', faults: [] });
  t.match(await store.save(wholeSet(1)), { kind: 'failed', code: 'ENOENT', detail: /^create "/ });
});

t.test('load cleans up after a kill, and says the same when asked again', async (t) => {
  const directory = t.testdir({
    'endpoints.json': fileOf(2),
    '.endpoints.json.0123456789abcdef.tmp': 'half',
    '.endpoints.json.swp': 'an editor',
  });
  const { store } = setUp(directory);
  const first = await store.load();
  t.equal(await store.load(), first);
  t.strictSame(readdirSync(directory).sort(), ['.endpoints.json.swp', 'endpoints.json']);
});
