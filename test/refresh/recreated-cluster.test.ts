/** A cluster is deleted and created again under its name: another endpoint, other interfaces, perhaps another VPC. */
import t from 'tap';
import type { Observation } from '../../src/records/observation.ts';
import { A, B, C, D, E, F, setUp } from './refreshing.ts';
import {
  clusterSettings,
  describes,
  fails,
  ScriptedSource,
  sees,
  times,
  unnamedCluster,
} from './scripted-source.ts';

const OLD = { endpoint: 'old.example', vpcId: 'vpc-1' };
const NEW = { endpoint: 'new.example', vpcId: 'vpc-2' };

/** Names, listing and description as the world has them; `world.is` is replaced by the tests. */
function site(base = unnamedCluster()) {
  const world: {
    is: typeof OLD;
    names: Record<string, readonly string[]>;
    listed: Record<string, readonly string[]>;
  } = { is: OLD, names: { 'old.example': [A, B, C] }, listed: { 'vpc-1': [A, B, C] } };
  let described: () => Observation = () => describes(world.is);
  const dns = new ScriptedSource('dns', async (_, { endpoint = '', describedEndpoint }) => {
    const given = world.names[describedEndpoint ?? endpoint] ?? world.names[endpoint];
    return given === undefined ? fails('dns', 'not-found') : sees('dns', ...given);
  });
  const interfaces = new ScriptedSource('interfaces', async (_, { vpcId = '' }) => {
    const given = world.listed[vpcId];
    return given === undefined ? fails('interfaces', 'empty', true) : sees('interfaces', ...given);
  });
  const cluster = new ScriptedSource('cluster', async () => described());
  const rig = setUp([dns, interfaces, cluster], undefined, base);
  return {
    ...rig,
    world,
    cluster,
    describe: (as: () => Observation) => {
      described = as;
    },
  };
}

const WITHIN_MS = 3 * 60_000; // two polls of the name, one of EKS, and the repetition that a whole new set takes

t.test(
  'the name is not found: EKS is asked at once, and the new cluster is served within minutes',
  async (t) => {
    const { refresher, time, world, served, cluster } = site();
    refresher.start();
    await time.advance(10 * 60_000);
    t.equal(cluster.polls.length, 1);
    Object.assign(world, { is: NEW, names: { 'new.example': [D, E, F] }, listed: { 'vpc-2': [D, E, F] } });
    await time.advance(WITHIN_MS);
    t.match(refresher.record, {
      endpoint: 'new.example',
      formerEndpoints: ['old.example'],
      details: { vpcId: 'vpc-2' },
    });
    t.strictSame(served().toSorted(), [D, E, F]);
    refresher.stop();
  },
);

t.test(
  'all interfaces are replaced: EKS is asked at once, although the old name still resolves',
  async (t) => {
    const { refresher, time, world, served } = site();
    refresher.start();
    await time.advance(10 * 60_000);
    Object.assign(world, {
      is: { ...NEW, vpcId: 'vpc-1' },
      names: { 'old.example': [A, B, C], 'new.example': [D, E, F] },
      listed: { 'vpc-1': [D, E, F] },
    });
    await time.advance(times.intervalMs.interfaces * 1.3 + WITHIN_MS);
    t.match(refresher.record, { endpoint: 'new.example' });
    t.strictSame(served().toSorted(), [D, E, F]);
    refresher.stop();
  },
);

t.test('the listing of the old VPC is empty: EKS is asked at once', async (t) => {
  const { refresher, time, world, served } = site();
  refresher.start();
  await time.advance(10 * 60_000);
  Object.assign(world, {
    is: NEW,
    names: { 'old.example': [A, B, C], 'new.example': [D, E, F] },
    listed: { 'vpc-2': [D, E, F] },
  });
  await time.advance(times.intervalMs.interfaces * 1.3 + WITHIN_MS);
  t.match(refresher.record, { endpoint: 'new.example', details: { vpcId: 'vpc-2' } });
  t.strictSame(served().toSorted(), [D, E, F]);
  refresher.stop();
});

t.test(
  'the operator named the endpoint: the old name stays, the new cluster is served under both',
  async (t) => {
    const { refresher, time, world, served } = site(clusterSettings({ endpoint: 'old.example' }));
    refresher.start();
    await time.advance(10 * 60_000);
    Object.assign(world, { is: NEW, names: { 'new.example': [D, E, F] }, listed: { 'vpc-2': [D, E, F] } });
    await time.advance(WITHIN_MS);
    t.match(refresher.record, { endpoint: 'old.example', details: { endpoint: 'new.example' } });
    t.strictSame(served().toSorted(), [D, E, F]);
    refresher.stop();
  },
);

t.test(
  'while it is deleted and created, what was known is served, and EKS is asked every few minutes at most',
  async (t) => {
    const { refresher, time, world, served, cluster, describe } = site();
    refresher.start();
    await time.advance(10 * 60_000);
    Object.assign(world, { names: {}, listed: {} });
    await time.advance(20 * 60_000); // DELETING: DescribeCluster still has the old endpoint
    t.strictSame(served(), [A, B, C]);
    t.ok(cluster.polls.length >= 4 && cluster.polls.length <= 12, `${cluster.polls.length} polls`);

    describe(() => fails('cluster', 'not-found', true));
    await time.advance(20 * 60_000);
    describe(() => fails('cluster', 'empty', true)); // CREATING: no endpoint yet
    await time.advance(20 * 60_000);
    t.strictSame(served(), [A, B, C]);
    t.match(refresher.record, { endpoint: 'old.example' });

    Object.assign(world, { is: NEW, names: { 'new.example': [D, E, F] }, listed: { 'vpc-2': [D, E, F] } });
    describe(() => describes(world.is));
    await time.advance(5 * 60_000 + WITHIN_MS);
    t.strictSame(served().toSorted(), [D, E, F]);
    refresher.stop();
  },
);

t.test(
  'a name that never existed costs EKS a call every five minutes, and none where the call is denied',
  async (t) => {
    for (const [said, most] of [
      [describes({ endpoint: 'api.example' }), 20],
      [fails('cluster', 'denied', true), 12],
    ] as const) {
      const dns = new ScriptedSource('dns', fails('dns', 'not-found'));
      const cluster = new ScriptedSource('cluster', said);
      const { refresher, time } = setUp([dns, cluster]);
      refresher.start();
      await time.advance(3_600_000);
      t.ok(dns.polls.length > 40);
      t.ok(cluster.polls.length <= most, `${cluster.polls.length} calls in an hour`);
      refresher.stop();
    }
  },
);
