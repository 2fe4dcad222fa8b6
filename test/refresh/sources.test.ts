import t, { type Test } from 'tap';
import { createSources } from '../../src/refresh/cluster-sources.ts';
import { clientsFor, pollHere, sourcesAt, startRegion } from '../far-side/region.ts';

const DEMO = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];

t.test('all four sources see the simulated Region through the real SDK', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: { zoneId: 'Z0PUBLICSITEEXAMPLE' } });
  const facts = sandbox.state.cluster('demo');
  const endpoint = facts.endpoint.toLowerCase();
  t.match(await observe('cluster'), {
    kind: 'details',
    source: 'cluster',
    details: {
      endpoint,
      vpcId: facts.vpcId,
      subnetIds: [...facts.subnetIds],
      generation: 'instance-store',
      certificateAuthority: facts.certificateAuthority,
    },
  });
  t.same(await observe('interfaces'), { kind: 'addresses', source: 'interfaces', addresses: DEMO });
  const byName = await observe('dns', { endpoint });
  t.match(byName, { kind: 'addresses', source: 'dns', ttlSeconds: 60 });
  t.same(byName.kind === 'addresses' && [...byName.addresses].sort(), DEMO);
  t.same(await observe('route53', { endpoint: 'api.site.example' }), {
    kind: 'addresses',
    source: 'route53',
    addresses: DEMO,
    ttlSeconds: 60,
  });
});

/** What sources are made from, where none may poll through it. */
function untouched(t: Test) {
  return {
    poll: pollHere(clientsFor(t)),
    asked: () => undefined,
    resolve: () => t.fail() as never,
    answersText: () => t.fail() as never,
    isDrilled: () => false,
  };
}

t.test('only the sources that are wanted are made, each once', async (t) => {
  const sources = createSources({ sources: ['dns', 'interfaces', 'dns'] }, untouched(t));
  t.same(
    sources.map(({ name }) => name),
    ['dns', 'interfaces'],
  );
});

t.test('the Kubernetes source is made with what was configured, and says so when nothing was', async (t) => {
  const context = { cluster: 'a', endpoint: 'api.example', subnetIds: [], knownAddresses: ['127.0.0.1'] };
  const kubernetes = { kind: 'kubeconfig', kubeconfig: '/nowhere/kubeconfig' } as const;
  for (const [settings, detail] of [
    [{}, /no kubeconfig and no certificate is configured/],
    [{ kubernetes }, /reading "\/nowhere\/kubeconfig" failed: no such file \(ENOENT\)/],
  ] as const) {
    const [source] = createSources({ sources: ['kubernetes'], ...settings }, untouched(t));
    const observed = await source?.observe(context, new AbortController().signal);
    t.match(observed, { kind: 'failed', source: 'kubernetes', reason: 'no-credentials', detail });
  }
});

t.test(
  'interfaces of the older generation: by tag, by instance, and with the generation not known',
  async (t) => {
    const sandbox = await startRegion(t);
    const observe = sourcesAt(sandbox, clientsFor(t));
    const found = {
      kind: 'addresses',
      source: 'interfaces',
      addresses: ['10.0.1.30', '10.0.2.30', '10.0.3.30'],
    };
    const { vpcId, subnetIds } = sandbox.state.cluster('legacy');
    const known = { cluster: 'legacy', vpcId, subnetIds };
    t.match(await observe('cluster', { cluster: 'legacy' }), { details: { generation: 'ebs' } });
    t.same(await observe('interfaces', { ...known, generation: 'ebs' }), found);
    t.same(await observe('interfaces', known), found, 'generation not known');
    for (const face of sandbox.state.interfacesOf('legacy'))
      sandbox.state.updateInterface(face.id, { tags: {} });
    t.same(await observe('interfaces', { ...known, generation: 'ebs' }), found, 'without tags');
    t.ok(sandbox.region.countOf('DescribeInstances') > 0);
  },
);

t.test('the Route 53 source: every kind of record set, by zone ID', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), {
    route53: { zoneId: '/hostedzone/Z0PUBLICSITEEXAMPLE' },
  });
  for (const [endpoint, addresses, ttlSeconds] of [
    ['weighted.site.example', ['10.0.1.10', '10.0.2.10'], 60],
    ['multi.site.example', ['10.0.1.10', '10.0.2.10'], 60],
    ['alias.site.example', DEMO, 60],
    ['*.apps.site.example', ['10.0.4.4'], 60],
  ] as const) {
    const observed = await observe('route53', { endpoint });
    t.match(observed, { kind: 'addresses', source: 'route53', ttlSeconds }, endpoint);
    t.same(observed.kind === 'addresses' && [...observed.addresses].sort(), addresses, endpoint);
  }
  const missing = await observe('route53', { endpoint: 'apj.site.example' });
  t.match(
    missing,
    { kind: 'failed', reason: 'not-found', reachedFarSide: true },
    'a name that only sorts beside others',
  );
});

