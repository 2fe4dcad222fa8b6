import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { AddressProof, EndpointRecord } from '../../src/records/endpoint-record.ts';
import { type FileSystem, systemFiles } from '../../src/store/file-system.ts';
import { systemError } from '../helpers/system-error.ts';
import { watchedFiles } from './faulty-files.ts';
import { record, served, wholeSet } from './record-sets.ts';
import { fileOf, kinds, onDisk, readEndpoints, setUp, summary } from './store-setup.ts';

t.test('saved records are loaded again, and generations count on across restarts', async (t) => {
  const directory = t.testdir();
  for (const number of [1, 2, 3]) {
    const { store } = setUp(directory);
    await store.load();
    t.match(await store.save(wholeSet(number)), { kind: 'saved', generation: number });
    t.equal(store.state().generation, number);
  }
  t.equal(summary(await setUp(directory).store.load()), 'current 3 generation 3');
  renameSync(join(directory, 'endpoints.previous.json'), join(directory, 'endpoints.json'));
  t.equal(
    summary(await setUp(directory).store.load()),
    'current 2 generation 2',
    'previous is a whole file too',
  );
});

t.test(
  'the same records are not written twice, in this process or after a restart, in any order',
  async (t) => {
    const directory = t.testdir();
    const { store } = setUp(directory);
    const reordered = wholeSet(1)
      .map((item) => ({ ...item, addresses: [...item.addresses].reverse() }))
      .reverse();
    const outcomes = [
      await store.save(wholeSet(1)),
      await store.save(wholeSet(1)),
      await store.save(reordered),
    ];
    t.strictSame(kinds(outcomes), ['saved', 'unchanged', 'unchanged']);
    t.equal((await setUp(directory).store.save(wholeSet(1))).kind, 'unchanged', 'without a load before it');
  },
);

t.test(
  'served from the previous generation, the same records are written: the current file is missing',
  async (t) => {
    const directory = t.testdir({ 'endpoints.previous.json': fileOf(1) });
    const { store } = setUp(directory);
    await store.load();
    t.equal((await store.save(wholeSet(1))).kind, 'saved');
    t.equal((await store.save(wholeSet(1))).kind, 'unchanged');
  },
);

t.test('each change: written at once, or at most once a minute where it ages by itself', async (t) => {
  const base = record('a', ['10.0.0.1', '10.0.0.2']);
  const withDetails: EndpointRecord = {
    ...base,
    details: { endpoint: 'a.example', subnetIds: ['s'], learnedAtMs: 1000 },
  };
  const [first, second] = base.addresses;
  const withProof = (proof: AddressProof) => ({ ...base, addresses: [{ ...first!, proof }, second!] });
  const seen = { firstSeenMs: 0, lastSeenMs: 0 };
  const table: Record<
    string,
    [before: EndpointRecord, after: EndpointRecord, expected: 'at once' | 'later' | 'never']
  > = {
    'an address more': [base, { ...base, addresses: [...base.addresses, served('10.0.0.3')] }, 'at once'],
    'an address less': [base, { ...base, addresses: [first!] }, 'at once'],
    'another address': [base, record('a', ['10.0.0.1', '10.0.0.9']), 'at once'],
    'another source for an address': [
      base,
      { ...base, addresses: [first!, { ...second!, provenance: { interfaces: seen } }] },
      'at once',
    ],
    'another basis': [base, { ...base, basis: 'overlap' }, 'at once'],
    'another endpoint name': [base, { ...base, endpoint: 'b.example' }, 'at once'],
    'a change held back': [base, { ...base, held: { addresses: [], reason: 'r', sinceMs: 0 } }, 'at once'],
    'details learned': [base, withDetails, 'at once'],
    'another subnet': [
      withDetails,
      { ...withDetails, details: { endpoint: 'a.example', subnetIds: ['t'], learnedAtMs: 1000 } },
      'at once',
    ],
    'addresses last seen': [base, record('a', ['10.0.0.1', '10.0.0.2'], Date.UTC(2026, 1, 1)), 'later'],
    'a confirmation': [base, { ...base, confirmedAtMs: { dns: 5, interfaces: 6 } }, 'later'],
    'the TTL, counting down in another cache': [base, { ...base, ttlSeconds: 17 }, 'later'],
    'a failed refresh': [base, { ...base, lastRefreshFailed: true }, 'later'],
    'details learned again': [
      withDetails,
      { ...withDetails, details: { endpoint: 'a.example', subnetIds: ['s'], learnedAtMs: 2000 } },
      'later',
    ],
    'a proof': [base, withProof({ state: 'proven', sinceMs: 5 }), 'at once'],
    'a proof lost': [
      withProof({ state: 'proven', sinceMs: 5 }),
      withProof({ state: 'unproven', sinceMs: 6 }),
      'at once',
    ],
    'a proof repeated': [
      withProof({ state: 'proven', sinceMs: 5, provenAtMs: 5 }),
      withProof({ state: 'proven', sinceMs: 5, provenAtMs: 6 }),
      'later',
    ],
    'the verdict of a probe': [base, { ...base, addresses: [{ ...first!, isLast: true }, second!] }, 'never'],
  };
  for (const [name, [before, after, expected]] of Object.entries(table)) {
    const { store, time } = setUp(t.testdir());
    await store.save([before]);
    await time.advance(59_999);
    t.equal((await store.save([after])).kind, expected === 'at once' ? 'saved' : 'unchanged', name);
    await time.advance(1);
    t.equal(
      (await store.save([after])).kind,
      expected === 'later' ? 'saved' : 'unchanged',
      `${name}, a minute on`,
    );
  }
});

