/** The traps in how the AWS SDK gets and keeps credentials, each shown on a naive client and closed by the sources. */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DescribeNetworkInterfacesCommand, EC2Client } from '@aws-sdk/client-ec2';
import t, { type Test } from 'tap';
import { createOutboundHandler } from '../../src/far-side/aws/clients.ts';
import { CredentialsShelf } from '../../src/far-side/aws/credentials.ts';
import { explainProviderFailure } from '../../src/far-side/aws/failure.ts';
import { DIRECT } from '../../src/far-side/outbound.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { CollectingLog } from '../helpers/collecting-log.ts';
import { PATIENCE_MS, until } from '../helpers/patience.ts';
import { keyOf, processOutput } from '../sandbox/access-keys.ts';
import { NOW_MS, serviceError } from './polling.ts';
import { clientsFor, credentialFiles, HASTY, sourcesAt, startRegion, stateAfter } from './region.ts';

const WELL = { kind: 'addresses', source: 'interfaces', addresses: ['10.0.1.10', '10.0.2.10', '10.0.3.10'] };

function naiveClient(t: Test): EC2Client {
  const client = new EC2Client({ region: 'us-west-2' });
  t.teardown(() => client.destroy());
  return client;
}

function naiveListing(client: EC2Client, abortSignal?: AbortSignal) {
  const command = new DescribeNetworkInterfacesCommand({ MaxResults: 5 });
  return client.send(command, abortSignal === undefined ? {} : { abortSignal });
}

t.test('a rotated ~/.aws/credentials is never read again by a naive client, nor by a new one', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const [old, fresh] = [keyOf('old'), keyOf('fresh')];
  sandbox.state.putAccessKey(old);
  files.writeKey(old);
  const naive = naiveClient(t);
  const observe = sourcesAt(sandbox, clientsFor(t));
  await naiveListing(naive);
  t.same(await observe('interfaces'), WELL, 'before');
  sandbox.state.putAccessKey(fresh);
  files.writeKey(fresh);
  sandbox.state.putAccessKey({ ...old, expiresAtMs: 0 });
  await t.rejects(naiveListing(naive), { name: 'RequestExpired' }, 'naive');
  await t.rejects(naiveListing(naiveClient(t)), { name: 'RequestExpired' }, 'naive, new client');
  t.same(await observe('interfaces'), WELL, 'in the same poll');
  sandbox.state.revokeAccessKey(fresh.accessKeyId);
  t.match(await observe('interfaces'), { reason: 'refused-credentials', reachedFarSide: true }, 'revoked');
  const last = keyOf('last');
  sandbox.state.putAccessKey(last);
  files.writeKey(last);
  t.same(await observe('interfaces'), WELL, 'in the next poll');
});

t.test('a hanging credential_process holds a naive client past its abort signal, and remains', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const mark = join(files.directory, 'pids');
  files.writeProcess(`echo $$ >> ${mark}\nexec sleep 300\n`);
  const running = () => pidsIn(mark).filter(isAlive);
  t.teardown(() => {
    for (const pid of running()) process.kill(pid, 'SIGKILL');
  });
  const naive = naiveListing(naiveClient(t), AbortSignal.timeout(50));
  naive.catch(() => {});
  t.equal(await stateAfter(300, naive), 'pending', 'naive, aborted long ago');
  await until('its process has begun', () => running().length === 1);
  t.equal(await stateAfter(1, naive), 'pending', 'naive: its process runs on');
  for (const pid of running()) process.kill(pid, 'SIGKILL');

  const observe = sourcesAt(sandbox, clientsFor(t));
  t.match(await observe('interfaces', {}, AbortSignal.timeout(1_000)), {
    kind: 'failed',
    reason: 'no-credentials',
    reachedFarSide: false,
    detail: /provider did not answer within the deadline/,
  });
  t.match(await observe('interfaces'), {
    reason: 'no-credentials',
    reachedFarSide: false,
    detail: /credential_process did not end within 1500 ms/,
  });
  await until('it has ended', () => running().length === 0, 10);
  t.same(running(), [], 'no process is left');
  t.equal(sandbox.region.requests.length, 0, 'and nothing was sent');

  files.writeProcess(`echo '${processOutput(sandbox.state.accessKeys[0]!)}'`);
  t.same(await observe('interfaces'), WELL, 'well again without a restart');
});

