/** A snapshot of answers that is damaged, on a disk that refuses, cut off by the power, or stopped while it loads. */
import t from 'tap';
import { systemError } from '../helpers/system-error.ts';
import { watchedFiles } from './faulty-files.ts';
import { PowerCutDisk } from './power-cut-disk.ts';
import { fileOf } from './snapshot-entries.ts';
import { PATH, processOn, readFile } from './snapshot-setup.ts';

const plain = (n: number) => ({
  kind: 'positive' as const,
  octets: new Uint8Array(1000).fill(n),
  ageMs: 0,
  lifetimeMs: 1000,
  dnssecOk: false,
  checkingDisabled: false,
  hits: 0,
  idleMs: 0,
});

t.test(
  'a damaged file is loaded up to the damage, set aside with its reason, and written again',
  async (t) => {
    const whole = fileOf(Array.from({ length: 5 }, (_, n) => plain(n)));
    const newer = Buffer.from(whole);
    newer.writeUInt32BE(2, 20);
    const flipped = Buffer.from(whole);
    flipped[200]! ^= 1;
    const cases: [it: string, octets: Buffer, kind: string, reason: string, name: RegExp | undefined][] = [
      [
        'torn',
        whole.subarray(0, 3000),
        'corrupt',
        'torn',
        /^answers\.snapshot\.corrupt-20260101T000000Z-torn$/,
      ],
      ['empty', Buffer.alloc(0), 'corrupt', 'empty', /corrupt-.*-empty$/],
      ['rotten', flipped, 'corrupt', 'checksum-mismatch', /corrupt-.*-checksum-mismatch$/],
      ['foreign', Buffer.from('{}'), 'foreign', 'not-our-format', /foreign-.*-not-our-format$/],
      ['of a later version', newer, 'newer', 'version-2', undefined],
    ];
    for (const [it, octets, kind, reason, name] of cases) {
      const disk = await diskWith(octets);
      const { snapshot, time, log, put } = processOn({ files: disk.files });
      const load = await snapshot.start();
      t.match(load.fault, { kind, reason }, it);
      t.ok(
        log.lines.some(({ level }) => level === 'error'),
        `${it}: said in the log`,
      );
      const names = await disk.files.readdir('/state');
      if (name === undefined)
        t.strictSame(names, ['answers.snapshot'], `${it}: stays until it would be replaced`);
      else t.match(names, [name], it);
      await time.advance(60_000);
      t.match(
        await readFile(disk),
        { entries: 0, fault: undefined },
        `${it}: written again, even without an answer`,
      );
      put('a.example');
      await time.advance(60_000);
      t.match(await readFile(disk), { entries: 1, fault: undefined }, `${it}: it goes on`);
      t.equal((await disk.files.readdir('/state')).length, 2, `${it}: and what was there is kept`);
    }
  },
);

async function diskWith(octets: Uint8Array): Promise<PowerCutDisk> {
  const disk = new PowerCutDisk();
  const file = await disk.files.open(PATH, 0o101);
  for (let at = 0; at < octets.length; )
    at += (await file.write(octets, at, octets.length - at)).bytesWritten;
  return disk;
}

t.test('a real file cut off at any length: a part of it is loaded, and it is set aside', async (t) => {
  const source = new PowerCutDisk();
  const { snapshot, put, time } = processOn({ files: source.files });
  await snapshot.start();
  for (let n = 0; n < 12; n++) put(`n${n}.example`, 80_000);
  await time.advance(50_000);
  const file = await source.files.open(PATH, 0);
  const whole = new Uint8Array(5000);
  let length = 0;
  for (let got = 1; got > 0; length += got) got = (await file.read(whole, length, 5000 - length)).bytesRead;
  const kept = new Set<number>();
  const wrong: string[] = [];
  for (let cut = 0; cut <= length; cut++) {
    const disk = await diskWith(whole.subarray(0, cut));
    const after = processOn({ files: disk.files, at: '2026-01-01T00:01:00Z' });
    const { verdicts, fault } = await after.snapshot.start();
    const { kept: some, ...others } = verdicts;
    kept.add(some);
    if (Object.values(others).some((count) => count > 0)) wrong.push(`${cut}: ${JSON.stringify(verdicts)}`);
    if ((fault === undefined) !== (cut === length)) wrong.push(`${cut}: ${fault?.reason}`);
  }
  t.strictSame(wrong, []);
  t.strictSame([...kept].sort(), [0, 12], 'it is one block: all of it, or nothing');
});

t.test('of snapshots set aside as corrupt the newest two are kept', async (t) => {
  const disk = new PowerCutDisk();
  for (const [n, text] of ['a', 'b', 'c', 'd'].entries()) {
    const file = await disk.files.open(PATH, 0o101);
    await file.write(Buffer.from(`outpost-dns answers\n${text}`), 0, 21);
    await processOn({ files: disk.files, at: `2026-01-0${n + 1}T00:00:00Z` }).snapshot.start();
  }
  t.strictSame((await disk.files.readdir('/state')).sort(), [
    'answers.snapshot.corrupt-20260103T000000Z-torn',
    'answers.snapshot.corrupt-20260104T000000Z-torn',
  ]);
});

