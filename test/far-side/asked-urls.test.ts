/** The sign of life asks the host that the SDK asks: the SDK's own word, whatever configures it. */
import t, { type Test } from 'tap';
import type { ServicePlace } from '../../src/refresh/link-probe.ts';
import { ConnectProxy } from '../helpers/connect-proxy.ts';
import { PATIENCE_MS } from '../helpers/patience.ts';
import { contextOf } from './polling.ts';
import { clientsFor, credentialFiles, pollHere, startRegion } from './region.ts';

const soon = () => AbortSignal.timeout(PATIENCE_MS);
const ec2: ServicePlace = { service: 'ec2', region: 'us-west-2' };
const eks: ServicePlace = { service: 'eks', region: 'us-west-2' };
const route53: ServicePlace = { service: 'route53', region: 'us-west-2' };

interface Row {
  readonly what: string;
  readonly place: ServicePlace;
  readonly url: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly config?: string;
}

const SERVICES = `[default]
services = site
[services site]
ec2 =
  endpoint_url = http://10.0.0.9:8080/ec2
eks =
  endpoint_url = https://vpce-1.eks.us-west-2.vpce.amazonaws.com
[profile other]
endpoint_url = https://other.example
aws_access_key_id = x
aws_secret_access_key = x
`;

const rows: readonly Row[] = [
  { what: 'EC2', place: ec2, url: 'https://ec2.us-west-2.amazonaws.com' },
  { what: 'EKS', place: eks, url: 'https://eks.us-west-2.amazonaws.com' },
  { what: 'Route 53', place: route53, url: 'https://route53.amazonaws.com' },
  ...(
    [
      ['cn-north-1', 'ec2.cn-north-1.amazonaws.com.cn', 'route53.amazonaws.com.cn'],
      ['us-gov-west-1', 'ec2.us-gov-west-1.amazonaws.com', 'route53.us-gov.amazonaws.com'],
      ['eusc-de-east-1', 'ec2.eusc-de-east-1.amazonaws.eu', 'route53.amazonaws.eu'],
      ['us-iso-east-1', 'ec2.us-iso-east-1.c2s.ic.gov', 'route53.c2s.ic.gov'],
    ] as const
  ).flatMap(([region, host, global]): Row[] => [
    { what: region, place: { service: 'ec2', region }, url: `https://${host}` },
    { what: `Route 53 of ${region}`, place: { service: 'route53', region }, url: `https://${global}` },
  ]),
  {
    what: 'FIPS',
    place: ec2,
    url: 'https://ec2-fips.us-west-2.amazonaws.com',
    environment: { AWS_USE_FIPS_ENDPOINT: 'true' },
  },
  {
    what: 'dual-stack, from the file',
    place: ec2,
    url: 'https://ec2.us-west-2.api.aws',
    config: '[default]\nuse_dualstack_endpoint = true\n',
  },
  {
    what: 'a variable for one service',
    place: eks,
    url: 'http://127.0.0.1:4566',
    environment: { AWS_ENDPOINT_URL_EKS: 'http://127.0.0.1:4566/' },
  },
  {
    what: 'a variable for another service',
    place: ec2,
    url: 'https://ec2.us-west-2.amazonaws.com',
    environment: { AWS_ENDPOINT_URL_EKS: 'http://127.0.0.1:4566/' },
  },
  {
    what: 'a variable for all',
    place: route53,
    url: 'http://127.0.0.1:4566',
    environment: { AWS_ENDPOINT_URL: 'http://127.0.0.1:4566/' },
  },
  { what: 'a services section of the file', place: ec2, url: 'http://10.0.0.9:8080/ec2', config: SERVICES },
  {
    what: 'the same for EKS',
    place: eks,
    url: 'https://vpce-1.eks.us-west-2.vpce.amazonaws.com',
    config: SERVICES,
  },
  {
    what: 'the profile in AWS_PROFILE',
    place: eks,
    url: 'https://other.example',
    config: SERVICES,
    environment: { AWS_PROFILE: 'other' },
  },
  {
    what: 'endpoint URLs that are to be ignored',
    place: eks,
    url: 'https://eks.us-west-2.amazonaws.com',
    environment: { AWS_ENDPOINT_URL: 'http://127.0.0.1:4566/', AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' },
  },
];

/** A proxy refuses the call of a source, and tells where it was to go. */
async function hostOfRealCall(t: Test, place: ServicePlace): Promise<string | undefined> {
  await using proxy = await ConnectProxy.start({ target: { host: '127.0.0.1', port: 9 }, manner: 403 });
  const outbound = { httpsProxy: proxy.url(), httpProxy: proxy.url(), noProxy: [] };
  process.env['AWS_ACCESS_KEY_ID'] = process.env['AWS_SECRET_ACCESS_KEY'] = 'x';
  const source = ({ ec2: 'interfaces', eks: 'cluster', route53: 'route53' } as const)[place.service];
  const context = contextOf({ region: place.region });
  t.match(await pollHere(clientsFor(t, { outbound }))(source, {}, context, soon()), { kind: 'failed' });
  const asked = proxy.asked[0] ?? '';
  return asked.includes('://') ? new URL(asked).host : asked.replace(/:443$/, '');
}

for (const { what, place, url, environment = {}, config = '' } of rows) {
  t.test(`${what}: ${url}`, async (t) => {
    const sandbox = await startRegion(t);
    const ofTheSandbox = /^AWS_(ENDPOINT_URL|USE_|IGNORE_)/;
    for (const name of Object.keys(process.env)) if (ofTheSandbox.test(name)) delete process.env[name];
    const files = credentialFiles(t);
    files.writeConfig(config);
    Object.assign(process.env, environment);
    const clients = clientsFor(t);
    t.equal((await clients[place.service].url(place, soon())).replace(/\/$/, ''), url);
    t.equal(sandbox.region.requests.length, 0, 'nothing is sent, and no credentials are needed');
    t.equal(await hostOfRealCall(t, place), new URL(url).host, 'and a source asks this host');
  });
}

t.test('what the SDK would refuse has no URL, and is asked again later', async (t) => {
  await startRegion(t);
  process.env['AWS_USE_FIPS_ENDPOINT'] = 'true'; // beside an endpoint of one's own
  await t.rejects(clientsFor(t).ec2.url(ec2, soon()));
});
