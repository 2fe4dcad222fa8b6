import { DescribeClusterCommand, ResourceNotFoundException } from '@aws-sdk/client-eks';
import t from 'tap';
import { populationOf } from '../../sandbox/demo-population.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { named } from './named.ts';
import { eksClient } from './sdk-clients.ts';

t.test('DescribeCluster returns endpoint, network and generation', async (t) => {
  await using sandbox = await startSandbox();
  using client = eksClient(sandbox);
  const { cluster } = await client.send(new DescribeClusterCommand({ name: 'demo' }));
  t.match(cluster, {
    name: 'demo',
    status: 'ACTIVE',
    endpoint: /^https:\/\/[0-9A-F]{32}\.gr7\.us-west-2\.eks\.amazonaws\.com$/,
    resourcesVpcConfig: {
      vpcId: /^vpc-/,
      subnetIds: ['subnet-0a11111111111111a', 'subnet-0b22222222222222b'],
      endpointPublicAccess: false,
      endpointPrivateAccess: true,
    },
    outpostConfig: { outpostArns: [/^arn:aws:outposts:us-west-2:/], etcdInstanceType: /./ },
  });
  t.match(Buffer.from(cluster?.certificateAuthority?.data ?? '', 'base64').toString(), /BEGIN CERTIFICATE/);
  const legacy = await client.send(new DescribeClusterCommand({ name: 'legacy' }));
  t.ok(legacy.cluster?.outpostConfig?.controlPlaneInstanceType);
  t.notOk(legacy.cluster?.outpostConfig?.etcdInstanceType, 'the older generation has none');
  t.match(legacy.cluster?.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'and has an ID');
  t.equal(cluster?.id, undefined);
});

t.test('a cluster in creation has no endpoint yet', async (t) => {
  await using sandbox = await startSandbox();
  using client = eksClient(sandbox);
  sandbox.state.clusters = sandbox.state.clusters.map((cluster) => ({ ...cluster, status: 'CREATING' }));
  const { cluster } = await client.send(new DescribeClusterCommand({ name: 'demo' }));
  t.equal(cluster?.status, 'CREATING');
  t.equal(cluster?.endpoint, undefined);
  t.equal(cluster?.certificateAuthority, undefined);
});

t.test('a cluster is found by its exact name in its own Region', async (t) => {
  await using sandbox = await startSandbox({
    population: populationOf([{ name: 'here', region: 'us-west-2', addresses: ['10.0.0.1'] }]),
  });
  using here = eksClient(sandbox);
  using there = eksClient(sandbox, { region: 'us-east-2' });
  t.equal((await here.send(new DescribeClusterCommand({ name: 'here' }))).cluster?.name, 'here');
  for (const name of ['Here', 'her']) {
    await t.rejects(here.send(new DescribeClusterCommand({ name })), ResourceNotFoundException);
  }
  await t.rejects(there.send(new DescribeClusterCommand({ name: 'here' })), {
    ...named('ResourceNotFoundException'),
    message: 'No cluster found for name: here.',
    $metadata: { httpStatusCode: 404 },
  });
});
