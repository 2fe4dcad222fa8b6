import t from 'tap';
import { LinkMonitor } from '../../src/link/link-monitor.ts';
import { initialLinkState, type LinkPath, nextLinkState, summarizeLinks } from '../../src/link/link-state.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';

const yes = { side: 'aws', key: 'us-west-2', proves: 'reachable', reason: 'answer' } as const;
const no = { side: 'aws', key: 'us-west-2', proves: 'unreachable', reason: 'timeout' } as const;

t.test('a row of evidence leads to one condition', async (t) => {
  for (const [row, condition] of [
    ['', 'unknown'],
    ['+', 'connected'],
    ['-', 'unknown'],
    ['--', 'unknown'],
    ['---', 'disconnected'],
    ['+-', 'degraded'],
    ['+--', 'degraded'],
    ['+---', 'disconnected'],
    ['+-+', 'degraded'],
    ['+-+++', 'connected'],
    ['+-+-+-+-', 'degraded'],
    ['+---+', 'recovering'],
    ['+---++', 'recovering'],
    ['+---+++', 'connected'],
    ['+---+-', 'disconnected'],
    ['---++-+', 'recovering'],
  ] as const) {
    const state = [...row].reduce(
      (before, sign) => nextLinkState(before, sign === '+' ? yes : no, 1),
      initialLinkState,
    );
    t.equal(state.condition, condition, row);
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

t.test('the summary is that of the link to AWS; upstreams only colour it', async (t) => {
  const path = (text: string): LinkPath => {
    const [side = '', condition = '', sinceMs = ''] = text.split(' ');
    return {
      ...initialLinkState,
      side: side as 'aws',
      key: text,
      condition: condition as 'connected',
      sinceMs: Number(sinceMs),
    };
  };
  for (const [paths, condition, sinceMs] of [
    [[], 'unknown', 0],
    [['aws connected 1', 'upstream unknown 2'], 'connected', 1],
    [['aws connected 1', 'upstream connected 2'], 'connected', 1],
    [['aws connected 1', 'upstream disconnected 5'], 'degraded', 5],
    [['aws disconnected 1', 'upstream connected 5'], 'disconnected', 1],
    [['aws disconnected 1', 'aws connected 3'], 'degraded', 3],
    [['aws recovering 1', 'upstream disconnected 3'], 'recovering', 1],
    [['upstream disconnected 1', 'upstream disconnected 2'], 'disconnected', 2],
    [['upstream disconnected 1', 'upstream connected 2'], 'degraded', 2],
  ] as const) {
    t.match(summarizeLinks(paths.map(path)), { condition, sinceMs }, paths.join(', '));
  }
});

t.test('the monitor logs each transition once and tells of a path that came back', async (t) => {
  const log = new CollectingLog();
  const restored: string[] = [];
  const monitor = new LinkMonitor({
    clock: new VirtualTime(),
    log,
    onRestored: ({ key }) => restored.push(key),
  });
  for (const evidence of [yes, yes, no, no, no, no, no, yes, yes, yes, yes]) monitor.report(evidence);
  t.strictSame(
    log.lines.map(({ level, fields }) => `${level} ${fields['from']} ${fields['to']}`),
    [
      'info unknown connected',
      'info connected degraded',
      'warn degraded disconnected',
      'info disconnected recovering',
      'info recovering connected',
    ],
  );
  t.strictSame(restored, ['us-west-2']);
  monitor.retain((_side, key) => key !== 'us-west-2');
  t.strictSame(monitor.current().paths, []);
});
