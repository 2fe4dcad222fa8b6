import type {
  DescribeInstancesCommandInput,
  DescribeNetworkInterfacesCommandInput,
  Instance,
  NetworkInterface,
} from '@aws-sdk/client-ec2';
import t from 'tap';
import type { SourceContext } from '../../src/records/observation.ts';
import { type FakeCommands, FROM_AWS, poll, serviceError } from './polling.ts';

const KNOWN: Partial<SourceContext> = {
  vpcId: 'vpc-1',
  subnetIds: ['subnet-1', 'subnet-2'],
  generation: 'instance-store',
};

function face(address: string, more: NetworkInterface = {}): NetworkInterface {
  return {
    NetworkInterfaceId: `eni-${address}`,
    Description: 'Amazon EKS my-cluster',
    Status: 'in-use',
    VpcId: 'vpc-1',
    SubnetId: 'subnet-1',
    PrivateIpAddress: address,
    ...more,
  };
}

function controlPlane(name: string, addresses: readonly string[], state = 'running'): Instance {
  const faces = addresses.map((address) => face(address, { Description: '' }));
  return {
    InstanceId: `i-${name}`,
    State: { Name: state as 'running' },
    Tags: [{ Key: 'Name', Value: name }],
    NetworkInterfaces: faces.map(({ Description: _, ...rest }) => rest) as never,
  };
}

interface FakeEc2 {
  readonly ec2: FakeCommands;
  readonly asked: DescribeNetworkInterfacesCommandInput[];
  readonly askedInstances: DescribeInstancesCommandInput[];
}

/** An EC2 that ignores every filter: only our own checks keep other interfaces out. */
function carelessEc2(faces: readonly NetworkInterface[], instances: readonly Instance[] = []): FakeEc2 {
  const asked: DescribeNetworkInterfacesCommandInput[] = [];
  const askedInstances: DescribeInstancesCommandInput[] = [];
  const ec2: FakeCommands = {
    DescribeNetworkInterfacesCommand(input) {
      asked.push(input);
      return { ...FROM_AWS, NetworkInterfaces: [...faces] };
    },
    DescribeInstancesCommand(input) {
      askedInstances.push(input);
      return { ...FROM_AWS, Reservations: instances.map((instance) => ({ Instances: [instance] })) };
    },
  };
  return { ec2, asked, askedInstances };
}

function listing(faces: readonly NetworkInterface[], known = KNOWN, instances: readonly Instance[] = []) {
  const { ec2 } = carelessEc2(faces, instances);
  return poll('interfaces', known, { ec2 });
}

function found(addresses: readonly string[]) {
  return { kind: 'addresses', source: 'interfaces', addresses };
}

t.test('the primary addresses of the described interfaces, in a steady order', async (t) => {
  const primary = face('', {
    PrivateIpAddresses: [{ PrivateIpAddress: '10.0.0.9' }, { Primary: true, PrivateIpAddress: '10.0.0.3' }],
  });
  const { PrivateIpAddress: _, ...listedOnly } = primary;
  t.same(await listing([face('10.0.0.5'), listedOnly, face('10.0.0.5')]), found(['10.0.0.3', '10.0.0.5']));
});

t.test('whose interfaces they are is decided again on our side', async (t) => {
  for (const [what, stranger] of [
    ['longer name', { Description: 'Amazon EKS my-cluster-2' }],
    ['shorter name', { Description: 'Amazon EKS my' }],
    ['other case', { Description: 'amazon eks my-cluster' }],
    ['something before it', { Description: 'x Amazon EKS my-cluster' }],
    ['no description', { Description: undefined }],
    ['another VPC', { VpcId: 'vpc-2' }],
    ['another subnet', { SubnetId: 'subnet-3' }],
    ['no subnet', { SubnetId: undefined }],
  ] as const) {
    const strange = face('10.0.0.66', stranger as NetworkInterface);
    t.same(await listing([strange, face('10.0.0.3')]), found(['10.0.0.3']), what);
  }
  t.same(
    await listing([face('10.0.0.3', { Description: ' Amazon EKS my-cluster ' })]),
    found(['10.0.0.3']),
    'spaces around',
  );
});

