import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import { DescribeClusterCommand } from '@aws-sdk/client-eks';
import { ListHostedZonesByNameCommand } from '@aws-sdk/client-route-53';
import t from 'tap';
import { DEMO_ACCESS_KEY } from '../../sandbox/demo-population.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { startSandbox } from '../../sandbox/sandbox.ts';
import { signedHeadersFor } from '../../sandbox/signature.ts';
import { named } from './named.ts';
import type { ClientChoices } from './sdk-clients.ts';
import { ec2Client, eksClient, route53Client } from './sdk-clients.ts';

const SERVICES = ['ec2', 'route53', 'eks'] as const;
type Service = (typeof SERVICES)[number];

/** One call to each service that has a client. */
const CALLS: Record<Service, (sandbox: Sandbox, choices: ClientChoices) => Promise<unknown>> = {
  ec2: async (sandbox: Sandbox, choices: ClientChoices) => {
    using client = ec2Client(sandbox, choices);
    return await client.send(new DescribeNetworkInterfacesCommand({ MaxResults: 5 }));
  },
  // with characters that the canonical query has to encode, and an order that it has to change
  route53: async (sandbox: Sandbox, choices: ClientChoices) => {
    using client = route53Client(sandbox, choices);
    return await client.send(new ListHostedZonesByNameCommand({ MaxItems: 5, DNSName: '*.a b+c~.example' }));
  },
  // with a path that is encoded once on the wire and twice in the signature
  eks: async (sandbox: Sandbox, choices: ClientChoices) => {
    using client = eksClient(sandbox, choices);
    try {
      return await client.send(new DescribeClusterCommand({ name: 'a b/c' }));
    } catch (error) {
      if (error instanceof Error && error.name === 'ResourceNotFoundException') return error.message;
      throw error;
    }
  },
};

const [FIVE_MINUTES, TWENTY_MINUTES] = [300_000, 1_200_000];

t.test('the signature of the SDK is verified, octet for octet', async (t) => {
  await using sandbox = await startSandbox();
  for (const service of SERVICES) await t.resolves(CALLS[service](sandbox, {}), service);
  t.equal(await CALLS.eks(sandbox, {}), 'No cluster found for name: a b/c.');
});

t.test('each service refuses each kind of bad credentials with its own code', async (t) => {
  await using sandbox = await startSandbox();
  const { accessKeyId, secretAccessKey } = DEMO_ACCESS_KEY;
  sandbox.state.putAccessKey({
    ...DEMO_ACCESS_KEY,
    accessKeyId: 'ASIAEXPIRED',
    sessionToken: 'token',
    expiresAtMs: Date.now() - 1,
  });
  const cases: [
    what: string,
    credentials: NonNullable<ClientChoices['credentials']>,
    names: Record<Service, string>,
  ][] = [
    [
      'an unknown key',
      { accessKeyId: 'AKIAUNKNOWN', secretAccessKey },
      { ec2: 'AuthFailure', route53: 'InvalidClientTokenId', eks: 'UnrecognizedClientException' },
    ],
    [
      'a wrong secret',
      { accessKeyId, secretAccessKey: 'wrong' },
      { ec2: 'SignatureDoesNotMatch', route53: 'SignatureDoesNotMatch', eks: 'InvalidSignatureException' },
    ],
    [
      'an expired session',
      { accessKeyId: 'ASIAEXPIRED', secretAccessKey, sessionToken: 'token' },
      { ec2: 'RequestExpired', route53: 'ExpiredToken', eks: 'ExpiredTokenException' },
    ],
  ];
  for (const [what, credentials, names] of cases) {
    for (const service of SERVICES) {
      const refused = CALLS[service](sandbox, { credentials });
      await t.rejects(refused, named(names[service]), `${service}: ${what}`);
    }
  }
});

t.test(
  'a clock more than five minutes off is refused, and the SDK corrects it on its second attempt',
  async (t) => {
    const cases: [service: Service, offsetMs: number, code: string][] = [
      ['ec2', TWENTY_MINUTES, 'RequestExpired'],
      ['ec2', -TWENTY_MINUTES, 'AuthFailure'],
      ['route53', TWENTY_MINUTES, 'SignatureDoesNotMatch'],
      ['route53', -TWENTY_MINUTES, 'SignatureDoesNotMatch'],
      ['eks', TWENTY_MINUTES, 'InvalidSignatureException'],
      ['eks', -TWENTY_MINUTES, 'InvalidSignatureException'],
    ];
    for (const [service, offsetMs, code] of cases) {
      await using sandbox = await startSandbox();
      sandbox.state.clockOffsetMs = offsetMs;
      const call = CALLS[service];
      await t.rejects(call(sandbox, { maxAttempts: 1 }), named(code), `${service}: one attempt`);
      await t.resolves(call(sandbox, { maxAttempts: 2 }), `${service}: two attempts`);
      const outcomes = sandbox.region.requests.map(({ outcome }) => outcome);
      t.same(outcomes.slice(0, 2), [code, code], `${service} at ${offsetMs} ms`);
      t.equal(outcomes.length, 3);
    }
  },
);

t.test('the tolerance is five minutes', async (t) => {
  await using sandbox = await startSandbox();
  sandbox.state.clockOffsetMs = FIVE_MINUTES - 10_000;
  await t.resolves(CALLS.ec2(sandbox, {}));
  sandbox.state.clockOffsetMs = FIVE_MINUTES + 10_000;
  await t.rejects(CALLS.ec2(sandbox, {}), named('RequestExpired'));
});

t.test('a signature covers the whole request', async (t) => {
  await using sandbox = await startSandbox();
  const host = new URL(sandbox.regionUrl).host;
  const form = 'Action=GetCallerIdentity&Version=2011-06-15';
  const scope = { ...DEMO_ACCESS_KEY, region: 'us-west-2', service: 'sts', atMs: Date.now() };
  const sign = (change: object = {}) =>
    signedHeadersFor(
      { method: 'POST', target: '/', headers: { host }, body: Buffer.from(form), ...change },
      { ...scope, ...change },
    );
  const send = async (headers: Record<string, string>, body = form): Promise<string> =>
    (await fetch(sandbox.regionUrl, { method: 'POST', headers, body })).text();
  t.match(await send(sign()), 'GetCallerIdentityResult');
  const mismatch = '<Code>SignatureDoesNotMatch</Code>';
  t.match(await send(sign(), `${form}&x=1`), mismatch, 'another body');
  t.match(await send(sign({ method: 'GET' })), mismatch, 'another method');
  t.match(await send(sign({ target: '/other' })), mismatch, 'another path');
  t.match(await send(sign({ headers: { host: 'sts.amazonaws.com' } })), mismatch, 'another host');
  t.match(await send(sign({ service: 'ec2' })), 'scoped to correct service', 'another service');
  const moved = { ...sign(), 'x-amz-date': '20200101T000000Z' };
  t.match(await send(moved), '<Code>MissingAuthenticationToken</Code>', 'a date outside the scope');
  const dated = sign({ atMs: Date.now() - TWENTY_MINUTES });
  t.match(await send(dated), /Signature expired: \d{8}T\d{6}Z is now earlier than/);
});
