/** The rows of `check` that ask beyond this host, with the real clients against a simulated Region: each code is provoked once. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Sandbox } from '../../../sandbox/sandbox.ts';
import { askAws, awsFindings, clusterFindings } from '../../../src/commands/check/aws.ts';
import type { Finding } from '../../../src/commands/check/finding.ts';
import { namedProxies } from '../../../src/commands/check/host.ts';
import { kubeconfigFindings } from '../../../src/commands/check/kubeconfig.ts';
import { openSite, type Site } from '../../../src/commands/check/site.ts';
import { askUpstreams, publicFindings, upstreamFindings } from '../../../src/commands/check/upstreams.ts';
import { findAll } from '../../../src/commands/check.ts';
import { SCHEMES, type TransportName } from '../../../src/config/kinds/upstream.ts';
import { load } from '../../config/loading.ts';
import { API_NAME, ApiServers, fileOf } from '../../far-side/api-server.ts';
import { credentialFiles, startRegion } from '../../far-side/region.ts';
import { ConnectProxy, tlsBefore } from '../../helpers/connect-proxy.ts';
import { PATIENCE_MS } from '../../helpers/patience.ts';
import { fakeServer, repliedTo } from '../fake-server.ts';
import { fresh, writeState } from '../state-files.ts';
import { AROUND, addressesOf, codes, DAY_MS, DEMO, ENDPOINT, NOW_MS, site } from './site-parts.ts';

async function ofAws(one: Site): Promise<readonly Finding[]> {
  const answers = await askAws(one);
  return [...(await awsFindings(one, answers)), ...clusterFindings(answers, one, DEMO)];
}

const WHO =
  'User: arn:aws:iam::111122223333:user/site is not authorized to perform: eks:DescribeCluster on resource: x';
const STATEMENT = /^add this statement .*"Action":"eks:DescribeCluster"/;

/** As AWS words them: a statement of ours fixes only the denial that no identity-based policy allows the action. */
const DENIALS: readonly (readonly [code: string, message: string, expected: object])[] = [
  [
    'AccessDeniedException',
    `${WHO} because no identity-based policy allows the eks:DescribeCluster action`,
    { fix: STATEMENT },
  ],
  [
    'AccessDeniedException',
    `${WHO} with an explicit deny in a service control policy: arn:aws:organizations::1:policy/o-1/service_control_policy/p-1`,
    {
      text: /denies eks:DescribeCluster for cluster "demo" by a service control policy: arn:aws:organizations::1:\S*\/p-1$/,
      fix: /^have the service control policy changed/,
    },
  ],
  [
    'AccessDeniedException',
    `${WHO} because no VPC endpoint policy allows the eks:DescribeCluster action`,
    { text: /by a VPC endpoint policy$/, fix: /^have the VPC endpoint policy changed/ },
  ],
  [
    'AccessDeniedException',
    `${WHO} because no permissions boundary allows the eks:DescribeCluster action`,
    { text: /by a permissions boundary$/, fix: /^have the permissions boundary changed/ },
  ],
  [
    'AccessDeniedException',
    `${WHO} with an explicit deny in an identity-based policy`,
    { text: /by an identity-based policy$/, fix: /^have the identity-based policy changed/ },
  ],
  [
    'Blocked',
    'Your account is currently blocked',
    { text: /refuses the account: .*Your account is currently blocked/, fix: /account/ },
  ],
];

t.test('AWS: green, then every fault of the account and of the Region', async (t) => {
  const sandbox = await startRegion(t);
  const one = await site(t);
  t.strictSame(await ofAws(one), []);

  sandbox.faults.add({ service: 'eks', kind: 'deny' });
  sandbox.faults.add({ service: 'ec2', kind: 'deny' });
  t.match(await ofAws(one), [
    {
      code: 'permission-denied',
      severity: 'problem',
      text: 'AWS denies eks:DescribeCluster for cluster "demo"',
      fix: '{"Sid":"LearnTheEndpoint","Effect":"Allow","Action":"eks:DescribeCluster","Resource":"arn:aws:eks:us-west-2:111122223333:cluster/demo"}',
    },
    { code: 'permission-denied', fix: '"Action":"ec2:DescribeNetworkInterfaces","Resource":"*"' },
  ]);
  sandbox.faults.clear();

  for (const [code, message, expected] of DENIALS) {
    sandbox.faults.add({ service: 'eks', kind: 'error', status: 403, code, message });
    t.match((await ofAws(one))[0], { code: 'permission-denied', severity: 'problem', ...expected }, message);
    sandbox.faults.clear();
  }

  for (const [kind, expected] of [
    ['expire', { code: 'credentials-expired', severity: 'problem' }],
    ['throttle', { code: 'source-failing', severity: 'warning' }],
    ['html', { code: 'proxy-refused', severity: 'problem' }],
  ] as const) {
    sandbox.faults.add({ service: '*', kind });
    t.match((await ofAws(one))[0], expected, kind);
    sandbox.faults.clear();
  }

  const starved = { kind: 'none', reason: 'internal', detail: 'the thread does not answer' } as const;
  const answers = { inspections: [{ credentials: starved }], clusters: [], isCut: false };
  t.match(await awsFindings(one, answers), [{ code: 'source-failing', text: /could not be inspected/ }]);

  sandbox.state.clockOffsetMs = -90_000;
  t.match(await ofAws(one), [
    {
      code: 'clock-wrong',
      severity: 'problem',
      text: /^the clock of this host is 9\d s ahead of the clock of AWS$/,
    },
  ]);
  sandbox.state.clockOffsetMs = 0;
});

