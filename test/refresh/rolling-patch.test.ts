/** AWS patches the control plane, interface by interface, and the link is cut at each moment of it. */
import t from 'tap';
import { clusterFacts, type Generation } from '../../sandbox/facts.ts';
import { PATCH_STEPS, RegionState, RollingPatch } from '../../sandbox/region-state.ts';
import type { Observation } from '../../src/records/observation.ts';
import { FROM_AWS, poll } from '../far-side/polling.ts';
import { setUp } from './refreshing.ts';
import { clusterSettings, describes, ScriptedSource, sees, times } from './scripted-source.ts';

const ALL = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
const MOMENTS = ALL.length * PATCH_STEPS.length;
const MOMENT_MS = 7 * 60_000; // longer than the interval of the listing, so that each moment is seen

/** The sources of a cluster as the simulated Region has it; `cut` silences them, one of them a moment before the other. */
function patched(generation: Generation) {
  const facts = clusterFacts({ name: 'my-cluster', addresses: ALL, generation });
  const state = new RegionState({ ...facts, clusters: [facts.cluster], hostedZones: [], accessKeys: [] });
  const silent = new Set<string>();
  const ec2 = {
    DescribeNetworkInterfacesCommand: () => ({
      ...FROM_AWS,
      NetworkInterfaces: state.interfaces
        .filter(({ isUnlisted }) => isUnlisted !== true)
        .map((face) => ({
          NetworkInterfaceId: face.id,
          Description: face.description,
          Status: face.status === 'associated' ? 'in-use' : face.status,
          VpcId: face.vpcId,
          SubnetId: face.subnetId,
          PrivateIpAddress: face.address,
          TagSet: Object.entries(face.tags).map(([Key, Value]) => ({ Key, Value })),
        })),
    }),
    DescribeInstancesCommand: () => ({ ...FROM_AWS, Reservations: [] }),
  };
  const failed = (source: 'dns' | 'interfaces' | 'cluster'): Observation => ({
    kind: 'failed',
    source,
    reason: 'timeout',
    reachedFarSide: false,
    detail: 'cut',
  });
  const { vpcId, subnetIds } = facts.cluster;
  const sources = [
    new ScriptedSource('dns', async () =>
      silent.has('dns') ? failed('dns') : sees('dns', ...state.endpointAddresses('my-cluster')),
    ),
    new ScriptedSource('interfaces', async (signal, context) =>
      silent.has('interfaces') ? failed('interfaces') : poll('interfaces', context, { ec2 }, signal),
    ),
    new ScriptedSource('cluster', async () =>
      silent.has('cluster') ? failed('cluster') : describes({ vpcId, subnetIds, generation }),
    ),
  ];
  return { state, patch: new RollingPatch(state, 'my-cluster'), silent, sources };
}

for (const generation of ['instance-store', 'ebs'] as const) {
  t.test(`${generation}: a cut at any moment of a patch takes no address away`, async (t) => {
    for (let moment = 0; moment <= MOMENTS; moment++) {
      for (const order of [
        ['dns', 'interfaces'],
        ['interfaces', 'dns'],
      ]) {
        const { patch, silent, sources } = patched(generation);
        const what = `${moment} moments, then ${order[0]} goes first`;
        const { refresher, time, served } = setUp(sources);
        time.settling = 'promises';
        refresher.start();
        await time.advance(60_000);
        t.strictSame(served().toSorted(), ALL, `${what}: connected`);
        for (let count = 0; count < moment; count++) {
          patch.next();
          await time.advance(MOMENT_MS);
        }
        t.strictSame(served().toSorted(), ALL, `${what}: patched`);
        for (const source of order) {
          silent.add(source);
          // so soon that the listing which is asked about a doubt is the last answer of AWS
          await time.advance(100);
          refresher.kick('test');
          await time.advance(2_000);
        }
        silent.add('cluster');
        // longer than a silent name's last answer speaks for, where that is not what is tried
        await time.advance(moment === 2 ? 30 * 3_600_000 : 2 * 3_600_000);
        t.strictSame(served().toSorted(), ALL, `${what}: in the cut`);
        refresher.stop();
        const after = setUp(sources, refresher.record);
        after.time.settling = 'promises';
        after.refresher.start();
        await after.time.advance(120_000);
        t.strictSame(after.served().toSorted(), ALL, `${what}: after a restart`);
        after.refresher.stop();
      }
    }
  });
}

