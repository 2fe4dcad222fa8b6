import t from 'tap';
import {
  Drill,
  type DrillChange,
  type DrillState,
  idle,
  isRunningAt,
  MAX_DRILL_MS,
  startDrill,
} from '../../src/drill/drill.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { asked } from './asked.ts';
import { virtualDrill } from './virtual-drill.ts';

const noQueries = { failed: 0, stale: 0, endpointAnswers: 0 };
const MINUTE_MS = 60_000;

t.test('a drill ends by itself when its time is up, and says so once', async (t) => {
  const { drill, time, log, changes } = virtualDrill();
  t.notOk(drill.isRunning);
  t.strictSame(drill.summary(), {
    state: 'none',
    failed: { queries: 0, names: [], otherQueries: 0 },
    stale: { queries: 0, names: [], otherQueries: 0 },
    endpoints: [],
    retain: [],
  });
  await time.advance(5_000);
  t.match(drill.start(30 * MINUTE_MS), { kind: 'started' });
  t.ok(drill.isRunning);
  t.match(drill.summary(), {
    state: 'running',
    startedAt: '2026-01-01T00:00:05.000Z',
    forMs: 30 * MINUTE_MS,
    ranMs: 0,
  });
  await time.advance(30 * MINUTE_MS - 1);
  t.ok(drill.isRunning);
  t.equal(drill.summary().ranMs, 30 * MINUTE_MS - 1);
  await time.advance(1);
  t.notOk(drill.isRunning);
  t.match(drill.summary(), { state: 'ended', endedBy: 'time', ranMs: 30 * MINUTE_MS });
  await time.advance(60 * MINUTE_MS);
  t.strictSame(changes, [
    { phase: 'started', forMs: 30 * MINUTE_MS },
    { phase: 'ended', by: 'time', ranMs: 30 * MINUTE_MS, ...noQueries },
  ]);
  t.strictSame(
    log.lines.map(({ level, text }) => `${level} ${text}`),
    ['warn drill started: AWS and what is across the link count as unreachable', 'info drill ended'],
  );
  t.equal(time.pendingTimers, 0);
});

t.test('a drill is stopped by a command, and its timer with it', async (t) => {
  const { drill, time, changes } = virtualDrill();
  t.same(drill.stop(), { kind: 'not-running' });
  drill.start(30 * MINUTE_MS);
  await time.advance(MINUTE_MS);
  t.same(drill.stop(), { kind: 'stopped' });
  t.notOk(drill.isRunning);
  t.equal(time.pendingTimers, 0);
  t.same(drill.stop(), { kind: 'not-running' });
  await time.advance(60 * MINUTE_MS);
  t.match(drill.summary(), { state: 'ended', endedBy: 'command', ranMs: MINUTE_MS });
  t.equal(changes.length, 2);
});

t.test('a second drill is refused while one runs, and changes nothing of it', async (t) => {
  const { drill, time, changes } = virtualDrill();
  drill.start(10 * MINUTE_MS);
  drill.report.noteFailed(asked('a.example'));
  await time.advance(MINUTE_MS);
  t.match(drill.start(MINUTE_MS), {
    kind: 'already-running',
    state: { startedMs: 0, forMs: 10 * MINUTE_MS },
  });
  t.match(drill.start(Number.NaN), { kind: 'already-running' });
  await time.advance(8 * MINUTE_MS);
  t.ok(drill.isRunning, 'still the first one');
  t.equal(drill.summary().failed.queries, 1);
  t.equal(changes.length, 1);
});