t.test(
  'what the sources say: doubtful, customer-owned, disagreeing, another endpoint, no such cluster',
  async (t) => {
    const sandbox = await startRegion(t);
    const { state } = sandbox;
    const one = await site(t, { cluster: ', endpoint: outdated.example' });
    t.match(await ofAws(one), [{ code: 'endpoint-not-described', severity: 'warning' }]);

    const answers = await askAws(await site(t));
    t.match(clusterFindings(answers, one, [...DEMO, '10.0.9.9']).at(-1), {
      code: 'sources-disagree',
      text: /the name has 10\.0\.9\.9, and EC2 lists 10\.0\.1\.10/,
    });
    const before = state.interfaces;
    state.interfaces = before.map((face) => ({ ...face, customerOwnedAddress: '198.51.100.7' }));
    t.match(codes(await ofAws(await site(t))), ['customer-owned-addresses']);
    t.match((await ofAws(await site(t)))[0], { code: 'customer-owned-addresses', text: /198\.51\.100\.7/ });
    state.interfaces = before.map((face) => ({
      ...face,
      description: face.description.replace('Amazon EKS demo', 'Amazon EKS demo (new)'),
    }));
    t.match(await ofAws(await site(t)), [{ code: 'interfaces-doubtful', severity: 'warning' }]);
    state.interfaces = before;
    state.clusters = [];
    t.match((await ofAws(await site(t)))[0], { code: 'cluster-not-found', severity: 'problem' });
  },
);

t.test('credentials: refused, missing, ending, of each kind', async (t) => {
  const sandbox = await startRegion(t);
  const key = sandbox.state.accessKeys[0]!;
  sandbox.state.revokeAccessKey(key.accessKeyId);
  t.match((await ofAws(await site(t)))[0], { code: 'credentials-refused', severity: 'problem' });
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'])
    delete process.env[name];
  t.match(await ofAws(await site(t)), [{ code: 'credentials-missing', severity: 'problem' }]);

  const file = fileOf('client.crt');
  const command = `/usr/bin/aws_signing_helper credential-process --certificate ${file} --private-key k`;
  const ends = Date.UTC(2120, 0, 1);
  const with30Days = { kind: 'roles-anywhere', certificate: { file, endsAtMs: ends } } as const;
  t.match(command, file);
  const inspected = (credentials: object) =>
    ({ inspections: [{ credentials }], clusters: [], isCut: false }) as never;
  const at = async (credentials: object, nowMs: number) =>
    awsFindings({ ...(await site(t)), nowMs }, inspected(credentials));
  t.strictSame(await at(with30Days, ends - 31 * DAY_MS), []);
  t.match(await at(with30Days, ends - 29 * DAY_MS), [
    { code: 'credentials-ending', severity: 'warning', text: /Roles Anywhere.* ends in 29 d, on 2120-01-01/ },
  ]);
  t.match(await at(with30Days, ends + 1), [{ code: 'credentials-expired', severity: 'problem' }]);
  t.match(await at({ kind: 'roles-anywhere', certificate: { file, fault: 'EACCES' } }, 0), [
    { code: 'credentials-missing', text: /cannot be read: EACCES/ },
  ]);
  t.match(await at({ kind: 'session' }, 0), [{ code: 'credentials-ending', text: /in the environment/ }]);
  t.strictSame(await at({ kind: 'role', endsAtMs: 1 }, 0), [], 'a provider renews it');
});

