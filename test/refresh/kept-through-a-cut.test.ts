/** What a cut, a restart in it, and an operator's correction must not take away, nor hide. */
import t from 'tap';
import { addressesOf, type EndpointRecord } from '../../src/records/endpoint-record.ts';
import type { ClusterSettings } from '../../src/refresh/cluster-sources.ts';
import { RefreshPlane } from '../../src/refresh/refresh-plane.ts';
import { atOnce } from '../../src/runtime/slices.ts';
import { ENDPOINTS } from '../../src/store/endpoints-format.ts';
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

const GOOD = ['10.0.1.10', '10.0.2.10', '10.0.3.10'] as const;
const NEW = ['10.0.1.20', '10.0.2.20', '10.0.3.20'] as const;
const PORTAL = '192.168.1.1';
const HOUR_MS = 3_600_000;

async function startPlane(
  clusters: readonly ClusterSettings[],
  records: readonly EndpointRecord[] = [],
  time = new VirtualTime(),
) {
  let saved: readonly EndpointRecord[] = [];
  const log = new CollectingLog();
  const plane = new RefreshPlane({
    clusters,
    times,
    clock: time,
    timers: time,
    random: evenRandom,
    log,
    save: async (all) => {
      saved = all;
      return { kind: 'saved' };
    },
    publish: () => {},
    evidence: () => {},
  });
  await plane.load(records);
  plane.start();
  return {
    plane,
    time,
    log,
    served: () => plane.records().map(addressesOf),
    one: () => plane.snapshot().clusters[0],
    /** Stops, and gives back what another process would read from the file. */
    async end(): Promise<readonly EndpointRecord[]> {
      await plane.stop();
      const encoded = atOnce(ENDPOINTS.encode({ generation: 1, writtenAtMs: 0, content: saved }));
      if (encoded.kind !== 'encoded') throw new Error(encoded.detail);
      const decoded = atOnce(ENDPOINTS.decode(encoded.octets));
      if (decoded.kind !== 'ok') throw new Error(decoded.kind);
      return decoded.file.content;
    },
  };
}

function sourcesSeeing(addresses: readonly string[]) {
  const dns = new ScriptedSource('dns', sees('dns', ...addresses));
  const interfaces = new ScriptedSource('interfaces', sees('interfaces', ...addresses));
  return { dns, interfaces, both: [dns, interfaces] };
}

const PORTAL_ALLOWED = { allowedAddresses: ['10.0.0.0/8', '192.168.0.0/16'] };

t.test('in a cut, names alone never replace what the interfaces confirmed', async (t) => {
  for (const silence of [hangs, hangsUntilAborted('interfaces'), fails('interfaces', 'malformed')]) {
    const { dns, interfaces, both } = sourcesSeeing(GOOD);
    const settings = clusterSettings({ ...PORTAL_ALLOWED, sources: both });
    const before = await startPlane([settings]);
    await before.time.advance(60_000);
    dns.script = sees('dns', PORTAL);
    interfaces.script = silence;
    await before.time.advance(HOUR_MS);
    t.strictSame(before.served(), [GOOD]);
    t.match(before.one()?.warnings, [
      /source interfaces has given no answer/,
      /192\.168\.1\.1.* names alone .*until an interface source answers/,
    ]);

    const after = await startPlane([settings], await before.end());
    await after.time.advance(HOUR_MS);
    t.strictSame(after.served(), [GOOD], 'nor after a restart');
    interfaces.script = sees('interfaces', PORTAL);
    await after.time.advance(700_000); // polls that hang for good have made it patient
    t.strictSame(after.served(), [[PORTAL]], 'until the interfaces say so too');
    await after.end();
  }
});

t.test('names alone do replace where AWS answers, or the interfaces never confirmed anything', async (t) => {
  const { dns, interfaces, both } = sourcesSeeing(GOOD);
  const refused = await startPlane([clusterSettings({ sources: both })]);
  await refused.time.advance(60_000);
  dns.script = sees('dns', ...NEW);
  interfaces.script = fails('interfaces', 'denied', true);
  await refused.time.advance(120_000);
  t.strictSame(refused.served(), [NEW]);
  await refused.end();

  const alone = sourcesSeeing(GOOD);
  alone.interfaces.script = fails('interfaces', 'timeout');
  const never = await startPlane([clusterSettings({ sources: alone.both })]);
  await never.time.advance(60_000);
  alone.dns.script = sees('dns', ...NEW);
  await never.time.advance(120_000);
  t.strictSame(never.served(), [NEW]);
  await never.end();
});

