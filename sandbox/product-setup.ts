/** What a server process has to be told so that it takes the sandbox for AWS and for its upstream. */
import { stringify } from 'yaml';
import type { AccessKey, Cluster } from './facts.ts';

export interface ConfigOptions {
  readonly dnsPort: number;
  readonly httpPort: number;
  readonly stateDirectory: string;
  /** Top-level keys to add or to replace. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/**
 * Environment variables for the real SDK in another process. They also shut out what the user's own environment
 * and files could redirect: nothing meant for the sandbox may reach AWS, nor real credentials the sandbox.
 */
export function productEnvironment(
  regionUrl: string,
  key: AccessKey,
  region: string,
): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: regionUrl,
    AWS_ENDPOINT_URL_EC2: regionUrl,
    AWS_ENDPOINT_URL_EKS: regionUrl,
    AWS_ENDPOINT_URL_ROUTE_53: regionUrl,
    AWS_ENDPOINT_URL_STS: regionUrl,
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'false',
    AWS_USE_FIPS_ENDPOINT: 'false',
    AWS_USE_DUALSTACK_ENDPOINT: 'false',
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    AWS_SESSION_TOKEN: key.sessionToken ?? '',
    AWS_REGION: region,
    AWS_PROFILE: '',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CA_BUNDLE: '',
    HTTPS_PROXY: '',
    https_proxy: '',
    HTTP_PROXY: '',
    http_proxy: '',
  };
}

/**
 * A configuration file for the product, on loopback alone and in a hurry, so that a person who watches sees
 * changes within seconds.
 */
export function productConfig(
  cluster: Pick<Cluster, 'name' | 'region'>,
  dnsAddress: string,
  options: ConfigOptions,
): string {
  return stringify({
    clusters: [
      // nothing listens at the simulated addresses, and they may be somebody's real ones
      { name: cluster.name, region: cluster.region, probe: { enabled: false } },
    ],
    upstreams: [dnsAddress],
    listen: { dns: [`127.0.0.1:${options.dnsPort}`] },
    admin: { listen: `127.0.0.1:${options.httpPort}` },
    state: { directory: options.stateDirectory },
    refresh: {
      dns: '5s',
      interfaces: '5s',
      route53: '5s',
      cluster: '30s',
      retryMin: '1s',
      retryMax: '3s',
      deadline: '5s',
    },
    ...options.overrides,
  });
}