t.test('the kind of credentials, as the real providers give them', async (t) => {
  const sandbox = await startRegion(t);
  const key = sandbox.state.accessKeys[0]!;
  const inspect = async () =>
    (await site(t)).farSide.inspectAws({ region: 'us-west-2' }, AbortSignal.timeout(20_000));
  t.match(await inspect(), { credentials: { kind: 'static' } });
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'])
    delete process.env[name];
  const opened = await site(t);
  const files = credentialFiles(t);
  files.writeKey({ ...key, sessionToken: 'a-token' });
  t.match(await inspect(), { credentials: { kind: 'session', file: /credentials/ } });
  files.writeKey(key);
  const directory = t.testdir({});
  const helper = join(directory, 'aws_signing_helper');
  const output = JSON.stringify({
    Version: 1,
    AccessKeyId: key.accessKeyId,
    SecretAccessKey: key.secretAccessKey,
  });
  await writeFile(helper, `#!/bin/sh\necho '${output}'\n`, { mode: 0o755 });
  files.writeConfig(
    `[profile site]\ncredential_process = ${helper} credential-process --certificate ${fileOf('client.crt')} --private-key k\nregion = us-west-2\n`,
  );
  process.env['AWS_PROFILE'] = 'site';
  const { config } = opened;
  const { AWS_CONFIG_FILE: configFile, AWS_SHARED_CREDENTIALS_FILE: credentialsFile } = process.env;
  const outbound = { noProxy: [], configFile, credentialsFile };
  using one = await openSite({ ...config, outbound }, AROUND);
  t.match(
    await one.farSide.inspectAws({ region: 'us-west-2', profile: 'site' }, AbortSignal.timeout(20_000)),
    {
      credentials: {
        kind: 'roles-anywhere',
        certificate: { file: fileOf('client.crt'), endsAtMs: Date.UTC(2120, 0, 1) },
      },
    },
  );
});

t.test('no way to AWS: a proxy that others use, one that refuses, an unknown authority, a cut', async (t) => {
  const sandbox = await startRegion(t);
  sandbox.link.set('refused');
  const one = await site(t);
  const answers = await askAws(one);
  t.equal(answers.isCut, true);
  const file = join(t.testdir(), 'environment');
  await writeFile(file, 'PATH=/bin\nhttps_proxy="http://me:secret@proxy.site.example:3128/"\n');
  t.match(await awsFindings(one, answers, (s) => namedProxies(s, [file])), [
    {
      code: 'proxy-needed',
      severity: 'problem',
      text: /names the proxy http:\/\/proxy\.site\.example:3128$/,
      fix: /^echo HTTPS_PROXY=http:\/\/proxy/,
    },
  ]);
  t.match(await awsFindings(one, answers, async () => []), [
    { code: 'aws-unreachable', severity: 'warning' },
  ]);
  sandbox.link.set('up');

  for (const name of Object.keys(process.env))
    if (name.startsWith('AWS_ENDPOINT_URL')) delete process.env[name];
  const front = await tlsBefore(sandbox.regionUrl);
  t.teardown(() => front[Symbol.asyncDispose]());
  const proxy = await ConnectProxy.start({
    target: { host: '127.0.0.1', port: front.port },
    credentials: 'a:b',
  });
  t.teardown(() => proxy[Symbol.asyncDispose]());
  const behind = async (url: string) => {
    const { config } = await site(t);
    const opened = await openSite({ ...config, outbound: { httpsProxy: url, noProxy: [] } }, AROUND);
    t.teardown(() => opened[Symbol.dispose]());
    return ofAws({ ...opened, deadline: () => AbortSignal.timeout(PATIENCE_MS) });
  };
  t.match((await behind(proxy.url()))[0], { code: 'proxy-refused', text: /407/, fix: /HTTPS_PROXY/ });
  t.match((await behind(proxy.url().replace('//', '//a:b@')))[0], {
    code: 'authority-unknown',
    fix: /AWS_CA_BUNDLE/,
  });
});

/** A NOERROR answer with one address, to a query for an address; without one to any other. */
function answerTo(query: Buffer): Buffer {
  const isStatus = query.subarray(12, 20).includes('_status');
  const reply = Buffer.concat([query, ...(isStatus ? [] : [answerRecord(1, [10, 0, 1, 10])])]);
  reply[2] = 0x81;
  reply[7] = isStatus ? 0 : 1;
  return reply;
}

