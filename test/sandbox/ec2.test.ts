import type { DescribeNetworkInterfacesCommandInput, EC2Client } from '@aws-sdk/client-ec2';
import { DescribeInstancesCommand, DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import t from 'tap';
import { populationOf } from '../../sandbox/demo-population.ts';
import { matchesPattern, pageOf } from '../../sandbox/ec2-listing.ts';
import { controlPlaneInterface, DEMO_VPC_ID } from '../../sandbox/facts.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { named } from './named.ts';
import { ec2Client } from './sdk-clients.ts';

type Filters = Record<string, readonly string[]>;

async function addresses(client: EC2Client, filters: Filters): Promise<string[]> {
  const { NetworkInterfaces = [] } = await client.send(
    new DescribeNetworkInterfacesCommand({ MaxResults: 100, Filters: toFilters(filters) }),
  );
  return NetworkInterfaces.map((face) => face.PrivateIpAddress ?? '').sort();
}

function toFilters(filters: Filters): { Name: string; Values: string[] }[] {
  return Object.entries(filters).map(([Name, Values]) => ({ Name, Values: [...Values] }));
}

const demo = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
const decoy = ['10.0.1.90', '10.0.2.90', '10.0.3.90'];
const legacy = ['10.0.1.30', '10.0.2.30', '10.0.3.30'];

t.test('DescribeNetworkInterfaces filters as EC2 does', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox);
  const cases: [what: string, filters: Filters, expected: readonly string[]][] = [
    ['an exact description finds its cluster alone', { description: ['Amazon EKS demo'] }, demo],
    [
      'a star also finds the neighbour',
      { description: ['Amazon EKS demo*'] },
      [...demo, ...decoy, '10.0.3.103'],
    ],
    ['question marks count characters', { description: ['Amazon EKS demo-?'] }, decoy],
    ['an escaped star is a star', { description: ['Amazon EKS demo\\*'] }, []],
    ['case counts', { description: ['amazon eks demo'] }, []],
    [
      'values are alternatives',
      { description: ['Amazon EKS demo', 'Amazon EKS demo-2'] },
      [...demo, ...decoy],
    ],
    [
      'filters add up',
      { description: ['Amazon EKS demo'], 'subnet-id': ['subnet-0b22222222222222b'] },
      ['10.0.2.10'],
    ],
    ['vpc-id', { 'vpc-id': ['vpc-other'] }, []],
    ['status', { description: ['Amazon EKS *'], status: ['available'] }, ['10.0.3.103']],
    ['the older generation by its tag key', { 'tag-key': ['eks-local:controlplane-name'] }, legacy],
    ['a tag by its value', { 'tag:eks-local:controlplane-name': ['legacy'] }, legacy],
    ['a tag with another value', { 'tag:eks-local:controlplane-name': ['demo'] }, []],
    ['a private address', { 'private-ip-address': ['10.0.1.10'] }, ['10.0.1.10']],
    ['requester-managed would miss them all', { 'requester-managed': ['true'] }, []],
  ];
  for (const [what, filters, expected] of cases) {
    t.same(await addresses(client, filters), [...expected].sort(), what);
  }
});

t.test('an interface has the fields of a real one of its generation', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox);
  const listing = async (Name: string, Values: string[]) =>
    (await client.send(new DescribeNetworkInterfacesCommand({ Filters: [{ Name, Values }] })))
      .NetworkInterfaces;
  const [young] = (await listing('description', ['Amazon EKS demo'])) ?? [];
  t.match(young, {
    Description: 'Amazon EKS demo',
    InterfaceType: 'interface',
    Status: 'in-use',
    RequesterManaged: false,
    RequesterId: /:AmazonEKS$/,
    VpcId: DEMO_VPC_ID,
    TagSet: [],
    Attachment: { InstanceOwnerId: /^\d{12}$/, Status: 'attached' },
    PrivateIpAddresses: [{ Primary: true, PrivateIpAddress: young?.PrivateIpAddress }],
  });
  t.notOk(young?.Attachment?.InstanceId, 'the instance of the newer generation is not visible');
  const [old] = (await listing('tag-key', ['eks-local:controlplane-name'])) ?? [];
  t.match(old, { Description: '', Attachment: { InstanceId: /^i-/ }, TagSet: [{ Value: 'legacy' }] });
});

