import t from 'tap';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import type { FileSystem, OpenFile } from '../../src/store/file-system.ts';
import { PowerCut, PowerCutDisk, TEARS } from './power-cut-disk.ts';
import { setNumber, wholeSet } from './record-sets.ts';
import { readEndpoints, storeOf } from './store-setup.ts';

const SAVES = 4;

interface Findings {
  states: number;
  lost: string[];
}

/** Cuts the power before every operation of a few saves, and checks every state in which the disk may then be. */
async function cutEverywhere(
  through: (files: FileSystem) => FileSystem = (files) => files,
): Promise<Findings> {
  const findings: Findings = { states: 0, lost: [] };
  for (let cutAt = 0; ; cutAt++) {
    const disk = new PowerCutDisk();
    disk.cutAt = cutAt;
    const run = await saveUntilCut(through(disk.files));
    await inspect(disk, run, `cut at operation ${cutAt}`, findings);
    if (!run.isCut || findings.lost.length > 5) return findings;
  }
}

interface Run {
  begun: number;
  durable: number;
  isCut: boolean;
}

async function saveUntilCut(files: FileSystem): Promise<Run> {
  const run: Run = { begun: 0, durable: 0, isCut: false };
  const store = storeOf(ENDPOINTS, '/state', { files });
  try {
    while (run.begun < SAVES) {
      const outcome = await store.save(wholeSet(++run.begun));
      if (outcome.kind === 'saved') run.durable = run.begun;
    }
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    run.isCut = true;
  }
  return run;
}

async function inspect(disk: PowerCutDisk, run: Run, when: string, findings: Findings): Promise<void> {
  for (let kept = 0; kept < 1 << disk.unsyncedNames; kept++) {
    for (const [tear, torn] of Object.entries(TEARS)) {
      findings.states++;
      const { served } = await readEndpoints(disk.recover(kept, torn).files, '/state');
      const found = served === undefined ? 0 : setNumber(served.content);
      if (found === undefined || found < run.durable || found > run.begun) {
        findings.lost.push(
          `${when}, names ${kept.toString(2)}, ${tear}: found ${found}, durable ${run.durable}`,
        );
      }
    }
  }
}

t.test(
  'after a power cut at any operation, in every state the disk may be left in, the set durable last or the one being written loads',
  async (t) => {
    const { states, lost } = await cutEverywhere();
    t.comment(`${states} states of the disk`);
    t.ok(states > 500, 'there was something to look at');
    t.strictSame(lost, []);
  },
);

t.test('the current and the previous file never both disappear once they have existed', async (t) => {
  const disk = new PowerCutDisk();
  const missing: string[] = [];
  let hasBoth = false;
  const look = async () => {
    const names = await disk.files.readdir('/state');
    const isComplete = names.includes('endpoints.json') && names.includes('endpoints.previous.json');
    if (hasBoth && !isComplete) missing.push(names.join(' '));
    hasBoth ||= isComplete;
  };
  await saveUntilCut({
    ...disk.files,
    rename: async (from, to) => {
      await disk.files.rename(from, to);
      await look();
    },
    link: async (existing, path) => {
      await disk.files.link(existing, path);
      await look();
    },
  });
  t.ok(hasBoth);
  t.strictSame(missing, []);
});

t.test(
  'a current file that rotted while the server ran never becomes the only one, wherever the next save is cut',
  async (t) => {
    const found: (number | undefined)[] = [];
    for (let cutAt = 0; cutAt < 16; cutAt++) {
      const disk = new PowerCutDisk();
      const store = storeOf(ENDPOINTS, '/state', { files: disk.files });
      await store.save(wholeSet(1));
      await store.save(wholeSet(2));
      disk.scribble('endpoints.json');
      disk.cutAt = disk.operations + cutAt;
      await store.save(wholeSet(3)).catch(() => {});
      const { served } = await readEndpoints(disk.recover(-1, TEARS.nothing).files, '/state');
      found.push(served && setNumber(served.content));
    }
    t.equal(found.at(-1), 3, 'the last cuts came after the save');
    t.strictSame([...new Set(found)], [1, 3], 'the previous generation, then the new one');
  },
);

const WITHOUT = {
  'the fsync of the file': (flags: 'file' | 'directory') => flags === 'file',
  'the fsync of the directory': (flags: 'file' | 'directory') => flags === 'directory',
};
for (const [what, isSkipped] of Object.entries(WITHOUT)) {
  t.test(`this test sees it when ${what} is left out`, async (t) => {
    const { lost } = await cutEverywhere((files) => ({
      ...files,
      open: async (path, flags, mode) => {
        const file = await files.open(path, flags, mode);
        return isSkipped(path === '/state' ? 'directory' : 'file') ? withoutSync(file) : file;
      },
    }));
    t.not(lost.length, 0);
  });
}

function withoutSync(file: OpenFile): OpenFile {
  return { ...file, sync: async () => {} };
}
