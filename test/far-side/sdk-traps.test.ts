/**
 * The traps of the AWS SDK for a daemon. Each is shown on a client made the usual way ("naive"), and is closed by the
 * sources. The Region is that of the sandbox; the SDK is the real one.
 */
import { DescribeNetworkInterfacesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import t, { type Test } from 'tap';
import type { Fault } from '../../sandbox/faults.ts';
import type { FailureReason } from '../../src/records/observation.ts';
import { PATIENCE_MS, undisturbed } from '../helpers/patience.ts';
import { after, clientsFor, HASTY, sourcesAt, startRegion, stateAfter } from './region.ts';

type NaiveOptions = ConstructorParameters<typeof EC2Client>[0];

function naiveClient(t: Test, options: NaiveOptions = {}): EC2Client {
  const client = new EC2Client({ region: 'us-west-2', ...options });
  t.teardown(() => client.destroy());
  return client;
}

const FILTERS = [{ Name: 'description', Values: ['Amazon EKS demo'] }];

function naiveListing(client: EC2Client, abortSignal?: AbortSignal) {
  const command = new DescribeNetworkInterfacesCommand({ Filters: FILTERS, MaxResults: 5 });
  return client.send(command, abortSignal === undefined ? {} : { abortSignal });
}

const DEMO = ['10.0.1.10', '10.0.2.10', '10.0.3.10'];
const WELL = { kind: 'addresses', source: 'interfaces', addresses: DEMO };

function failure(reason: FailureReason, reachedFarSide: boolean, detail: RegExp | string = /./) {
  return { kind: 'failed', reason, reachedFarSide, detail };
}

t.test('no timeouts: a Region that never answers holds a naive client for ever', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  sandbox.faults.add({ service: '*', kind: 'hang' });
  const naive = naiveListing(naiveClient(t));
  const warning = naiveListing(
    naiveClient(t, { requestHandler: new NodeHttpHandler({ requestTimeout: 50, logger: silent() }) }),
  );
  t.match(await observe('interfaces'), failure('timeout', false));
  t.equal(await stateAfter(100, naive), 'pending', 'naive');
  t.equal(await stateAfter(1, warning), 'pending', 'requestTimeout alone only warns');
  const unhurried = sourcesAt(sandbox, clientsFor(t, { idleTimeoutMs: 60_000, requestTimeoutMs: 50 }));
  const signal = AbortSignal.timeout(PATIENCE_MS / 2);
  t.match(
    await unhurried('interfaces', {}, signal),
    failure('timeout', false),
    'by the request timeout alone',
  );
  t.notOk(signal.aborted, 'long before the deadline');
  sandbox.faults.clear();
  t.same(await observe('interfaces'), WELL, 'and afterwards all is well');
  for (const left of [naive, warning]) left.catch(() => {});
});

function silent() {
  const nothing = () => {};
  return { debug: nothing, info: nothing, warn: nothing, error: nothing };
}

t.test('a body without end is given up after some MiB, and its connection ends', async (t) => {
  const sandbox = await startRegion(t);
  const unhurried = {
    connectTimeoutMs: PATIENCE_MS,
    requestTimeoutMs: PATIENCE_MS,
    idleTimeoutMs: PATIENCE_MS,
  };
  const observe = sourcesAt(sandbox, clientsFor(t, unhurried));
  sandbox.faults.add({ service: '*', kind: 'endless' });
  const signal = AbortSignal.timeout(PATIENCE_MS);
  for (const source of ['interfaces', 'cluster'] as const)
    t.match(
      await observe(source, {}, signal),
      failure('malformed', false, 'an answer of more than 8388608 octets'),
      source,
    );
  t.notOk(signal.aborted, 'long before the deadline');
  sandbox.faults.clear();
  t.same(await observe('interfaces'), WELL, 'and afterwards all is well');
});

t.test(
  'a body that drips outlasts every timeout of the SDK: the signal ends it, and its connection',
  async (t) => {
    const sandbox = await startRegion(t);
    const observe = sourcesAt(sandbox, clientsFor(t));
    t.same(await observe('interfaces'), WELL);
    sandbox.faults.add({ service: 'ec2', kind: 'drip', intervalMs: 20 });
    const requestHandler = new NodeHttpHandler({
      connectionTimeout: 1_000,
      requestTimeout: 1_000,
      socketTimeout: 1_000,
      throwOnRequestTimeout: true,
    });
    const naive = () => stateAfter(3_000, naiveListing(naiveClient(t, { requestHandler })));
    t.match(await observe('interfaces', {}, AbortSignal.timeout(150)), failure('timeout', false));
    t.equal(
      await undisturbed(800, naive, (state) => state !== 'pending'),
      'pending',
      'naive, with all timeouts set',
    );
    sandbox.faults.clear();
    t.same(await observe('interfaces'), WELL);
  },
);

