/**
 * The sandbox: a simulated AWS Region and the DNS that plays Route 53's answers and the upstream, for `npm start` and for
 * every test. The product reaches it only over the wire, through the real SDK clients and DNS. So protocols, signatures,
 * error forms and failures are those of AWS, as far as its documentation and the SDK show them. It refuses to know the
 * product, except the environment and the configuration file that it writes for a server.
 *
 * All traffic stays on loopback. DNS: RFC 1034, 1035, 2308, 6891; Signature Version 4.
 */

import { stringify } from 'yaml';
import type { Clock } from '../src/runtime/clock.ts';
import { ApiServers } from './api-servers.ts';
import { Control } from './control.ts';
import { DEMO_ACCESS_KEY, demoPopulation } from './demo-population.ts';
import { DnsServer } from './dns-server.ts';
import type { AccessKey, Cluster, Population } from './facts.ts';
import { Faults, LinkSwitch } from './faults.ts';
import { RegionServer } from './region-server.ts';
import { RegionState } from './region-state.ts';

export interface SandboxOptions {
  /** 0, the default: any free one. */
  readonly regionPort?: number;
  /** For UDP and TCP; 0, the default: any free one. */
  readonly dnsPort?: number;
  /** A second upstream with the same answers, as a site has it. */
  readonly hasSecondUpstream?: boolean;
  /** A loopback address; 127.0.0.1 by default. */
  readonly address?: string;
  /** Where the control socket goes (see `controlPathFor`); absent: none. */
  readonly controlPath?: string;
  /** The facts to start with; absent: the demonstration's. */
  readonly population?: Population;
  readonly clock?: Clock;
}

export interface Sandbox extends AsyncDisposable {
  readonly regionUrl: string;
  /** `host:port` of the simulated upstream. */
  readonly dnsAddress: string;
  /** The same of each simulated upstream. */
  readonly upstreams: readonly string[];
  readonly controlPath: string | undefined;
  readonly state: RegionState;
  readonly faults: Faults;
  readonly link: LinkSwitch;
  readonly region: RegionServer;
  readonly dns: DnsServer;
  readonly apiServers: ApiServers;
  /** The server that the command starts, for clients of the control socket. */
  readonly server: { configFile?: string; environment?: Readonly<Record<string, string>> };
  /** Environment variables for a server process. */
  readonly environment: Readonly<Record<string, string>>;
  /** The text of a configuration file for the server, for the first cluster. */
  configYaml(options: ConfigOptions): string;
  close(): Promise<void>;
}

/** Throws SandboxError when a port or the control socket is taken; then nothing stays open. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  await using parts = new AsyncDisposableStack();
  const { address = '127.0.0.1', population = demoPopulation() } = options;
  const state = new RegionState(population, options.clock);
  const faults = new Faults();
  const link = new LinkSwitch();
  const common = { address, state, faults, link };
  const region = parts.use(await RegionServer.listen({ ...common, port: options.regionPort ?? 0 }));
  const dns = parts.use(await DnsServer.listen({ ...common, port: options.dnsPort ?? 0 }));
  const second = options.hasSecondUpstream ? [parts.use(await DnsServer.listen({ ...common, port: 0 }))] : [];
  const upstreams = [dns, ...second].map((each) => each.address);
  const apiServers = parts.use(await ApiServers.listen(address, state));
  const target = { state, faults, link, region, dns, apiServers, patches: new Map(), server: {} };
  if (options.controlPath !== undefined) parts.use(await Control.listen(options.controlPath, target));
  return composed({ ...target, upstreams }, options.controlPath, parts.move());
}

function composed(
  {
    state,
    faults,
    link,
    region,
    dns,
    apiServers,
    server,
    upstreams,
  }: Pick<Sandbox, 'state' | 'faults' | 'link' | 'region' | 'dns' | 'apiServers' | 'server' | 'upstreams'>,
  controlPath: string | undefined,
  parts: AsyncDisposableStack,
): Sandbox {
  const cluster = state.clusters[0] ?? { name: 'demo', region: 'us-west-2' };
  const close = (): Promise<void> => parts.disposeAsync();
  return {
    state,
    faults,
    link,
    region,
    dns,
    apiServers,
    server,
    regionUrl: region.url,
    dnsAddress: dns.address,
    upstreams,
    controlPath,
    environment: productEnvironment(region.url, state.accessKeys[0] ?? DEMO_ACCESS_KEY, cluster.region),
    configYaml: (options) => {
      const proxy = options.isProving === true ? apiServers.proxy : undefined;
      return productConfig(cluster, upstreams, options, proxy);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

export interface ConfigOptions {
  readonly dnsPort: number;
  readonly httpPort: number;
  readonly stateDirectory: string;
  /** Whether the server proves the addresses at the simulated API servers; by default it checks no address. */
  readonly isProving?: boolean;
  /** Top-level keys to add or to replace. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/**
 * Environment variables for the real SDK in another process. They also override the user's own environment and files:
 * no request for the sandbox may reach AWS, and no real credential the sandbox.
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
 * A configuration file for the product, on loopback alone and with short intervals: a person sees changes within
 * seconds.
 */
export function productConfig(
  cluster: Pick<Cluster, 'name' | 'region'>,
  upstreams: readonly string[],
  options: ConfigOptions,
  proxy?: string,
): string {
  // the simulated addresses are never dialled: another network may really have them
  const probe = proxy === undefined ? { enabled: false } : { proxy, interval: '5s', timeout: '1s' };
  return stringify({
    clusters: [{ name: cluster.name, region: cluster.region, probe }],
    upstreams,
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
