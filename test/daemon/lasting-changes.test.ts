import t from 'tap';
import { afterTransition, afterWait, dueAtMs, type Series } from '../../src/daemon/ledger-events.ts';
import { initialLinkState, type LinkCondition, nextLinkState } from '../../src/link/link-monitor.ts';

const WORDS: Readonly<Record<string, LinkCondition>> = {
  con: 'connected',
  deg: 'degraded',
  dis: 'disconnected',
  rec: 'recovering',
};

/** What is written down of conditions, each `seconds:word`, until the last of them has lasted; the time of writing in brackets. */
function recorded(script: string): string[] {
  const lines: string[] = [];
  let series: Series | undefined;
  let from: LinkCondition = 'unknown';
  const write = (nowMs: number, { change, series: next }: ReturnType<typeof afterTransition>) => {
    series = next;
    if (change === undefined) return;
    const lasted = change.lastedMs === undefined ? '' : ` after ${change.lastedMs / 1000}`;
    const flickers = change.flickers === undefined ? '' : `, ${change.flickers} flickers`;
    const late = nowMs === change.atMs ? '' : ` [${nowMs / 1000}]`;
    lines.push(`${change.atMs / 1000} ${change.from}>${change.to}${lasted}${flickers}${late}`);
  };
  const wait = (untilMs: number) => {
    const dueMs = series && dueAtMs(series);
    if (series !== undefined && dueMs !== undefined && dueMs <= untilMs)
      write(dueMs, afterWait(series, dueMs));
  };
  for (const step of script.split(' ')) {
    const [seconds, word = ''] = step.split(':');
    const nowMs = Number(seconds) * 1000;
    const to = WORDS[word] ?? 'unknown';
    wait(nowMs);
    write(nowMs, afterTransition(series, { from, to, reason: word }, nowMs));
    from = to;
  }
  wait(Number.POSITIVE_INFINITY);
  return lines;
}

t.test('what is written down of a path, and when', async (t) => {
  const cases: [what: string, script: string, lines: string[]][] = [
    ['the first word', '5:con', ['5 unknown>connected']],
    [
      'a clean cut and return, each at once',
      '0:con 600:deg 604:dis 7804:rec 7808:con',
      [
        '0 unknown>connected',
        '604 connected>disconnected after 604',
        '7808 disconnected>connected after 7204',
      ],
    ],
    [
      'a cut of ten seconds: its end is known once it has lasted, and has its own time',
      '0:con 600:deg 604:dis 612:rec 614:con',
      [
        '0 unknown>connected',
        '604 connected>disconnected after 604',
        '614 disconnected>connected after 10 [644]',
      ],
    ],
    ['a lost packet now and then', '0:con 600:deg 601:con 2000:deg 2001:con', ['0 unknown>connected']],
    [
      'a cut that begins with a lost packet or two',
      '0:con 600:deg 601:con 610:deg 614:dis',
      ['0 unknown>connected', '614 connected>disconnected after 614'],
    ],
    [
      'degraded that lasts, as the whole is while one upstream is gone',
      '0:con 600:deg 5000:con',
      ['0 unknown>connected', '600 connected>degraded after 600 [630]', '5000 degraded>connected after 4400'],
    ],
    [
      'back and forth in a cut: nothing, and how often in the end',
      '0:con 600:deg 604:dis 620:rec 622:dis 640:rec 642:dis 660:rec 664:con',
      [
        '0 unknown>connected',
        '604 connected>disconnected after 604',
        '664 disconnected>connected after 60, 2 flickers [694]',
      ],
    ],
    [
      'a return that does not hold: the cut that follows has a line once it has lasted, first answers or not',
      '0:dis 600:rec 604:con 620:deg 624:dis 630:rec 632:dis 640:rec 642:dis 700:rec 702:dis',
      [
        '0 unknown>disconnected',
        '604 disconnected>connected after 604',
        '624 connected>disconnected after 20, 2 flickers [654]',
      ],
    ],
    [
      'connected for moments only',
      '0:con 600:dis 610:con 620:dis 630:con 640:dis 650:con',
      [
        '0 unknown>connected',
        '600 connected>disconnected after 600',
        '650 disconnected>connected after 50, 2 flickers [680]',
      ],
    ],
    [
      'a new series after five quiet minutes has its line at once again',
      '0:con 600:dis 604:con 1000:dis',
      [
        '0 unknown>connected',
        '600 connected>disconnected after 600',
        '604 disconnected>connected after 4 [634]',
        '1000 connected>disconnected after 396',
      ],
    ],
  ];
  for (const [what, script, lines] of cases) t.strictSame(recorded(script), lines, what);
});

t.test('a path that was forgotten and is tried again starts with its first condition', async (t) => {
  const cut = afterTransition(undefined, { from: 'unknown', to: 'disconnected', reason: 'x' }, 0);
  const { change } = afterTransition(cut.series, { from: 'unknown', to: 'disconnected', reason: 'y' }, 50);
  t.strictSame(change, { from: 'unknown', to: 'disconnected', reason: 'y', atMs: 50 });
});

t.test('a day of a lossy link leaves a handful of lines, whatever gets through', async (t) => {
  for (const percent of [10, 20, 40, 60, 80, 95]) {
    let state = initialLinkState;
    let series: Series | undefined;
    let [nowMs, failures, lines, changes, word] = [0, 0, 0, 0, 1];
    const note = (outcome: ReturnType<typeof afterTransition>) => {
      series = outcome.series;
      if (outcome.change !== undefined) lines++;
    };
    while (nowMs < 86_400_000) {
      if (series !== undefined) note(afterWait(series, nowMs));
      word = (Math.imul(word, 1_103_515_245) + 12_345) >>> 0; // the same day in every run
      const isReachable = (word >>> 8) % 100 < percent;
      failures = isReachable ? 0 : failures + 1;
      const proves = isReachable ? 'reachable' : 'unreachable';
      const next = nextLinkState(state, { side: 'aws', key: 'r', proves, reason: proves }, nowMs);
      if (next.condition !== state.condition) {
        changes++;
        note(afterTransition(series, { from: state.condition, to: next.condition, reason: proves }, nowMs));
      }
      state = next;
      nowMs += failures === 0 ? 10_000 : failures < 3 ? 1_000 : 2_000;
    }
    t.comment(`${percent} % get through: ${changes} changes, ${lines} lines`);
    t.ok(lines >= 1 && lines <= 100, `${percent} %: ${lines} lines`);
  }
});
