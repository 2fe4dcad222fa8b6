import t from 'tap';
import type { Evidence } from '../../src/link/link-state.ts';
import { ClusterRefresher } from '../../src/refresh/cluster-refresher.ts';
import type { ClusterSettings } from '../../src/refresh/cluster-settings.ts';
import { addressesOf, type Change } from '../../src/refresh/reconcile/changes.ts';
import { emptyRecord } from '../../src/refresh/reconcile/plan.ts';
import type { EndpointRecord } from '../../src/store/endpoint-record.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { VirtualTime } from '../helpers/virtual-time.ts';
import {
  clusterSettings,
  describes,
  evenRandom,
  fails,
  hangs,
  hangsUntilAborted,
  ScriptedSource,
  sees,
  times,
  unnamedCluster,
} from './scripted-source.ts';

const [A, B, C, D, E, F] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'];

function setUp(
  sources: readonly ScriptedSource[],
  record?: EndpointRecord,
  base: ClusterSettings = clusterSettings(),
) {
  const time = new VirtualTime();
  const log = new CollectingLog();
  const evidence: Evidence[] = [];
  const changes: Change[] = [];
  const published: string[][] = [];
  const settings = { ...base, sources };
  const refresher: ClusterRefresher = new ClusterRefresher({
    settings,
    times,
    record: record ?? emptyRecord(settings.name, settings.region),
    clock: time,
    timers: time,
    random: evenRandom,
    log,
    evidence: (given) => evidence.push(given),
    onRecord: (changed) => {
      changes.push(...changed);
      published.push([...addressesOf(refresher.record)]);
    },
  });
  const served = () => addressesOf(refresher.record);
  return { time, log, evidence, changes, published, refresher, served, settings };
}

/** As loaded from disk: served, confirmed by nobody in this process. */
function serving(...addresses: readonly string[]): EndpointRecord {
  const seen = { firstSeenMs: -1_000, lastSeenMs: -1_000 };
  return {
    ...emptyRecord('my-cluster', 'us-west-2'),
    endpoint: 'api.example',
    addresses: addresses.map((address) => ({ address, provenance: { dns: seen } })),
    basis: 'name',
    confirmedAtMs: { dns: -1_000 },
  };
}

function pair(dns: ScriptedSource['script'], interfaces: ScriptedSource['script']) {
  return [new ScriptedSource('dns', dns), new ScriptedSource('interfaces', interfaces)] as const;
}

t.test('the first look publishes as soon as one source has answered', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), hangs);
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(0);
  t.strictSame(served(), [A, B]);
  t.equal(refresher.record.basis, 'name');
  refresher.stop();
});

t.test('each source looks again by its own interval', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const { refresher, time } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(45_000 * 20);
  t.equal(dns.looks.length, 21);
  t.equal(interfaces.looks.length, 4);
  refresher.stop();
  t.equal(time.pendingTimers, 0, 'and none after the stop');
});

t.test('a source that fails is asked again after 5 s, 10 s, ... 60 s', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time } = setUp([dns]);
  refresher.start();
  const moments: number[] = [];
  for (let seconds = 0; seconds < 300; seconds++) {
    const before = dns.looks.length;
    await time.advance(1_000);
    if (dns.looks.length > before) moments.push(seconds + 1);
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
  t.notOk(interfaces.looks[0]?.signal.aborted);
  await time.advance(200);
  t.ok(interfaces.looks[0]?.signal.aborted, 'aborted at the deadline');
  t.match(refresher.snapshot().sources[0], {
    latest: 'failed',
    lastFailure: { reason: 'timeout' },
    stats: { unsettled: 1, refreshes: { timeout: 1 } },
  });
  await time.advance(5_000);
  t.equal(interfaces.looks.length, 2, 'and asked again, though the first look still hangs');
  t.strictSame(evidence, [], 'a look that heeds no abort says nothing about the link');
  t.strictSame(served(), [A]);
  await time.advance(3_600_000);
  t.ok(interfaces.looks.length < 20, `looks that pile up become rare: ${interfaces.looks.length}`);
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

t.test('a source never looks twice at once', async (t) => {
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
  t.equal(dns.looks.length, 2);
  t.match(refresher.snapshot().sources[0]?.lastFailure, { reason: 'internal', detail: /a bug/ });
  refresher.stop();
});

t.test('a changed name is compared with interfaces that have just been looked at', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, changes } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  changes.length = 0;
  dns.script = sees('dns', A, B, D);
  interfaces.script = sees('interfaces', A, B, D);
  await time.advance(45_000);
  t.equal(interfaces.looks.length, 2, 'the interfaces are not asked by their interval, but at once');
  t.strictSame(served(), [A, B, D]);
  t.match(changes, [{ kind: 'addresses', added: [D], removed: [C], basis: 'name' }]);
  t.equal(changes.length, 1, 'in one step');
  refresher.stop();
});