t.test('a corrected name or Region of a cluster finds the addresses of its endpoint', async (t) => {
  const cut = [new ScriptedSource('dns', fails('dns', 'timeout'))];
  const before = await startPlane([clusterSettings({ sources: sourcesSeeing(GOOD).both })]);
  await before.time.advance(60_000);
  const records = await before.end();
  for (const [what, correction] of [
    ['name', clusterSettings({ name: 'the-cluster', sources: cut })],
    ['Region', clusterSettings({ region: 'us-east-1', sources: cut })],
    [
      'Region of a cluster that is not named an endpoint',
      { ...unnamedCluster(), region: 'us-east-1', sources: cut },
    ],
  ] as const) {
    const { plane, served, end } = await startPlane([correction], records);
    t.strictSame(served(), [GOOD], what);
    t.match(plane.records()[0], {
      cluster: correction.name,
      region: correction.region,
      endpoint: 'api.example',
    });
    t.equal(
      plane.records()[0]?.confirmedAtMs.interfaces,
      records[0]?.confirmedAtMs.interfaces,
      'as old as it is',
    );
    t.match((await end())[1], { cluster: 'my-cluster', region: 'us-west-2' }, 'the old record is kept');
  }
  const live = await startPlane([clusterSettings({ sources: cut })], records);
  await live.plane.reconfigure([clusterSettings({ name: 'the-cluster', sources: cut })]);
  t.strictSame(live.served(), [GOOD], 'in a reload');
  await live.end();
});

t.test('a record is not lent to another cluster while its own is configured', async (t) => {
  const cut = [new ScriptedSource('dns', fails('dns', 'timeout'))];
  const before = await startPlane([clusterSettings({ sources: sourcesSeeing(GOOD).both })]);
  await before.time.advance(60_000);
  const east = { ...unnamedCluster(), region: 'us-east-1', sources: cut };
  const west = { ...unnamedCluster(), sources: cut };
  const { served, end } = await startPlane([east, west], await before.end());
  t.strictSame(served(), [[], GOOD]);
  await end();
});

t.test('a name that was replaced is remembered, reported, and survives a restart', async (t) => {
  const cluster = new ScriptedSource('cluster', describes({ endpoint: 'old.example' }));
  const { dns, both } = sourcesSeeing(GOOD);
  const settings = { ...unnamedCluster(), sources: [...both, cluster] };
  const first = await startPlane([settings]);
  await first.time.advance(60_000);
  t.notOk(first.plane.records()[0]?.formerEndpoints);
  cluster.script = describes({ endpoint: 'new.example' });
  dns.script = hangs;
  first.plane.kick('test');
  await first.time.advance(10_000);
  t.match(first.plane.records()[0], { endpoint: 'new.example', formerEndpoints: ['old.example'] });
  t.match(first.one(), { formerEndpoints: ['old.example'], warnings: [/old\.example/] });
  t.notOk(
    first.plane.records()[0]?.confirmedAtMs.dns,
    'what confirmed the old name does not confirm the new one',
  );
  t.ok(first.plane.records()[0]?.confirmedAtMs.interfaces);
  t.notOk(first.one()?.sources.find(({ source }) => source === 'dns')?.lastSuccessAgoMs);

  const second = await startPlane([{ ...settings, endpoint: 'configured.example' }], await first.end());
  t.strictSame(
    second.plane.records()[0]?.formerEndpoints,
    ['new.example', 'old.example'],
    'the newest first',
  );
  await second.plane.reconfigure([{ ...settings, endpoint: 'old.example' }]);
  t.match(second.plane.records()[0], {
    endpoint: 'old.example',
    formerEndpoints: ['configured.example', 'new.example'],
  });
  for (let count = 0; count < 12; count++) {
    await second.plane.reconfigure([{ ...settings, endpoint: `n${count}.example` }]);
  }
  t.equal(second.plane.records()[0]?.formerEndpoints?.length, 8);
  await second.end();
});

