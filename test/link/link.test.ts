import t from 'tap';
import { LinkMonitor } from '../../src/link/link-monitor.ts';
import { initialLinkState, nextLinkState, summarizeLinks } from '../../src/link/link-state.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const yes = { side: 'aws', key: 'us-west-2', proves: 'reachable', reason: 'answer' } as const;
const no = { side: 'aws', key: 'us-west-2', proves: 'unreachable', reason: 'timeout' } as const;

t.test('a row of evidence leads to one condition', async (t) => {
  for (const [evidence, condition] of [
    [[], 'unknown'],
    [[yes], 'connected'],
    [[no], 'unknown'],
    [[no, no, no], 'disconnected'],
    [[yes, no], 'degraded'],
    [[yes, no, no], 'degraded'],
    [[yes, no, no, no], 'disconnected'],
    [[yes, no, no, no, no, yes], 'connected'],
    [[yes, no, yes, no, yes, no], 'degraded'],
  ] as const) {
    const state = evidence.reduce((before, next) => nextLinkState(before, next, 1), initialLinkState);
    t.equal(state.condition, condition, evidence.map(({ proves }) => proves).join(' '));
  }
});

t.test('the age counts from the transition, not from the latest evidence', async (t) => {
  const states = [yes, yes, no].reduce(
    (before, next, at) => nextLinkState(before, next, at + 10),
    initialLinkState,
  );
  t.match(states, { condition: 'degraded', sinceMs: 12, reason: 'timeout' });
  t.equal(nextLinkState(states, no, 99).sinceMs, 12);
});

t.test('the summary is cut only when every known path is cut', async (t) => {
  const state = (condition: 'unknown' | 'connected' | 'disconnected', sinceMs: number) => ({
    ...initialLinkState,
    condition,
    sinceMs,
  });
  t.equal(summarizeLinks([]).condition, 'unknown');
  t.equal(summarizeLinks([state('connected', 1), state('unknown', 2)]).condition, 'connected');
  t.match(summarizeLinks([state('connected', 1), state('disconnected', 5)]), {
    condition: 'degraded',
    sinceMs: 5,
  });
  t.equal(summarizeLinks([state('disconnected', 1), state('disconnected', 2)]).condition, 'disconnected');
});

t.test('the monitor logs each transition once and tells of a path that came back', async (t) => {
  const log = new CollectingLog();
  const restored: string[] = [];
  const monitor = new LinkMonitor({
    clock: new VirtualTime(),
    log,
    onRestored: ({ key }) => restored.push(key),
  });
  for (const evidence of [yes, yes, no, no, no, no, no, yes, yes]) monitor.report(evidence);
  t.strictSame(
    log.lines.map(({ level, fields }) => `${level} ${fields['from']} ${fields['to']}`),
    [
      'info unknown connected',
      'info connected degraded',
      'warn degraded disconnected',
      'info disconnected connected',
    ],
  );
  t.strictSame(restored, ['us-west-2']);
  monitor.retain((_side, key) => key !== 'us-west-2');
  t.strictSame(monitor.current().paths, []);
});
