/** The configuration mapped onto what each room declares for itself: the only place where both are known. Pure. */
import type {
  ClusterConfig,
  Config,
  SocketAddress,
  Upstream as UpstreamConfig,
  ZoneConfig,
} from '../config/config.ts';
import type { ServicePlace } from '../far-side/aws/clients.ts';
import { partitionOf } from '../protocol/words/aws-partitions.ts';
import { parentName } from '../protocol/words/name.ts';
import { TYPE } from '../protocol/words/types.ts';
import type { ClusterSettings, RefreshTimes } from '../refresh/cluster-settings.ts';
import { questionText, type RetainedQuestion } from '../refresh/retained/retained-question.ts';
import { createSources, type SourceConnections } from '../refresh/sources/connect-sources.ts';
import type { AnswerCacheSettings } from '../serving/answer-cache/answer-cache.ts';
import type { ForwardSettings, Upstream, UpstreamGroup } from '../serving/forwarder/upstream.ts';
import type { TcpLimits } from '../serving/listener/tcp.ts';
import { awsNames } from '../serving/local-zones/aws-names.ts';
import type { DisconnectedRulesOptions } from '../serving/local-zones/disconnected-rules.ts';
import type { ZoneRule } from '../serving/local-zones/zone-rules.ts';
import { siteGroup } from './site-names.ts';

function upstreamOf(upstream: UpstreamConfig): Upstream {
  const { address, port } = upstream;
  const text = socketText({ address, port });
  if (upstream.transport === 'plain') return { text, address, port };
  const { transport, serverName } = upstream;
  return { text: `${transport}://${text}#${serverName}`, address, port, transport, serverName };
}

