/** Checked settings to the configuration that the rest of the program gets: other names, defaults that depend on other keys, frozen. */
import { defaultSources } from './cluster-sources.ts';
import type {
  ClusterConfig,
  Config,
  LimitsConfig,
  OutboundConfig,
  RefreshConfig,
  Upstream,
  WhileDisconnected,
  ZoneConfig,
  ZoneRecord,
} from './config.ts';
import { retainedNameOf } from './kinds/retained-name.ts';
import type { Settings } from './schema.ts';
import { readZoneRecord } from './zone-record.ts';

/** Takes settings that no check has found fault with. */
export function normalise(settings: Settings, outbound: OutboundConfig): Config {
  const { forward, cache } = settings;
  return frozen<Config>({
    clusters: settings.clusters.map(clusterConfig),
    upstreams: settings.upstreams,
    listen: settings.listen,
    clients: settings.clients,
    zones: zoneConfigs(settings),
    retain: settings.retain.map(retainedNameOf),
    refresh: refreshConfig(settings.refresh),
    forward: {
      deadlineMs: forward.deadline,
      attemptMinMs: forward.attemptMin,
      attemptMaxMs: forward.attemptMax,
      inFlight: forward.inFlight,
      caseRandomization: forward.caseRandomization,
      siteNames: forward.siteNames,
      trustAuthenticatedData: forward.trustAuthenticatedData,
    },
    cache: {
      sizeOctets: cache.size,
      maxTtlSeconds: cache.maxTtl,
      negativeTtlSeconds: cache.negativeTtl,
      staleForMs: cache.staleFor,
      staleTtlSeconds: cache.staleTtl,
      prefetch: cache.prefetch,
    },
    limits: limitsConfig(settings.limits),
    identity: withoutUndefined(settings.identity),
    admin: settings.admin,
    drill: settings.drill,
    state: settings.state,
    outbound,
    log: settings.log,
  });
}

function clusterConfig(cluster: Settings['clusters'][number]): ClusterConfig {
  const { route53, kubernetes, sources, probe, region, endpoint, vpcId, profile } = cluster;
  const given = {
    region: region !== undefined,
    route53: route53 !== undefined,
    kubernetes: kubernetes !== undefined,
  };
  return {
    name: cluster.name,
    ...withoutUndefined({ region, endpoint, vpcId, profile }),
    vpcNetworks: cluster.vpcNetworks,
    sources: sources ?? defaultSources(given),
    ...(route53 === undefined ? {} : { route53: route53Config(route53.zoneId) }),
    ...(kubernetes === undefined ? {} : { kubernetes: kubernetesConfig(kubernetes) }),
    allowedAddresses: cluster.allowedAddresses,
    pin: cluster.pin,
    probe: { enabled: probe.enabled, port: probe.port, intervalMs: probe.interval, timeoutMs: probe.timeout },
  };
}

function route53Config(zoneId: string | undefined): NonNullable<ClusterConfig['route53']> {
  return zoneId === undefined ? { kind: 'find' } : { kind: 'zone', zoneId };
}

function kubernetesConfig(
  settings: NonNullable<Settings['clusters'][number]['kubernetes']>,
): NonNullable<ClusterConfig['kubernetes']> {
  const { kubeconfig, certificate = '', key = '', ca } = settings;
  if (kubeconfig !== undefined) return { kind: 'kubeconfig', kubeconfig };
  return { kind: 'certificate', certificate, key, ...withoutUndefined({ ca }) };
}

type ZoneSettings = Settings['zones'][number];

function zoneConfigs({ zones, upstreams }: Settings): readonly ZoneConfig[] {
  const byName = new Map(zones.map((zone) => [zone.name, zone]));
  return zones.map((zone) => zoneConfig(zone, upstreamsFor(zone, byName) ?? upstreams));
}

/** Of the zone itself; of one that only says what holds while disconnected, those of the nearest zone above it. */
function upstreamsFor(
  zone: ZoneSettings,
  byName: ReadonlyMap<string, ZoneSettings>,
): readonly Upstream[] | undefined {
  const labels = zone.name.split('.');
  for (const index of labels.keys()) {
    const at = byName.get(labels.slice(index).join('.'));
    if (at === undefined) continue;
    if (at.forwardTo !== undefined) return at.forwardTo;
    if (at.answer !== undefined || at.records !== undefined) return undefined;
  }
  return undefined;
}

function zoneConfig(zone: ZoneSettings, upstreams: readonly Upstream[]): ZoneConfig {
  const { name, answer, records, whileDisconnected: said } = zone;
  if (answer !== undefined) return { kind: 'answer', name, answer };
  if (records !== undefined) return { kind: 'records', name, records: zoneRecords(name, records) };
  const whileDisconnected = said === undefined ? {} : { whileDisconnected: whileDisconnectedOf(name, said) };
  return { kind: 'forward', name, forwardTo: upstreams, ...whileDisconnected };
}

function whileDisconnectedOf(
  zone: string,
  said: NonNullable<ZoneSettings['whileDisconnected']>,
): WhileDisconnected {
  return typeof said === 'string' ? said : zoneRecords(zone, said);
}

function zoneRecords(zone: string, lines: readonly string[]): readonly ZoneRecord[] {
  return lines.flatMap((text) => {
    const record = readZoneRecord(text, zone);
    return 'value' in record ? [record.value] : [];
  });
}

function refreshConfig(refresh: Settings['refresh']): RefreshConfig {
  const { dns, interfaces, route53, cluster, kubernetes } = refresh;
  return {
    intervalMs: { dns, interfaces, route53, cluster, kubernetes },
    jitterPercent: refresh.jitterPercent,
    retryMinMs: refresh.retryMin,
    retryMaxMs: refresh.retryMax,
    deadlineMs: refresh.deadline,
  };
}

function limitsConfig(limits: Settings['limits']): LimitsConfig {
  return {
    tcpConnections: limits.tcpConnections,
    tcpConnectionsPerClient: limits.tcpConnectionsPerClient,
    tcpIdleMs: limits.tcpIdle,
    tcpFrameMs: limits.tcpFrame,
    tcpPipelined: limits.tcpPipelined,
    responsesPerSecond: limits.responsesPerSecond,
    refusalsPerSecond: limits.refusalsPerSecond,
    slip: limits.slip,
  };
}

type Defined<T> = { [Key in keyof T]?: Exclude<T[Key], undefined> };

function withoutUndefined<T extends object>(from: T): Defined<T> {
  const entries = Object.entries(from).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Defined<T>; // the same keys less those without a value: more than `fromEntries` can say
}

/** The value and all that it holds, frozen. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const inner of Object.values(value)) frozen(inner);
  return Object.freeze(value);
}
