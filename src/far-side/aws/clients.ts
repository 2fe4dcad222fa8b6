import type {
  DescribeInstancesCommandInput,
  DescribeInstancesCommandOutput,
  DescribeNetworkInterfacesCommandInput,
  DescribeNetworkInterfacesCommandOutput,
} from '@aws-sdk/client-ec2';
import type { DescribeClusterCommandInput, DescribeClusterCommandOutput } from '@aws-sdk/client-eks';
import type {
  ListHostedZonesByNameCommandInput,
  ListHostedZonesByNameCommandOutput,
  ListResourceRecordSetsCommandInput,
  ListResourceRecordSetsCommandOutput,
} from '@aws-sdk/client-route-53';
import type { Log } from '../../log/log.ts';
import { partitionOf } from '../../protocol/words/aws-partitions.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Timers } from '../../runtime/timers.ts';
import { LocalFiles } from '../local-files.ts';
import { DIRECT, type Outbound } from '../outbound.ts';
import type { OutboundHandler } from '../outbound-agents.ts';
import type { Explain } from '../source-error.ts';
import { type AwsPlace, ClientPool } from './client-pool.ts';
import { CredentialsShelf } from './credentials.ts';
import { classifyAwsFailure } from './failure.ts';
import { createSdkConfig, requestHandler, type SdkSettings } from './sdk-config.ts';
import { endpointOf } from './sdk-endpoint.ts';
import { SharedFiles } from './shared-files.ts';

/**
 * The SDK's clients as this server needs them: loaded at the first call (client-ec2 alone costs some 70 MB), one per
 * service, region and profile, and without the defaults that hang a daemon. Endpoints, profiles and credentials come
 * from where the SDK always takes them (`AWS_ENDPOINT_URL_*`, `AWS_PROFILE`, the shared files).
 */
export interface AwsClients extends AwsCalls {
  /** Destroys every socket. Calls still under way fail. */
  dispose(): void;
}

export interface AwsCalls {
  readonly explain: Explain;
  /** The URL that the SDK sends a service's requests to. Rejects where the SDK would send none. */
  readonly endpoint: (service: ServicePlace, signal: AbortSignal) => Promise<string>;
  readonly ec2: Ec2Calls;
  readonly eks: EksCalls;
  readonly route53: Route53Calls;
}

export type ServiceName = 'ec2' | 'eks' | 'route53';

/** A service as it is asked about a Region. */
export interface ServicePlace extends AwsPlace {
  readonly service: ServiceName;
}

/** Every call settles when its signal is aborted, and rejects with what `explain` can tell. */
export type AwsCall<Input, Output> = (place: AwsPlace, input: Input, signal: AbortSignal) => Promise<Output>;

export interface Ec2Calls {
  readonly describeNetworkInterfaces: AwsCall<
    DescribeNetworkInterfacesCommandInput,
    DescribeNetworkInterfacesCommandOutput
  >;
  readonly describeInstances: AwsCall<DescribeInstancesCommandInput, DescribeInstancesCommandOutput>;
}

export interface EksCalls {
  readonly describeCluster: AwsCall<DescribeClusterCommandInput, DescribeClusterCommandOutput>;
}

export interface Route53Calls {
  readonly listHostedZonesByName: AwsCall<
    ListHostedZonesByNameCommandInput,
    ListHostedZonesByNameCommandOutput
  >;
  readonly listResourceRecordSets: AwsCall<
    ListResourceRecordSetsCommandInput,
    ListResourceRecordSetsCommandOutput
  >;
}

export interface AwsClientsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Left out: everything is asked directly. */
  readonly outbound?: Outbound;
  /** AWS's configuration files; left out: those that `outbound` names. */
  readonly shared?: SharedFiles;
  /** Looking up the service's name included. */
  readonly connectTimeoutMs?: number;
  /** From the request to the head of the answer, per attempt. */
  readonly requestTimeoutMs?: number;
  /** Without an octet, in the middle of an answer. An answer that drips on is ended by the caller's signal only. */
  readonly idleTimeoutMs?: number;
  /** The chain may run the command twice (as a profile's and on its own): twice this fits the deadline of a refresh. */
  readonly credentialProcessTimeoutMs?: number;
}

const DEFAULTS = {
  connectTimeoutMs: 3000,
  requestTimeoutMs: 6000,
  idleTimeoutMs: 5000,
  credentialProcessTimeoutMs: 8000,
};