t.test('nothing is adopted while a source that is asked for its view still looks', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  dns.script = sees('dns', A, B, D);
  interfaces.script = hangs;
  await time.advance(45_000);
  t.strictSame(served(), [A, B, C], 'waiting');
  await time.advance(20_000);
  t.strictSame(served(), [A, B, D], 'the deadline ends the wait');
  refresher.stop();
});

t.test('a name that lags behind the interfaces is not followed back', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  interfaces.script = sees('interfaces', A, B, D);
  await time.advance(300_000);
  t.strictSame(served(), [A, B], 'the overlap, until the name has followed');
  dns.script = sees('dns', A, B, D);
  await time.advance(60_000);
  t.strictSame(served(), [A, B, D]);
  refresher.stop();
});

t.test('names that stay public cost no listing of interfaces at each look', async (t) => {
  const [dns, interfaces] = pair(sees('dns', '52.94.1.1'), sees('interfaces', A, B));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(299_000);
  t.strictSame(served(), [A, B]);
  t.equal(interfaces.looks.length, 1);
  t.match(refresher.snapshot(), {
    basis: 'interfaces',
    likelyCause: 'public-access',
    warnings: [/public access/],
  });
  refresher.stop();
});

t.test(
  'an upstream that filters private addresses is named as the likely cause, whoever answers first',
  async (t) => {
    for (const delays of [
      { dns: 0, interfaces: 50 },
      { dns: 50, interfaces: 0 },
    ]) {
      const [dns, interfaces] = pair(hangs, hangs);
      const { refresher, time, served, log } = setUp([dns, interfaces]);
      const after = (ms: number, given: ReturnType<typeof sees>) => async () => {
        await new Promise<void>((resolve) => time.after(ms, resolve));
        return given;
      };
      dns.script = after(delays.dns, fails('dns', 'empty'));
      interfaces.script = after(delays.interfaces, sees('interfaces', A));
      refresher.start();
      await time.advance(3_000);
      t.strictSame(served(), [A]);
      t.equal(refresher.snapshot().likelyCause, 'dns-rebinding-filter');
      await time.advance(17_000);
      t.ok(log.lines.some(({ text, level }) => text === 'sources disagree' && level === 'warn'));
      refresher.stop();
    }
  },
);

t.test('losing more than half is held, shown, confirmed by another look, and adopted', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, changes } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  dns.script = sees('dns', D, E, F);
  interfaces.script = sees('interfaces', D, E, F);
  await time.advance(45_000);
  t.strictSame(served(), [A, B, C]);
  t.match(refresher.snapshot(), {
    held: { addresses: [D, E, F], reason: 'loses 3 of 3 addresses' },
    stats: { heldChanges: 1 },
    warnings: [/held back/],
  });
  await time.advance(17_000);
  t.strictSame(served(), [D, E, F]);
  t.notOk(refresher.snapshot().held);
  t.match(changes.at(-1), { kind: 'released', outcome: 'adopted' });
  refresher.stop();
});

t.test('losing more than half is dropped when the next look does not repeat it', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const { refresher, time, served, published } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(1_000);
  interfaces.script = sees('interfaces', A); // a listing that is not consistent yet, or only its first page
  await time.advance(300_000);
  interfaces.script = sees('interfaces', A, B, C);
  await time.advance(20_000);
  t.notOk(refresher.snapshot().held);
  t.strictSame(served(), [A, B, C]);
  t.ok(
    published.slice(1).every((addresses) => addresses.length === 3),
    'nobody was ever given less',
  );
  refresher.stop();
});

t.test('a kick just after a suspicious look is no confirmation', async (t) => {
  const dns = new ScriptedSource('dns', sees('dns', D));
  const { refresher, time, served } = setUp([dns], serving(A, B, C));
  refresher.start();
  await time.advance(100);
  for (let kick = 0; kick < 5; kick++) {
    refresher.kick('again');
    await time.advance(1_000);
  }
  t.ok(dns.looks.length >= 5);
  t.strictSame(served(), [A, B, C]);
  refresher.stop();
});

