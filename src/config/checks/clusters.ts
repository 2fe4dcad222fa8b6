/** Checks of a cluster against itself and against the others. */

import type { SourceName } from '../../records/sources.ts';
import { defaultSources } from '../cluster-sources.ts';
import type { Finding, Path } from '../fault.ts';
import { isInside } from '../kinds/address.ts';
import { durationText } from '../kinds/duration.ts';
import type { CheckContext, DraftCluster } from './checks.ts';

interface Numbered {
  readonly cluster: DraftCluster;
  readonly path: Path;
}

function* clustersOf(context: CheckContext): Iterable<Numbered> {
  for (const [index, cluster] of (context.draft.clusters ?? []).entries()) {
    if (cluster !== undefined) yield { cluster, path: ['clusters', index] };
  }
}

/** EKS has a name once in each Region; where no Region is given, the name alone has to tell the cluster. */
export function* duplicateNames(context: CheckContext): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { cluster, path } of clustersOf(context)) {
    const { name, region } = cluster;
    if (name === undefined || context.isFaulty([...path, 'region'])) continue;
    const key = JSON.stringify([name, region]);
    const taken = first.get(key);
    if (taken === undefined) {
      first.set(key, `clusters[${path[1]}]`);
      continue;
    }
    const place = region === undefined ? ', which has no region either' : ` in ${region}`;
    const message = `already the name of ${taken}${place}`;
    const mend =
      region === undefined
        ? 'give each its own name, or its region'
        : 'give each cluster its own name, or region';
    yield { path: [...path, 'name'], message, mend };
  }
}

export function* duplicateEndpoints(context: CheckContext): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { cluster, path } of clustersOf(context)) {
    const { endpoint } = cluster;
    if (endpoint === undefined) continue;
    const taken = first.get(endpoint);
    if (taken === undefined) first.set(endpoint, `clusters[${path[1]}]`);
    else
      yield {
        path: [...path, 'endpoint'],
        message: `already the endpoint of ${taken}`,
        mend: 'give each cluster its own endpoint',
      };
  }
}

export function* whereToLook(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const isFaulty = context.isFaulty([...path, 'region']);
    if (cluster.region !== undefined || isFaulty) continue;
    if (cluster.endpoint === undefined && !context.isFaulty([...path, 'endpoint'])) {
      yield {
        path,
        message: 'neither region nor endpoint',
        mend: 'add the Region of its Outpost, or the endpoint to look up by DNS alone',
      };
    }
    if ((cluster.vpcNetworks ?? []).length > 0) {
      yield {
        path: [...path, 'vpcNetworks'],
        message: 'networks whose names need a region',
        mend: 'add region, or remove them',
      };
    }
    for (const [index, source] of (cluster.sources ?? []).entries()) {
      if (source === undefined || source === 'dns' || source === 'kubernetes') continue;
      yield {
        path: [...path, 'sources', index],
        message: 'a source that needs a region',
        mend: 'add region, or remove this source',
      };
    }
    if (cluster.route53 !== undefined && !context.isWritten([...path, 'sources'])) {
      yield {
        path: [...path, 'route53'],
        message: 'needs a region',
        mend: 'add region to this cluster, or remove route53',
      };
    }
  }
}

/** Sources that look with what a key of their own name says. */
const KEYED_SOURCES = [
  { source: 'route53', mend: 'add route53 with zoneId, or with findZone: true' },
  { source: 'kubernetes', mend: 'add kubernetes with kubeconfig, or with certificate and key' },
] as const;

export function* keyedSources(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    for (const { source, mend } of KEYED_SOURCES) {
      const at = [...path, source];
      const index = cluster.sources?.indexOf(source) ?? -1;
      const isGiven = cluster[source] !== undefined || context.isFaulty(at);
      if (index !== -1 && !isGiven) {
        const message = `this source needs the key ${source}`;
        yield { path: [...path, 'sources', index], message, mend };
      }
      const isLeftOut = cluster.sources !== undefined && index === -1;
      if (isGiven && isLeftOut && !context.isFaulty([...path, 'sources'])) {
        const message = 'not among the sources';
        yield { path: at, message, mend: `add ${source} to sources, or remove this key` };
      }
    }
  }
}

