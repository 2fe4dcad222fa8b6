import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import t from 'tap';
import { DEMO_ACCESS_KEY } from '../../sandbox/demo-population.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { signedHeadersFor } from '../../sandbox/signature.ts';
import { named } from './named.ts';
import { ec2Client } from './sdk-clients.ts';

async function callSts(
  sandbox: Sandbox,
  key: { readonly accessKeyId: string; readonly secretAccessKey: string },
  action = 'GetCallerIdentity',
): Promise<{ status: number; text: string }> {
  const host = new URL(sandbox.regionUrl).host;
  const body = Buffer.from(`Action=${action}&Version=2011-06-15`);
  const headers = signedHeadersFor(
    { method: 'POST', target: '/', headers: { host }, body },
    { ...key, region: 'us-west-2', service: 'sts', atMs: Date.now() },
  );
  const response = await fetch(sandbox.regionUrl, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

t.test('GetCallerIdentity names the holder of the key', async (t) => {
  await using sandbox = await startSandbox();
  const { status, text } = await callSts(sandbox, DEMO_ACCESS_KEY);
  t.equal(status, 200);
  t.match(text, '<GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/outpost-dns</Arn>');
  t.match(text, '<Account>111122223333</Account>');
});

t.test('STS refuses in its own form', async (t) => {
  await using sandbox = await startSandbox();
  const unknown = await callSts(sandbox, { ...DEMO_ACCESS_KEY, accessKeyId: 'AKIAUNKNOWN' });
  t.equal(unknown.status, 403);
  t.match(unknown.text, '<Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>');
  const forged = await callSts(sandbox, { ...DEMO_ACCESS_KEY, secretAccessKey: 'guessed' });
  t.match(forged.text, '<Code>SignatureDoesNotMatch</Code>');
  const odd = await callSts(sandbox, DEMO_ACCESS_KEY, 'GetFederationToken');
  t.match(odd, { status: 400, text: '<Code>InvalidAction</Code>' });
  const unsigned = await fetch(sandbox.regionUrl, {
    method: 'POST',
    body: 'Action=GetCallerIdentity&Version=2011-06-15',
  });
  t.equal(unsigned.status, 403);
  t.match(await unsigned.text(), '<Code>MissingAuthenticationToken</Code>');
});

t.test('AssumeRole gives credentials that work until they expire by the clock of the Region', async (t) => {
  await using sandbox = await startSandbox();
  const { accessKeyId, secretAccessKey } = DEMO_ACCESS_KEY;
  const provide = fromTemporaryCredentials({
    masterCredentials: { accessKeyId, secretAccessKey },
    params: { RoleArn: 'arn:aws:iam::111122223333:role/site', RoleSessionName: 'test', DurationSeconds: 900 },
    clientConfig: { endpoint: sandbox.regionUrl, region: 'us-west-2' },
  });
  const credentials = await provide();
  t.ok(credentials.sessionToken);
  t.ok(Math.abs((credentials.expiration?.getTime() ?? 0) - Date.now() - 900_000) < 10_000);
  using client = ec2Client(sandbox, {
    credentials: { ...credentials, sessionToken: credentials.sessionToken ?? '' },
  });
  const ask = () => client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }));
  t.equal((await ask()).NetworkInterfaces?.length, 5);

  const key = sandbox.state.accessKeys.find((each) => each.accessKeyId === credentials.accessKeyId);
  t.ok(key);
  if (key !== undefined) sandbox.state.putAccessKey({ ...key, expiresAtMs: Date.now() - 1 });
  await t.rejects(ask(), named('RequestExpired'));

  using tokenless = ec2Client(sandbox, {
    credentials: { accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey },
  });
  await t.rejects(
    tokenless.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 })),
    named('AuthFailure'),
    'a temporary key is nothing without its token',
  );
});
