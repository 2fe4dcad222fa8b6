/** When the snapshot of answers is written, and how old its answers are in the process that loads it. */
import t from 'tap';
import { answerWhileStale, freshness } from '../../src/serving/answer-cache/cached-answer.ts';
import type { SnapshotCache } from '../../src/store/answers-snapshot.ts';
import type { FileSystem } from '../../src/store/file-system.ts';
import { systemError } from '../helpers/system-error.ts';
import { asked, nxdomain, positive, settings } from '../serving/answer-cache/asked.ts';
import { watchedFiles } from './faulty-files.ts';
import { PowerCutDisk } from './power-cut-disk.ts';
import { PATH, type Process, processOn, readFile } from './snapshot-setup.ts';

const DAY = 86_400_000;

t.test('answers up to a minute ago are there after a kill, as fresh as they were', async (t) => {
  const disk = new PowerCutDisk();
  const before = processOn({ files: disk.files });
  await before.snapshot.start();
  before.put('a.example', 300);
  await before.time.advance(20_000);
  before.put('b.example', 30);
  before.put('c.example', 100);
  before.put('c.example', 60, nxdomain('c.example', 60));
  await before.time.advance(60_000);
  before.put('late.example');
  // killed here, and back after 20 s
  const after = processOn({ files: disk.files, at: '2026-01-01T00:01:40Z' });
  const load = await after.snapshot.start();
  t.match(load, { verdicts: { kept: 3, refused: 0, expired: 0 } });
  t.notOk(after.has('late.example'), 'what came after the last snapshot is lost');
  const found = (name: string) => after.cache.find(asked(name), after.time.monotonicMs())!;
  const state = (name: string) => freshness(found(name), after.time.monotonicMs(), settings);
  t.equal(state('a.example'), 'fresh');
  t.equal(
    after.time.monotonicMs() - found('a.example').storedAtMs,
    100_000,
    'aged by 80 s there and 20 s away',
  );
  t.equal(state('b.example'), 'stale');
  t.equal(state('c.example'), 'stale', 'the denial');
  t.equal(answerWhileStale(found('c.example'), 0, settings).kind, 'positive', 'and what it hid');
});

const HOUR = 3_600_000;

/** A cache with this number of answers, of which some change all the time. */
function changingCache(answers: number): SnapshotCache {
  const octets = positive('registry-12345.dkr.example.com', 300);
  const kind = 'positive';
  const rest = {
    dnssecOk: false,
    checkingDisabled: false,
    hits: 1,
    idleMs: 0,
    ageMs: 0,
    lifetimeMs: 300_000,
  };
  let revision = 0;
  return {
    get revision() {
      return ++revision;
    },
    stats: () => ({ entries: answers }),
    *entries() {
      for (let at = 0; at < answers; at++) yield { kind, octets, ...rest } as const;
    },
    load: () => 'kept',
    restoreOrder: () => [],
  };
}

/** Files that are never read, and take a moment that virtual time does not see. */
const nowhere: FileSystem = {
  open: async (path) => {
    if (path === PATH) throw systemError('ENOENT', 'open');
    return {
      stat: async () => ({ size: 0, isFile: () => true }),
      read: async () => ({ bytesRead: 0 }),
      write: async (octets) => ({ bytesWritten: octets.length }),
      sync: async () => {},
      close: async () => {},
    };
  },
  link: async () => {},
  rename: async () => {},
  unlink: async () => {},
  readdir: async () => [],
  mkdir: async () => undefined,
};

/** Moves time in steps, in each of which a write that begins also ends; returns the moments of those writes. */
async function steps(process: Process, ms: number, each: () => void = () => {}): Promise<number[]> {
  const { snapshot, time } = process;
  const writtenAtMs: number[] = [];
  for (let leftMs = ms; leftMs > 0; leftMs -= 10_000) {
    await time.advance(10_000);
    each();
    const at = snapshot.state().writtenAtMs;
    if (at !== undefined && at !== writtenAtMs.at(-1)) writtenAtMs.push(at);
  }
  return writtenAtMs;
}

t.test(
  'a day of steady change costs the disk no more than it can bear, for any size of the file',
  async (t) => {
    for (const [answers, hours, isFlapping, mostMb] of [
      [500, 24, false, 270],
      [50_000, 24, false, 300],
      [50_000, 3, true, 1_200],
    ] as const) {
      const settings = { sizeOctets: 64 * 1024 * 1024 };
      const process = processOn({ files: nowhere, cache: () => changingCache(answers), settings });
      await process.snapshot.start();
      const cut = () => process.snapshot.noteCut();
      const writes = (await steps(process, hours * HOUR, isFlapping ? cut : undefined)).length;
      const octets = process.snapshot.state().lastWrite!.octets;
      const aDay = (octets * writes * 24) / hours / 1e6;
      const before = (octets * (86_400 / 50)) / 1e6;
      const link = isFlapping ? ', the link flaps all the time' : '';
      const figures = `${(octets / 1e6).toFixed(2)} MB ${(writes * 24) / hours} times a day, ${aDay.toFixed(0)} MB`;
      t.comment(`${answers} answers${link}: ${figures}; every 50 s it were ${before.toFixed(0)} MB`);
      t.ok(aDay < mostMb, `${aDay} MB`);
      t.ok(writes >= hours, 'every hour at least');
      await process.snapshot.stop();
    }
  },
);