t.test('a mistyped pin that is taken back leaves what the sources had found', async (t) => {
  const { dns, interfaces, both } = sourcesSeeing(GOOD);
  const settings = clusterSettings({ sources: both });
  const first = await startPlane([settings]);
  await first.time.advance(60_000);
  for (const source of [dns, interfaces]) source.script = fails(source.name, 'timeout');
  await first.plane.reconfigure([{ ...settings, pin: ['10.9.9.9'] }]);
  await first.time.advance(HOUR_MS);
  t.strictSame(first.served(), [['10.9.9.9']]);
  const second = await startPlane([{ ...settings, pin: ['10.9.9.8'] }], await first.end());
  await second.time.advance(HOUR_MS);
  t.strictSame(second.served(), [['10.9.9.8']], 'pinned once more');
  const third = await startPlane([settings], await second.end());
  t.strictSame(third.served(), [GOOD], 'at once, and after two restarts');
  t.match(third.plane.records()[0], { basis: 'kept', addresses: [{ provenance: { interfaces: {} } }] });
  t.notOk(third.plane.records()[0]?.unpinned);
  await third.end();
});

t.test('beneath a pin the addresses are followed by the same rules', async (t) => {
  const { dns, interfaces, both } = sourcesSeeing(GOOD);
  const settings = clusterSettings({ sources: both });
  const { plane, time, served, one, end } = await startPlane([settings]);
  await time.advance(60_000);
  await plane.reconfigure([{ ...settings, pin: ['10.9.9.9'] }]);
  await time.advance(10_000);
  dns.script = sees('dns', ...NEW);
  interfaces.script = sees('interfaces', ...NEW);
  await time.advance(50_000);
  t.strictSame(served(), [['10.9.9.9']]);
  await time.advance(HOUR_MS);
  t.match(one()?.warnings, [/pinned the addresses to 10\.9\.9\.9/]);
  await plane.reconfigure([settings]);
  t.strictSame(served(), [NEW]);
  await end();
});

t.test(
  'when the file is ahead of the wall clock, ages grow from the load, and the skew is reported',
  async (t) => {
    const cut = [new ScriptedSource('dns', fails('dns', 'timeout'))];
    const before = await startPlane([clusterSettings({ sources: sourcesSeeing(GOOD).both })]);
    await before.time.advance(60_000);
    const records = await before.end();
    const time = new VirtualTime();
    const aheadMs = 3 * HOUR_MS;
    time.setWall(new Date((records[0]?.confirmedAtMs.dns ?? 0) - aheadMs).toISOString());
    const { one, plane, end } = await startPlane([clusterSettings({ sources: cut })], records, time);
    t.match(one()?.warnings, [/3 h ahead of this clock/]);
    for (const hours of [1, 2, 3, 4, 5]) {
      await time.advance(HOUR_MS);
      t.equal(one()?.confirmedAgoMs, hours * HOUR_MS, `${hours} h`);
      t.strictSame(plane.records()[0]?.confirmedAtMs, records[0]?.confirmedAtMs, 'the stored time stays');
    }
    t.notMatch(one()?.warnings.join(), /ahead/, 'until the clock has caught up');
    await end();
  },
);

t.test('a failure of every source is reported, with its time and reason', async (t) => {
  const { dns, interfaces, both } = sourcesSeeing(GOOD);
  const { time, one, end } = await startPlane([clusterSettings({ sources: both })]);
  await time.advance(10_000);
  t.strictSame(one()?.warnings, []);
  dns.script = fails('dns', 'timeout');
  interfaces.script = hangsUntilAborted('interfaces');
  await time.advance(2 * HOUR_MS);
  t.match(one()?.warnings, [/^no source has confirmed anything for 2 h: scripted$/]);
  await end();
  const nothing = await startPlane([clusterSettings({ sources: [new ScriptedSource('dns', fails('dns'))] })]);
  await nothing.time.advance(10_000);
  t.ok(nothing.one()?.warnings.some((text) => /no source has ever confirmed anything: scripted/.test(text)));
  await nothing.end();
});

t.test('an upstream that forwards back to an outpost-dns is reported', async (t) => {
  const { dns, both } = sourcesSeeing(GOOD);
  dns.script = fails('dns', 'looping');
  const { time, one, end } = await startPlane([clusterSettings({ sources: both })]);
  await time.advance(10_000);
  t.strictSame(one()?.warnings, ['scripted']);
  await end();
});