t.test('a body that stops in the middle', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  sandbox.faults.add({ service: 'ec2', kind: 'drip', intervalMs: 60_000 });
  const naive = naiveListing(naiveClient(t));
  naive.catch(() => {});
  t.match(await observe('interfaces'), failure('timeout', true), 'AWS was reached: its head came');
  t.equal(await stateAfter(1, naive), 'pending', 'naive');
});

t.test('a dead link is told as such, whatever way it is dead', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  for (const [what, cut, reason] of [
    ['reset', () => sandbox.faults.add({ service: '*', kind: 'reset' }), 'network'],
    ['refused', () => sandbox.link.set('refused'), 'network'],
    ['black hole', () => sandbox.link.set('down'), 'timeout'],
  ] as const) {
    cut();
    for (const name of ['interfaces', 'cluster'] as const) {
      t.match(await observe(name), failure(reason, false), `${what}: ${name}`);
    }
    sandbox.faults.clear();
    sandbox.link.set('up');
    t.same(await observe('interfaces'), WELL, `${what}: well again`);
  }
});

t.test('after an outage a naive client has no retries left, not even to correct the clock', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  const naive = naiveClient(t);
  sandbox.faults.add({ service: 'ec2', kind: 'reset' });
  const looks = Array.from({ length: 60 });
  await Promise.allSettled([
    ...looks.map(() => naiveListing(naive)),
    ...looks.map(() => observe('interfaces')),
  ]);
  sandbox.faults.clear();
  sandbox.state.clockOffsetMs = 3_600_000;
  await t.rejects(naiveListing(naive), { name: 'RequestExpired' }, 'naive');
  t.same(await observe('interfaces'), WELL);
});

t.test('a skewed clock is corrected by the second attempt, so one attempt is not enough', async (t) => {
  const sandbox = await startRegion(t);
  for (const hours of [-2, 1]) {
    sandbox.state.clockOffsetMs = hours * 3_600_000;
    const observe = sourcesAt(sandbox, clientsFor(t), { route53: { zoneId: 'Z0PUBLICSITEEXAMPLE' } });
    const once = naiveClient(t, { maxAttempts: 1 });
    await t.rejects(naiveListing(once), { name: /RequestExpired|AuthFailure/ }, `naive, ${hours} h`);
    t.same(await observe('interfaces'), WELL, `EC2, ${hours} h`);
    t.match(await observe('cluster'), { kind: 'details' }, `EKS, ${hours} h`);
    t.match(
      await observe('route53', { endpoint: 'api.site.example' }),
      { addresses: DEMO },
      `Route 53, ${hours} h`,
    );
  }
});

t.test('a clock that stays wrong is named, with how much', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  sandbox.state.clockOffsetMs = 3_600_000;
  sandbox.faults.add({ service: 'ec2', kind: 'error', code: 'RequestExpired', message: 'no', status: 400 });
  t.match(await observe('interfaces'), failure('clock-skew', true, /clock of this host is 3\d{3} s behind/));
  sandbox.state.clockOffsetMs = 0;
  t.match(
    await observe('interfaces'),
    failure('expired-credentials', true),
    'the same word with the right clock',
  );
});

const refusals: readonly (readonly [Fault['kind'], FailureReason])[] = [
  ['deny', 'denied'],
  ['throttle', 'throttled'],
  ['expire', 'expired-credentials'],
];

t.test('refusals of every service prove the link', async (t) => {
  const sandbox = await startRegion(t);
  for (const [kind, reason] of refusals) {
    const observe = sourcesAt(sandbox, clientsFor(t), { route53: { zoneId: 'Z0PUBLICSITEEXAMPLE' } });
    sandbox.faults.add({ service: '*', kind } as Fault);
    for (const name of ['interfaces', 'cluster', 'route53'] as const) {
      t.match(
        await observe(name, { endpoint: 'api.site.example' }),
        failure(reason, true),
        `${kind}: ${name}`,
      );
    }
    sandbox.faults.clear();
    t.same(await observe('interfaces'), WELL, `${kind}: well again`);
  }
});