t.test('a name that flaps between two sets never gets the better of what is served', async (t) => {
  let look = 0;
  const dns = new ScriptedSource('dns', async () =>
    look++ % 2 === 0 ? sees('dns', A, B) : sees('dns', C, D),
  );
  const { refresher, time, served } = setUp([dns], serving(A, B));
  refresher.start();
  await time.advance(3_600_000);
  t.ok(look > 80);
  t.strictSame(served(), [A, B]);
  refresher.stop();
});

t.test('a source that flaps between answers and timeouts changes nothing', async (t) => {
  let look = 0;
  const [dns, interfaces] = pair(
    async () => (look++ % 2 === 0 ? sees('dns', A, B) : fails('dns', 'timeout')),
    sees('interfaces', A, B, C),
  );
  const { refresher, time, published } = setUp([dns, interfaces], serving(A, B));
  refresher.start();
  await time.advance(3_600_000);
  t.ok(look > 80);
  t.ok(published.every((addresses) => addresses.length === 2));
  refresher.stop();
});

t.test('one lost reply about the name does not bring in the interfaces; lasting silence does', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B, C));
  const { refresher, time, served } = setUp([dns, interfaces]);
  refresher.start();
  await time.advance(10_000);
  t.strictSame(served(), [A, B]);
  let look = 0;
  dns.script = async () => (look++ === 0 ? fails('dns', 'timeout') : sees('dns', A, B));
  await time.advance(60_000);
  t.ok(look >= 2);
  t.strictSame(served(), [A, B]);
  dns.script = fails('dns', 'timeout');
  await time.advance(60_000);
  t.strictSame(served(), [A, B, C]);
  t.equal(refresher.record.basis, 'interfaces');
  refresher.stop();
});

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
    t.equal(log.lines.filter(({ text }) => text === 'source fails').length, 3, 'each failure is told once');
    t.notOk(
      log.lines.some(({ text }) => text === 'sources disagree'),
      'silence is not held against the upstream',
    );

    dns.script = sees('dns', A, B, D);
    interfaces.script = sees('interfaces', A, B, D);
    refresher.kick('link restored');
    await time.advance(1_100);
    t.strictSame(served(), [A, B, D], 'looks that began during the cut are not waited for');
    t.match(refresher.record, { lastRefreshFailed: false, basis: 'name', ttlSeconds: 60 });
    refresher.stop();
  },
);

t.test('a kick resets the backoff', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time } = setUp([dns]);
  refresher.start();
  await time.advance(600_000);
  const before = dns.looks.length;
  refresher.kick('link restored');
  await time.advance(6_000);
  t.equal(dns.looks.length, before + 2, 'at once, and after 5 s');
  refresher.stop();
});

t.test('addresses that nobody has confirmed for 7 and 30 days are warned of once each', async (t) => {
  const dns = new ScriptedSource('dns', fails('dns'));
  const { refresher, time, log, served } = setUp([dns], serving(A));
  refresher.start();
  await time.advance(8 * 86_400_000);
  const told = () =>
    log.lines.filter(({ text }) => /confirmed for days/.test(text)).map(({ fields }) => fields['days']);
  t.strictSame(told(), [7]);
  t.match(refresher.snapshot().warnings, [/for 8 days: scripted/]);
  t.strictSame(served(), [A]);
  refresher.stop();
});

t.test('without a name the details come first, and then the sources that need them', async (t) => {
  const details = Promise.withResolvers<ReturnType<typeof describes>>();
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const cluster = new ScriptedSource('cluster', () => details.promise);
  const { refresher, time, served } = setUp([dns, interfaces, cluster], undefined, unnamedCluster());
  refresher.start();
  await time.advance(1_000);
  t.strictSame([dns.looks.length, interfaces.looks.length, cluster.looks.length], [0, 0, 1]);
  details.resolve(
    describes({ endpoint: 'learned.example', vpcId: 'vpc-1', subnetIds: ['subnet-1'], generation: 'ebs' }),
  );
  await time.advance(0);
  t.strictSame(served(), [A]);
  const expected = {
    cluster: 'my-cluster',
    region: 'us-west-2',
    endpoint: 'learned.example',
    vpcId: 'vpc-1',
    subnetIds: ['subnet-1'],
    generation: 'ebs',
    knownAddresses: [],
  };
  t.strictSame(dns.looks[0]?.context, expected);
  t.strictSame(interfaces.looks[0]?.context, expected);
  t.equal(dns.looks.length, 1);
  refresher.stop();
});

