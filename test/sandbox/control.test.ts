import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import t from 'tap';
import { controlPathFor } from '../../sandbox/control.ts';
import { callSandbox } from '../../sandbox/control-client.ts';
import { DEMO_ACCESS_KEY } from '../../sandbox/demo-population.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { named } from './named.ts';
import { ec2Client } from './sdk-clients.ts';
import { shortDirectory } from './short-directory.ts';

t.test('the whole state in one answer, without secrets', async (t) => {
  const controlPath = join(shortDirectory(t), 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  const state = await callSandbox(controlPath, 'GET', '/state');
  t.match(state, {
    link: 'up',
    regionUrl: sandbox.regionUrl,
    dnsAddress: sandbox.dnsAddress,
    faults: [],
    clusters: [
      {
        name: 'demo',
        region: 'us-west-2',
        interfaces: [{ address: '10.0.1.10', status: 'in-use' }, {}, {}],
        dns: ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
      },
      { name: 'demo-2' },
      { name: 'legacy', generation: 'ebs', interfaces: [{ address: '10.0.1.30' }, {}, {}] },
    ],
    accessKeys: [{ accessKeyId: DEMO_ACCESS_KEY.accessKeyId, isExpired: false }],
  });
  t.notMatch(JSON.stringify(state), DEMO_ACCESS_KEY.secretAccessKey);
  t.equal(statSync(controlPath).mode & 0o777, 0o600, 'only its owner may use the socket');
});

t.test('each command has its effect', async (t) => {
  const controlPath = join(shortDirectory(t), 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  const post = (path: string, body: unknown) => callSandbox(controlPath, 'POST', path, body);

  for (const state of ['down', 'refused', 'up'] as const) {
    t.same(await post('/link', { state }), { link: state });
    t.equal(sandbox.link.state, state);
  }

  const fault = { service: 'ec2', kind: 'drip', intervalMs: 5, times: 1 };
  t.same(await post('/fault', fault), { faults: [fault] });
  t.same(await post('/fault', { service: 'dns', kind: 'drop', name: 'a.example' }), {
    faults: [fault, { service: 'dns', kind: 'drop', name: 'a.example' }],
  });
  t.equal(sandbox.faults.strikesRequest('ec2', 'DescribeInstances')?.kind, 'drip');
  t.same(await post('/fault/clear', {}), { faults: [] });
  t.equal(sandbox.faults.strikesQuery('a.example'), undefined);

  const again = { endpoint: 'again.example', addresses: ['10.0.1.61', '10.0.2.61'], vpcId: 'vpc-2' };
  t.match(await post('/recreate', { cluster: 'demo-2', ...again }), {
    endpoint: 'again.example',
    interfaces: [{ address: '10.0.1.61' }, { address: '10.0.2.61' }],
    dns: again.addresses,
  });
  const before = ['10.0.1.90', '10.0.2.90', '10.0.3.90'];
  t.match(await post('/recreate', { cluster: 'demo-2', endpoint: 'c.example', addresses: before }), {
    dns: before,
  });

  t.match(await post('/eni', { cluster: 'demo', from: '10.0.1.10', to: '10.0.1.77' }), {
    interfaces: [{ address: '10.0.1.77' }, {}, {}],
    dns: ['10.0.1.77', '10.0.2.10', '10.0.3.10'],
  });
  for (const [moment, step] of ['detaching', 'unlisted', 'available', 'attaching', 'in-use'].entries()) {
    t.match(await post('/patch', { cluster: 'legacy', region: 'us-west-2' }), {
      moment: moment + 1,
      of: 15,
      address: '10.0.1.30',
      step,
      interfaces: [{ status: step === 'unlisted' ? 'available' : step }, {}, {}],
    });
  }
  t.match(await post('/patch', { cluster: 'legacy' }), { moment: 6, step: 'detaching' });

  t.match(await post('/eni', { cluster: 'legacy', from: '10.0.1.30', to: '10.0.1.31', dns: false }), {
    interfaces: [{ address: '10.0.1.31' }, {}, {}],
    dns: ['10.0.1.30', '10.0.2.30', '10.0.3.30'],
  });
  t.match(await post('/eni', { cluster: 'demo-2', from: '10.0.1.90', to: '10.0.1.91', interfaces: false }), {
    interfaces: [{ address: '10.0.1.90' }, {}, {}],
    dns: ['10.0.1.91', '10.0.2.90', '10.0.3.90'],
  });

  await post('/records', { name: 'new.example.com', type: 'a', values: ['192.0.2.1'], ttlSeconds: 5 });
  t.match(
    sandbox.state.records.filter(({ name }) => name === 'new.example.com'),
    [{ type: 'A', ttlSeconds: 5, value: '192.0.2.1' }],
  );
  await post('/records', { name: 'NEW.example.com.', type: 'A', values: [] });
  t.same(
    sandbox.state.records.filter(({ name }) => name === 'new.example.com'),
    [],
  );

  t.same(await post('/clock', { offsetMs: 1000 }), { clockOffsetMs: 1000 });
  t.equal(sandbox.state.clockOffsetMs, 1000);
});

t.test('credentials can be added, expired, renewed and revoked', async (t) => {
  const controlPath = join(shortDirectory(t), 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  const set = (body: unknown) => callSandbox(controlPath, 'POST', '/credentials', body);
  const credentials = { accessKeyId: 'ASIASITE', secretAccessKey: 'secret', sessionToken: 'token' };
  using client = ec2Client(sandbox, { credentials: { ...credentials } }); // the SDK writes into its argument
  const ask = () => client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }));
  await t.rejects(ask(), named('AuthFailure'), 'unknown');
  t.match(await set({ ...credentials, expiresInMs: 60_000 }), {
    accessKeys: [{}, { accessKeyId: 'ASIASITE' }],
  });
  await t.resolves(ask(), 'known');
  t.match(await set({ accessKeyId: 'ASIASITE', expiresInMs: 0 }), { accessKeys: [{}, { isExpired: true }] });
  await t.rejects(ask(), named('RequestExpired'), 'expired, with secret and token as before');
  await set({ accessKeyId: 'ASIASITE', expiresInMs: 60_000 });
  await t.resolves(ask(), 'renewed');
  await set({ accessKeyId: 'ASIASITE', revoked: true });
  await t.rejects(ask(), named('AuthFailure'), 'revoked');
});

