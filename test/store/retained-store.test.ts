import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import { RETAINED } from '../../src/store/retained-format.ts';
import { FileReader } from '../../src/store/state-backend.ts';
import { readState } from '../../src/store/state-format.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { PowerCutDisk, TEARS } from './power-cut-disk.ts';
import { retained, textOf } from './retained-records.ts';
import { storeOf } from './store-setup.ts';

function setUp(directory: string, files: FileSystem = systemFiles) {
  const time = new VirtualTime();
  return { time, store: storeOf(RETAINED, directory, { time, files }) };
}

const set = (number: number) => [retained('a.example', number), retained('b.example', number)];

t.test(
  'saved answers are loaded, the generation before them is kept, and a corrupt file is set aside',
  async (t) => {
    const directory = t.testdir();
    const { store } = setUp(directory);
    t.strictSame(await store.load(), { kind: 'none', faults: [] });
    t.match(await store.save(set(1)), { kind: 'saved', generation: 1 });
    t.match(await store.save(set(2)), { kind: 'saved', generation: 2 });
    t.strictSame(readdirSync(directory).sort(), ['retained.json', 'retained.previous.json']);
    const again = await setUp(directory).store.load();
    t.equal(again.kind === 'loaded' && textOf(again.content), textOf(set(2)));
    const path = join(directory, 'retained.json');
    writeFileSync(path, readFileSync(path).subarray(0, 300));
    const older = await setUp(directory).store.load();
    t.match(older, {
      kind: 'loaded',
      from: 'previous',
      generation: 1,
      faults: [{ kind: 'corrupt', reason: 'not-json' }],
    });
    t.equal(older.kind === 'loaded' && textOf(older.content), textOf(set(1)));
    t.ok(existsSync(older.faults[0]?.setAsideTo ?? ''));
  },
);

t.test('answers that were only confirmed are written every ten minutes, and at the end', async (t) => {
  const { store, time } = setUp('/state', new PowerCutDisk().files);
  const at = (ms: number) => [retained('a.example', 1, { confirmedAtMs: ms })];
  t.equal((await store.save(at(1))).kind, 'saved');
  await time.advance(599_000);
  t.equal((await store.save(at(2))).kind, 'unchanged');
  await time.advance(1000);
  t.equal((await store.save(at(3))).kind, 'saved');
  t.equal((await store.save(at(4))).kind, 'unchanged');
  t.equal((await store.flush()).kind, 'saved');
  t.equal((await store.flush()).kind, 'unchanged');
  t.equal(store.state().generation, 3);
});

t.test(
  'after a power cut at any operation the set durable last or the one being written loads',
  async (t) => {
    let states = 0;
    for (let cutAt = 0; ; cutAt++) {
      const disk = new PowerCutDisk();
      disk.cutAt = cutAt;
      const { store } = setUp('/state', disk.files);
      let [durable, begun, isCut] = [0, 0, false];
      try {
        while (begun < 3) if ((await store.save(set(++begun))).kind === 'saved') durable = begun;
      } catch {
        isCut = true;
      }
      for (let kept = 0; kept < 1 << disk.unsyncedNames; kept++) {
        for (const tear of Object.values(TEARS)) {
          states++;
          const { served } = await readState(
            new FileReader('/state', disk.recover(kept, tear).files),
            RETAINED,
          );
          const found = [0, 1, 2, 3].find(
            (number) => textOf(served?.content ?? []) === textOf(number === 0 ? [] : set(number)),
          );
          if (found === undefined || found < durable || found > begun)
            t.fail(`cut at ${cutAt}: ${found}, durable ${durable}`);
        }
      }
      if (!isCut) break;
    }
    t.ok(states > 200, `${states} states`);
  },
);

t.test(
  'a generation that lacks an answer is no fallback: the first file with it is written twice',
  async (t) => {
    const directory = t.testdir();
    const { store } = setUp(directory);
    const kept = async () => {
      writeFileSync(join(directory, 'retained.json'), '{ "broken');
      const { served } = await readState(new FileReader(directory), RETAINED);
      return served?.content.map(({ name }) => name);
    };
    await store.save([retained('a.example', 1)]);
    t.strictSame(await kept(), ['a.example']);
    await store.save(set(2));
    t.strictSame(await kept(), ['a.example', 'b.example']);
  },
);
