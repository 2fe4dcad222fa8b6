import t from 'tap';
import type { EndpointRecord } from '../../src/records/endpoint-record.ts';
import {
  aheadMs,
  type Loaded,
  loadedAt,
  momentOf,
  toProcessTime,
  toWallTime,
} from '../../src/refresh/record-keeper.ts';
import { ageMs, agoMs, stampFrom, stampNow, wallTime } from '../../src/runtime/clock.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const DAY_MS = 86_400_000;
const WALL_MS = Date.parse('2026-06-01T00:00:00Z');
const LOADED: Loaded = { monotonicMs: 500, wallMs: WALL_MS, ahead: new Map() };

function recordSeenAt(ms: number): EndpointRecord {
  return {
    cluster: 'my-cluster',
    addresses: [
      {
        address: '10.0.0.1',
        provenance: { dns: { firstSeenMs: ms, lastSeenMs: ms } },
        proof: { state: 'unproven', reason: 'timeout', sinceMs: ms, provenAtMs: ms },
      },
    ],
    leaving: [{ address: '10.0.0.2', provenance: {}, proof: { state: 'proven', sinceMs: ms } }],
    ttlSeconds: 60,
    basis: 'name',
    changedAtMs: ms,
    confirmedAtMs: { dns: ms },
    details: { endpoint: 'x.example', subnetIds: [], learnedAtMs: ms },
    held: { addresses: ['10.0.0.9'], reason: 'loses 1 of 1 addresses', sinceMs: ms },
    lastRefreshFailed: false,
  };
}

t.test('what was loaded is as old as the wall clocks say, and goes back out as it came', (t) => {
  const loaded = toProcessTime(recordSeenAt(WALL_MS - DAY_MS), LOADED);
  t.strictSame(loaded, recordSeenAt(500 - DAY_MS), 'every time is on the monotonic clock');
  t.equal(ageMs(loaded.changedAtMs ?? 0, 1_500), DAY_MS + 1_000);
  for (const jumpMs of [0, 20 * 365 * DAY_MS, -20 * 365 * DAY_MS]) {
    const now = { monotonicMs: 1_500, wallMs: WALL_MS + 1_000 + jumpMs };
    t.strictSame(toWallTime(loaded, LOADED, now), recordSeenAt(WALL_MS - DAY_MS), `jump of ${jumpMs} ms`);
  }
  t.end();
});

t.test('a file from the future ages from the load, keeps its order, and is not rewritten', (t) => {
  const file = {
    ...recordSeenAt(WALL_MS + DAY_MS),
    confirmedAtMs: { dns: WALL_MS + 1, interfaces: WALL_MS - 5 },
  };
  const loaded = loadedAt(file, LOADED);
  const record = toProcessTime(file, loaded);
  t.equal(ageMs(record.changedAtMs ?? 0, 1_500), 1_000);
  t.equal(
    ageMs(record.held?.sinceMs ?? 0, 1_500),
    1_000,
    'a held change does not wait for the future to come',
  );
  t.equal(ageMs(record.confirmedAtMs.interfaces ?? 0, 1_500), 1_005, 'what is past is as old as it is');
  t.ok((record.confirmedAtMs.dns ?? 0) < (record.changedAtMs ?? 0), 'earlier stays earlier');
  for (const monotonicMs of [500, 1_500, 2 * DAY_MS]) {
    const now = { monotonicMs, wallMs: WALL_MS + monotonicMs - 500 };
    t.strictSame(toWallTime(record, loaded, now), file);
    t.equal(aheadMs(loaded, now), Math.max(0, WALL_MS + DAY_MS - now.wallMs));
  }
  t.equal(aheadMs(loadedAt(recordSeenAt(WALL_MS), LOADED), LOADED), 0);
  t.end();
});

t.test('what happened in this process is written by the wall clock of the moment of writing', (t) => {
  const now = { monotonicMs: 61_500, wallMs: WALL_MS + 10 * 365 * DAY_MS };
  t.equal(toWallTime(recordSeenAt(1_500), LOADED, now).changedAtMs, now.wallMs - 60_000);
  t.end();
});

t.test('no wall clock makes a time that the state file cannot hold', (t) => {
  const far = toWallTime(recordSeenAt(1_500), LOADED, { monotonicMs: 1_500, wallMs: 8e15 });
  t.equal(new Date(far.changedAtMs ?? 0).getUTCFullYear(), 9999);
  const early = toWallTime(recordSeenAt(1_500), LOADED, { monotonicMs: 91_500, wallMs: 10 });
  t.equal(early.changedAtMs, 0);
  t.end();
});

t.test('a slewed wall clock is not followed, a set one is', (t) => {
  const clock = (monotonicMs: number, wallMs: number) => ({
    monotonicMs: () => monotonicMs,
    wallMs: () => wallMs,
  });
  t.strictSame(momentOf(clock(1_500, WALL_MS + 1_999), LOADED), {
    monotonicMs: 1_500,
    wallMs: WALL_MS + 1_000,
  });
  t.strictSame(momentOf(clock(1_500, WALL_MS + 2_000), LOADED), {
    monotonicMs: 1_500,
    wallMs: WALL_MS + 2_000,
  });
  t.strictSame(momentOf(clock(1_500, 7), LOADED), { monotonicMs: 1_500, wallMs: 7 });
  t.strictSame(momentOf(clock(1, 2)), { monotonicMs: 1, wallMs: 2 });
  t.end();
});

const wall = (text: string) => Date.parse(text);

t.test('a moment of this process goes out by the wall clock of then, whatever it was before', async (t) => {
  const time = new VirtualTime('1970-01-01T00:00:00Z');
  await time.advance(1000);
  const stamp = stampNow(time);
  await time.advance(60_000);
  time.setWall('2026-06-01T00:00:00Z');
  t.equal(wallTime(stamp, time), wall('2026-05-31T23:59:00Z'));
  t.equal(agoMs(stamp, time), 60_000);
});

t.test(
  'a moment that was loaded goes back out as it came, and its age never jumps or goes below 0',
  async (t) => {
    for (const at of ['2026-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '2106-01-01T00:00:00Z']) {
      const time = new VirtualTime(at);
      await time.advance(5000);
      const stamp = stampFrom(wall('2025-12-31T23:00:00Z'), time);
      const before = agoMs(stamp, time);
      t.ok(before >= 0, at);
      await time.advance(1000);
      time.setWall('2026-01-01T12:00:00Z');
      t.equal(agoMs(stamp, time), before + 1000, `${at}: ages by the monotonic clock`);
      t.equal(wallTime(stamp, time), wall('2025-12-31T23:00:00Z'), at);
    }
  },
);

t.test('no clock makes a time that a file cannot have', async (t) => {
  const time = new VirtualTime('1970-01-01T00:00:00Z');
  const before = stampNow(time);
  await time.advance(1000);
  t.equal(wallTime({ monotonicMs: -5_000 }, time), 0);
  time.setWall('+099999-01-01T00:00:00Z');
  t.equal(new Date(wallTime(before, time)).toISOString().length, 24);
});