t.test(
  'a disk that refuses: logged once, nothing lost in memory, and tried again with the next write',
  async (t) => {
    const disk = new PowerCutDisk();
    let isFull = false;
    const files = watchedFiles(({ name }) => {
      if (isFull && name === 'write') throw systemError('ENOSPC');
    }, disk.files);
    const { snapshot, put, time, log } = processOn({ files });
    await snapshot.start();
    put('a.example');
    await time.advance(60_000);
    isFull = true;
    put('b.example');
    await time.advance(300_000);
    t.match(snapshot.state(), { writeFailures: 6, lastFailure: { code: 'ENOSPC' } });
    t.equal(log.lines.filter(({ level }) => level === 'error').length, 1);
    t.match(await readFile(disk), { entries: 1, fault: undefined }, 'the file from before');
    t.strictSame(await disk.files.readdir('/state'), ['answers.snapshot'], 'and nothing beside it');
    isFull = false;
    await time.advance(60_000);
    t.match(await readFile(disk), { entries: 2, fault: undefined });
    t.equal(snapshot.state().lastFailure, undefined);
    t.ok(log.lines.some(({ text }) => text.includes('again')));
    for (const operation of ['open', 'read', 'stat'] as const) {
      const unreadable = watchedFiles(({ name, path }) => {
        if (name === operation && path === PATH) throw systemError('EACCES');
      }, disk.files);
      const other = processOn({ files: unreadable });
      t.match((await other.snapshot.start()).fault, { kind: 'unreadable', reason: 'eacces' }, operation);
    }
  },
);

t.test(
  'a stop while it loads leaves the file alone, and nothing is written before all is loaded',
  async (t) => {
    const disk = new PowerCutDisk();
    const before = processOn({ files: disk.files });
    await before.snapshot.start();
    for (let n = 0; n < 3000; n++) before.put(`n${n}.example`);
    await before.time.advance(50_000);
    const entries = before.snapshot.state().lastWrite?.answers;
    let reads = 0;
    const files = watchedFiles(async ({ name }) => {
      if (name !== 'read' || ++reads !== 5) return;
      after.put('meanwhile.example');
      t.match(await after.snapshot.write(), { kind: 'unchanged' }, 'a write while it loads');
      stopping = after.snapshot.stop();
    }, disk.files);
    let stopping: Promise<void> | undefined;
    const after = processOn({ files });
    const { verdicts } = await after.snapshot.start();
    await stopping;
    t.ok(verdicts.kept < 3000);
    t.match(await readFile(disk), { entries, fault: undefined });
    const never = processOn({ files: disk.files });
    await never.snapshot.stop();
    t.match(await readFile(disk), { entries, fault: undefined }, 'nor does a stop without a start');
  },
);

t.test('a defect that a file triggers does not come back with the next start', async (t) => {
  const disk = new PowerCutDisk();
  const before = processOn({ files: disk.files });
  await before.snapshot.start();
  before.put('a.example');
  await before.snapshot.stop();
  const after = processOn({
    files: disk.files,
    cache: (real) => ({
      revision: 0,
      stats: () => real.stats(),
      entries: () => {
        throw new Error('a bug of entries');
      },
      load: () => {
        throw new Error('a bug of load');
      },
      restoreOrder: (nowMs) => real.restoreOrder(nowMs),
    }),
  });
  t.match((await after.snapshot.start()).fault, {
    kind: 'corrupt',
    reason: 'internal',
    detail: 'a bug of load',
  });
  t.match(await after.snapshot.write(), { kind: 'failed', code: 'INTERNAL' });
  t.match((await disk.files.readdir('/state')).sort(), [/corrupt-.*-internal$/]);
});

t.test(
  'a power cut at any operation of a write leaves the file from before or the new one, whole',
  async (t) => {
    let states = 0;
    for (let cutAt = 0; ; cutAt++) {
      const disk = new PowerCutDisk();
      const { snapshot, put } = processOn({ files: disk.files });
      await snapshot.start();
      put('a.example');
      await snapshot.write();
      const begun = disk.operations;
      disk.cutAt = begun + cutAt;
      for (let n = 0; n < 20; n++) put(`n${n}.example`);
      const { kind } = await snapshot.write();
      for (let kept = 0; kept < 1 << disk.unsyncedNames; kept++) {
        for (const tear of [
          () => new Uint8Array(0),
          (octets: Uint8Array) => octets.slice(0, octets.length >> 1),
        ]) {
          states++;
          const found = await readFile(disk.recover(kept, tear));
          if (found.fault !== undefined || ![1, 21].includes(found.entries))
            t.fail(`cut at ${cutAt}: ${JSON.stringify(found)}`);
        }
      }
      if (kind === 'written') break;
    }
    t.ok(states > 10, `${states} states`);
  },
);