t.test('a length that makes no sense is refused and starts nothing', async (t) => {
  const { drill, time, changes } = virtualDrill();
  for (const forMs of [0, -1, 999, 25 * 60 * MINUTE_MS, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.match(drill.start(forMs), { kind: 'bad-length' }, String(forMs));
  }
  t.notOk(drill.isRunning);
  t.equal(drill.summary().state, 'none');
  t.equal(changes.length + time.pendingTimers, 0);
});

t.test(
  'the report shows which queries were hurt, survives the end, and starts again with the next drill',
  async (t) => {
    const { drill, time, changes } = virtualDrill();
    drill.report.noteFailed(asked('before.example'));
    drill.start(MINUTE_MS);
    for (let at = 0; at < 3; at++) drill.report.noteFailed(asked('registry.site.example'));
    drill.report.noteFailed(asked('sts.us-west-2.amazonaws.com'));
    drill.report.noteFailed(asked('sts.us-west-2.amazonaws.com'));
    drill.report.noteStale(asked('oidc.example'));
    for (let at = 0; at < 7; at++) drill.report.noteEndpoint({ cluster: 'demo', endpoint: 'abc.example' });
    await time.advance(MINUTE_MS);
    drill.report.noteFailed(asked('after.example'));
    const summary = drill.summary();
    t.match(summary, {
      failed: {
        queries: 5,
        names: [
          { name: 'registry.site.example', queries: 3 },
          { name: 'sts.us-west-2.amazonaws.com', queries: 2 },
        ],
      },
      stale: { queries: 1, names: [{ name: 'oidc.example' }] },
      endpoints: [{ endpoint: 'abc.example', answers: 7 }],
      retain: [{ name: 'registry.site.example', types: ['A'], asked: 3 }],
    });
    t.equal(summary.retain.length, 1);
    t.match(changes[1], { phase: 'ended', failed: 5, stale: 1, endpointAnswers: 7 });
    drill.start(MINUTE_MS);
    t.match(drill.summary(), { state: 'running', failed: { queries: 0, names: [] }, retain: [] });
  },
);

t.test('the end of the process ends the drill and says so', async (t) => {
  const { drill, time, changes } = virtualDrill();
  drill.start(10 * MINUTE_MS);
  await time.advance(MINUTE_MS);
  drill[Symbol.dispose]();
  t.match(changes, [{ phase: 'started' }, { phase: 'ended', by: 'shutdown', ranMs: MINUTE_MS }]);
  drill[Symbol.dispose]();
  t.equal(changes.length, 2);
  t.equal(time.pendingTimers, 0);
});

t.test('a wall clock that is set neither ends a drill nor lengthens it', async (t) => {
  const { drill, time } = virtualDrill();
  drill.start(10 * MINUTE_MS);
  time.setWall('2099-01-01T00:00:00Z');
  await time.advance(MINUTE_MS);
  t.ok(drill.isRunning);
  time.setWall('1970-01-01T00:00:00Z');
  await time.advance(9 * MINUTE_MS);
  t.notOk(drill.isRunning);
  t.match(drill.summary(), { startedAt: '2026-01-01T00:00:00.000Z', ranMs: 10 * MINUTE_MS });
});

/** A drill of a minute whose timer never fires, ten minutes after its start. */
function overdue() {
  let nowMs = 0;
  const waiting = new Set<() => void>();
  const changes: DrillChange[] = [];
  const drill = new Drill({
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    timers: {
      after: (_delayMs, run) => {
        waiting.add(run);
        return { [Symbol.dispose]: () => waiting.delete(run) };
      },
    },
    log: new CollectingLog(),
    onChange: (change) => changes.push(change),
    byPolicy: () => () => false,
    retained: () => [],
  });
  drill.start(MINUTE_MS);
  nowMs = 10 * MINUTE_MS;
  return { drill, waiting, changes };
}

t.test('a timer that is late, as after the machine slept, lengthens nothing', async (t) => {
  const ended = { phase: 'ended', by: 'time', ranMs: MINUTE_MS };
  const { drill, waiting, changes } = overdue();
  t.notOk(drill.isRunning, 'over, although its timer is late');
  t.match(drill.start(MINUTE_MS), { kind: 'started' });
  t.match(changes, [{ phase: 'started' }, ended, { phase: 'started' }]);
  t.equal(waiting.size, 1, 'the late timer is gone');
  for (const run of waiting) run();
  t.notOk(drill.isRunning);
  const stopped = overdue();
  t.same(stopped.drill.stop(), { kind: 'not-running' });
  t.match(stopped.changes, [{ phase: 'started' }, ended]);
  const shut = overdue();
  shut.drill[Symbol.dispose]();
  t.match(shut.changes, [{ phase: 'started' }, ended]);
});

const running: DrillState = { kind: 'running', startedMs: 1000, endsMs: 61_000, forMs: 60_000 };

t.test('whether a drill runs, by state and moment', async (t) => {
  for (const [state, nowMs, expected] of [
    [idle, 0, false],
    [running, 1000, true],
    [running, 60_999, true],
    [running, 61_000, false],
    [running, 1e9, false],
  ] as const)
    t.equal(isRunningAt(state, nowMs), expected, `${state.kind} at ${nowMs}`);
});

t.test('what starting comes to, by state, length and moment', async (t) => {
  const started = {
    kind: 'started',
    state: { kind: 'running', startedMs: 5000, endsMs: 65_000, forMs: 60_000 },
  };
  const badLength = { kind: 'bad-length', minMs: 1_000, maxMs: 86_400_000 };
  for (const [what, state, forMs, nowMs, expected] of [
    ['idle', idle, 60_000, 5000, started],
    ['while one runs', running, 60_000, 5000, { kind: 'already-running', state: running }],
    ['while one runs, with a bad length', running, 0, 5000, { kind: 'already-running', state: running }],
    ['one that is over', running, 1_000, 61_000, { kind: 'started' }],
    ['too short', idle, 999, 0, badLength],
    ['shortest', idle, 1_000, 0, { kind: 'started' }],
    ['longest', idle, MAX_DRILL_MS, 0, { kind: 'started' }],
    ['too long', idle, MAX_DRILL_MS + 1, 0, badLength],
    ['negative', idle, -1, 0, badLength],
    ['no number', idle, Number.NaN, 0, badLength],
    ['without end', idle, Number.POSITIVE_INFINITY, 0, badLength],
  ] as const)
    t.match(startDrill(state, forMs, nowMs), expected, what);
});