t.test('what the interface is at this moment is shown in the provenance', async (t) => {
  const { patch, sources } = patched('instance-store');
  const { refresher, time } = setUp(sources);
  refresher.start();
  await time.advance(60_000);
  patch.next();
  await time.advance(MOMENT_MS);
  const shown = () => refresher.snapshot().addresses.find(({ address }) => address === ALL[0]);
  t.match(refresher.record.addresses[0], { provenance: { interfaces: { status: 'detaching' } } });
  t.equal(shown()?.interfaceStatus, 'detaching');
  for (let count = 1; count < PATCH_STEPS.length; count++) patch.next();
  await time.advance(MOMENT_MS);
  t.equal(shown()?.interfaceStatus, undefined, 'in use is nothing to show');
  refresher.stop();
});

t.test(
  'an address that the listing lacks stays while the name has it, and goes an hour after both lack it',
  async (t) => {
    const { state, sources } = patched('instance-store');
    const { refresher, time, served } = setUp(sources, undefined, clusterSettings());
    refresher.start();
    await time.advance(60_000);
    const [gone = ''] = ALL;
    const face = state.interfacesOf('my-cluster').find(({ address }) => address === gone);
    state.removeInterface(face?.id ?? '');
    await time.advance(5 * 3_600_000);
    t.strictSame(served().toSorted(), ALL, 'the name has it: for hours');
    t.ok(refresher.snapshot().warnings.some((text) => text.includes(`EC2 has not listed ${gone} for 5 h`)));
    state.setRecords('api.example', 'A', ALL.slice(1));
    state.setRecords(state.cluster('my-cluster').endpoint, 'A', ALL.slice(1));
    await time.advance(times.intervalMs.interfaces * 1.3);
    t.strictSame(
      served().toSorted(),
      ALL.slice(1),
      'the listing has lacked it for more than an hour, and the name agrees',
    );

    state.addInterface({ ...(face as NonNullable<typeof face>) });
    state.setRecords(state.cluster('my-cluster').endpoint, 'A', ALL);
    await time.advance(times.intervalMs.interfaces * 1.3);
    t.strictSame(served().toSorted(), ALL, 'and it may come back');
    t.ok(refresher.record.addresses.every(({ lackedSinceMs }) => lackedSinceMs === undefined));

    state.removeInterface(face?.id ?? '');
    await time.advance(10 * 60_000);
    state.setRecords(state.cluster('my-cluster').endpoint, 'A', ALL.slice(1));
    await time.advance(10 * 60_000);
    t.strictSame(served().toSorted(), ALL, 'less than an hour: not even where the name agrees');
    await time.advance(50 * 60_000);
    t.strictSame(served().toSorted(), ALL.slice(1));
    refresher.stop();
  },
);

t.test('a set that name and listing both replace is a new set: nothing of the old one lingers', async (t) => {
  const { state, sources } = patched('instance-store');
  const { refresher, time, served } = setUp(sources);
  refresher.start();
  await time.advance(60_000);
  const next = ALL.map((address) => address.replace(/10$/, '20'));
  for (const [at, from] of ALL.entries()) {
    state.moveInterface({ cluster: 'my-cluster', from, to: next[at] ?? '', dns: false });
  }
  await time.advance(times.intervalMs.interfaces * 1.3);
  t.ok(
    ALL.every((address) => served().includes(address)),
    'the name has the old ones still',
  );
  state.setRecords(state.cluster('my-cluster').endpoint, 'A', next);
  await time.advance(times.intervalMs.dns * 2 + 30_000);
  t.strictSame(served().toSorted(), next);
  refresher.stop();
});