export function createAwsClients(options: AwsClientsOptions): AwsClients {
  const { clock, log } = options;
  const { outbound = DIRECT } = options;
  const shared = options.shared ?? new SharedFiles(outbound, new LocalFiles(options.timers));
  const times = { ...DEFAULTS, ...options, outbound, shared };
  let isChecked = false;
  const handler = async ({ profile }: AwsPlace): Promise<OutboundHandler> => {
    const { warnOfUnusedCertificates } = await import('../outbound-agents.ts');
    if (!isChecked) warnOfUnusedCertificates(times.outbound, log);
    isChecked = true;
    return requestHandler(times, profile);
  };
  const shelf = new CredentialsShelf({ clock, log, handler, shared });
  const settings: SdkSettings = { ...times, shelf };
  const explain = (error: unknown) => classifyAwsFailure(error, clock.wallMs());
  const ec2 = new ClientPool({ explain, create: (place) => createEc2(settings, place) });
  const eks = new ClientPool({ explain, create: (place) => createEks(settings, place) });
  const route53 = new ClientPool({ explain, create: (place) => createRoute53(settings, place) });
  const pools = { ec2, eks, route53 };
  return {
    explain,
    endpoint({ service, ...given }, signal) {
      const place = service === 'route53' ? apiPlace(given) : given;
      return pools[service].inspect(place, signal, (client) => client.endpoint());
    },
    ec2: {
      describeNetworkInterfaces: (place, input, signal) =>
        ec2.use(place, signal, (client) => client.describeNetworkInterfaces(input, signal)),
      describeInstances: (place, input, signal) =>
        ec2.use(place, signal, (client) => client.describeInstances(input, signal)),
    },
    eks: {
      describeCluster: (place, input, signal) =>
        eks.use(place, signal, (client) => client.describeCluster(input, signal)),
    },
    route53: {
      listHostedZonesByName: (place, input, signal) =>
        route53.use(apiPlace(place), signal, (client) => client.listHostedZonesByName(input, signal)),
      listResourceRecordSets: (place, input, signal) =>
        route53.use(apiPlace(place), signal, (client) => client.listResourceRecordSets(input, signal)),
    },
    dispose() {
      for (const pool of [ec2, eks, route53]) pool.dispose();
    },
  };
}

async function createEc2(settings: SdkSettings, place: AwsPlace) {
  const sdk = await import('@aws-sdk/client-ec2');
  const { config, credentials } = await createSdkConfig(settings, place);
  const client = new sdk.EC2Client(config);
  return {
    credentials,
    endpoint: endpointOf('/', (probe) =>
      new sdk.EC2Client({ ...config, ...probe }).send(new sdk.DescribeRegionsCommand({})),
    ),
    destroy: () => client.destroy(),
    describeNetworkInterfaces: (input: DescribeNetworkInterfacesCommandInput, abortSignal: AbortSignal) =>
      client.send(new sdk.DescribeNetworkInterfacesCommand(input), { abortSignal }),
    describeInstances: (input: DescribeInstancesCommandInput, abortSignal: AbortSignal) =>
      client.send(new sdk.DescribeInstancesCommand(input), { abortSignal }),
  };
}

async function createEks(settings: SdkSettings, place: AwsPlace) {
  const sdk = await import('@aws-sdk/client-eks');
  const { config, credentials } = await createSdkConfig(settings, place);
  const client = new sdk.EKSClient(config);
  return {
    credentials,
    endpoint: endpointOf('/clusters', (probe) =>
      new sdk.EKSClient({ ...config, ...probe }).send(new sdk.ListClustersCommand({})),
    ),
    destroy: () => client.destroy(),
    describeCluster: (input: DescribeClusterCommandInput, abortSignal: AbortSignal) =>
      client.send(new sdk.DescribeClusterCommand(input), { abortSignal }),
  };
}

async function createRoute53(settings: SdkSettings, place: AwsPlace) {
  const sdk = await import('@aws-sdk/client-route-53');
  const { config, credentials } = await createSdkConfig(settings, place);
  const client = new sdk.Route53Client(config);
  return {
    credentials,
    endpoint: endpointOf('/2013-04-01/hostedzonesbyname', (probe) =>
      new sdk.Route53Client({ ...config, ...probe }).send(new sdk.ListHostedZonesByNameCommand({})),
    ),
    destroy: () => client.destroy(),
    listHostedZonesByName: (input: ListHostedZonesByNameCommandInput, abortSignal: AbortSignal) =>
      client.send(new sdk.ListHostedZonesByNameCommand(input), { abortSignal }),
    listResourceRecordSets: (input: ListResourceRecordSetsCommandInput, abortSignal: AbortSignal) =>
      client.send(new sdk.ListResourceRecordSetsCommand(input), { abortSignal }),
  };
}

/**
 * Route 53's API lives in one Region of each partition. The SDK knows, except with an endpoint of one's own, where it
 * signs for the client's Region.
 */
function apiPlace(place: AwsPlace): AwsPlace {
  return { region: partitionOf(place.region).globalRegion, profile: place.profile };
}