t.test('a captive portal looks like an empty success to a naive client', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
  sandbox.faults.add({ service: '*', kind: 'html' });
  const naive = await naiveListing(naiveClient(t));
  t.match(naive, { $metadata: { httpStatusCode: 200 } });
  t.same(naive.NetworkInterfaces ?? [], [], 'naive: a success without interfaces');
  for (const name of ['interfaces', 'cluster', 'route53'] as const) {
    t.match(await observe(name, { endpoint: 'api.site.example' }), failure('proxy', false), name);
  }
  t.match(await observe('interfaces', { generation: 'ebs' }), failure('proxy', false), 'older generation');
});

t.test('a success of AWS that lists nothing is doubted', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
  sandbox.faults.add({ service: '*', kind: 'empty' });
  t.same((await naiveListing(naiveClient(t))).NetworkInterfaces, [], 'naive');
  for (const [name, reason] of [
    ['interfaces', 'empty'],
    ['cluster', 'malformed'],
    ['route53', 'not-found'],
  ] as const) {
    t.match(await observe(name, { endpoint: 'api.site.example' }), failure(reason, true), name);
  }
  t.match(await observe('interfaces', { generation: 'ebs' }), failure('empty', true), 'older generation');
  sandbox.faults.clear();
  t.match(
    await observe('interfaces', { cluster: 'unknown' }),
    failure('empty', true),
    'and so is a true empty list',
  );
});

t.test('an empty first page that has a successor is not the end', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 0, times: 1 });
  t.match(await naiveListing(naiveClient(t)), { NetworkInterfaces: [], NextToken: String }, 'naive');
  sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 0, times: 1 });
  t.same(await observe('interfaces'), WELL);
});

t.test('a part of the pages is a failure, never a smaller set', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 1, times: 1 });
  t.equal((await naiveListing(naiveClient(t))).NetworkInterfaces?.length, 1, 'naive: one of three');
  for (const [kind, reason, reachedFarSide] of [
    ['throttle', 'throttled', true],
    ['deny', 'denied', true],
    ['reset', 'network', false],
    ['hang', 'timeout', false],
    ['html', 'proxy', false],
    ['half', 'malformed', true],
  ] as const) {
    sandbox.faults.clear();
    sandbox.faults.add({ service: 'ec2', kind: 'pages', size: 2, times: 1 });
    sandbox.faults.add({ service: 'ec2', kind });
    t.match(await observe('interfaces'), failure(reason, reachedFarSide), `second page: ${kind}`);
  }
});

t.test('half an XML is thrown at a naive client without a word that says who or why', async (t) => {
  const sandbox = await startRegion(t);
  const observe = sourcesAt(sandbox, clientsFor(t), { route53: {} });
  sandbox.faults.add({ service: '*', kind: 'half' });
  await t.rejects(naiveListing(naiveClient(t)), { name: 'Error', $fault: undefined }, 'naive');
  for (const name of ['interfaces', 'cluster', 'route53'] as const) {
    t.match(await observe(name, { endpoint: 'api.site.example' }), failure('malformed', true), name);
  }
});

t.test('an abort in the middle of anything settles every source at once', async (t) => {
  const sandbox = await startRegion(t);
  const clients = clientsFor(t, { ...HASTY, requestTimeoutMs: 60_000, idleTimeoutMs: 60_000 });
  const observe = sourcesAt(sandbox, clients, { route53: {} });
  const known = { endpoint: 'api.site.example' };
  const all = ['interfaces', 'cluster', 'route53', 'dns'] as const;
  await Promise.all(all.map((name) => observe(name, known))); // the clients are made
  sandbox.faults.add({ service: '*', kind: 'hang' });
  sandbox.faults.add({ service: 'dns', kind: 'drop' });
  const started = performance.now();
  const observed = await Promise.all(all.map((name) => observe(name, known, AbortSignal.timeout(100))));
  for (const [index, name] of all.entries()) t.match(observed[index], failure('timeout', false), name);
  t.ok(performance.now() - started < 50_000, 'long before the minute that a request has');
});

t.test('dispose leaves no socket open, and no source asks after it', async (t) => {
  const sandbox = await startRegion(t);
  const clients = clientsFor(t);
  const observe = sourcesAt(sandbox, clients, { route53: {} });
  await Promise.all([
    observe('interfaces'),
    observe('cluster'),
    observe('route53', { endpoint: 'api.site.example' }),
  ]);
  const open = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  t.ok(open() > 0, 'connections are kept alive between looks');
  clients.dispose();
  for (let turn = 0; turn < 100 && open() > 0; turn++) await after(10);
  t.equal(open(), 0);
  t.match(await observe('interfaces'), failure('internal', false));
});