t.test('flush writes the times that were held back, once', async (t) => {
  const { store, directory } = setUp(t.testdir());
  t.equal((await store.flush()).kind, 'unchanged', 'nothing was handed over');
  await store.save([record('a', ['10.0.0.1'])]);
  const later = [record('a', ['10.0.0.1'], Date.UTC(2026, 1, 1))];
  t.equal((await store.save(later)).kind, 'unchanged');
  t.strictSame(kinds([await store.flush(), await store.flush()]), ['saved', 'unchanged']);
  const { served } = await readEndpoints(systemFiles, directory);
  t.equal(served?.content[0]?.confirmedAtMs.dns, Date.UTC(2026, 1, 1));
});

/** Files whose writes wait until they are let go, one by one. */
function gated(): { files: FileSystem; begun: () => number; letGo: () => void } {
  const gates: PromiseWithResolvers<void>[] = [];
  let released = 0;
  const files = watchedFiles(async ({ name }) => {
    if (name !== 'write') return;
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    await gate.promise;
  });
  return { files, begun: () => gates.length, letGo: () => gates[released++]?.resolve() };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

t.test(
  'saves during a write: one more write, of the newest; every call resolves with a state as new as its own',
  async (t) => {
    const gate = gated();
    const directory = t.testdir({ 'endpoints.json': fileOf(9) });
    const { store } = setUp(directory, gate.files);
    const seen: Promise<[asked: number, found: number | undefined, outcome: string]>[] = [];
    const ask = (number: number) => {
      const saving = store.save(wholeSet(number));
      seen.push(saving.then(async (outcome) => [number, await onDisk(directory), outcome.kind]));
    };
    ask(1);
    await until(() => gate.begun() === 1);
    for (const number of [2, 3, 4]) ask(number);
    t.equal(store.state().pending, true);
    t.equal(typeof store.state().writingSinceMs, 'number');
    gate.letGo();
    await until(() => gate.begun() === 2);
    ask(5);
    gate.letGo();
    await until(() => gate.begun() === 3);
    t.equal(store.state().pending, true, 'one is still being written');
    gate.letGo();
    t.strictSame(await Promise.all(seen), [
      [1, 1, 'saved'],
      [2, 4, 'saved'],
      [3, 4, 'saved'],
      [4, 4, 'saved'],
      [5, 5, 'saved'],
    ]);
    t.equal(gate.begun(), 3, 'writes in all');
    t.match(store.state(), { generation: 12, pending: false, writingSinceMs: undefined });
  },
);

t.test('a flush that waits is not forgotten for a save that comes after it', async (t) => {
  const gate = gated();
  const directory = t.testdir();
  const seenAt = (ms: number) => [record('a', ['10.0.0.1'], ms)];
  await setUp(directory).store.save([record('a', ['10.0.0.2'], 1)]);
  const { store } = setUp(directory, gate.files);
  const all = [store.save(seenAt(1))];
  await until(() => gate.begun() === 1);
  all.push(store.save(seenAt(2)), store.flush(), store.save(seenAt(3)));
  gate.letGo();
  await Promise.race([until(() => gate.begun() === 2), Promise.all(all)]);
  gate.letGo();
  t.strictSame(kinds(await Promise.all(all)), ['saved', 'saved', 'saved', 'saved']);
});

t.test(
  'a save that fails: the outcome says why, the state shows it, the next one writes again',
  async (t) => {
    let code: string | undefined;
    const files = watchedFiles(({ name }) => {
      if (code !== undefined && name === 'write') throw systemError(code, name);
    });
    const { store, directory, time } = setUp(t.testdir(), files);
    await store.save(wholeSet(1));
    code = 'ENOSPC';
    await time.advance(1000);
    const failed = await store.save(wholeSet(2));
    t.match(failed, { kind: 'failed', code: 'ENOSPC', detail: /^write ".*\.tmp": ENOSPC/ });
    const startMs = Date.parse('2026-01-01T00:00:00Z');
    t.match(store.state(), {
      pending: true,
      lastSavedMs: 0, // monotonic: a wall clock that is set moves no age
      lastFailure: { code: 'ENOSPC', atMs: startMs + 1000 },
      writingSinceMs: undefined,
    });
    t.equal(await onDisk(directory), 1, 'the old file is whole');
    code = undefined;
    t.equal((await store.flush()).kind, 'saved', 'a retry without new records');
    t.equal(await onDisk(directory), 2);
    t.match(store.state(), { pending: false, lastSavedMs: 1000, lastFailure: undefined });
  },
);

t.test('a full disk is logged once, and tried again until a write succeeds', async (t) => {
  let isFull = true;
  const files = watchedFiles(({ name }) => {
    if (isFull && name === 'write') throw systemError('ENOSPC', name);
  });
  const { store, directory, time, log } = setUp(t.testdir(), files);
  await store.save(wholeSet(1));
  await store.save(wholeSet(2));
  t.match(store.state(), { failures: 2, lastFailure: { code: 'ENOSPC' } });
  t.match(log.lines, [{ level: 'error', fields: { code: 'ENOSPC', detail: /ENOSPC/ } }]);
  t.equal(log.lines.length, 1);
  isFull = false;
  await time.advance(30_000);
  await until(() => store.state().lastSavedMs !== undefined);
  t.equal(await onDisk(directory), 2, 'and tried again');
  t.match(store.state(), { failures: 2, lastFailure: undefined });
  await time.advance(600_000);
  t.equal(store.state().generation, 3, 'until it has worked');
});

t.test('a save that failed after its file was in place is not taken for the old content', async (t) => {
  let isFailing = false;
  const directory = t.testdir();
  const files = watchedFiles(({ name, path }) => {
    if (isFailing && name === 'sync' && path === directory) throw systemError('EIO', 'fsync');
  });
  const { store } = setUp(directory, files);
  await store.save(wholeSet(1));
  isFailing = true;
  t.equal((await store.save(wholeSet(2))).kind, 'failed');
  t.equal(await onDisk(directory), 2, 'already there, but not known to last');
  isFailing = false;
  t.equal((await store.save(wholeSet(1))).kind, 'saved', 'back to the first set');
  t.equal(await onDisk(directory), 1);
});

t.test('records that no file may hold fail the save and leave the file', async (t) => {
  const { store, directory } = setUp(t.testdir());
  await store.save(wholeSet(1));
  t.match(await store.save([record('a', ['10.0.0.300'])]), {
    kind: 'failed',
    code: 'REFUSED',
    detail: /IPv4/,
  });
  t.equal(await onDisk(directory), 1);
});

t.test('a bug below rejects the calls that wait for it, and the next save works', async (t) => {
  let hasBug = true;
  const files = watchedFiles(({ name }) => {
    if (hasBug && name === 'write') throw new TypeError('a bug');
  });
  const { store } = setUp(t.testdir(), files);
  await t.rejects(store.save(wholeSet(1)), TypeError);
  hasBug = false;
  t.equal((await store.save(wholeSet(1))).kind, 'saved');
});

t.test('a wrong clock, in either direction, stops neither save nor load', async (t) => {
  for (const wall of ['1970-01-01T00:00:00Z', '9999-12-30T00:00:00Z']) {
    const { store, time, directory } = setUp(t.testdir());
    time.setWall(wall);
    t.equal((await store.save(wholeSet(1))).kind, 'saved', wall);
    t.equal(summary(await setUp(directory).store.load()), 'current 1 generation 1', wall);
  }
});

t.test(
  'a generation that lacks an endpoint is no fallback: the first file with it is written twice',
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'outpost-dns-store-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const { store } = setUp(directory);
    const nameless = { ...record('a', []), addresses: [] };
    const kept = async () => {
      const broken = t.testdir({ 'endpoints.json': '{ "broken' });
      copyFileSync(join(directory, 'endpoints.previous.json'), join(broken, 'endpoints.previous.json'));
      const { served: found } = await readEndpoints(systemFiles, broken);
      return found?.content.flatMap(({ addresses }) => addresses.map(({ address }) => address)).toSorted();
    };
    await store.save([nameless]);
    t.strictSame(await kept(), [], 'the very first generation has a copy');
    await store.save([record('a', ['10.0.0.1'])]);
    t.strictSame(await kept(), ['10.0.0.1'], 'the first addresses');
    await store.save([record('a', ['10.0.0.1']), record('b', ['10.0.0.2'])]);
    t.strictSame(await kept(), ['10.0.0.1', '10.0.0.2'], 'a cluster that was added');
    await store.save([record('a', ['10.0.0.3']), record('b', ['10.0.0.2'])]);
    t.strictSame(await kept(), ['10.0.0.1', '10.0.0.2'], 'a change has the generation before it');
  },
);

t.test('content that is handed over before the file is read keeps what only the file knows', async (t) => {
  const directory = t.testdir();
  await setUp(directory).store.save([record('a', ['10.0.0.1']), record('b', ['10.0.0.2'])]);
  const disk = Promise.withResolvers<void>();
  const { store } = setUp(
    directory,
    watchedFiles(() => disk.promise),
  );
  const saved = store.save([record('a', ['10.0.0.9']), { ...record('b', []) }]);
  disk.resolve();
  t.match(await saved, { kind: 'saved' });
  const { served: kept } = await readEndpoints(systemFiles, directory);
  t.strictSame(
    kept?.content.map(({ cluster, addresses }) => [cluster, ...addresses.map(({ address }) => address)]),
    [
      ['a', '10.0.0.9'],
      ['b', '10.0.0.2'],
    ],
  );
});
