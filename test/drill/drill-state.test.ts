import t from 'tap';
import { type DrillState, idle, isRunningAt, MAX_DRILL_MS, startDrill } from '../../src/drill/drill.ts';

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
