import t from 'tap';
import {
  initialLinkState,
  LinkMonitor,
  type LinkPath,
  nextLinkState,
  summarizeLinks,
} from '../../src/link/link-monitor.ts';
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

t.test('an answer of something in between is neither a cut nor a return, and is named', async (t) => {
  const proxy = { side: 'aws', key: 'us-west-2', proves: 'nothing', reason: 'proxy' } as const;
  for (const [row, condition, reason] of [
    ['p', 'degraded', 'proxy'],
    ['ppppp', 'degraded', 'proxy'],
    ['+ppppp', 'degraded', 'proxy'],
    ['+p+++', 'connected', 'answer'],
    ['p+++', 'connected', 'answer'],
    ['+-p', 'degraded', 'proxy'],
    ['---ppp', 'disconnected', 'timeout'],
    ['---+p', 'recovering', 'answer'],
    ['---+p++', 'recovering', 'answer'],
    ['---+p+++', 'connected', 'answer'],
    ['+p---', 'disconnected', 'timeout'],
  ] as const) {
    const evidence = { '+': yes, '-': no, p: proxy };
    const state = [...row].reduce(
      (before, sign) => nextLinkState(before, evidence[sign as '+'], 1),
      initialLinkState,
    );
    t.match(state, { condition, reason }, row);
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

t.test('the monitor logs each transition once and reports a path that came back', async (t) => {
  const log = new CollectingLog();
  const restored: string[] = [];
  const transitions: string[] = [];
  const monitor = new LinkMonitor({
    clock: new VirtualTime(),
    timers: new VirtualTime(),
    log,
    onRestored: ({ key }) => restored.push(key),
    onTransition: ({ side, from, to }) => transitions.push(`${side} ${from} ${to}`),
    isRehearsed: () => false,
  });
  for (const evidence of [yes, yes, no, no, no, no, no, yes, yes, yes, yes]) monitor.report(evidence);
  t.strictSame(
    log.lines
      .filter(({ level }) => level !== 'debug')
      .map(({ level, fields }) => `${level} ${fields['from']} ${fields['to']}`),
    [
      'info unknown connected',
      'info connected degraded',
      'warn degraded disconnected',
      'info disconnected recovering',
      'info recovering connected',
    ],
  );
  t.strictSame(restored, ['us-west-2']);
  const path = transitions.filter((text) => text.startsWith('aws '));
  t.strictSame(
    path,
    log.lines
      .filter(({ level }) => level !== 'debug')
      .map(({ fields }) => `aws ${fields['from']} ${fields['to']}`),
    'the callback gets what the log has',
  );
  const whole = transitions.filter((text) => text.startsWith('summary '));
  t.strictSame(
    whole,
    path.map((text) => text.replace('aws', 'summary')),
    'with one path it is the whole',
  );
  monitor.retain((_side, key) => key !== 'us-west-2');
  t.strictSame(monitor.current().paths, []);
});

t.test('in a drill the link is shown as cut, and evidence still counts', async (t) => {
  const time = new VirtualTime();
  const transitions: unknown[] = [];
  const monitor = new LinkMonitor({
    clock: time,
    timers: time,
    log: new CollectingLog(),
    onRestored: () => {},
    onTransition: ({ to }) => transitions.push(to),
    isRehearsed: (side, key) => side === 'aws' || key === 'far',
  });
  const upstream = (key: string) => ({ ...yes, side: 'upstream', key }) as const;
  for (const evidence of [yes, upstream('far'), upstream('near')]) monitor.report(evidence);
  await time.advance(5_000);
  transitions.length = 0;
  monitor.rehearse(true);
  await time.advance(1_000);
  const conditions = () => monitor.current().paths.map(({ key, condition }) => `${key} ${condition}`);
  t.match(monitor.current().summary, { condition: 'disconnected', reason: 'drill', sinceMs: 5_000 });
  t.strictSame(conditions(), ['us-west-2 disconnected', 'far disconnected', 'near connected']);
  t.strictSame(transitions, [], 'a rehearsal is no transition: it has lines of its own');
  for (const evidence of [no, no, no]) monitor.report(evidence);
  monitor.rehearse(false);
  t.match(
    monitor.current().summary,
    { condition: 'disconnected', reason: 'timeout' },
    'a real cut meanwhile',
  );
  t.strictSame(conditions(), ['us-west-2 disconnected', 'far connected', 'near connected']);
});

t.test('a failure that began before the last word on the path says nothing new', async (t) => {
  for (const [what, row, condition] of [
    [
      'looks that one short break ends together are one failure',
      '+@1 -@2>10 -@3>10 -@4>10 -@5>10',
      'degraded',
    ],
    ['looks one after the other are as many', '+@1 -@2>10 -@11>20 -@21>30', 'disconnected'],
    [
      'what hung since the cut does not undo the return',
      '+@1 -@2>10 -@11>20 -@21>30 +@40 -@31>41',
      'recovering',
    ],
    ['what began after the return does', '+@1 -@2>10 -@11>20 -@21>30 +@40 -@40>41', 'disconnected'],
    ['an answer counts however long it took', '+@1 -@2>10 -@11>20 -@21>30 +@5>40', 'recovering'],
    ['without a start time counts', '+@1 -@>10 -@>10 -@>10', 'disconnected'],
  ] as const) {
    const state = row.split(' ').reduce((before, step) => {
      const [, sign = '', begun = '', ended] = /^([+-])@(\d*)>?(\d*)$/.exec(step) ?? [];
      const nowMs = Number(ended || begun);
      const started = begun === '' ? {} : { startedAtMs: Number(begun) };
      return nextLinkState(before, { ...(sign === '+' ? yes : no), ...started }, nowMs);
    }, initialLinkState);
    t.equal(state.condition, condition, what);
  }
});