t.test('an interface counts as existing whatever its status, and the status is reported', async (t) => {
  for (const status of ['available', 'associated', 'attaching', 'detaching', undefined] as const) {
    const statuses = { '10.0.0.4': status ?? 'unknown' };
    for (const [what, observed] of [
      ['described', await listing([face('10.0.0.3'), face('10.0.0.4', { Status: status })])],
      [
        'tagged',
        await listing(
          [tagged('10.0.0.3', 'my-cluster'), { ...tagged('10.0.0.4', 'my-cluster'), Status: status }],
          EBS,
        ),
      ],
    ] as const) {
      t.same(observed, { ...found(['10.0.0.3', '10.0.0.4']), statuses }, `${what} ${status}`);
    }
  }
});

t.test('two interfaces of one address are one address, in use where either is', async (t) => {
  const twice = [face('10.0.0.3', { Status: 'available' }), face('10.0.0.3'), face('10.0.0.4')];
  t.same(await listing(twice), found(['10.0.0.3', '10.0.0.4']));
});

t.test('attributes that a real one of AWS lacks or has otherwise do not matter', async (t) => {
  const managed = face('10.0.0.3', { RequesterManaged: true, TagSet: [{ Key: 'a', Value: 'b' }] });
  t.same(
    await listing([managed, face('10.0.0.4', { RequesterManaged: false })]),
    found(['10.0.0.3', '10.0.0.4']),
  );
});

t.test(
  'a request has the exact description with wildcards escaped, the VPC where known, and a page size',
  async (t) => {
    const fake = carelessEc2([]);
    await poll('interfaces', { ...KNOWN, cluster: 'a*b?c\\d' }, { ec2: fake.ec2 });
    t.same(fake.asked.slice(0, 1), [
      {
        Filters: [
          { Name: 'description', Values: ['Amazon EKS a\\*b\\?c\\\\d'] },
          { Name: 'vpc-id', Values: ['vpc-1'] },
        ],
        MaxResults: 500,
      },
    ]);
    fake.asked.length = 0;
    await poll('interfaces', { generation: 'instance-store' }, { ec2: fake.ec2 });
    t.same(
      fake.asked[0]?.Filters,
      [{ Name: 'description', Values: ['Amazon EKS my-cluster'] }],
      'vpc not known',
    );
  },
);

t.test('an empty result is a failure that says which interfaces were left out', async (t) => {
  const away = [
    face('10.0.0.3', { SubnetId: 'subnet-3' }),
    face('10.0.0.4', { VpcId: 'vpc-2' }),
    face('10.0.0.5', { VpcId: 'vpc-2' }),
  ];
  t.match(await listing(away), {
    kind: 'failed',
    source: 'interfaces',
    reason: 'empty',
    reachedFarSide: true,
    detail: 'listing interfaces of cluster "my-cluster" found none: 1 in another subnet, 2 in another vpc',
  });
  t.match(await listing([]), { reason: 'empty', reachedFarSide: true, detail: /found none$/ });
});

t.test('interfaces in several VPCs are refused while the VPC is not known', async (t) => {
  const faces = [face('10.0.0.3'), face('10.0.0.4', { VpcId: 'vpc-2' })];
  t.match(await listing(faces, { generation: 'instance-store' }), {
    kind: 'failed',
    reason: 'malformed',
    detail: /set vpcId/,
  });
});

t.test('an interface without an IPv4 address makes the listing malformed, not shorter', async (t) => {
  for (const address of ['', '10.0.0.256']) {
    t.match(
      await listing([face('10.0.0.3'), face(address)]),
      { kind: 'failed', reason: 'malformed' },
      address,
    );
  }
});

t.test('an interface with IPv6 alone hides no other, and is named where there is no other', async (t) => {
  const { PrivateIpAddress: _, ...bare } = face('10.0.0.9');
  const native = { ...bare, Ipv6Addresses: [{ Ipv6Address: 'fd00::1', IsPrimaryIpv6: true }] };
  for (const candidate of [native, face('fd00::1')]) {
    t.same(await listing([face('10.0.0.3'), candidate]), found(['10.0.0.3']));
    t.match(await listing([candidate]), { reason: 'empty', detail: /found none: 1 with IPv6 alone/ });
  }
});

t.test('an interface with IPv4 beside IPv6 is never left out', async (t) => {
  const { PrivateIpAddress: address, ...bare } = face('10.0.0.9', {
    Ipv6Addresses: [{ Ipv6Address: 'fd00::1' }],
  });
  const primary = {
    ...bare,
    PrivateIpAddress: '',
    PrivateIpAddresses: [{ PrivateIpAddress: address, Primary: true }],
  };
  t.same(await listing([face('10.0.0.3'), primary]), found(['10.0.0.3', '10.0.0.9']));
  const unmarked = { ...bare, PrivateIpAddresses: [{ PrivateIpAddress: address }] };
  t.match(await listing([face('10.0.0.3'), unmarked]), { kind: 'failed', reason: 'malformed' });
});

