/** Declares the keys for the clusters whose endpoints stay resolvable, and for the polls of their sources. */
import { perSource, SOURCE_NAMES, type SourceName, traitsOf } from '../../records/sources.ts';
import {
  atLeastOne,
  type DraftOf,
  exactlyOne,
  type Findings,
  joinedBy,
  notMoreThan,
  type Place,
  unique,
} from '../declaration.ts';
import { pathText } from '../fault.ts';
import {
  alternative,
  choice,
  defaulted,
  distinctList,
  flag,
  inRoom,
  into,
  list,
  map,
  optional,
  required,
  section,
  wholeNumber,
} from '../key.ts';
import { isInside } from '../kinds/address.ts';
import { duration, durationText } from '../kinds/quantity.ts';
import {
  absolutePath,
  clusterName,
  endpointName,
  hostedZoneId,
  ipv4Address,
  ipv4Network,
  profileName,
  regionName,
  serverAddress,
  vpcId,
} from '../kinds/text.ts';

const route53 = into(
  map(
    {
      zoneId: alternative(hostedZoneId(), 'the hosted zone that holds the endpoint name'),
      findZone: optional(flag(), 'find the zone by walking up the labels of the endpoint name', true),
    },
    exactlyOne(['zoneId', 'findZone'], {
      none: 'neither zoneId nor findZone: true',
      fix: 'add zoneId, or findZone: true',
    }),
  ),
  ({ zoneId }) => ({ zoneId }),
);

const kubernetesKeys = {
  kubeconfig: optional(
    absolutePath('/etc/outpost-dns/kubeconfig'),
    'a kubeconfig whose current context has a client certificate or a token, and no command (aws eks get-token needs AWS); read again at each poll',
  ),
  certificate: alternative(
    absolutePath('/etc/outpost-dns/kubernetes.crt'),
    'a client certificate in PEM, in place of a kubeconfig; read again at each poll',
  ),
  key: alternative(absolutePath('/etc/outpost-dns/kubernetes.key'), 'the key of that certificate, in PEM'),
  ca: alternative(
    absolutePath('/etc/outpost-dns/kubernetes-ca.crt'),
    'certificate authority of the cluster in PEM, beside certificate; by default the one that DescribeCluster returned',
  ),
};
type KubernetesDraft = DraftOf<ReturnType<typeof map<typeof kubernetesKeys>>>;

const kubernetes = into(
  map(
    kubernetesKeys,
    Object.assign(kubernetesIdentity, {
      choice: { count: 'exactly one', keys: ['kubeconfig', 'certificate'] },
    } as const),
  ),
  ({ kubeconfig, certificate = '', key = '', ca }) =>
    kubeconfig === undefined
      ? ({ kind: 'certificate', certificate, key, ca } as const)
      : ({ kind: 'kubeconfig', kubeconfig } as const),
);

/** Half of a client certificate, or two identities, would be noticed only when the link is down. */
function* kubernetesIdentity(draft: KubernetesDraft, { path, isFaulty }: Place): Findings {
  if (isFaulty()) return;
  const { kubeconfig, certificate, key, ca } = draft;
  const given = Object.entries({ certificate, key, ca }).flatMap(([name, value]) =>
    value === undefined ? [] : [name],
  );
  if (kubeconfig !== undefined) {
    if (given.length === 0) return;
    yield {
      path,
      message: `kubeconfig beside ${given.join(', ')}`,
      fix: 'keep kubeconfig, or certificate and key',
    };
  } else if (certificate === undefined && key === undefined) {
    const message = 'neither kubeconfig nor certificate and key';
    yield { path, message, fix: 'add kubeconfig, or certificate and key' };
  } else if (certificate === undefined || key === undefined) {
    const missing = certificate === undefined ? 'certificate' : 'key';
    yield { path, message: `no ${missing}`, fix: `add ${missing}, or use a kubeconfig` };
  }
}

const probe = into(
  map(
    {
      enabled: defaulted(
        flag(),
        true,
        'check each address from this host, and order addresses that do not answer or are not proven last',
      ),
      port: defaulted(wholeNumber(1, 65_535), 443, 'port to connect to'),
      interval: defaulted(duration('1s', '1h'), '30s', 'time between two checks of an address'),
      timeout: defaulted(duration('50ms', '30s'), '2s', 'time after which a check has failed'),
      prove: defaulted(
        flag(),
        true,
        'prove each address by TLS: a handshake must show a certificate for the name of the endpoint, signed by the authority of the cluster. While proven addresses exist, refused addresses are not served, and new addresses only after their proof. Without a known authority a check only connects by TCP',
      ),
      ca: optional(
        absolutePath('/etc/outpost-dns/cluster-ca.crt'),
        'certificate authority of the cluster in PEM, beside those from DescribeCluster and from `kubernetes`; read again at each check',
      ),
      proxy: optional(
        serverAddress(3128),
        'HTTP proxy (CONNECT) through which this host reaches the addresses',
      ),
    },
    notMoreThan('timeout', 'interval', durationText),
  ),
  ({ enabled, ...settings }) => (enabled ? settings : undefined),
);

