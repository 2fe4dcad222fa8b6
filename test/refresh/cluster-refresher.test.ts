/** From the first poll to the last: a cut and a return, new settings, a stop, and what is shown meanwhile. */
import t from 'tap';
import { collectGarbage } from '../helpers/collect-garbage.ts';
import { until } from '../helpers/patience.ts';
import { A, B, C, D, E, pair, serving, setUp } from './refreshing.ts';
import {
  describes,
  fails,
  hangs,
  hangsUntilAborted,
  ScriptedSource,
  sees,
  times,
} from './scripted-source.ts';

t.test(
  'cut and return: the addresses stay, the failure shows within a minute, a kick brings back the truth',
  async (t) => {
    const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
    const cluster = new ScriptedSource('cluster', describes({ endpoint: 'api.example' }));
    const { refresher, time, served, log } = setUp([dns, interfaces, cluster]);
    refresher.start();
    await time.advance(1_000);
    dns.script = fails('dns', 'timeout');
    interfaces.script = hangsUntilAborted('interfaces');
    cluster.script = hangsUntilAborted('cluster');
    await time.advance(70_000);
    t.match(refresher.record, { lastRefreshFailed: true, basis: 'kept', ttlSeconds: 30 });
    await time.advance(3 * 86_400_000);
    t.strictSame(served(), [A, B, C]);
    t.equal(log.lines.filter(({ text }) => text === 'source fails').length, 3, 'each failure is logged once');
    t.notOk(
      log.lines.some(({ text }) => text === 'sources disagree'),
      'silence is not held against the upstream',
    );

    dns.script = sees('dns', A, B, D);
    interfaces.script = sees('interfaces', A, B, D);
    refresher.kick('link restored');
    await time.advance(1_100);
    t.strictSame(served(), [A, B, D], 'polls that began during the cut are not waited for');
    t.match(refresher.record, { lastRefreshFailed: false, basis: 'name', ttlSeconds: 60 });
    refresher.stop();
  },
);

t.test('new settings take effect at once, and lose neither record nor views', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B));
  const { refresher, time, served, settings, published } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(60_000);
  const count = published.length;
  refresher.reconfigure({ ...settings, pin: [E] }, times);
  t.strictSame(served(), [E]);
  t.ok(published.length > count);
  await time.advance(2_000);
  t.strictSame(served(), [E], 'whatever the sources see');
  t.match(refresher.snapshot().warnings, [
    /pinned the addresses to 10.0.0.5, while the sources say 10.0.0.1, 10.0.0.2/,
  ]);
  refresher.reconfigure(settings, times);
  t.strictSame(served(), [A, B], 'at once');
  await time.advance(2_000);
  t.strictSame(served(), [A, B]);
  t.equal(refresher.snapshot().sources[0]?.stats.refreshes.succeeded, 4, 'counted on');
  refresher.stop();
});

t.test('new settings with the same sources change nothing', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B));
  const { refresher, time, settings, changes } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(60_000);
  changes.length = 0;
  const again = [
    new ScriptedSource('dns', sees('dns', A, B)),
    new ScriptedSource('interfaces', sees('interfaces', B, A)),
  ];
  refresher.reconfigure({ ...settings, sources: again }, times);
  await time.advance(2_000);
  t.strictSame(changes, []);
  t.equal(again[0]?.polls.length, 1, 'but they are polled');
  refresher.stop();
});

t.test('sources of before a reload leave memory', async () => {
  const { refresher, time, settings } = setUp(pair(sees('dns', A, B), sees('interfaces', A, B)));
  refresher.start();
  await time.advance(60_000);
  const before: WeakRef<ScriptedSource>[] = [];
  for (let reload = 0; reload < 10; reload++) {
    const sources = pair(sees('dns', A, B), sees('interfaces', A, B));
    before.push(...sources.map((source) => new WeakRef(source)));
    refresher.reconfigure({ ...settings, sources }, times);
    await time.advance(2_000);
  }
  const held = () => before.filter((source) => source.deref() !== undefined).length;
  await until('those of the last reload are left', () => {
    collectGarbage();
    return held() <= 4;
  });
  refresher.stop();
});

t.test('after a stop nothing is published, whatever still comes', async (t) => {
  const late = Promise.withResolvers<ReturnType<typeof sees>>();
  const [dns, interfaces] = pair(() => late.promise, hangs);
  const { refresher, time, published } = setUp([dns, interfaces], serving(A));
  refresher.start();
  await time.advance(1_000);
  refresher.kick('test');
  refresher.stop();
  late.resolve(sees('dns', B));
  await time.advance(60_000);
  t.strictSame(published, []);
  t.equal(time.pendingTimers, 0);
  t.equal(dns.polls.length, 1);
});

t.test('a stop while a decision waits for another source decides nothing', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), hangs);
  const { refresher, time, published, served } = setUp([dns, interfaces], serving(A, B));
  refresher.start();
  await time.advance(1_000);
  refresher.stop();
  await time.advance(60_000);
  t.strictSame(published, []);
  t.strictSame(served(), [A, B]);
});

t.test('the status is plain data', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), fails('interfaces', 'denied', true));
  const cluster = new ScriptedSource('cluster', describes({ vpcId: 'vpc-1' }));
  const { refresher, time } = setUp([dns, interfaces, cluster]);
  refresher.start();
  await time.advance(10_000);
  const snapshot = refresher.snapshot();
  t.strictSame(structuredClone(snapshot), snapshot);
  t.match(snapshot, {
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'api.example',
    basis: 'name',
    ttlSeconds: 60,
    lastRefreshFailed: false,
    addresses: [
      { address: A, isDead: false, provenance: { dns: { firstSeenAgoMs: 10_000, lastSeenAgoMs: 10_000 } } },
      {},
    ],
    changedAgoMs: 10_000,
    confirmedAgoMs: 10_000,
    sources: [
      {
        source: 'dns',
        latest: 'succeeded',
        lastSuccessAgoMs: 10_000,
        nextAttemptInMs: 35_000,
        addresses: [A, B],
      },
      {
        source: 'interfaces',
        latest: 'failed',
        lastFailure: { reason: 'denied', detail: 'scripted', agoMs: 5_000 },
        consecutiveFailures: 2,
      },
      { source: 'cluster', latest: 'succeeded', nextAttemptInMs: 3_590_000 },
    ],
    details: { vpcId: 'vpc-1', learnedAgoMs: 10_000 },
    warnings: [],
  });
  refresher.stop();
});
