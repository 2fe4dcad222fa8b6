import t from 'tap';
import {
  addressesOf,
  type CheckResult,
  type EndpointRecord,
  type KnownAddress,
} from '../../src/records/endpoint-record.ts';
import type { Observation } from '../../src/records/observation.ts';
import type { AddressCheck } from '../../src/refresh/address-checks.ts';
import type { ClusterSettings } from '../../src/refresh/cluster-sources.ts';
import type { Change } from '../../src/refresh/reconcile/changes.ts';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import { RefreshPlane } from '../../src/refresh/refresh-plane.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { clusterSettings, evenRandom, fails, ScriptedSource, sees, times } from './scripted-source.ts';

const [A, B, C, D] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
const DAY_MS = 86_400_000;

function setUp(clusters: readonly ClusterSettings[], check?: AddressCheck, pause?: () => Promise<void>) {
  const time = new VirtualTime();
  const saved: (readonly EndpointRecord[])[] = [];
  const published: (readonly EndpointRecord[])[] = [];
  const changes: [string, Change['kind']][] = [];
  const withheld: Change[] = [];
  const disk = { save: async (): Promise<unknown> => ({ kind: 'saved' }) };
  const plane = new RefreshPlane({
    clusters,
    times,
    clock: time,
    timers: time,
    random: evenRandom,
    log: new CollectingLog(),
    save: (records) => {
      saved.push(records);
      return disk.save();
    },
    publish: (records) => published.push(records),
    evidence: () => {},
    onChanges: ({ cluster }, changed) => {
      changes.push(...changed.map(({ kind }): [string, Change['kind']] => [cluster, kind]));
      withheld.push(...changed.filter(({ kind }) => kind === 'withheld'));
    },
    ...(check === undefined ? {} : { check }),
    ...(pause === undefined ? {} : { pause }),
  });
  return { time, saved, published, changes, withheld, plane, disk };
}

function cluster(name: string, script: ScriptedSource['script'], more: Partial<ClusterSettings> = {}) {
  const dns = new ScriptedSource('dns', script);
  return { dns, settings: clusterSettings({ name, endpoint: `${name}.example`, sources: [dns], ...more }) };
}

function stored(name: string, wallMs: number, ...addresses: readonly string[]): EndpointRecord {
  const seen = { firstSeenMs: wallMs, lastSeenMs: wallMs };
  return {
    ...emptyRecord(name, 'us-west-2'),
    endpoint: `${name}.example`,
    addresses: addresses.map((address) => ({ address, provenance: { dns: seen } })),
    basis: 'name',
    ttlSeconds: 60,
    changedAtMs: wallMs,
    confirmedAtMs: { dns: wallMs },
  };
}

function summary(records: readonly EndpointRecord[] | undefined) {
  return records?.map((record) => [record.cluster, ...addressesOf(record)]);
}

t.test('what was stored is published before anything is polled', async (t) => {
  const one = cluster('one', fails('dns'));
  const { plane, published, time } = setUp([one.settings]);
  await plane.load([stored('one', time.wallMs() - DAY_MS, A, B)]);
  plane.start();
  t.strictSame(summary(published[0]), [['one', A, B]]);
  t.equal(published.length, 1);
  t.strictSame(
    published[0]?.[0]?.confirmedAtMs,
    { dns: time.wallMs() - DAY_MS },
    'with the times that it had',
  );
  await time.advance(60_000);
  t.strictSame(summary(plane.records()), [['one', A, B]]);
  t.equal(plane.snapshot().clusters[0]?.confirmedAgoMs, DAY_MS + 60_000);
  await plane.stop();
});