t.test(
  'a configured endpoint that differs from that of AWS is reported everywhere, and AWS is asked about its own',
  async (t) => {
    const real = 'real.example';
    const { dns, both } = sourcesSeeing(GOOD);
    const cluster = new ScriptedSource('cluster', describes({ endpoint: real }));
    const settings = clusterSettings({ endpoint: 'outdated.example', sources: [...both, cluster] });
    const first = await startPlane([settings]);
    await first.time.advance(60_000);
    t.match(first.plane.records()[0], { endpoint: 'outdated.example', details: { endpoint: real } });
    t.match(first.one(), {
      describedEndpoint: real,
      warnings: [/configured as outdated\.example, while AWS says real\.example: both are answered/],
    });
    t.match(dns.polls.at(-1)?.context, { endpoint: 'outdated.example', describedEndpoint: real });
    const logged = () => first.log.lines.filter(({ text }) => /not the one that aws says/.test(text));
    t.match(logged(), [{ level: 'warn', fields: { endpoint: 'outdated.example', described: real } }]);
    await first.time.advance(3 * HOUR_MS);
    t.equal(logged().length, 1, 'once');

    for (const source of [...both, cluster]) source.script = fails(source.name, 'timeout');
    const second = await startPlane([settings], await first.end());
    t.match(second.plane.records()[0], {
      details: { endpoint: real },
      addresses: GOOD.map((address) => ({ address })),
    });
    t.equal(second.one()?.describedEndpoint, real, 'in a cut, after a restart');
    await second.plane.reconfigure([{ ...settings, endpoint: real }]);
    t.equal(second.one()?.describedEndpoint, undefined);
    t.match(second.plane.records()[0], { formerEndpoints: ['outdated.example'] });
    await second.end();
  },
);

t.test(
  'two clusters of one name in two Regions keep apart, and old records without a Region find their own',
  async (t) => {
    const cut = () => [new ScriptedSource('dns', fails('dns', 'timeout'))];
    const [west, east] = ['us-west-2', 'us-east-1'].map((region) => ({ ...unnamedCluster(), region }));
    const record = (region: string | undefined, endpoint: string, address: string): EndpointRecord => ({
      cluster: 'my-cluster',
      ...(region === undefined ? {} : { region }),
      endpoint,
      addresses: [{ address, provenance: { interfaces: { firstSeenMs: 1, lastSeenMs: 1 } } }],
      ttlSeconds: 60,
      basis: 'interfaces',
      confirmedAtMs: { interfaces: 1 },
      lastRefreshFailed: false,
    });
    const ofWest = record('us-west-2', 'a.us-west-2.eks.amazonaws.com', '10.1.0.1');
    const ofEast = record('us-east-1', 'b.us-east-1.eks.amazonaws.com', '10.2.0.1');
    const { region: _, ...oldEast } = ofEast;
    const { region: __, ...oldWest } = ofWest;
    const clusters = [
      { ...west, sources: cut() },
      { ...east, sources: cut() },
    ];
    for (const [what, kept] of [
      ['exactly', [ofEast, ofWest]],
      ['one without its Region, of the second cluster', [oldEast, ofWest]],
      ['both without', [oldEast, oldWest]],
    ] as const) {
      const first = await startPlane(clusters as ClusterSettings[], kept);
      t.strictSame(first.served(), [['10.1.0.1'], ['10.2.0.1']], what);
      const second = await startPlane((clusters as ClusterSettings[]).toReversed(), await first.end());
      t.strictSame(second.served(), [['10.2.0.1'], ['10.1.0.1']], `${what}, after a restart`);
      await second.plane.reconfigure(clusters as ClusterSettings[]);
      t.strictSame(second.served(), [['10.1.0.1'], ['10.2.0.1']], `${what}, after a reload`);
      await second.end();
    }
    const only = await startPlane(
      [{ ...clusterSettings({ endpoint: 'c.example' }), sources: cut() }],
      [ofWest, oldEast],
    );
    t.strictSame(
      only.served(),
      [['10.1.0.1']],
      'a record of the other Region is not taken where there is an own one',
    );
    await only.end();
    const { region: ___, ...nowhere } = clusterSettings({ endpoint: ofEast.endpoint ?? '' });
    const alone = await startPlane([{ ...nowhere, sources: cut() }], [ofWest, ofEast]);
    t.strictSame(alone.served(), [['10.2.0.1']], 'without a Region the endpoint identifies the record');
    await alone.end();
  },
);
