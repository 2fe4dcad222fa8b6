/** The pin of a command, through the plane: it wins for its time, over restarts, reloads and clocks that were set. */
import t from 'tap';
import { addressesOf, type EndpointRecord } from '../../src/records/endpoint-record.ts';
import type { ClusterSettings } from '../../src/refresh/cluster-sources.ts';
import type { Change } from '../../src/refresh/reconcile/changes.ts';
import { RefreshPlane } from '../../src/refresh/refresh-plane.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { clusterSettings, evenRandom, ScriptedSource, sees, times } from './scripted-source.ts';

const [A, B, P, Q] = ['10.0.0.1', '10.0.0.2', '10.0.9.1', '10.0.9.2'];
const HOUR_MS = 3_600_000;
const PIN = { addresses: [P], why: 'the ENIs moved', by: 'ada', forMs: 4 * HOUR_MS };
const ONE = { name: 'one', region: 'us-west-2' };
const START = '2026-01-01T00:00:00Z';

function settings(more: Partial<ClusterSettings> = {}): ClusterSettings {
  const sources = [new ScriptedSource('dns', sees('dns', A, B))];
  return clusterSettings({ name: 'one', endpoint: 'one.example', sources, ...more });
}

/** A process on a host whose wall clock says `wallStart`, with the records that an earlier process left. */
async function process(records: readonly EndpointRecord[], wallStart = START, cluster = settings()) {
  const time = new VirtualTime(wallStart);
  let saved: readonly EndpointRecord[] = [];
  let published: readonly EndpointRecord[] = [];
  const changes: Change[] = [];
  const plane = new RefreshPlane({
    clusters: [cluster],
    times,
    clock: time,
    timers: time,
    random: evenRandom,
    log: new CollectingLog(),
    save: async (given) => {
      saved = given;
    },
    publish: (given) => {
      published = given;
    },
    evidence: () => {},
    onChanges: (_, changed) => changes.push(...changed),
  });
  await plane.load(records);
  await plane.start();
  await time.advance(1_000);
  return {
    time,
    plane,
    changes,
    served: () => published.flatMap(addressesOf),
    snapshot: () => plane.snapshot().clusters[0],
    kinds: () => changes.flatMap(({ kind }) => (kind === 'pinned' || kind === 'unpinned' ? [kind] : [])),
    /** What the disk has now, as a reader of the file gets it. */
    disk: () => {
      const file = { generation: 1, writtenAtMs: time.wallMs(), content: saved };
      const encoded = atOnce(ENDPOINTS.encode(file));
      if (encoded.kind !== 'encoded') throw new Error(encoded.detail);
      const decoded = atOnce(ENDPOINTS.decode(encoded.octets));
      if (decoded.kind !== 'ok') throw new Error(decoded.kind);
      return decoded.file.content;
    },
  };
}

t.test('a pin is served at once, is shown, and ends by itself', async (t) => {
  const { plane, time, served, snapshot, changes, kinds } = await process([]);
  t.strictSame(served(), [A, B]);
  await plane.repin(ONE, PIN);
  t.strictSame(served(), [P]);
  t.match(snapshot(), {
    basis: 'pin',
    pin: {
      origin: 'command',
      addresses: [P],
      why: 'the ENIs moved',
      by: 'ada',
      endsInMs: 4 * HOUR_MS,
      unpinned: [A, B],
    },
    warnings: [/ada has pinned the addresses to 10\.0\.9\.1 for 4 h more \("the ENIs moved"\)/],
  });
  await time.advance(HOUR_MS / 3);
  t.match(snapshot()?.warnings, [/for 4 h more/], 'to the nearest hour, as every age in panels and commands');
  await time.advance(4 * HOUR_MS - HOUR_MS / 3 - 1_000);
  t.strictSame(served(), [P], 'the sources say the other addresses all the time');
  await time.advance(1_100);
  t.strictSame(served(), [A, B]);
  t.equal(snapshot()?.pin, undefined);
  t.strictSame(kinds(), ['pinned', 'unpinned']);
  t.match(
    changes.find(({ kind }) => kind === 'unpinned'),
    { by: 'time', ranMs: 4 * HOUR_MS },
  );
  await plane.stop();
});

t.test('unpin brings back what the sources say, and a new pin replaces an old one', async (t) => {
  const { plane, served, kinds, changes } = await process([]);
  await plane.repin(ONE, PIN);
  await plane.repin(ONE, { ...PIN, addresses: [Q] });
  t.strictSame(served(), [Q]);
  await plane.repin(ONE, undefined);
  t.strictSame(served(), [A, B]);
  t.strictSame(kinds(), ['pinned', 'unpinned', 'pinned', 'unpinned']);
  t.match(changes.at(-1), { kind: 'addresses' });
  t.match(
    changes.find(({ kind }) => kind === 'unpinned'),
    { by: 'command' },
  );
  await plane.stop();
});

t.test('where no source has ever found an address, the pinned addresses stay after the pin', async (t) => {
  const silent = settings({ sources: [] });
  const { plane, time, served, snapshot } = await process([], START, silent);
  await plane.repin(ONE, { ...PIN, forMs: 60_000 });
  await time.advance(61_000);
  t.strictSame(served(), [P]);
  t.match(snapshot(), { basis: 'kept', pin: undefined });
  await plane.stop();
});

t.test('a pin over addresses that only an earlier pin named gives those back', async (t) => {
  const silent = settings({ sources: [], pin: [Q] });
  const { plane, time, served } = await process([], START, silent);
  await plane.reconfigure([settings({ sources: [] })]);
  await plane.repin(ONE, { ...PIN, forMs: 60_000 });
  t.strictSame(served(), [P]);
  await time.advance(30_000);
  await plane.reconfigure([settings({ sources: [] })]);
  await time.advance(31_000);
  t.strictSame(served(), [Q]);
  await plane.stop();
});