t.test('DescribeInstances finds the control plane of the older generation by name', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox);
  const find = async (filters: Filters): Promise<string[]> => {
    const { Reservations = [] } = await client.send(
      new DescribeInstancesCommand({ MaxResults: 5, Filters: toFilters(filters) }),
    );
    return Reservations.flatMap(({ Instances = [] }) =>
      Instances.map((each) => each.PrivateIpAddress ?? ''),
    ).sort();
  };
  const name = { 'tag:Name': ['legacy-control-plane-*'] };
  t.same(await find(name), legacy);
  t.same(await find({ ...name, 'instance-state-name': ['running'] }), legacy);
  t.same(await find({ ...name, 'instance-state-name': ['terminated'] }), []);
  t.same(await find({ 'tag:Name': ['demo-control-plane-*'] }), [], 'the newer generation has none');
});

t.test('a listing comes in pages that hold every item once, in no fixed order', async (t) => {
  const many = Array.from({ length: 12 }, (_, index) => `10.1.0.${index + 1}`);
  await using sandbox = await startSandbox({ population: populationOf([{ name: 'many', addresses: many }]) });
  using client = ec2Client(sandbox);
  const list = async (): Promise<string[][]> => {
    const pages: string[][] = [];
    let NextToken: string | undefined;
    do {
      const page = await client.send(
        new DescribeNetworkInterfacesCommand({
          MaxResults: 5,
          NextToken,
          Filters: [{ Name: 'description', Values: ['Amazon EKS many'] }],
        }),
      );
      pages.push((page.NetworkInterfaces ?? []).map((face) => face.PrivateIpAddress ?? ''));
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
    return pages;
  };
  const first = await list();
  t.same(
    first.map((page) => page.length),
    [5, 5, 2],
  );
  t.same(first.flat().sort(), [...many].sort());
  t.notSame((await list()).flat(), first.flat(), 'another listing has another order');

  sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 0 });
  t.same(
    (await list()).map((page) => page.length),
    [0, 5, 5, 2],
    'an empty page can have a successor',
  );
  sandbox.faults.clear();
  sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 2 });
  t.same(
    (await list()).map((page) => page.length),
    [2, 2, 2, 2, 2, 2],
    'a page can be shorter than asked',
  );
  sandbox.faults.clear();
  sandbox.faults.add({ service: 'ec2', kind: 'throttle', skip: 1, times: 1 });
  await t.rejects(list(), named('RequestLimitExceeded'), 'a listing can break off after its first page');
});

t.test('the order differs even between calls that are as many apart as there are items', (t) => {
  const request = {
    service: 'ec2',
    operation: 'DescribeNetworkInterfaces',
    region: 'us-west-2',
    path: '/',
    parameters: new URLSearchParams(),
    accessKeyId: '',
  } as const;
  const order = (callNumber: number) => pageOf(['a', 'b', 'c'], request, { pageSize: undefined, callNumber });
  t.notSame(order(1), order(4));
  t.end();
});