t.test('a cut makes it written at once, or a quarter of the usual time after the last write', async (t) => {
  for (const [agoMs, withinMs] of [
    [700_000, 10_000],
    [60_000, 450_000],
  ] as const) {
    const settings = { sizeOctets: 64 * 1024 * 1024 };
    const process = processOn({ files: nowhere, cache: () => changingCache(50_000), settings });
    await process.snapshot.start();
    await steps(process, 60_000);
    t.equal((await steps(process, agoMs)).length, 1, 'nothing is due');
    process.snapshot.noteCut();
    t.equal(
      (await steps(process, withinMs)).length,
      1 + Number(agoMs < 100_000),
      `${agoMs} ms after the last write`,
    );
    await process.snapshot.stop();
  }
});

t.test('it is written at most every 50 s, only after a change, and at the end', async (t) => {
  const disk = new PowerCutDisk();
  let writes = 0;
  const files = watchedFiles(({ name, path }) => {
    if (name === 'rename' && path === PATH) writes++;
  }, disk.files);
  const { time, snapshot, put, cache } = processOn({ files });
  await snapshot.start();
  const steps: [it: string, change: () => void, ms: number, want: number][] = [
    ['nothing to write', () => {}, 300_000, 0],
    ['one answer', () => put('a.example'), 60_000, 1],
    ['reads alone', () => void cache.find(asked('a.example'), time.monotonicMs()), 300_000, 1],
    ['failures alone', () => void cache.noteFailure(asked('x.example'), time.monotonicMs()), 300_000, 1],
    ['a flush', () => cache.flush(), 60_000, 2],
  ];
  for (const [it, change, ms, want] of steps) {
    change();
    await time.advance(ms);
    t.equal(writes, want, it);
  }
  for (let n = 0; n < 100; n++) {
    put(`n${n}.example`);
    await time.advance(10_000);
  }
  t.equal(writes, 2 + 20, 'steady change: every 50 s');
  put('last.example');
  await snapshot.stop();
  t.equal(writes, 23, 'at the end');
  await time.advance(600_000);
  t.equal(writes, 23, 'and none after it');
  t.equal(time.pendingTimers, 0);
  t.match(await readFile(disk), { entries: 101, fault: undefined });
  const quiet = processOn({ files });
  await quiet.snapshot.start();
  await quiet.snapshot.stop();
  t.equal(writes, 23, 'a start and a stop without a change write nothing');
});

t.test(
  'a wrong clock makes no answer fresh and drops none; a clock that may be right is believed',
  async (t) => {
    const written = '2026-01-01T00:00:00Z';
    const cases: [it: string, at: string, short: string, long: string, old: string][] = [
      ['at once', '2026-01-01T00:00:50Z', 'fresh', 'fresh', 'stale'],
      ['two minutes later', '2026-01-01T00:02:50Z', 'stale', 'fresh', 'stale'],
      [
        'a day and a half later: the stale time of some is over',
        '2026-01-02T12:00:00Z',
        'expired',
        'stale',
        'expired',
      ],
      ['a month later', '2026-01-30T00:00:00Z', 'expired', 'expired', 'expired'],
      ['a second back', '2026-01-01T00:00:49Z', 'stale', 'stale', 'stale'],
      ['a day back', '2025-12-31T00:00:00Z', 'stale', 'stale', 'stale'],
      ['in 1970', '1970-01-01T00:00:10Z', 'stale', 'stale', 'stale'],
      ['in 2036', '2036-02-07T06:28:16Z', 'stale', 'stale', 'stale'],
      ['in 2106', '2106-02-07T06:28:16Z', 'stale', 'stale', 'stale'],
    ];
    for (const [it, at, ...want] of cases) {
      const disk = new PowerCutDisk();
      const before = processOn({ files: disk.files, at: '2025-12-31T23:50:50Z' });
      await before.snapshot.start();
      before.put('old.example', 60);
      await before.time.advance(600_000);
      before.put('short.example', 100);
      before.put('long.example', 86_400);
      before.time.setWall(written);
      await before.time.advance(50_000);
      await before.snapshot.stop();
      const { cache, snapshot, time } = processOn({ files: disk.files, at });
      await snapshot.start();
      const states = ['short', 'long', 'old'].map((name) => {
        const answer = cache.find(asked(`${name}.example`), time.monotonicMs());
        return answer === undefined ? 'expired' : freshness(answer, time.monotonicMs(), settings);
      });
      t.strictSame(states, want, it);
      if (!['a second back', 'a day back', 'in 1970', 'in 2036', 'in 2106'].includes(it)) continue;
      const answer = cache.find(asked('old.example'), 0)!;
      const leftMs = answer.storedAtMs + answer.lifetimeMs + DAY;
      t.ok(leftMs > 0 && leftMs <= DAY, `${it}: given for the rest of the stale time, ${leftMs} ms`);
      t.equal(answer.storedAtMs, -650_000, `${it}: as old as it was known to be`);
      await time.advance(DAY + 1);
      t.equal(cache.find(asked('long.example'), time.monotonicMs()), undefined, `${it}: not for ever`);
    }
  },
);