t.test('the interfaces of a large account, in pages that are empty but for the last', async (t) => {
  const pages = {
    ...carelessEc2([]).ec2,
    DescribeNetworkInterfacesCommand: async (input: DescribeNetworkInterfacesCommandInput) => {
      const read = Number(input.NextToken ?? 0) + (input.MaxResults ?? 0);
      if (read < 20_000) return { ...FROM_AWS, NetworkInterfaces: [], NextToken: String(read) };
      return { ...FROM_AWS, NetworkInterfaces: [face('10.0.0.3')] };
    },
  };
  t.same(await poll('interfaces', KNOWN, { ec2: pages }), found(['10.0.0.3']));
});

t.test('pages are followed to the end, and a page that fails fails the listing', async (t) => {
  const paged = (last: () => Promise<never> | object): FakeCommands => ({
    ...carelessEc2([]).ec2,
    DescribeNetworkInterfacesCommand: async ({ NextToken }: DescribeNetworkInterfacesCommandInput) => {
      if (NextToken === undefined) return { ...FROM_AWS, NetworkInterfaces: [], NextToken: 'b' };
      if (NextToken === 'b') return { ...FROM_AWS, NetworkInterfaces: [face('10.0.0.3')], NextToken: 'c' };
      return { ...FROM_AWS, ...(await last()) };
    },
  });
  const whole = paged(() => ({ NetworkInterfaces: [face('10.0.0.4')] }));
  t.same(await poll('interfaces', KNOWN, { ec2: whole }), found(['10.0.0.3', '10.0.0.4']));
  const throttled = paged(() => Promise.reject(serviceError('RequestLimitExceeded', 503)));
  t.match(await poll('interfaces', KNOWN, { ec2: throttled }), {
    kind: 'failed',
    reason: 'throttled',
    reachedFarSide: true,
  });
  const listless = paged(() => ({}));
  t.match(await poll('interfaces', KNOWN, { ec2: listless }), { kind: 'failed', reason: 'malformed' });
});

const EBS: Partial<SourceContext> = { ...KNOWN, generation: 'ebs' };
const TAG = 'eks-local:controlplane-name';

function tagged(address: string, value: string): NetworkInterface {
  return face(address, { Description: 'static', TagSet: [{ Key: TAG, Value: value }] });
}

t.test('older generation: interfaces with the tag, if its value is the cluster', async (t) => {
  const faces = [
    tagged('10.0.0.3', 'my-cluster'),
    tagged('10.0.0.4', 'my-cluster-2'),
    tagged('10.0.0.5', ''),
    face('10.0.0.6'),
  ];
  t.same(await listing(faces, EBS), found(['10.0.0.3']));
  const fake = carelessEc2(faces);
  await poll('interfaces', EBS, { ec2: fake.ec2 });
  t.same(fake.asked[0]?.Filters, [
    { Name: 'tag-key', Values: [TAG] },
    { Name: 'vpc-id', Values: ['vpc-1'] },
  ]);
  t.same(fake.askedInstances, [], 'instances are not asked for');
});

t.test(
  'older generation without tags: every interface of the control plane, by exact name of its instances',
  async (t) => {
    const instances = [
      controlPlane('my-cluster-control-plane-1', ['10.0.0.3', '10.0.0.4']),
      controlPlane('my-cluster-control-plane-2', ['10.0.0.5'], 'pending'),
      controlPlane('my-cluster-control-plane-3', ['10.0.0.6'], 'stopped'),
      controlPlane('my-cluster-control-plane-4', ['10.0.0.7'], 'terminated'),
      controlPlane('my-cluster-control-plane-', ['10.0.0.66']),
      controlPlane('my-cluster-2-control-plane-1', ['10.0.0.67']),
      controlPlane('my-cluster-control-plane-a-control-plane-1', ['10.0.0.68']),
      controlPlane('not-my-cluster-control-plane-1', ['10.0.0.69']),
      { ...controlPlane('', ['10.0.0.70']), Tags: [] },
    ];
    t.same(await listing([], EBS, instances), found(['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']));
    const fake = carelessEc2([], instances);
    await poll('interfaces', EBS, { ec2: fake.ec2 });
    t.match(fake.askedInstances[0], {
      Filters: [
        { Name: 'tag:Name', Values: ['my-cluster-control-plane-*'] },
        { Name: 'instance-state-name' },
        { Name: 'vpc-id' },
      ],
      MaxResults: 500,
    });
  },
);