t.test('without a name and without details the interfaces are looked at all the same', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A), sees('interfaces', A));
  const cluster = new ScriptedSource('cluster', fails('cluster', 'denied', true));
  const { refresher, time, served, evidence } = setUp(
    [dns, interfaces, cluster],
    undefined,
    unnamedCluster(),
  );
  refresher.start();
  await time.advance(10_000);
  t.equal(dns.looks.length, 0);
  t.strictSame(served(), [A], 'known, though there is no name to answer them for yet');
  t.match(refresher.snapshot().warnings, [/endpoint name is unknown/]);
  t.match(evidence[0], { proves: 'reachable', reason: 'denied' });
  cluster.script = describes({ endpoint: 'learned.example' });
  refresher.kick('policy mended');
  await time.advance(1_000);
  t.equal(dns.looks[0]?.context.endpoint, 'learned.example');
  refresher.stop();
});

t.test(
  'a new endpoint name is adopted, warned of, asked for at once, and keeps the addresses meanwhile',
  async (t) => {
    const [dns, interfaces] = pair(sees('dns', A, B), sees('interfaces', A, B));
    const cluster = new ScriptedSource('cluster', describes({ endpoint: 'old.example' }));
    const { refresher, time, served, log } = setUp([dns, interfaces, cluster], undefined, unnamedCluster());
    refresher.start();
    await time.advance(1_000);
    cluster.script = describes({ endpoint: 'new.example' });
    dns.script = hangs;
    refresher.kick('test');
    await time.advance(1_000);
    t.equal(refresher.record.endpoint, 'new.example');
    t.equal(dns.looks.at(-1)?.context.endpoint, 'new.example');
    t.notOk(refresher.snapshot().sources[0]?.addresses, 'what the old name resolved to is forgotten');
    t.strictSame(served(), [A, B]);
    t.ok(log.lines.some(({ level, text }) => level === 'warn' && text.startsWith('endpoint name changed')));
    refresher.stop();
  },
);

t.test('a look for the old name is given up when the name changes, and its answer ignored', async (t) => {
  const old = Promise.withResolvers<ReturnType<typeof sees>>();
  const dns = new ScriptedSource('dns', (_, { endpoint }) =>
    endpoint === 'old.example' ? old.promise : Promise.resolve(sees('dns', C)),
  );
  const cluster = new ScriptedSource('cluster', describes({ endpoint: 'new.example' }));
  const record = { ...serving(), endpoint: 'old.example' };
  const { refresher, time, served } = setUp([dns, cluster], record, unnamedCluster());
  refresher.start();
  await time.advance(0);
  old.resolve(sees('dns', A));
  await time.advance(0);
  t.strictSame(served(), [C]);
  refresher.stop();
});

t.test('the name and the VPC of the operator win over the details', async (t) => {
  const interfaces = new ScriptedSource('interfaces', sees('interfaces', A));
  const cluster = new ScriptedSource(
    'cluster',
    describes({ endpoint: 'learned.example', vpcId: 'vpc-learned' }),
  );
  const base = clusterSettings({ vpcId: 'vpc-operator' });
  const { refresher, time } = setUp([interfaces, cluster], undefined, base);
  refresher.start();
  await time.advance(301_000);
  t.equal(refresher.record.endpoint, 'api.example');
  t.match(interfaces.looks.at(-1)?.context, { vpcId: 'vpc-operator', endpoint: 'api.example' });
  refresher.stop();
});

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

t.test('an empty set is a failure, whoever calls it a success', async (t) => {
  const [dns, interfaces] = pair(sees('dns'), sees('interfaces'));
  const { refresher, time, served } = setUp([dns, interfaces], serving(A));
  refresher.start();
  await time.advance(600_000);
  t.strictSame(served(), [A]);
  t.equal(refresher.snapshot().sources[0]?.lastFailure?.reason, 'empty');
  refresher.stop();
});