t.test('a clock that is set while answers are loaded or written makes no age jump', async (t) => {
  const disk = new PowerCutDisk();
  const before = processOn({ files: disk.files });
  await before.snapshot.start();
  for (let n = 0; n < 2000; n++) before.put(`n${n}.example`, 86_400);
  await before.time.advance(50_000);
  await before.snapshot.stop();
  let reads = 0;
  const files = watchedFiles(({ name }) => {
    if (name === 'read' && ++reads % 2 === 0)
      after.time.setWall(reads % 4 === 0 ? '1970-01-01T00:00:00Z' : '2099-01-01T00:00:00Z');
  }, disk.files);
  const after = processOn({ files, at: '2026-01-01T00:01:00Z', settings: { sizeOctets: 8 << 20 } });
  await after.snapshot.start();
  t.ok(reads > 6, `${reads} reads`);
  const ages = new Set(
    [...after.cache.entries(after.time.monotonicMs())]
      .map((entry) => entry?.ageMs)
      .filter((ms) => ms !== undefined),
  );
  t.strictSame([...ages], [60_000]);
});

t.test('answers of servers that are not asked any more are loaded as stale', async (t) => {
  const disk = new PowerCutDisk();
  const before = processOn({ files: disk.files, scope: 'upstream 10.0.0.2' });
  await before.snapshot.start();
  before.put('a.example', 80_000);
  await before.time.advance(50_000);
  const later = { files: disk.files, at: '2026-01-01T00:02:00Z' };
  const stateIn = async (scope: string) => {
    const { cache, snapshot } = processOn({ ...later, scope });
    await snapshot.start();
    return freshness(cache.find(asked('a.example'), 0)!, 0, settings);
  };
  t.equal(await stateIn('upstream 10.0.0.2'), 'fresh');
  t.equal(await stateIn('upstream 10.0.0.3'), 'stale');
  const { sizeOctets } = settings;
  before.snapshot.reconfigure({ sizeOctets, scope: 'upstream 10.0.0.2' });
  t.match(await before.snapshot.write(), { kind: 'unchanged' });
  before.snapshot.reconfigure({ sizeOctets, scope: 'upstream 10.0.0.3' });
  t.match(await before.snapshot.write(), { kind: 'written' }, 'a reload is no reason to wait for a change');
  t.equal(await stateIn('upstream 10.0.0.3'), 'fresh');
});

t.test('the file is never larger than the cache may be, and holds what was used last', async (t) => {
  const disk = new PowerCutDisk();
  // a cache that counts answers as smaller than they are on disk
  const { snapshot, put, time, cache } = processOn({
    files: disk.files,
    cache: (real) => real,
    settings: { sizeOctets: 4 << 20 },
  });
  await snapshot.start();
  for (let n = 0; n < 3000; n++) put(`n${n}.example`);
  await time.advance(10_000);
  for (let n = 0; n < 100; n++) cache.find(asked(`n${n}.example`), time.monotonicMs());
  snapshot.reconfigure({ sizeOctets: 30_000, scope: 'scope' });
  await time.advance(50_000);
  const { lastWrite } = snapshot.state();
  t.ok(
    (lastWrite?.octets ?? 0) <= 30_000 && (lastWrite?.octets ?? 0) > 25_000,
    `${lastWrite?.octets} octets`,
  );
  t.match(await readFile(disk), { entries: lastWrite?.answers, fault: undefined });
  const after = processOn({ files: disk.files, at: '2026-01-01T00:01:10Z' });
  await after.snapshot.start();
  for (let n = 0; n < 100; n++) if (!after.has(`n${n}.example`)) t.fail(`n${n} was used last`);
});