t.test('a pin in the configuration wins, says so, and gives way to the command when it goes', async (t) => {
  const { plane, time, served, snapshot } = await process([]);
  await plane.repin(ONE, PIN);
  await plane.reconfigure([settings({ pin: [Q] })]);
  await time.advance(0);
  t.strictSame(served(), [Q]);
  t.match(snapshot(), {
    pin: {
      origin: 'configuration',
      addresses: [Q],
      unpinned: [A, B],
      overruled: { addresses: [P], by: 'ada' },
    },
  });
  t.ok(
    snapshot()?.warnings.some((warning) => /that pin wins over the pin of ada to 10\.0\.9\.1/.test(warning)),
  );
  await plane.reconfigure([settings()]);
  await time.advance(0);
  t.strictSame(served(), [P], 'the time of the command is not over');
  await plane.reconfigure([settings({ pin: [Q] })]);
  await time.advance(4 * HOUR_MS + 1_000);
  t.match(snapshot(), { pin: { origin: 'configuration', overruled: undefined } }, 'it ends beneath, too');
  await plane.stop();
});

t.test('a reload that forbids the pinned address takes it out of the answers, and says so', async (t) => {
  const { plane, time, served, snapshot } = await process([]);
  await plane.repin(ONE, { ...PIN, addresses: [P, '10.0.0.9'] });
  await plane.reconfigure([settings({ allowedAddresses: ['10.0.0.0/24'] })]);
  await time.advance(0);
  t.strictSame(served(), ['10.0.0.9']);
  t.match(snapshot(), { pin: { refused: [P] } });
  t.ok(
    snapshot()?.warnings.some((warning) => /allowedAddresses refuses 10\.0\.9\.1 of the pin/.test(warning)),
  );
  await plane.reconfigure([settings({ allowedAddresses: ['10.0.0.0/30'] })]);
  await time.advance(0);
  t.strictSame(served(), [A, B], 'a pin without an address left has no effect');
  await plane.stop();
});

for (const [what, wallStart, leftMs] of [
  ['at once', '2026-01-01T01:00:01Z', 3 * HOUR_MS],
  ['two hours later', '2026-01-01T03:00:01Z', HOUR_MS],
  ['after the end of the pin', '2026-01-01T04:00:02Z', 0],
  ['a day later', '2026-01-02T00:00:00Z', 0],
  ['with a clock without a battery', '1970-01-01T00:00:10Z', 3 * HOUR_MS],
  ['with a clock set back by an hour', '2026-01-01T00:00:01Z', 3 * HOUR_MS],
  ['with a clock ten years ahead', '2036-01-01T00:00:00Z', 3 * HOUR_MS],
] as const) {
  t.test(`killed after an hour and started ${what}`, async (t) => {
    const before = await process([]);
    await before.plane.repin(ONE, PIN);
    await before.time.advance(HOUR_MS);
    const disk = before.disk();
    await before.plane.stop();
    const after = await process(disk, wallStart);
    const { pin } = after.snapshot() ?? {};
    if (leftMs === 0) {
      t.equal(pin, undefined);
      t.strictSame(after.served(), [A, B]);
      t.strictSame(after.kinds(), ['unpinned'], 'the ledger hears of it');
    } else {
      t.strictSame(after.served(), [P]);
      t.match(pin, { why: 'the ENIs moved', by: 'ada' });
      // what is left of a pin is composed again every ten seconds
      t.ok(Math.abs((pin?.endsInMs ?? 0) - leftMs) <= 11_000, `left: ${pin?.endsInMs}`);
      await after.time.advance(leftMs + 11_000);
      t.strictSame(after.served(), [A, B], 'and ends by itself');
    }
    await after.plane.stop();
  });
}

t.test('what is left is on the disk in a cut, too, where no source confirms anything', async (t) => {
  const { plane, time, disk } = await process([], START, settings({ sources: [] }));
  await plane.repin(ONE, PIN);
  await time.advance(HOUR_MS);
  const leftMs = disk()[0]?.pin?.leftMs ?? 0;
  t.ok(Math.abs(leftMs - 3 * HOUR_MS) <= 11_000, `left: ${leftMs}`);
  await plane.stop();
});

t.test('a wall clock that jumps while the server runs makes no pin shorter or longer', async (t) => {
  for (const wall of ['1970-01-01T00:00:00Z', '2026-01-01T06:00:00Z', '2040-01-01T00:00:00Z']) {
    const { plane, time, served, disk } = await process([]);
    await plane.repin(ONE, PIN);
    await time.advance(HOUR_MS);
    time.setWall(wall);
    await time.advance(60_000);
    t.strictSame(served(), [P], wall);
    const again = await process(disk(), new Date(time.wallMs()).toISOString());
    t.strictSame(again.served(), [P], `${wall}, after a restart`);
    await again.plane.stop();
    await time.advance(3 * HOUR_MS - 61_000);
    t.strictSame(served(), [P], wall);
    await time.advance(2_000);
    t.strictSame(served(), [A, B], wall);
    await plane.stop();
  }
});

t.test('a cluster that leaves the configuration and returns still has its pin', async (t) => {
  const { plane, time, served } = await process([]);
  await plane.repin(ONE, PIN);
  await plane.reconfigure([]);
  await time.advance(HOUR_MS);
  t.strictSame(served(), []);
  await plane.reconfigure([settings()]);
  await time.advance(1_000);
  t.strictSame(served(), [P]);
  await time.advance(3 * HOUR_MS);
  t.strictSame(served(), [A, B]);
  await plane.stop();
});