function pidsIn(path: string): number[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').trim().split('\n').map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

t.test('children of a hanging credential_process end with it', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const mark = join(files.directory, 'pids');
  files.writeProcess(`sleep 300 & echo $! >> ${mark}\nwait\n`);
  const observe = sourcesAt(sandbox, clientsFor(t, { ...HASTY, credentialProcessTimeoutMs: 1_500 }));
  t.match(await observe('interfaces'), { reason: 'no-credentials' });
  t.ok(pidsIn(mark).length > 0);
  await until('they have ended', () => !pidsIn(mark).some(isAlive), 10);
  t.same(pidsIn(mark).filter(isAlive), []);
});

t.test(
  'the failure of a provider is reported where the chain itself says "from any providers"',
  async (t) => {
    const sandbox = await startRegion(t);
    const files = credentialFiles(t);
    const key = keyOf('good');
    files.writeProcess('exit 3');
    await t.rejects(
      naiveListing(naiveClient(t)),
      { message: /Could not load credentials from any providers/ },
      'naive',
    );
    for (const [what, script, detail] of [
      ['fails', 'echo secret-word >&2; exit 3', /credential_process ended with exit code 3/],
      ['is not there', 'exec /no/such/secret-word', /credential_process ended with exit code 127/],
      ['is ended', 'kill -TERM $$', /credential_process (ended with exit code 143|was ended by SIGTERM)/],
      ['writes no JSON', 'echo secret-word', /credential_process returned invalid JSON/],
      [
        'writes half',
        `echo '{"Version":1,"AccessKeyId":"secret-word"}'`,
        /credential_process returned invalid credentials/,
      ],
      ['writes another version', `echo '{"Version":2}'`, /credential_process did not return Version 1/],
      [
        'writes without end',
        'while :; do echo secret-word-secret-word; done',
        /credential_process wrote more than 65536 octets/,
      ],
      [
        'gives an old session',
        `echo '${processOutput(key, { Expiration: '2020-01-01T00:00:00Z' })}'`,
        /returned expired credentials/,
      ],
    ] as const) {
      files.writeProcess(script);
      const observe = sourcesAt(
        sandbox,
        clientsFor(t, { ...HASTY, credentialProcessTimeoutMs: PATIENCE_MS }),
      );
      const observed = await observe('interfaces');
      t.match(observed, { kind: 'failed', reason: 'no-credentials', reachedFarSide: false, detail }, what);
      t.notMatch(JSON.stringify(observed), /secret-word|secret-of/, `${what}: no secret is shown`);
    }
    t.equal(sandbox.region.requests.length, 0, 'nothing was sent');
  },
);