t.test('EC2 refuses with its own codes', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox);
  const list = (input: DescribeNetworkInterfacesCommandInput) =>
    client.send(new DescribeNetworkInterfacesCommand(input));
  await t.rejects(list({ Filters: [{ Name: 'descripton', Values: ['x'] }] }), {
    ...named('InvalidParameterValue'),
    message: "The filter 'descripton' is invalid",
    $metadata: { httpStatusCode: 400 },
  });
  for (const MaxResults of [4, 1001]) {
    await t.rejects(list({ MaxResults }), named('InvalidParameterValue'), `MaxResults ${MaxResults}`);
  }
  await t.rejects(list({ NextToken: 'made-up' }), named('InvalidNextToken'));
  const { NextToken } = await list({ MaxResults: 5 });
  t.ok(NextToken);
  await t.rejects(
    list({ MaxResults: 6, NextToken: NextToken ?? '' }),
    named('InvalidNextToken'),
    'a token is good for its own request only',
  );
  await t.rejects(list({ NetworkInterfaceIds: ['eni-0'] }), named('InvalidNetworkInterfaceID.NotFound'));
  await t.rejects(list({ NetworkInterfaceIds: ['eni-0'], MaxResults: 5 }), {
    ...named('InvalidParameterCombination'),
  });
  const values = Array.from({ length: 201 }, (_, index) => `v${index}`);
  await t.rejects(list({ Filters: [{ Name: 'vpc-id', Values: values }] }), named('FilterLimitExceeded'));
});

t.test('with more than a thousand interfaces EC2 requires pages or a filter that narrows', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox);
  const cluster = sandbox.state.cluster('demo');
  const crowd = Array.from({ length: 1000 }, (_, index) => `10.200.${index >> 8}.${index & 255}`);
  sandbox.state.interfaces = [
    ...sandbox.state.interfaces,
    ...crowd.map((address, index) => controlPlaneInterface({ ...cluster, name: 'crowd' }, address, index)),
  ];
  const filter = { Filters: [{ Name: 'description', Values: ['Amazon EKS demo'] }] };
  await t.rejects(client.send(new DescribeNetworkInterfacesCommand(filter)), {
    ...named('OperationNotPermitted'),
  });
  const narrowed = { Filters: [...filter.Filters, { Name: 'vpc-id', Values: [DEMO_VPC_ID] }] };
  t.equal((await client.send(new DescribeNetworkInterfacesCommand(narrowed))).NetworkInterfaces?.length, 3);
  const paged = await client.send(new DescribeNetworkInterfacesCommand({ ...filter, MaxResults: 1000 }));
  t.equal(paged.NetworkInterfaces?.length, 3);
});

t.test('a Region knows only its own interfaces', async (t) => {
  await using sandbox = await startSandbox({
    population: populationOf([
      { name: 'west', addresses: ['10.0.1.1'] },
      { name: 'east', region: 'eu-central-1', addresses: ['10.0.1.2'] },
    ]),
  });
  using west = ec2Client(sandbox);
  using east = ec2Client(sandbox, { region: 'eu-central-1' });
  t.same(await addresses(west, { description: ['Amazon EKS *st'] }), ['10.0.1.1']);
  t.same(await addresses(east, { description: ['Amazon EKS *st'] }), ['10.0.1.2']);
});

t.test('patterns match as EC2 documents them', async (t) => {
  const cases: [text: string, pattern: string, matches: boolean][] = [
    ['abc', 'abc', true],
    ['abc', 'ab', false],
    ['abc', 'a*', true],
    ['abc', '*c', true],
    ['abc', '*', true],
    ['', '*', true],
    ['abc', 'a?c', true],
    ['ac', 'a?c', true],
    ['abbc', 'a?c', false],
    ['a.c', 'a.c', true],
    ['abc', 'a.c', false],
    ['a+(b)[c]{d}|^$', 'a+(b)[c]{d}|^$', true],
    ['*amazon?\\', '\\*amazon\\?\\\\', true],
    ['xamazony\\', '\\*amazon\\?\\\\', false],
    ['a\nb', 'a*b', true],
    ['ABC', 'abc', false],
  ];
  for (const [text, pattern, matches] of cases) {
    t.equal(matchesPattern(text, pattern), matches, `${JSON.stringify(text)} by ${JSON.stringify(pattern)}`);
  }
});