t.test('the records of all clusters are published whole when one changes, and saved before', async (t) => {
  const [one, two] = [cluster('one', sees('dns', A)), cluster('two', sees('dns', B))];
  const { plane, published, saved, time, changes, disk } = setUp([one.settings, two.settings]);
  await plane.load([]);
  plane.start();
  t.strictSame(summary(published[0]), [['one'], ['two']]);
  const slow = Promise.withResolvers<unknown>();
  disk.save = () => slow.promise;
  await time.advance(1_000);
  t.equal(published.length, 1, 'nothing is published before it is saved');
  slow.resolve({ kind: 'saved' });
  await time.advance(0);
  t.strictSame(summary(published.at(-1)), [
    ['one', A],
    ['two', B],
  ]);
  t.strictSame(summary(saved.at(-1)), [
    ['one', A],
    ['two', B],
  ]);
  t.strictSame(changes, [
    ['one', 'endpoint'], // from the settings, before any poll
    ['two', 'endpoint'],
    ['one', 'addresses'],
    ['two', 'addresses'],
  ]);
  await plane.stop();
});

t.test('a disk that fails or hangs keeps no right answer back', async (t) => {
  for (const save of [
    async () => ({ kind: 'failed', detail: 'full' }) as const,
    () => new Promise<unknown>(() => {}),
  ]) {
    const one = cluster('one', sees('dns', A));
    const { plane, disk, time, published } = setUp([one.settings]);
    disk.save = save;
    await plane.load([]);
    plane.start();
    await time.advance(2_500);
    t.strictSame(summary(published.at(-1)), [['one', A]]);
    void plane.stop();
    await time.advance(2_500);
  }
});

t.test('a kick makes every cluster poll', async (t) => {
  const [one, two] = [cluster('one', fails('dns')), cluster('two', fails('dns'))];
  const { plane, time } = setUp([one.settings, two.settings]);
  await plane.load([]);
  plane.start();
  await time.advance(300_000);
  const before = [one.dns.polls.length, two.dns.polls.length];
  plane.kick('link restored');
  await time.advance(1_000);
  t.strictSame(
    [one.dns.polls.length, two.dns.polls.length],
    before.map((count) => count + 1),
  );
  await plane.stop();
});

t.test(
  'over a reload clusters come and go, who stays keeps its record, and who returns finds it again',
  async (t) => {
    const [one, two, three] = [
      cluster('one', sees('dns', A)),
      cluster('two', sees('dns', B)),
      cluster('three', sees('dns', C)),
    ];
    const { plane, time, published, saved } = setUp([one.settings, two.settings]);
    await plane.load([]);
    plane.start();
    await time.advance(1_000);
    for (const { dns } of [one, two]) dns.script = fails('dns');

    await plane.reconfigure([two.settings, three.settings]);
    t.strictSame(summary(plane.records()), [['two', B], ['three']]);
    await time.advance(2_000);
    t.strictSame(summary(published.at(-1)), [
      ['two', B],
      ['three', C],
    ]);
    t.strictSame(
      summary(saved.at(-1)),
      [
        ['two', B],
        ['three', C],
        ['one', A],
      ],
      'what is not configured is kept on disk',
    );
    const polls = one.dns.polls.length;
    await time.advance(600_000);
    t.equal(one.dns.polls.length, polls, 'but not polled');

    await plane.reconfigure([one.settings]);
    await time.advance(2_000);
    t.strictSame(summary(published.at(-1)), [['one', A]]);
    t.equal(plane.snapshot().clusters[0]?.confirmedAgoMs, 605_000, 'as old as it is');
    await plane.stop();
    t.equal(time.pendingTimers, 0);
  },
);

t.test('records of clusters that are not configured are kept on disk and not served', async (t) => {
  const one = cluster('one', fails('dns'));
  const { plane, time, published, saved } = setUp([one.settings]);
  await plane.load([stored('gone', time.wallMs(), C), stored('one', time.wallMs(), A)]);
  plane.start();
  await time.advance(1_000);
  t.strictSame(summary(published.at(-1)), [['one', A]]);
  t.strictSame(summary(saved.at(-1)), [
    ['one', A],
    ['gone', C],
  ]);
  await plane.stop();
});