t.test('a provider that is there and gives nothing is named', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const token = join(files.directory, 'token');
  writeFileSync(token, 'secret-word');
  let reply: { readonly status: number; readonly body: string } | undefined;
  const endpoint = createServer((request, response) => {
    if (reply === undefined) response.destroy();
    else if (request.method === 'PUT' && reply.status !== 405) response.end('token');
    else if (reply.status === 200 && request.url?.endsWith('/security-credentials/')) response.end('role');
    else response.writeHead(reply.status).end(reply.body);
  });
  t.teardown(() => endpoint.close());
  await once(endpoint.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`;
  const metadata = { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
  const pod = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: token,
  };
  const role = { AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/site' };
  const failed = JSON.stringify({ Code: 'AssumeRoleUnauthorizedAccess' });
  for (const [what, environment, answer, detail] of [
    ['metadata that is silent', metadata, undefined, /gives neither a token nor keys: .* a hop limit of 2/],
    ['metadata that refuses', metadata, [405, ''], /instance metadata gives neither a token nor keys/],
    ['metadata in trouble', metadata, [500, ''], /no provider has any .*, instance metadata\)/],
    [
      'a role that cannot be taken',
      metadata,
      [200, failed],
      /the instance metadata has no keys: see the role/,
    ],
    ['no role', metadata, [404, ''], /no provider has any .*, instance metadata\)/],
    [
      'a page in place of metadata',
      metadata,
      [200, '<html>'],
      /instance metadata gives none: its answer is not JSON/,
    ],
    ['the agent of a pod is not there', pod, undefined, /endpoint of the container or pod gives none/],
    ['the agent of a pod refuses', pod, [403, '{}'], /endpoint of the container or pod gives none/],
    [
      'no token of a pod',
      { ...role, AWS_WEB_IDENTITY_TOKEN_FILE: '/no/such/token' },
      undefined,
      /reading the file that a provider needs failed: ENOENT: no such file or directory, open '\/no\/such\/token'/,
    ],
    [
      'no token for the agent of a pod',
      { ...pod, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/no/such/token' },
      undefined,
      /needs failed: ENOENT: no such file or directory, open '\/no\/such\/token'/,
    ],
  ] as const) {
    reply = answer === undefined ? undefined : { status: answer[0], body: answer[1] };
    for (const [name, value] of Object.entries(environment)) process.env[name] = value;
    const observed = await sourcesAt(sandbox, clientsFor(t))('interfaces');
    for (const name of Object.keys(environment)) delete process.env[name];
    process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
    t.match(observed, { kind: 'failed', reason: 'no-credentials', reachedFarSide: false, detail }, what);
    t.notMatch(JSON.stringify(observed), /secret-word/, `${what}: no secret is shown`);
  }
});

t.test('an inspection of credentials that has not begun in time says nothing of them', async (t) => {
  credentialFiles(t);
  const place = { region: 'us-west-2' };
  await t.rejects(clientsFor(t).identity(place, AbortSignal.abort()), { code: 'internal' });
});

t.test('two services that ask at the same time are told the same reason', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  files.writeProcess('sleep 0.3; exit 3');
  const observe = sourcesAt(sandbox, clientsFor(t, { ...HASTY, credentialProcessTimeoutMs: PATIENCE_MS }));
  for (const observed of await Promise.all([observe('interfaces'), observe('cluster')]))
    t.match(observed, { reason: 'no-credentials', detail: /credential_process ended with exit code 3/ });
});

t.test('no credentials at all, and a profile that does not exist', async (t) => {
  const sandbox = await startRegion(t);
  credentialFiles(t);
  const none = sourcesAt(sandbox, clientsFor(t));
  t.match(await none('interfaces'), {
    reason: 'no-credentials',
    reachedFarSide: false,
    detail: /no provider has any/,
  });
  const profiled = sourcesAt(sandbox, clientsFor(t), { profile: 'nowhere' });
  t.match(await profiled('cluster'), { reason: 'no-credentials', detail: /nowhere/ });
  t.equal(sandbox.region.requests.length, 0);
});

t.test('each profile has credentials of its own, and its services share them', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const mark = join(files.directory, 'runs');
  const key = keyOf('site');
  sandbox.state.putAccessKey(key);
  files.writeProcess(`echo run >> ${mark}\necho '${processOutput(key)}'`);
  const script = join(files.directory, 'process.sh');
  files.writeConfig(`[profile site]\ncredential_process = /bin/sh ${script}\n`);
  const clients = clientsFor(t, { ...HASTY, credentialProcessTimeoutMs: PATIENCE_MS });
  const observe = sourcesAt(sandbox, clients, { profile: 'site' });
  t.same(await observe('interfaces'), WELL);
  t.match(await observe('cluster'), { kind: 'details' });
  t.same(await observe('interfaces'), WELL);
  t.equal(readFileSync(mark, 'utf8'), 'run\n', 'the process ran once');
  t.match(
    await sourcesAt(sandbox, clients)('interfaces'),
    { reason: 'no-credentials' },
    'the default profile has none',
  );
});

t.test('credentials survive an outage: a cut must not read as missing credentials', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const mark = join(files.directory, 'runs');
  files.writeProcess(`echo run >> ${mark}\necho '${processOutput(sandbox.state.accessKeys[0]!)}'`);
  const observe = sourcesAt(sandbox, clientsFor(t, { ...HASTY, credentialProcessTimeoutMs: PATIENCE_MS }));
  t.same(await observe('interfaces'), WELL);
  files.writeProcess('exit 1');
  sandbox.link.set('down');
  t.match(await observe('interfaces'), { reason: 'timeout', reachedFarSide: false });
  // in so little time the next client may not be made yet
  t.match(await observe('interfaces', {}, AbortSignal.timeout(50)), {
    reason: /^(timeout|internal)$/,
    reachedFarSide: false,
  });
  t.match(await observe('interfaces'), { reason: 'timeout', reachedFarSide: false });
  sandbox.link.set('up');
  t.same(await observe('interfaces'), WELL);
  t.equal(readFileSync(mark, 'utf8'), 'run\n');
});

t.test('a role whose STS cannot be reached is a cut; one that STS refuses is not', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const key = keyOf('base');
  sandbox.state.putAccessKey(key);
  files.writeKey(key);
  files.writeConfig(
    '[profile role]\nrole_arn = arn:aws:iam::111122223333:role/site\nsource_profile = default\n',
  );
  const observe = sourcesAt(sandbox, clientsFor(t), { profile: 'role' });
  sandbox.faults.add({ service: 'sts', kind: 'expire' });
  t.match(await observe('interfaces'), {
    reason: 'expired-credentials',
    reachedFarSide: true,
    detail: /^getting credentials failed: aws answered 403 "ExpiredToken"/,
  });
  sandbox.faults.clear();
  sandbox.faults.add({ service: 'sts', kind: 'reset' });
  t.match(await observe('interfaces'), { reason: 'network', reachedFarSide: false });
  sandbox.faults.clear();
  sandbox.faults.add({ service: 'sts', kind: 'hang' });
  t.match(
    await observe('interfaces', {}, AbortSignal.timeout(2000)),
    { reachedFarSide: false },
    'hangs, and ends',
  );
});

t.test('a chain that failed, or is forgotten, is not used by the next client', async (t) => {
  const sandbox = await startRegion(t);
  const files = credentialFiles(t);
  const place = { region: 'us-west-2' };
  const shelf = new CredentialsShelf({
    clock: systemClock,
    log: new CollectingLog(),
    handler: () => createOutboundHandler({}, DIRECT, undefined),
    shared: { check: async () => 'unchanged' },
  });
  const first = await shelf.get(place, 'unchanged');
  t.equal(await shelf.get(place, 'unchanged'), first, 'shared until then');
  await t.rejects(first.provide(), { code: 'no-credentials' });
  const second = await shelf.get(place, 'unchanged');
  t.not(second, first, 'after a failure');
  files.writeKey(sandbox.state.accessKeys[0]!);
  t.match(await second.provide(), { accessKeyId: 'AKIAIOSFODNN7EXAMPLE' });
  t.equal(await shelf.get(place, 'unchanged'), second);
  first.forget();
  t.equal(await shelf.get(place, 'unchanged'), second, 'an old one forgets only itself');
  second.forget();
  const third = await shelf.get(place, 'unchanged');
  t.not(third, second, 'after being forgotten');
  await third.provide();
  t.equal(await shelf.get(place, 'unchanged'), third);
  t.not(await shelf.get(place, 'changed'), third, 'after a change of the configuration files');
});

t.test('how failures of providers are reported', async (t) => {
  const named = (name: string, message: string) => Object.assign(new Error(message), { name });
  for (const [what, error, said, expected] of [
    [
      'the most telling line wins',
      named('CredentialsProviderError', 'Could not load credentials from any providers'),
      [
        '-> Profile x could not be found in shared credentials file.',
        '-> credential_process ended with exit code 2',
      ],
      { reason: 'no-credentials', detail: /exit code 2$/ },
    ],
    [
      'SSO',
      named(
        'CredentialsProviderError',
        'The SSO session associated with this profile has expired. To refresh run aws sso login',
      ),
      [],
      { reason: 'no-credentials', detail: /the SSO session associated with this profile has expired$/ },
    ],
    [
      'denied by STS',
      serviceError('AccessDenied', 403, 'User: x is not authorized to perform: sts:AssumeRole'),
      [],
      { reason: 'refused-credentials', reachedFarSide: true, detail: /sts:AssumeRole$/ },
    ],
    [
      'a bug in a provider',
      new TypeError('secret-word'),
      [],
      { reason: 'no-credentials', reachedFarSide: false, detail: /no provider has any/ },
    ],
    ['not an error', 'secret-word', [], { reason: 'no-credentials', reachedFarSide: false }],
  ] as const) {
    const failure = explainProviderFailure(error, said, NOW_MS);
    t.match(failure, expected, what);
    t.notMatch(failure.detail, /secret-word/, what);
  }
});
