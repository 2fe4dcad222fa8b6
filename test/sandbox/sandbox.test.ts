import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { DescribeNetworkInterfacesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { DescribeClusterCommand, EKSClient } from '@aws-sdk/client-eks';
import { ListHostedZonesByNameCommand, Route53Client } from '@aws-sdk/client-route-53';
import t from 'tap';
import { parse } from 'yaml';
import { populationOf } from '../../sandbox/demo-population.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { loadConfig } from '../../src/config/config.ts';
import { until } from '../helpers/patience.ts';
import { shortDirectory } from './short-directory.ts';

t.test('the environment alone points the SDK at the sandbox, whatever the user has set', async (t) => {
  await using sandbox = await startSandbox();
  const before = { ...process.env };
  t.teardown(() => {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
    Object.assign(process.env, before);
  });
  Object.assign(process.env, {
    AWS_PROFILE: 'production',
    AWS_SESSION_TOKEN: 'of another user',
    AWS_ENDPOINT_URL_EC2: 'http://127.0.0.1:9',
    AWS_USE_FIPS_ENDPOINT: 'true',
  });
  Object.assign(process.env, sandbox.environment);
  const ec2 = new EC2Client({ maxAttempts: 1 });
  const eks = new EKSClient({ maxAttempts: 1 });
  const route53 = new Route53Client({ maxAttempts: 1, region: 'us-east-1' });
  t.equal(
    (await ec2.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }))).NetworkInterfaces?.length,
    5,
  );
  t.equal((await eks.send(new DescribeClusterCommand({ name: 'demo' }))).cluster?.name, 'demo');
  t.equal((await route53.send(new ListHostedZonesByNameCommand({}))).HostedZones?.length, 3);
  for (const client of [ec2, eks, route53]) client.destroy();
  t.ok(Object.values(sandbox.environment).every((value) => !value.includes('amazonaws')));
});

t.test('the configuration is for the first cluster, on loopback, without probes', async (t) => {
  await using sandbox = await startSandbox({
    population: populationOf([{ name: 'site', region: 'eu-central-1', addresses: ['10.0.0.1'] }]),
  });
  const text = sandbox.configYaml({
    dnsPort: 5300,
    httpPort: 9153,
    stateDirectory: '/tmp/a: b #c',
    overrides: { log: { level: 'debug' } },
  });
  t.match(parse(text), {
    clusters: [{ name: 'site', region: 'eu-central-1', probe: { enabled: false } }],
    upstreams: [sandbox.dnsAddress],
    listen: { dns: ['127.0.0.1:5300'] },
    admin: { listen: '127.0.0.1:9153' },
    state: { directory: '/tmp/a: b #c' },
    refresh: { dns: '5s', interfaces: '5s' },
    log: { level: 'debug' },
  });
  t.equal(sandbox.environment['AWS_REGION'], 'eu-central-1');
});

t.test('the product accepts the configuration as it is', async (t) => {
  await using sandbox = await startSandbox();
  const text = sandbox.configYaml({ dnsPort: 5300, httpPort: 9153, stateDirectory: '/tmp/state' });
  const config = await loadConfig({
    text,
    explicit: false,
    environment: {},
    ownAddresses: ['127.0.0.1'],
    readFile: () => Promise.reject(new Error('no file is read')),
  });
  t.match(config, { clusters: [{ name: 'demo', region: 'us-west-2', probe: undefined }] });
});

t.test('fixed ports are used, and a sentence names a taken one', async (t) => {
  const { regionPort, dnsPort } = await freePorts();
  await using sandbox = await startSandbox({ regionPort, dnsPort });
  t.equal(sandbox.regionUrl, `http://127.0.0.1:${regionPort}`);
  t.equal(sandbox.dnsAddress, `127.0.0.1:${dnsPort}`);
  await t.rejects(startSandbox({ regionPort }), {
    code: 'port-taken',
    message: `listen on 127.0.0.1:${regionPort} for the simulated Region: the port is taken`,
  });
  await t.rejects(startSandbox({ dnsPort }), {
    code: 'port-taken',
    message: `listen on 127.0.0.1:${dnsPort} for the simulated upstream: the port is taken`,
  });
});

t.test('a start that fails half-way leaves nothing open', async (t) => {
  const udp = createSocket('udp4');
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  t.teardown(() => udp.close());
  const dnsPort = udp.address().port;
  const { regionPort } = await freePorts();
  await t.rejects(startSandbox({ regionPort, dnsPort }), { code: 'port-taken' }, 'taken for UDP alone');
  await using again = await startSandbox({ regionPort });
  t.ok(again, 'the port of the Region is free again');
});

async function freePorts(): Promise<{ regionPort: number; dnsPort: number }> {
  await using sandbox = await startSandbox();
  return { regionPort: Number(new URL(sandbox.regionUrl).port), dnsPort: sandbox.dns.port };
}

t.test(
  'closing waits for nothing, with requests hanging, answers dripping and connections idle',
  async (t) => {
    const sandbox = await startSandbox({ controlPath: join(shortDirectory(t), 'control.sock') });
    sandbox.faults.add({ service: '*', kind: 'hang', times: 1 });
    sandbox.faults.add({ service: '*', kind: 'drip', intervalMs: 3_600_000, times: 1 });
    sandbox.faults.add({ service: 'dns', kind: 'delay', delayMs: 3_600_000 });
    const asking = [1, 2].map(() =>
      fetch(`${sandbox.regionUrl}/clusters/demo`).then((response) => response.text()),
    );
    for (const promise of asking) promise.catch(() => {});
    const idle = connect(sandbox.dns.port, '127.0.0.1').on('error', () => {});
    await once(idle, 'connect');
    await until('both have come', () => sandbox.faults.list().length === 1);
    await sandbox.close(); // every wait here would last an hour or for ever
    for (const promise of asking) await t.rejects(promise);
    await t.resolves(sandbox.close(), 'closing twice is no error');
  },
);

t.test('several sandboxes live side by side', async (t) => {
  await using one = await startSandbox();
  await using two = await startSandbox();
  one.link.set('down');
  one.state.setRecords('only.example', 'A', ['192.0.2.1']);
  t.equal(two.link.state, 'up');
  t.same(
    two.state.records.filter(({ name }) => name === 'only.example'),
    [],
  );
  t.not(one.regionUrl, two.regionUrl);
});

t.test('everything listens on loopback alone', async (t) => {
  await using sandbox = await startSandbox();
  t.match(sandbox.regionUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.match(sandbox.dnsAddress, /^127\.0\.0\.1:\d+$/);
  const taken = createServer();
  // a TCP listener on every address would keep this one from the port on another loopback address
  taken.listen(sandbox.dns.port, '127.0.0.2');
  await t.resolves(once(taken, 'listening'));
  taken.close();
});
