/** Checks of a cluster against itself and against the others. */
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

export function* duplicateNames(context: CheckContext): Iterable<Finding> {
  yield* duplicatesOf(context, 'name');
}

export function* duplicateEndpoints(context: CheckContext): Iterable<Finding> {
  yield* duplicatesOf(context, 'endpoint');
}

function* duplicatesOf(context: CheckContext, key: 'name' | 'endpoint'): Iterable<Finding> {
  const first = new Map<string, string>();
  for (const { cluster, path } of clustersOf(context)) {
    const value = cluster[key];
    if (value === undefined) continue;
    const taken = first.get(value);
    if (taken === undefined) first.set(value, `clusters[${path[1]}]`);
    else
      yield {
        path: [...path, key],
        message: `already the ${key} of ${taken}`,
        mend: `give each cluster its own ${key}`,
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
    for (const [index, source] of (cluster.sources ?? []).entries()) {
      if (source === undefined || source === 'dns') continue;
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

export function* route53Pairs(context: CheckContext): Iterable<Finding> {
  for (const { cluster, path } of clustersOf(context)) {
    const at = [...path, 'route53'];
    const source = cluster.sources?.indexOf('route53') ?? -1;
    const isGiven = cluster.route53 !== undefined || context.isFaulty(at);
    if (source !== -1 && !isGiven) {
      const mend = 'add route53 with zoneId, or with findZone: true';
      yield { path: [...path, 'sources', source], message: 'this source needs the key route53', mend };
    }
    if (
      isGiven &&
      cluster.sources !== undefined &&
      source === -1 &&
      !context.isFaulty([...path, 'sources'])
    ) {
      yield {
        path: at,
        message: 'not among the sources',
        mend: 'add route53 to sources, or remove this key',
      };
    }
    yield* zoneChoice(context, cluster, at);
  }
}

function* zoneChoice(context: CheckContext, cluster: DraftCluster, at: Path): Iterable<Finding> {
  if (cluster.route53 === undefined || context.isFaulty(at)) return;
  const { zoneId, findZone } = cluster.route53;
  if (zoneId !== undefined && findZone !== undefined) {
    yield { path: at, message: 'both zoneId and findZone', mend: 'keep one of the two' };
  } else if (zoneId === undefined && findZone !== true) {
    yield { path: at, message: 'neither zoneId nor findZone: true', mend: 'add zoneId, or findZone: true' };
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
    if (!isPinned && cluster.sources.every((source) => source === 'cluster')) {
      const mend = `add one of ${defaultSources(true, true)
        .filter((source) => source !== 'cluster')
        .join(', ')}`;
      yield { path: at, message: 'no source tells addresses', mend };
    }
  }
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