const clusterKeys = {
  name: required(clusterName(), 'name of the EKS local cluster'),
  region: optional(
    regionName(),
    'AWS Region of the Outpost; without it only DNS is asked, for the name in `endpoint`',
  ),
  endpoint: optional(
    endpointName(),
    'name of the API endpoint, if DescribeCluster is not allowed or not reachable yet',
  ),
  vpcId: optional(vpcId(), 'VPC of the cluster, if DescribeCluster is not allowed'),
  vpcNetworks: defaulted(
    list(ipv4Network(), 0, 64),
    [],
    'networks of the VPC; while disconnected, reverse names in them are computed as the resolver of the VPC does',
    { room: 'daemon' },
  ),
  sources: optional(
    distinctList(choice(...SOURCE_NAMES), 1, SOURCE_NAMES.length),
    `where the addresses come from; by default ${defaultSources()}`,
    [...SOURCE_NAMES],
  ),
  route53: inRoom('far-side', 'for an endpoint name in a hosted zone of your own', route53.optional()),
  kubernetes: inRoom(
    'far-side',
    'how the API server is asked for its own view of its addresses (EndpointSlices of default/kubernetes), which works while the link is down; it must be allowed to list them in the namespace default',
    kubernetes.optional(),
  ),
  allowedAddresses: defaulted(
    list(ipv4Network(), 1, 64),
    ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
    'networks that an address of the endpoint may be in; other addresses are refused. A public network counts if it is listed here',
  ),
  pin: defaulted(
    distinctList(ipv4Address(), 0, 64),
    [],
    'addresses to serve in place of those from the sources; shown everywhere as pinned',
  ),
  probe: inRoom('refresh', 'how the addresses of the endpoint are probed', probe.prefault({})),
  profile: optional(profileName(), 'profile of the AWS configuration files to take credentials from'),
};
type ClusterDraft = DraftOf<ReturnType<typeof map<typeof clusterKeys>>>;

const cluster = into(
  map(
    clusterKeys,
    atLeastOne(['region', 'endpoint'], 'add the Region of its Outpost, or the endpoint to find by DNS alone'),
    withRegion,
    withTheirKeys,
    tellAddresses,
    pinsInside,
  ),
  (options) => ({ ...options, ...withAuthority(options), sources: options.sources ?? sourcesBy(options) }),
);

/** A kubeconfig names the authority that signs for the addresses as well. */
function withAuthority<Probe, Access>(given: {
  readonly probe?: Probe | undefined;
  readonly kubernetes?: Access | undefined;
}) {
  const { probe, kubernetes: access } = given;
  return probe === undefined || access === undefined ? {} : { probe: { ...probe, access } };
}

/** `dns; with \`region\` also interfaces and cluster; ...`: the sources by the key that makes them a default. */
function defaultSources(): string {
  const byKey = Map.groupBy(SOURCE_NAMES, (name) => traitsOf(name).configurationKey);
  return [...byKey]
    .map(([key, names]) => (key === undefined ? '' : `with \`${key}\` also `) + names.join(' and '))
    .join('; ');
}

/** The sources of a cluster whose configuration does not name them. */
function sourcesBy(given: Readonly<Partial<Record<string, unknown>>>): readonly SourceName[] {
  return SOURCE_NAMES.filter((name) => {
    const { configurationKey } = traitsOf(name);
    return configurationKey === undefined || given[configurationKey] !== undefined;
  });
}

function* withRegion(cluster: ClusterDraft, { path, isFaulty, isWritten }: Place): Findings {
  if (cluster.region !== undefined || isFaulty('region')) return;
  if ((cluster.vpcNetworks ?? []).length > 0) {
    const message = 'networks whose names need a region';
    yield { path: [...path, 'vpcNetworks'], message, fix: 'add region, or remove them' };
  }
  for (const [index, source] of (cluster.sources ?? []).entries()) {
    if (source === undefined || traitsOf(source).service === undefined) continue;
    const message = 'a source that needs a region';
    yield { path: [...path, 'sources', index], message, fix: 'add region, or remove this source' };
  }
  if (cluster.route53 !== undefined && !isWritten('sources')) {
    const fix = 'add region to this cluster, or remove route53';
    yield { path: [...path, 'route53'], message: 'needs a region', fix };
  }
}