t.test('generation not known: described interfaces first, then the older way', async (t) => {
  const { generation: _, ...unknown } = KNOWN;
  const described = carelessEc2([face('10.0.0.3'), tagged('10.0.0.9', 'my-cluster')]);
  t.same(await poll('interfaces', unknown, { ec2: described.ec2 }), found(['10.0.0.3']));
  t.equal(described.asked.length, 1);
  t.same(await listing([tagged('10.0.0.9', 'my-cluster')], unknown), found(['10.0.0.9']), 'tag');
  t.same(
    await listing([], unknown, [controlPlane('my-cluster-control-plane-1', ['10.0.0.8'])]),
    found(['10.0.0.8']),
    'instances',
  );
  t.match(await listing([], unknown), { kind: 'failed', reason: 'empty' }, 'nothing');
  t.match(
    await listing([tagged('10.0.0.9', 'my-cluster')]),
    { kind: 'failed', reason: 'empty' },
    'never the older way for the newer generation',
  );
});

t.test('without a region nothing is asked', async (t) => {
  const { ec2, asked } = carelessEc2([]);
  const observed = await poll('interfaces', { region: undefined }, { ec2 });
  t.match(observed, { kind: 'failed', reason: 'internal', reachedFarSide: false });
  t.same(asked, []);
});

t.test('a description that has the text among others is taken where none is exact, and marked', async (t) => {
  const doubtful = (addresses: readonly string[]) => ({ ...found(addresses), isDoubtful: true });
  const { generation: _, ...unknown } = KNOWN;
  for (const description of [
    'Amazon EKS my-cluster (control plane)',
    'Created by Amazon EKS my-cluster',
    'Amazon EKS my-cluster: api server 1',
    'owner="Amazon EKS my-cluster".',
    'Amazon EKS my-cluster, Amazon EKS my-cluster',
  ]) {
    for (const known of [KNOWN, unknown]) {
      const faces = [face('10.0.0.4', { Description: description })];
      t.same(await listing(faces, known), doubtful(['10.0.0.4']), description);
    }
    t.same(
      await listing([face('10.0.0.4', { Description: description }), face('10.0.0.3')]),
      found(['10.0.0.3']),
      `${description}: not beside an exact one`,
    );
  }
  for (const description of [
    'Amazon EKS my-cluster-2',
    'Amazon EKS my-cluster_2',
    'Amazon EKS my-cluster2 (control plane)',
    'Amazon EKS my-cluster.two',
    'Amazon EKS not-my-cluster',
    'Amazon EKS other my-cluster',
    'Amazon EKS My-Cluster',
    'other-Amazon EKS my-cluster',
    'Amazon EKSmy-cluster',
    'my-cluster of Amazon EKS',
    'Amazon EKS my-cluster and Amazon EKS other',
    'Amazon EKS my-cluster-2 beside Amazon EKS my-cluster',
    'aws-K8S-i-0aaaaaaaaaaaaaaaa',
    '',
  ]) {
    t.match(
      await listing([face('10.0.0.4', { Description: description })]),
      { kind: 'failed', reason: 'empty' },
      description,
    );
  }
  const near = { Description: 'Amazon EKS my-cluster (x)' };
  for (const [what, known, face_] of [
    ['another VPC', KNOWN, face('10.0.0.4', { ...near, VpcId: 'vpc-2' })],
    ['another subnet', KNOWN, face('10.0.0.4', { ...near, SubnetId: 'subnet-3' })],
    ['VPC not known', { generation: 'instance-store', subnetIds: ['subnet-1'] }, face('10.0.0.4', near)],
    ['subnets not known', { generation: 'instance-store', vpcId: 'vpc-1' }, face('10.0.0.4', near)],
    ['the older generation', EBS, face('10.0.0.4', near)],
  ] as const) {
    t.match(await listing([face_], known), { kind: 'failed', reason: 'empty' }, what);
  }
  const fake = carelessEc2([]);
  await poll('interfaces', { ...KNOWN, cluster: 'a*b' }, { ec2: fake.ec2 });
  t.same(
    fake.asked.map(({ Filters }) => Filters?.[0]?.Values?.[0]),
    ['Amazon EKS a\\*b', '*Amazon EKS a\\*b*'],
  );
});