t.test('upstreams: silent, slow, refusing, filtering, forwarding back, public', async (t) => {
  const sandbox: Sandbox = await startRegion(t);
  const one = await site(t, { upstreams: sandbox.dnsAddress });
  const asked = async (isCut = false) => upstreamFindings(one, await askUpstreams(one), isCut);
  t.strictSame(await asked(), []);
  for (const [fault, expected] of [
    [
      { kind: 'delay', delayMs: 600 },
      { code: 'upstream-slow', severity: 'warning' },
    ],
    [{ kind: 'refused' }, { code: 'upstream-refuses', severity: 'warning', text: /REFUSED/ }],
    [{ kind: 'filter' }, { code: 'upstream-filters-private', severity: 'problem', fix: /rebind-domain-ok/ }],
  ] as const) {
    sandbox.faults.add({ service: 'dns', ...fault });
    t.match(await asked(), [expected]);
    sandbox.faults.clear();
  }
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  const quiet = await site(t, { upstreams: `127.0.0.1:${silent.address().port}` });
  const answers = await askUpstreams(quiet);
  t.match(upstreamFindings(quiet, answers, false), [{ code: 'upstream-silent', severity: 'problem' }]);
  t.match(
    upstreamFindings(quiet, answers, true),
    [{ code: 'upstream-silent', severity: 'warning' }],
    'in a cut',
  );

  // A transport that this command cannot ask over is neither taken for TLS nor called silent: it does not compile.
  // @ts-expect-error no row of `CONNECTIONS` is "quic"
  const quic: TransportName = 'quic';
  t.notOk(SCHEMES.has(quic), 'nor can an operator write it');

  for (const silentOver of ['udp', 'tcp'] as const) {
    const half = await fakeServer(t, (query, transport) =>
      transport === silentOver ? [] : [repliedTo(query, answerTo(query))],
    );
    const halved = await site(t, { upstreams: half });
    const found = upstreamFindings(halved, await askUpstreams(halved), false);
    const text = new RegExp(`does not answer over ${silentOver.toUpperCase()}$`);
    t.match(found.slice(0, 1), [{ code: 'upstream-one-transport', severity: 'warning', text }]);
    t.same(
      codes(found).filter((code) => code === 'upstream-silent'),
      [],
      silentOver,
    );
  }

  const withoutEdns = await fakeServer(t, (query, transport) =>
    transport === 'udp' && query[11] === 1 ? [] : [repliedTo(query, answerTo(query))],
  );
  const firewalled = await site(t, { upstreams: withoutEdns });
  t.match(upstreamFindings(firewalled, await askUpstreams(firewalled), false), [
    { code: 'upstream-drops-edns', severity: 'warning', text: /does not answer questions with EDNS/ },
  ]);

  const times = { udp: 0, tcp: 0 };
  const late = await fakeServer(t, async (query, transport) => {
    times[transport]++;
    if (transport === 'udp' && times.udp <= 2) return []; // the endpoint, and its status
    if (transport === 'tcp') await sleep(2_500);
    return [repliedTo(query, answerTo(query))];
  });
  const findingOut = await site(t, { upstreams: late });
  const lateFound = upstreamFindings(findingOut, await askUpstreams(findingOut), false);
  t.notOk(codes(lateFound).includes('upstream-one-transport'), 'TCP has as long as UDP');
  t.strictSame(times, { udp: 5, tcp: 1 });

  const ours = await fakeServer(t, (query) => {
    const asks = query.subarray(12, 20).includes('_status') ? 16 : 1;
    const rdata = asks === 16 ? [1, 0x61] : [10, 0, 1, 10];
    const reply = Buffer.concat([query.subarray(0, 12), query.subarray(12), answerRecord(asks, rdata)]);
    reply[2] = 0x81;
    reply[7] = 1;
    return [repliedTo(query, reply)];
  });
  const looping = await site(t, { upstreams: ours });
  t.match(upstreamFindings(looping, await askUpstreams(looping), false), [
    { code: 'upstream-forwards-back', severity: 'problem' },
  ]);
  const config = await load(
    'clusters: [{name: a, region: us-west-2}]\nupstreams: [10.0.0.2, 9.9.9.9, "2620:fe::fe"]\n',
  );
  t.match(publicFindings(config), [
    { code: 'upstream-public', text: /9\.9\.9\.9/ },
    { code: 'upstream-public', text: /2620:fe::fe/ },
  ]);
});

