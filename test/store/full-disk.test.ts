/** A full disk: files that may be lost give their room to the endpoint records. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { systemRandom } from '../../src/runtime/random.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { FileBackend } from '../../src/store/state-backend.ts';
import { StateStore } from '../../src/store/state-store.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { systemError } from '../helpers/system-error.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { watchedFiles } from './faulty-files.ts';
import { wholeSet } from './record-sets.ts';
import { onDisk } from './store-setup.ts';

const SPARE = ['configuration.checked', 'trend.bin', 'answers.snapshot'];

/** The disk takes no octet while `isFull` says so. */
function storeOn(directory: string, isFull: () => string | undefined) {
  const files = watchedFiles(({ name, path }) => {
    const code = isFull();
    if (name === 'write' && code !== undefined) throw systemError(code, `${name} ${path}`);
  });
  const removed: string[] = [];
  const spare = { names: SPARE, onRemoved: (name: string) => void removed.push(name) };
  const [time, log] = [new VirtualTime(), new CollectingLog()];
  const backend = new FileBackend(directory, { random: systemRandom, files, spare });
  return { store: new StateStore(ENDPOINTS, backend, { clock: time, timers: time, log }), removed };
}

for (const code of ['ENOSPC', 'EDQUOT'])
  t.test(`${code}: a change of the endpoints is durable, and the answers of others are not`, async (t) => {
    const directory = t.testdir({
      'trend.bin': '',
      'answers.snapshot': 'bulk',
      'ledger.jsonl': '',
      'mine.txt': '',
    });
    const isFull = () => (readdirSync(directory).includes('answers.snapshot') ? code : undefined);
    const { store, removed } = storeOn(directory, isFull);
    t.match(await store.save(wholeSet(1)), { kind: 'saved' });
    t.equal(await onDisk(directory), 1);
    t.strictSame(removed, ['trend.bin', 'answers.snapshot']);
    const rest = ['endpoints.json', 'endpoints.previous.json', 'ledger.jsonl', 'mine.txt'];
    t.strictSame(readdirSync(directory).toSorted(), rest);
  });

t.test('no more is removed than the state needs', async (t) => {
  const directory = t.testdir({ 'trend.bin': 'plots', 'answers.snapshot': 'bulk' });
  const isFull = () => (readdirSync(directory).includes('trend.bin') ? 'ENOSPC' : undefined);
  const { store, removed } = storeOn(directory, isFull);
  t.match(await store.save(wholeSet(1)), { kind: 'saved' });
  t.strictSame(removed, ['trend.bin']);
  t.ok(readdirSync(directory).includes('answers.snapshot'));
});

t.test('a disk that stays full keeps what it held, and nothing is said twice', async (t) => {
  const directory = t.testdir({ 'trend.bin': 'plots' });
  let isFull = false;
  const { store, removed } = storeOn(directory, () => (isFull ? 'ENOSPC' : undefined));
  await store.save(wholeSet(1));
  isFull = true;
  t.match(await store.save(wholeSet(2)), { kind: 'failed', code: 'ENOSPC' });
  t.match(await store.save(wholeSet(3)), { kind: 'failed', code: 'ENOSPC' });
  t.equal(await onDisk(directory), 1);
  t.strictSame(removed, ['trend.bin']);
});

t.test('no other fault of the disk costs a file', async (t) => {
  for (const code of ['EIO', 'EROFS', 'EACCES']) {
    const directory = t.testdir({ 'answers.snapshot': 'bulk' });
    const { store, removed } = storeOn(directory, () => code);
    t.match(await store.save(wholeSet(1)), { kind: 'failed', code });
    t.strictSame(removed, []);
    t.strictSame(readdirSync(directory), ['answers.snapshot']);
  }
});