export function* zoneChoice(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const at = [...path, 'route53'];
    if (cluster.route53 === undefined || context.isFaulty(at)) continue;
    const { zoneId, findZone } = cluster.route53;
    if (zoneId !== undefined && findZone !== undefined) {
      yield { path: at, message: 'both zoneId and findZone', mend: 'keep one of the two' };
    } else if (zoneId === undefined && findZone !== true) {
      yield { path: at, message: 'neither zoneId nor findZone: true', mend: 'add zoneId, or findZone: true' };
    }
  }
}

const CERTIFICATE_KEYS = ['certificate', 'key', 'ca'] as const;

/** Half of what a client certificate takes, or two ways to be known, would be found out during the cut. */
export function* kubernetesIdentity(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const at = [...path, 'kubernetes'];
    if (cluster.kubernetes === undefined || context.isFaulty(at)) continue;
    const { kubeconfig, certificate, key } = cluster.kubernetes;
    const given = CERTIFICATE_KEYS.filter((one) => cluster.kubernetes?.[one] !== undefined);
    if (kubeconfig !== undefined) {
      if (given.length === 0) continue;
      const message = `kubeconfig beside ${given.join(', ')}`;
      yield { path: at, message, mend: 'keep kubeconfig, or certificate and key' };
    } else if (certificate === undefined || key === undefined) {
      const missing = certificate === undefined ? 'certificate' : 'key';
      const isEmpty = certificate === undefined && key === undefined;
      const message = isEmpty ? 'neither kubeconfig nor certificate and key' : `no ${missing}`;
      const mend = isEmpty ? 'add kubeconfig, or certificate and key' : `add ${missing}, or use a kubeconfig`;
      yield { path: at, message, mend };
    }
  }
}

export function* addressSources(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const at = [...path, 'sources'];
    if (cluster.sources === undefined || context.isFaulty(at) || cluster.sources.includes(undefined))
      continue;
    const isNamed = cluster.endpoint !== undefined || context.isFaulty([...path, 'endpoint']);
    if (!isNamed && !cluster.sources.includes('cluster')) {
      yield {
        path: at,
        message: 'nothing tells the name of the endpoint',
        mend: 'add the source cluster, or the key endpoint',
      };
    }
    const isPinned = (cluster.pin?.length ?? 0) > 0;
    if (!isPinned && !cluster.sources.some(tellsFirstAddresses)) {
      const mend = `add one of ${defaultSources({ region: true, route53: true, kubernetes: true })
        .filter(tellsFirstAddresses)
        .join(', ')}`;
      const message = cluster.sources.includes('kubernetes')
        ? 'no source tells the first addresses: kubernetes is asked at addresses that are known'
        : 'no source tells addresses';
      yield { path: at, message, mend };
    }
  }
}

function tellsFirstAddresses(source: SourceName | undefined): boolean {
  return source !== 'cluster' && source !== 'kubernetes';
}

export function* pinsAllowed(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const allowed = cluster.allowedAddresses;
    if (allowed === undefined || context.isFaulty([...path, 'allowedAddresses'])) continue;
    const networks = allowed.filter((one) => one !== undefined);
    for (const [index, pin] of (cluster.pin ?? []).entries()) {
      if (pin === undefined || isInside(pin, networks)) continue;
      yield {
        path: [...path, 'pin', index],
        message: 'not in allowedAddresses',
        mend: 'add its network to allowedAddresses of this cluster',
      };
    }
  }
}

export function* probeTimes(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const { interval, timeout } = cluster.probe ?? {};
    if (interval === undefined || timeout === undefined || timeout <= interval) continue;
    const key = context.isWritten([...path, 'probe', 'timeout']) ? 'timeout' : 'interval';
    yield {
      path: [...path, 'probe', key],
      message: `the timeout is longer than the interval: ${durationText(timeout)}, ${durationText(interval)}`,
      mend: 'shorten probe.timeout, or lengthen probe.interval',
    };
  }
}