/** A source without its key, or such a key without its source, would silently do nothing. */
function* withTheirKeys(cluster: ClusterDraft, { path, isFaulty }: Place): Findings {
  for (const source of SOURCE_NAMES) {
    const key = traitsOf(source).configurationKey;
    if (key === undefined || key === 'region') continue;
    const index = cluster.sources?.indexOf(source) ?? -1;
    const isGiven = cluster[key] !== undefined || isFaulty(key);
    if (index !== -1 && !isGiven) {
      const fix = `add the key ${key} to this cluster, or remove this source`;
      yield { path: [...path, 'sources', index], message: `this source needs the key ${key}`, fix };
    }
    const isLeftOut = cluster.sources !== undefined && index === -1;
    if (isGiven && isLeftOut && !isFaulty('sources')) {
      const fix = `add ${source} to sources, or remove this key`;
      yield { path: [...path, key], message: 'not among the sources', fix };
    }
  }
}

/** A cluster that never gets an address is answered SERVFAIL for ever. */
function* tellAddresses({ endpoint, sources, pin }: ClusterDraft, { path, isFaulty }: Place): Findings {
  if (sources === undefined || isFaulty('sources')) return;
  const at = [...path, 'sources'];
  const named = sources.filter((source) => source !== undefined);
  const isNamed = endpoint !== undefined || isFaulty('endpoint');
  if (!isNamed && !named.some((source) => traitsOf(source).speaksOf === 'cluster')) {
    const message = 'no source returns the name of the endpoint';
    yield { path: at, message, fix: 'add the source cluster, or the key endpoint' };
  }
  if ((pin?.length ?? 0) > 0 || named.some(isFirst)) return;
  const later = named.filter((source) => traitsOf(source).asksFor === 'addresses');
  const message =
    later.length === 0
      ? 'no source returns addresses'
      : `no source returns the first addresses: ${later.join(', ')} is asked at addresses that are known`;
  yield { path: at, message, fix: `add one of ${SOURCE_NAMES.filter(isFirst).join(', ')}` };
}

/** Whether a source returns addresses where none is known yet. */
function isFirst(source: SourceName): boolean {
  const { speaksOf, asksFor } = traitsOf(source);
  return speaksOf !== 'cluster' && asksFor !== 'addresses';
}

function* pinsInside({ allowedAddresses, pin = [] }: ClusterDraft, { path, isFaulty }: Place): Findings {
  if (allowedAddresses === undefined || isFaulty('allowedAddresses')) return;
  const networks = allowedAddresses.filter((network) => network !== undefined);
  for (const [index, address] of pin.entries()) {
    if (address === undefined || isInside(address, networks)) continue;
    const fix = 'add its network to allowedAddresses of this cluster';
    yield { path: [...path, 'pin', index], message: 'not in allowedAddresses', fix };
  }
}

export const clusters = inRoom(
  'refresh',
  'the EKS local clusters whose endpoints are kept resolvable',
  joinedBy(list(cluster, 1, 100), [
    namesApart,
    unique('endpoint', 'give each cluster its own endpoint'), // a name is answered from one record
  ]),
);

/** Region and name are a cluster's key in the state, the metrics and the log. Without a Region the name alone is. */
function* namesApart(clusters: readonly (ClusterDraft | undefined)[], { path, isFaulty }: Place): Findings {
  const first = new Map<string, string>();
  for (const [index, { name, region } = {}] of clusters.entries()) {
    if (name === undefined || isFaulty(index, 'region')) continue;
    const key = JSON.stringify([name, region]);
    const taken = first.get(key);
    if (taken === undefined) {
      first.set(key, pathText([...path, index]));
      continue;
    }
    const where = region === undefined ? ', which has no region either' : ` in ${region}`;
    const fix =
      region === undefined
        ? 'give each its own name, or its region'
        : 'give each cluster its own name, or region';
    yield { path: [...path, index, 'name'], message: `already the name of ${taken}${where}`, fix };
  }
}

function interval<Name extends SourceName>(name: Name) {
  const { interval } = traitsOf(name);
  const option = `intervalMs.${name}` as const;
  return defaulted(duration('1s', interval.maximum), interval.default, interval.doc, { option });
}

// each source has the key of its own name
const intervals = perSource(interval) as { [Name in SourceName]: ReturnType<typeof interval<Name>> };

export const refresh = section(
  'refresh',
  'how often the sources are polled',
  {
    ...intervals,
    jitterPercent: defaulted(
      wholeNumber(0, 50),
      20,
      'how far each of these times is varied at random, in per cent',
    ),
    retryMin: defaulted(
      duration('100ms', '10m'),
      '5s',
      'wait after the first failure; it doubles with each further failure',
    ),
    retryMax: defaulted(duration('100ms', '1h'), '60s', 'longest wait after failures'),
    deadline: defaulted(duration('500ms', '5m'), '20s', 'time after which a poll is given up'),
  },
  notMoreThan('retryMin', 'retryMax', durationText),
);