t.test(
  'the Route 53 source: a target that cannot be resolved fails the poll, with AWS reached',
  async (t) => {
    const sandbox = await startRegion(t);
    const observe = sourcesAt(sandbox, clientsFor(t), { route53: { zoneId: 'Z0PUBLICSITEEXAMPLE' } });
    sandbox.faults.add({ service: 'dns', kind: 'servfail', name: 'api.site.example' });
    const failing = { kind: 'failed', source: 'route53', reachedFarSide: true, detail: /api\.site\.example/ };
    t.match(await observe('route53', { endpoint: 'alias.site.example' }), failing);
  },
);

t.test('the Route 53 source finds the zone that has the record', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
  const addressesOf = async (endpoint: string) => {
    const observed = await observe('route53', { endpoint });
    return observed.kind === 'addresses' ? observed.addresses : observed;
  };
  t.same(await addressesOf('api.site.example'), ['10.0.7.7'], 'in both: the private zone');
  t.same(await addressesOf('multi.site.example'), ['10.0.1.10', '10.0.2.10'], 'in the public one only');
  const before = sandbox.region.countOf('ListHostedZonesByName');
  t.same(await addressesOf('api.site.example'), ['10.0.7.7']);
  t.equal(sandbox.region.countOf('ListHostedZonesByName'), before, 'what was found is remembered');
  t.match(await addressesOf('a.b.site2.example'), {
    kind: 'failed',
    reason: 'not-found',
    reachedFarSide: true,
  });
  t.match(await addressesOf('nowhere.test'), { kind: 'failed', reason: 'not-found', reachedFarSide: true });
});

t.test(
  'the Route 53 source: a zone found earlier that has lost the record is searched for again',
  async (t) => {
    const sandbox = await startRegion(t);
    const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
    t.match(await observe('route53', { endpoint: 'api.site.example' }), { addresses: ['10.0.7.7'] });
    sandbox.state.hostedZones = sandbox.state.hostedZones.filter((zone) => !zone.privateZone);
    t.match(await observe('route53', { endpoint: 'api.site.example' }), {
      kind: 'failed',
      reason: 'not-found',
    });
    t.match(await observe('route53', { endpoint: 'api.site.example' }), { addresses: DEMO });
  },
);

t.test('the Route 53 source: a zone that may not be read is passed over', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
  const denyOne = { service: 'route53', operation: 'ListResourceRecordSets', kind: 'deny' } as const;
  sandbox.faults.add({ ...denyOne, times: 1 });
  t.match(
    await observe('route53', { endpoint: 'api.site.example' }),
    { addresses: DEMO },
    'the other one has it',
  );
  sandbox.faults.add(denyOne);
  t.match(
    await observe('route53', { endpoint: 'weighted.site.example' }),
    { kind: 'failed', reason: 'denied', reachedFarSide: true },
    'no other has it',
  );
});

t.test(
  'in a rehearsal nothing is asked across the link, and what is on the site is asked as ever',
  async (t) => {
    let isDrilled = true;
    let resolved = 0;
    const connections = {
      poll: pollHere(clientsFor(t)),
      asked: () => undefined,
      resolve: async () => {
        resolved++;
        return { kind: 'no-addresses', rcode: 3 } as const;
      },
      answersText: async () => false,
      isDrilled: () => isDrilled,
    };
    const context = {
      cluster: 'a',
      region: 'us-west-2',
      endpoint: 'api.example',
      subnetIds: [],
      knownAddresses: [],
    };
    const names = ['dns', 'interfaces', 'cluster', 'route53', 'kubernetes'] as const;
    const sources = createSources({ sources: names }, connections);
    for (const { name, observe } of sources) {
      const seen = await observe(context, new AbortController().signal);
      const isAcross = ['interfaces', 'cluster', 'route53'].includes(name);
      t.equal('detail' in seen && /a drill runs/.test(seen.detail), isAcross, name);
      if (isAcross) t.match(seen, { kind: 'failed', reason: 'network', reachedFarSide: false }, name);
    }
    t.equal(resolved, 1, 'the forwarder knows which of its upstreams are on the site');
    isDrilled = false;
    const kubernetes = { kind: 'kubeconfig', kubeconfig: '/nowhere/kubeconfig' } as const;
    const [again] = createSources({ sources: ['kubernetes'], kubernetes }, connections);
    const known = { ...context, knownAddresses: ['127.0.0.1'] };
    t.match(await again?.observe(known, new AbortController().signal), { detail: /ENOENT/ });
  },
);
