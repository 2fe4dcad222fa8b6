/** When each source is asked, and until when its answer counts. */
import t from 'tap';
import { A, B, C, D, pair, serving, setUp } from './refreshing.ts';
import { fails, hangs, hangsUntilAborted, ScriptedSource, sees } from './scripted-source.ts';

t.test('each source polls again by its own interval', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const { refresher, time } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(45_000 * 20);
  t.equal(dns.polls.length, 21);
  t.equal(interfaces.polls.length, 4);
  refresher.stop();
  t.equal(time.pendingTimers, 0, 'and none after the stop');
});

t.test('a source that fails is asked again after 5 s, 10 s, ... 60 s', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time } = setUp([dns]);
  refresher.start();
  const moments: number[] = [];
  for (let seconds = 0; seconds < 300; seconds++) {
    const before = dns.polls.length;
    await time.advance(1_000);
    if (dns.polls.length > before) moments.push(seconds + 1);
  }
  t.strictSame(moments, [5, 15, 35, 75, 135, 195, 255]);
  refresher.stop();
});

t.test('a source that never settles is given up at the deadline, and asked again', async (t) => {
  const interfaces = new ScriptedSource('interfaces', hangs);
  const { refresher, time, evidence, served } = setUp([interfaces], serving(A));
  refresher.start();
  await time.advance(19_999);
  t.equal(refresher.snapshot().sources[0]?.isRunning, true);
  t.notOk(interfaces.polls[0]?.signal.aborted);
  await time.advance(200);
  t.ok(interfaces.polls[0]?.signal.aborted, 'aborted at the deadline');
  t.match(refresher.snapshot().sources[0], {
    latest: 'failed',
    lastFailure: { reason: 'timeout' },
    stats: { unsettled: 1, refreshes: { timeout: 1 } },
  });
  await time.advance(5_000);
  t.equal(interfaces.polls.length, 2, 'and asked again, though the first poll still hangs');
  t.strictSame(evidence, [], 'a poll that ignores the abort says nothing about the link');
  t.strictSame(served(), [A]);
  await time.advance(3_600_000);
  t.ok(interfaces.polls.length < 20, `polls that pile up become rare: ${interfaces.polls.length}`);
  refresher.stop();
});

t.test('a request that hangs until it is aborted speaks against the link', async (t) => {
  const interfaces = new ScriptedSource('interfaces', hangsUntilAborted('interfaces'));
  const { refresher, time, evidence } = setUp([interfaces]);
  refresher.start();
  await time.advance(20_001);
  const cut = { side: 'aws', key: 'us-west-2', proves: 'unreachable', reason: 'timeout', startedAtMs: 0 };
  t.strictSame(evidence, [cut]);
  refresher.stop();
});

t.test('what a source says after its deadline is ignored and counted', async (t) => {
  const late = Promise.withResolvers<ReturnType<typeof sees>>();
  const interfaces = new ScriptedSource('interfaces', () => late.promise);
  const { refresher, time, served } = setUp([interfaces], serving(A));
  refresher.start();
  await time.advance(21_000);
  late.resolve(sees('interfaces', B, C));
  await time.advance(0);
  t.strictSame(served(), [A]);
  t.match(refresher.snapshot().sources[0]?.stats, {
    lateResults: 1,
    unsettled: 0,
    refreshes: { timeout: 1 },
  });
  refresher.stop();
});

t.test('what a source says in the moment after its abort is late as well', async (t) => {
  const script = (signal: AbortSignal) =>
    new Promise<ReturnType<typeof sees>>((resolve) =>
      signal.addEventListener('abort', () => resolve(sees('interfaces', B)), { once: true }),
    );
  const { refresher, time, served, evidence } = setUp([new ScriptedSource('interfaces', script)], serving(A));
  refresher.start();
  await time.advance(20_200);
  t.strictSame(served(), [A]);
  t.match(refresher.snapshot().sources[0]?.stats, {
    lateResults: 1,
    unsettled: 0,
    refreshes: { timeout: 1 },
  });
  t.match(evidence, [{ proves: 'reachable' }], 'though it did reach AWS');
  refresher.stop();
});

t.test('a source never polls twice at once', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A), hangsUntilAborted('interfaces'));
  const { refresher, time } = setUp([dns, interfaces]);
  refresher.start();
  for (let round = 0; round < 50; round++) {
    void refresher.runOnce('test');
    if (round % 10 === 0) refresher.kick('test');
    await time.advance(700);
  }
  t.equal(dns.mostRunning, 1);
  t.equal(interfaces.mostRunning, 1);
  refresher.stop();
});

t.test('a source that throws is a failure of its own, and its schedule goes on', async (t) => {
  const dns = new ScriptedSource('dns', () => Promise.reject(new Error('a bug')));
  const { refresher, time } = setUp([dns], serving(A));
  refresher.start();
  await time.advance(5_001);
  t.equal(dns.polls.length, 2);
  t.match(refresher.snapshot().sources[0]?.lastFailure, { reason: 'internal', detail: /a bug/ });
  refresher.stop();
});

t.test('a kick resets the backoff', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time } = setUp([dns]);
  refresher.start();
  await time.advance(600_000);
  const before = dns.polls.length;
  refresher.kick('link restored');
  await time.advance(6_000);
  t.equal(dns.polls.length, before + 2, 'at once, and after 5 s');
  refresher.stop();
});

t.test('a wall clock that jumps by years in either direction moves no age and no schedule', async (t) => {
  const dns = new ScriptedSource('dns', sees('dns', A));
  const { refresher, time } = setUp([dns], serving(A));
  refresher.start();
  await time.advance(1_000);
  for (const wall of ['2046-01-01T00:00:00Z', '1970-01-02T00:00:00Z']) {
    time.setWall(wall);
    const polls = dns.polls.length;
    await time.advance(45_000);
    t.equal(dns.polls.length, polls + 1, wall);
    const { addresses, sources, changedAgoMs } = refresher.snapshot();
    const { firstSeenAgoMs = -1, lastSeenAgoMs = -1 } = addresses[0]?.provenance.dns ?? {};
    t.equal(firstSeenAgoMs, 1_000 + time.monotonicMs());
    t.ok(lastSeenAgoMs >= 0 && lastSeenAgoMs <= 45_000, `${lastSeenAgoMs}`);
    t.equal(sources[0]?.lastSuccessAgoMs, lastSeenAgoMs);
    t.equal(changedAgoMs, undefined);
  }
  refresher.stop();
});

t.test('a poll that is under way is waited for, however fresh the view before it', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, published } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  dns.script = async () => {
    await new Promise<void>((resolve) => time.after(100, resolve));
    return sees('dns', A, B, D);
  };
  interfaces.script = sees('interfaces', A, B, D);
  refresher.kick('test');
  await time.advance(1_000);
  t.strictSame(served(), [A, B, D]);
  t.ok(
    published.every((addresses) => addresses.length === 3),
    'not the overlap of old and new',
  );
  refresher.stop();
});