t.test(
  'clusters of one name in two Regions are two; one whose Region is configured later is the same',
  async (t) => {
    const west = cluster('one', fails('dns'), { region: 'us-west-2' });
    const east = cluster('one', fails('dns'), { region: 'us-east-1' });
    const { plane, time } = setUp([west.settings, east.settings]);
    await plane.load([
      { ...stored('one', 0, B), region: 'us-east-1' },
      { ...stored('one', 0, A), region: 'us-west-2' },
    ]);
    plane.start();
    t.strictSame(summary(plane.records()), [
      ['one', A],
      ['one', B],
    ]);
    await plane.stop();

    const { region: _, ...untold } = west.settings;
    const later = setUp([untold]);
    await later.plane.load([stored('one', 0, A)]);
    later.plane.start();
    t.strictSame(summary(later.plane.records()), [['one', A]]);
    await later.plane.reconfigure([west.settings]);
    t.match(later.plane.records(), [{ region: 'us-west-2', addresses: [{ address: A }] }]);
    await later.plane.stop();
    await time.advance(0);
  },
);

t.test('a wall clock that is set shows in the published times, and not in the ages', async (t) => {
  const one = cluster('one', fails('dns'));
  one.dns.script = sees('dns', A);
  const { plane, time, published } = setUp([one.settings]);
  await plane.load([]);
  plane.start();
  await time.advance(1_000);
  one.dns.script = fails('dns');
  await time.advance(99_000);
  for (const wall of ['2056-01-01T00:00:00Z', '1980-01-01T00:00:00Z']) {
    time.setWall(wall);
    const count = published.length;
    await time.advance(10_000);
    t.ok(published.length > count, 'published again');
    const elapsedMs = time.monotonicMs() - 10_000;
    const shown = published.at(-1)?.[0]?.addresses[0]?.provenance.dns?.firstSeenMs ?? 0;
    t.ok(
      Math.abs(Date.parse(wall) - shown - elapsedMs) <= 10_000,
      `${wall}: first seen ${new Date(shown).toISOString()}`,
    );
    t.equal(plane.snapshot().clusters[0]?.addresses[0]?.provenance.dns?.firstSeenAgoMs, time.monotonicMs());
  }
  await plane.stop();
});

t.test('times that were stored survive a clock that is wrong since boot', async (t) => {
  const one = cluster('one', fails('dns'));
  const { plane, time, saved } = setUp([one.settings]);
  const truth = Date.parse('2025-12-31T00:00:00Z');
  time.setWall('1970-01-01T00:10:00Z');
  await plane.load([stored('one', truth, A)]);
  plane.start();
  await time.advance(60_000);
  t.equal(
    plane.snapshot().clusters[0]?.confirmedAgoMs,
    60_000,
    'no age is negative, nor does it stand still',
  );
  time.setWall('2026-01-01T00:00:00Z');
  await time.advance(60_000);
  t.equal(saved.at(-1)?.[0]?.confirmedAtMs.dns, truth);
  await plane.stop();
});

t.test('a wall clock that is slewed rewrites nothing', async (t) => {
  const one = cluster('one', sees('dns', A));
  const { plane, time, saved } = setUp([one.settings]);
  await plane.load([]);
  plane.start();
  await time.advance(1_000);
  const { changedAtMs } = saved.at(-1)?.[0] ?? {};
  t.type(changedAtMs, 'number');
  for (let step = 0; step < 10; step++) {
    time.setWall(new Date(time.wallMs() + 50).toISOString());
    await time.advance(45_000);
  }
  t.equal(saved.at(-1)?.[0]?.changedAtMs, changedAtMs);
  await plane.stop();
});

t.test('a dead address is marked in what is published, and neither saved nor removed', async (t) => {
  const probe = { port: 443, intervalMs: 30_000, timeoutMs: 2_000, prove: true };
  const one = cluster('one', sees('dns', A, B), { probe });
  const { plane, time, published, saved } = setUp([one.settings], async ({ address }) => ({
    kind: 'untried',
    reason: 'no-authority',
    isListening: address !== A,
  }));
  await plane.load([]);
  plane.start();
  await time.advance(100_000);
  t.match(published.at(-1), [
    {
      addresses: [
        { address: B, isLast: undefined },
        { address: A, isLast: true },
      ],
    },
  ]);
  t.notOk(saved.some((records) => JSON.stringify(records).includes('isLast')));
  t.match(plane.snapshot().clusters[0]?.addresses, [{ isDead: true }, { isDead: false }]);
  await plane.reconfigure([{ ...one.settings, probe: { ...probe, port: 6443 } }]);
  await time.advance(1_000);
  t.notOk(JSON.stringify(published.at(-1)).includes('isLast'), 'other checks start again');
  await plane.stop();
  t.equal(time.pendingTimers, 0);
});

