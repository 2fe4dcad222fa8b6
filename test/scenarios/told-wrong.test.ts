/** The real server with wrong input: from the operator about the endpoint, from DNS while AWS is silent, from all after a cluster is created again. */
import t, { type Test } from 'tap';
import { until } from '../helpers/patience.ts';
import { clusterOf, isReady, sourceOf } from './readiness.ts';
import { Process } from './server-process.ts';
import { DEMO, ENDPOINT, Site } from './site.ts';

t.jobs = 2; // these tests wait more than they work

async function check(t: Test, site: Site): Promise<string> {
  const command = new Process(
    t,
    ['check', '--offline', '--config', site.configFile],
    site.sandbox.environment,
  );
  await command.ended;
  return command.stdout;
}

t.test(
  'a wrong endpoint in the configuration: both names are answered, also in a cut and after a restart',
  async (t) => {
    const site = await Site.open(t);
    site.configureCluster({ endpoint: 'outdated.gr7.us-west-2.eks.amazonaws.com' });
    const both = ['outdated.gr7.us-west-2.eks.amazonaws.com', ENDPOINT];
    let server = site.start();
    await isReady(server);
    await until(
      'EKS has returned the real name',
      async () => (await clusterOf(server))?.describedEndpoint !== undefined,
    );
    for (const name of both) t.same(await server.addresses(name), DEMO, name);
    t.match(await clusterOf(server), {
      endpoint: both[0],
      describedEndpoint: ENDPOINT.toLowerCase(),
      warnings: [/configured as outdated.*while AWS says 5e9d.*both are answered/],
    });
    t.match(server.logged('endpoint is not the one that aws says: both names are answered'), [
      { level: 'warn' },
    ]);
    await until(
      'the metric says so',
      async () => `${[...(await server.metric('outpost_dns_endpoint_name_differs')).values()]}` === '1',
    );
    await until('the state is saved', async () =>
      /is not the endpoint in DescribeCluster/.test(await check(t, site)),
    );

    site.sandbox.link.set('down');
    for (const name of both) t.same(await server.addresses(name), DEMO, `${name}, in a cut`);
    await server.kill('SIGKILL');
    server = site.start();
    await isReady(server);
    for (const name of both) t.same(await server.addresses(name), DEMO, `${name}, in a cut, after a restart`);
    t.match(await clusterOf(server), { describedEndpoint: ENDPOINT.toLowerCase() });
  },
);

t.test(
  'AWS is silent, and DNS departs from the truth in small steps: the server does not follow',
  async (t) => {
    const site = await Site.open(t);
    const server = site.start();
    await isReady(server);
    for (const source of ['dns', 'interfaces']) {
      await until(
        `${source} has agreed`,
        async () => (await sourceOf(server, source))?.latest === 'succeeded',
      );
    }
    site.sandbox.faults.add({ service: '*', kind: 'reset' });
    await until('AWS is silent', async () => (await sourceOf(server, 'interfaces'))?.latest === 'failed');
    const [first = '', second = ''] = DEMO;
    const stranger = '10.9.9.9';
    for (const wrong of [
      [first, second, stranger],
      [first, stranger],
      [stranger],
      [first, '10.9.9.8'],
      [stranger],
    ]) {
      site.sandbox.state.setRecords(ENDPOINT, 'A', wrong, 1);
      await until(
        `${wrong} is held back`,
        async () => `${(await clusterOf(server))?.held?.addresses.toSorted()}` === `${wrong.toSorted()}`,
      );
      t.same(await server.addresses(ENDPOINT), DEMO, `${wrong}`);
    }
    site.sandbox.state.setRecords(ENDPOINT, 'A', DEMO);
    await until(
      'DNS has the right addresses again',
      async () => (await clusterOf(server))?.held === undefined,
    );
    t.same(await server.addresses(ENDPOINT), DEMO);
  },
);

t.test(
  'a cluster that is created again under its name is found without waiting for the next call of EKS',
  async (t) => {
    const site = await Site.open(t);
    site.configure({
      refresh: { dns: '1s', interfaces: '1s', cluster: '1h', retryMin: '300ms', retryMax: '1s' },
    });
    const server = site.start();
    await isReady(server);
    await until('EKS was asked', async () => (await sourceOf(server, 'cluster'))?.latest === 'succeeded');
    const endpoint = 'ABCDEF0123456789ABCDEF0123456789.gr7.us-west-2.eks.amazonaws.com';
    const addresses = ['10.7.0.1', '10.7.0.2', '10.7.0.3'];
    site.sandbox.state.recreateCluster('demo', undefined, {
      endpoint,
      addresses,
      vpcId: 'vpc-0fffffffffffffff0',
    });
    await until(
      'the new cluster is served',
      async () => `${await server.addressesInMetric()}` === `${addresses}`,
    );
    t.same(await server.addresses(endpoint), addresses);
    t.match(await clusterOf(server), { endpoint: endpoint.toLowerCase() });
    t.same(await server.addresses(ENDPOINT), addresses, 'under its old name too');
  },
);