export function socketText({ address, port }: SocketAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The group for names without a rule of their own. */
export function defaultGroup(config: Config): UpstreamGroup {
  return { name: '.', upstreams: config.upstreams.map(upstreamOf) };
}

/** The rule of a zone, a forwarding one with the group that it forwards to. */
export function zoneRule(zone: ZoneConfig): ZoneRule<UpstreamGroup> {
  const { name } = zone;
  switch (zone.kind) {
    case 'forward':
      return { name, forwardTo: { name, upstreams: zone.forwardTo.map(upstreamOf) } };
    case 'answer':
      return { name, answer: zone.answer };
    case 'records':
      return { name, records: zone.records };
  }
}

/** The Regions of the clusters, each once. */
function regionsOf({ clusters }: Pick<Config, 'clusters'>): readonly string[] {
  return [...new Set(clusters.flatMap(({ region }) => region ?? []))];
}

/** The Regions that something is asked of: a site with DNS alone sends nothing to AWS, not even a sign of life. */
export function askedRegions(config: Config): readonly string[] {
  return [...new Set(config.clusters.flatMap(servicesOf).map(({ pathRegion }) => pathRegion))];
}

/** What the sources ask in one Region, each service once for each profile. */
export function askedServices(config: Config, region: string): readonly ServicePlace[] {
  const asked = config.clusters.flatMap(servicesOf).filter(({ pathRegion }) => pathRegion === region);
  return [...new Map(asked.map(({ place }) => [JSON.stringify(place), place])).values()];
}

const SERVICES = [
  ['interfaces', 'ec2'],
  ['cluster', 'eks'],
  ['route53', 'route53'],
] as const;

/** `pathRegion`: where the service is asked, which is the key of the link's path. */
function servicesOf({ region, profile, sources }: ClusterConfig) {
  if (region === undefined) return [];
  return SERVICES.flatMap(([source, service]): { pathRegion: string; place: ServicePlace }[] => {
    if (!sources.includes(source)) return [];
    const pathRegion = service === 'route53' ? partitionOf(region).globalRegion : region;
    return [{ pathRegion, place: { service, region, profile } }];
  });
}

/** What the forwarding zones, and EC2's own names of the configured Regions, do while their upstreams are gone. */
export function disconnectedRules(config: Config): DisconnectedRulesOptions {
  const { zones, clusters } = config;
  return {
    zones: zones.flatMap((zone) => (zone.kind === 'forward' ? [zone] : [])),
    regions: regionsOf({ clusters }),
    areSiteNamesAsked: siteGroup(config, defaultGroup(config)) !== undefined,
    vpcs: clusters.flatMap(({ region, vpcNetworks }) =>
      region === undefined ? [] : vpcNetworks.map((cidr) => ({ region, cidr })),
    ),
  };
}

/** EC2's own names, of whatever Region: worked out in a cut, or denied. */
const EC2_SUFFIXES = ['compute.internal', 'ec2.internal'];

/** Tells names that are meant to fail in a cut: nobody has to retain them. The same names decide as in `DisconnectedRules`. */
export function failsByPolicy({ zones, clusters }: Config): (name: string) => boolean {
  const builtIn = new Map(EC2_SUFFIXES.map((name) => [name, true]));
  for (const { name, says } of awsNames(regionsOf({ clusters }))) builtIn.set(name, says === 'servfail');
  const rules = new Map(builtIn);
  for (const zone of zones) {
    if (zone.kind !== 'forward') continue;
    const { name, whileDisconnected: said } = zone;
    rules.set(name, said === undefined ? fails(name, builtIn) : said === 'servfail' || said === 'nxdomain');
  }
  return (name) => fails(name, rules);
}

/** The longest name that has a rule decides; what has none is worth keeping. */
function fails(name: string, rules: ReadonlyMap<string, boolean>): boolean {
  for (let at: string | undefined = name; at !== undefined; at = parentName(at)) {
    const rule = rules.get(at);
    if (rule !== undefined) return rule;
  }
  return false;
}

const ADDRESSES: readonly number[] = [TYPE.A, TYPE.AAAA];

/** Each question once. Clients ask for both addresses, and take the failure of one for the failure of the name. */
export function retainedQuestions({ retain }: Config): readonly RetainedQuestion[] {
  const firm = new Set(retain.filter(({ ignoreDenials }) => ignoreDenials).map(({ name }) => name));
  const both = retain.flatMap(({ name, qtypes }) => {
    const isAddress = qtypes.some((qtype) => ADDRESSES.includes(qtype));
    const more = firm.has(name) ? { ignoreDenials: true } : {};
    return [...(isAddress ? ADDRESSES : []), ...qtypes].map((qtype) => ({ name, qtype, ...more }));
  });
  return [...new Map(both.map((question) => [questionText(question), question])).values()];
}

/**
 * The texts of the upstreams that are this server itself, by what is really bound: a wildcard on a host that does not
 * list its addresses holds all of loopback, and an address may come after the file was checked.
 */
export function upstreamsBoundHere(
  groups: readonly UpstreamGroup[],
  bound: readonly SocketAddress[],
): readonly string[] {
  const isOurs = ({ address, port }: Upstream) =>
    bound.some(
      (here) => here.port === port && (here.address === address || isWildcardOver(here.address, address)),
    );
  const all = groups.flatMap(({ upstreams }) => upstreams);
  return [...new Set(all.filter(isOurs).map(({ text }) => text))];
}

function isWildcardOver(bound: string, address: string): boolean {
  return bound === '::' ? address === '::1' : bound === '0.0.0.0' && address.startsWith('127.');
}

export function forwardSettings({ forward }: Config): ForwardSettings {
  return forward;
}

export function cacheSettings({ cache }: Config): AnswerCacheSettings {
  return cache;
}

export function tcpLimits({ limits }: Config): TcpLimits {
  return {
    connections: limits.tcpConnections,
    connectionsPerClient: limits.tcpConnectionsPerClient,
    idleMs: limits.tcpIdleMs,
    frameMs: limits.tcpFrameMs,
    pipelined: limits.tcpPipelined,
  };
}

export function refreshTimes({ refresh }: Config): RefreshTimes {
  return refresh;
}

export function clusterSettings(config: Config, connections: SourceConnections): readonly ClusterSettings[] {
  return config.clusters.map((cluster) => oneCluster(cluster, connections));
}

function oneCluster(cluster: ClusterConfig, connections: SourceConnections): ClusterSettings {
  const { name, region, endpoint, vpcId, allowedAddresses, pin, probe, profile, route53, kubernetes } =
    cluster;
  const zoneId = route53?.kind === 'zone' ? route53.zoneId : undefined;
  return {
    name,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(vpcId === undefined ? {} : { vpcId }),
    allowedAddresses,
    pin,
    sources: createSources(
      {
        sources: cluster.sources,
        profile,
        route53: { zoneId },
        ...(kubernetes === undefined ? {} : { kubernetes }),
      },
      connections,
    ),
    ...(probe.enabled ? { probe } : {}),
  };
}