t.test('a kubeconfig: one real request, and every way in which it fails in an outage', async (t) => {
  const servers = await ApiServers.start(['127.0.0.1']);
  const directory = await writeState(join(t.testdir(), 'state'), [
    fresh({ endpoint: API_NAME, addresses: addressesOf(['127.0.0.1']) }, NOW_MS),
  ]);
  const config = await load(
    `clusters: [{name: my-cluster, endpoint: ${API_NAME}}]\nupstreams: [127.0.0.1:9]\nstate: {directory: ${directory}}\n`,
  );
  using one = await openSite(config, AROUND);
  const check = async (user: object, cluster: object = {}, around: Partial<Site> = {}) => {
    const file = join(t.testdirName, 'kubeconfig');
    const server = `https://${API_NAME}:${servers.port}`;
    await writeFile(file, servers.kubeconfig(user, { server, ...cluster }));
    return kubeconfigFindings({ ...one, ...around }, file);
  };
  const user = { 'client-certificate': fileOf('client.crt'), 'client-key': fileOf('client.key') };
  t.strictSame(await check(user), []);
  t.equal(servers.asked.at(-1)?.path, '/api');
  t.match(await check(user, {}, { nowMs: Date.UTC(2119, 11, 20) }), [
    { code: 'kubeconfig-certificate-ends', severity: 'warning', text: /ends in 12 d, on 2120-01-01/ },
  ]);
  t.match(await check({ ...user, 'client-certificate': fileOf('client-expired.crt') }), [
    { code: 'kubeconfig-certificate-ends', severity: 'problem' },
    { code: 'kubeconfig-refused', severity: 'problem', fix: /auth whoami/ },
  ]);
  t.match(await check({ token: 'wrong' }), [{ code: 'kubeconfig-refused', text: /answered 401/ }]);
  t.match(await check(user, { server: 'https://10.0.1.10' }), [
    { code: 'kubeconfig-names-address', fix: `set-cluster 'local' --server https://${API_NAME}` },
  ]);
  t.match((await check(user, { server: `https://other.example:${servers.port}` }))[0], {
    code: 'kubeconfig-other-endpoint',
  });
  const exec = { command: 'aws', args: ['eks', 'get-token', '--cluster-id', 'x'] };
  const [endpoint] = one.endpoints;
  const details = {
    endpoint: API_NAME,
    subnetIds: [],
    learnedAtMs: NOW_MS,
    generation: 'instance-store' as const,
  };
  const known = { endpoints: [{ ...endpoint!, record: { ...endpoint!.record!, details } }] };
  t.match(await check({ exec }, {}, known), [
    {
      code: 'kubeconfig-needs-aws',
      severity: 'problem',
      text: /"aws eks get-token --cluster-id x", which asks AWS for a token/,
    },
    { code: 'kubeconfig-cluster-id', severity: 'problem' },
  ]);
  for (const command of ['kubelogin', '/home/dawson/bin/kubelogin'])
    t.match(await check({ exec: { command, args: ['get-token'] } }), [
      { code: 'kubeconfig-needs-aws', text: /which may ask AWS or another service for a token/ },
    ]);
  await servers[Symbol.asyncDispose]();
  t.match(await check(user), [{ code: 'kubeconfig-unanswered', severity: 'problem' }]);
  t.match(await kubeconfigFindings(one, '/none/kubeconfig'), [
    { code: 'kubeconfig-unusable', text: /ENOENT/ },
  ]);
});

/** A record of the question's name. */
function answerRecord(type: number, rdata: readonly number[]): Buffer {
  return Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, rdata.length, ...rdata]);
}

t.test(
  'everything at once against the Region: nothing is found, and nothing is said in a pipe',
  async (t) => {
    const sandbox = await startRegion(t);
    const directory = await writeState(join(t.testdir(), 'state'), [
      fresh({ cluster: 'demo', endpoint: ENDPOINT, addresses: addressesOf(DEMO) }, NOW_MS),
    ]);
    const port = Number(sandbox.dnsAddress.split(':')[1]);
    const config = await load(
      `clusters: [{name: demo, region: us-west-2}]\nupstreams: [${sandbox.dnsAddress}, "localhost4:${port}"]\nstate: {directory: ${directory}}\nlisten: {dns: ["127.0.0.1:5399"]}\n`.replace(
        `"localhost4:${port}"`,
        sandbox.dnsAddress.replace('127.0.0.1', '127.0.0.2'),
      ),
    );
    const findings = await findAll({ ...config, upstreams: config.upstreams.slice(0, 1) }, {}, AROUND);
    t.strictSame(
      codes(findings).filter((code) => code !== 'single-upstream' && code !== 'state-not-durable'),
      [],
    );
  },
);