t.test('a wall clock that jumps by years in either direction moves no age and no schedule', async (t) => {
  const dns = new ScriptedSource('dns', sees('dns', A));
  const { refresher, time } = setUp([dns], serving(A));
  refresher.start();
  await time.advance(1_000);
  for (const wall of ['2046-01-01T00:00:00Z', '1970-01-02T00:00:00Z']) {
    time.setWall(wall);
    const looks = dns.looks.length;
    await time.advance(45_000);
    t.equal(dns.looks.length, looks + 1, wall);
    const { addresses, sources, changedAgoMs } = refresher.snapshot();
    const { firstSeenAgoMs = -1, lastSeenAgoMs = -1 } = addresses[0]?.provenance.dns ?? {};
    t.equal(firstSeenAgoMs, 1_000 + time.monotonicMs());
    t.ok(lastSeenAgoMs >= 0 && lastSeenAgoMs <= 45_000, `${lastSeenAgoMs}`);
    t.equal(sources[0]?.lastSuccessAgoMs, lastSeenAgoMs);
    t.equal(changedAgoMs, undefined);
  }
  refresher.stop();
});

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
  t.equal(again[0]?.looks.length, 1, 'but they are looked at');
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
  t.equal(dns.looks.length, 1);
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

t.test('a look that is under way is waited for, however fresh the view before it', async (t) => {
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

t.test('the status is plain data', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B), fails('interfaces', 'denied', true));
  const cluster = new ScriptedSource('cluster', describes({ vpcId: 'vpc-1' }));
  const { refresher, time } = setUp([dns, interfaces, cluster]);
  refresher.start();
  await time.advance(10_000);
  const snapshot = refresher.snapshot();
  t.strictSame(JSON.parse(JSON.stringify(snapshot)), snapshot);
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

t.test('a change during a cut is seen by the API server, and served once the guard is content', async (t) => {
  const [dns, interfaces] = pair(sees('dns', A, B, C), sees('interfaces', A, B, C));
  const kubernetes = new ScriptedSource('kubernetes', sees('kubernetes', A, B, C));
  const { refresher, time, served, evidence, changes } = setUp(
    [dns, interfaces, kubernetes],
    serving(A, B, C),
  );
  refresher.start();
  await time.advance(60_000);
  const connected = evidence.length;
  dns.script = fails('dns');
  interfaces.script = hangsUntilAborted('interfaces');
  await time.advance(120_000);
  t.strictSame(served(), [A, B, C]);
  t.match(
    refresher.record,
    { lastRefreshFailed: false, ttlSeconds: 60 },
    'the cut is not felt: one confirms',
  );
  t.ok(
    (refresher.snapshot().confirmedAgoMs ?? Number.POSITIVE_INFINITY) <= 72_000,
    'and keeps the truth young',
  );
  kubernetes.script = sees('kubernetes', A, B, D);
  await time.advance(60_000 * 1.2 + 20_000);
  t.strictSame(served(), [A, B, D]);
  t.equal(refresher.record.basis, 'interfaces');
  const before = changes.length;
  kubernetes.script = sees('kubernetes', D, E, F);
  await time.advance(60_000 * 1.2 + 60_000);
  t.match(
    changes.slice(before).map(({ kind }) => kind),
    ['basis', 'held', 'addresses', 'released'],
    'a large loss is held until it is repeated',
  );
  t.strictSame(served(), [D, E, F]);
  const { length } = evidence.slice(connected).filter(({ proves }) => proves === 'reachable');
  t.equal(length, 0, 'and none of it was taken for a sign of AWS');
  refresher.stop();
});

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
  'the API server is asked as soon as there is an address to ask at, and told what is known',
  async (t) => {
    const first = Promise.withResolvers<ReturnType<typeof sees>>();
    const dns = new ScriptedSource('dns', () => first.promise);
    const kubernetes = new ScriptedSource('kubernetes', sees('kubernetes', A, B));
    const cluster = new ScriptedSource('cluster', describes({ certificateAuthority: 'Q0E=' }));
    const { refresher, time, log } = setUp([dns, kubernetes, cluster]);
    refresher.start();
    await time.advance(1_000);
    t.equal(kubernetes.looks.length, 0, 'that it cannot be asked yet is no failure');
    first.resolve(sees('dns', A, B));
    await time.advance(0);
    t.match(kubernetes.looks[0]?.context, {
      endpoint: 'api.example',
      knownAddresses: [A, B],
      certificateAuthority: 'Q0E=',
    });
    await time.advance(70_000);
    t.equal(kubernetes.looks.length, 2, 'and then by its own interval');
    t.strictSame(
      log.lines.filter(({ level }) => level === 'warn'),
      [],
    );
    refresher.stop();
  },
);

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
    t.strictSame(said(), ['warn unknown missing'], 'looks that go on failing say nothing new');
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
  const before = { interfaces: interfaces.looks.length, cluster: cluster.looks.length };
  while (interfaces.looks.length === before.interfaces) await time.advance(500);
  t.equal(cluster.looks.length, before.cluster + 1, 'before its own time');
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
