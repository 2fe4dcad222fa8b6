/** What a poll says about the link, and about the credentials. */
import t from 'tap';
import type { Evidence } from '../../src/link/link-monitor.ts';
import { evidenceOf } from '../../src/refresh/cluster-sources.ts';
import { A, pair, serving, setUp } from './refreshing.ts';
import { describes, fails, hangsUntilAborted, ScriptedSource, sees } from './scripted-source.ts';

t.test(
  'evidence: any answer proves the link, only silence speaks against it, and the name source says nothing',
  async (t) => {
    const cases: readonly [ScriptedSource['script'], Evidence['proves'] | undefined][] = [
      [sees('interfaces', A), 'reachable'],
      [fails('interfaces', 'denied', true), 'reachable'],
      [fails('interfaces', 'throttled', true), 'reachable'],
      [fails('interfaces', 'expired-credentials', true), 'reachable'],
      [fails('interfaces', 'clock-skew', true), 'reachable'],
      [fails('interfaces', 'empty', true), 'reachable'],
      [fails('interfaces', 'timeout', true), 'reachable'],
      [fails('interfaces', 'timeout'), 'unreachable'],
      [fails('interfaces', 'network'), 'unreachable'],
      [fails('interfaces', 'no-credentials'), undefined],
      [fails('interfaces', 'internal'), undefined],
      [fails('interfaces', 'malformed'), undefined],
      [fails('interfaces', 'service-error', true), 'reachable'],
      [fails('interfaces', 'proxy'), 'nothing'],
      [fails('interfaces', 'untrusted-certificate'), 'nothing'],
      [fails('interfaces', 'clock-skew'), undefined],
    ];
    for (const [script, expected] of cases) {
      const [dns, interfaces] = pair(fails('dns', 'timeout'), script);
      const { refresher, evidence } = setUp([dns, interfaces]);
      await refresher.runOnce('test');
      t.strictSame(
        evidence.map(({ key, proves }) => [key, proves]),
        expected === undefined ? [] : [['us-west-2', expected]],
        JSON.stringify(script),
      );
      refresher.stop();
    }
  },
);

t.test('evidence of the Route 53 API is about the Region where it lives', async (t) => {
  const { refresher, evidence } = setUp([new ScriptedSource('route53', sees('route53', A))]);
  await refresher.runOnce('test');
  t.match(evidence, [{ side: 'aws', key: 'us-east-1', proves: 'reachable' }]);
  refresher.stop();
});

t.test('the home of the Route 53 API is that of the partition', async (t) => {
  for (const [region, home] of [
    ['cn-north-1', 'cn-northwest-1'],
    ['us-gov-east-1', 'us-gov-west-1'],
    ['eusc-de-east-1', 'eusc-de-east-1'],
    ['us-iso-west-1', 'us-iso-east-1'],
  ] as const) {
    const observation = { kind: 'addresses', source: 'route53', addresses: [A] } as const;
    const ending = { observation, startedMs: 0, durationMs: 1, isUnsettled: false, isLate: false };
    t.match(evidenceOf(ending, region), { side: 'aws', key: home, proves: 'reachable' });
  }
});

t.test(
  'a doubt about the link lets sources poll at once that were answered last, and no others',
  async (t) => {
    const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
    const cluster = new ScriptedSource('cluster', fails('cluster', 'denied', true));
    const { refresher, time } = setUp([dns, interfaces, cluster]);
    refresher.start();
    await time.advance(1_000);
    const polls = () => [dns, interfaces, cluster].map(({ polls }) => polls.length);
    const before = polls();
    refresher.pollWorking('us-east-1');
    refresher.pollWorking('us-west-2');
    await time.advance(0);
    t.strictSame(
      polls().map((count, at) => count - (before[at] ?? 0)),
      [0, 1, 0],
    );
    refresher.stop();
  },
);

t.test('what the API server answers, or does not, is no evidence of the link', async (t) => {
  const cases: readonly ScriptedSource['script'][] = [
    sees('kubernetes', A),
    fails('kubernetes', 'network'),
    fails('kubernetes', 'timeout'),
    fails('kubernetes', 'denied', true),
    fails('kubernetes', 'empty', true),
  ];
  for (const script of cases) {
    const { refresher, evidence } = setUp([new ScriptedSource('kubernetes', script)], serving(A));
    await refresher.runOnce('test');
    t.strictSame(evidence, [], JSON.stringify(script));
    refresher.stop();
  }
});

t.test(
  'trouble with credentials: said once at each change, shown, and never evidence of a cut',
  async (t) => {
    const [dns, interfaces] = pair(sees('dns', A), fails('interfaces', 'no-credentials'));
    const cluster = new ScriptedSource('cluster', fails('cluster', 'no-credentials'));
    const { refresher, time, log, evidence } = setUp([dns, interfaces, cluster]);
    const said = () =>
      log.lines
        .filter(({ text }) => text === 'credentials changed')
        .map(({ level, fields }) => `${level} ${fields['from']} ${fields['to']}`);
    refresher.start();
    await time.advance(600_000);
    t.strictSame(said(), ['warn unknown missing'], 'polls that go on failing say nothing new');
    t.match(refresher.snapshot(), {
      credentials: { condition: 'missing', detail: 'scripted', sinceAgoMs: 600_000 },
      warnings: [/credentials for aws are missing, for 10 min: scripted/],
    });
    t.strictSame(evidence, []);
    for (const source of [interfaces, cluster]) source.script = hangsUntilAborted(source.name);
    await time.advance(600_000);
    t.strictSame(said(), ['warn unknown missing'], 'a cut says nothing of them');
    for (const source of [interfaces, cluster])
      source.script = fails(source.name, 'expired-credentials', true);
    await time.advance(120_000);
    t.strictSame(said().slice(1), ['warn missing expired']);
    interfaces.script = sees('interfaces', A);
    cluster.script = describes({});
    await time.advance(120_000);
    t.strictSame(said().slice(2), ['info expired accepted']);
    t.match(refresher.snapshot(), { credentials: { condition: 'accepted', detail: '' }, warnings: [] });
    refresher.stop();
  },
);

t.test('credentials that work again for one source are tried for the others at once', async (t) => {
  const refused = (name: 'interfaces' | 'cluster') => fails(name, 'refused-credentials', true);
  const [dns, interfaces] = pair(sees('dns', A), refused('interfaces'));
  const cluster = new ScriptedSource('cluster', refused('cluster'));
  const { refresher, time } = setUp([dns, interfaces, cluster]);
  cluster.script = async () => {
    await new Promise<void>((resolve) => time.after(7_000, resolve)); // so that the two are not in step
    return refused('cluster');
  };
  refresher.start();
  await time.advance(3_600_000);
  t.match(refresher.snapshot().credentials, { condition: 'refused' });
  interfaces.script = sees('interfaces', A);
  cluster.script = describes({});
  const before = { interfaces: interfaces.polls.length, cluster: cluster.polls.length };
  while (interfaces.polls.length === before.interfaces) await time.advance(500);
  t.equal(cluster.polls.length, before.cluster + 1, 'before its own time');
  t.match(refresher.snapshot().credentials, { condition: 'accepted' });
  refresher.stop();
});

t.test('where nothing is asked of AWS no word is said about credentials', async (t) => {
  const { refresher, time, log } = setUp([new ScriptedSource('dns', sees('dns', A))]);
  refresher.start();
  await time.advance(100_000);
  t.equal(refresher.snapshot().credentials, undefined);
  t.notOk(log.lines.some(({ text }) => text === 'credentials changed'));
  refresher.stop();
});
