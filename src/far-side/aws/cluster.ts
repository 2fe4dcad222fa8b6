import type { Cluster, DescribeClusterCommandOutput } from '@aws-sdk/client-eks';
import { normalizeName } from '../../protocol/words/name.ts';
import type { ClusterDetails } from '../../records/endpoint-record.ts';
import type { Source } from '../../records/observation.ts';
import type { Clock } from '../../runtime/clock.ts';
import { BETWEEN } from '../pages.ts';
import { answeredBut, type Explain, observation, SourceError } from '../source-error.ts';
import type { EksCalls } from './clients.ts';
import { placeOf } from './place.ts';

/** What EKS says of the cluster: the endpoint's name, and where its interfaces are to be looked for. */
export interface ClusterSourceOptions {
  readonly eks: EksCalls;
  readonly explain: Explain;
  readonly clock: Clock;
  readonly profile?: string | undefined;
}

export function createClusterSource(options: ClusterSourceOptions): Source {
  const { eks, explain, clock, profile } = options;
  return {
    name: 'cluster',
    observe: (context, signal) =>
      observation('cluster', explain, async () => {
        const place = placeOf(context, profile);
        const output = await eks.describeCluster(place, { name: context.cluster }, signal);
        const details = readDetails(output, context.cluster, clock.wallMs());
        return { kind: 'details', source: 'cluster', details };
      }),
  };
}

function readDetails(
  output: DescribeClusterCommandOutput,
  name: string,
  learnedAtMs: number,
): ClusterDetails {
  const { cluster } = output;
  if (cluster?.name !== name) {
    const isFromAws = output.$metadata.requestId !== undefined;
    throw new SourceError({
      reason: isFromAws ? 'malformed' : 'proxy',
      reachedFarSide: isFromAws,
      detail: `describing cluster "${name}" failed: the answer does not describe it${isFromAws ? '' : BETWEEN}`,
    });
  }
  const network = cluster.resourcesVpcConfig;
  const generation = generationOf(cluster);
  return {
    ...(isWord(cluster.id) ? { id: cluster.id } : {}),
    endpoint: endpointName(cluster, name),
    ...(network?.vpcId ? { vpcId: network.vpcId } : {}),
    subnetIds: network?.subnetIds ?? [],
    ...(cluster.certificateAuthority?.data
      ? { certificateAuthority: cluster.certificateAuthority.data }
      : {}),
    ...(generation === undefined ? {} : { generation }),
    learnedAtMs,
  };
}

/** What the state file takes; AWS gives a UUID. */
function isWord(text: string | undefined): text is string {
  return text !== undefined && /^[^\p{Cc}]{1,255}$/u.test(text);
}

function endpointName(cluster: Cluster, name: string): string {
  const { endpoint, status } = cluster;
  if (!endpoint) {
    throw answeredBut(
      'empty',
      `describing cluster "${name}" failed: it has no endpoint yet, status "${status}"`,
    );
  }
  const host = hostOf(endpoint);
  if (host === undefined) {
    throw answeredBut('malformed', `describing cluster "${name}" failed: endpoint "${endpoint}" is no name`);
  }
  return host;
}

const ADDRESS = /^(\[.*\]|[\d.]+)$/;

function hostOf(endpoint: string): string | undefined {
  try {
    const { hostname } = new URL(endpoint);
    return ADDRESS.test(hostname) || hostname === '' ? undefined : normalizeName(hostname);
  } catch {
    return undefined;
  }
}

/** Instance-store clusters name an etcd instance type; the older ones, and clusters in the Region, do not. */
function generationOf(cluster: Cluster): ClusterDetails['generation'] {
  if (cluster.outpostConfig === undefined) return undefined;
  return cluster.outpostConfig.etcdInstanceType ? 'instance-store' : 'ebs';
}