t.test('a command that makes no sense is refused with the reason, and changes nothing', async (t) => {
  const controlPath = join(shortDirectory(t), 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  const before = JSON.stringify(await callSandbox(controlPath, 'GET', '/state'));
  const cases: [path: string, body: unknown, reason: RegExp][] = [
    ['/link', { state: 'sideways' }, /"state": .*"up"/],
    ['/link', {}, /"state"/],
    ['/fault', { service: 'ec2', kind: 'explode' }, /"kind": Invalid/],
    ['/fault', { service: 'dns', kind: 'deny' }, /"service": Invalid/],
    ['/fault', { service: 'ec2', kind: 'drop' }, /"service": Invalid.*"dns"/],
    ['/fault', { service: 'ec2', kind: 'drip', intervalMs: 0 }, /"intervalMs": .*>=1/],
    [
      '/eni',
      { cluster: 'demon', from: '10.0.1.10', to: '10.0.1.11' },
      /"demon": the sandbox has "demo", "demo-2"/,
    ],
    [
      '/eni',
      { cluster: 'demo', from: '10.0.1.11', to: '10.0.1.12' },
      /its interfaces have 10\.0\.1\.10, 10\.0\.2\.10/,
    ],
    ['/eni', { cluster: 'demo', from: '10.0.1.10', to: '10.0.2.10' }, /has that address/],
    ['/eni', { cluster: 'demo', from: '10.0.1.10', to: 'elsewhere' }, /"to"/],
    ['/records', { name: 'x.example', type: 'A', values: ['10.0.0.300'] }, /not an IPv4 address/],
    ['/records', { name: 'x.example', type: 'NONSENSE', values: ['1'] }, /unknown type/],
    ['/records', { name: 'x.example', type: 'TYPE65281', values: ['\\# 2 00'] }, /length hex/],
    ['/records', { name: 'x..example', type: 'A', values: ['10.0.0.3'] }, /empty label/],
    ['/credentials', {}, /accessKeyId/],
    ['/nowhere', {}, /no such command "POST \/nowhere": GET \/state, GET \/server, POST \/link/],
  ];
  for (const [path, body, message] of cases) {
    await t.rejects(
      callSandbox(controlPath, 'POST', path, body),
      { code: 'command-refused', message },
      `${path} ${JSON.stringify(body)}`,
    );
  }
  t.equal(JSON.stringify(await callSandbox(controlPath, 'GET', '/state')), before);
  t.equal(sandbox.link.state, 'up');
});

t.test('control works while the link is down', async (t) => {
  const controlPath = join(shortDirectory(t), 'control.sock');
  await using sandbox = await startSandbox({ controlPath });
  await callSandbox(controlPath, 'POST', '/link', { state: 'down' });
  t.match(await callSandbox(controlPath, 'GET', '/state'), { link: 'down' });
  await callSandbox(controlPath, 'POST', '/link', { state: 'up' });
  t.equal(sandbox.link.state, 'up');
});

t.test('the socket of a crashed sandbox is replaced, anything else is left alone', async (t) => {
  const directory = shortDirectory(t);
  const stale = join(directory, 'stale.sock');
  await leaveSocket(stale);
  await t.rejects(callSandbox(stale, 'GET', '/state'), { code: 'not-running' });
  {
    await using sandbox = await startSandbox({ controlPath: stale });
    t.match(await callSandbox(stale, 'GET', '/state'), { regionUrl: sandbox.regionUrl }, 'stale: replaced');
    await t.rejects(
      startSandbox({ controlPath: stale }),
      { code: 'control-in-use', message: /another sandbox is running there/ },
      'live: refused',
    );
    t.match(await callSandbox(stale, 'GET', '/state'), { link: 'up' }, 'and the live one goes on');
  }
  t.throws(() => statSync(stale), { code: 'ENOENT' }, 'closed: removed');
  const foreign = join(directory, 'foreign.sock');
  const other = createServer((socket) => socket.on('error', () => {}).end('I am no sandbox\n')).listen(
    foreign,
  );
  await once(other, 'listening');
  await t.rejects(
    startSandbox({ controlPath: foreign }),
    { code: 'control-in-use' },
    "another program's socket",
  );
  t.ok(statSync(foreign).isSocket(), 'stays');
  other.close();
  const file = join(directory, 'notes.txt');
  writeFileSync(file, 'mine');
  await t.rejects(startSandbox({ controlPath: file }), { code: 'control-path-taken' });
  t.equal(statSync(file).size, 4, 'a file that is no socket stays');
});

/** A socket file without a process, as a crash leaves it. */
async function leaveSocket(path: string): Promise<void> {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Promise<void>((resolve) => execFile(process.execPath, ['-e', script], () => resolve()));
}

t.test('a missing sandbox is reported as such', async (t) => {
  await t.rejects(callSandbox(join(shortDirectory(t), 'none.sock'), 'GET', '/state'), {
    code: 'not-running',
    message: /no sandbox is running there/,
  });
  const endless = join(shortDirectory(t), 'x'.repeat(120));
  await t.rejects(startSandbox({ controlPath: endless }), { code: 'control-path-too-long' });
  t.match(controlPathFor(), /outpost-dns-sandbox-5300\.sock$/);
  t.match(controlPathFor(5301), /outpost-dns-sandbox-5301\.sock$/);
});
