import type { Cluster } from '@aws-sdk/client-eks';
import t from 'tap';
import { VirtualTime } from '../helpers/virtual-time.ts';
import { FROM_AWS, FROM_SOMEBODY, poll, serviceError } from './polling.ts';

const clock = new VirtualTime('2026-03-01T12:00:00Z');
const WHOLE: Cluster = {
  name: 'my-cluster',
  status: 'ACTIVE',
  endpoint: 'https://ABC0123456789.gr7.us-west-2.eks.amazonaws.com',
  resourcesVpcConfig: { vpcId: 'vpc-1', subnetIds: ['subnet-1', 'subnet-2'] },
  certificateAuthority: { data: 'LS0t' },
};

function describing(cluster: Cluster | undefined, metadata = FROM_AWS) {
  return poll(
    'cluster',
    {},
    {
      clock,
      eks: { DescribeClusterCommand: () => ({ ...metadata, ...(cluster === undefined ? {} : { cluster }) }) },
    },
  );
}

t.test('the endpoint becomes a domain name, and the rest is kept', async (t) => {
  t.same(await describing(WHOLE), {
    kind: 'details',
    source: 'cluster',
    details: {
      endpoint: 'abc0123456789.gr7.us-west-2.eks.amazonaws.com',
      vpcId: 'vpc-1',
      subnetIds: ['subnet-1', 'subnet-2'],
      certificateAuthority: 'LS0t',
      learnedAtMs: clock.wallMs(),
    },
  });
});

t.test(
  'the cluster ID is kept, which the older generation has; one that is no word is left out',
  async (t) => {
    const id = '4a6c0d1e-0b1a-4a3f-9d2b-0123456789ab';
    for (const [given, kept] of [
      [id, id],
      ['', undefined],
      ['a\nb', undefined],
      [undefined, undefined],
    ] as const) {
      const observed = await describing({ ...WHOLE, ...(given === undefined ? {} : { id: given }) });
      t.equal(observed.kind === 'details' ? observed.details.id : 'failed', kept);
    }
  },
);

t.test('the generation is told by the etcd instance type', async (t) => {
  const outpost = { outpostArns: ['arn'], controlPlaneInstanceType: 'm5.large' };
  for (const [outpostConfig, generation] of [
    [undefined, undefined],
    [outpost, 'ebs'],
    [{ ...outpost, etcdInstanceType: '' }, 'ebs'],
    [{ ...outpost, etcdInstanceType: 'm5.large' }, 'instance-store'],
  ] as const) {
    const config =
      outpostConfig === undefined ? {} : { outpostConfig: { ...outpostConfig, outpostArns: ['arn'] } };
    const observed = await describing({ ...WHOLE, ...config });
    t.equal(observed.kind === 'details' ? observed.details.generation : 'failed', generation);
  }
});

t.test('a cluster that says little gives what it has', async (t) => {
  const observed = await describing({ name: 'my-cluster', endpoint: 'https://api.example.com:443' });
  t.same(observed, {
    kind: 'details',
    source: 'cluster',
    details: { endpoint: 'api.example.com', subnetIds: [], learnedAtMs: clock.wallMs() },
  });
});

t.test('answers that cannot be used are failures', async (t) => {
  const { endpoint: _, ...creating } = { ...WHOLE, status: 'CREATING' as const };
  const failing = { kind: 'failed', source: 'cluster' };
  t.match(await describing(creating), {
    ...failing,
    reason: 'empty',
    reachedFarSide: true,
    detail: /CREATING/,
  });
  t.match(await describing(undefined), { ...failing, reason: 'malformed', reachedFarSide: true });
  t.match(await describing(undefined, FROM_SOMEBODY as never), {
    ...failing,
    reason: 'proxy',
    reachedFarSide: false,
  });
  t.match(
    await describing({ ...WHOLE, name: 'other' }),
    { ...failing, reason: 'malformed' },
    'another cluster',
  );
  for (const endpoint of [
    'no url',
    'https://10.0.0.1',
    'https://[fd00::1]/',
    'https://',
    `https://${'a'.repeat(64)}.com`,
  ]) {
    t.match(await describing({ ...WHOLE, endpoint }), { ...failing, reason: 'malformed' }, endpoint);
  }
});

t.test('a refusal is told in our words', async (t) => {
  const refuse = () => Promise.reject(serviceError('ResourceNotFoundException', 404));
  t.match(await poll('cluster', {}, { eks: { DescribeClusterCommand: refuse } }), {
    kind: 'failed',
    source: 'cluster',
    reason: 'not-found',
    reachedFarSide: true,
  });
});

t.test('the profile and the region go with the call', async (t) => {
  const asked: unknown[] = [];
  const DescribeClusterCommand = (input: unknown, place: unknown) => {
    asked.push(place, input);
    return { ...FROM_AWS, cluster: WHOLE };
  };
  await poll('cluster', {}, { eks: { DescribeClusterCommand }, settings: { profile: 'site' } });
  t.same(asked, [{ region: 'us-west-2', profile: 'site' }, { name: 'my-cluster' }]);
});