t.test('a new address is published when it is proven, and a refused one never beside it', async (t) => {
  const probe = { port: 443, intervalMs: 30_000, timeoutMs: 2_000, prove: true };
  const one = cluster('one', sees('dns', A, B), { probe });
  const results: Record<string, CheckResult> = { [A]: { kind: 'proven' }, [B]: { kind: 'proven' } };
  const { plane, time, published, saved, withheld } = setUp(
    [one.settings],
    async ({ address }) => results[address] ?? { kind: 'silent', reason: 'timeout' },
  );
  const ever = () =>
    new Set(published.flatMap((records) => addressesOf(records[0] ?? emptyRecord('one', ''))));
  await plane.load([]);
  plane.start();
  await time.advance(5_000);
  one.dns.script = sees('dns', A, B, C);
  await time.advance(120_000);
  t.notOk(ever().has(C), 'it does not answer');
  results[C] = { kind: 'refused', reason: 'other-authority' };
  await time.advance(60_000);
  t.notOk(ever().has(C), 'another host has it');
  t.match(plane.snapshot().clusters[0]?.withheld, [{ address: C, proof: { state: 'refused' } }]);
  t.match(saved.at(-1), [
    { addresses: [{}, {}, { address: C, proof: { state: 'refused' }, awaitsProof: true }] },
  ]);
  t.strictSame(withheld, [], 'it was never in the answers');
  results[C] = { kind: 'proven' };
  await time.advance(60_000);
  t.strictSame(summary(published.at(-1)), [['one', A, B, C]]);
  t.match(withheld, [{ kind: 'withheld', address: C, isWithheld: false }], 'the ledger has its coming');
  results[C] = { kind: 'refused', reason: 'other-name' };
  await time.advance(90_000);
  t.strictSame(summary(published.at(-1)), [['one', A, B]]);
  t.match(withheld.splice(0), [
    { kind: 'withheld', address: C, isWithheld: false },
    { kind: 'withheld', address: C, isWithheld: true, reason: 'other-name' },
  ]);
  results[C] = { kind: 'proven' };
  await time.advance(60_000);
  t.strictSame(summary(published.at(-1)), [['one', A, B, C]]);
  t.match(withheld, [{ kind: 'withheld', address: C, isWithheld: false }]);
  await plane.stop();
  const again = setUp([one.settings], async () => ({ kind: 'untried', reason: 'not-asked' }));
  results[C] = { kind: 'refused', reason: 'other-authority' };
  await again.plane.load([
    { ...stored('one', time.wallMs(), A, C), addresses: [proven(A), { ...proven(C), awaitsProof: true }] },
  ]);
  t.strictSame(summary(again.published[0]), [['one', A]], 'from the first answer after a restart');
  await again.plane.stop();
});

function proven(address: string): KnownAddress {
  const state = address === A ? 'proven' : 'unproven';
  return { address, provenance: {}, proof: { state, sinceMs: 0 } };
}

t.test('the last state is saved at the stop', async (t) => {
  const one = cluster('one', sees('dns', A));
  const { plane, time, saved } = setUp([one.settings]);
  await plane.load([]);
  plane.start();
  await time.advance(100_000);
  const count = saved.length;
  await plane.stop();
  t.equal(saved.length, count + 1);
  t.strictSame(summary(saved.at(-1)), [['one', A]]);
});

t.test('the pin of a reload is served at once', async (t) => {
  const one = cluster('one', sees('dns', A));
  const { plane, time, published } = setUp([one.settings]);
  await plane.load([]);
  plane.start();
  await time.advance(1_000);
  await plane.reconfigure([{ ...one.settings, pin: [D] }]);
  await time.advance(0);
  t.strictSame(summary(published.at(-1)), [['one', D]]);
  await plane.stop();
});

