import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import { DescribeClusterCommand } from '@aws-sdk/client-eks';
import { ListHostedZonesByNameCommand, ListResourceRecordSetsCommand } from '@aws-sdk/client-route-53';
import t from 'tap';
import { Faults, type HttpFaultKind, LinkSwitch } from '../../sandbox/faults.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { PATIENCE_MS, undisturbed } from '../helpers/patience.ts';
import { named } from './named.ts';
import type { ClientChoices } from './sdk-clients.ts';
import { ec2Client, eksClient, route53Client } from './sdk-clients.ts';

async function askEc2(
  sandbox: Sandbox,
  choices: ClientChoices = {},
  deadlineMs = PATIENCE_MS,
): Promise<number | undefined> {
  using client = ec2Client(sandbox, choices);
  const page = await client.send(
    new DescribeNetworkInterfacesCommand({
      MaxResults: 100,
      Filters: [{ Name: 'description', Values: ['Amazon EKS demo'] }],
    }),
    { abortSignal: AbortSignal.timeout(deadlineMs) },
  );
  return page.NetworkInterfaces?.length;
}

async function askRoute53(sandbox: Sandbox): Promise<number | undefined> {
  using client = route53Client(sandbox);
  return (await client.send(new ListHostedZonesByNameCommand({}))).HostedZones?.length;
}

async function askEks(sandbox: Sandbox): Promise<string | undefined> {
  using client = eksClient(sandbox);
  return (await client.send(new DescribeClusterCommand({ name: 'demo' }))).cluster?.name;
}

t.test('each service reports throttling, denial and expiry with its own code and status', async (t) => {
  const cases: [
    kind: 'throttle' | 'deny' | 'expire',
    ask: (sandbox: Sandbox) => Promise<unknown>,
    name: string,
    status: number,
  ][] = [
    ['throttle', askEc2, 'RequestLimitExceeded', 503],
    ['throttle', askRoute53, 'Throttling', 400],
    ['throttle', askEks, 'ThrottlingException', 429],
    ['deny', askEc2, 'UnauthorizedOperation', 403],
    ['deny', askRoute53, 'AccessDenied', 403],
    ['deny', askEks, 'AccessDeniedException', 403],
    ['expire', askEc2, 'RequestExpired', 400],
    ['expire', askRoute53, 'ExpiredToken', 403],
    ['expire', askEks, 'ExpiredTokenException', 403],
  ];
  await using sandbox = await startSandbox();
  for (const [kind, ask, name, httpStatusCode] of cases) {
    sandbox.faults.clear();
    sandbox.faults.add({ service: '*', kind });
    await t.rejects(ask(sandbox), { ...named(name), $metadata: { httpStatusCode } }, name);
  }
  sandbox.faults.clear();
  t.equal(await askEc2(sandbox), 3, 'cleared');
});

t.test('any refusal can be set', async (t) => {
  await using sandbox = await startSandbox();
  const error = {
    kind: 'error',
    code: 'InvalidVpcID.NotFound',
    message: "no such 'vpc'",
    status: 400,
  } as const;
  sandbox.faults.add({ service: 'ec2', operation: 'DescribeNetworkInterfaces', ...error });
  await t.rejects(askEc2(sandbox), { ...named(error.code), message: error.message });
});

t.test('a throttled call gets through on a later attempt', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'ec2', kind: 'throttle', times: 2 });
  t.equal(await askEc2(sandbox, { maxAttempts: 3 }), 3);
  t.same(
    sandbox.region.requests.map(({ outcome }) => outcome),
    ['throttle', 'throttle', 'ok'],
  );
  t.same(sandbox.faults.list(), [], 'a fault that is used up is gone');
});

t.test('how the SDK reads answers that are not from AWS', async (t) => {
  await using sandbox = await startSandbox();
  const with_ = async <T>(kind: HttpFaultKind, ask: (sandbox: Sandbox) => Promise<T>): Promise<T> => {
    sandbox.faults.clear();
    sandbox.faults.add({ service: '*', ...kind });
    return await ask(sandbox);
  };
  t.equal(
    await with_({ kind: 'html' }, askEc2),
    undefined,
    'EC2: a captive portal is a success without a listing',
  );
  t.equal(await with_({ kind: 'html' }, askRoute53), undefined, 'Route 53: the same');
  await t.rejects(with_({ kind: 'html' }, askEks), named('SyntaxError'), 'EKS: no JSON');
  t.equal(await with_({ kind: 'empty' }, askEc2), 0, 'EC2: an empty listing');
  t.equal(await with_({ kind: 'empty' }, askRoute53), 0, 'Route 53: an empty listing');
  t.equal(await with_({ kind: 'empty' }, askEks), undefined, 'EKS: no cluster');
  await t.rejects(with_({ kind: 'half' }, askEc2), { message: /parse error/ }, 'EC2: half an XML');
  await t.rejects(with_({ kind: 'half' }, askRoute53), { message: /parse error/ }, 'Route 53: half an XML');
  await t.rejects(with_({ kind: 'half' }, askEks), named('SyntaxError'), 'EKS: half a JSON');
  await t.rejects(with_({ kind: 'reset' }, askEc2), { message: /ECONNRESET/ });
});

