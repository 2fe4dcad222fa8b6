/**
 * Holds the one table of sources: the origins of an endpoint's addresses, and the facts about each source wherever it is
 * named. Schema, file formats, schedules, warnings, metrics and link evidence read it. It refuses to know how a source asks:
 * far-side/ knows that, and refresh/cluster-sources.ts for `dns`.
 */

import { partitionOf } from '../protocol/words/aws-partitions.ts';

export interface SourceTraits {
  /** The subject of its answers: the addresses of the endpoint's name, the existing interfaces, or the cluster itself. */
  readonly speaksOf: 'names' | 'interfaces' | 'cluster';
  /** The fact about the endpoint that the source needs before it can ask. */
  readonly asksFor: 'cluster' | 'name' | 'addresses';
  /** The AWS service that it asks. Its answers are evidence for the link, and it needs a Region. */
  readonly service?: 'ec2' | 'eks' | 'route53';
  /** The actions that the credentials must allow. */
  readonly permissions?: readonly SourcePermission[];
  /** The source signs its requests with AWS credentials. */
  readonly needsCredentials: boolean;
  /** The questions of the source leave the site: directly, or through the upstreams. */
  readonly crossesLink: boolean;
  /** The key of a cluster's configuration that makes it a source of that cluster by default; without one it always is. */
  readonly configurationKey?: 'region' | 'route53' | 'kubernetes';
  /** Time between two polls: a key under `refresh` that has the name of the source. */
  readonly interval: SourceInterval;
}

/** A statement of an IAM policy, without the names of an account. */
export interface SourcePermission {
  readonly sid: string;
  readonly actions: readonly string[];
  /** The resource: the cluster, the hosted zone where its ID is configured, or everything, because AWS knows no narrower one. */
  readonly on: 'cluster' | 'zone' | 'everything';
  /** Nothing fails without it. */
  readonly isOptional?: true;
}

export interface SourceInterval {
  /** Durations as an operator writes them. */
  readonly default: string;
  readonly maximum: string;
  /** One line of the reference. */
  readonly doc: string;
}

/** The key is the name of the source: in the configuration, in the state file, in logs, and as the label of metrics. */
export const SOURCES = {
  dns: {
    speaksOf: 'names',
    asksFor: 'name',
    needsCredentials: false,
    crossesLink: true,
    interval: { default: '45s', maximum: '1h', doc: 'time between two DNS lookups of an endpoint' },
  },
  interfaces: {
    speaksOf: 'interfaces',
    asksFor: 'cluster',
    service: 'ec2',
    permissions: [
      {
        sid: 'ListItsInterfaces',
        actions: ['ec2:DescribeNetworkInterfaces', 'ec2:DescribeInstances'],
        on: 'everything',
      },
    ],
    needsCredentials: true,
    crossesLink: true,
    configurationKey: 'region',
    interval: { default: '5m', maximum: '1d', doc: 'time between two listings of network interfaces' },
  },
  cluster: {
    speaksOf: 'cluster',
    asksFor: 'cluster',
    service: 'eks',
    permissions: [
      { sid: 'LearnTheEndpoint', actions: ['eks:DescribeCluster'], on: 'cluster' },
      // it describes the Outpost too, whose view by AWS is asked of CloudWatch
      {
        sid: 'SeeTheOutpost',
        actions: ['cloudwatch:GetMetricStatistics'],
        on: 'everything',
        isOptional: true,
      },
    ],
    needsCredentials: true,
    crossesLink: true,
    configurationKey: 'region',
    interval: { default: '1h', maximum: '7d', doc: 'time between two calls of DescribeCluster' },
  },
  route53: {
    speaksOf: 'names',
    asksFor: 'name',
    service: 'route53',
    permissions: [
      { sid: 'ReadItsZone', actions: ['route53:ListResourceRecordSets'], on: 'zone' },
      { sid: 'FindItsZone', actions: ['route53:ListHostedZonesByName'], on: 'everything' },
    ],
    needsCredentials: true,
    crossesLink: true,
    configurationKey: 'route53',
    interval: {
      default: '5m',
      maximum: '1d',
      doc: 'time between two listings of record sets of an own hosted zone',
    },
  },
  kubernetes: {
    speaksOf: 'interfaces',
    asksFor: 'addresses',
    needsCredentials: false,
    crossesLink: false,
    configurationKey: 'kubernetes',
    interval: {
      default: '60s',
      maximum: '1d',
      doc: "time between two polls of the API server's own view",
    },
  },
} as const satisfies Readonly<Record<string, SourceTraits>>;

export type SourceName = keyof typeof SOURCES;

type SpeakingOf<Kind extends SourceTraits['speaksOf']> = {
  [Name in SourceName]: (typeof SOURCES)[Name]['speaksOf'] extends Kind ? Name : never;
}[SourceName];

/** Sources that say what the endpoint's name resolves to. */
export type NameSource = SpeakingOf<'names'>;
/** Sources that say which addresses exist: the listing of EC2, and the API server's own view, which a cut does not take away. */
export type InterfaceSource = SpeakingOf<'interfaces'>;
export type AddressSource = NameSource | InterfaceSource;

/** In the order of the table. */
// the keys of a literal are its names
export const SOURCE_NAMES = Object.keys(SOURCES) as readonly SourceName[];

export function traitsOf(name: SourceName): SourceTraits {
  return SOURCES[name];
}

export function isNameSource(name: SourceName): name is NameSource {
  return traitsOf(name).speaksOf === 'names';
}

export function isInterfaceSource(name: SourceName): name is InterfaceSource {
  return traitsOf(name).speaksOf === 'interfaces';
}

/** Whether it lists what exists in AWS, from across the link: in a cut it is silent, and its last answer counts. */
export function isListing(name: SourceName): boolean {
  return isInterfaceSource(name) && traitsOf(name).crossesLink;
}

export function isAddressSource(name: SourceName): name is AddressSource {
  return traitsOf(name).speaksOf !== 'cluster';
}

/**
 * The Region in which a source is asked: the key of its path over the link. Undefined for a source that does not ask AWS.
 * The API of Route 53 has one home in each partition, for clusters in all Regions.
 */
export function askedRegion(name: SourceName, region: string | undefined): string | undefined {
  const { service } = traitsOf(name);
  if (service === undefined) return undefined;
  return service === 'route53' ? partitionOf(region ?? '').globalRegion : region;
}

/** An object with one value for each source: `perSource((name) => ...)`. */
export function perSource<Value>(value: (name: SourceName) => Value): Record<SourceName, Value> {
  // every name is there
  return Object.fromEntries(SOURCE_NAMES.map((name) => [name, value(name)])) as Record<SourceName, Value>;
}