t.test(
  'records that are read late: what was learned meanwhile stays, the rest is served and polled on',
  async (t) => {
    const one = cluster('one', sees('dns', A));
    const two = cluster('two', fails('dns'));
    const { plane, published, saved, time } = setUp([one.settings, two.settings]);
    await plane.load([]);
    plane.start();
    await time.advance(1_000);
    t.strictSame(summary(plane.records()), [['one', A], ['two']]);
    const wallMs = time.wallMs();
    const pin = {
      addresses: [D],
      why: 'test',
      by: 'root',
      sinceMs: wallMs - DAY_MS,
      untilMs: wallMs + DAY_MS,
      leftMs: DAY_MS,
    };
    const [ofOne, ofTwo] = [stored('one', wallMs - DAY_MS, B), stored('two', wallMs - DAY_MS, B, C)];
    await plane.takeLate([{ ...ofOne, pin, unpinned: ofOne.addresses }, ofTwo, stored('gone', wallMs, C)]);
    await time.advance(1_000);
    t.strictSame(summary(published.at(-1)), [
      ['one', D],
      ['two', B, C],
    ]);
    t.strictSame(summary(saved.at(-1)), [
      ['one', D],
      ['two', B, C],
      ['gone', C],
    ]);
    const polls = two.dns.polls.length;
    await time.advance(120_000);
    t.ok(two.dns.polls.length > polls + 1, 'it is polled on');
    t.equal(two.dns.mostRunning, 1, 'by one refresher');
    await plane.stop();
  },
);

t.test('an answer that comes while late records are taken in stays', async (t) => {
  const answer = Promise.withResolvers<Observation>();
  let isLate = false;
  const pause = async () => {
    if (isLate) answer.resolve(sees('dns', A));
    await new Promise(setImmediate);
  };
  const silent = ['one', 'two', 'three', 'four'].map((name) => cluster(name, () => answer.promise).settings);
  const { plane, published, time } = setUp(silent, undefined, pause);
  await plane.load([]);
  await plane.start();
  await time.advance(1_000);
  isLate = true;
  await plane.takeLate([]);
  await time.advance(1_000);
  const answered = published.map((records) => records.filter(({ addresses }) => addresses.length > 0).length);
  t.strictSame(
    answered,
    answered.toSorted((one, other) => one - other),
    'no address goes away again',
  );
  t.equal(answered.at(-1), 4);
  await plane.stop();
});

t.test('a cluster that was removed before its late record came keeps what was learned', async (t) => {
  const [one, two] = [cluster('one', sees('dns', A)), cluster('two', fails('dns'))];
  const { plane, saved, time } = setUp([one.settings, two.settings]);
  await plane.load([]);
  await plane.start();
  await time.advance(1_000);
  await plane.reconfigure([]);
  const wallMs = time.wallMs() - DAY_MS;
  await plane.takeLate([stored('one', wallMs, B), stored('two', wallMs, C)]);
  await time.advance(1_000);
  const ofOne = saved.at(-1)?.filter((record) => record.cluster === 'one');
  t.strictSame(summary(ofOne), [['one', A]], 'one record for a cluster');
  one.dns.script = fails('dns');
  await plane.reconfigure([one.settings, two.settings]);
  t.strictSame(summary(plane.records()), [
    ['one', A],
    ['two', C],
  ]);
  await plane.stop();
});

t.test('clients get the answers of a reload when it is over, on a disk that hangs as well', async (t) => {
  const one = cluster('one', fails('dns'));
  const { plane, published, time, disk } = setUp([one.settings]);
  await plane.load([stored('one', time.wallMs(), A)]);
  await plane.start();
  disk.save = () => new Promise(() => undefined);
  await plane.reconfigure([]);
  t.strictSame(summary(published.at(-1)), []);
  await plane.reconfigure([one.settings]);
  t.strictSame(summary(published.at(-1)), [['one', A]]);
  plane.stop();
});

t.test('records that are read after the stop change nothing', async (t) => {
  const { plane, published, time } = setUp([cluster('one', fails('dns')).settings]);
  await plane.load([]);
  await plane.stop();
  const count = published.length;
  await plane.takeLate([stored('one', time.wallMs(), A)]);
  await time.advance(10_000);
  t.equal(published.length, count);
});