t.test('an empty record listing is a listing', async (t) => {
  await using sandbox = await startSandbox();
  using client = route53Client(sandbox);
  sandbox.faults.add({ service: 'route53', kind: 'empty' });
  const page = await client.send(new ListResourceRecordSetsCommand({ HostedZoneId: 'Z0PUBLICSITEEXAMPLE' }));
  t.same(page.ResourceRecordSets, []);
  t.equal(page.IsTruncated, false);
});

t.test('a hanging call ends by a timeout alone', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'ec2', kind: 'hang' });
  const start = performance.now();
  await t.rejects(askEc2(sandbox, { timeoutMs: 200 }), named('TimeoutError'));
  t.ok(performance.now() - start >= 190);
  t.equal(await askRoute53(sandbox), 3, 'other services are well');
});

t.test(
  'a dripping answer outlives the request timeout of the SDK, and a longer wait gets it whole',
  async (t) => {
    await using sandbox = await startSandbox();
    sandbox.faults.add({ service: 'ec2', kind: 'drip', intervalMs: 50 });
    const end = await undisturbed(100, () =>
      askEc2(sandbox, { timeoutMs: 200 }, 600).catch((error) => error),
    );
    t.match(end, named('AbortError'), 'only a deadline ends it');
    sandbox.faults.clear();
    sandbox.faults.add({ service: 'route53', kind: 'drip', intervalMs: 1 });
    t.equal(await askRoute53(sandbox), 3);
  },
);

t.test('a link that is down loses all traffic, and its connections break when it returns', async (t) => {
  await using sandbox = await startSandbox();
  using client = ec2Client(sandbox, { timeoutMs: 60_000 });
  const ask = () => client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }));
  await ask(); // leaves a connection open for the next one
  sandbox.link.set('down');
  await t.rejects(askEc2(sandbox, { timeoutMs: 200 }), named('TimeoutError'), 'a new connection');
  let settled = false;
  const hanging = ask().finally(() => {
    settled = true;
  });
  hanging.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.notOk(settled, 'an old connection');
  sandbox.link.set('up');
  await t.rejects(hanging, { message: /ECONNRESET|socket hang up/ });
  t.equal((await ask()).NetworkInterfaces?.length, 5, 'and a new call gets through');
  t.equal(sandbox.region.requests.length, 2, 'nothing that was sent meanwhile arrived');
});

t.test('a dripping answer stops when the link goes down', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'eks', kind: 'drip', intervalMs: 1 });
  const refusal = fetch(`${sandbox.regionUrl}/clusters/demo`).then((response) => response.text()); // some 70 octets
  refusal.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 20));
  sandbox.link.set('down');
  const silence = new Promise((resolve) => setTimeout(() => resolve('silence'), 500));
  t.equal(await Promise.race([refusal, silence]), 'silence');
  sandbox.link.set('up');
  await t.rejects(refusal);
});

t.test('a refusing link resets connections, old and new', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.faults.add({ service: 'ec2', kind: 'hang', times: 1 });
  const hanging = askEc2(sandbox, { timeoutMs: 60_000 });
  // after the connection exists, or a new one would take the fault of the last
  while (sandbox.faults.list().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  sandbox.link.set('refused');
  await t.rejects(hanging, { message: /ECONNRESET/ }, 'an old one');
  await t.rejects(askEc2(sandbox), { message: /ECONNRESET/ }, 'a new one');
  sandbox.link.set('up');
  t.equal(await askEc2(sandbox), 3);
});

t.test('a fault strikes its own requests, as often as it was set', (t) => {
  const faults = new Faults();
  faults.add({ service: 'ec2', operation: 'DescribeInstances', kind: 'deny', skip: 1, times: 2 });
  faults.add({ service: '*', kind: 'hang', times: 1 });
  faults.add({ service: 'dns', kind: 'drop', name: 'a.example', times: 1 });
  const kinds = (operation: string, count: number) =>
    Array.from({ length: count }, () => faults.strikesRequest('ec2', operation)?.kind);
  t.same(kinds('DescribeInstances', 4), ['hang', 'deny', 'deny', undefined]);
  t.equal(faults.strikesQuery('b.example'), undefined);
  t.equal(faults.strikesQuery('a.example')?.kind, 'drop');
  t.equal(faults.strikesQuery('a.example'), undefined);
  t.same(faults.list(), []);
  faults.add({ service: 'eks', kind: 'deny' });
  faults.add({ service: 'dns', kind: 'drop' });
  faults.clear('dns');
  t.same(faults.list(), [{ service: 'eks', kind: 'deny' }]);
  t.equal(faults.strikesRequest('sts', 'GetCallerIdentity'), undefined);
  t.end();
});

t.test('a link reports changes alone', (t) => {
  const link = new LinkSwitch();
  const seen: string[] = [];
  link.onChange((state) => seen.push(state));
  for (const state of ['up', 'down', 'down', 'refused', 'up'] as const) link.set(state);
  t.same(seen, ['down', 'refused', 'up']);
  t.end();
});
